"""Measure how fast videos are read, relative to PyAV's decoding to packed RGB in this process, in turns.

python -m benchmarks.reading --rounds 9
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np

from chronotope.media import video

__all__ = ["main"]

CLIPS = ((96, 64, 240), (854, 480, 120), (1280, 720, 90))  # width, height, frames


def _frames(width: int, height: int, count: int) -> Iterator[np.ndarray]:
    """Yield frames of a pattern of blocks that moves."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    picture = blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    for time_step in range(count):
        yield np.roll(picture, (time_step, 2 * time_step), (0, 1))


def _by_pyav(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _stream(path: Path) -> None:
    for _ in video.stream(path):
        pass


def _seconds(read: Callable[[Path], object], path: Path) -> float:
    started = time.perf_counter()
    read(path)
    return time.perf_counter() - started


def main(rounds: int) -> None:
    """Print the median, least and greatest ratio of each way of reading, above 1 where it is faster than PyAV."""
    with tempfile.TemporaryDirectory() as folder:
        for width, height, count in CLIPS:
            path = Path(folder) / f"{width}.mp4"
            video.write(path, _frames(width, height, count), 24.0)
            ratios: dict[str, list[float]] = {"read": [], "stream": []}
            for _ in range(rounds):
                plain = _seconds(_by_pyav, path)
                ratios["read"].append(plain / _seconds(video.read, path))
                ratios["stream"].append(plain / _seconds(_stream, path))
            told = ", ".join(
                f"{name} {statistics.median(found):.2f} [{min(found):.2f}, {max(found):.2f}]"
                for name, found in ratios.items()
            )
            print(f"{width}x{height}: {told}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    main(**vars(parser.parse_args()))
