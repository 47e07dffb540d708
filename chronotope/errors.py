"""Errors that the user can act on, each with its exit status: what was got, what was expected, what to do."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

__all__ = [
    "LEFT_OUT",
    "ChronotopeError",
    "DecoderUnavailableError",
    "FileProblem",
    "UsageError",
    "nearest",
    "suggest",
    "visible",
]

LEFT_OUT = 3  # exit status of a command that is done, but left out items that could not be read

JOINERS = "\u200c\u200d"  # invisible, but emoji and some scripts are written with them
CONTROL_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, marks of direction, halves of characters, separators


class ChronotopeError(Exception):
    """A failure whose cause the user can remove (exit status 1).

    It is `said` where another process of the same run tells the user about it.
    """

    exit_code = 1
    said = False


class UsageError(ChronotopeError):
    """The request cannot be carried out as written (exit status 2)."""

    exit_code = 2


class FileProblem(ChronotopeError):
    """A file is missing, truncated, of the wrong kind, or cannot be written (exit status 1)."""


class DecoderUnavailableError(ChronotopeError):
    """This machine cannot decode media files now, which says nothing about the file that was to be read."""


def suggest(word: str, choices: Iterable[str]) -> str:
    """Return a sentence that names the most similar choice, or lists all choices when none is similar."""
    choices = list(choices)
    if not choices:
        return "There is nothing to choose from."
    near = nearest(word, choices)
    return f"Did you mean '{near}'?" if near else f"Choose from: {', '.join(choices)}."


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice most similar to a word, or None when none is similar."""
    return next(iter(difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)), None)


def visible(text: str, keep: str = "") -> str:
    """Replace control characters, bidirectional marks and halves of characters by escapes such as \\x1b.

    Characters in `keep` stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in keep or not _is_control(one) else _escape(one) for one in text)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in CONTROL_CATEGORIES and character not in JOINERS


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
