"""English that every world shares: articles, lists, gerunds, directions, and several wordings of one caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

__all__ = ["DIRECTIONS", "NEXT_TO", "article", "distinct_wordings", "gerund", "join"]


def article(phrase: str) -> str:
    """Return 'a' or 'an', by the first sound of the phrase."""
    return "an" if phrase[0] in "aeio" or (phrase[0] == "u" and not phrase.startswith(("uni", "ufo"))) else "a"


def join(parts: list[str], last: str = " and ") -> str:
    """Write a list: 'a, b and c'."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + last + parts[-1]


DIRECTIONS: dict[str, tuple[str, ...]] = {
    "left": ("to the left", "left", "from right to left", "toward the left"),
    "right": ("to the right", "right", "from left to right", "toward the right"),
    "up": ("up", "upward", "upwards"),
    "down": ("down", "downward", "downwards"),
}


NEXT_TO = ("next to", "beside", "near")


_DOUBLED = {"get": "getting", "hit": "hitting", "hop": "hopping", "pan": "panning", "run": "running", "spin": "spinning",
            "stop": "stopping", "swim": "swimming"}  # fmt: skip


def gerund(verb: str) -> str:
    """Turn 'walks' into 'walking', for the verbs of the captions."""
    head, _, rest = verb.partition(" ")
    stem = head[:-3] + "y" if head.endswith("ies") else head[:-2] if head.endswith(("shes", "oes")) else head[:-1]
    word = _DOUBLED.get(stem) or (stem[:-1] + "ing" if stem.endswith("e") else stem + "ing")
    return f"{word} {rest}".strip()


P = TypeVar("P")  # a world's writer of phrases


def distinct_wordings(
    writers: Mapping[str, Callable[[P], str]], pen: Callable[[np.random.Generator], P], seed: int, count: int
) -> dict[str, tuple[str, ...]]:
    """Return up to `count` different wordings of each level of detail.

    `pen(rng)` makes a writer whose random choices come from `rng`; the order of the result depends on `seed` alone.
    """
    out: dict[str, tuple[str, ...]] = {}
    for level, (name, write) in enumerate(writers.items()):
        rng = np.random.default_rng([seed, level])
        wordings: dict[str, None] = {}
        for _ in range(4 * count):
            wordings[write(pen(rng))] = None
            if len(wordings) == count:
                break
        out[name] = tuple(wordings)
    return out
