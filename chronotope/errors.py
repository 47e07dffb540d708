"""Errors that the user can act on, each with its exit status: what was got, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["LEFT_OUT", "ChronotopeError", "DecoderUnavailableError", "FileProblem", "UsageError", "nearest", "suggest"]

LEFT_OUT = 3  # exit status of a command that is done, but left out items that could not be read


class ChronotopeError(Exception):
    """A failure whose cause the user can remove (exit status 1)."""

    exit_code = 1


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
