"""The pictures of the task pages, docs/tasks/*.md: the first four cases of every task of the benchmark side by side,
nothing picked.

python -m benchmarks.canvas --keep out/canvas && python tools/picture_tasks.py            reads out/canvas, writes
docs/tasks/*.gif
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chronotope.media import video

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("picture", "forward", "backward", "connect", "loop-words", "loop-picture", "edit-0.6", "edit-0.8", "story")
COUNT, HEIGHT, GAP = 4, 64, 4
STRIP = 8  # frames of a minute, in one picture


def row(clips: list[np.ndarray]) -> np.ndarray:
    """Clips of one height side by side, the short ones waiting at their last frame."""
    longest = max(map(len, clips))
    padded = [
        np.pad(
            clip[np.minimum(np.arange(longest), len(clip) - 1)], ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255
        )
        for clip in clips
    ]
    return np.concatenate(padded, axis=2)[:, :, :-GAP]


def scaled(path: Path) -> np.ndarray:
    frames = video.read(path).frames
    return video.resize(frames, HEIGHT, round(frames.shape[2] * HEIGHT / frames.shape[1]))


def main() -> None:
    out = ROOT / "docs" / "tasks"
    out.mkdir(exist_ok=True)
    for name in NAMES:
        found = sorted((ROOT / "out" / "canvas").glob(f"{name}-[0-9]*.mp4"))[:COUNT]
        if not found:
            raise SystemExit(
                f"out/canvas has no {name}-NUMBER.mp4; make them with: python -m benchmarks.canvas --keep out/canvas"
            )
        video.write(out / f"{name}.gif", row([scaled(path) for path in found]), 8.0)
    minutes = [scaled(path) for path in sorted((ROOT / "out" / "canvas").glob("minute-[0-9]*.mp4"))[:COUNT]]
    strips = [
        np.concatenate(list(clip[np.linspace(0, len(clip) - 1, STRIP).round().astype(int)]), axis=1) for clip in minutes
    ]
    width = max(strip.shape[1] for strip in strips)
    white = [np.pad(strip, ((0, GAP), (0, width - strip.shape[1]), (0, 0)), constant_values=255) for strip in strips]
    video.write_image(out / "minute.png", np.concatenate(white)[:-GAP])


if __name__ == "__main__":
    main()
