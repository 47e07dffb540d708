"""A long video during generation: it can be watched, and stopped with Ctrl-C into a complete file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import av
import numpy as np
import pytest

from chronotope.cli.interrupt import Stop
from chronotope.media import video
from chronotope.storage import is_partial
from tests.cli.models import files_in, refused, run, save_run

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program in `tmp_path`; whatever still runs when a test ends is killed."""
    started = []

    def start(*command: object, stderr: IO[str] | int = subprocess.PIPE) -> subprocess.Popen[str]:
        words = [str(word) for word in command]
        process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=stderr, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        with process:  # which closes its pipes
            process.kill()


def wait_until(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    """Wait until a running process has reached a state."""
    while not reached():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def begin(start: Start, model: Path, folder: Path, *more: object) -> subprocess.Popen[str]:
    """Start a video of an hour in a folder; return when its growing file shows its first frames."""
    options = ("--model", model, "--seconds", 3600, "--steps", 4, "-o", "long.mp4", *more)
    chronotope = Path(sys.executable).with_name("chronotope")
    process = start(chronotope, "--threads", 1, "generate", "a red ball", *options)
    wait_until(process, lambda: any(playable(path) > 0 for path in growing(folder)))
    return process


def growing(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.mp4") if is_partial(path.name)]


def playable(path: Path) -> int:
    """Return the number of frames that a player finds; a file may be missing or have no complete frame yet."""
    try:
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(video=0))
    except (FileNotFoundError, av.error.InvalidDataError, av.error.EOFError):
        return 0


def test_ctrl_c_leaves_a_complete_video_of_the_finished_frames(start: Start, model: Path, tmp_path: Path) -> None:
    process = begin(start, model, tmp_path)  # which is watched while it grows
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert process.returncode == 130 and stdout == "long.mp4\n"
    assert "can be watched while it grows" in stderr and "stopping after this step" in stderr
    assert files_in(tmp_path) == {"long.mp4", "long.mp4.json"}
    sidecar = json.loads((tmp_path / "long.mp4.json").read_text())
    info = video.probe(tmp_path / "long.mp4")
    assert 0 < info.num_frames < 3600 * 8
    assert sidecar["num_frames"] == info.num_frames == playable(tmp_path / "long.mp4")
    assert sidecar["stopped"] == f"after {info.num_frames} of {3600 * 8} frames"
    assert f"stopped {sidecar['stopped']}" in stderr


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_no_video_is_started_after_a_stop(start: Start, model: Path, tmp_path: Path, number: int) -> None:
    process = begin(start, model, tmp_path, "--count", 3)
    process.send_signal(number)
    stdout, _ = process.communicate()
    assert (process.returncode, stdout) == (130, "long-0.mp4\n")
    assert files_in(tmp_path) == {"long-0.mp4", "long-0.mp4.json"}


def test_a_second_ctrl_c_keeps_nothing(
    start: Start, model: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In a process that never gets to the check after a step."""
    slow = """
import pathlib, sys, time
from chronotope.cli import interrupt
from chronotope.cli.commands import chronotope

def ignore(stop):
    pathlib.Path("here").touch()
    while True:
        time.sleep(0.01)

interrupt.Stop.check = ignore
chronotope.main(sys.argv[1:])
"""
    options = ("--model", model, "--seconds", 3600, "-o", "long.mp4")
    stderr = tmp_path_factory.mktemp("stderr") / "stderr"
    with stderr.open("w") as written:
        process = start(sys.executable, "-c", slow, "generate", "a red ball", *options, stderr=written)
    wait_until(process, (tmp_path / "here").exists)
    process.send_signal(signal.SIGINT)
    wait_until(process, lambda: "press Ctrl-C again" in stderr.read_text())  # two pending signals would count as one
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate()
    assert (process.returncode, stdout) == (130, "") and "interrupted" in stderr.read_text()
    assert files_in(tmp_path) == {"here"}


def test_finished_frames_survive_a_kill(start: Start, model: Path, tmp_path: Path) -> None:
    """And the same command removes what the killed one left."""
    process = begin(start, model, tmp_path)
    process.kill()
    process.communicate()
    (partial,) = growing(tmp_path)
    assert playable(partial) > 0
    again = run("generate", "a red ball", "--model", model, "--steps", 1, "-o", tmp_path / "long.mp4")
    assert again.exit_code == 0, again.stderr
    assert files_in(tmp_path) == {"long.mp4", "long.mp4.json"}


@pytest.mark.slow  # train/test_crashes.py has the lock of two processes
def test_two_processes_do_not_write_one_file(start: Start, model: Path, tmp_path: Path) -> None:
    process = begin(start, model, tmp_path)
    process.send_signal(signal.SIGSTOP)  # or it could be done before the second one has started
    said = refused("generate", "a red ball", "--model", model, "-o", tmp_path / "long.mp4", status=2)
    assert f"long.mp4 is being written by process {process.pid} on " in said
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    process.communicate()
    assert files_in(tmp_path) == {"long.mp4", "long.mp4.json"}


def test_videos_of_two_lengths_begin_alike(model: Path, tmp_path: Path) -> None:
    """Later frames do not change earlier ones."""
    for seconds in (6, 9):
        done = run("generate", "a red ball", "--model", model, "--seconds", seconds, "-o", tmp_path / f"{seconds}.mkv")
        assert done.exit_code == 0, done.stderr
    short, long = (video.read(tmp_path / f"{seconds}.mkv").frames for seconds in (6, 9))
    assert np.array_equal(short[:44], long[:44])  # the last slice of the shorter one has no neighbour behind it


def test_a_signal_that_torchrun_sends_on_is_no_second_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("chronotope.cli.interrupt.time.monotonic", lambda: now[0])
    for relayed in (True, False):
        stop = Stop("keep nothing")
        if relayed:
            monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
            stop.handle(signal.SIGINT, None)
            stop.handle(signal.SIGINT, None)
            assert stop.signal is signal.SIGINT and capfd.readouterr().err.count("stopping after this step") == 1
            now[0] = 3.0
        else:
            monkeypatch.delenv("TORCHELASTIC_RUN_ID")
            stop.handle(signal.SIGINT, None)
        with pytest.raises(KeyboardInterrupt):
            stop.handle(signal.SIGINT, None)
