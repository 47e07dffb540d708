"""A long video during generation: it can be watched, and stopped with Ctrl-C into a complete file."""

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
    """Start a video of this length; return when its first frames are on disk."""
    words = ["generate", "a red ball", "--model", model, "--seconds", seconds, "--steps", 4, "-o", "long.mp4", *more]
    command = [str(Path(sys.executable).with_name("chronotope")), "--threads", "1", *map(str, words)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    growing, deadline = folder / f"{name}.part.mp4", time.monotonic() + 60
    while not (growing.exists() and growing.stat().st_size > 4000):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    return process


def playable(path: Path) -> int:
    """Return the number of frames that a player finds."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_ctrl_c_leaves_a_complete_video_of_the_finished_frames(model: Path, tmp_path: Path) -> None:
    process = begin(model, tmp_path, 3600)
    assert playable(tmp_path / "long.part.mp4") > 0  # watched while it grows
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and stdout == "long.mp4\n"
    assert "can be watched while it grows" in stderr and "stopping after this step" in stderr
    assert files_in(tmp_path) == {"long.mp4", "long.mp4.json"}
    sidecar = json.loads((tmp_path / "long.mp4.json").read_text())
    info = video.probe(tmp_path / "long.mp4")
    assert 0 < info.num_frames < 3600 * 8
    assert sidecar["num_frames"] == info.num_frames == playable(tmp_path / "long.mp4")
    assert sidecar["stopped"] == f"after {info.num_frames} of {3600 * 8} frames"
    assert f"stopped {sidecar['stopped']}" in stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_video_is_started_after_a_stop(model: Path, tmp_path: Path, number: int) -> None:
    process = begin(model, tmp_path, 3600, "--count", 3, name="long-0")
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "long-0.mp4\n")
    assert files_in(tmp_path) == {"long-0.mp4", "long-0.mp4.json"}


def test_a_second_ctrl_c_keeps_nothing(model: Path, tmp_path: Path) -> None:
    """In a process that takes a minute to notice the first one."""
    slow = """
import pathlib, sys, time
from chronotope.cli import interrupt
from chronotope.cli.commands import chronotope

def ignore(stop):
    pathlib.Path("here").touch()
    for _ in range(6000):
        time.sleep(0.01)

interrupt.Stop.check = ignore
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
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "") and "interrupted" in stderr
    assert files_in(tmp_path) == {"here"}


def test_finished_frames_survive_a_kill(model: Path, tmp_path: Path) -> None:
    process = begin(model, tmp_path, 3600)
    process.kill()
    process.communicate(timeout=60)
    assert playable(tmp_path / "long.part.mp4") > 0


def test_videos_of_two_lengths_begin_alike(model: Path, tmp_path: Path) -> None:
    """Later frames do not change earlier ones."""
    for seconds in (6, 9):
        done = program(
            "generate", "a red ball", "--model", model, "--seconds", seconds, "-o", tmp_path / f"{seconds}.mkv"
        )
        assert done.returncode == 0, done.stderr
    short, long = (video.read(tmp_path / f"{seconds}.mkv").frames for seconds in (6, 9))
    assert np.array_equal(short[:44], long[:44])  # the last slice of the shorter one has no neighbour behind it
