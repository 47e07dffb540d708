"""Training that is killed, resumed and divided anew, beside training that is not: by how much the weights differ."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from chronotope.bench.lines import OURS, Line, Section
from chronotope.bench.measure import environment, run_python
from chronotope.checkpoint import checkpoints, load_tensors
from chronotope.errors import ChronotopeError

__all__ = ["largest_difference", "measure_ranks"]

STEPS, SAVED = 16, 4
SETTINGS = (
    "model.width=64",
    "model.depth=2",
    "train.precision=fp32",
    f"train.steps={STEPS}",
    f"train.save_every={SAVED}",
    "train.batch_tokens=600",
)
TORCHRUN = "-m torch.distributed.run --standalone --nproc-per-node 2 --max-restarts 1".split()
ABOUT = f"{STEPS} steps of a small transformer on gloo: the largest difference of a weight"
Interrupt = Callable[[int], None]


def measure_ranks() -> Section:
    """Train in two processes: undisturbed, killed and restarted, stopped and resumed; and in one, two and one again."""
    if not Path("/proc").exists() or not torch.distributed.is_available():
        note = "not measured here: it needs Linux and a torch with torch.distributed"
        return Section("ranks", ABOUT, (Line("two processes", OURS, None, "", None, "0", note),))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_python(
            "-m", "chronotope", "world", "stage", "--count", "6", "--size", "64x64", "--out", str(folder / "clips")
        )
        run_python("-m", "chronotope", "encode", str(folder / "clips"), "--out", str(folder / "data"))
        one, two = folder / "one", folder / "two"
        _train(one)
        _train(two, TORCHRUN)
        _train(folder / "killed", TORCHRUN, _kill_one)
        _train(folder / "resumed", TORCHRUN, _terminate)
        _train(folder / "resumed", TORCHRUN)
        _train(folder / "around", (), _terminate)
        _train(folder / "around", TORCHRUN, _terminate)
        _train(folder / "around")
        lines = (
            _line("two processes, one killed (9) and restarted", folder / "killed", two, "0", "two, undisturbed"),
            _line("two processes, stopped and resumed", folder / "resumed", two, "0", "two, undisturbed"),
            _line("two processes", two, one, "<= 1e-5", "one"),
            _line("one, then two, then one", folder / "around", one, "<= 1e-5", "one"),
        )
    return Section("ranks", ABOUT, lines)


def _line(case: str, run: Path, other: Path, aim: str, beside: str) -> Line:
    difference = largest_difference(run, other)
    note = f"beside {beside}" + (": the same bits" if difference == 0 else "")
    return Line(case, OURS, difference, "", None, aim, note)


def largest_difference(run: Path, other: Path) -> float:
    """Return the largest difference of a weight of the last checkpoints of two runs."""
    ours, theirs = (load_tensors(checkpoints(each / "dit")[-1] / "model.safetensors") for each in (run, other))
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def _train(run: Path, launcher: list[str] | tuple[str, ...] = (), interrupt: Interrupt | None = None) -> None:
    """Train in a folder until the process ends; `interrupt` is called with its number after the next checkpoint.

    torchrun starts again what was killed, and ends with a status that is not 0 where it was asked to stop.
    """
    words = [sys.executable, *launcher, "-m", "chronotope", "train", "dit", "--preset", "tiny"]
    words += ["--data", str(run.parent / "data"), "--autoencoder", "small"]
    words += ["--out", str(run), "--set", *SETTINGS]
    last = _newest(run)
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=said, env=environment())
        if interrupt:
            while process.poll() is None and _newest(run) == last:
                time.sleep(0.02)
            if process.poll() is None:
                interrupt(process.pid)
        if process.wait() and interrupt is not _terminate:
            said.seek(0)
            lines = [line for line in said.read().splitlines() if line.strip()] or ["it said nothing"]
            raise ChronotopeError(f"a training that is measured ended with status {process.returncode}: {lines[-1]}")


def _newest(run: Path) -> str:
    found = checkpoints(run / "dit")
    return found[-1].name if found else ""


def _terminate(process: int) -> None:
    os.kill(process, signal.SIGTERM)


def _kill_one(process: int) -> None:
    """Kill a worker of torchrun."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
