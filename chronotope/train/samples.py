"""A clip and the random choices of one step -> noised tokens with their target, for all clips of a batch at once.

All random numbers are functions of (seed, step, place in the batch). They are drawn clip by clip; the arithmetic on
them is done on all tokens of the batch together, because a call costs more than the numbers of one small clip.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from chronotope.data.latents import LatentClip, LatentDataset
from chronotope.errors import UsageError
from chronotope.flow.path import balance, interpolate, prediction_target
from chronotope.flow.timesteps import schedule
from chronotope.geometry import Geometry, View
from chronotope.models.costs import SampleSize
from chronotope.models.dit import PackedTokens
from chronotope.models.packing import Sample, action_values, group_rows, pack, row_signals, signals_of
from chronotope.models.patches import patchify
from chronotope.models.refinement import Grid
from chronotope.models.text import TextTokenizer, TextTokens
from chronotope.prompt import Prompt, prompts_between, read_prompts, read_story
from chronotope.train.config import CaptionConfig, DiTRun
from chronotope.train.noise_levels import NoiseLevelChoice, noise_levels, sample_noise_levels

__all__ = ["NoisedSamples", "all_prompts", "choose_caption", "clip_window", "example_pack", "make_samples"]


def choose_caption(
    captions: dict[str, list[str]], config: CaptionConfig, rng: np.random.Generator
) -> tuple[Prompt, ...]:
    """Choose a caption: a level by its share among the levels that the clip has, or no text in a share `dropout`.

    A story becomes one prompt per part.
    """
    if rng.random() < config.dropout or not captions:
        return (Prompt(""),)
    levels = tuple(captions)
    level = levels[bisect.bisect_right(_cumulative_shares(config, levels), rng.random())]
    return _prompts_of(level, captions[level][rng.integers(len(captions[level]))])


def all_prompts(captions: dict[str, list[str]]) -> Iterator[Prompt]:
    """Yield every prompt that `choose_caption` may choose, but the empty one."""
    for level, texts in captions.items():
        for text in texts:
            yield from _prompts_of(level, text)


def _prompts_of(level: str, text: str) -> tuple[Prompt, ...]:
    try:
        return read_prompts(read_story(text.splitlines())) if level == "story" else (Prompt(text),)
    except UsageError:  # a user's level of that name, which is not divided into parts
        return (Prompt(text),)


@lru_cache(maxsize=4096)
def _cumulative_shares(config: CaptionConfig, levels: tuple[str, ...]) -> list[float]:
    """Return the sums of the shares up to each level, of which the last is 1."""
    shares = np.array([_share(config, level) for level in levels]) + 1e-9  # above 0, so that they can be normalised
    sums = np.cumsum(shares / shares.sum())
    return list((sums / sums[-1]).tolist())


def _share(config: CaptionConfig, level: str) -> float:
    """Return the share of a level; a level of the user's own may have any name, that of a setting too."""
    own = {field.name for field in dataclasses.fields(config)} - {"dropout"}
    return float(getattr(config, level)) if level in own else 1.0


def clip_window(clip: LatentClip, most: int, rng: np.random.Generator) -> tuple[slice, int]:
    """Choose which slices of a clip a step shows, and return the frame where they start.

    Of a clip of more than `most` slices, but at least one, a random run of so many is taken.
    """
    count = min(len(clip.slices), max(1, most))
    first = int(rng.integers(len(clip.slices) - count + 1))
    return slice(first, first + count), sum(clip.slices[:first])


@dataclass(frozen=True)
class _Choice:
    """What one step shows of a clip: its slices, their latents, noise levels, noise [v, p], texts, actions [s, a]."""

    view: View
    grid: Grid
    latents: Tensor
    levels: NoiseLevelChoice
    noise: Tensor
    texts: tuple[tuple[float, TextTokens], ...]
    actions: Tensor | None = None

    @property
    def num_tokens(self) -> tuple[int, int]:
        """The number of all tokens and of text tokens, by which `pack` sorts."""
        num_text = sum(len(tokens) for _, tokens in self.texts)
        return len(self.noise) + num_text, num_text


def _choose(
    config: DiTRun, dataset: LatentDataset, tokenizer: TextTokenizer, index: int, step: int, place: int
) -> _Choice:
    """Make all random choices of a clip; they depend on (seed, step, place) only."""
    rng = np.random.default_rng((config.seed, step, place, 4))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    clip, geometry = dataset.clips[index], config.geometry
    rows, columns = geometry.token_grid(clip.height, clip.width)
    window, start = clip_window(clip, config.train.max_sample_tokens // (rows * columns), rng)
    view = View(geometry.cut(clip.slices[window]), clip.height, clip.width, clip.fps)
    latent_rows, latent_columns = geometry.latent_size(clip.height, clip.width)
    # clips are encoded with room for patches of 2 x 2, which a model of other patches may not need
    latents = dataset.stored(index, clip)[window, :, :latent_rows, :latent_columns]
    levels = sample_noise_levels(config.noise_levels, len(view.slices), (rows, columns), generator)
    num_tokens = len(view.slices) * rows * columns
    noise = torch.randn(num_tokens, latents.numel() // num_tokens, generator=generator)
    prompts = choose_caption(clip.captions, config.captions, rng)
    prompts = prompts_between(prompts, start / clip.fps, (start + view.slices[-1].stop) / clip.fps)
    most = config.model.max_text_tokens
    texts = tuple((prompt.seconds, tokenizer.encode(prompt.text, most)) for prompt in prompts)
    actions = _actions(config, dataset, clip, window, start, generator) if config.model.action_width else None
    choice = _Choice(view, Grid(len(view.slices), rows, columns), latents, levels, noise, texts, actions)
    return _doubled(choice, torch.randn(noise.shape, generator=generator)) if levels.causal else choice


def _actions(
    config: DiTRun, dataset: LatentDataset, clip: LatentClip, window: slice, start: int, generator: torch.Generator
) -> Tensor:
    """Return what stands for the actions of the slices in a window; of a share of them none are known."""
    lengths, stride, schema = clip.slices[window], config.geometry.stride[0], dataset.action_schema
    if schema is None or clip.actions is None:  # a clip without actions among others
        return torch.zeros(len(lengths), config.model.action_width)
    end = start + sum(lengths)
    values = np.array(clip.actions.values[start:end]).reshape(end - start, schema.dims)
    found = action_values(schema, stride, lengths, values, np.array(clip.actions.known[start:end]))
    kept = torch.rand(len(lengths), 1, generator=generator) >= config.actions.dropout
    return found * kept


def _doubled(choice: _Choice, noise: Tensor) -> _Choice:
    """Return a sample in the order "teacher": its slices are known, and come again to be denoised.

    Its texts have no times of their own, see `models/causal.py`.
    """
    view, grid = choice.view, choice.grid
    return replace(
        choice,
        view=replace(view, slices=view.slices * 2),
        grid=Grid(2 * grid.slices, grid.rows, grid.columns, order="teacher"),
        latents=torch.cat([choice.latents, choice.latents]),
        noise=torch.cat([noise, choice.noise]),
        texts=tuple((0.0, tokens) for _, tokens in choice.texts),
        actions=None if choice.actions is None else torch.cat([choice.actions, choice.actions]),
    )


@dataclass(frozen=True)
class NoisedSamples:
    """Samples in the order in which `pack` arranges them, with residual and scale of all their visual tokens, [v, p].

    See `TrainingBatch`. `clean` are the same tokens without noise.
    """

    samples: tuple[Sample, ...]
    residual: Tensor
    scale: Tensor
    clean: Tensor


def make_samples(
    config: DiTRun, dataset: LatentDataset, tokenizer: TextTokenizer, places: Iterable[tuple[int, int]], step: int
) -> NoisedSamples:
    """Noise the clips of a batch; `places` are (place in the batch, index in the dataset) of each.

    Raises FileProblem where latents are damaged or not finite.
    """
    places = list(places)
    choices = [_choose(config, dataset, tokenizer, index, step, place) for place, index in places]
    choices.sort(key=lambda choice: choice.num_tokens)
    flow = config.flow
    clean = torch.cat([patchify(choice.latents, config.geometry.patch_size) for choice in choices]).float()
    if not torch.isfinite(clean).all():
        for _, index in places:
            dataset.latents(index)  # raises the error that names the clip
    noise = torch.cat([choice.noise for choice in choices])
    clock = schedule(config.student.steps, flow.shift)[:-1].tolist() if config.student.steps else ()
    levels = noise_levels(config.noise_levels, [choice.levels for choice in choices], clock)
    t, unknown = levels.level[:, None], ~levels.known[:, None]
    noisy = interpolate(flow.path, clean, noise, t)
    scales = balance(flow, t)
    target = prediction_target(flow.path, flow.prediction, clean, noise, t)
    samples = _split(config.geometry, choices, scales.scale_in * noisy, levels.level)
    return NoisedSamples(samples, unknown * (target - scales.skip * noisy), unknown * scales.scale_out, clean)


def _split(geometry: Geometry, choices: Sequence[_Choice], noisy: Tensor, level: Tensor) -> tuple[Sample, ...]:
    """Return the samples of a batch from the noisy tokens [v, p] and the noise level [v] of all of them."""
    views = [choice.view for choice in choices]
    num_tokens = [len(choice.noise) for choice in choices]
    num_slices = np.array([len(view.slices) for view in views])
    slice_tokens = (np.array(num_tokens) // num_slices).repeat(num_slices)
    rows, row = group_rows(torch.from_numpy(np.arange(len(slice_tokens)).repeat(slice_tokens)), level)
    slice_of_row = rows[:, 0].long()
    sample_of_slice = np.arange(len(choices)).repeat(num_slices)
    num_rows = np.bincount(sample_of_slice[slice_of_row.numpy()], minlength=len(choices))
    row = row - torch.from_numpy((num_rows.cumsum() - num_rows).repeat(num_tokens))
    columns = (
        noisy.split(num_tokens),
        torch.from_numpy(geometry.positions_of(views)).split(num_tokens),
        row.split(num_tokens),
        rows[:, 1].split(num_rows.tolist()),
        signals_of(views)[slice_of_row].split(num_rows.tolist()),
        [choice.texts for choice in choices],
        [choice.grid for choice in choices],
        _actions_of_rows(choices, slice_of_row, num_rows),
    )
    return tuple(Sample(*fields) for fields in zip(*columns, strict=True))


def _actions_of_rows(choices: Sequence[_Choice], slice_of_row: Tensor, num_rows: np.ndarray) -> Sequence[Tensor | None]:
    """Return what stands for the actions of the rows of each sample."""
    of_slice = [choice.actions for choice in choices if choice.actions is not None]
    return torch.cat(of_slice)[slice_of_row].split(num_rows.tolist()) if of_slice else [None] * len(choices)


def example_pack(run: DiTRun, size: SampleSize, samples: int) -> PackedTokens:
    """Return a pack of so many samples of the run's own size: noise, with texts and a noise level a slice."""
    geometry, model, defaults = run.geometry, run.model, run.defaults
    slices = geometry.slices(geometry.stride[0] * size.slices)
    rows, columns = geometry.token_grid(defaults.height, defaults.width)
    grid = Grid(size.slices, rows, columns)
    height, width = rows * geometry.cell[0], columns * geometry.cell[1]
    text = torch.zeros(size.text, model.text_width) if model.text_width else [0] * size.text
    sample = Sample(
        torch.randn(size.visual, model.token_size),
        torch.from_numpy(geometry.positions(slices, height, width, defaults.fps)),
        torch.arange(size.slices).repeat_interleave(size.visual // size.slices),
        torch.rand(size.slices),
        row_signals(geometry, slices, height, width, defaults.fps),
        ((0.0, text),),
        grid,
    )
    return pack([sample] * samples)[0]
