"""False alarms and misses of the comparison with training clips, by its rule: python -m benchmarks.near_copies

    python tests/real_clips.py          # camera clips and a film, once
    python -m benchmarks.near_copies [--out benchmarks/near_copies.json]
    python -m benchmarks.near_copies --only-time        # replaces the processor seconds that a comparison takes

Training clips are parts of real films, or clips of the stage. No copies: other clips of the same kinds. Copies: each
training clip coded at crf 32, halved, cropped by 5 %, blurred, a part of 1.5 s, one frame. The table has a row for each
rule, a quantile of the distances between training clips and a share of it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.curation import parts
from benchmarks.harness import say
from chronotope.evaluate.memorisation import gather
from chronotope.generate.training_clips import Comparison, TrainingClips
from chronotope.media import video
from chronotope.metrics.near_copies import MOMENTS, Moments, moments_of, num_moments, part_distances, reduced
from chronotope.storage import read_json, write_json

QUANTILES, SHARES, FPS = (0.01, 0.05, 0.1), (0.5, 0.6, 2 / 3, 0.75), 8.0
STAGE = (("small:1500:5", "acts:500:5"), ("small:300:6", "acts:100:6"))
TIMED, DEFAULT_FRAMES = (1000, 10_000), 17
COPIED = 150  # training clips of which copies are made

Clip = np.ndarray


def copies(clip: Clip, folder: Path) -> Iterator[tuple[str, Clip]]:
    """Yield copies of a clip by the names of what was done to them."""
    height, width = clip.shape[1:3]
    path = folder / "copy.mp4"
    if len(clip) > 1:
        video.write(path, clip, FPS, crf=32)
        yield "crf 32", video.read(path).frames
    yield "halved", np.stack([cv2.resize(frame, (width // 2, height // 2)) for frame in clip])
    rows, columns = max(1, height // 40), max(1, width // 40)
    yield "cropped by 5 %", clip[:, rows:-rows, columns:-columns]
    yield "blurred", np.stack([cv2.GaussianBlur(frame, (0, 0), width / 64) for frame in clip])
    yield "a part", clip[len(clip) // 4 :][: int(1.5 * FPS)]
    yield "a frame", clip[len(clip) // 2 :][:1]


def rows_of(clip: Clip) -> np.ndarray:
    return np.stack([reduced(frame) for frame in clip])


def measured(
    training: Sequence[Clip], others: Sequence[Clip], folder: Path
) -> Callable[[float, float], dict[str, Any]]:
    """Return a function from a rule to its false alarms and misses."""
    rows = [moments_of(rows_of(clip), FPS) for clip in training]
    names = tuple(map(str, range(len(rows))))
    moments = Moments(np.concatenate(rows), tuple(map(len, rows)))
    index = TrainingClips(folder, names, names, (0.0,) * len(rows), moments)
    found: list[tuple[str, int, float]] = []
    for clip in others:
        found += [_nearest(kind, index, some) for kind, some in (("other clips", clip), ("frames of others", clip[:1]))]
    for clip in training[:: -(-len(training) // COPIED)]:
        found += [_nearest(kind, index, copy) for kind, copy in copies(clip, folder)]

    def rule(quantile: float, share: float) -> dict[str, Any]:
        limits = {window: index.threshold(window, quantile, share) for window in range(1, MOMENTS + 1)}
        table: dict[str, list[int]] = {}
        for kind, window, distance in found:
            counts = table.setdefault(kind, [0, 0])
            counts[0] += distance < limits[window]
            counts[1] += 1
        told = {kind: f"{right} of {of}" for kind, (right, of) in table.items()}
        return {"levels": round(limits[MOMENTS], 2), "levels of a picture": round(limits[1], 2), **told}

    return rule


def _nearest(kind: str, index: TrainingClips, clip: Clip) -> tuple[str, int, float]:
    distance = float(part_distances([rows_of(clip)], FPS, index.moments).min())
    return kind, min(MOMENTS, num_moments(len(clip), FPS)), distance


def seconds(count: int, folder: Path) -> dict[str, float]:
    """Return the processor seconds of comparing a default video with `count` clips of its length.

    The first video of a process waits for the threshold of the clips; times do not depend on what clips show.
    """
    noise = np.random.default_rng(0)
    frames = noise.integers(0, 256, (DEFAULT_FRAMES, 64, 96, 3), np.uint8)
    each = num_moments(DEFAULT_FRAMES, FPS)
    rows = noise.integers(0, 256, (count * each, rows_of(frames).shape[1]), np.uint8)
    names = tuple(map(str, range(count)))
    clips = Comparison((TrainingClips(folder, names, names, (0.0,) * count, Moments(rows, (each,) * count)),))
    took = []
    for _ in range(4):
        started = time.process_time()
        clips.nearest(rows_of(frames), FPS, np.ones(len(frames), bool))
        took.append(time.process_time() - started)
    return {"the first video": round(took[0], 3), "a later video, median of 3": round(float(np.median(took[1:])), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--out", type=Path, default=Path("benchmarks/near_copies.json"))
    parser.add_argument("--only-time", action="store_true", help="measure the time alone")
    options = parser.parse_args()
    out: Path = options.out
    if options.only_time:
        times = {f"{count} clips": seconds(count, Path()) for count in TIMED}
        say(str(times))
        write_json(out, read_json(out) | {"processor seconds": times})
        return
    real = [clip[::3] for clip in parts(np.random.default_rng(0))]  # at 24 frames a second
    data = {
        "real": (real[::2], real[1::2]),
        "stage": tuple([clip for scope in scopes for _, clip in gather(scope)] for scopes in STAGE),
    }
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (training, others) in data.items():
            rule = measured(training, others, Path(folder))
            for quantile in QUANTILES:
                for share in SHARES:
                    row = rule(quantile, share)
                    results[f"{name}, {len(training)} clips, quantile {quantile}, share {share:.2f}"] = row
                    say(f"{name} {quantile} {share:.2f}: {row}")
    times = {f"{count} clips": seconds(count, Path()) for count in TIMED}
    write_json(out, results | {"processor seconds": times})


if __name__ == "__main__":
    main()
