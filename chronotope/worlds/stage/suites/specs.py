"""Specs for suites: drawn by seed, never trained on, such as the checks can judge, and worded so that their place is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from chronotope.errors import UsageError
from chronotope.worlds.splits import Split, split_of
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.checks.tracking import TRAVELS, unsupported
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES, Scope
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.vocabulary import places

__all__ = [
    "held_out",
    "names_place",
    "pairs",
    "specs_of",
    "travellers",
    "worded",
]

WORDINGS = 12  # among which one that names the place is looked for


def specs_of(seed: int, scope: Scope, split: Split, deed: str | None = None) -> Iterator[Spec]:
    """Specs of one seed that can be judged; with a deed, those in which it is done."""
    for attempt in range(1000):
        spec = sample_spec(seed + 10_000_000 * attempt, scope, split)
        if (deed is None or any(event.kind == deed for event in spec.events)) and not unsupported(spec):
            yield spec


def worded(specs: Iterator[Spec], form: str) -> tuple[Spec, str]:
    """The first spec with a wording that names the place it will be judged by, and the first such wording."""
    for spec in specs:
        named = (text for text in captions(spec, WORDINGS)[form] if names_place(text, spec.backdrop))
        prompt = next(named, None)
        if prompt is not None:
            return spec, prompt
    raise UsageError("no spec of this scope can be judged")


def names_place(text: str, backdrop: str) -> bool:
    """Whether a text says where it all happens."""
    return f"{backdrop} background" in text or any(
        phrase.removeprefix("in front of ") in text for phrase in places(backdrop)
    )


def held_out(spec: Spec) -> Spec | None:
    """The same scene with the next seed of its backdrop that puts it among the specs held out by hash; nothing if its pairs are special.

    Another seed is another variation of the same place: clouds and hills stand elsewhere, actors and events do not.
    """
    for step in range(1000):
        found = dataclasses.replace(spec, seed=(spec.seed + step) % 2**31)
        if (split := split_of(found)) != "train":
            return found if split == "heldout" else None
    return None


def travellers(seed: int, num_frames: int, sideways: bool = True) -> Iterator[Spec]:
    """Specs of one actor that gets about evenly through the whole clip, to a side or (unless `sideways`) any way."""
    scope = dataclasses.replace(
        SCOPES["small"], events=TRAVELS, max_actors=1, min_frames=num_frames, max_frames=num_frames, picture_share=0.0
    )
    for spec in specs_of(seed, scope, "heldout"):
        whole = [
            event
            for event in spec.events
            if event.kind in TRAVELS and event.start == 0 and event.end >= spec.seconds - 1e-6
        ]
        if len(whole) == len(spec.events) == 1 and (not sideways or whole[0].direction in ("left", "right")):
            yield spec


def pairs(seed: int, num_frames: int) -> Iterator[Spec]:
    """Specs of two who keep their places; one or the other may grow or shrink."""
    scope = dataclasses.replace(
        SCOPES["small"], events=("grow", "shrink"), min_frames=num_frames, max_frames=num_frames, picture_share=0.0
    )
    return (spec for spec in specs_of(seed, scope, "heldout") if len(spec.actors) == 2)
