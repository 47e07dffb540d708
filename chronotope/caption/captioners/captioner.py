"""What a captioner is, and what it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from chronotope.errors import ChronotopeError
from chronotope.geometry import Frames
from chronotope.media.picture import resize

__all__ = [
    "DETAILS",
    "MAX_SIDE",
    "Answer",
    "Captioner",
    "CaptionerError",
    "NoCaptionError",
    "question",
    "shown_pictures",
]

# What is asked for each level of detail. {count} and {seconds} are of the pictures that are shown.
DETAILS = {
    "tags": "List what is seen in this clip as keywords separated by commas: subjects with their colours, what they do "
    "and in which direction, the place, the light, the camera. Only keywords.",
    "sentence": "Describe this clip in one plain sentence: who or what is seen with its colours, what it does and in "
    "which direction, where, and what the camera does if it moves. Only the sentence.",
    "paragraph": "Describe this clip in detail in three to six plain sentences: subjects with colours, sizes, numbers "
    "and positions, what happens in its order in time, the place, the light, the camera. Only what is seen.",
}

MAX_SIDE = 512  # pixels of a picture that a model is shown


class CaptionerError(ChronotopeError):
    """The captioner cannot be asked at all, so no further clip is tried."""


class NoCaptionError(ChronotopeError):
    """The captioner's answer for one clip is no caption."""


@dataclass(frozen=True)
class Answer:
    """What a captioner said, and how many tokens it took, where it says so."""

    text: str
    tokens: int = 0


class Captioner(Protocol):
    """Describes clips; `author` says what it is: kind, model, what is asked, settings."""

    @property
    def author(self) -> Mapping[str, Any]: ...

    def ask(self, frames: Frames, fps: float) -> Answer:
        """Describe one clip. Raises CaptionerError, and NoCaptionError where only this clip has no answer."""
        ...


def shown_pictures(frames: Frames, most: int) -> list[np.ndarray]:
    """Return up to `most` frames, evenly spaced with both ends, of at most `MAX_SIDE` pixels a side."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, most).round().astype(int))
    height, width = frames.shape[1:3]
    scale = min(1.0, MAX_SIDE / max(height, width))
    if scale == 1:
        return list(frames[chosen])
    return [resize(frames[index], max(1, round(height * scale)), max(1, round(width * scale))) for index in chosen]


def question(pictures: int, seconds: float, detail: str) -> str:
    """Return what is asked about a clip that is shown as pictures."""
    about = "One picture."
    if pictures > 1:
        about = f"{pictures} pictures of one clip of {seconds:.3g} seconds, in order of time."
    return f"{about} {DETAILS[detail]}"
