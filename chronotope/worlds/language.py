"""English grammar and caption structure that all worlds share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from chronotope.worlds.splits import spec_key

__all__ = [
    "DIRECTIONS",
    "NEXT_TO",
    "OPPOSITE",
    "Choices",
    "PhraseWriter",
    "article",
    "capitalised",
    "distinct_wordings",
    "gerund",
    "horizontal_position",
    "join",
    "size_word",
]


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

OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}
NEXT_TO = ("next to", "beside", "near")


_DOUBLED = {
    "chop": "chopping", "dig": "digging", "get": "getting", "hit": "hitting", "hop": "hopping", "pan": "panning",
    "run": "running", "spin": "spinning", "stop": "stopping", "swim": "swimming",
}  # fmt: skip


def gerund(verb: str) -> str:
    """Turn 'walks' into 'walking', for the verbs of the captions."""
    head, _, rest = verb.partition(" ")
    if head.endswith("ies"):
        stem = head[:-3] + "y"
    elif head.endswith(("shes", "oes")):
        stem = head[:-2]
    else:
        stem = head[:-1]
    word = _DOUBLED.get(stem) or stem.removesuffix("e") + "ing"
    return f"{word} {rest}".strip()


def capitalised(text: str) -> str:
    """Return the text with its first letter in upper case; the other letters do not change."""
    return text[0].upper() + text[1:]


def size_word(size: float, medium_from: float, large_from: float) -> str:
    """Return 'small', 'medium-sized' or 'large'."""
    if size < medium_from:
        return "small"
    return "medium-sized" if size < large_from else "large"


def horizontal_position(x: float, left_below: float, right_above: float) -> str:
    """Return 'on the left', 'in the middle' or 'on the right' for `x` in frame widths."""
    if x < left_below:
        return "on the left"
    return "on the right" if x > right_above else "in the middle"


class Choices:
    """Random choices of a class that holds a generator in `rng`."""

    rng: np.random.Generator

    def pick(self, choices: Any) -> Any:
        """Return one of the choices, all equally likely."""
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return bool(self.rng.random() < probability)


class PhraseWriter(Choices):
    """Write phrases about the actors of a spec; `rng` chooses between wordings."""

    def __init__(self, spec: Any, synonyms: Mapping[str, tuple[str, ...]], rng: np.random.Generator) -> None:
        self.rng = rng
        self.words = {actor.id: self.pick(synonyms.get(actor.noun, (actor.noun,))) for actor in spec.actors}

    def place(self) -> str:
        """Return where the clip takes place, for example 'on a street'."""
        raise NotImplementedError

    def camera(self) -> str:
        """Return what the camera does, or an empty string if it is still."""
        raise NotImplementedError

    def name(self, actor: Any) -> str:
        """Return 'red ball' or 'fox'."""
        word = self.words[actor.id]
        return f"{actor.colour} {word}" if actor.colour else word

    def a(self, actor: Any) -> str:
        """Return 'a red ball' or 'an owl'."""
        name = self.name(actor)
        return f"{article(name)} {name}"

    def the(self, actor: Any) -> str:
        """Return 'the red ball'."""
        return f"the {self.name(actor)}"

    def finish_sentence(self, text: str, camera: str) -> str:
        """Append the camera; write one sentence in four with a capital letter and a full stop."""
        if camera:
            text = f"{text}, {camera}"
        return capitalised(text) + "." if self.chance(0.25) else text

    def opening(self, names: str, still: bool) -> str:
        """Return the first sentence of a paragraph: 'This video shows a fox and a tree on a meadow.'"""
        kind = "picture" if still else "video"
        openings = (
            f"This {kind} shows {names} {self.place()}.",
            f"A {kind} of {names} {self.place()}.",
            f"{capitalised(names)} {self.place()}.",
        )
        return str(self.pick(openings))

    def camera_sentences(self, still: bool) -> list[str]:
        """Return the sentence about the camera, or an empty list for a picture with a still camera."""
        camera = self.camera()
        if camera:
            return [capitalised(camera) + "."]
        if still:
            return []
        return [self.pick(("The camera does not move.", "The camera is still.", "The camera stays still."))]


W = TypeVar("W", bound=PhraseWriter)


def distinct_wordings(
    spec: Any,
    levels: Mapping[str, Callable[[W], str]],
    new_writer: Callable[[np.random.Generator], W],
    count: int,
) -> dict[str, tuple[str, ...]]:
    """Return up to `count` different wordings of each level of detail.

    `new_writer(rng)` makes a writer whose random choices come from `rng`; the result depends on the spec alone.
    """
    seed = int(spec_key(spec)[:12], 16)
    out: dict[str, tuple[str, ...]] = {}
    for level, (name, write) in enumerate(levels.items()):
        rng = np.random.default_rng([seed, level])
        wordings: dict[str, None] = {}
        for _ in range(4 * count):
            wordings[write(new_writer(rng))] = None
            if len(wordings) == count:
                break
        out[name] = tuple(wordings)
    return out
