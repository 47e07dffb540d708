"""The suite of the table: what was drawn can be drawn again, its plan can be read and filled by anybody, and truth
passes.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install 'chronotope[table]'")

from chronotope.config import to_dict
from chronotope.errors import FileProblem
from chronotope.evaluate.make import maker
from chronotope.evaluate.selection import Sampled
from chronotope.evaluate.suite import make_suite, name_of, read_cases, truth_of, write_cases
from chronotope.generate.pipeline import WEIGHTS, Generator
from chronotope.media import video
from chronotope.worlds.check import succeeds
from chronotope.worlds.splits import split_of
from chronotope.worlds.table.camera import angles
from chronotope.worlds.table.checks.predicates import unsupported
from chronotope.worlds.table.render import first_picture
from chronotope.worlds.table.spec import TableSpec
from chronotope.worlds.table.suite import PHYSICS, TASK, table_suite
from chronotope.worlds.table.world import TABLE
from tests.cli.models import refused
from tests.evaluate.suites import changed_line
from tests.worlds.table.tables import needs_pictures
from tools.draw_table_suite import draw_again


def test_what_was_drawn_is_drawn_again() -> None:
    for row, draw in zip(draw_again(3), table_suite(), strict=False):
        assert row == {"form": draw.form, "prompt": draw.prompt, "spec": to_dict(draw.spec)}


def test_every_case_can_be_judged_and_is_told() -> None:
    found = make_suite("table")
    assert name_of(found) == "table" and len({case.id for case in found}) == len(found) == 64
    for case in found:
        spec = case.spec
        assert isinstance(spec, TableSpec) and unsupported(spec) is None and split_of(spec) == case.split == "heldout"
        assert f"{spec.table} table" in case.prompt and case.task == TASK and spec.num_frames > 1
        if spec.camera.kind == "orbit":
            assert f"{abs(float(angles(spec)[-1])):.0f} degrees" in case.prompt
    assert {TABLE.strata(case)["physics"] for case in found} == set(PHYSICS)
    assert {TABLE.strata(case)["camera"] for case in found} == {"stands", "goes around", "goes once round"}


def test_a_plan_is_filled_with_truth_and_judged(tmp_path: Path) -> None:
    needs_pictures()
    plan, found = tmp_path / "table.jsonl", make_suite("table")[:2]
    write_cases(found, plan)
    assert read_cases(plan) == found
    for case, line in zip(found, plan.read_text().splitlines(), strict=True):
        truth = truth_of(case)
        assert np.array_equal(video.read_image(tmp_path / json.loads(line)["inputs"]["image-0"]), truth[0])
        assert succeeds(TABLE.check(case, truth))
        assert np.array_equal(first_picture(case.spec), truth[0])
        dark = np.concatenate([truth[:1], (truth[1:] * 0.6).astype(np.uint8)])
        assert "SEAM" in {one.code for one in TABLE.check(case, dark)}
        another = truth.copy()
        another[0] = np.roll(truth[0], truth.shape[1] // 2, axis=0)
        assert "GIV-CHG" in {one.code for one in TABLE.check(case, another)}
        assert not succeeds(TABLE.check(case, np.repeat(truth[:1], len(truth), axis=0)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task": "connect"}, 'unknown task "connect". Choose from: animate a picture'),
        ({"task": ""}, "task has 0 characters"),
        ({"kind": "count"}, 'kind is "count", and the world .table. has no kinds'),
        ({"form": "story"}, "is worded as one of"),
        ({"split": "train"}, "by its spec heldout"),
        ({"num_frames": 3}, "num_frames is 3, by its spec"),
    ],
)
def test_a_line_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    needs_pictures()
    with pytest.raises(FileProblem, match=says):
        read_cases(changed_line(tmp_path / "table.jsonl", make_suite("table")[0], change))


def test_a_spec_that_the_checks_cannot_read_is_refused(tmp_path: Path) -> None:
    needs_pictures()
    plan, case = tmp_path / "table.jsonl", make_suite("table")[0]
    assert isinstance(case.spec, TableSpec)
    alike = tuple(dataclasses.replace(actor, colour="red") for actor in case.spec.actors)
    row_of = dataclasses.replace(case, spec=dataclasses.replace(case.spec, actors=alike))
    write_cases([row_of], plan)
    with pytest.raises(FileProblem, match="cannot be judged"):
        read_cases(plan)


def test_the_model_makes_a_video_of_the_asked_length() -> None:
    needs_pictures()
    case = min(make_suite("table"), key=lambda case: case.spec.num_frames * case.spec.width * case.spec.height)
    assert (case.spec.num_frames - 1) % 4  # more frames are made, to whole slices
    frames, _ = maker(Generator.load(WEIGHTS / "small"), "model", Sampled(steps=1))(case)
    assert frames.shape == (case.spec.num_frames, case.spec.height, case.spec.width, 3)


def test_without_opengl_nothing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronotope.worlds.table.world.rendering_problem", lambda: "no OpenGL here")
    out = tmp_path / "out"
    assert "no OpenGL here" in refused(
        "evaluate", "small", "--suite", "table", "--first", "1", "--out", str(out), status=1
    )
    assert not out.exists()
    monkeypatch.undo()
    needs_pictures()
    assert "the world 'table' has none" in refused(
        "evaluate", "small", "--suite", "table", "--best-of", "2", "--out", str(out), status=2
    )
