"""Check that a spec fits the task and the kind of its case.

The task and the kind of an entry of a plan select the checks, so a spec that does not fit them cannot be judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from chronotope.worlds.stage.backdrops import PLAIN_COLOURS
from chronotope.worlds.stage.checks.boundaries import closes
from chronotope.worlds.stage.checks.identity import MIN_SIDE_DISTANCE
from chronotope.worlds.stage.checks.relations import CAMERA_DIRECTIONS, MIN_CAMERA_MOTION, absent_of, true_camera_motion
from chronotope.worlds.stage.checks.tracking import overlaps, truth_of, unsupported
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.suites.prompts import PROMPT_KINDS
from chronotope.worlds.stage.suites.tasks import CONTEXT_FRAMES, END_FRAMES, RETAKE_SECONDS, half_of

__all__ = ["infeasible"]

UNLIMITED = 10**6
Rule = tuple[Callable[[Spec], bool], str]  # a condition on a spec, and what to call it in the message


def infeasible(task: str, kind: str, spec: Spec, prompt: str) -> str | None:
    """Return why a case of this task and kind cannot be judged by this spec, or None; unknown names have no rules."""
    if task and kind in PROMPT_KINDS:
        return f"task '{task}' and kind '{kind}'; a case is one of the two, so leave one out"
    count_only = kind == "count"  # equal actors cannot be told apart, but only their number is checked
    if problem := unsupported(dataclasses.replace(spec, actors=spec.actors[:1], events=()) if count_only else spec):
        return problem
    for name, rules in ((task, _TASK_RULES.get(task, ())), (kind, _KIND_RULES.get(kind, ()))):
        for fits, requirement in rules:
            if not fits(spec):
                return f"{name} asks for {requirement}"
    if kind == "absence" and absent_of(spec) not in prompt:
        return f"absence asks for a prompt that rules out the {absent_of(spec)}, got {prompt!r}"
    return None


def _actors(least: int, most: int) -> Rule:
    return lambda spec: least <= len(spec.actors) <= most, f"{_range_text(least, most)} actor{'s' * (most > 1)}"


def _range_text(least: int, most: int) -> str:
    if least == most:
        return f"{least}"
    return f"{least} or more" if most == UNLIMITED else f"{least} to {most}"


def _frames(more_than: int) -> Rule:
    return lambda spec: spec.num_frames > more_than, f"more than {more_than} frames"


def _events(least: int, most: int) -> Rule:
    """Require a number of events; a picture has none, whatever its story."""
    text = f"{_range_text(least, most)} event{'s' * (most > 1)}"
    return lambda spec: spec.num_frames == 1 or least <= len(spec.events) <= most, text


def _same_looks(spec: Spec) -> bool:
    return len({(actor.noun, actor.colour) for actor in spec.actors}) == 1


def _stand_apart(spec: Spec) -> bool:
    return not overlaps(spec, spec.num_frames).any()


def _side_by_side(spec: Spec) -> bool:
    x = truth_of(spec).x
    return float(np.median(np.abs(x[:, 0] - x[:, 1]))) >= MIN_SIDE_DISTANCE * min(spec.width, spec.height)


def _different_starts(spec: Spec) -> bool:
    return len({event.start for event in spec.events}) == len(spec.events)


def _in_own_halves(spec: Spec) -> bool:
    return {half_of(spec, 0), half_of(spec, 1)} == {"left", "right"}


_NO_EVENTS: Rule = (lambda spec: not spec.events, "actors to whom nothing happens")
_COLOURED: Rule = (lambda spec: all(actor.colour for actor in spec.actors), "shapes, which have a colour")
_LOOPS: Rule = (closes, "a clip whose end is its beginning")
_KIND_RULES: dict[str, tuple[Rule, ...]] = {
    "single attribute": (_actors(1, 1), _COLOURED),
    "attribute binding": (
        _actors(2, 2),
        _COLOURED,
        (lambda s: len({one.colour for one in s.actors}) == 2, "two colours"),
    ),
    "count": (
        _actors(1, 5),
        (_same_looks, "actors of one kind and colour"),
        _NO_EVENTS,
        (_stand_apart, "actors that stand apart"),
    ),
    "spatial relation": (
        _actors(2, 2),
        (_side_by_side, f"two of whom one is left of the other by {MIN_SIDE_DISTANCE:g} short sides"),
    ),
    "motion verb": (_actors(1, 1), _events(1, UNLIMITED), _frames(1)),
    "ordered events": (
        _actors(1, 1),
        _events(2, UNLIMITED),
        _frames(1),
        (_different_starts, "events that begin one after the other"),
    ),
    "camera motion": (
        (lambda s: s.camera.direction in CAMERA_DIRECTIONS, f"a camera that goes {', '.join(CAMERA_DIRECTIONS)}"),
        _frames(1),
        (lambda s: true_camera_motion(s) >= MIN_CAMERA_MOTION, "a camera that is seen to move"),
    ),
    "absence": (_actors(1, UNLIMITED),),
    "background": ((lambda s: s.backdrop not in PLAIN_COLOURS, "a place that is no plain colour"),),
    "goes, then stays": (_actors(1, 1), _events(1, 1)),
    "goes, at the end comes back": (_actors(1, 1), _events(2, 2)),
    "two, of whom one changes its size": (_actors(2, 2), _events(1, 1)),
    "to and fro": (_actors(1, 1), _events(1, UNLIMITED)),
}
_TASK_RULES: dict[str, tuple[Rule, ...]] = {
    "picture": ((lambda s: s.num_frames == 1, "1 frame"),),
    "animate a picture": (_frames(1),),
    "first and last frame": (_frames(2),),
    "extend forward": (_frames(CONTEXT_FRAMES),),
    "extend backward": (_frames(CONTEXT_FRAMES),),
    "connect": (_frames(2 * END_FRAMES),),
    "loop of words": (_actors(1, 1), _frames(3), _LOOPS),
    "loop of a clip": (_actors(1, 1), _frames(CONTEXT_FRAMES), _LOOPS),
    "edit the colour": (
        _actors(1, 1),
        (lambda s: s.actors[0].colour in SCOPES["small"].colours, f"a shape in {', '.join(SCOPES['small'].colours)}"),
    ),
    "retake": (
        _actors(1, UNLIMITED),
        (lambda s: round(RETAKE_SECONDS[1] * s.fps) < s.num_frames, f"a clip of more than {RETAKE_SECONDS[1]:g} s"),
        (
            lambda s: round(RETAKE_SECONDS[0] * s.fps) < round(RETAKE_SECONDS[1] * s.fps),
            "a rate at which that span has a frame",
        ),
    ),
    "inpaint": (_actors(2, 2), (_in_own_halves, "two of whom each keeps to a half of the frame of its own")),
    "rollout": (_frames(1),),
}
