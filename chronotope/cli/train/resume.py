"""A training is started, continued or found finished; its folder is locked, and no stranger's file is replaced."""

from __future__ import annotations

import contextlib
import os
import signal
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import torch

from chronotope import checkpoint
from chronotope.cli.interrupt import stoppable
from chronotope.cli.terminal import say
from chronotope.data.record import changes_in_data
from chronotope.errors import FileProblem, UsageError
from chronotope.parallel import join_ranks
from chronotope.sealed import unsealed
from chronotope.storage import locked, read_json, remove_partials
from chronotope.train.log import changes_in_log
from chronotope.train.same_run import changes_in_settings, check_same_run, strange_model

__all__ = ["train_or_resume", "writing_run"]

RUN_FILES = ("config.toml", "log.jsonl", "quarantine.jsonl", "model.json", "model.safetensors")  # beside checkpoints


@contextlib.contextmanager
def writing_run(run: Path) -> Iterator[None]:
    """Lock a run folder, in the first process, and delete what a killed process left half-written in it."""
    if not join_ranks().first:
        yield
        return
    with locked(run):
        _refuse_strangers(run)
        remove_partials(run, *(path for path in run.rglob("*") if path.is_dir()))
        yield


def _refuse_strangers(run: Path) -> None:
    """Refuse a folder in which a run would replace files that this program did not write."""
    found = next((path for path in map(run.joinpath, RUN_FILES) if os.path.lexists(path)), None)
    if found is not None and not _is_run(run):
        raise UsageError(f"{found} exists and is of no training of this program; give another --out")


def _is_run(run: Path) -> bool:
    """Return whether a folder holds a checkpoint, a model or the settings of a training."""
    if checkpoint.checkpoints(run):
        return True
    with contextlib.suppress(FileProblem, TypeError):
        if {"kind", "config"} <= set(read_json(run / "model.json")):
            return True
    with contextlib.suppress(OSError, ValueError):
        return {"seed", "model", "train"} <= tomllib.loads((run / "config.toml").read_text(encoding="utf-8")).keys()
    return False


def train_or_resume(
    run: Path,
    config: Any,
    data: Callable[[], list[dict[str, Any]]],
    train: Callable[[Callable[[], bool]], dict[str, Any]],
    anew: bool = False,
) -> dict[str, Any]:
    """Start training or continue it, and return what it returns; do nothing if it is finished.

    A finished model whose checkpoints are gone is not trained again from the start, unless `anew`.
    Settings and data that are not those of a finished training are said; `data` names those of now.
    After a signal, training saves its state after the current step; then the program exits with status 0 after SIGTERM
    and with 130 after Ctrl-C.
    """
    done, steps = _finished_steps(run), config.train.steps
    if done >= steps:
        if join_ranks().first:
            _say_finished(run, config, done, data())
        return {}
    step = _last_step(run)
    if done and not step and not anew:
        raise FileProblem(
            f"{run} holds a model of {done} steps and no checkpoint from which it could go on; restore "
            f"{run / 'checkpoints'}, or start from the model with --from {run.parent} and another --out"
        )
    check_same_run(run, config)
    if step and join_ranks().first:
        _say_resumed(run, config, step, done)
    try:
        with stoppable("lose the steps since the last checkpoint", begun=False) as stop:
            numbers = train(stop.poll)
            if stop.requested and _finished_steps(run) < steps:
                raise KeyboardInterrupt
            return numbers
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on after step {_last_step(run)}")
        if stop.signal == signal.SIGTERM:
            raise click.exceptions.Exit(0) from None
        raise
    except torch.OutOfMemoryError as problem:
        raise FileProblem("the GPU is out of memory; train with smaller steps, see --dry-run") from problem
    except RuntimeError as problem:
        if "Connection closed by peer" not in str(problem):  # of gloo
            raise
        raise FileProblem("another process of this training has ended, as it or torchrun says") from problem


def _say_finished(run: Path, config: Any, done: int, data: list[dict[str, Any]]) -> None:
    """Say that a training is finished, and which settings and data of now are not used."""
    say(f"{run} is trained already ({done} steps); to train on: --set train.steps={2 * done}")
    for change in changes_in_settings(run, config):
        say(f"note: not used: {change}")
    for sentence in changes_in_data(run, data, finished=True):
        say(sentence)
    if strange := strange_model(run):
        say(f"note: {strange}; restore the files of one run")
    if latest := checkpoint.latest_checkpoint(run):
        for change in changes_in_log(run, checkpoint.read_counters(latest)):
            say(f"note: {change}")


def _say_resumed(run: Path, config: Any, step: int, done: int) -> None:
    """Say where a training goes on, and what is not as it was."""
    say(f"going on with {run} after step {step} of {config.train.steps}")
    if done > step:
        say(f"note: {run / 'model.json'} is a model of {done} steps; this training, of {step}, will replace it")
    for sentence in unsealed(run / "checkpoints" / f"{step:07d}" / "state.json"):
        say(f"note: {sentence}")
    for change in changes_in_settings(run, config):
        say(f"note: {change}")


def _last_step(run: Path) -> int:
    """Return the step of the newest whole checkpoint, 0 if there is none."""
    latest = checkpoint.latest_checkpoint(run)
    return int(latest.name) if latest else 0


def _finished_steps(run: Path) -> int:
    """Return the steps of the finished model in a run folder, 0 if there is none or if it is damaged."""
    if not (run / "model.json").is_file():
        return 0
    try:
        training = checkpoint.verify_model(run).get("training", {})
    except FileProblem as problem:
        say(f"note: {problem}; it is made again from the last checkpoint")
        return 0
    return int(training.get("run", {}).get("train", {}).get("steps", 0))
