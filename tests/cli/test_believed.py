"""Files beside a video, a report or a folder of clips are believed only as they were written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chronotope.evaluate.page.html import NAME, is_page_of, write_page
from chronotope.evaluate.report import read_report
from tests.cli.models import run, save_clips, save_run

SAVED = Path(__file__).resolve().parents[1] / "evaluate" / "saved" / "stage"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("believed") / "model")


def test_what_was_added_to_a_signed_sidecar_is_not_told(model: Path, tmp_path: Path) -> None:
    film = tmp_path / "fox.mp4"
    assert run("generate", "a red ball", "--model", model, "-o", film).exit_code == 0
    beside = film.with_name("fox.mp4.json")
    assert "changed since it was signed" not in run("info", film).stdout
    nearest = {"action": "note", "clip": "holiday", "distance": 3.0, "threshold": 10.0, "clips": 5}
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"nearest": nearest}) + "\n")
    told = run("info", film).stdout
    assert "holiday" not in told and "was changed since it was signed" in told and "a red ball" in told


def test_a_page_that_was_edited_is_not_that_of_its_report(tmp_path: Path) -> None:
    report, page = read_report(SAVED), tmp_path / "index.html"
    write_page(report, SAVED / "videos", page)
    assert is_page_of(page, report)
    text = page.read_text()
    assert "%" in text
    page.write_text(text.replace("%", " %", 1))
    assert not is_page_of(page, report)
    end = text.rpartition(NAME)[2]
    page.write_text(text.replace(end, end.partition(",")[0] + " -->\n"))  # as an earlier version wrote it
    assert is_page_of(page, report)


def test_clips_that_are_gone_are_said_where_a_video_is_compared(model: Path, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    assert run("world", "stage", "--scope", "small", "--count", "3", "--out", clips).exit_code == 0
    words = ("generate", "a red ball", "--model", model, "--compare", clips, "-o")
    assert "missing clips" not in run(*words, tmp_path / "a.mp4").stderr
    next(clips.rglob("*.mp4")).unlink()
    assert "missing clips: 1" in run(*words, tmp_path / "b.mp4").stderr


def test_videos_of_an_evaluation_are_named_where_they_are_encoded(model: Path, tmp_path: Path) -> None:
    assert run("evaluate", "--layer", "truth", "--first", "2", "--out", tmp_path / "suite").exit_code == 0
    for number, clip in enumerate(sorted((tmp_path / "suite/videos").glob("*.[mp][pn][4g]"))):
        clip.with_suffix(".txt").write_text(f"a thing {number}")
    said = run("encode", tmp_path / "suite/videos", "--model", model, "--out", tmp_path / "latents").stderr
    assert "2 clips are of an evaluation" in said and "not for training" in said
    own = save_clips(tmp_path / "suite/mine")  # which only lie beside a ledger
    assert "are of an evaluation" not in run("encode", own, "--model", model, "--out", tmp_path / "own").stderr
