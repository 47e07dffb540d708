"""Errors a person can act on: what was got, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["ChronotopeError", "FileProblem", "UsageError", "nearest", "suggest"]


class ChronotopeError(Exception):
    """Something failed for a reason the user can do something about (exit status 1)."""

    exit_code = 1


class UsageError(ChronotopeError):
    """The request itself cannot be carried out as written (exit status 2)."""

    exit_code = 2


class FileProblem(ChronotopeError):
    """A file is missing, truncated, of the wrong kind, or cannot be written."""


def suggest(word: str, choices: Iterable[str]) -> str:
    """A sentence naming the nearest choice, or all of them when nothing is near."""
    choices = list(choices)
    if not choices:
        return "There is nothing to choose from."
    near = nearest(word, choices)
    return f"Did you mean '{near}'?" if near else f"Choose from: {', '.join(choices)}."


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that is most like a word, if any is near."""
    return next(iter(difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)), None)
