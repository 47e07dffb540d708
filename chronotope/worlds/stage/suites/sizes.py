"""The same scenes in several sizes and shapes of frame: those of the scope `small`, which the shipped model learnt, and others.

Story, actors, place and words are the same in every size; the backdrop's variation and the model's noise, whose seeds hang on the spec
and its size, are not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Actor, Spec
from chronotope.worlds.stage.sprites import aspect
from chronotope.worlds.stage.suites.specs import SuiteItem, held_out, specs_of, worded
from chronotope.worlds.stage.tracks import floor_y

__all__ = ["SIZES", "TRAINING", "resized", "sizes_suite", "trained"]

TRAINED = SCOPES["small"].sizes
OTHERS = ((112, 80), (128, 72), (72, 128), (128, 128))
SIZES = (*TRAINED, *OTHERS)  # widths and heights in pixels
TRAINING = ("a trained size", "a size never trained")
SPECS = 30
SCOPES_IN_TURN = ("small", "small", "acts")
FORMS = ("sentence", "tags", "paragraph", "sentence")


def sizes_suite() -> Iterator[SuiteItem]:
    """Every scene in every size, in the same words."""
    for index in range(SPECS):
        scope = dataclasses.replace(SCOPES[SCOPES_IN_TURN[index % 3]], sizes=((64, 64),))
        for base in specs_of(4_200_000 + index, scope, "heldout"):
            found = [spec for size in SIZES if (spec := held_out(resized(base, *size))) is not None]
            if len(found) == len(SIZES):
                break
        form = FORMS[index % len(FORMS)]
        prompt = worded(iter([base]), form)[1]
        for spec in found:
            yield SuiteItem(index, spec, prompt, form, kind=trained(spec))


def trained(spec: Spec) -> str:
    """Whether the frame has a size of the scope `small`."""
    return TRAINING[(spec.width, spec.height) not in TRAINED]


def resized(spec: Spec, width: int, height: int) -> Spec:
    """The same scene in another frame; a scene that fits a square fits any. Who stands on the ground still does."""
    actors = tuple(_placed(spec, actor, width, height) for actor in spec.actors)
    return dataclasses.replace(spec, width=width, height=height, actors=actors)


def _placed(spec: Spec, actor: Actor, width: int, height: int) -> Actor:
    tall, floor = aspect(actor.noun, actor.colour)[1], floor_y(1.0, actor.depth)
    before, after = (
        actor.size * tall * min(wide, high) / high / 2 for wide, high in ((spec.width, spec.height), (width, height))
    )
    return dataclasses.replace(actor, y=round(floor - after, 4)) if abs(actor.y + before - floor) < 0.01 else actor
