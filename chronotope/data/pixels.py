"""Decode clips into a pool of pixel windows in memory, and cut batches of one shape from it to train the autoencoder.

Small clips are kept whole up to a limit of frames; large ones contribute windows (consecutive frames, scaled and
cropped), so a film and ten thousand small clips need the same memory. A batch is a pure function of (pool, seed, step).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from chronotope.config import Count, Range
from chronotope.data.clips import Clip
from chronotope.errors import ChronotopeError, UsageError
from chronotope.geometry import MAX_FRAMES, MAX_SIDE
from chronotope.manifest import LeftOut
from chronotope.media import video

__all__ = ["PixelPool", "PoolConfig", "load_pool"]

# (scale, probability): film is used at several scales, because edges are sharper in small pictures than in large ones
_SCALES = ((1.0, 0.4), (0.5, 0.4), (0.25, 0.2))
WHOLE = 1.5  # clips of so many window sides are small: they are kept whole
Side = Annotated[int, Range(1, MAX_SIDE)]
Shape = tuple[Annotated[int, Range(1, MAX_FRAMES)], Side, Side]


@dataclass(frozen=True)
class PoolConfig:
    """Sizes of the pool, its windows and its batches; `shapes` are (frames, height, width), used equally often."""

    megabytes: Annotated[int, Range(1, 10**7)] = 2000
    window_frames: Annotated[int, Range(1, MAX_FRAMES)] = 12
    window_side: Side = 160
    windows_per_clip: Annotated[int, Range(1, 10**6)] = 3
    batch_pixels: Count = 400_000
    shapes: tuple[Shape, ...] = ((8, 64, 64), (12, 48, 48), (4, 64, 96), (4, 96, 64), (1, 64, 64))

    def __post_init__(self) -> None:
        largest = max((math.prod(shape) for shape in self.shapes), default=0)
        if largest > self.batch_pixels:
            raise UsageError(
                f"pool.batch_pixels = {self.batch_pixels} must hold one window of each of pool.shapes, of which the "
                f"largest has {largest} pixels"
            )
        side = max((max(shape[1:]) for shape in self.shapes), default=0)
        if side > self.window_side * WHOLE:
            raise UsageError(
                f"pool.window_side = {self.window_side}: windows have at most {self.window_side * WHOLE:g} pixels a "
                f"side, and pool.shapes has {side}; make one larger or the other smaller"
            )


@dataclass(frozen=True)
class PixelPool:
    """Windows of uint8 frames [t, h, w, 3] of many sizes, grouped by the dataset they came from.

    `keys` are the keys of the clips that the windows were cut from.
    """

    groups: tuple[tuple[np.ndarray, ...], ...]
    keys: tuple[tuple[str, ...], ...]
    config: PoolConfig

    def batch(self, seed: int, step: int) -> Tensor:
        """Return a batch [b, t, h, w, 3] uint8 of one of the shapes; every dataset contributes an equal share."""
        return torch.from_numpy(np.stack([window for window, _ in self._choose(seed, step)]))

    def clips(self, seed: int, step: int) -> list[str]:
        """Return the keys of the clips in a batch, each once."""
        return sorted({key for _, key in self._choose(seed, step)})

    def _choose(self, seed: int, step: int) -> list[tuple[np.ndarray, str]]:
        """Choose the windows of a batch, each with the key of its clip."""
        rng = np.random.default_rng((seed, step, 1))
        frames, height, width = self.config.shapes[rng.integers(len(self.config.shapes))]
        count = max(1, self.config.batch_pixels // (frames * height * width))
        large_enough = self._large_enough(frames, height, width)
        if not large_enough:
            raise UsageError(_too_small([(frames, height, width)]))
        windows = []
        for i in range(count):
            group = large_enough[i % len(large_enough)]
            window, key = group[rng.integers(len(group))]
            t, y, x = (
                rng.integers(have - want + 1) for have, want in zip(window.shape, (frames, height, width), strict=False)
            )
            windows.append((window[t : t + frames, y : y + height, x : x + width], key))
        return windows

    def _large_enough(self, frames: int, height: int, width: int) -> list[list[tuple[np.ndarray, str]]]:
        """Return the windows that hold a shape, with their keys, by dataset, without the datasets that have none."""
        covering = [
            [(window, key) for window, key in zip(group, keys, strict=True) if _covers(window, frames, height, width)]
            for group, keys in zip(self.groups, self.keys, strict=True)
        ]
        return [group for group in covering if group]

    def check_shapes(self) -> None:
        """Raise UsageError, before any work, where no window holds one of the shapes of the batches."""
        missing = [shape for shape in self.config.shapes if not self._large_enough(*shape)]
        if missing:
            raise UsageError(_too_small(missing))

    def with_covered_shapes(self) -> tuple[PixelPool, str]:
        """Return the pool with only the shapes that its windows hold, and a sentence on those that it lacks, or ""."""
        covered = tuple(shape for shape in self.config.shapes if self._large_enough(*shape))
        if len(covered) == len(self.config.shapes):
            return self, ""
        missing = [shape for shape in self.config.shapes if shape not in covered]
        return replace(self, config=replace(self.config, shapes=covered)), _too_small(missing)


def _too_small(shapes: Sequence[tuple[int, int, int]]) -> str:
    sizes = ", ".join(f"{frames} frames of {width}x{height}" for frames, height, width in shapes)
    return (
        f"no clip is as large as {sizes}; set pool.shapes to smaller sizes, add larger clips, or raise "
        "pool.window_frames and pool.window_side"
    )


def _covers(window: np.ndarray, frames: int, height: int, width: int) -> bool:
    return window.shape[0] >= frames and window.shape[1] >= height and window.shape[2] >= width


def load_pool(
    datasets: Sequence[Sequence[Clip]],
    config: PoolConfig,
    seed: int,
    leave_out: Callable[[LeftOut], None] | None = None,
    remark: Callable[[str, str], None] = lambda *_: None,
) -> PixelPool:
    """Decode clips in random order into memory, about `megabytes` in total, with an equal share for each dataset.

    `leave_out` receives each clip that cannot be read; without it such a clip raises FileProblem. `remark` receives the
    key of a clip and what players show of it and its pixels do not.
    """
    share = config.megabytes * 1_000_000 // len(datasets)
    groups, keys = [], []
    for number, clips in enumerate(datasets):
        order = np.random.default_rng((seed, number, 2)).permutation(len(clips))
        group: list[np.ndarray] = []
        group_keys: list[str] = []
        used = 0
        for index in order:
            if used > share:
                break
            try:
                stream = video.stream(clips[index].path)
                windows = _windows(stream, config, np.random.default_rng((seed, number, int(index), 3)))
            except ChronotopeError as problem:
                if leave_out is None:
                    raise
                leave_out(LeftOut(clips[index].key, str(problem)))
                continue
            for sentence in stream.remarks:
                remark(clips[index].key, sentence)
            group += windows
            group_keys += [clips[index].key] * len(windows)
            used += sum(window.nbytes for window in windows)
        groups.append(tuple(group))
        keys.append(tuple(group_keys))
    return PixelPool(tuple(groups), tuple(keys), config)


def _windows(stream: video.FrameStream, config: PoolConfig, rng: np.random.Generator) -> list[np.ndarray]:
    """Decode a small clip whole, up to the bytes of all windows of a large clip; decode windows of a large clip."""
    max_bytes = config.window_frames * config.window_side**2 * 3 * config.windows_per_clip
    first = next(stream)
    if max(first.shape[:2]) <= config.window_side * WHOLE:
        frames = list(itertools.islice(stream, max(0, max_bytes // first.nbytes - 1)))
        return [np.stack([first, *frames])]
    windows: list[np.ndarray] = []
    for _ in range(config.windows_per_clip):
        frames = [first, *itertools.islice(stream, config.window_frames - 1)]
        if len(frames) == config.window_frames or not windows:
            windows.append(_crop(np.stack(frames), config.window_side, rng))
        skipped = list(itertools.islice(stream, int(rng.integers(8, 32))))
        if not skipped:
            break
        first = skipped[-1]
    return windows


def _crop(frames: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Scale frames by a random factor and crop a random square of at most `side` pixels."""
    scales, chances = zip(*_SCALES, strict=True)
    scale = rng.choice(scales, p=chances)
    height, width = (max(min(side, n), round(n * scale)) for n in frames.shape[1:3])
    if (height, width) != frames.shape[1:3]:
        frames = video.resize(frames, height, width)
    y, x = (int(rng.integers(n - min(side, n) + 1)) for n in (height, width))
    return np.ascontiguousarray(frames[:, y : y + side, x : x + side])
