"""What new users found to happen without a word: it is said, or refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chronotope import Generator
from chronotope.errors import UsageError
from chronotope.evaluate import judge
from chronotope.evaluate.make import check_file
from chronotope.evaluate.suite import write_cases
from chronotope.media import video
from chronotope.worlds.stage.render import render
from tests.cli.models import answer, refused, run, save_run
from tests.evaluate.test_judge import CASES


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


def damage(path: Path) -> None:
    """Zero a part of a video that the decoder conceals."""
    data = path.read_bytes()
    for start in range(len(data) // 4, len(data) - 60, max(1, len(data) // 40)):
        path.write_bytes(data[:start] + bytes(60) + data[start + 60 :])
        try:
            if video.read(path).damage:
                return
        except Exception:
            continue
    raise AssertionError(path)


def noise(count: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 48, 3), np.uint8)


def test_reconstruct_says_that_a_video_is_damaged(model: Path) -> None:
    video.write("a.mkv", noise(), 8.0)
    damage(Path("a.mkv"))
    result = run("reconstruct", "a.mkv", "--model", model, "-o", "pair.mkv")
    assert result.exit_code == 0 and "note: a.mkv: its h264 video seems damaged" in result.stderr


def test_reconstruct_says_that_a_video_is_shorter_than_asked_for(model: Path) -> None:
    video.write("a.mkv", noise(), 8.0)
    words = ("reconstruct", "a.mkv", "--model", model, "-o", "pair.mkv", "--seconds")
    assert "a.mkv is shorter than --seconds 5: all of its 24 frames are taken" in run(*words, "5").stderr
    assert "shorter" not in run(*words, "3").stderr and video.probe("pair.mkv").num_frames == 24


def test_videos_of_others_are_watched_for_damage_and_for_changes() -> None:
    os.mkdir("theirs")
    moving = [case for case in CASES if case.spec.num_frames > 4][:1]
    write_cases(moving, Path("plan.jsonl"))
    path = Path("theirs", moving[0].file)
    video.write(path, render(moving[0].spec).frames, moving[0].spec.fps)
    words = ("evaluate", "--videos", "theirs", "--specs", "plan.jsonl", "--out", "report")
    result = run(*words)
    assert result.exit_code == 0 and "damaged" not in result.stderr, result.stderr
    assert "nothing is wrong" in run("check", "report").stdout
    kept = path.read_bytes()
    damage(path)
    result = run("check", "report")
    assert result.exit_code == 1 and "are not those that were judged" in result.stderr
    assert f"note: {path}: its h264 video seems damaged" in run(*words).stderr
    path.unlink()
    assert run("check", "report").exit_code == 1
    path.write_bytes(kept)
    Path("theirs").rename("elsewhere")
    result = run("check", "report")
    assert result.exit_code == 0 and "nothing tells whether they were changed" in result.stderr


def test_a_reconstruction_takes_no_option_of_a_suite() -> None:
    os.mkdir("clips")
    words = ("evaluate", "--reconstruction", "small", "--data", "clips")
    for more in (("--suite", "tasks"), ("--first", 2), ("--out", "rec"), ("--steps", 2), ("--workers", 1)):
        said = refused(*words, *more, status=2)
        assert f"--reconstruction goes with --data and --precision alone; leave out {more[0]}" in said
    assert "leave out MODEL" in refused("evaluate", "small", *words[1:], status=2)


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (
            ("--plan", "p.jsonl"),
            [("--steps", 3), ("--out", "o"), ("--json",), ("--workers", 2), ("--precision", "fp32")],
        ),
        (("--videos", "v", "--specs", "s"), [("--suite", "standard"), ("--timeout", 3), ("--key", "k")]),
        (("--suite", "smoke"), [("--timeout", 3), ("--key", "k"), ("--expect", "h")]),
        (("--sealed", "k", "--videos", "v"), [("--timeout", 3), ("--steps", 3)]),
        (("--reconstruction", "small", "--data", "d"), [("--timeout", 3), ("--plan", "p"), ("--videos", "v")]),
    ],
    ids=str,
)
def test_evaluate_takes_no_option_without_effect(words: tuple[str, ...], more: list[tuple[object, ...]]) -> None:
    for one in more:
        assert f"leave out {one[0]}" in refused("evaluate", *words, *one, status=2)


def test_a_folder_that_is_named_twice_counts_once() -> None:
    os.mkdir("clips")
    os.symlink("clips", "again")
    video.write("clips/a.mkv", noise(), 8.0)
    words = ("memorisation", "clips", "--data", "clips", "--baseline")
    assert "--baseline names clips twice, the second time as again" in refused(*words, "clips", "again", status=2)
    assert "holds no report; leave it out" in refused(*words, "small:4:7", "--folder", "clips", status=2)
    words = ("evaluate", "--reconstruction", "small", "--data", "clips", "./clips/")
    assert "--data names clips twice" in refused(*words, status=2)
    words = ("generate", "a fox", "--dry-run", "--compare")
    assert "--compare names clips twice" in refused(*words, "clips", "again", status=2)
    assert "there is no such folder" in refused(*words, "none", status=1)


def test_a_report_that_was_edited_is_not_believed() -> None:
    os.mkdir("theirs")
    case = next(case for case in CASES if case.spec.num_frames > 4)
    write_cases([case], Path("plan.jsonl"))
    video.write(Path("theirs", case.file), render(case.spec).frames, case.spec.fps)
    assert run("evaluate", "--videos", "theirs", "--specs", "plan.jsonl", "--out", "one").exit_code == 0
    shutil.copytree("one", "two")
    report = json.loads(Path("two/report.json").read_text())
    del report["seal"]
    Path("two/report.json").write_text(json.dumps(report))
    assert "two/report.json has no seal" in run("compare", "one", "two").stderr
    words = ("memorisation", "two", "--folder", "theirs", "--data", "small:2:1", "--baseline", "small:2:2:heldout")
    assert "two/report.json has no seal" in run(*words).stderr
    report = json.loads(Path("two/report.json").read_text())
    assert "memorisation" in report and "seal" not in report  # what may have been edited gets no seal of ours
    assert "unsealed" in answer("info", "two") and "unsealed" not in answer("info", "one")
    report["about"]["program"] = "chronotope 0.0.1"
    report["cases"][0]["success"] = False
    report["summary"]["success"]["right"] = 0
    Path("two/report.json").write_text(json.dumps(report))
    assert "by its cases 0 of 1" in refused("compare", "one", "two", status=1)
    for levels in report["summary"]["strata"].values():
        for rate in levels.values():
            rate["right"] = 0
    Path("two/report.json").write_text(json.dumps(report))
    assert "has the share 1 of 0 of 1" in refused("info", "two", status=1)
    report["cases"][0]["success"] = True
    report["summary"] = json.loads(Path("one/report.json").read_text())["summary"]
    Path("two/report.json").write_text(json.dumps(report))
    assert "whose checks may differ" in run("compare", "one", "two").stderr
    Path("theirs", case.file).write_bytes(b"another one")
    assert "are not those that were judged" in run("compare", "one", "two").stderr


def test_videos_that_change_while_they_are_judged_have_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkdir("theirs")
    case = next(case for case in CASES if case.spec.num_frames > 4)
    write_cases([case], Path("plan.jsonl"))
    path = Path("theirs", case.file)
    video.write(path, render(case.spec).frames, case.spec.fps)

    def exchanged(case: Any, file: Path) -> Any:
        found = check_file(case, file)
        video.write(path, render(case.spec).frames[::-1], case.spec.fps)
        return found

    monkeypatch.setattr(judge, "check_file", exchanged)
    words = ("evaluate", "--videos", "theirs", "--specs", "plan.jsonl", "--out", "report")
    assert "were changed while they were judged" in refused(*words, status=1)
    assert not Path("report/report.json").exists()


def test_no_prompt_begins_after_the_end(model: Path) -> None:
    generator = Generator.load(model)
    story = [(0.0, "a fox"), (99.0, "a cat")]
    for more in ({"num_frames": 8}, {"video": noise(8), "task": "edit"}, {"video": noise(8), "task": "extend"}):
        with pytest.raises(UsageError, match="the story goes on at 99 s, after the end"):
            generator.generate(story, height=32, width=48, **more)  # type: ignore[arg-type]
    video.write("a.mkv", noise(8), 8.0)
    words = ("generate", "--story", "0: a fox", "9: a cat", "--edit", "a.mkv", "--model", model, "-o", "b.mkv")
    assert "the story goes on at 9 s" in refused(*words, status=2)


def test_arguments_that_would_do_nothing_are_refused(model: Path) -> None:
    generator = Generator.load(model)
    with pytest.raises(UsageError, match="image is an empty list"):
        generator.generate("a fox", image=[])
    with pytest.raises(UsageError, match="'context' goes with extend"):
        generator.generate("a fox", video=noise(8), task="edit", context=1.0)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_transparent_level_is_laid_over_white(bits: int) -> None:
    levels = np.full((8, 8), 128 * (257 if bits == 16 else 1), np.uint16 if bits == 16 else np.uint8)
    levels[:, :4] = 0
    Image.fromarray(levels).save("a.png", transparency=0)
    frame = video.read_image("a.png")
    assert (frame[:, :4] == 255).all() and (abs(frame[:, 4:].astype(int) - 128) < 2).all()


def test_a_pipe_is_not_replaced(model: Path) -> None:
    os.mkfifo("pipe.mp4")
    said = refused("generate", "a fox", "--model", model, "--steps", 1, "-o", "pipe.mp4", status=2)
    assert "pipe.mp4 is no regular file" in said and not Path("pipe.mp4").is_file()
