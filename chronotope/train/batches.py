"""Build the batches of the transformer: clips in an endless shuffled order, noised and packed up to a token budget.

All random numbers are functions of (seed, step, place in the batch). Batches can therefore be prepared by other
processes, and an interrupted run continues with the same batches.
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
from chronotope.train.config import CaptionConfig, DiTRun
from chronotope.train.noise_levels import sample_noise_levels
from chronotope.train.order import Mixture, clips_in_order, mixture_of

__all__ = [
    "BatchPlan",
    "TrainingBatch",
    "caption_notes",
    "check_batch_tokens",
    "choose_caption",
    "clip_window",
    "length_notes",
    "make_batch",
    "make_sample",
    "plan_batches",
    "stream_batches",
    "text_notes",
    "to_device",
    "window_sizes",
]


@dataclass(frozen=True)
class BatchPlan:
    """The clips of one step, as indices into the dataset, and the number of visual tokens of each.

    `first` is the number of clips in all earlier batches.
    """

    step: int
    first: int
    clips: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class TrainingBatch:
    """A pack with the residual and the scale of every visual token, [v, p] each.

    The network output times `scale` is trained towards `residual`, the target minus its best linear estimate (see
    `flow.path.balance`); both are 0 for known tokens. `keys` of the clips and `num_tokens` (visual) are those of all
    processes; `num_noised` counts the tokens with loss in this process.
    """

    tokens: PackedTokens
    residual: Tensor
    scale: Tensor
    keys: tuple[str, ...]
    num_tokens: int
    num_noised: int


def choose_caption(
    captions: dict[str, list[str]], config: CaptionConfig, rng: np.random.Generator
) -> tuple[Prompt, ...]:
    """Choose a caption: a level by its share among the levels that the clip has, or no text in a share `dropout`.

    A story becomes one prompt per part.
    """
    if rng.random() < config.dropout or not captions:
        return (Prompt(""),)
    levels = list(captions)
    shares = np.array([_share(config, level) for level in levels]) + 1e-9  # above 0, so that they can be normalised
    level = levels[rng.choice(len(levels), p=shares / shares.sum())]
    text = captions[level][rng.integers(len(captions[level]))]
    try:
        return read_prompts(read_story(text.splitlines())) if level == "story" else (Prompt(text),)
    except UsageError:  # a user's level of that name, which is not divided into parts
        return (Prompt(text),)


def _share(config: CaptionConfig, level: str) -> float:
    """Return the share of a level; a level of the user's own may have any name, that of a setting too."""
    own = {field.name for field in dataclasses.fields(config)} - {"dropout"}
    return float(getattr(config, level)) if level in own else 1.0


def text_notes(texts: Sequence[str], tokenizer: Tokenizer, most: int) -> list[str]:
    """Return sentences on captions of more than `most` tokens, and on characters that are not in the vocabulary."""
    notes: list[str] = []
    long = [text for text in texts if len(text) >= most and len(tokenizer.encode(text, most + 1)) > most]
    if long:
        count = f"{len(long)} caption{' has' if len(long) == 1 else 's have'}"
        kept = len(tokenizer.shortened(long[0], most).split())
        notes.append(
            f"note: {count} more than the {most} tokens that the model reads, so their ends are cut; the first one "
            f"keeps {kept} of {len(long[0].split())} words"
        )
    lost = sum(bool(tokenizer.unknown_characters(text)) for text in texts if not text.isascii())
    if lost:
        notes.append(
            f"note: {lost} captions have characters that are not in the vocabulary, "
            "all of which are one token to the model"
        )
    return notes


def caption_notes(dataset: LatentDataset, tokenizer: Tokenizer, config: DiTRun) -> list[str]:
    """Return sentences on clips and captions longer than the model reads, and on levels whose shares say little."""
    notes = length_notes(dataset, config) + text_notes(
        tuple(dataset.captions()), tokenizer, config.model.max_text_tokens
    )
    own = {field.name for field in dataclasses.fields(config.captions)} - {"dropout"}
    others = sorted({level for clip in dataset.clips for level in clip.captions} - own)
    if others:
        levels = f"level{'' if len(others) == 1 else 's'} {', '.join(others)}"
        notes.append(
            f"note: captions of the {levels} are used with a share of 1; "
            f"[captions] has shares for {', '.join(sorted(own))}"
        )
    off = {level for level in own if getattr(config.captions, level) == 0}
    if alone := sum(bool(clip.captions) and clip.captions.keys() <= off for clip in dataset.clips):
        clips = f"{alone} clip{' has' if alone == 1 else 's have'}"
        notes.append(
            f"note: {clips} captions of levels with a share of 0 alone ({', '.join(sorted(off))}), which are used there"
        )
    return notes


def length_notes(dataset: LatentDataset, config: DiTRun) -> list[str]:
    """Return a sentence on captioned clips of which a step shows only a part, while the caption is of all of it."""
    most = config.train.max_sample_tokens
    shown: list[tuple[int, int]] = []  # slices in all, and of a step
    for clip in dataset.clips:
        rows, columns = config.geometry.token_grid(clip.height, clip.width)
        if any(clip.captions.values()) and len(clip.slices) > (count := _max_slices(most, rows * columns)):
            shown.append((len(clip.slices), count))
    if not shown:
        return []
    slices, count = max(shown)
    return [
        f"note: {len(shown)} of {len(dataset)} clips are longer than train.max_sample_tokens={most}: a step shows a "
        f"random part, of the longest {count} of {slices} slices, while its caption describes all of it; cut them into "
        "shorter clips with captions of their own, or give them stories"
    ]


def _max_slices(max_tokens: int, tokens_per_slice: int) -> int:
    return max(1, max_tokens // tokens_per_slice)


def clip_window(
    dataset: LatentDataset, index: int, geometry: Geometry, max_tokens: int, rng: np.random.Generator
) -> tuple[Tensor, list[Slice], int]:
    """Return the latents and slices of a clip, and the frame where they start.

    Of a clip with more than `max_tokens` visual tokens, a random run of slices is taken; slices count from its start.
    """
    clip = dataset.clips[index]
    latents, slices = dataset.latents(index), geometry.cut(clip.slices)
    rows, columns = geometry.token_grid(clip.height, clip.width)
    count = _max_slices(max_tokens, rows * columns)
    first = int(rng.integers(max(0, len(slices) - count) + 1))
    start = slices[first].start
    window = [Slice(piece.start - start, piece.num_frames) for piece in slices[first : first + count]]
    return latents[first : first + count], window, start


def make_sample(
    config: DiTRun, dataset: LatentDataset, tokenizer: Tokenizer, index: int, step: int, place: int
) -> tuple[Sample, Tensor, Tensor]:
    """Build one noised sample with its residual and scale; random numbers depend on (seed, step, place) only."""
    rng = np.random.default_rng((config.seed, step, place, 4))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    clip, geometry = dataset.clips[index], config.geometry
    latents, slices, start = clip_window(dataset, index, geometry, config.train.max_sample_tokens, rng)
    clean = patchify(latents, geometry.patch_size)
    grid = geometry.token_grid(clip.height, clip.width)
    noise_levels = sample_noise_levels(config.noise_levels, len(slices), grid, generator)
    rows, row = rows_of(noise_levels.level)
    t = noise_levels.level.reshape(-1, 1)
    noise = torch.randn(clean.shape, generator=generator)
    noisy = interpolate(config.flow.path, clean, noise, t)
    scales = balance(config.flow, t)
    target = prediction_target(config.flow.path, config.flow.prediction, clean, noise, t)
    positions = torch.from_numpy(geometry.positions(slices, clip.height, clip.width, clip.fps))
    signals = row_signals(geometry, slices, clip.height, clip.width, clip.fps)[rows[:, 0].long()]
    prompts = choose_caption(clip.captions, config.captions, rng)
    prompts = prompts_between(prompts, start / clip.fps, (start + slices[-1].stop) / clip.fps)
    texts = tuple(
        (prompt.seconds, tuple(tokenizer.encode(prompt.text, config.model.max_text_tokens))) for prompt in prompts
    )
    sample = Sample(scales.scale_in * noisy, positions, row, rows[:, 1], signals, texts, Grid(len(slices), *grid))
    unknown = ~noise_levels.known.reshape(-1, 1)
    return sample, unknown * (target - scales.skip * noisy), unknown * scales.scale_out


def window_sizes(config: DiTRun, dataset: LatentDataset) -> list[int]:
    """Return the number of visual tokens that each clip contributes to a batch."""
    max_tokens = config.train.max_sample_tokens
    grids = [config.geometry.token_grid(clip.height, clip.width) for clip in dataset.clips]
    return [
        min(len(clip.slices), _max_slices(max_tokens, r * c)) * r * c
        for clip, (r, c) in zip(dataset.clips, grids, strict=True)
    ]


def check_batch_tokens(config: DiTRun, dataset: LatentDataset, ranks: Ranks) -> None:
    """Raise UsageError if a batch might hold fewer clips than there are processes."""
    largest = max(window_sizes(config, dataset))
    if ranks.size > 1 and config.train.batch_tokens < ranks.size * largest:
        raise UsageError(
            f"a step of {config.train.batch_tokens} tokens may hold fewer clips than there are processes "
            f"({ranks.size}): clips have up to {largest}; set train.batch_tokens={ranks.size * largest} or more, "
            "or a smaller train.max_sample_tokens"
        )


def plan_batches(
    sizes: Sequence[int], budget: int, seed: int, step: int = 0, first: int = 0, mixture: Mixture | None = None
) -> Iterator[BatchPlan]:
    """Yield plans without end: the next clips in order, at least one, up to the budget of visual tokens.

    `sizes` are the numbers of tokens of all clips of the dataset; with a `mixture`, its datasets have shares.
    """
    order = clips_in_order(len(sizes), seed, first, mixture)
    index = next(order)
    while True:
        clips, room = list[int](), budget
        while not clips or sizes[index] <= room:
            clips.append(index)
            room -= sizes[index]
            index = next(order)
        yield BatchPlan(step, first, tuple(clips), tuple(sizes[index] for index in clips))
        step, first = step + 1, first + len(clips)


def make_batch(
    config: DiTRun, dataset: LatentDataset, tokenizer: Tokenizer, plan: BatchPlan, ranks: Ranks | None = None
) -> TrainingBatch:
    """Build the batch of a plan; with several processes, the share of this one."""
    ranks = ranks or Ranks()
    # clips are dealt in turn from the longest to the shortest, so that all processes have about the same work
    places = sorted(range(len(plan.clips)), key=lambda place: -plan.sizes[place])[ranks.rank :: ranks.size]
    samples = [make_sample(config, dataset, tokenizer, plan.clips[place], plan.step, place) for place in places]
    batch, arranged = pack([sample for sample, _, _ in samples])
    residual = torch.cat([samples[i][1] for i in arranged])
    scale = torch.cat([samples[i][2] for i in arranged])
    keys = tuple(dataset.clips[index].key for index in plan.clips)
    return TrainingBatch(batch, residual, scale, keys, sum(plan.sizes), int((scale[:, 0] > 0).sum()))


@dataclass(frozen=True)
class _PlannedBatches(Dataset[TrainingBatch]):
    """A dataset for DataLoader whose indices are plans and whose items are batches."""

    config: DiTRun
    latents: LatentDataset
    tokenizer: Tokenizer
    ranks: Ranks

    def __getitem__(self, plan: BatchPlan) -> TrainingBatch:
        return make_batch(self.config, self.latents, self.tokenizer, plan, self.ranks)


def stream_batches(
    config: DiTRun, dataset: LatentDataset, tokenizer: Tokenizer, step: int, first: int, ranks: Ranks
) -> Iterator[TrainingBatch]:
    """Return an endless iterator of batches, prepared in `train.workers` processes (0: in this one)."""
    batches, workers = _PlannedBatches(config, dataset, tokenizer, ranks), config.train.workers
    sizes, mixture = window_sizes(config, dataset), mixture_of(dataset)
    plans = plan_batches(sizes, config.train.batch_tokens, config.seed, step, first, mixture)
    if workers == 0:
        return map(batches.__getitem__, plans)
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=plans,
        num_workers=workers,
        prefetch_factor=4,
        collate_fn=_identity,  # type: ignore[arg-type]
        worker_init_fn=_ignore_signals,
    )
    return iter(loader)


def _ignore_signals(worker: int) -> None:
    """Leave Ctrl-C, which a terminal sends to every process, to the training process: it needs batches to its end."""
    del worker
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _identity(batch: Any) -> Any:
    return batch


def to_device(batch: TrainingBatch, device: torch.device) -> TrainingBatch:
    """Copy a batch to a device; the copy to a GPU is asynchronous."""
    if device.type == "cpu":
        return batch

    def copy(value: Tensor) -> Tensor:
        return value.pin_memory().to(device, non_blocking=True)

    moved: dict[str, Any] = {
        name: copy(value) for name, value in vars(batch.tokens).items() if isinstance(value, Tensor)
    }
    return replace(batch, tokens=replace(batch.tokens, **moved), residual=copy(batch.residual), scale=copy(batch.scale))
