"""What a captioner is, and what it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from chronotope.errors import ChronotopeError
from chronotope.geometry import Frames

__all__ = ["DETAILS", "Answer", "Captioner", "CaptionerError", "NoCaptionError"]

# What is asked for each level of detail. {count} and {seconds} are of the pictures that are shown.
DETAILS = {
    "tags": "List what is seen in this clip as keywords separated by commas: subjects with their colours, what they do "
    "and in which direction, the place, the light, the camera. Only keywords.",
    "sentence": "Describe this clip in one plain sentence: who or what is seen with its colours, what it does and in "
    "which direction, where, and what the camera does if it moves. Only the sentence.",
    "paragraph": "Describe this clip in detail in three to six plain sentences: subjects with colours, sizes, numbers "
    "and positions, what happens in its order in time, the place, the light, the camera. Only what is seen.",
}


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
