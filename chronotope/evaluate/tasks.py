"""What a task gives, as files: so that a stranger's model can be asked for the same.

Pictures and masks are PNG, a clip is a folder of them, a frame each: every pixel is kept, and any program can read them. White of a
mask is made again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from chronotope.geometry import Frames
from chronotope.media import video
from chronotope.worlds.stage.suites.tasks import TaskInputs

__all__ = ["described", "hand_out"]

FOLDER = "inputs"
CLIPS = ("video", "into")


def described(asked: TaskInputs, name: str) -> dict[str, Any]:
    """A row's `inputs`: files by what they are, and the numbers that go with them; nothing where only words are given."""
    given = asked.given
    files = {what: _path(name, what) for what in _files(asked)}
    numbers = {
        "at": [seconds for seconds, _ in given.images],
        "strength": given.strength,
        "span": given.span and list(given.span),
    }
    about: dict[str, Any] = {"do": given.task, **files, **numbers, "new_frames": asked.new}
    return {what: value for what, value in about.items() if value not in (None, [])}


def hand_out(asked: TaskInputs, name: str, folder: Path) -> None:
    """Write the files into the folder `inputs` of this one."""
    for what, frames in _files(asked).items():
        path = folder / _path(name, what)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            video.write_image(path, frames[0])
            continue
        path.mkdir(exist_ok=True)
        for number, frame in enumerate(frames):
            video.write_image(path / f"{number:04d}.png", frame)


def _path(name: str, what: str) -> str:
    """A folder for a clip, a file for anything else."""
    return f"{FOLDER}/{name}-{what}" + ("" if what in CLIPS else ".png")


def _files(asked: TaskInputs) -> dict[str, Frames]:
    given = asked.given
    found = {f"image-{number}": picture[None] for number, (_, picture) in enumerate(given.images)}
    found |= {what: clip for what, clip in (("video", given.video), ("into", given.into)) if clip is not None}
    if given.mask is not None:
        found["mask"] = np.repeat(given.mask[..., None].astype(np.uint8) * 255, 3, axis=3)
    return found
