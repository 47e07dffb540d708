"""Write the inputs of a task as files, so that any other model can be asked for the same.

Pictures and masks are PNG files, a clip is a folder of PNG files, one a frame: every pixel is kept, and any program
can read them. White pixels of a mask are generated again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from chronotope.errors import UsageError
from chronotope.geometry import Frames
from chronotope.media import video
from chronotope.media.picture import Frame
from chronotope.worlds.case import TaskInputs

__all__ = ["describe_inputs", "write_inputs"]

FOLDER = "inputs"
CLIPS = ("video", "into")


def describe_inputs(task: TaskInputs, name: str) -> dict[str, Any]:
    """Return what a row of a plan says of the inputs: files by their role, and the numbers that go with them."""
    inputs = task.inputs
    files = {what: _path(name, what) for what in _files(task)}
    numbers = {
        "at": [seconds for seconds, _ in inputs.images],
        "strength": inputs.strength,
        "span": inputs.span and list(inputs.span),
    }
    about: dict[str, Any] = {"do": inputs.task, **files, **numbers, "new_frames": task.new_frames}
    return {what: value for what, value in about.items() if value not in (None, [])}


def write_inputs(task: TaskInputs, name: str, folder: Path) -> None:
    """Write the files into `folder`/inputs; raise UsageError where another picture has the name of one."""
    for what, frames in _files(task).items():
        path = folder / _path(name, what)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            _write(path, frames[0])
            continue
        path.mkdir(exist_ok=True)
        for number, frame in enumerate(frames):
            _write(path / f"{number:04d}.png", frame)


def _write(path: Path, frame: Frame) -> None:
    """Write a picture, unless it is there already, as by another plan of the same cases."""
    if not os.path.lexists(path):
        video.write_image(path, frame)
    elif not np.array_equal(video.read_image(path), frame):
        raise UsageError(f"{path} exists and is another picture than the plan needs; plan in another folder")


def _path(name: str, what: str) -> str:
    """Return the path of an input: a folder for a clip, a file for anything else."""
    return f"{FOLDER}/{name}-{what}" + ("" if what in CLIPS else ".png")


def _files(task: TaskInputs) -> dict[str, Frames]:
    inputs = task.inputs
    found = {f"image-{number}": picture[None] for number, (_, picture) in enumerate(inputs.images)}
    found |= {what: clip for what, clip in (("video", inputs.video), ("into", inputs.into)) if clip is not None}
    if inputs.mask is not None:
        found["mask"] = np.repeat(inputs.mask[..., None].astype(np.uint8) * 255, 3, axis=3)
    return found
