"""What new users found to happen without a word: it is said, or refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chronotope import Generator
from chronotope.errors import UsageError
from chronotope.evaluate.suite import write_cases
from chronotope.media import video
from chronotope.worlds.stage.render import render
from tests.cli.models import refused, run, save_run
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
