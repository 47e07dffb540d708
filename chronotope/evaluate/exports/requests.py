"""The types of an export: the user's request, the videos it plans, and the request to a model for one of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chronotope.errors import UsageError
from chronotope.generate.pipeline import Generation

__all__ = ["ExportRequest", "LengthRule", "PlannedVideo", "VideoMaker", "VideoRequest"]

TOLERANCE = 0.001  # seconds, where a format prescribes an exact length
ROUNDING = 1e-9
MAX_SEED = 2**62  # a hash below 2^32 is added for each video, and the sum is below 2^63


@dataclass(frozen=True)
class ExportRequest:
    """What the user requests: a format, the benchmark's prompt file, the folder to fill, a model's name, and a seed."""

    format: str
    prompts: Path
    out: Path
    model: str = "small"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < MAX_SEED:
            raise UsageError(f"seed is {self.seed}, expected a whole number from 0 to less than 2^62")


@dataclass(frozen=True)
class PlannedVideo:
    """One video of an export: its file below the folder, a text for each scene, its sample number, and its seed.

    `folder` is set where a format wants a folder for each video; `entry` is then the entry of the prompt file.
    """

    file: str
    texts: tuple[str, ...]
    sample: int
    image: Path | None = None
    entry: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    seed: int = 0

    @property
    def unit(self) -> str:
        """What is moved into place at once: the file itself, or the folder of all that belongs to it."""
        return self.folder or self.file

    @property
    def prompt(self) -> str:
        return " ".join(self.texts)


@dataclass(frozen=True)
class LengthRule:
    """How long videos must be: from `low` to less than `high` seconds, or `low` seconds +- 1 ms if `exactly`."""

    low: float = 0.0
    high: float = math.inf
    exactly: bool = False

    def problem(self, seconds: float) -> str:
        """Say what is wrong with a length; empty if it is right."""
        lasts = f"lasts {seconds:.4g} s, expected"
        if self.exactly:
            exact = abs(seconds - self.low) <= TOLERANCE + ROUNDING
            return "" if exact else f"{lasts} {self.low:g} s +- {TOLERANCE:g} s"
        if seconds < self.low - ROUNDING:
            return f"{lasts} {self.low:g} s or longer"
        return "" if seconds < self.high - ROUNDING else f"{lasts} less than {self.high:g} s"

    def num_frames(self, default: int, fps: float) -> int:
        """The default number of frames if it is right, else the nearest right one; UsageError if there is none."""
        if self.exactly:
            count = round(self.low * fps)
        else:
            count = max(default, 2, math.ceil(self.low * fps - ROUNDING))
        if problem := self.problem(count / fps):
            raise UsageError(
                f"a video of {count} frames at {fps:g} frames a second {problem}; "
                "export another format, or with another model"
            )
        return count


@dataclass(frozen=True)
class VideoRequest:
    """What a model is asked for: texts, each with the second from which it applies, and perhaps a first picture."""

    prompt: tuple[tuple[float, str], ...]
    seed: int
    num_frames: int
    image: Path | None


@dataclass(frozen=True)
class VideoMaker:
    """A model that makes videos: the hashes of its weights by name, its default length and rate, and a function."""

    weights: Mapping[str, str]
    num_frames: int
    fps: float
    make: Callable[[VideoRequest], Generation]
