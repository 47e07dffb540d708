"""Sample specs for suites: held out from training, supported by the checks, with words that name their place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from chronotope.errors import UsageError
from chronotope.worlds.splits import Split, split_of
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.checks.tracking import TRAVELS, unsupported
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES, Scope
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.vocabulary import places

__all__ = ["fixed_length", "held_out", "names_place", "pair_specs", "specs_of", "travelling_specs", "worded"]

NUM_WORDINGS = 12  # searched for one that names the place


def specs_of(seed: int, scope: Scope, split: Split, action: str | None = None) -> Iterator[Spec]:
    """Yield supported specs of one seed; with an action, those that contain it."""
    for attempt in range(1000):
        spec = sample_spec(seed + 10_000_000 * attempt, scope, split)
        if (action is None or any(event.kind == action for event in spec.events)) and not unsupported(spec):
            yield spec


def worded(specs: Iterator[Spec], form: str) -> tuple[Spec, str]:
    """Return the first spec with a wording that names its place, and that wording.

    Raises UsageError where no spec has one.
    """
    for spec in specs:
        named = (text for text in captions(spec, NUM_WORDINGS)[form] if names_place(text, spec.backdrop))
        prompt = next(named, None)
        if prompt is not None:
            return spec, prompt
    raise UsageError("no spec of this scope can be judged")


def names_place(text: str, backdrop: str) -> bool:
    """Tell whether a text names the place."""
    names = (phrase.removeprefix("in front of ") for phrase in places(backdrop))
    return f"{backdrop} background" in text or any(name in text for name in names)


def held_out(spec: Spec) -> Spec | None:
    """Return the scene with the next seed of its backdrop by which it is held out by hash, or None for special pairs.

    Another seed changes clouds and hills, but neither actors nor events.
    """
    for step in range(1000):
        found = dataclasses.replace(spec, seed=(spec.seed + step) % 2**31)
        if (split := split_of(found)) != "train":
            return found if split == "heldout" else None
    return None


def fixed_length(name: str, num_frames: int, **changes: Any) -> Scope:
    """Return a scope whose clips all have this many frames, with other changes."""
    scope = dataclasses.replace(SCOPES[name], min_frames=num_frames, max_frames=num_frames, picture_share=0.0)
    return dataclasses.replace(scope, **changes)


def travelling_specs(seed: int, num_frames: int, sideways: bool = True) -> Iterator[Spec]:
    """Yield specs of one actor that moves evenly through the whole clip, horizontally if `sideways`."""
    for spec in specs_of(seed, fixed_length("small", num_frames, events=TRAVELS, max_actors=1), "heldout"):
        if len(spec.events) != 1:
            continue
        (event,) = spec.events
        travels = event.kind in TRAVELS and event.start == 0 and event.end >= spec.seconds - 1e-6
        if travels and (not sideways or event.direction in ("left", "right")):
            yield spec


def pair_specs(seed: int, num_frames: int) -> Iterator[Spec]:
    """Yield specs of two actors that keep their places and may grow or shrink."""
    scope = fixed_length("small", num_frames, events=("grow", "shrink"))
    return (spec for spec in specs_of(seed, scope, "heldout") if len(spec.actors) == 2)
