"""The benchmark of the canvas: its measures against motions whose answer is known, and every section in miniature."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.canvas import PAGE
from benchmarks.canvas.cases import cases, moves, simple
from benchmarks.canvas.connect import progress
from benchmarks.canvas.edit import coloured, recoloured
from benchmarks.canvas.story import beats
from benchmarks.harness import Options, run
from chronotope.metrics import continuity as motion
from chronotope.worlds.stage.checks.attributes import direction_of
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.scope import SCOPES

OPTIONS = Options("small", "small", specs=6, combination=0, clips=1, rounds=1, keep=None)


def walk(steps: list[float]) -> np.ndarray:
    """Centres of something that moves to the right by these steps."""
    x = np.concatenate([[0.0], np.cumsum(steps)])
    return np.stack([x, np.full(len(x), 0.5)], axis=1)


def ball(centres: list[float], heights: list[float] | None = None, size: int = 48) -> np.ndarray:
    """Frames of a soft bright disc at these x, half way down or at these y."""
    y, x = np.mgrid[:size, :size]
    places = zip(centres, heights or [size / 2] * len(centres), strict=True)
    frames = [np.exp(-((x - right) ** 2 + (y - down) ** 2) / 50) for right, down in places]
    return np.repeat((np.array(frames) * 255).astype(np.uint8)[..., None], 3, axis=3)


def test_a_jump_is_a_change_of_velocity_at_the_joint() -> None:
    assert motion.jump(walk([0.1] * 8), 4) == pytest.approx(0, abs=1e-9)
    assert motion.jump(walk([0.1, 0.1, 0.1, 0.5, 0.1, 0.1]), 4) == pytest.approx(4)  # five steps at once
    assert motion.jump(walk([0.1, 0.1, 0.1, 0.5, 0.1, 0.1]), 3) == pytest.approx(0, abs=1e-9)  # not at that joint
    assert motion.jump(walk([0.1] * 4 + [-0.1] * 4), 5) == pytest.approx(2)  # turning round
    lost = walk([0.1] * 8)
    lost[4] = np.nan
    assert math.isinf(motion.jump(lost, 4))


def test_cuts_are_found_and_fast_motion_is_none() -> None:
    moving = ball([8 + 4.0 * t for t in range(9)])
    assert motion.cuts(moving) == []
    other = 255 - moving
    assert motion.cuts(np.concatenate([moving[:5], other[5:]])) == [5]


def test_a_circle_closes_and_a_line_does_not() -> None:
    angles = 2 * np.pi / 16 * np.arange(16)
    circle, line = (
        ball(list(24 + 10 * np.cos(angles)), list(24 + 10 * np.sin(angles))),
        ball([8 + 2.0 * t for t in range(16)]),
    )
    for frames, closes in ((circle, True), (line, False)):
        frame = motion.wrap_ratio(motion.differences(frames, cyclic=True), motion.LEVEL_NOISE)
        flow = motion.wrap_ratio(motion.flow_changes(frames), motion.FLOW_NOISE)
        assert (frame <= 1.5) == closes and (flow <= 1.5) == closes, (frame, flow)


def test_steps_between_slices_are_told_from_steps_inside_them() -> None:
    even = motion.differences(ball([6 + 2.0 * t for t in range(16)]), cyclic=True)
    assert motion.seam_ratio(even, 4, motion.LEVEL_NOISE) == pytest.approx(1, abs=0.1)
    broken = motion.differences(ball([6 + 1.0 * t + 5 * (t // 4) for t in range(16)]), cyclic=True)
    assert motion.seam_ratio(broken, 4, motion.LEVEL_NOISE) > 2


def test_a_fade_is_in_order_and_a_flicker_is_not() -> None:
    first, last = ball([10.0])[0].astype(float), ball([40.0])[0].astype(float)
    fade = np.stack([(1 - w) * first + w * last for w in np.linspace(0, 1, 10)]).astype(np.uint8)
    assert progress(fade) == pytest.approx(1)
    assert progress(fade[[0, 8, 2, 6, 4, 5, 3, 7, 1, 9]]) < 0.7


def test_cases_are_the_first_held_out_ones_and_their_variants_render() -> None:
    found = cases(OPTIONS, moves)
    assert [case.index for case in found] == sorted({case.index for case in found}) and len(found) == 6
    for case in cases(OPTIONS, lambda spec: simple(spec) and coloured(spec) is not None):
        before, after = coloured(case.spec), coloured(recoloured(case, SCOPES["small"].colours).spec)
        assert before is not None and after is not None and before.colour != after.colour and before.noun == after.noun
        parts = beats(case)
        assert [direction_of(part.spec, part.spec.actors[0]) for part in parts] == ["right", "left"]
        ends, begins = (render(part.spec).truth for part in parts)
        # the second beat begins about where the first one ended
        assert abs(ends.x[-1, 0] - begins.x[0, 0]) < 0.1 * case.spec.width


@pytest.mark.slow
def test_every_section_runs_on_a_tiny_untrained_model(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.canvas.minute.VIDEOS", 1)
    monkeypatch.setattr("benchmarks.canvas.minute.LENGTHS", (1, 4))
    monkeypatch.setattr("benchmarks.canvas.sizes.LARGE", ((64, 48),))
    monkeypatch.setattr("benchmarks.canvas.memory.SHAPES", ((64, 48, 1, 3),))
    run(
        PAGE,
        ["--model", model, "--specs", "2", "--rounds", "1", "--out", str(tmp_path), "--keep", str(tmp_path / "kept")],
    )
    data = json.loads((tmp_path / "canvas.json").read_text())
    assert tuple(data) == PAGE.sections
    assert all(
        one["given_back"] and one["hard_cut_found"] and not one["false_cuts"] for one in data["connect"]["results"]
    )
    assert all(one["same_ending"] for one in data["extend"]["results"]["fan"])
    assert all(one["first_frame"] >= one["round_trip"] - 0.01 for one in data["picture"]["results"])
    page = (tmp_path / "canvas.md").read_text()
    assert "strength 0.6: the colour changes" in page and "CPU time per second of video" in page
    assert len(list((tmp_path / "kept").glob("*.mp4"))) > 30
