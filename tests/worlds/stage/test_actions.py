"""Deeds that leave a trace: of the stage's own playing everything holds; each fault is called by its name and in its
frame.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from chronotope.errors import UsageError
from chronotope.worlds.check import Check
from chronotope.worlds.stage.checks.actions import rotation_steps
from chronotope.worlds.stage.checks.attributes import detect
from chronotope.worlds.stage.checks.detector import load_detector
from chronotope.worlds.stage.checks.predicates import check
from chronotope.worlds.stage.checks.tracking import ACTIONS, track_actors, unsupported
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.scope import single_event_scope
from chronotope.worlds.stage.spec import Actor, Camera, Event, Spec

BALLS = (
    Actor("one", "circle", "shape", 0.15, 0.5, 0.44, "red"),
    Actor("two", "circle", "shape", 0.55, 0.5, 0.44, "blue", depth=0.6),
)
FOX, APPLE = Actor("fox", "fox", "emoji", 0.2, 0.7, 0.45, depth=0.2), Actor("apple", "apple", "emoji", 0.8, 0.75, 0.32)
CAT = Actor("cat", "cat", "emoji", 0.82, 0.7, 0.45, facing="left")
SQUARE = Actor("square", "square", "shape", 0.5, 0.5, 0.45, "purple")
HEART = Actor("heart", "heart", "shape", 0.5, 0.28, 0.42, "green")


def spec_of(actors: tuple[Actor, ...], *events: Event, width: int = 112, frames: int = 17) -> Spec:
    return Spec(width, 64, 8.0, frames, 1, "white", Camera(), actors, events)


SPECS = {
    "hit": spec_of(BALLS, Event("hit", "one", 0.0, 2.0, "right", "two", amount=0.6), width=128),
    "eat": spec_of((FOX, APPLE), Event("eat", "fox", 0.0, 1.25, "right", "apple")),
    "meet": spec_of((FOX, CAT), Event("meet", "fox", 0.0, 1.5, "right", "cat")),
    "bounce": spec_of((HEART,), Event("bounce", "heart", 0.0, 2.125)),
    "spin": spec_of((SQUARE,), Event("spin", "square", 0.0, 2.0)),
    "stop": spec_of((FOX,), Event("walk", "fox", 0.0, 2.0, "right", amount=0.6), Event("stop", "fox", 1.0, 1.0)),
}


def found(spec: Spec, frames: np.ndarray) -> tuple[Check, ...]:
    return check(load_detector(), spec, frames)


def codes(spec: Spec, frames: np.ndarray) -> set[str]:
    return {one.code for one in found(spec, frames) if one.code}


def played(spec: Spec, *events: Event) -> np.ndarray:
    """The same actors doing something else."""
    return render(dataclasses.replace(spec, events=events)).frames


@pytest.mark.parametrize("deed", ACTIONS)
def test_of_the_stages_own_playing_everything_holds(deed: str) -> None:
    wrong = [one for one in found(SPECS[deed], render(SPECS[deed]).frames) if not one.holds]
    assert not wrong


@pytest.mark.parametrize("deed", ACTIONS)
def test_of_a_frozen_clip_the_deed_itself_fails(deed: str) -> None:
    spec = SPECS[deed]
    frozen = np.repeat(render(spec).frames[:1], spec.num_frames, axis=0)
    names = {one.name for one in found(spec, frozen) if not one.holds}
    wanted = {"hit": "is driven off", "eat": "is eaten", "meet": "touches the other", "stop": "walk right"}.get(
        deed, deed
    )
    assert wanted in names


def test_struck_before_the_contact() -> None:
    spec = SPECS["hit"]
    way = Event("move", "one", 0.0, 2.0, "right", amount=0.15), Event("move", "two", 0.0, 1.0, "right", amount=0.25)
    early = next(one for one in found(spec, played(spec, *way)) if one.code == "CAU-ORD")
    assert early.actor == "two" and 1 <= (early.frame or 0) <= 5


def test_struck_and_yet_at_rest_or_pushed_along() -> None:
    spec = SPECS["hit"]
    assert "PHY-COL" in codes(spec, played(spec, Event("move", "one", 0.0, 1.0, "right", amount=0.15)))
    assert "PHY-COL" in codes(spec, played(spec, Event("push", "one", 0.0, 2.0, "right", "two", amount=0.4)))


def test_gone_too_early_still_there_or_back_again() -> None:
    spec = SPECS["eat"]
    true = render(spec).frames
    alone = render(
        dataclasses.replace(spec, actors=(FOX,), events=(Event("walk", "fox", 0.0, 1.25, "right", amount=0.4),))
    ).frames
    uneaten = played(spec, Event("walk", "fox", 0.0, 1.25, "right", amount=0.3))
    early = next(one for one in found(spec, np.concatenate([true[:3], alone[3:]])) if one.code == "CAU-ORD")
    assert early.actor == "apple" and abs((early.frame or 0) - 3) <= 1
    back = next(one for one in found(spec, np.concatenate([true[:14], uneaten[14:]])) if one.code == "CAU-STA")
    assert back.actor == "apple" and back.frame == 14
    assert "CAU-STA" in codes(spec, uneaten)


def test_through_each_other() -> None:
    spec = SPECS["meet"]
    through = Event("walk", "fox", 0.0, 1.5, "right", amount=0.6), Event("walk", "cat", 0.0, 1.5, "left", amount=0.6)
    assert "PHY-PEN" in codes(spec, played(spec, *through))


def test_things_fall_faster_and_faster_and_come_up_lower() -> None:
    spec = SPECS["bounce"]
    clip = render(spec)
    assert "PHY-NRG" in codes(spec, clip.frames[::-1])
    evenly = played(
        spec,
        Event("move", "heart", 0.0, 0.55, "down", amount=0.4),
        Event("move", "heart", 0.55, 1.1, "up", amount=0.35),
    )
    assert "PHY-GRV" in codes(spec, evenly)


def test_going_on_is_no_stop() -> None:
    spec = SPECS["stop"]
    assert codes(spec, played(spec, spec.events[0])) == {"TXT-ACT"}


def test_the_turn_that_is_measured_is_the_turn_that_was_made() -> None:
    for spin in (spec_of((SQUARE,), Event("spin", "square", 0.0, 2.0, amount=turns)) for turns in (0.5, 1.0, 1.5)):
        clip = render(spin)
        steps = rotation_steps(scene := track_actors(detect(load_detector(), clip.frames), spin), scene.actors[0])
        assert steps is not None
        assert abs(steps.sum() - (clip.truth.rotation[-1, 0] - clip.truth.rotation[0, 0])) < 40
        back = rotation_steps(scene := track_actors(detect(load_detector(), clip.frames[::-1]), spin), scene.actors[0])
        assert back is not None and back.sum() < -100


def test_two_alike_are_told_apart_by_their_colours_even_where_they_touch() -> None:
    spec = SPECS["hit"]
    clip = render(spec)
    scene = track_actors(detect(load_detector(), clip.frames), spec)
    for place, one in enumerate(scene.actors):
        inside = one.found & (clip.truth.visible_fraction[:, place] > 0.95)
        assert inside.sum() >= 8
        assert np.abs(one.trail.centres[inside, 0] - clip.truth.x[inside, place] / 64).max() < 0.07


def test_what_cannot_be_told_apart_is_refused() -> None:
    same = dataclasses.replace(BALLS[1], colour="red")
    assert "kind and colour" in (unsupported(spec_of((BALLS[0], same))) or "")
    turning = spec_of(
        (SQUARE, dataclasses.replace(HEART, x=0.2)), Event("spin", "square", 0.0, 2.0), Event("spin", "heart", 0.0, 2.0)
    )
    assert "turn at once" in (unsupported(turning) or "")
    close = spec_of((FOX, dataclasses.replace(CAT, x=0.45)), Event("meet", "fox", 0.0, 1.5, "right", "cat"))
    assert "from the beginning" in (unsupported(close) or "")
    with pytest.raises(UsageError, match="not an action"):
        single_event_scope("walk")
