"""Train the diffusion transformer on packed latents of any size, noised slice by slice, with their captions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from chronotope import checkpoint
from chronotope.actions import ActionSchema
from chronotope.caption.encoder.frozen import EncoderFacts
from chronotope.caption.encoder.tokenizer import StateTokenizer, facts_for_run
from chronotope.config import from_dict, to_dict
from chronotope.data.latents import LatentDataset, fingerprint
from chronotope.data.record import (
    TrainingRecord,
    changes_in_data,
    data_behind,
    data_of_latents,
    read_record,
    record_of,
    resumed_data,
)
from chronotope.errors import UsageError
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.packing import action_width
from chronotope.models.precision import autocast
from chronotope.models.text import TextTokenizer, Tokenizer, learn_vocabulary
from chronotope.parallel import Ranks, join_ranks, leave_ranks, sum_gradients, sum_over_ranks, wait_for_all
from chronotope.progress import Progress
from chronotope.train.adapter import begin_adapter, describe_adapter, new_words
from chronotope.train.batches import caption_notes, stream_batches, to_device
from chronotope.train.config import DiTRun
from chronotope.train.fit import check_actions, check_autoencoder, check_latents, check_text_encoder
from chronotope.train.log import TrainingLog, write_toml
from chronotope.train.loss import flow_loss, heldout_losses
from chronotope.train.optimizers import learning_rate_factor, make_optimizers
from chronotope.train.order import share_notes
from chronotope.train.same_run import check_same_run
from chronotope.train.samples import all_prompts
from chronotope.train.state import TrainState

__all__ = ["Sampler", "check_compatible", "encode_captions", "train_dit"]

Sampler = Callable[[DiTRun, DiT, TextTokenizer, Path], None]  # draws samples into a folder


@dataclass(frozen=True)
class PreparedRun:
    """A run whose config fits its data, its vocabulary, the fingerprint of the weights that it starts from, notes.

    `encoder` is the frozen text encoder that takes the place of the vocabulary; None without one. `record` describes
    the training data of this run and of all runs before it; None if an earlier run left no record. `seen` names the
    data that a run which goes on has seen beside its own; None of a new run. `actions` is what the actions of the clips
    mean; None of a model without actions.
    """

    config: DiTRun
    vocabulary: tuple[str, ...]
    record: TrainingRecord | None
    started_from: str | None = None
    notes: tuple[str, ...] = ()
    seen: tuple[dict[str, Any], ...] | None = None
    encoder: EncoderFacts | None = None
    actions: ActionSchema | None = None


def prepare_run(config: DiTRun, dataset: LatentDataset, out: Path, start: Path | None) -> PreparedRun:
    """Take vocabulary and deviations from the checkpoint or start model, or measure them on the dataset.

    Raises UsageError where the latents, the config, the checkpoint and the start model do not fit together.
    """
    about = dataset.about[0]
    check_latents(config, about["channels"], about["stride"])
    check_same_run(out, config)
    source, started_from, seen = checkpoint.latest_checkpoint(out), None, None
    encoder = facts_for_run(config.text_encoder, out.parent) if config.text_encoder else None
    check_text_encoder(config.model, encoder, source or start)
    actions = dataset.action_schema if config.actions.use else None
    check_actions(config.actions.use, actions, source or start)
    if source is not None:
        check_autoencoder(about, source)
        seen = tuple(resumed_data(checkpoint.read_description(source), data_of_latents(dataset)))
    elif start is not None:
        check_compatible(config, start)
        check_autoencoder(about, start)
        source = start
    shown = record_of(dataset, config.geometry, config.train.max_sample_tokens)
    if source is None:
        vocabulary = () if encoder else learn_vocabulary(dataset.captions(), config.model.vocabulary_size - 2)
        deviation = dataset.deviation() * math.prod(config.geometry.patch_size)
        record: TrainingRecord | None = shown
    else:
        trained = checkpoint.read_description(source)
        vocabulary, deviation = tuple(trained["vocabulary"]), tuple(trained["flow"]["deviation"])
        started_from = trained.get("started_from")
        before = read_record(trained)
        record = before | shown if before else None
    asked = config.model.vocabulary_size
    size = asked if encoder else len(vocabulary) + 2
    notes: tuple[str, ...] = ()
    if (start or started_from) and asked not in (size, DiTConfig().vocabulary_size):
        notes = (f"note: not used: model.vocabulary_size = {asked}; the vocabulary of {source} is kept, of {size}",)
    width = action_width(actions, config.geometry.stride[0]) if actions else 0
    model = replace(config.model, vocabulary_size=size, action_width=width)
    config = replace(config, model=model, flow=replace(config.flow, deviation=deviation))
    return PreparedRun(config, vocabulary, record, started_from, notes, seen, encoder, actions)


def check_compatible(config: DiTRun, start: Path) -> None:
    """Raise UsageError for a start model with other sizes, another path or another prediction than the config."""
    trained = checkpoint.read_description(start)
    has, asked = (bool(width) for width in (trained["config"].get("text_width"), config.model.text_width))
    if has and not asked:
        named = f"--text-encoder {trained['text_encoder']['name']}"
        raise UsageError(f"{start} was trained with a text encoder; leave --preset out, or give {named}")
    if asked and not has:
        raise UsageError(
            f"{start} reads prompts with a vocabulary of its own; leave --text-encoder out, or name a --preset instead "
            "of --from to train a model with this text encoder"
        )
    for part in ("model", "flow"):
        settings = getattr(config, part)
        found = to_dict(from_dict(type(settings), trained["config" if part == "model" else part]))
        for name, value in to_dict(settings).items():
            if name not in ("vocabulary_size", "action_width", "deviation", "shift") and found[name] != value:
                raise UsageError(
                    f"{start} has {name} {found[name]}, the preset {value}; use the preset that it was trained with"
                )


def describe(run: PreparedRun, dataset: LatentDataset, start: Path | None) -> dict[str, Any]:
    """Return the content of model.json: all that is needed to use the weights without the run folder."""
    config = run.config
    adapter = describe_adapter(config, run.started_from, start) if start and config.adapter.rank else {}
    before = run.seen
    if before is None:
        before = tuple(data_behind(checkpoint.read_description(start), run.started_from)) if start else ()
    return {
        "kind": "dit",
        "config": to_dict(config.model),
        "flow": to_dict(config.flow),
        "geometry": to_dict(config.geometry),
        "autoencoder": dataset.about[0]["autoencoder"],
        "vocabulary": list(run.vocabulary),
        **({"text_encoder": to_dict(run.encoder)} if run.encoder else {}),
        **({"actions": to_dict(run.actions)} if run.actions else {}),
        "defaults": to_dict(config.defaults),
        "started_from": run.started_from,
        "trained_on": to_dict(run.record),
        "data": data_of_latents(dataset),
        "data_before": list(before),
        **adapter,
    }


def begin(
    run: PreparedRun, out: Path, start: Path | None, device: torch.device, ranks: Ranks
) -> tuple[PreparedRun, DiT, TrainState]:
    """Make the model and its state before the first step; an adapter needs the weights of its base each time."""
    config = run.config
    model = DiT(config.model).to(device)
    model.recompute = config.train.recompute
    if not config.adapter.rank:
        if start is not None and checkpoint.latest_checkpoint(out) is None:
            checkpoint.load_model(start, model)
            run = replace(run, started_from=fingerprint(model))
        return run, model, TrainState(model, make_optimizers(model, config.train, ranks))
    if start is None:
        raise UsageError("an adapter is trained on the weights of a model; name it, for example --from small")
    checkpoint.load_model(start, model)
    base = fingerprint(model)
    run = replace(run, started_from=base, notes=(*run.notes, *new_words(start, run.record)))
    return run, model, begin_adapter(model, base, config, out)


def encode_captions(
    encoder: EncoderFacts | None,
    config: DiTRun,
    dataset: LatentDataset,
    heldout: Sequence[Path],
    out: Path,
    ranks: Ranks,
    watched: Sequence[str] = (),
    report: Progress = lambda done, total: None,
) -> StateTokenizer | None:
    """Store the states of all captions beside the run folder `out`, each process its share; return what reads them.

    So are those of the prompts `watched` of samples. `report` is called with the number of clips done. Returns None
    without an encoder.
    """
    if encoder is None:
        return None
    tokenizer = StateTokenizer(encoder, config.model.max_text_tokens, out.parent)
    datasets = [dataset, *(LatentDataset([folder]) for folder in heldout)]
    total = sum(map(len, datasets))

    def texts() -> Iterator[str]:
        for done, clip in enumerate(clip for dataset in datasets for clip in dataset.clips):
            report(done, total)
            yield from (prompt.text for prompt in all_prompts(clip.captions))
        yield from (tokenizer.shortened(text, tokenizer.most) for text in watched)

    tokenizer.prepare(texts(), (ranks.rank, ranks.size))
    wait_for_all(ranks)
    tokenizer.release()
    tokenizer.reread()
    return tokenizer


def text_tokenizer(
    run: PreparedRun, dataset: LatentDataset, heldout: Sequence[Path], out: Path, ranks: Ranks
) -> TextTokenizer:
    """Return what reads the captions: the states of a frozen encoder, or a vocabulary."""
    return encode_captions(run.encoder, run.config, dataset, heldout, out, ranks) or Tokenizer(run.vocabulary)


def train_dit(
    config: DiTRun,
    data: Sequence[Path],
    out: Path,
    sampler: Sampler | None = None,
    start: Path | None = None,
    quiet: bool = False,
    stopping: Callable[[], bool] = lambda: False,
    weights: Sequence[float] | None = None,
    heldout: Sequence[Path] = (),
) -> dict[str, Any]:
    """Run or continue a training in the folder `out`; returns the last logged numbers.

    `data` are latents folders, and `weights` their shares of the clips shown. The loss on the latents folders `heldout`
    is logged before the first step and every `train.check_every` steps. `sampler(config, model, tokenizer,
    folder)` draws samples every `train.check_every` steps. `start` is the folder of a trained transformer to start
    from, instead of random weights; an adapter (`adapter.rank` above 0) is trained on it, and needs it when it is
    resumed too. When `stopping()` is true in any process, the state is saved after the step and training ends.
    """
    # setup: folder, data, text, device
    (out / "samples").mkdir(parents=True, exist_ok=True)
    ranks, dataset = join_ranks(), LatentDataset(data, weights)
    run, settings = prepare_run(config, dataset, out, start), to_dict(config)
    config, train, seed = run.config, config.train, config.seed
    tokenizer = text_tokenizer(run, dataset, heldout, out, ranks)
    if ranks.first:
        write_toml(out / "config.toml", config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    # model, optimizers and state
    torch.manual_seed(seed)
    run, model, state = begin(run, out, start, device, ranks)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    description = describe(run, dataset, start)
    notes = [*changes_in_data(out, description["data"]), *state.resume(out)]
    network = torch.compile(model, dynamic=True) if train.compile else model
    losses_of = heldout_losses(config, heldout, tokenizer) if heldout and ranks.first else None
    with (
        stream_batches(config, dataset, tokenizer, state, ranks) as batches,
        TrainingLog(out, "transformer", train.steps, state.step, quiet, writes=ranks.first) as log,
    ):
        for note in (*run.notes, *notes, *caption_notes(dataset, tokenizer, config), *share_notes(dataset)):
            log.say(note)
        log.say(f"{len(dataset)} clips, {sum(p.numel() for p in trained) / 1e6:.2f} M parameters")
        if losses_of and state.step == 0:
            log.write(0, losses_of(state.average))
        stop = False
        while state.step < train.steps and not stop:
            # one step; all random numbers depend on (seed, step)
            started = time.perf_counter()
            factor = learning_rate_factor(train, state.step)
            batch = to_device(next(batches), device)
            # on the CPU for one process, which saves a synchronisation with the GPU
            counter = torch.tensor(batch.num_noised, device=device if ranks.size > 1 else "cpu")
            num_noised = sum_over_ranks(counter, ranks)
            losses = []
            for packed in batch.packs:
                with autocast(device, train.precision):
                    losses.append(flow_loss(network(packed.tokens), packed, num_noised))
                losses[-1].backward()
            # the loss and the request to stop are summed as well, so that all processes decide alike
            shared = torch.stack([torch.stack(losses).detach().sum(), torch.tensor(float(stopping()), device=device)])
            loss, stop_votes = sum_gradients(trained, shared, ranks)
            stop = bool(stop_votes)
            if state.optimizer_step(loss, factor, train.clip_norm, train.precision):
                state.update_average(train.average_decay)
            else:
                log.skip(state.step, float(loss), sorted(set(batch.keys)))
                state.check_skipped()
            state.clips, state.waiting = state.clips + len(batch.keys), batch.waiting
            state.tokens += batch.num_tokens
            state.seconds += time.perf_counter() - started

            # log, sample, save
            log.advance(state.step)
            last = state.step == train.steps
            if state.step % train.log_every == 0 or last:
                speed = {"clips/s": state.clips / state.seconds, "tokens/s": state.tokens / state.seconds}
                state.numbers = {**state.mean_loss(), **speed, "seconds": state.seconds}
                log.write(state.step, state.numbers)
            check = ranks.first and (state.step % train.check_every == 0 or last)
            if check and losses_of:
                log.write(state.step, losses_of(state.average))
            if check and sampler is not None:
                assert isinstance(state.average, DiT)
                sampler(config, state.average, tokenizer, out / "samples" / f"{state.step:07d}")
            if ranks.first and (state.step % train.save_every == 0 or last or stop):
                state.save(out, {**description, "settings": settings})

    leave_ranks()
    training = {
        "run": to_dict(config),
        "seconds": state.seconds,
        "clips": state.clips,
        "tokens": state.tokens,
        **state.numbers,
    }
    if ranks.first and state.step == train.steps:
        state.save_average(out, {**description, "training": training}, torch.float16)
    return state.numbers
