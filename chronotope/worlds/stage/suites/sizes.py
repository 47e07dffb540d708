"""The same scenes in several frame sizes: those on which the shipped model was trained, and others.

Story, actors, place and words are the same in every size. The variation of the backdrop and the model's noise differ,
because their seeds depend on the size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from chronotope.worlds.case import SuiteItem
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Actor, Spec
from chronotope.worlds.stage.sprites import aspect
from chronotope.worlds.stage.suites.specs import held_out, specs_of, worded
from chronotope.worlds.stage.tracks import floor_y

__all__ = ["SIZES", "SIZE_KINDS", "resized", "size_kind", "sizes_suite"]

TRAINED_SIZES = SCOPES["small"].sizes
OTHER_SIZES = ((112, 80), (128, 72), (72, 128), (128, 128))
SIZES = (*TRAINED_SIZES, *OTHER_SIZES)  # widths and heights in pixels
SIZE_KINDS = ("a trained size", "a size never trained")
NUM_SCENES = 30
SCOPES_IN_TURN = ("small", "small", "acts")
FORMS = ("sentence", "tags", "paragraph", "sentence")


def sizes_suite() -> Iterator[SuiteItem]:
    """Yield every scene in every size, in the same words."""
    for index in range(NUM_SCENES):
        scope = dataclasses.replace(SCOPES[SCOPES_IN_TURN[index % 3]], sizes=((64, 64),))
        for base in specs_of(4_200_000 + index, scope, "heldout"):
            found = [spec for size in SIZES if (spec := held_out(resized(base, *size))) is not None]
            if len(found) == len(SIZES):
                break
        form = FORMS[index % len(FORMS)]
        prompt = worded(iter([base]), form)[1]
        for spec in found:
            yield SuiteItem(index, spec, prompt, form, kind=size_kind(spec))


def size_kind(spec: Spec) -> str:
    """Tell whether the frame has a size of the scope `small`."""
    return SIZE_KINDS[(spec.width, spec.height) not in TRAINED_SIZES]


def resized(spec: Spec, width: int, height: int) -> Spec:
    """Return the same scene in another frame size; an actor on the ground stays on the ground.

    A scene that fits a square fits every size.
    """
    actors = tuple(_grounded(spec, actor, width, height) for actor in spec.actors)
    return dataclasses.replace(spec, width=width, height=height, actors=actors)


def _grounded(spec: Spec, actor: Actor, width: int, height: int) -> Actor:
    relative_height, floor = aspect(actor.noun, actor.colour)[1], floor_y(1.0, actor.depth)
    before = actor.size * relative_height * min(spec.width, spec.height) / spec.height / 2
    after = actor.size * relative_height * min(width, height) / height / 2
    return dataclasses.replace(actor, y=round(floor - after, 4)) if abs(actor.y + before - floor) < 0.01 else actor
