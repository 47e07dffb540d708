"""FOLDER=WEIGHT on the command line -> folders and their weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from chronotope.cli.terminal import say
from chronotope.config import MOST
from chronotope.errors import UsageError

__all__ = ["read_weights", "without_weights"]

LEAST = 1e-6  # a dataset of a smaller weight would hardly ever be shown


def read_weights(data: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[float, ...] | None]:
    """Return the folders of --data and their weights, 1 where none is named; None where none of them has one.

    A folder whose own name looks like FOLDER=WEIGHT is a folder. Raises UsageError for a weight that is no number above
    0.
    """
    named = [_split(path) for path in data]
    if all(weight is None for _, weight in named):
        return tuple(folder for folder, _ in named), None
    return tuple(folder for folder, _ in named), tuple(1.0 if weight is None else weight for _, weight in named)


def without_weights(what: str, data: Sequence[Path]) -> tuple[Path, ...]:
    """Return the folders of --data for a training that shows all clips equally often; refuse a weight."""
    folders, weights = read_weights(data)
    if weights:
        raise UsageError(
            f"`train {what}` shows all clips equally often, so --data takes no weights; leave out the =WEIGHT, as in "
            f"--data {' '.join(map(str, folders))}"
        )
    return folders


def _split(path: Path) -> tuple[Path, float | None]:
    name, equals, text = str(path).rpartition("=")
    if not equals or not name:
        return path, None
    if path.exists():
        if _number(text) is not None:
            say(f"note: {path} is a folder of this name, so ={text} is not taken for a weight")
        return path, None
    weight = _number(text)
    if weight is None and not Path(name).exists():  # a folder that is missing
        return path, None
    if weight is None or not LEAST <= weight <= MOST:
        raise UsageError(
            f"the weight of {name} must be a number from {LEAST:g} to {MOST:g}, got '{text}'; write for example "
            f"{name}=0.3"
        )
    return Path(name), weight


def _number(text: str) -> float | None:
    """Return the number that a text is; None of any other text."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else -1.0
