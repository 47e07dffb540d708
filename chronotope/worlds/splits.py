"""The key of a spec and its split: train, held out by hash, or a pair of attributes that training never sees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from chronotope.config import to_dict
from chronotope.errors import UsageError, suggest

__all__ = [
    "COMBINATION_SHARE",
    "HELDOUT_SHARE",
    "Split",
    "attribute_pairs",
    "spec_key",
    "split_by",
    "split_of",
    "split_rng",
    "to_json",
]


def to_json(spec: object) -> str:
    """Write a spec as canonical JSON: sorted keys, no spaces."""
    return json.dumps(to_dict(spec), sort_keys=True, separators=(",", ":"))


def spec_key(spec: object) -> str:
    """Return the SHA-256 of the canonical JSON of a spec, in hex digits."""
    return hashlib.sha256(to_json(spec).encode()).hexdigest()


Split = Literal["train", "heldout", "combination"]


HELDOUT_SHARE = 0.05  # of all specs
COMBINATION_SHARE = 0.06  # of all pairs of attributes


def split_of(spec: Any) -> Split:
    """Return the split of a spec; it depends on the spec alone."""
    return split_by(spec_key(spec), attribute_pairs(spec))


def attribute_pairs(spec: Any) -> set[tuple[str, str]]:
    """Return the pairs (colour, noun) and (noun, direction), whose novelty the combination split tests."""
    nouns = {actor.id: actor.noun for actor in spec.actors}
    pairs = {(actor.colour, actor.noun) for actor in spec.actors if actor.colour}
    return pairs | {(nouns[event.actor], event.direction) for event in spec.events if event.direction}


def split_by(key: str, pairs: Iterable[tuple[str, str]]) -> Split:
    """Return the split of a spec with this key and these pairs of attributes.

    A spec is `combination` if one of its pairs is kept out of training, else held out or train by its key.
    """
    if any(_share(f"{a}|{b}") < COMBINATION_SHARE for a, b in pairs):
        return "combination"
    return "heldout" if int(key[:8], 16) < HELDOUT_SHARE * 2**32 else "train"


def split_rng(seed: int, split: str) -> np.random.Generator:
    """Return the random generator of a seed and a split, so that the splits of one seed differ."""
    if split not in ("train", "heldout", "combination"):
        raise UsageError(f"unknown split '{split}'. {suggest(split, ('train', 'heldout', 'combination'))}")
    return np.random.default_rng([seed, {"train": 1, "heldout": 2, "combination": 3}[split]])


def _share(text: str) -> float:
    return int(hashlib.sha256(f"combination {text}".encode()).hexdigest()[:8], 16) / 2**32
