"""The key of a spec and its split: train, held out by hash, or a pair of attributes that training never sees."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from chronotope.config import to_dict
from chronotope.errors import UsageError, suggest

__all__ = [
    "COMBINATION_SHARE",
    "HELDOUT_SHARE",
    "Split",
    "attribute_pairs",
    "key_of_record",
    "spec_key",
    "split_by",
    "split_of",
    "split_of_record",
    "split_rng",
    "to_json",
]


def to_json(spec: object) -> str:
    """Write a spec as canonical JSON: sorted keys, no spaces."""
    return _canonical(to_dict(spec))


def spec_key(spec: object) -> str:
    """Return the SHA-256 of the canonical JSON of a spec, in hex digits."""
    return key_of_record(to_dict(spec))


def _canonical(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def key_of_record(data: Mapping[str, Any]) -> str:
    """Return the key of a spec as it is written beside its clip."""
    return hashlib.sha256(_canonical(data).encode()).hexdigest()


Split = Literal["train", "heldout", "combination"]


HELDOUT_SHARE = 0.05  # of all specs
COMBINATION_SHARE = 0.06  # of all pairs of attributes


def split_of(spec: Any) -> Split:
    """Return the split of a spec; it depends on the spec alone."""
    return "combination" if _is_kept_out(attribute_pairs(spec)) else _split_of_key(spec_key(spec))


def attribute_pairs(spec: Any) -> set[tuple[str, str]]:
    """Return the pairs (colour, noun) and (noun, direction), whose novelty the combination split tests."""
    nouns = {actor.id: actor.noun for actor in spec.actors}
    pairs = {(actor.colour, actor.noun) for actor in spec.actors if actor.colour}
    return pairs | {(nouns[event.actor], event.direction) for event in spec.events if event.direction}


def split_of_record(spec: Mapping[str, Any]) -> Split:
    """Return the split of a spec as it is written beside its clip, by `split_of` where it holds what a spec holds."""
    actors, events = (
        [row for row in found if isinstance(row, Mapping)] if isinstance(found := spec.get(name), list) else []
        for name in ("actors", "events")
    )
    nouns = {str(actor.get("id")): str(actor.get("noun")) for actor in actors}
    pairs = {(str(actor["colour"]), str(actor.get("noun"))) for actor in actors if actor.get("colour")}
    pairs |= {
        (nouns[str(event.get("actor"))], str(event["direction"]))
        for event in events
        if event.get("direction") and str(event.get("actor")) in nouns
    }
    return split_by(key_of_record(spec), pairs) if actors else "train"


def split_by(key: str, pairs: Iterable[tuple[str, str]]) -> Split:
    """Return the split of a spec with this key and these pairs of attributes.

    A spec is `combination` if one of its pairs is kept out of training, else held out or train by its key.
    """
    return "combination" if _is_kept_out(pairs) else _split_of_key(key)


def _is_kept_out(pairs: Iterable[tuple[str, str]]) -> bool:
    return any(_share(f"{a}|{b}") < COMBINATION_SHARE for a, b in pairs)


def _split_of_key(key: str) -> Split:
    return "heldout" if int(key[:8], 16) < HELDOUT_SHARE * 2**32 else "train"


def split_rng(seed: int, split: str) -> np.random.Generator:
    """Return the random generator of a seed and a split, so that the splits of one seed differ."""
    if split not in ("train", "heldout", "combination"):
        raise UsageError(f"unknown split '{split}'. {suggest(split, ('train', 'heldout', 'combination'))}")
    return np.random.default_rng([seed, {"train": 1, "heldout": 2, "combination": 3}[split]])


@functools.lru_cache(maxsize=2**14)
def _share(text: str) -> float:
    return int(hashlib.sha256(f"combination {text}".encode()).hexdigest()[:8], 16) / 2**32
