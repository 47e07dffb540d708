"""JSON that somebody else wrote -> values, or one sentence that says what is wrong with it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["RepeatedKeyError", "parse_json", "portable", "unique_keys"]


def parse_json(text: str | bytes, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parse JSON; raise ValueError, in words that help whoever wrote it, for anything else."""
    try:
        return json.loads(text, object_pairs_hook=object_pairs_hook)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as problem:
        if isinstance(problem, json.JSONDecodeError | UnicodeDecodeError | RepeatedKeyError):
            raise
        raise ValueError(f"it holds a whole number of more than {sys.get_int_max_str_digits()} digits") from None


class RepeatedKeyError(ValueError):
    """A key stands twice in an object of JSON, so one of its values would be lost."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object as a dict, for `parse_json`; raise RepeatedKeyError where a key is repeated."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RepeatedKeyError(f"the key {json.dumps(twice[:60])} stands twice in one object")
    return found


def portable(value: Any) -> Any:
    """Return parsed JSON that every reader of JSON accepts: null for NaN and infinity, "?" for what is not UTF-8.

    Raises ValueError where it is nested too deeply.
    """
    try:
        return _portable(value)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _portable(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", errors="replace").decode("utf-8")
    if isinstance(value, dict):
        return {_portable(name): _portable(item) for name, item in value.items()}
    return [_portable(item) for item in value] if isinstance(value, list) else value
