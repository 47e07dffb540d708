"""From the first frames to the last: measures against closed forms, true long clips that stay alike, and ends that were
spoilt.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from chronotope.worlds.check import DRIFT_CHECK, succeeds
from chronotope.worlds.stage.checks.detector import load_detector
from chronotope.worlds.stage.checks.drift import MEASURES, SPREAD, drift_of, measures
from chronotope.worlds.stage.checks.predicates import check
from chronotope.worlds.stage.faults.appearance import inject
from chronotope.worlds.stage.faults.edits import DEGRADATIONS, degrade
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Actor, Camera, Event, Spec
from tests.worlds.stage.scenes import plain_case

WHOLE = np.ones((16, 16), bool)


def long(num_frames: int = 40, backdrop: str = "hills") -> Spec:
    walk = Event("walk", "fox", 0.0, num_frames / 8.0, "right", amount=0.4)
    return Spec(96, 64, 8.0, num_frames, 1, backdrop, Camera(), (Actor("fox", "fox", "emoji", 0.3, 0.6, 0.5),), (walk,))


def test_measures_of_pictures_whose_answer_is_known() -> None:
    rows = dict(zip(MEASURES, measures(np.full((5, 16, 16, 3), (90, 60, 30), np.uint8), WHOLE), strict=True))
    assert rows["brightness"] == pytest.approx([60] * 5) and rows["saturation"] == pytest.approx([60] * 5)
    assert all(rows[name] == pytest.approx([0] * 5) for name in ("sharpness", "noise", "flicker"))
    edge = np.zeros((2, 16, 16, 3), np.uint8)
    edge[:, :, 8:] = 63
    assert measures(edge, WHOLE)[MEASURES.index("sharpness")] == pytest.approx([6, 6])  # log2(63 + 1)
    blinking = np.full((6, 16, 16, 3), 100, np.uint8)
    blinking[::2] = 110
    chequered = np.full((6, 16, 16, 3), 100, np.uint8)
    chequered[::2, ::2] += 8
    assert measures(blinking, WHOLE)[3:] == pytest.approx(np.array([[0] * 6, [10] * 6]))
    assert measures(chequered, WHOLE)[3:] == pytest.approx(np.array([[4] * 6, [4] * 6]))


def test_a_steady_rise_has_its_slope_and_its_ends() -> None:
    frames = np.arange(80, dtype=np.uint8)[:, None, None, None] + np.zeros((80, 16, 16, 3), np.uint8)
    found = drift_of(frames, WHOLE, 8.0)
    assert found.slope["brightness"] == pytest.approx(8.0)  # a level a frame
    assert found.change["brightness"] == pytest.approx(80 - 12)  # the means of twelve frames at either end
    assert found.change["noise"] == pytest.approx(0.0) and found.slope["flicker"] == pytest.approx(0.0)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_an_end_that_was_spoilt_is_late_degradation(kind: str) -> None:
    spec = long()
    frames = render(spec).frames
    found = {
        one.name: one for one in check(load_detector(), spec, degrade(frames, kind, 0.7, np.random.default_rng(0)))
    }
    assert found[DRIFT_CHECK].code == "LNG-DRF" and found[DRIFT_CHECK].frame == 34
    true = {one.name: one for one in check(load_detector(), spec, frames)}
    assert true[DRIFT_CHECK].holds and all(
        abs(true[DRIFT_CHECK].measured[name]) <= SPREAD[name] / 4 for name in MEASURES
    )


def test_short_clips_are_not_asked_and_cannot_be_spoilt() -> None:
    spec = long(24)
    assert inject("LNG-DRF", plain_case(spec)) is None and inject("LNG-DRF", plain_case(long())) is not None
    assert DRIFT_CHECK not in {one.name for one in check(load_detector(), spec, render(spec).frames)}
    moving = dataclasses.replace(long(), camera=Camera("pan", "right"))
    assert DRIFT_CHECK not in {one.name for one in check(load_detector(), moving, render(moving).frames)}


def test_a_long_video_of_another_size_is_measured_too() -> None:
    spec = long()
    frames = np.stack([cv2.resize(frame, (64, 96)) for frame in render(spec).frames])
    (found,) = (one for one in check(load_detector(), spec, frames) if one.name == DRIFT_CHECK)
    assert set(MEASURES) <= set(found.measured)


def test_who_stops_half_way_does_not_succeed() -> None:
    spec = long(17, "white")
    frames = render(spec).frames.copy()
    assert succeeds(check(load_detector(), spec, frames))
    frames[8:] = frames[7]
    assert not succeeds(check(load_detector(), spec, frames))
