"""Train the diffusion transformer on packed latents of any size, noised slice by slice, with their captions."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chronotope import checkpoint
from chronotope.actions import ActionSchema
from chronotope.caption.encoder.frozen import EncoderFacts
from chronotope.caption.encoder.tokenizer import StateTokenizer, facts_for_run
from chronotope.caption.subwords import Tokenizer, learn_vocabulary
from chronotope.caption.vocabulary import compile_similar
from chronotope.caption.words.wordnet import HOW_TO_INSTALL
from chronotope.config import from_dict, to_dict
from chronotope.data.latents import LatentDataset, fingerprint
from chronotope.data.record import (
    TrainingRecord,
    changes_in_data,
    changes_in_heldout,
    data_behind,
    data_of_latents,
    read_record,
    record_of,
    resumed_data,
)
from chronotope.errors import UsageError
from chronotope.models.costs import GPUS
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.packing import action_width
from chronotope.models.precision import Precision, autocast, used_precision
from chronotope.models.text import TextTokenizer
from chronotope.parallel import (
    Ranks,
    from_first,
    join_ranks,
    leave_ranks,
    parallelise,
    sum_over_ranks,
    wait_for_all,
)
from chronotope.progress import Progress
from chronotope.simulate.map.scrolling import find_scrolling, rows_of_text
from chronotope.train.adapter import begin_adapter, describe_adapter, new_words
from chronotope.train.batches import TrainingBatch, caption_notes, stream_batches, to_device
from chronotope.train.config import DiTRun
from chronotope.train.fit import (
    check_actions,
    check_actions_of_folders,
    check_autoencoder,
    check_latents,
    check_processes,
    check_text_encoder,
)
from chronotope.train.log import TrainingLog, write_toml
from chronotope.train.loss import flow_loss, heldout_losses, load_teacher
from chronotope.train.optimizers import learning_rate_factor, make_optimizers
from chronotope.train.order import share_notes
from chronotope.train.same_run import check_same_run
from chronotope.train.samples import all_prompts
from chronotope.train.state import TrainState

__all__ = ["Sampler", "check_compatible", "encode_captions", "train_dit"]

MOST_MEASURED = 64  # clips on which it is measured which latents scroll

Sampler = Callable[[DiTRun, DiT, TextTokenizer, Path], None]  # draws samples into a folder


@dataclass(frozen=True)
class PreparedRun:
    """A run whose config fits its data, its vocabulary, the fingerprint of the weights that it starts from, notes.

    `encoder` is the frozen text encoder that takes the place of the vocabulary; None without one. `record` describes
    the training data of this run and of all runs before it; None if an earlier run left no record. `seen` names the
    data that a run which goes on has seen beside its own; None of a new run. `similar_words` are other words for those
    of captions, which prompts may use; None for a model that needs none. `actions` is what the actions of the clips
    mean; None of a model without actions. `scrolling` says which latents move with the view of a world that is played.
    """

    config: DiTRun
    vocabulary: tuple[str, ...]
    record: TrainingRecord | None
    started_from: str | None = None
    notes: tuple[str, ...] = ()
    seen: tuple[dict[str, Any], ...] | None = None
    encoder: EncoderFacts | None = None
    similar_words: dict[str, str] | None = None
    actions: ActionSchema | None = None
    scrolling: tuple[str, ...] = ()


def prepare_run(config: DiTRun, dataset: LatentDataset, out: Path, start: Path | None) -> PreparedRun:
    """Take vocabulary and deviations from the checkpoint or start model, or measure them on the dataset.

    Raises UsageError where the latents, the config, the checkpoint and the start model do not fit together.
    """
    about = dataset.about[0]
    check_latents(config, about["channels"], about["stride"])
    check_same_run(out, config)
    source, started_from, seen = checkpoint.latest_checkpoint(out), None, None
    encoder = _encoder_of(config, out, start)
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
        if config.student.steps and config.flow.shift != trained["flow"]["shift"]:
            raise UsageError(
                f"a student goes in the steps of its teacher's clock: {source} has flow.shift "
                f"{trained['flow']['shift']:g}, got {config.flow.shift:g}"
            )
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
    if config.student.steps:  # guidance is in its weights
        config = replace(config, defaults=replace(config.defaults, num_steps=config.student.steps, guidance_scale=1.0))
    if not actions and any(about.get("actions") for about in dataset.about):
        without = "the clips have actions, and this model does not learn them"
        notes = (*notes, f"note: {without}; to play it, train with a preset that has actions, such as --preset world")
    similar, said = (None, "") if encoder else _similar_words(record, source)
    notes = (*notes, said) if said else notes
    scrolling = scrolling_of(config, dataset) if actions else ()
    if scrolling is None:
        scrolling = tuple(checkpoint.read_description(source).get("scrolling", ())) if source else ()
        whose = "those of the start model are kept" if scrolling else "sessions will have no map of places"
        notes = (
            *notes,
            f"note: no clip has the size that is played, so no scrolling latents are known; {whose}",
        )
    elif scrolling:
        count, total = ("".join(scrolling).count("1"), len("".join(scrolling)))
        notes = (*notes, f"{count} of {total} latents of a slice move with the view; sessions remember what they show")
    return PreparedRun(config, vocabulary, record, started_from, notes, seen, encoder, similar, actions, scrolling)


def _similar_words(record: TrainingRecord | None, source: Path | None) -> tuple[dict[str, str] | None, str]:
    """Return other words for those of the user's own captions, by WordNet or by the model in `source`, and a note."""
    if record is None or record.only_worlds:
        return None, ""
    similar = compile_similar(record.words)
    if similar is not None:
        return similar, f"prompts: {len(similar)} words of English stand for words of these captions, by WordNet"
    before = checkpoint.read_description(source).get("similar_words", {}) if source else {}
    said = "of prompts only other forms of the captions' words, known nouns and colours, and typing errors will be read"
    return before, f"note: WordNet is not installed, so {said}; {HOW_TO_INSTALL}, and run the training again"


def scrolling_of(config: DiTRun, dataset: LatentDataset) -> tuple[str, ...] | None:
    """Measure which latents move with the view, on clips of the size that is played; None without such clips."""
    height, width = config.defaults.height, config.defaults.width
    alike = [i for i, clip in enumerate(dataset.clips) if (clip.height, clip.width) == (height, width)]
    chosen = [index for index in alike[:: -(-len(alike) // MOST_MEASURED) or 1] if len(dataset.clips[index].slices) > 1]
    if not chosen:
        return None
    rows, columns = config.geometry.latent_size(height, width)
    scale = torch.tensor(config.flow.deviation[: config.model.channels])[:, None, None]
    clips = (dataset.latents(index)[..., :rows, :columns].float() / scale for index in chosen)
    scrolling = find_scrolling(clips, max(1, config.model.reach))
    return tuple(rows_of_text(scrolling)) if scrolling.any() else ()


def _encoder_of(config: DiTRun, out: Path, start: Path | None) -> EncoderFacts | None:
    return (
        facts_for_run(config.text_encoder, out.parent, start.parent if start else None) if config.text_encoder else None
    )


def check_compatible(config: DiTRun, start: Path) -> None:
    """Raise UsageError for a start model with other sizes, another path or another prediction than the config."""
    trained = checkpoint.read_description(start)
    if "student" in trained:
        raise UsageError(
            f"{start} is a student of few steps, with guidance in its weights, which a training would not keep; start "
            f"from its teacher, {trained.get('started_from')}, and train a student of that again"
        )
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
        **({"scrolling": list(run.scrolling)} if run.scrolling else {}),
        "defaults": to_dict(config.defaults),
        "started_from": run.started_from,
        "trained_on": to_dict(run.record),
        **({} if run.similar_words is None else {"similar_words": run.similar_words}),
        "data": data_of_latents(dataset),
        "data_before": list(before),
        **({"student": to_dict(config.student)} if config.student.steps else {}),
        **adapter,
    }


def begin(
    run: PreparedRun, out: Path, start: Path | None, device: torch.device, ranks: Ranks
) -> tuple[PreparedRun, DiT, TrainState]:
    """Make the model and its state before the first step; an adapter needs the weights of its base each time.

    Several processes each hold a share of the model (`parallel.shard`).
    """
    config, train = run.config, run.config.train
    model = DiT(config.model) if ranks.size > 1 else DiT(config.model).to(device)
    model.recompute = train.recompute
    half = used_precision(train.precision, device) == "bf16"

    def divide(network: nn.Module) -> None:
        assert isinstance(network, DiT)
        blocks = [*network.text.blocks, *network.blocks]
        parallelise(network, blocks, ranks, half, compile=train.compile and network is model)

    if not config.adapter.rank:
        if start is not None and checkpoint.latest_checkpoint(out) is None:
            checkpoint.load_model(start, model)
            run = replace(run, started_from=fingerprint(model))
        average = copy.deepcopy(model)
        for network in (model, average):
            divide(network)
        return run, model, TrainState(model, make_optimizers(model, train), ranks=ranks, copied=average)
    if start is None:
        raise UsageError("an adapter is trained on the weights of a model; name it, for example --from small")
    checkpoint.load_model(start, model)
    fingerprint_of_base = fingerprint(model)
    run = replace(run, started_from=fingerprint_of_base, notes=(*run.notes, *new_words(start, run.record)))
    return run, model, begin_adapter(model, fingerprint_of_base, config, out, ranks, divide)


def encode_captions(
    encoder: EncoderFacts | None,
    config: DiTRun,
    dataset: LatentDataset,
    heldout: Sequence[Path],
    out: Path,
    ranks: Ranks,
    watched: Sequence[str] = (),
    start: Path | None = None,
    report: Progress = lambda done, total: None,
) -> StateTokenizer | None:
    """Store the states of all captions beside the run folder `out`, each process its share; return what reads them.

    So are those of the prompts `watched` of samples. `start` is the folder of the transformer that is trained on, where
    a copy of the encoder may be. `report` is called with the number of clips done. Returns None without an encoder.
    """
    if encoder is None:
        return None
    tokenizer = StateTokenizer(encoder, config.model.max_text_tokens, out.parent, start.parent if start else None)
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
    run: PreparedRun, dataset: LatentDataset, heldout: Sequence[Path], out: Path, ranks: Ranks, start: Path | None
) -> TextTokenizer:
    """Return what reads the captions: the states of a frozen encoder, or a vocabulary."""
    states = encode_captions(run.encoder, run.config, dataset, heldout, out, ranks, start=start)
    return states or Tokenizer(run.vocabulary)


def compute_gradients(
    model: nn.Module, batch: TrainingBatch, precision: Precision, stopping: bool, ranks: Ranks
) -> tuple[Tensor, float, bool]:
    """Add the gradients of all packs of a step; return its loss, its FLOPs, and whether a process is `stopping`.

    The loss is the mean over the noised tokens of all packs of all processes, however they are divided.
    """
    device = batch.packs[0].residual.device
    counts = torch.tensor([batch.num_noised, batch.flops, stopping], dtype=torch.float64)
    if ranks.size > 1:  # one process needs no device for it, which saves a synchronisation with the GPU
        counts = sum_over_ranks(counts.to(device), ranks)
    num_noised, (flops, votes) = counts[0].long(), counts[1:].tolist()
    losses = []
    for packed in batch.packs:
        with autocast(device, precision):
            losses.append(flow_loss(model(packed.tokens), packed, num_noised))
        losses[-1].backward()  # type: ignore[no-untyped-call]
    return sum_over_ranks(torch.stack(losses).detach().sum(), ranks), flops, bool(votes)


def speed_and_norms(state: TrainState, device: torch.device) -> dict[str, float]:
    """Return the norms of the last step, and what the run computes a second: of known GPUs as a share of their peak.

    The FLOPs are those that the model needs, three forward passes a step, without what is recomputed.
    """
    numbers = {
        "gradient_norm": state.gradient_norm,
        "update_norm": state.update_norm,
        "clips/s": state.clips / state.seconds,
        "tokens/s": state.tokens / state.seconds,
        "tflop/s": state.flops / state.seconds / 1e12,
    }
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    if gpu := next((gpu for key, gpu in GPUS.items() if key in name), None):
        numbers["mfu"] = state.flops / state.seconds / (state.ranks.size * gpu.flops)
    return {**numbers, "seconds": state.seconds}


def show_average(
    state: TrainState,
    out: Path,
    description: Mapping[str, Any],
    sampler: Callable[[DiT, Path], None],
) -> None:
    """Draw samples with the averaged weights; several processes write these weights into the folder `out` instead.

    They would wait for the one that draws. Any program may sample from what they wrote, on another device.
    """
    if state.ranks.size > 1:
        state.save_average(out, description, torch.float16)
        return
    assert isinstance(state.average, DiT)
    sampler(state.average, out / "samples" / f"{state.step:07d}")


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
    folder)` draws samples every `train.check_every` steps; several processes write the averaged weights then, and draw
    none. `start` is the folder of a trained transformer to start
    from, instead of random weights; an adapter (`adapter.rank` above 0) is trained on it, and needs it when it is
    resumed too. When `stopping()` is true in any process, the state is saved after the step and training ends.
    """
    # setup: folder, data, text, device
    (out / "samples").mkdir(parents=True, exist_ok=True)
    ranks, dataset = join_ranks(), LatentDataset(data, weights)
    settings, tried = to_dict(config), data_of_latents(LatentDataset(heldout)) if heldout else []
    check_processes(ranks, {"settings": settings, "data": data_of_latents(dataset), "held-out data": tried})
    run = from_first(ranks, lambda: prepare_run(config, dataset, out, start))
    config, train, seed = run.config, config.train, config.seed
    tokenizer = text_tokenizer(run, dataset, heldout, out, ranks, start)
    if ranks.first:
        write_toml(out / "config.toml", config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    # model, optimizers and state
    torch.manual_seed(seed)
    run, model, state = begin(run, out, start, device, ranks)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    description = {**describe(run, dataset, start), "heldout": tried}
    notes = [*changes_in_data(out, description["data"]), *changes_in_heldout(out, tried), *state.resume(out)]
    notes += check_actions_of_folders(run.actions, (*data, *heldout))
    teacher = load_teacher(config, start, device)
    lesson = teacher.pack if teacher else lambda packed: packed
    losses_of = heldout_losses(config, heldout, tokenizer, ranks, lesson) if heldout else None

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
            batch = teacher.batch(batch) if teacher else batch
            loss, flops, stop = compute_gradients(model, batch, train.precision, stopping(), ranks)
            logged = (state.step + 1) % train.log_every == 0 or state.step + 1 == train.steps
            if state.optimizer_step(loss, factor, train.clip_norm, train.precision, train.spike_factor, logged):
                state.update_average(train.average_decay)
            else:
                log.skip(state.step, float(loss), sorted(set(batch.keys)), state.gradient_norm)
                state.check_skipped()
            state.clips, state.waiting = state.clips + len(batch.keys), batch.waiting
            state.tokens, state.flops = state.tokens + batch.num_tokens, state.flops + flops
            state.seconds += time.perf_counter() - started

            # log, sample, save
            log.advance(state.step)
            last = state.step == train.steps
            if logged:
                state.numbers = {**state.mean_loss(), **speed_and_norms(state, device)}
                log.write(state.step, state.numbers)
            if state.step % train.check_every == 0 or last:
                if losses_of:
                    log.write(state.step, losses_of(state.average))
                if sampler is not None:
                    show_average(state, out, description, lambda model, to: sampler(config, model, tokenizer, to))
            if state.step % train.save_every == 0 or last or stop:
                state.save(out, {**description, "settings": settings})

    training = {
        "run": to_dict(config),
        "seconds": state.seconds,
        "clips": state.clips,
        "tokens": state.tokens,
        **state.numbers,
    }
    if state.step == train.steps:
        state.save_average(out, {**description, "training": training}, torch.float16)
    leave_ranks()
    return state.numbers
