"""The checks on clips whose truth is known: what the stage renders passes, planted faults are caught, controls fail."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from chronotope.errors import UsageError
from chronotope.evaluate.trial import BARS, try_checks
from chronotope.metrics.statistics import Rate
from chronotope.worlds.check import succeeds
from chronotope.worlds.stage.checks.detector import load_detector
from chronotope.worlds.stage.checks.predicates import check
from chronotope.worlds.stage.faults.appearance import FAULTS, controls, inject
from chronotope.worlds.stage.faults.tasks import TASK_FAULTS
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Actor, Camera, Event, Spec
from chronotope.worlds.stage.suites.trial import trial_specs
from chronotope.worlds.stage.world import STAGE
from chronotope.worlds.table.faults import FAULTS as TABLE_FAULTS
from chronotope.worlds.taxonomy import FAILURES, blocks
from tests.worlds.stage.scenes import plain_case


@functools.cache
def specs() -> list[Spec]:
    """Specs on which the checks are tried; a function, because whoever only collects tests need not sample them."""
    return [spec for _, spec in trial_specs(140)]


def test_every_class_but_the_systems_own_can_be_planted() -> None:
    assert {*FAULTS, *TASK_FAULTS, *TABLE_FAULTS} == set(FAILURES) - {"SYS-RUN"}
    assert blocks("OBJ-DIS") and not blocks("VIS-BLR")
    with pytest.raises(UsageError, match="OBJ-DIS"):
        blocks("OBJ-DID")


def test_true_clips_pass() -> None:
    found = [one for spec in specs()[:16] for one in check(load_detector(), spec, render(spec).frames)]
    rate = Rate(sum(one.holds for one in found), len(found))
    assert rate.trials > 160 and rate.share >= BARS["truth"], [one for one in found if not one.holds]


@pytest.mark.parametrize("code", FAULTS)
def test_planted_faults_are_caught_and_called_by_their_name(code: str) -> None:
    clips = ((spec, inject(code, plain_case(spec, number))) for number, spec in enumerate(specs()))
    some = list(itertools.islice(((spec, frames) for spec, frames in clips if frames is not None), 2))
    assert len(some) == 2
    caught = (code in {one.code for one in check(load_detector(), spec, frames)} for spec, frames in some)
    assert any(caught)  # the shares are those of `test_the_checks_keep_their_promises`


@pytest.mark.parametrize("name", ["frozen first frame", "shuffled frames", "backwards", "blank"])
def test_controls_fail(name: str) -> None:
    changed = ((spec, controls(spec, render(spec).frames, np.random.default_rng(0)).get(name)) for spec in specs())
    some = list(itertools.islice(((spec, frames) for spec, frames in changed if frames is not None), 4))
    assert sum(not succeeds(check(load_detector(), spec, frames)) for spec, frames in some) >= 3


def walk(*events: Event, frames: int = 17) -> Spec:
    actor = Actor("fox", "fox", "emoji", 0.3, 0.6, 0.5)
    return Spec(96, 64, 8.0, frames, 1, "hills", Camera(), (actor,), events)


def test_a_fault_has_its_frame() -> None:
    spec = walk(Event("walk", "fox", 0.0, 2.0, "right", amount=0.4))
    frames = render(spec).frames.copy()
    frames[9:] = render(Spec(96, 64, 8.0, 17, 1, "hills", Camera(), (), ())).frames[9:]
    gone = next(one for one in check(load_detector(), spec, frames) if one.code == "OBJ-DIS")
    assert gone.actor == "fox" and abs((gone.frame or 0) - 9) <= 1


@pytest.mark.parametrize("share", [0.5, 0.65])
def test_who_stands_still_before_its_time_is_seen(share: float) -> None:
    spec = walk(Event("walk", "fox", 0.0, 2.125, "right", amount=0.4))
    frames = render(spec).frames
    assert "PHY-INR" not in {one.code for one in check(load_detector(), spec, frames)}
    for late in (np.minimum(np.arange(17), int(share * 16)), np.maximum(np.arange(17), int((1 - share) * 16))):
        assert "PHY-INR" in {one.code for one in check(load_detector(), spec, frames[late])}, late


def test_a_deed_in_the_time_of_the_other_is_an_order_fault() -> None:
    spec = walk(Event("walk", "fox", 0.0, 1.0, "right", amount=0.4), Event("walk", "fox", 1.0, 2.0, "left", amount=0.4))
    assert all(one.holds for one in check(load_detector(), spec, render(spec).frames))
    mirrored = np.ascontiguousarray(render(spec).frames[:, :, ::-1])
    assert "TXT-ORD" in {one.code for one in check(load_detector(), spec, mirrored)}


def test_of_somebody_who_is_not_there_nothing_holds() -> None:
    spec = walk(Event("walk", "fox", 0.0, 2.0, "right", amount=0.4))
    found = check(load_detector(), spec, np.full((17, 64, 96, 3), 127, np.uint8))
    assert all(one.code == "TXT-CNT" for one in found if one.actor == "fox") and not succeeds(found)


@pytest.mark.slow
def test_the_checks_keep_their_promises() -> None:
    """Every required rate but recall is reached; no class is shown to have less recall (docs/evaluation/checks.md)."""
    trial = try_checks(STAGE, [one for one in STAGE.trial(300) if not one[1].task and not one[1].kind])
    problems = [problem for problem in trial.missed() if "is caught in" not in problem]
    problems += [
        f"{code} is caught in {trial.recall(code)}"
        for code in trial.injected
        if trial.recall(code).interval[1] < BARS["recall"]
    ]
    assert not problems, problems
