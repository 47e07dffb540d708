"""A pool of pixel windows for training the autoencoder: any clips in, same-shaped batches out.

The pool keeps short clips whole and takes windows (a run of frames, scaled and cropped) from long or large ones, so a
film and ten thousand little clips fit the same memory. A batch is a pure function of (pool, seed, step).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from chronotope.data.clips import Clip
from chronotope.errors import UsageError
from chronotope.media import video

__all__ = ["PixelPool", "PoolConfig", "load_pool"]

# (scale, chance): film is seen at several scales, because small pictures have harder edges than large ones
_SCALES = ((1.0, 0.4), (0.5, 0.4), (0.25, 0.2))


@dataclass(frozen=True)
class PoolConfig:
    """What the pool holds; `shapes` are the (frames, height, width) of batches, drawn evenly."""

    megabytes: int = 2000
    window_frames: int = 12
    window_side: int = 160
    windows_per_clip: int = 3
    batch_pixels: int = 400_000
    shapes: tuple[tuple[int, int, int], ...] = ((8, 64, 64), (12, 48, 48), (4, 64, 96), (4, 96, 64), (1, 64, 64))


@dataclass(frozen=True)
class PixelPool:
    """Windows of uint8 frames [t, h, w, 3] of many sizes, grouped by the dataset they came from."""

    groups: tuple[tuple[np.ndarray, ...], ...]
    config: PoolConfig

    def batch(self, seed: int, step: int) -> Tensor:
        """A batch [b, t, h, w, 3] uint8 of one of the shapes; datasets take turns in equal shares."""
        rng = np.random.default_rng((seed, step, 1))
        frames, height, width = self.config.shapes[rng.integers(len(self.config.shapes))]
        count = max(1, self.config.batch_pixels // (frames * height * width))
        fitting = [[w for w in group if _fits(w, frames, height, width)] for group in self.groups]
        fitting = [group for group in fitting if group]
        if not fitting:
            raise UsageError(
                f"no clip is as large as {frames} frames of {width}x{height}; give pool.shapes that fit the data"
            )
        windows = []
        for i in range(count):
            group = fitting[i % len(fitting)]
            window = group[rng.integers(len(group))]
            t, y, x = (
                rng.integers(have - want + 1) for have, want in zip(window.shape, (frames, height, width), strict=False)
            )
            windows.append(window[t : t + frames, y : y + height, x : x + width])
        return torch.from_numpy(np.stack(windows))


def _fits(window: np.ndarray, frames: int, height: int, width: int) -> bool:
    return window.shape[0] >= frames and window.shape[1] >= height and window.shape[2] >= width


def load_pool(
    datasets: Sequence[Sequence[Clip]],
    config: PoolConfig,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> PixelPool:
    """Decode the clips of each dataset into memory, at most `megabytes` in all, shared evenly."""
    share = config.megabytes * 1_000_000 // len(datasets)
    total, done, groups = sum(map(len, datasets)), 0, []
    for number, clips in enumerate(datasets):
        order = np.random.default_rng((seed, number, 2)).permutation(len(clips))
        group: list[np.ndarray] = []
        used = 0
        for index in order:
            if used > share:
                break
            windows = _windows(clips[index], config, np.random.default_rng((seed, number, int(index), 3)))
            group += windows
            used += sum(window.nbytes for window in windows)
            done += 1
            if progress:
                progress(done, total)
        groups.append(tuple(group))
    return PixelPool(tuple(groups), config)


def _windows(clip: Clip, config: PoolConfig, rng: np.random.Generator) -> list[np.ndarray]:
    whole = config.window_frames * config.window_side**2 * 3 * config.windows_per_clip
    stream = video.stream(clip.path)
    first = next(stream)
    if first.shape[0] <= config.window_side * 1.5 and first.shape[1] <= config.window_side * 1.5:
        frames = list(itertools.islice(stream, max(0, whole // first.nbytes - 1)))
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
    scales, chances = zip(*_SCALES, strict=True)
    scale = rng.choice(scales, p=chances)
    height, width = (max(min(side, n), round(n * scale)) for n in frames.shape[1:3])
    if (height, width) != frames.shape[1:3]:
        frames = video.resize(frames, height, width)
    y, x = (int(rng.integers(n - min(side, n) + 1)) for n in (height, width))
    return np.ascontiguousarray(frames[:, y : y + side, x : x + side])
