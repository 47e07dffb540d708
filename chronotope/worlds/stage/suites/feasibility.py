"""Whether a spec fits what its case says it asks: a task has room in it, and what the prompt names by its kind is there.

The task and the kind of a plan's line decide which checks run, so a line whose spec does not fit them cannot be judged by them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from chronotope.worlds.stage.backdrops import PLAIN_COLOURS
from chronotope.worlds.stage.checks.boundaries import closes
from chronotope.worlds.stage.checks.identity import ASIDE
from chronotope.worlds.stage.checks.relations import MOVING, SHOWN_BY_CAMERA, absent_of, camera_of
from chronotope.worlds.stage.checks.tracking import overlaps, truth_of, unsupported
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.suites.prompts import PROMPT_KINDS
from chronotope.worlds.stage.suites.tasks import END, GIVEN, RETAKE, half_of

__all__ = ["infeasible"]

_ENDLESS = 10**6
Rule = tuple[Callable[[Spec], bool], str]  # what must hold of a spec, and how to say it


def infeasible(task: str, kind: str, spec: Spec, prompt: str) -> str | None:
    """Why a case of this task and this kind cannot be judged by this spec, or nothing; names that are not known have no rules."""
    if task and kind in PROMPT_KINDS:
        return f"task '{task}' and kind '{kind}'; a case is one of the two, so leave one out"
    alike = kind == "count"  # only their number is judged
    if why := unsupported(dataclasses.replace(spec, actors=spec.actors[:1], events=()) if alike else spec):
        return why
    for name, rule in (
        *((task, rule) for rule in _OF_TASKS.get(task, ())),
        *((kind, rule) for rule in _OF_KINDS.get(kind, ())),
    ):
        if not rule[0](spec):
            return f"{name} asks for {rule[1]}"
    if kind == "absence" and absent_of(spec) not in prompt:
        return f"absence asks for a prompt that rules out the {absent_of(spec)}, got {prompt!r}"
    return None


def _many(least: int, most: int) -> Rule:
    return lambda spec: least <= len(spec.actors) <= most, f"{_said(least, most)} actor{'s' * (most > 1)}"


def _said(least: int, most: int) -> str:
    return f"{least}" if least == most else f"{least} or more" if most == _ENDLESS else f"{least} to {most}"


def _frames(more_than: int) -> Rule:
    return lambda spec: spec.num_frames > more_than, f"more than {more_than} frames"


def _deeds(least: int, most: int) -> Rule:
    """In a picture nothing happens, whatever the story."""
    return (
        lambda spec: spec.num_frames == 1 or least <= len(spec.events) <= most,
        f"{_said(least, most)} event{'s' * (most > 1)}",
    )


def _one_look(spec: Spec) -> bool:
    return len({(actor.noun, actor.colour) for actor in spec.actors}) == 1


def _stand_apart(spec: Spec) -> bool:
    return not overlaps(spec, spec.num_frames).any()


def _side_by_side(spec: Spec) -> bool:
    x = truth_of(spec).x
    return float(np.median(np.abs(x[:, 0] - x[:, 1]))) >= ASIDE * min(spec.width, spec.height)


def _one_after_the_other(spec: Spec) -> bool:
    return len({event.start for event in spec.events}) == len(spec.events)


def _a_half_each(spec: Spec) -> bool:
    return {half_of(spec, 0), half_of(spec, 1)} == {"left", "right"}


_STILL: Rule = (lambda spec: not spec.events, "actors to whom nothing happens")
_COLOURED: Rule = (lambda spec: all(actor.colour for actor in spec.actors), "shapes, which have a colour")
_LOOPS: Rule = (closes, "a clip whose end is its beginning")
_OF_KINDS: dict[str, tuple[Rule, ...]] = {
    "single attribute": (_many(1, 1), _COLOURED),
    "attribute binding": (
        _many(2, 2),
        _COLOURED,
        (lambda s: len({one.colour for one in s.actors}) == 2, "two colours"),
    ),
    "count": (
        _many(1, 5),
        (_one_look, "actors of one kind and colour"),
        _STILL,
        (_stand_apart, "actors that stand apart"),
    ),
    "spatial relation": (
        _many(2, 2),
        (_side_by_side, f"two of whom one is left of the other by {ASIDE:g} short sides"),
    ),
    "motion verb": (_many(1, 1), _deeds(1, _ENDLESS), _frames(1)),
    "ordered events": (
        _many(1, 1),
        _deeds(2, _ENDLESS),
        _frames(1),
        (_one_after_the_other, "events that begin one after the other"),
    ),
    "camera motion": (
        (lambda s: s.camera.direction in SHOWN_BY_CAMERA, f"a camera that goes {', '.join(SHOWN_BY_CAMERA)}"),
        _frames(1),
        (lambda s: camera_of(s) >= MOVING, "a camera that is seen to move"),
    ),
    "absence": (_many(1, _ENDLESS),),
    "background": ((lambda s: s.backdrop not in PLAIN_COLOURS, "a place that is no plain colour"),),
    "goes, then stays": (_many(1, 1), _deeds(1, 1)),
    "goes, at the end comes back": (_many(1, 1), _deeds(2, 2)),
    "two, of whom one changes its size": (_many(2, 2), _deeds(1, 1)),
    "to and fro": (_many(1, 1), _deeds(1, _ENDLESS)),
}
_OF_TASKS: dict[str, tuple[Rule, ...]] = {
    "picture": ((lambda s: s.num_frames == 1, "1 frame"),),
    "animate a picture": (_frames(1),),
    "first and last frame": (_frames(2),),
    "extend forward": (_frames(GIVEN),),
    "extend backward": (_frames(GIVEN),),
    "connect": (_frames(2 * END),),
    "loop of words": (_many(1, 1), _frames(3), _LOOPS),
    "loop of a clip": (_many(1, 1), _frames(GIVEN), _LOOPS),
    "edit the colour": (
        _many(1, 1),
        (lambda s: s.actors[0].colour in SCOPES["small"].colours, f"a shape in {', '.join(SCOPES['small'].colours)}"),
    ),
    "retake": (
        _many(1, _ENDLESS),
        (lambda s: round(RETAKE[1] * s.fps) < s.num_frames, f"a clip of more than {RETAKE[1]:g} s"),
        (lambda s: round(RETAKE[0] * s.fps) < round(RETAKE[1] * s.fps), "a rate at which that span has a frame"),
    ),
    "inpaint": (_many(2, 2), (_a_half_each, "two of whom each keeps to a half of the frame of its own")),
    "rollout": (_frames(1),),
}
