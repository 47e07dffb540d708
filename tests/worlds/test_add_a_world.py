"""A world that is defined in one place and named in one line can be rendered, evaluated and tried, as the page "Add a
world" says.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from chronotope.evaluate.suite import make_suite
from chronotope.evaluate.trial import BARS, Trial, try_checks
from chronotope.worlds import catalogue
from chronotope.worlds.check import Check
from tests.cli.models import refused, run
from tests.worlds.toy import DOTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-a-world.md"


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line that names the world."""
    monkeypatch.setattr(catalogue, "WORLDS", (*catalogue.WORLDS, DOTS))


def test_the_page_shows_this_very_world() -> None:
    shown = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    source = (Path(__file__).parent / "toy.py").read_text()
    body = source[source.index("@dataclass") :].strip()
    assert "".join(shown[0].split()) == "".join(body.split())


def test_its_suite_is_evaluated_and_reported(tmp_path: Path) -> None:
    assert len(make_suite("dots")) == 40
    done = run(
        "evaluate", "small", "--suite", "dots", "--layer", "truth", "--first", "6", "--out", str(tmp_path / "report")
    )
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["summary"]["success"] == {**report["summary"]["success"], "right": 6, "of": 6}
    assert {row["world"] for row in report["cases"]} == {"dots"}
    assert "a white dot moves to the" in (tmp_path / "report" / "index.html").read_text()


def test_a_plan_of_it_is_filled_by_anybody(tmp_path: Path) -> None:
    plan, videos = tmp_path / "plan.jsonl", tmp_path / "videos"
    run("evaluate", "--suite", "dots", "--first", "2", "--plan", str(plan))
    from chronotope.media import video

    videos.mkdir()
    for row in map(json.loads, plan.read_text().splitlines()):
        frames = DOTS.render(DOTS.read_spec(row["spec"])).frames
        video.write(videos / row["file"], frames, row["fps"])
    folders = ("--videos", str(videos), "--specs", str(plan), "--out", str(tmp_path / "report"))
    done = run("evaluate", *folders)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    assert found["summary"]["success"]["right"] == 2


def test_its_checks_are_tried() -> None:
    trial = try_checks(DOTS, list(DOTS.trial(12)))
    assert not trial.missed() and trial.recall("MOT-DIR").share == 1.0 and trial.controls["blank"].share == 1.0
    assert "dots" in refused("validate-checks", "--world", "dot", "--count", "2", status=2)
    assert "MOT-DIR" in run("validate-checks", "--world", "dots", "--count", "12").output


def test_its_clips_are_written(tmp_path: Path) -> None:
    from chronotope.worlds.write import DatasetRequest, write_dataset

    write_dataset(tmp_path, DatasetRequest("dots", "dots", "train", 3, 4))
    (first, *others) = sorted(tmp_path.glob("0000/*.json"))
    record = json.loads(first.read_text())
    spec = DOTS.read_spec(record["spec"])
    assert len(others) == 3 and record["captions"]["sentence"][0].endswith(spec.direction)
    assert np.array_equal(DOTS.render(spec).frames, DOTS.render(spec).frames) and first.with_suffix(".mp4").exists()


def test_one_bad_group_breaks_a_promise() -> None:
    trial = Trial()
    trial.note_truth("good", [Check("holds")] * 9990)
    trial.note_truth("bad", [Check("holds")] * 9 + [Check("fails", "", "VIS-BLR", 0)])
    assert trial.predicates.share >= BARS["truth"] and "of the predicates of bad" in " ".join(trial.missed())
