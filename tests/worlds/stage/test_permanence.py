"""Out of sight and back: of the stage's own playing everything holds; what is lost, changed, exchanged or turned is
called by its name.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from chronotope.errors import UsageError
from chronotope.metrics.statistics import Rate
from chronotope.worlds.check import Check
from chronotope.worlds.stage.checks.coverage import coverage
from chronotope.worlds.stage.checks.detector import load_detector
from chronotope.worlds.stage.checks.identity import identity_stratum
from chronotope.worlds.stage.checks.predicates import check
from chronotope.worlds.stage.checks.tracking import unsupported
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Actor, Camera, Event, Spec

FOX = Actor("fox", "fox", "emoji", 0.15, 0.55, 0.42, depth=0.9)
WALL = Actor("wall", "square", "shape", 0.5, 0.5, 0.72, "blue", depth=0.2)
HEART = Actor("heart", "heart", "shape", 0.6, 0.5, 0.46, "red")
STAR = Actor("star", "square", "shape", 0.2, 0.5, 0.46, "red", depth=0.3)


def spec_of(actors: tuple[Actor, ...], *events: Event) -> Spec:
    return Spec(128, 64, 8.0, 29, 1, "white", Camera(), actors, events)


HIDE = Event("hide", "fox", 0.0, 1.4, "right", "wall"), Event("emerge", "fox", 2.0, 3.5, "right", "wall", amount=0.36)
AWAY = Event("leave", "heart", 0.0, 1.4, "right"), Event("enter", "heart", 2.2, 3.6, "left")
LARGER = AWAY[0], Event("grow", "heart", 1.4, 2.2, amount=1.5), AWAY[1]
PAST = Event("move", "star", 0.0, 3.6, "right", amount=0.55), Event("move", "heart", 0.0, 3.6, "left", amount=0.42)
SPECS = {
    "I3": spec_of((FOX, WALL), *HIDE),
    "I4": spec_of((HEART,), *AWAY),
    "I5": spec_of((HEART,), *LARGER),
    "I1": spec_of((STAR, HEART), *PAST),
    "I0": spec_of((STAR, HEART), Event("beside", "star", 0.0, 0.0, "left", "heart")),
}


def found(spec: Spec, frames: np.ndarray) -> tuple[Check, ...]:
    return check(load_detector(), spec, frames)


def codes(spec: Spec, frames: np.ndarray) -> dict[str, Check]:
    return {one.code: one for one in found(spec, frames) if one.code}


def without(spec: Spec, name: str) -> np.ndarray:
    events = tuple(event for event in spec.events if name not in (event.actor, event.target))
    return render(dataclasses.replace(spec, actors=tuple(a for a in spec.actors if a.id != name), events=events)).frames


def played(spec: Spec, *events: Event, **of_actors: Actor) -> np.ndarray:
    """Something else happening, maybe to others."""
    actors = tuple(of_actors.get(actor.id, actor) for actor in spec.actors)
    return render(dataclasses.replace(spec, actors=actors, events=events or spec.events)).frames


@pytest.mark.parametrize("level", SPECS)
def test_of_the_stages_own_playing_everything_holds(level: str) -> None:
    spec = SPECS[level]
    assert identity_stratum(spec)[:2] == level
    assert not codes(spec, render(spec).frames)


def test_lost_behind_the_cover_and_lost_outside() -> None:
    for level, name in (("I3", "fox"), ("I4", "heart")):
        spec = SPECS[level]
        lost = codes(spec, np.concatenate([render(spec).frames[:14], without(spec, name)[14:]]))
        assert lost["PRM-OCC"].actor == name and (lost["PRM-OCC"].frame or 0) > 14 and "OBJ-DIS" not in lost


def test_back_on_the_wrong_side_as_another_or_in_another_size() -> None:
    spec = SPECS["I3"]
    true, other_side = render(spec).frames, dataclasses.replace(HIDE[1], direction="left")
    assert "PRM-RET" in codes(spec, played(spec, HIDE[0], other_side))
    cat = dataclasses.replace(FOX, noun="cat")
    assert "PRM-RET" in codes(spec, np.concatenate([true[:14], played(spec, fox=cat)[14:]]))
    small = played(spec, HIDE[0], Event("shrink", "fox", 1.4, 2.0, amount=0.6), HIDE[1])
    assert "PRM-RET" in codes(spec, small)
    spec = SPECS["I5"]
    assert "PRM-RET" in codes(spec, played(spec, *AWAY))  # it should have been larger
    assert "PRM-RET" in codes(SPECS["I4"], render(spec).frames)  # it should not
    blue = dataclasses.replace(HEART, colour="blue")
    assert "PRM-RET" in codes(spec, np.concatenate([render(spec).frames[:14], played(spec, heart=blue)[14:]]))


def test_far_too_early_is_a_wrong_return() -> None:
    spec = SPECS["I3"]
    late = spec_of((FOX, WALL), HIDE[0], dataclasses.replace(HIDE[1], start=2.8))
    assert "PRM-RET" in codes(late, played(spec, HIDE[0], dataclasses.replace(HIDE[1], start=1.8, end=2.4)))


def test_who_is_never_out_of_sight_has_not_passed_the_gate() -> None:
    spec = SPECS["I3"]
    in_front = played(
        spec, Event("walk", "fox", 0.0, 3.5, "right", amount=0.7), fox=dataclasses.replace(FOX, depth=0.1)
    )
    names = {one.name for one in found(spec, in_front) if not one.holds}
    assert "goes out of sight" in names and not any(name.startswith("comes back") for name in names)


def test_coverage_counts_the_gate_and_what_follows_apart() -> None:
    spec = SPECS["I4"]
    true, lost = render(spec).frames, np.concatenate([render(spec).frames[:14], without(spec, "heart")[14:]])
    stays = played(spec, Event("spin", "heart", 0.0, 0.1))
    rates = coverage([found(spec, frames) for frames in (true, true, lost, stays)])
    assert rates.gate == Rate(3, 4) and rates.success == Rate(2, 3) and rates.both == Rate(2, 4)


def test_exchanged_where_they_pass_each_other() -> None:
    spec = SPECS["I1"]
    true = render(spec)
    moment = int(np.abs(true.truth.x[:, 0] - true.truth.x[:, 1]).argmin())
    looks = {"star": dataclasses.replace(STAR, noun="heart"), "heart": dataclasses.replace(HEART, noun="square")}
    swapped = codes(spec, np.concatenate([true.frames[:moment], played(spec, **looks)[moment:]]))
    assert swapped["ID-SWP"].frame is not None and swapped["ID-SWP"].frame >= moment


def test_turned_into_another_thing_in_full_view() -> None:
    spec = SPECS["I0"]
    triangle = dataclasses.replace(HEART, noun="triangle")
    turned = codes(spec, np.concatenate([render(spec).frames[:12], played(spec, heart=triangle)[12:]]))
    assert turned["ID-SHP"].actor == "heart" and turned["ID-SHP"].frame == 12


def test_on_the_wrong_side() -> None:
    spec = SPECS["I0"]
    mirrored = np.ascontiguousarray(render(spec).frames[:, :, ::-1])
    assert set(codes(spec, mirrored)) == {"TXT-REL"}


def test_slow_is_slow_and_fast_is_fast() -> None:
    fast = Event("dash", "star", 0.5, 1.6, "right", amount=0.5)
    slow = Event("creep", "star", 0.0, 3.5, "right", amount=0.24)
    for told, other in ((fast, slow), (slow, fast)):
        spec = spec_of((STAR,), told)
        assert not codes(spec, render(spec).frames)
        assert "MOT-SPD" in codes(spec, played(spec, other))


def test_who_is_said_to_stay_away_does_not_come_back() -> None:
    spec = spec_of((HEART,), AWAY[0], Event("stay", "heart", 1.4, 3.6))
    assert not codes(spec, render(spec).frames)
    back = codes(spec, played(spec, *AWAY))
    assert back["TXT-NEG"].actor == "heart" and (back["TXT-NEG"].frame or 0) >= 16


def test_who_goes_out_of_sight_twice_is_not_judged() -> None:
    through_autoencoder = Event("leave", "heart", 0.0, 0.8, "right"), Event("enter", "heart", 1.0, 1.8, "right")
    again = tuple(
        dataclasses.replace(event, start=event.start + 1.8, end=event.end + 1.8) for event in through_autoencoder
    )
    once, twice = (spec_of((HEART, FOX), *events) for events in (through_autoencoder, (*through_autoencoder, *again)))
    assert unsupported(once) is None
    for spec in (twice, spec_of((HEART,), *through_autoencoder, again[0], Event("stay", "heart", 2.6, 3.6))):
        assert "heart goes out of sight more than once" in (unsupported(spec) or "")
        with pytest.raises(UsageError, match="more than once"):
            found(spec, render(spec).frames)
