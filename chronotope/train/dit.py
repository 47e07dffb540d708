"""Train the transformer: packed latents of any size, noised slice by slice, with their captions -> the flow's target."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chronotope import checkpoint
from chronotope.config import save_toml, to_dict
from chronotope.data.latents import LatentDataset, fingerprint
from chronotope.errors import UsageError
from chronotope.flow.path import FlowConfig
from chronotope.geometry import Geometry
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.text import Tokenizer, learn_vocabulary
from chronotope.parallel import Ranks, join_ranks, leave_ranks, share_out, sum_gradients, sum_over_ranks
from chronotope.request import Defaults
from chronotope.train.batches import TrainingBatch, check_shares, stream_batches, to_device
from chronotope.train.muon import Muon, orthogonalise
from chronotope.train.noise_levels import LevelConfig
from chronotope.train.progress import TrainingLog
from chronotope.train.state import Precision, TrainState, autocast, set_rates

__all__ = [
    "CaptionConfig",
    "DiTRun",
    "DiTTraining",
    "Sampler",
    "check_alike",
    "train_dit",
]


@dataclass(frozen=True)
class CaptionConfig:
    """How often each level of detail is shown, and how often no words at all."""

    tags: float = 0.25
    sentence: float = 0.6
    paragraph: float = 0.15
    story: float = 0.6
    dropout: float = 0.1


@dataclass(frozen=True)
class DiTTraining:
    """How long, how much a step, how fast; a step has as many clips as fit `batch_tokens` visual tokens.

    `workers` processes make batches ahead, which a GPU needs (a core makes 500 to 1,000 small clips a second); the result is the same.
    """

    steps: int = 2000
    batch_tokens: int = 3800
    max_sample_tokens: int = 4096
    muon_rate: float = 0.01
    adam_rate: float = 1e-3
    warmup: int = 50
    decay_from: float = 0.3
    clip_norm: float = 1.0
    average_decay: float = 0.997
    compile: bool = False
    workers: int = 0
    precision: Precision = "auto"
    log_every: int = 20
    check_every: int = 500
    save_every: int = 500

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_tokens < 1:
            raise UsageError(
                f"a training has at least 1 step of at least 1 token, got {self.steps} of {self.batch_tokens}"
            )


@dataclass(frozen=True)
class DiTRun:
    """Everything that decides the result of a run."""

    seed: int = 0
    geometry: Geometry = field(default_factory=Geometry)
    model: DiTConfig = field(default_factory=DiTConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    levels: LevelConfig = field(default_factory=LevelConfig)
    captions: CaptionConfig = field(default_factory=CaptionConfig)
    train: DiTTraining = field(default_factory=DiTTraining)
    defaults: Defaults = field(default_factory=Defaults)


def flow_loss(output: Tensor, batch: TrainingBatch, num_noised: Tensor) -> Tensor:
    """Squared error of the prediction, its mean over the tokens that were noised, in all processes."""
    return (batch.scale * output.float() - batch.residual).square().mean(dim=1).sum() / num_noised.clamp(min=1)


def make_optimizers(model: DiT, train: DiTTraining, ranks: Ranks | None = None) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the matrices inside blocks, AdamW for everything else."""
    splits: dict[int, list[Tensor]] = {1: [], 2: [], 3: []}
    rest = []
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and ".blocks." in f".{name}":
            splits[3 if "qkv" in name else 2 if "up." in name else 1].append(parameter)
        else:
            rest.append(parameter)
    groups = [{"params": group, "split": split} for split, group in splits.items()]
    muon = Muon(groups, lr=train.muon_rate, make_orthogonal=share_out(orthogonalise, ranks or Ranks()))
    adam = torch.optim.AdamW(rest, lr=train.adam_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    return muon, adam


def learning_rate_factor(train: DiTTraining, step: int) -> float:
    """Linear warm-up, a plateau, then linear decay from `decay_from` of the way to almost nothing at the end."""
    if step < train.warmup:
        return (step + 1) / train.warmup
    return min(1.0, (1 - step / train.steps) / (1 - train.decay_from)) + 1e-3


@dataclass(frozen=True)
class Beginning:
    """What a run stands on: its config with the sizes and deviations that fit, its words, and the weights it starts from, by name."""

    config: DiTRun
    vocabulary: tuple[str, ...]
    started_from: str | None = None


def begin(config: DiTRun, dataset: LatentDataset, out: Path, start: Path | None) -> Beginning:
    """Words and deviations: measured when a run begins, and from then on, or when it starts from a trained model, those of the weights."""
    about = dataset.about[0]
    if (about["channels"], tuple(about["stride"])) != (config.model.channels, config.geometry.stride):  # type: ignore[arg-type]
        raise UsageError(
            f"the latents have {about['channels']} channels at stride {about['stride']}, the preset expects "
            f"{config.model.channels} at {list(config.geometry.stride)}"
        )
    source, started_from = checkpoint.latest_checkpoint(out), None
    if source is None and start is not None:
        _check_start(config, about, start)
        source = start
    if source is None:
        vocabulary = learn_vocabulary(dataset.captions(), config.model.vocabulary_size - 2)
        deviation = dataset.deviation() * math.prod(config.geometry.patch_size)
    else:
        trained = checkpoint.load_json(source / "model.json")
        vocabulary, deviation = tuple(trained["vocabulary"]), tuple(trained["flow"]["deviation"])
        started_from = trained.get("started_from")
    model = replace(config.model, vocabulary_size=len(vocabulary) + 2)
    return Beginning(
        replace(config, model=model, flow=replace(config.flow, deviation=deviation)), vocabulary, started_from
    )


def _check_start(config: DiTRun, about: dict[str, Any], start: Path) -> None:
    """Refuse to start from a model that speaks of other latents."""
    check_alike(config, start)
    trained = checkpoint.load_json(start / "model.json")
    if trained["autoencoder"] != about["autoencoder"]:
        raise UsageError(
            f"{start} was trained on latents of autoencoder {trained['autoencoder']}, these are of {about['autoencoder']}; "
            "encode the clips with its autoencoder"
        )


def check_alike(config: DiTRun, start: Path) -> None:
    """Refuse to start from a model that predicts something else or has other sizes."""
    trained = checkpoint.load_json(start / "model.json")
    for part in ("model", "flow"):
        theirs = trained["config" if part == "model" else part]
        for name, value in to_dict(getattr(config, part)).items():
            if name not in ("vocabulary_size", "deviation", "shift") and theirs.get(name) != value:
                raise UsageError(
                    f"{start} has {name} {theirs.get(name)}, the preset {value}; take the preset that it was trained with"
                )


def describe(run: Beginning, dataset: LatentDataset) -> dict[str, Any]:
    """What stands beside the weights in model.json, so that they can be used without the run."""
    config = run.config
    return {
        "kind": "dit",
        "config": to_dict(config.model),
        "flow": to_dict(config.flow),
        "geometry": to_dict(config.geometry),
        "autoencoder": dataset.about[0]["autoencoder"],
        "vocabulary": list(run.vocabulary),
        "defaults": to_dict(config.defaults),
        "started_from": run.started_from,
    }


Sampler = Callable[[DiTRun, DiT, Path], None]


def train_dit(
    config: DiTRun,
    data: Sequence[Path],
    out: Path,
    sampler: Sampler | None = None,
    start: Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Run, or continue, a training in the folder `out`; `sampler(config, model, folder)` draws samples now and then.

    `start` is the folder of a trained transformer to begin with, instead of random weights.
    """
    # setup: folder, device, data, words
    (out / "samples").mkdir(parents=True, exist_ok=True)
    ranks, dataset = join_ranks(), LatentDataset(data)
    run = begin(config, dataset, out, start)
    config, train, seed, tokenizer = run.config, config.train, config.seed, Tokenizer(run.vocabulary)
    if ranks.first:
        save_toml(config, out / "config.toml")
        checkpoint.save_json(list(run.vocabulary), out / "vocabulary.json")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    # the whole state
    torch.manual_seed(seed)
    model = DiT(config.model).to(device)
    if start is not None and checkpoint.latest_checkpoint(out) is None:
        checkpoint.load_model(start, model)
        run = replace(run, started_from=fingerprint(model))
    optimizers = make_optimizers(model, train, ranks)
    base_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    state = TrainState(model, optimizers)
    state.resume(out)
    network = torch.compile(model, dynamic=True) if train.compile else model
    description = describe(run, dataset)
    check_shares(config, dataset, ranks)
    batches = stream_batches(config, dataset, tokenizer, state.step, state.clips, ranks)
    numbers: dict[str, float] = {}
    running: list[Tensor] = []
    with TrainingLog(out, "transformer", train.steps, state.step, quiet, writes=ranks.first) as log:
        log.say(f"{len(dataset)} clips, {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
        while state.step < train.steps:
            # one step: everything random comes from (seed, step)
            started = time.perf_counter()
            factor = learning_rate_factor(train, state.step)
            set_rates(optimizers, base_rates, factor)
            batch = to_device(next(batches), device)
            noised = sum_over_ranks(torch.tensor(batch.num_noised, device=device if ranks.size > 1 else "cpu"), ranks)
            with autocast(device, train.precision):
                output = network(batch.tokens)
            loss = flow_loss(output, batch, noised)
            loss.backward()
            sum_gradients(model.parameters(), ranks)
            torch.nn.utils.clip_grad_norm_(model.parameters(), train.clip_norm)
            for optimizer in optimizers:
                with autocast(device, train.precision):
                    optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            state.step += 1
            state.clips += batch.num_clips
            state.tokens += batch.num_tokens
            state.update_average(train.average_decay)
            running.append(loss.detach())
            state.seconds += time.perf_counter() - started

            # say, sample, keep
            log.advance(state.step)
            last = state.step == train.steps
            if state.step % train.log_every == 0 or last:
                speed = {"clips/s": state.clips / state.seconds, "tokens/s": state.tokens / state.seconds}
                numbers = {
                    "loss": float(sum_over_ranks(torch.stack(running), ranks).mean()),
                    **speed,
                    "seconds": state.seconds,
                }
                running.clear()
                log.write(state.step, numbers)
            if ranks.first and sampler is not None and (state.step % train.check_every == 0 or last):
                assert isinstance(state.average, DiT)
                sampler(config, state.average, out / "samples" / f"{state.step:07d}")
            if ranks.first and (state.step % train.save_every == 0 or last):
                state.save(out, description)

    leave_ranks()
    trained = {
        "run": to_dict(config),
        "seconds": state.seconds,
        "clips": state.clips,
        "tokens": state.tokens,
        **numbers,
    }
    if ranks.first:
        checkpoint.save_model(out, state.average, {**description, "training": trained}, torch.float16)
    return numbers
