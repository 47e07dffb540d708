"""A student: a network that samples in few steps, without guidance, where its teacher takes many with guidance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from chronotope.config import Count, Range
from chronotope.request import GUIDANCE_SCALES

__all__ = ["StudentConfig"]


@dataclass(frozen=True)
class StudentConfig:
    """What a student learns: to go in one of its `steps` where the teacher goes in `substeps` steps with `guidance`.

    0 steps: the training has no teacher. The noise levels are those of the student's steps alone.
    """

    steps: Annotated[int, Range(0, 64)] = 0
    substeps: Count = 4
    guidance: Annotated[float, Range(*GUIDANCE_SCALES)] = 3.0
