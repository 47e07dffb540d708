"""What a captioner is, what it is asked, and which of its answers are captions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from chronotope.errors import ChronotopeError
from chronotope.geometry import Frames

__all__ = ["DETAILS", "Answer", "Captioner", "CaptionerError", "NoCaptionError", "caption_of"]

# What is asked for each level of detail. {count} and {seconds} are of the pictures that are shown.
DETAILS = {
    "tags": "List what is seen in this clip as keywords separated by commas: subjects with their colours, what they do "
    "and in which direction, the place, the light, the camera. Only keywords.",
    "sentence": "Describe this clip in one plain sentence: who or what is seen with its colours, what it does and in "
    "which direction, where, and what the camera does if it moves. Only the sentence.",
    "paragraph": "Describe this clip in detail in three to six plain sentences: subjects with colours, sizes, numbers "
    "and positions, what happens in its order in time, the place, the light, the camera. Only what is seen.",
}
MAX_WORDS = {"tags": 80, "sentence": 80, "paragraph": 300}
_OPENING = re.compile(
    r"^(?:sure[,!.]?\s+|here(?:'s| is)[^:]*:\s*|caption:\s*|in this (?:video|clip|picture|image),?\s+|"
    r"(?:the|this) (?:video|clip|picture|image|footage|scene|sequence)(?: clip)?\s+"
    r"(?:shows|depicts|features|captures|presents|displays|illustrates|portrays|begins with|opens with)(?:\s+|$))",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:can ?not|can't|won't)|as an ai|unable to (?:see|view|describe)|"
    r"no (?:image|video|picture)s? (?:was|were|is|are)? ?(?:provided|attached|visible))\b",
    re.IGNORECASE,
)
_LOOP = 4  # times that the same words may stand in an answer


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


def caption_of(text: str, detail: str) -> str:
    """Return the caption in an answer, in one line and without its opening words; raise NoCaptionError for none.

    Openings such as "The video shows" are in every caption of some captioners, and would be learned as if they meant
    something (27 of them in a published list).
    """
    words = " ".join(text.replace("*", " ").split()).strip("\"' ")
    before = None
    while before != words:
        before, words = words, _OPENING.sub("", words).strip("\"' ")
    if not words:
        raise NoCaptionError("the answer is empty")
    if _REFUSAL.search(words):
        raise NoCaptionError(f"the answer refuses: {words[:80]}")
    count = len(words.split())
    if count > MAX_WORDS[detail]:
        raise NoCaptionError(f"the answer has {count} words, more than {MAX_WORDS[detail]}")
    if _loops(words):
        raise NoCaptionError(f"the answer repeats itself: {words[:80]}")
    return words[0].upper() + words[1:] if before and detail != "tags" and text.strip()[:1].isupper() else words


def _loops(text: str) -> bool:
    """Return whether three words stand in a text more often than a description needs them."""
    words = re.findall(r"\w+", text.lower())
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    return bool(triples) and max(triples.values()) > _LOOP
