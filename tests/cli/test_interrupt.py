"""A long video while it is made: it can be watched, stopped with Ctrl-C, and what is there is a whole file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from chronotope.media import video
from tests.cli.models import files_in, program, save_run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


def begin(model: Path, folder: Path, seconds: int, *more: object, name: str = "long") -> subprocess.Popen[str]:
    """A video of this length, at work; comes back when its first frames are on disk."""
    words = ["generate", "a red ball", "--model", model, "--seconds", seconds, "--steps", 4, "-o", "long.mp4", *more]
    command = [str(Path(sys.executable).with_name("chronotope")), "--threads", "1", *map(str, words)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    growing, deadline = folder / f"{name}.part.mp4", time.monotonic() + 60
    while not (growing.exists() and growing.stat().st_size > 4000):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    return process


def playable(path: Path) -> int:
    """How many frames a player finds."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_ctrl_c_leaves_a_whole_video_of_what_is_there(model: Path, tmp_path: Path) -> None:
    process = begin(model, tmp_path, 3600)
    assert playable(tmp_path / "long.part.mp4") > 0  # watched while it grows
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 130 and said == "long.mp4\n"
    assert "can be watched while it grows" in complained and "stopping after this step" in complained
    assert files_in(tmp_path) == {"long.mp4", "long.mp4.json"}
    told = json.loads((tmp_path / "long.mp4.json").read_text())
    info = video.probe(tmp_path / "long.mp4")
    assert 0 < info.num_frames < 3600 * 8
    assert told["num_frames"] == info.num_frames == playable(tmp_path / "long.mp4")
    assert told["stopped"] == f"after {info.num_frames} of {3600 * 8} frames"
    assert f"stopped {told['stopped']}" in complained


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_more_is_begun_once_stopping_was_asked_for(model: Path, tmp_path: Path, number: int) -> None:
    process = begin(model, tmp_path, 3600, "--count", 3, name="long-0")
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "long-0.mp4\n")
    assert files_in(tmp_path) == {"long-0.mp4", "long-0.mp4.json"}


def test_a_second_ctrl_c_keeps_nothing(model: Path, tmp_path: Path) -> None:
    """In a process that takes a minute to notice the first one."""
    slow = """
import pathlib, sys, time
from chronotope.cli import interrupt
from chronotope.cli.commands import chronotope

def look_away(stop):
    pathlib.Path("here").touch()
    for _ in range(6000):
        time.sleep(0.01)

interrupt.Stop.check = look_away
chronotope.main(sys.argv[1:])
"""
    words = [
        sys.executable,
        "-c",
        slow,
        "generate",
        "a red ball",
        "--model",
        str(model),
        "--seconds",
        "3600",
        "-o",
        "long.mp4",
    ]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "here").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    said, complained = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "") and "interrupted" in complained
    assert files_in(tmp_path) == {"here"}


def test_what_was_made_survives_the_end_of_the_program(model: Path, tmp_path: Path) -> None:
    process = begin(model, tmp_path, 3600)
    process.kill()
    process.communicate(timeout=60)
    assert playable(tmp_path / "long.part.mp4") > 0


def test_stopped_and_whole_begin_alike(model: Path, tmp_path: Path) -> None:
    """What comes later changes nothing of what was there before."""
    for seconds in (6, 9):
        done = program(
            "generate", "a red ball", "--model", model, "--seconds", seconds, "-o", tmp_path / f"{seconds}.mkv"
        )
        assert done.returncode == 0, done.stderr
    short, long = (video.read(tmp_path / f"{seconds}.mkv").frames for seconds in (6, 9))
    assert np.array_equal(short[:44], long[:44])  # the last slice of the shorter one has no neighbour behind it
