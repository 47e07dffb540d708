"""What a task gives, as files: so that a stranger's model can be asked for the same.

Pictures and masks are PNG, clips are animated PNG, which keep every pixel; `video.read` and FFmpeg read both. White of a mask is made
again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chronotope.evaluate.canvas_tasks import Asked, asked_of
from chronotope.worlds.spec import Spec

__all__ = ["FOLDER", "described", "hand_out"]

Frames = UInt8[np.ndarray, "t h w 3"]
FOLDER = "inputs"


def described(task: str, spec: Spec, name: str) -> dict[str, Any]:
    """A row's `inputs`: files by what they are, and the numbers that go with them; nothing where only words are given."""
    asked = asked_of(task, spec)
    given = asked.given
    files = {what: f"{FOLDER}/{name}-{what}.png" for what in _files(asked)}
    numbers = {"at": [seconds for seconds, _ in given.images], "strength": given.strength, "span": given.span and list(given.span)}
    about: dict[str, Any] = {"do": given.task, **files, **numbers, "new_frames": asked.new}
    return {what: value for what, value in about.items() if value not in (None, [])}


def hand_out(task: str, spec: Spec, name: str, folder: Path) -> None:
    """Write the files into the folder `inputs` of this one."""
    for what, frames in _files(asked_of(task, spec)).items():
        path = folder / FOLDER / f"{name}-{what}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, frames, spec.fps)


def _files(asked: Asked) -> dict[str, Frames]:
    given = asked.given
    found = {f"image-{number}": picture[None] for number, (_, picture) in enumerate(given.images)}
    found |= {what: clip for what, clip in (("video", given.video), ("into", given.into)) if clip is not None}
    if given.mask is not None:
        found["mask"] = np.repeat(given.mask[..., None].astype(np.uint8) * 255, 3, axis=3)
    return found


def _write(path: Path, frames: Frames, fps: float) -> None:
    from PIL import Image

    first, *rest = (Image.fromarray(frame) for frame in frames)
    beside = path.with_name(path.name + ".part")
    first.save(beside, format="PNG", save_all=len(frames) > 1, append_images=rest, duration=1000 / fps, loop=0)
    beside.replace(path)
