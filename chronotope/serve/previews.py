"""A finished video -> its thumbnail and its sheet of frames, made when they are first asked for and then kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chronotope import PROGRAM
from chronotope.media import video
from chronotope.safety.deliver import Layers, deliver
from chronotope.safety.policy.decide import Policy

__all__ = ["VARIANTS", "preview_file"]

VARIANTS: dict[str, tuple[str, str]] = {  # suffix and media type
    "thumbnail": (".thumbnail.webp", "image/webp"),
    "spritesheet": (".spritesheet.jpg", "image/jpeg"),
}
MARKED = Layers(watermark=False)  # the frames of the video have it already
SIDE = 256  # pixels of the longer side
COLUMNS, FRAMES = 5, 20


def preview_file(source: Path, variant: str, policy: Policy) -> Path:
    """Return the path of a preview beside its video: its first frame, or up to 20 frames in rows of five."""
    suffix = VARIANTS[variant][0]
    target = source.with_suffix(suffix)
    if not target.exists():
        picture = _first(source) if variant == "thumbnail" else _sheet(source)
        deliver(target, [picture], 1, {"program": PROGRAM, "task": variant}, MARKED, policy=policy)
    return target


def _first(source: Path) -> np.ndarray:
    stream = video.stream(source, max_side=SIDE)
    try:
        return next(stream)
    finally:
        stream.close()


def _sheet(source: Path) -> np.ndarray:
    """Lay frames at equal distances out in rows."""
    info = video.probe(source)
    chosen = set(np.linspace(0, info.num_frames - 1, min(FRAMES, info.num_frames)).round().astype(int).tolist())
    frames = [frame for number, frame in enumerate(video.stream(source, max_side=SIDE)) if number in chosen]
    height, width = frames[0].shape[:2]
    columns = min(COLUMNS, len(frames))
    rows = -(-len(frames) // columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, frame in enumerate(frames):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = frame
    return sheet
