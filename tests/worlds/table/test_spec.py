"""Invalid specs of a table raise clear errors; specs survive JSON and have a key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chronotope.config import from_dict
from chronotope.errors import UsageError
from chronotope.worlds.splits import spec_key, to_json
from chronotope.worlds.table.spec import Camera, Event, TableSpec
from tests.worlds.table.tables import scene, solid, table

BALL, CUBE = solid("a"), solid("b", "cube", "blue", 0.8)
WRONG: list[tuple[str, Any]] = [
    ("Did you mean 'ball'", lambda: table(solid("a", "bal"))),
    ("unknown colour", lambda: table(solid("a", colour="mauve"))),
    ("unknown table 'wood'. Did you mean 'wooden'", lambda: table(BALL, top="wood")),
    ("two actors share an id", lambda: table(BALL, BALL)),
    ("at least one actor", lambda: table()),
    ("size = 3, expected 0.1 to 1.5", lambda: table(solid("a", size=3.0))),
    ("restitution = 1.5", lambda: table(solid("a", restitution=1.5))),
    ("in the same place: move one, or lift it to 0.5", lambda: table(BALL, solid("b", "cube", "blue", 0.2))),
    ("in the air at 0.4 m: let it drop", lambda: table(solid("a", lift=0.4))),
    ("a cube cannot roll; take a ball, or slide", lambda: table(CUBE, events=(Event("roll", "b", 0.0, "left"),))),
    ("a ball cannot slide; let it roll", lambda: table(BALL, events=(Event("slide", "a", 0.0, "left"),))),
    ("it must start in the air; give it a lift", lambda: table(BALL, events=(Event("drop", "a"),))),
    ("nothing stands on b", lambda: table(BALL, CUBE, events=(Event("topple", "a", target="b"),))),
    ("target None is not another actor", lambda: table(BALL, CUBE, events=(Event("hit", "a"),))),
    ("takes no target", lambda: table(BALL, CUBE, events=(Event("roll", "a", 0.0, "left", "b"),))),
    ("direction None, expected left or right", lambda: table(BALL, events=(Event("roll", "a"),))),
    ("not within a clip of 2", lambda: table(BALL, events=(Event("roll", "a", 9.0, "left"),))),
    (
        "a has two events",
        lambda: table(BALL, events=(Event("roll", "a", 0.0, "left"), Event("roll", "a", 1.0, "right"))),
    ),
    ("only a push has an end", lambda: table(BALL, events=(Event("roll", "a", 0.0, "left", end=1.0),))),
    ("there is no actor 'c'", lambda: table(BALL, events=(Event("roll", "c", 0.0, "left"),))),
    ("Did you mean 'orbit'", lambda: table(BALL, camera=Camera("orbitt", "left"))),
    ("direction None, expected left or right", lambda: table(BALL, camera=Camera("orbit"))),
    ("only an orbit has one", lambda: table(BALL, camera=Camera("round", "left", 90.0))),
    ("from 8 to 4096", lambda: table(BALL, size=(4, 64))),
]


@pytest.mark.parametrize(("said", "make"), WRONG, ids=[said for said, _ in WRONG])
def test_invalid_specs_raise_a_clear_error(said: str, make: Any) -> None:
    with pytest.raises(UsageError) as refused:
        make()
    assert said in str(refused.value)


def test_spec_survives_json_and_integers_do_not_change_its_key() -> None:
    spec = scene(camera=Camera("orbit", "left", 30.0), events=(Event("hit", "ball", target="cube"),))
    assert from_dict(TableSpec, json.loads(to_json(spec))) == spec and len(spec_key(spec)) == 64
    with_integers = to_json(spec).replace('"lift":0.0', '"lift":0')
    assert spec_key(from_dict(TableSpec, json.loads(with_integers))) == spec_key(spec)
    assert spec_key(scene()) != spec_key(scene(seed=2))


def test_stacked_on() -> None:
    low, high = solid("low", "cube", "red", 0.2, 0.1, 0.4), solid("high", "cone", "blue", 0.21, 0.1, 0.3, lift=0.4)
    spec = table(low, high, solid("far", x=-0.8))
    assert spec.stacked_on(high) == low and spec.stacked_on(low) is None and spec.stacked_on(spec.actor("far")) is None
