"""Specs survive JSON, have a key, and raise clear errors for contradictions."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from chronotope.config import from_dict
from chronotope.errors import UsageError
from chronotope.worlds.splits import spec_key, to_json
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.simulate import simulate
from chronotope.worlds.stage.spec import Camera, Spec

from .scenes import clip, does, emoji, shape


@pytest.mark.parametrize("scope", SCOPES)
def test_specs_survive_json(scope: str) -> None:
    for seed in range(20):
        spec = sample_spec(seed, SCOPES[scope])
        assert from_dict(Spec, json.loads(to_json(spec))) == spec


def test_the_key_depends_on_every_part() -> None:
    spec = clip(shape("a"), events=(does("grow", "a", 0, 1),))
    others = [
        dataclasses.replace(spec, seed=2),
        dataclasses.replace(spec, fps=9.0),
        dataclasses.replace(spec, backdrop="sky"),
        dataclasses.replace(spec, camera=Camera("pan", "left")),
        dataclasses.replace(spec, events=()),
        dataclasses.replace(spec, actors=(shape("a", x=0.51),)),
    ]
    assert len({spec_key(s) for s in [spec, *others]}) == 7
    assert len(spec_key(spec)) == 64


two = (shape("a", x=0.2), shape("b", x=0.8))
BAD: list[tuple[dict[str, Any], str]] = [
    ({"backdrop": "hils"}, "Did you mean 'hills'"),
    ({"width": 0}, "0x64"),
    ({"num_frames": 0}, "num_frames"),
    ({"fps": 0.0}, "fps"),
    ({"actors": (shape("a"), shape("a"))}, "share an id"),
    ({"actors": (shape("a", noun="cirle"),)}, "Did you mean 'circle'"),
    ({"actors": (emoji("foxx"),)}, "Did you mean 'fox'"),
    ({"actors": (shape("a", colour="rde"),)}, "Did you mean 'red'"),
    ({"actors": (dataclasses.replace(emoji("fox"), colour="red"),)}, "its own colours"),
    ({"actors": (shape("a", size=0.0),)}, "size"),
    ({"actors": (shape("a", depth=1.5),)}, "depth"),
    ({"events": (does("wlak", "a", 0, 1, "left"),)}, "Did you mean 'walk'"),
    ({"events": (does("walk", "c", 0, 1, "left"),)}, "there is no actor 'c'"),
    ({"events": (does("walk", "a", 0, 1),)}, "direction None, expected left or right"),
    ({"events": (does("walk", "a", 0, 1, "up"),)}, "expected left or right"),
    ({"events": (does("grow", "a", 0, 1, "left"),)}, "expected none"),
    ({"events": (does("walk", "a", 2, 1, "left"),)}, "not a valid span"),
    ({"events": (does("walk", "a", 0, 9, "left"),)}, "not a valid span"),
    ({"events": (does("walk", "a", 0, 1, "left", amount=-1.0),)}, "amount"),
    ({"events": (does("eat", "a", 0, 1),)}, "not another actor"),
    ({"events": (does("eat", "a", 0, 1, target="a"),)}, "not another actor"),
    ({"events": (does("walk", "a", 0, 1, "left", target="b"),)}, "takes no target"),
    ({"events": (does("eat", "a", 0, 1, "left", target="b"),)}, "on the other side"),
    ({"events": (does("paint", "a", 0, 1, "left", colour="gren"),)}, "Did you mean 'green'"),
    (
        {"events": (does("walk", "a", 0, 2, "left"), does("fly", "a", 1, 3, "up"))},
        "cannot walk until 2 s and fly from 1 s",
    ),
    ({"events": (does("leave", "a", 0, 1, "left"), does("walk", "a", 1, 2, "left"))}, "has left at 1 s"),
    ({"events": (does("walk", "a", 0, 1, "left"), does("enter", "a", 1, 2, "left"))}, "on stage already"),
    ({"events": (does("eat", "a", 0, 1, target="b"), does("walk", "b", 2, 3, "left"))}, "has been eaten at 1 s"),
    (
        {"events": (does("eat", "a", 0, 2, target="b"), does("walk", "b", 1, 3, "left"))},
        "cannot be part of a's eat until 2 s and walk from 1 s",
    ),
    ({"events": (does("stop", "a", 1, 1),)}, "does not move then"),
    ({"events": (does("hide", "a", 0, 1, "right", target="b"),)}, "greater depth"),
    ({"events": (does("emerge", "a", 0, 1, "right", target="b"),)}, "is not behind b"),
    ({"events": (does("leave", "a", 0, 1, "left"), does("emerge", "a", 1, 2, "left", target="b"))}, "has left at 1 s"),
    ({"events": (does("stay", "a", 0, 1),)}, "in sight at 0 s"),
    (
        {"events": (does("leave", "a", 0, 1, "left"), does("stay", "a", 1, 2), does("move", "a", 2, 3, "left"))},
        "has stayed away",
    ),
    ({"events": (does("beside", "a", 0, 0, "right", target="b"),)}, "on the other side"),
    ({"events": (does("beside", "a", 0, 1, "left", target="b"),)}, "must be 0"),
    ({"camera": Camera("zom")}, "Did you mean 'zoom'"),
    ({"camera": Camera("pan")}, "direction None"),
    ({"camera": Camera("pan", "in")}, "direction 'in'"),
    ({"camera": Camera("follow", actor="z")}, "there is no actor"),
    ({"camera": Camera("still", actor="a")}, "takes no actor"),
    ({"camera": Camera("zoom", "in", amount=0.0)}, "amount"),
    ({"camera": Camera("pan", "left"), "events": (does("enter", "a", 0, 1, "left"),)}, "still camera"),
]


@pytest.mark.parametrize(("change", "words"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_invalid_specs_raise_a_clear_error(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as problem:
        dataclasses.replace(clip(*two), **change)
    assert words in str(problem.value)


def test_actor_may_leave_and_come_back() -> None:
    spec = clip(shape("a"), events=(does("leave", "a", 0, 1, "left"), does("enter", "a", 1.5, 2.5, "right")))
    x = simulate(spec).tracks["a"].x
    assert not 0 < x[round(1.25 * spec.fps)] < spec.width and 0 < x[-1] < spec.width


def test_actor_may_stop_and_move_again() -> None:
    spec = clip(
        shape("a"),
        events=(does("move", "a", 0, 2, "left"), does("stop", "a", 1, 1), does("move", "a", 1.5, 2.5, "right")),
    )
    x = simulate(spec).tracks["a"].x
    start, stopped, end = x[0], x[round(1.25 * spec.fps)], x[-1]
    assert stopped < start and stopped < end
