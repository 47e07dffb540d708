"""Training and generation killed at random moments lose nothing; `benchmarks.crashes` has the large numbers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from benchmarks.crashes import damage_checkpoints, kill_commands
from benchmarks.failing_disk import fail_every_write
from benchmarks.jobs import COMMANDS, Command, end_of, prepare, start
from chronotope import checkpoint
from chronotope.storage import is_partial
from tests.cli.models import refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    prepare(folder / "start")
    return folder


# The tests of `world`, `encode` and `evaluate` kill those.
SHORT = tuple(command for command in COMMANDS if command.name.startswith(("train", "generate")))


@pytest.mark.parametrize(("kills", "commands"), [(1, SHORT), pytest.param(35, COMMANDS, marks=pytest.mark.slow)])
def test_kills_cost_nothing_but_time(folder: Path, kills: int, commands: tuple[Command, ...]) -> None:
    for row in kill_commands(kills, 0, folder, commands):
        counts = {name: row[name] for name in ("kills", "lost", "doubled", "differing", "failed", "litter")}
        assert counts == {"kills": kills, "lost": 0, "doubled": 0, "differing": 0, "failed": 0, "litter": 0}


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize(
    ("name", "calls"), [("generate", 2), *(pytest.param(c.name, 1000, marks=pytest.mark.slow) for c in COMMANDS)]
)
def test_a_disk_that_fails_at_any_write_costs_nothing(folder: Path, name: str, calls: int) -> None:
    command = next(command for command in COMMANDS if command.name == name)
    found = fail_every_write(command, calls, 0, folder.resolve())
    assert found["failed"] >= 2 * calls or found["failed"] == 2 * found["calls"] > 30
    assert [found[wrong] for wrong in ("missed", "wrong", "different", "litter")] == [0, 0, 0, 0]


@pytest.mark.parametrize("cases", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_damage_is_detected(folder: Path, cases: int) -> None:
    found = damage_checkpoints(cases, 0, folder)
    assert (found["cases"], found["silent"], found["crashed"]) == (cases, 0, 0)
    assert found["detected"] > 0.9 * cases


TRAININGS = [command for command in COMMANDS if command.name.startswith("train")]


def words_of(number: int, out: str) -> list[str]:
    return [out if word == "run" else word for word in TRAININGS[number].words]


def begin(folder: Path, number: int, out: str) -> BaseProcess:
    """Start a training of many steps; return when it has made its first checkpoints."""
    words = ["train.steps=100000" if word == "train.steps=8" else word for word in words_of(number, out)]
    process = start(words, folder)
    run = folder / out / ("autoencoder", "dit")[number]
    while len(checkpoint.checkpoints(run)) < 2:
        assert process.is_alive(), (folder / "stderr").read_text()
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(("part", "number", "status"), [(0, signal.SIGTERM, 0), (1, signal.SIGINT, 130)])
def test_a_signal_saves_after_the_current_step_and_two_processes_do_not_mix(
    folder: Path, monkeypatch: pytest.MonkeyPatch, part: int, number: signal.Signals, status: int
) -> None:
    work, out = folder / "start", f"signal-{part}"
    if part == 1:
        (work / out).mkdir()
        (work / out / "autoencoder").symlink_to(work / "model" / "autoencoder")
    run = work / out / ("autoencoder", "dit")[part]
    process = begin(work, part, out)
    monkeypatch.chdir(work)
    sentence = refused(*words_of(part, out), status=2)
    assert sentence.startswith(f"{out}/{run.name} is being written by process {process.pid} on ")
    assert process.pid is not None
    os.kill(process.pid, number)
    assert end_of(process) == status
    stderr = (work / "stderr").read_text()
    last = checkpoint.checkpoints(run)[-1]
    assert f"goes on after step {int(last.name)}\n" in stderr and "stopping after this step" in stderr
    checkpoint.verify_checkpoint(last)
    assert not [path for path in run.rglob("*") if is_partial(path.name) or path.name == ".lock"]


def test_the_autoencoder_refuses_several_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "start")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "is trained in one process" in refused(*words_of(0, "ranks"), status=2)
    assert not Path("ranks").exists()


def test_ctrl_c_in_a_terminal_reaches_the_loaders_too_and_loses_nothing(folder: Path) -> None:
    """A terminal sends the signal to every process of the group."""
    work, run = folder / "start", folder / "start" / "loaders" / "dit"
    run.parent.mkdir()
    (run.parent / "autoencoder").symlink_to(work / "model" / "autoencoder")
    words = ["train.steps=100000" if word == "train.steps=8" else word for word in words_of(1, "loaders")]
    command = [sys.executable, "-m", "chronotope", *words, "train.workers=1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        command, cwd=work, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not checkpoint.checkpoints(run):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130, said
    assert f"goes on after step {int(checkpoint.checkpoints(run)[-1].name)}" in said
