"""Measure what the guarantees of docs/reliability.md cost: processor time of commands, before and after they came.

    python -m benchmarks.overhead --base 24086f7 --pairs 5

`--base` is a revision of this repository; 24086f7 is the last one without the guarantees. Its commands and today's run
in turns on the same clips, one thread each. Processor time counts all processes that a command starts. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.jobs import AUTOENCODER, DIT
from chronotope.storage import write_json

__all__ = ["main"]

ROOT = Path(__file__).parents[1]
PR_SET_CHILD_SUBREAPER = 36  # what outlives its parent becomes a child of this process, and is counted
STEPS = 200  # of the longer training; that of a tenth is taken off, which leaves the steps alone


def _commands(name: str) -> dict[str, tuple[str, ...]]:
    """Return the measured commands; each tree has its own folder of results, `name`."""
    steps = {"batch_tokens": 600, "save_every": 100, "check_every": 1000, "log_every": 50, "warmup": 2}
    settings = [each for each in DIT if each.partition("=")[0] not in {f"train.{name}" for name in ("steps", *steps)}]
    settings += [f"train.{name}={value}" for name, value in steps.items()]
    train = ("train", "dit", "--preset", "tiny", "--data", f"{name}/latents")
    out = f"{name}/again"
    return {
        "encode": ("encode", "clips", "--model", f"{name}/run", "--out", out),
        "train long": (*train, "--out", f"{name}/run", "--set", *settings, f"train.steps={STEPS}"),
        "train short": (*train, "--out", f"{name}/run", "--set", *settings, f"train.steps={STEPS // 10}"),
        "generate": ("generate", "a red ball", "--model", "small", "--steps", "4", "-o", f"{out}.mp4"),
    }


def _run(tree: Path, words: Sequence[str], folder: Path) -> float:
    """Run a command of a tree; return its processor time in seconds, that of its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "chronotope", "--threads", "1", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} in {tree}: {done.stderr}")
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _measure(trees: Mapping[str, Path], pairs: int, folder: Path) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each command in each tree, one for each round; the order changes every round."""
    seconds: dict[str, dict[str, list[float]]] = {command: {name: [] for name in trees} for command in _commands("old")}
    for number in range(pairs):
        order = list(trees) if number % 2 else list(trees)[::-1]
        for command in seconds:
            for name in order:
                shutil.rmtree(folder / name / "again", ignore_errors=True)
                shutil.rmtree(folder / name / "run" / "dit", ignore_errors=True)
                seconds[command][name].append(_run(trees[name], _commands(name)[command], folder))
        print(json.dumps({command: {name: row[-1] for name, row in by.items()} for command, by in seconds.items()}))
    return seconds


@contextlib.contextmanager
def _checked_out(revision: str, folder: Path) -> Iterator[Path]:
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", str(folder), revision], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def main(base: str, pairs: int = 5, clips: int = 60, out: Path | None = None) -> dict[str, Any]:
    """Measure, print and write the ratios of processor time, today's over that of the base."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    with tempfile.TemporaryDirectory() as name, _checked_out(base, Path(name) / "tree") as tree:
        folder, trees = Path(name), {"old": tree, "new": ROOT}
        _run(ROOT, ("world", "stage", "--count", str(clips), "--scope", "shapes", "--out", "clips"), folder)
        for which, root in trees.items():
            train = ("train", "autoencoder", "--preset", "tiny", "--data", "clips", "--out", f"{which}/run")
            _run(root, (*train, "--set", *AUTOENCODER), folder)
            _run(root, ("encode", "clips", "--model", f"{which}/run", "--out", f"{which}/latents"), folder)
        seconds = _measure(trees, pairs, folder)
    found = _summary(seconds)
    write_json(out or Path(__file__).with_suffix(".json"), {"base": base, "pairs": pairs, **found})
    print(json.dumps(found, indent=1))
    return found


def _summary(seconds: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """Return ratios for a folder and a training step and a difference for one `generate`, of the least times.

    Other programs can only lengthen a time, so the least of the rounds is nearest to the truth.
    """
    least = {command: {name: min(times) for name, times in by_tree.items()} for command, by_tree in seconds.items()}
    steps = {name: least["train long"][name] - least["train short"][name] for name in ("old", "new")}
    return {
        "encode, ratio": round(least["encode"]["new"] / least["encode"]["old"], 3),
        "a training step, ratio": round(steps["new"] / steps["old"], 3),
        "generate, seconds more": round(least["generate"]["new"] - least["generate"]["old"], 3),
        "seconds": {command: dict(by_tree) for command, by_tree in seconds.items()},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default="24086f7", help="a revision to compare with")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--out", type=Path)
    main(**vars(parser.parse_args()))
