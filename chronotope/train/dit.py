"""Train the transformer: packed latents of any size, noised slice by slice, with their captions -> the flow's target."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chronotope import checkpoint
from chronotope.config import save_toml, to_dict
from chronotope.data.latents import LatentDataset, fingerprint
from chronotope.data.packing import Sample, pack, row_signals, rows_of
from chronotope.errors import UsageError
from chronotope.flow.path import FlowConfig, balance, interpolate, prediction_target
from chronotope.generate.canvas import Prompt, prompts_between
from chronotope.generate.settings import Defaults, read_prompts, read_story
from chronotope.geometry import Geometry, Slice
from chronotope.models.dit import DiT, DiTConfig, PackedTokens
from chronotope.models.patches import patchify
from chronotope.models.seams import Grid
from chronotope.models.text import Tokenizer, learn_vocabulary
from chronotope.parallel import Ranks, join_ranks, leave_ranks, share_out, sum_gradients, sum_over_ranks
from chronotope.train.levels import LevelConfig, sample_levels
from chronotope.train.muon import Muon, orthogonalise
from chronotope.train.progress import TrainingLog
from chronotope.train.state import Precision, TrainState, autocast

__all__ = [
    "CaptionConfig",
    "DiTRun",
    "DiTTraining",
    "Sampler",
    "TrainingBatch",
    "check_alike",
    "choose_caption",
    "clip_window",
    "make_batch",
    "make_sample",
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
    """How long, how much a step, how fast."""

    steps: int = 2000
    batch_tokens: int = 4500
    max_sample_tokens: int = 4096
    muon_rate: float = 0.01
    adam_rate: float = 1e-3
    warmup: int = 50
    decay_from: float = 0.3
    clip_norm: float = 1.0
    average_decay: float = 0.997
    compile: bool = False
    precision: Precision = "auto"
    log_every: int = 20
    check_every: int = 500
    save_every: int = 500

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_tokens < 1:
            raise UsageError(f"a training has at least 1 step of at least 1 token, got {self.steps} of {self.batch_tokens}")


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


@dataclass(frozen=True)
class TrainingBatch:
    """A pack, and of each visual token what is left to say (the target less its best linear guess) and the size of what is said.

    Both are 0 for given tokens. Counts are of the whole batch, over all processes; `num_noised` is of tokens that carry loss.
    """

    tokens: PackedTokens
    residual: Tensor
    scale: Tensor
    num_clips: int
    num_tokens: int
    num_noised: int


def choose_caption(captions: dict[str, list[str]], config: CaptionConfig, rng: np.random.Generator) -> tuple[Prompt, ...]:
    """One caption, or none; levels a clip does not have give their share to those it has. A story is several prompts."""
    if rng.random() < config.dropout or not captions:
        return (Prompt(""),)
    levels = list(captions)
    shares = np.array([getattr(config, level, 1.0) for level in levels]) + 1e-9
    level = levels[rng.choice(len(levels), p=shares / shares.sum())]
    text = captions[level][rng.integers(len(captions[level]))]
    try:
        return read_prompts(read_story(text.splitlines())) if level == "story" else (Prompt(text),)
    except UsageError:  # somebody's own level of that name, not told in beats
        return (Prompt(text),)


def clip_window(
    dataset: LatentDataset, index: int, geometry: Geometry, most: int, rng: np.random.Generator
) -> tuple[Tensor, list[Slice], int]:
    """The latents of a clip, its slices and its first frame; a clip of more than `most` tokens gives a random run of its slices."""
    clip = dataset.clips[index]
    latents, slices = dataset.latents(index), geometry.cut(clip.slices)
    rows, columns = geometry.token_grid(clip.height, clip.width)
    keep = max(1, most // (rows * columns))
    first = int(rng.integers(max(0, len(slices) - keep) + 1))
    start = slices[first].start
    window = [Slice(piece.start - start, piece.num_frames) for piece in slices[first : first + keep]]
    return latents[first : first + keep], window, start


def make_sample(
    config: DiTRun, dataset: LatentDataset, tokenizer: Tokenizer, index: int, step: int, place: int
) -> tuple[Sample, Tensor, Tensor]:
    """One noised clip with its residual and scale; a function of (seed, step, place in the batch) alone."""
    rng = np.random.default_rng((config.seed, step, place, 4))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    clip, geometry = dataset.clips[index], config.geometry
    latents, slices, start = clip_window(dataset, index, geometry, config.train.max_sample_tokens, rng)
    clean = patchify(latents, geometry.patch_size)
    grid = geometry.token_grid(clip.height, clip.width)
    levels = sample_levels(config.levels, len(slices), grid, generator)
    rows, row = rows_of(levels.level)
    t = levels.level.reshape(-1, 1)
    noise = torch.randn(clean.shape, generator=generator)
    noisy = interpolate(config.flow.path, clean, noise, t)
    scales = balance(config.flow, t)
    target = prediction_target(config.flow.path, config.flow.prediction, clean, noise, t)
    positions = torch.from_numpy(geometry.positions(slices, clip.height, clip.width, clip.fps))
    signals = row_signals(geometry, slices, clip.height, clip.width, clip.fps)[rows[:, 0].long()]
    prompts = choose_caption(clip.captions, config.captions, rng)
    prompts = prompts_between(prompts, start / clip.fps, (start + slices[-1].stop) / clip.fps)
    texts = tuple((prompt.seconds, tuple(tokenizer.encode(prompt.text)[: config.model.max_text_tokens])) for prompt in prompts)
    sample = Sample(scales.scale_in * noisy, positions, row, rows[:, 1], signals, texts, Grid(len(slices), *grid))
    wanted = ~levels.given.reshape(-1, 1)
    return sample, wanted * (target - scales.skip * noisy), wanted * scales.scale_out


def make_batch(
    config: DiTRun, dataset: LatentDataset, tokenizer: Tokenizer, clips_seen: int, step: int, ranks: Ranks | None = None
) -> TrainingBatch:
    """The next clips of a shuffled, endless order until the token budget is full; with many processes, this one's share of them."""
    parts: list[tuple[Sample, Tensor, Tensor]] = []
    tokens, place = 0, clips_seen
    while True:
        epoch, offset = divmod(place, len(dataset))
        index = int(_epoch_order(len(dataset), config.seed, epoch)[offset])
        part = make_sample(config, dataset, tokenizer, index, step, place - clips_seen)
        if parts and tokens + part[0].num_tokens > config.train.batch_tokens:
            break
        parts.append(part)
        tokens += part[0].num_tokens
        place += 1
    num_noised = sum(int((scale[:, 0] > 0).sum()) for _, _, scale in parts)
    ranks = ranks or Ranks()
    # longest first, dealt in turns, so that every process has about as much to do
    mine = sorted(parts, key=lambda part: -part[0].num_tokens)[ranks.rank :: ranks.size]
    batch, arranged = pack([sample for sample, _, _ in mine])
    residual, scale = torch.cat([mine[i][1] for i in arranged]), torch.cat([mine[i][2] for i in arranged])
    return TrainingBatch(batch, residual, scale, len(parts), tokens, num_noised)


@lru_cache(maxsize=2)
def _epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, 5)).permutation(count)


def to_device(batch: TrainingBatch, device: torch.device) -> TrainingBatch:
    """The same batch on another device."""
    moved: dict[str, Any] = {name: value.to(device) for name, value in vars(batch.tokens).items() if isinstance(value, Tensor)}
    return replace(batch, tokens=replace(batch.tokens, **moved), residual=batch.residual.to(device), scale=batch.scale.to(device))


def flow_loss(output: Tensor, batch: TrainingBatch) -> Tensor:
    """Mean squared error of the prediction over the tokens that were noised."""
    return (batch.scale * output.float() - batch.residual).square().mean(dim=1).sum() / max(1, batch.num_noised)


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
    return Beginning(replace(config, model=model, flow=replace(config.flow, deviation=deviation)), vocabulary, started_from)


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
                raise UsageError(f"{start} has {name} {theirs.get(name)}, the preset {value}; take the preset that it was trained with")


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
    config: DiTRun, data: Sequence[Path], out: Path, sampler: Sampler | None = None, start: Path | None = None, quiet: bool = False
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
    numbers: dict[str, float] = {}
    running: list[Tensor] = []
    with TrainingLog(out, "transformer", train.steps, state.step, quiet, writes=ranks.first) as log:
        log.say(f"{len(dataset)} clips, {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
        while state.step < train.steps:
            # one step: everything random comes from (seed, step)
            started = time.perf_counter()
            factor = learning_rate_factor(train, state.step)
            for optimizer, rates in zip(optimizers, base_rates, strict=True):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * factor
            batch = to_device(make_batch(config, dataset, tokenizer, state.clips, state.step, ranks), device)
            with autocast(device, train.precision):
                output = network(batch.tokens)
            loss = flow_loss(output, batch)
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
                numbers = {"loss": float(sum_over_ranks(torch.stack(running), ranks).mean()), **speed, "seconds": state.seconds}
                running.clear()
                log.write(state.step, numbers)
            if ranks.first and sampler is not None and (state.step % train.check_every == 0 or last):
                assert isinstance(state.average, DiT)
                sampler(config, state.average, out / "samples" / f"{state.step:07d}")
            if ranks.first and (state.step % train.save_every == 0 or last):
                state.save(out, description)

    leave_ranks()
    trained = {"run": to_dict(config), "seconds": state.seconds, "clips": state.clips, "tokens": state.tokens, **numbers}
    if ranks.first:
        checkpoint.save_model(out, state.average, {**description, "training": trained}, torch.float16)
    return numbers
