"""What every world checks of a task's inputs: the given pixels come back."""

from __future__ import annotations

from collections.abc import Iterator

from chronotope.geometry import Frames
from chronotope.metrics.similarity import psnr
from chronotope.worlds.case import TaskInputs
from chronotope.worlds.check import Check

__all__ = ["inputs_come_back"]

LEAST_PSNR = 24.0  # dB: the stage has 31 and more through the shipped autoencoder, 27 through a weak one


def inputs_come_back(frames: Frames, task: TaskInputs) -> Iterator[Check]:
    """Check that the given pixels, if any must be kept, are in the video."""
    if task.kept is not None and task.reference is not None:
        fidelity = psnr(frames[task.kept], task.reference[task.kept])
        first = int(task.kept.any(axis=(1, 2)).argmax())
        yield Check("what was given comes back", "", None if fidelity >= LEAST_PSNR else "GIV-CHG", first)
