"""Films for the tests: moving textures, whose cuts are known; folders of them, and their curation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from chronotope.cli.datasets.sources import raw_files
from chronotope.curate.decide import Filters
from chronotope.curate.rights import own_footage
from chronotope.curate.run import Curated, curate
from chronotope.data.captions import read_captions
from chronotope.media import video

__all__ = ["captions", "film", "run", "scene", "small"]


def scene(rng: np.random.Generator, count: int, height: int = 72, width: int = 128) -> list[np.ndarray]:
    """Return frames of a coloured texture that drifts, with a disc that crosses it."""
    base = rng.integers(40, 215, 3)
    coarse = np.clip(base + rng.integers(-60, 60, (height // 8 + 8, width // 8 + 20, 3)), 0, 255).astype(np.uint8)
    texture = cv2.resize(coarse, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    colour = tuple(int(value) for value in rng.integers(0, 255, 3))
    speed = rng.uniform(0.3, 1.5)
    frames = []
    for step in range(count):
        shift = int(speed * step)
        frame = np.ascontiguousarray(texture[8 : 8 + height, shift : shift + width])
        cv2.circle(frame, (10 + int(2 * speed * step), height // 2), 9, colour, -1)
        frames.append(frame)
    return frames


def film(seed: int, count: int) -> tuple[list[np.ndarray], list[int]]:
    """Return the frames of a film of `count` scenes, and the frames with which they begin."""
    rng = np.random.default_rng(seed)
    frames: list[np.ndarray] = []
    starts = []
    for _ in range(count):
        starts.append(len(frames))
        frames += scene(rng, int(rng.integers(14, 40)))
    return frames, starts


def run(folder: Path, out: Path, filters: Filters | None = None, **options: Any) -> Curated:
    policy = options.pop("policy", own_footage("My Lab"))
    return curate(raw_files([folder], out), out, filters or Filters(), policy, read_captions, "test", **options)


def small(folder: Path, count: int, start: int = 0) -> Path:
    """Write clips of 20 frames, each with its number as caption."""
    folder.mkdir(exist_ok=True)
    for number in range(start, start + count):
        frames = np.stack(scene(np.random.default_rng(100 + number), 20))
        video.write(folder / f"c{number:02d}.mp4", frames, 12)
        (folder / f"c{number:02d}.txt").write_text(f"words {number}")
    return folder


def captions(out: Path) -> dict[str, str]:
    found = {path.stem: read_captions(path) for path in sorted(out.rglob("*.mp4"))}
    return {name: texts["sentence"][0] for name, texts in found.items() if texts}
