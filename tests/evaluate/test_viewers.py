"""Agreement with viewers: the sample, the sheets, and kappa in closed form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.viewers import VERDICTS, agreement, chosen_cases, report, sheet
from chronotope.evaluate.suite import make_suite
from chronotope.media import video


def test_kappa_is_one_where_all_agree_and_zero_where_answers_are_independent() -> None:
    assert agreement([True, False], [True, False])[1] == 1.0
    assert agreement([True, True, False, False], [True, False, True, False])[1] == 0.0
    assert agreement([True, False], [False, True])[1] == -1.0


def test_the_stored_verdicts_give_the_published_agreement() -> None:
    rows = json.loads(VERDICTS.read_text())["videos"]
    assert len({row["id"] for row in rows}) == len(rows) == 200
    text = report(rows, [row["checks"] for row in rows])
    assert "viewer A and viewer B agree on 88.5%" in text and text.count("kappa") == 3


@pytest.mark.slow
def test_the_sample_is_drawn_again() -> None:
    rows, cases = json.loads(VERDICTS.read_text())["videos"], chosen_cases()
    assert {row["id"] for row in rows} == {case.id for case in cases}
    assert len({repr(case.spec) for case in cases}) == 200


def test_a_sheet_shows_every_video_with_its_frames(tmp_path: Path) -> None:
    cases = [case for case in make_suite("smoke") if case.spec.num_frames > 1][:2]
    for number, case in enumerate(cases):
        (tmp_path / case.file).parent.mkdir(parents=True, exist_ok=True)
        video.write(tmp_path / case.file, np.full((9, 48, 64, 3), 40 + 100 * number, np.uint8), 8.0)
    drawn = sheet(cases, tmp_path, 1)
    assert drawn.shape[1:] == (8 * 190, 3)
    assert {40, 140} <= {int(value) for value in np.unique(drawn.round(-1))}
