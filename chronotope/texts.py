"""A text from a file or a captioner -> the same text without characters that no reader sees.

These are control characters, halves of characters (surrogates), marks of direction, and spaces and joiners of no width.
A joiner stays between letters that are written with it, as in Persian, and in emoji.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["STRANGE", "UNCLEAN", "cleaned", "is_clean"]

STRANGE = "control characters, halves of characters or unseen characters"
UNCLEAN = f"holds {STRANGE}, which are left out"
_UNSEEN = re.compile(
    r"[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]|(?:^|(?<=[\x00-\u024f]))[\u200c\u200d]+"
)


def cleaned(text: str, lines: bool = False) -> str:
    """Return a text of one line, or with `lines` of several, with single spaces and without those characters."""
    kept = _kept(text)
    parts = kept.splitlines() if lines else [kept]
    return "\n".join(" ".join(part.split()) for part in parts).strip()


def is_clean(text: str) -> bool:
    """Return whether `cleaned` leaves out no character of a text but spaces and line ends."""
    return _kept(text) == text


def _kept(text: str) -> str:
    if text.isprintable():  # which is fast, and false for all of these and for line ends
        return text
    kept = "".join(char for char in text if char.isspace() or unicodedata.category(char) not in ("Cc", "Cs"))
    return _UNSEEN.sub("", kept)
