"""What a training step of the transformer sees: clips in a shuffled, endless order, noised and packed until a token budget is full.

Everything random is a function of (seed, step, place in the batch), so batches can be made ahead, by other processes, and a run
that was interrupted goes on with the very batches it would have had.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from chronotope.data.latents import LatentDataset
from chronotope.errors import UsageError
from chronotope.flow.path import balance, interpolate, prediction_target
from chronotope.geometry import Geometry, Slice
from chronotope.models.dit import PackedTokens
from chronotope.models.packing import Sample, pack, row_signals, rows_of
from chronotope.models.patches import patchify
from chronotope.models.refinement import Grid
from chronotope.models.text import Tokenizer
from chronotope.parallel import Ranks
from chronotope.prompt import Prompt, prompts_between, read_prompts, read_story
from chronotope.train.noise_levels import sample_levels

if TYPE_CHECKING:
    from chronotope.train.dit import CaptionConfig, DiTRun

__all__ = [
    "BatchPlan",
    "TrainingBatch",
    "check_shares",
    "choose_caption",
    "clip_window",
    "make_batch",
    "make_sample",
    "plan_batches",
    "stream_batches",
    "to_device",
    "window_sizes",
]


@dataclass(frozen=True)
class BatchPlan:
    """Which clips the batch of one step has, by their places in the dataset, how many of their tokens are visual, and where they start.

    `first` counts the clips of all batches before this one.
    """

    step: int
    first: int
    clips: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class TrainingBatch:
    """A pack, and of each visual token what is left to say (the target less its best linear guess) and the size of what is said.

    Both are 0 for given tokens. Clips and visual tokens are counted over all processes; `num_noised`, of this process's share, is of
    tokens that carry loss.
    """

    tokens: PackedTokens
    residual: Tensor
    scale: Tensor
    num_clips: int
    num_tokens: int
    num_noised: int


def choose_caption(
    captions: dict[str, list[str]], config: CaptionConfig, rng: np.random.Generator
) -> tuple[Prompt, ...]:
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


def _slices_kept(most: int, tokens_per_slice: int) -> int:
    return max(1, most // tokens_per_slice)


def clip_window(
    dataset: LatentDataset, index: int, geometry: Geometry, most: int, rng: np.random.Generator
) -> tuple[Tensor, list[Slice], int]:
    """The latents of a clip, its slices and its first frame; a clip of more than `most` tokens gives a random run of its slices."""
    clip = dataset.clips[index]
    latents, slices = dataset.latents(index), geometry.cut(clip.slices)
    rows, columns = geometry.token_grid(clip.height, clip.width)
    keep = _slices_kept(most, rows * columns)
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
    texts = tuple(
        (prompt.seconds, tuple(tokenizer.encode(prompt.text)[: config.model.max_text_tokens])) for prompt in prompts
    )
    sample = Sample(scales.scale_in * noisy, positions, row, rows[:, 1], signals, texts, Grid(len(slices), *grid))
    wanted = ~levels.given.reshape(-1, 1)
    return sample, wanted * (target - scales.skip * noisy), wanted * scales.scale_out


@lru_cache(maxsize=2)
def _epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, 5)).permutation(count)


def window_sizes(config: DiTRun, dataset: LatentDataset) -> list[int]:
    """How many visual tokens of each clip a step sees."""
    most = config.train.max_sample_tokens
    grids = [config.geometry.token_grid(clip.height, clip.width) for clip in dataset.clips]
    return [
        min(len(clip.slices), _slices_kept(most, r * c)) * r * c
        for clip, (r, c) in zip(dataset.clips, grids, strict=True)
    ]


def check_shares(config: DiTRun, dataset: LatentDataset, ranks: Ranks) -> None:
    """Refuse, before the first step and in every process alike, steps that could be too few clips for so many processes."""
    largest = max(window_sizes(config, dataset))
    if ranks.size > 1 and config.train.batch_tokens < ranks.size * largest:
        raise UsageError(
            f"a step of {config.train.batch_tokens} tokens may hold fewer clips than there are processes ({ranks.size}): clips have up to "
            f"{largest}; set train.batch_tokens={ranks.size * largest} or more, or a smaller train.max_sample_tokens"
        )


def plan_batches(config: DiTRun, dataset: LatentDataset, step: int = 0, first: int = 0) -> Iterator[BatchPlan]:
    """From this step on, without end: the next clips until their visual tokens fill the budget, at least one."""
    sizes, budget = window_sizes(config, dataset), config.train.batch_tokens
    while True:
        clips: list[int] = []
        room, place = budget, first
        while True:
            epoch, offset = divmod(place, len(dataset))
            index = int(_epoch_order(len(dataset), config.seed, epoch)[offset])
            if clips and sizes[index] > room:
                break
            clips.append(index)
            room -= sizes[index]
            place += 1
        yield BatchPlan(step, first, tuple(clips), tuple(sizes[index] for index in clips))
        step, first = step + 1, place


def make_batch(
    config: DiTRun, dataset: LatentDataset, tokenizer: Tokenizer, plan: BatchPlan, ranks: Ranks | None = None
) -> TrainingBatch:
    """The batch of a plan; with many processes, this one's share of it."""
    ranks = ranks or Ranks()
    # longest first, dealt in turns, so that every process has about as much to do
    places = sorted(range(len(plan.clips)), key=lambda place: -plan.sizes[place])[ranks.rank :: ranks.size]
    mine = [make_sample(config, dataset, tokenizer, plan.clips[place], plan.step, place) for place in places]
    batch, arranged = pack([sample for sample, _, _ in mine])
    residual, scale = torch.cat([mine[i][1] for i in arranged]), torch.cat([mine[i][2] for i in arranged])
    return TrainingBatch(batch, residual, scale, len(plan.clips), sum(plan.sizes), int((scale[:, 0] > 0).sum()))


@dataclass(frozen=True)
class _Maker(Dataset[TrainingBatch]):
    """`make_batch` as what a loader calls."""

    config: DiTRun
    latents: LatentDataset
    tokenizer: Tokenizer
    ranks: Ranks

    def __getitem__(self, plan: BatchPlan) -> TrainingBatch:
        return make_batch(self.config, self.latents, self.tokenizer, plan, self.ranks)


def stream_batches(
    config: DiTRun, dataset: LatentDataset, tokenizer: Tokenizer, step: int, first: int, ranks: Ranks
) -> Iterator[TrainingBatch]:
    """Batches from this step and clip on, without end; `train.workers` processes make them ahead, or none, with the same result."""
    maker, workers = _Maker(config, dataset, tokenizer, ranks), config.train.workers
    plans = plan_batches(config, dataset, step, first)
    if workers == 0:
        return map(maker.__getitem__, plans)
    loader = DataLoader(
        maker,
        batch_size=None,
        sampler=plans,
        num_workers=workers,
        prefetch_factor=4,
        collate_fn=_as_it_is,  # type: ignore[arg-type]
    )
    return iter(loader)


def _as_it_is(batch: Any) -> Any:
    return batch


def to_device(batch: TrainingBatch, device: torch.device) -> TrainingBatch:
    """The same batch on another device; to a GPU it is sent while that works on."""
    if device.type == "cpu":
        return batch

    def sent(value: Tensor) -> Tensor:
        return value.pin_memory().to(device, non_blocking=True)

    moved: dict[str, Any] = {
        name: sent(value) for name, value in vars(batch.tokens).items() if isinstance(value, Tensor)
    }
    return replace(batch, tokens=replace(batch.tokens, **moved), residual=sent(batch.residual), scale=sent(batch.scale))
