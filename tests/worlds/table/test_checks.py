"""The checks of the table on clips whose truth is known: rendered clips pass, planted faults are caught by name,
geometry is exact.
"""

from __future__ import annotations

import dataclasses
import functools
import sys

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install 'chronotope[table]'")

from chronotope.errors import UsageError
from chronotope.evaluate.trial import try_checks
from chronotope.worlds.case import Case
from chronotope.worlds.stage.faults.appearance import FAULTS as STAGE_FAULTS
from chronotope.worlds.stage.faults.tasks import TASK_FAULTS
from chronotope.worlds.table.checks.geometry import height_at, intersect_plane, orbit_views, triangulate, truth_of
from chronotope.worlds.table.checks.gravity import Fall, _has_gravity
from chronotope.worlds.table.checks.predicates import Check, check, succeeds, unsupported
from chronotope.worlds.table.checks.tracking import track_solids
from chronotope.worlds.table.faults import FAULTS, inject
from chronotope.worlds.table.render import TableClip, render
from chronotope.worlds.table.spec import Actor, Camera, Event, TableSpec
from chronotope.worlds.table.suite import table_specs
from chronotope.worlds.table.world import TABLE
from chronotope.worlds.taxonomy import FAILURES
from tests.cli.models import refused
from tests.worlds.table.tables import needs_pictures, solid, table

BALL = solid("ball", x=-0.6, size=0.5)
CUBE = solid("cube", "cube", "blue", 0.5, 0.1, turn=30)
CONE = solid("cone", "cone", "green", 0.6, -0.6)

SCENES = {
    "roll": table(solid("ball", x=-0.7, y=0.4), CONE, events=(Event("roll", "ball", direction="right", speed=0.5),)),
    "hit": table(
        BALL,
        solid("other", "ball", "blue", 0.3, size=0.4),
        CONE,
        events=(Event("hit", "ball", target="other", speed=1.5),),
    ),
    "drop": table(
        solid("ball", size=0.45, lift=0.9, restitution=0.8),
        CONE,
        events=(Event("bounce", "ball", start=0.2),),
        frames=30,
        size=(128, 128),
    ),
    "orbit": table(BALL, CUBE, CONE, camera=Camera("orbit", "right", 60.0)),
    "round": table(BALL, CUBE, camera=Camera("round", "left"), frames=30),
    "stack": table(
        BALL,
        solid("low", "cylinder", "blue", 0.4, size=0.4),
        solid("high", "cube", "yellow", 0.4, size=0.36, lift=0.4),
        events=(Event("topple", "ball", target="low", speed=3.0),),
    ),
}


@functools.cache
def clip(name: str) -> TableClip:
    needs_pictures()
    return render(SCENES[name], truth_of(SCENES[name]).trajectory)


def codes(found: tuple[Check, ...]) -> set[str]:
    return {one.code for one in found if one.code}


@pytest.mark.parametrize("name", SCENES)
def test_true_clips_pass(name: str) -> None:
    found = check(SCENES[name], clip(name).frames)
    assert len(found) > 10 and all(one.holds for one in found), [one for one in found if not one.holds]


@pytest.mark.parametrize("name", ["hit", "orbit"])
def test_solids_are_found_where_they_are(name: str) -> None:
    spec, truth = SCENES[name], clip(name)
    for i, patches in enumerate(track_solids(spec, truth.frames).actors):
        for t, mask in enumerate(truth.masks == i + 1):
            if truth.truth.visible_fraction[t, i] >= 0.5:
                rows, columns = np.nonzero(mask)
                assert patches.centres[t] == pytest.approx([columns.mean() + 0.5, rows.mean() + 0.5], abs=1.5)
                assert patches.areas[t] == pytest.approx(len(rows), rel=0.25)


def test_what_cannot_be_told_apart_is_refused() -> None:
    twice = table(solid("one", x=-0.5), solid("two", "cube", x=0.5))
    pale = table(solid("ball", colour="white"), top="white")
    assert "two solids are red" in (unsupported(twice) or "") and "white table" in (unsupported(pale) or "")
    assert "too small" in (unsupported(table(BALL, size=(48, 32))) or "") and unsupported(table(BALL)) is None
    with pytest.raises(UsageError, match="two solids are red"):
        check(twice, np.zeros((25, 64, 96, 3), np.uint8))
    with pytest.raises(UsageError, match="expected uint8"):
        check(table(BALL), np.zeros((24, 64, 96, 3), np.uint8))


def test_pixels_lead_back_to_metres() -> None:
    spec = table(BALL, camera=Camera("orbit", "right", 70.0))
    path = orbit_views(spec, np.linspace(0, 70, 9))
    place = np.array([0.4, -0.3, 0.25])
    seen = np.array([view.project(place[None])[0, :2] for view in path])
    assert intersect_plane(path[3], seen[3:4], 0.25)[0] == pytest.approx(place[:2])
    assert height_at(path[5], seen[5, 1], place[:2]) == pytest.approx(0.25)
    found, off = triangulate(path, seen, 0.25)
    assert found == pytest.approx(place[:2]) and off.max() < 1e-6
    assert triangulate(path[::-1], seen, 0.25)[1].max() > 3  # no place explains what another camera saw


@pytest.mark.parametrize(("weight", "code"), [(9.81, None), (3.3, "PHY-GRV"), (0.0, "PHY-GRV")])
def test_gravity_is_measured_from_heights(weight: float, code: str | None) -> None:
    times = np.arange(24)
    seconds = times / 24
    heights = (
        0.9 - weight * np.maximum(seconds - 0.25, 0) ** 2 / 2 if weight else np.interp(seconds, [0.25, 0.9], [0.9, 0.0])
    )
    fault = _has_gravity(Fall(times, heights.clip(0), 24.0, 6))
    assert (fault and fault[0]) == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("orbit", "TXT-ATT"), ("orbit", "OBJ-DIS"), ("orbit", "ID-COL"), ("orbit", "CAM-DIR"), ("round", "GEO-LOOP"), ("hit", "PHY-COL"),
        ("hit", "TXT-CNT"), ("drop", "PHY-GRV"), ("drop", "PHY-NRG"), ("drop", "PHY-RST"), ("roll", "MOT-DIR"), ("roll", "MOT-STA"),
        ("stack", "TXT-ACT"), ("roll", "TXT-PLC"), ("orbit", "GEO-INC"),
    ],
)  # fmt: skip
def test_planted_faults_are_caught_and_called_by_their_name(name: str, code: str) -> None:
    needs_pictures()
    spoilt = inject(code, Case("table", SCENES[name], "x", "sentence", "heldout", 0, 2, 2))
    assert spoilt is not None and code in codes(check(SCENES[name], spoilt))


def test_every_class_of_the_table_stands_in_the_taxonomy() -> None:
    assert set(FAULTS) <= set(FAILURES) and {"CAM-DIR", "GEO-INC", "GEO-LOOP", "PHY-SLF", "PHY-RST"} <= set(FAULTS)


def test_every_class_but_no_video_can_be_planted() -> None:
    assert {*FAULTS, *TASK_FAULTS, *STAGE_FAULTS} == set(FAILURES) - {"SYS-RUN"}


@pytest.mark.parametrize("name", ["frozen first frame", "shuffled frames", "backwards", "blank"])
def test_controls_fail(name: str) -> None:
    for scene in ("roll", "hit", "orbit"):
        case = Case("table", SCENES[scene], "", "sentence", "heldout", 0, 1, 1)
        changed = TABLE.controls(case, clip(scene).frames, case)[name]
        assert not succeeds(check(SCENES[scene], changed))


def test_a_fault_has_its_frame() -> None:
    """Somebody who is gone from the eleventh frame on."""
    needs_pictures()
    spec = SCENES["roll"]
    without = dataclasses.replace(spec, actors=spec.actors[:1])
    frames = np.concatenate([clip("roll").frames[:10], render(without).frames[10:]])
    gone = next(one for one in check(spec, frames) if one.code == "OBJ-DIS")
    assert gone.actor == "cone" and gone.frame == 10


def test_a_scene_laid_elsewhere_is_true_too() -> None:
    """The words say nothing of where exactly: the same scene moved aside and rolled more slowly passes."""
    needs_pictures()
    spec = SCENES["roll"]
    ball = dataclasses.replace(spec.actors[0], x=-0.6, y=0.3)
    cone = dataclasses.replace(spec.actors[1], x=0.5, y=-0.5)
    other = dataclasses.replace(spec, actors=(ball, cone), events=(dataclasses.replace(spec.events[0], speed=0.4),))
    found = check(spec, render(other).frames)
    assert succeeds(found), [one for one in found if not one.holds]


def test_a_missing_engine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    assert "pip install 'chronotope[table]'" in refused("validate-checks", "--world", "table", "--count", "2", status=1)


@pytest.mark.slow
def test_the_checks_keep_their_promises() -> None:
    """Every required rate but recall is reached; no class is shown to have less recall (docs/evaluation/checks.md)."""
    needs_pictures()
    trial = try_checks(
        TABLE,
        [
            ("table", Case("table", spec, "x", "sentence", "heldout", 0, n, n))
            for n, spec in enumerate(table_specs(80, first=2_500_000))
        ],
    )
    problems = [problem for problem in trial.missed() if "is caught in" not in problem]
    problems += [
        f"{code} is caught in {trial.recall(code)}" for code in trial.injected if trial.recall(code).interval[1] < 0.95
    ]
    assert not problems, problems


def test_specs_are_held_out_and_can_be_judged() -> None:
    first: list[TableSpec] = table_specs(3, first=2_600_000)
    assert all(unsupported(spec) is None for spec in first) and isinstance(first[0].actors[0], Actor)
