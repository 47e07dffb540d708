"""The steps of a training of one process: losses of batches -> weights, log, checkpoints and the finished model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import torch
from torch import Tensor

from chronotope import checkpoint
from chronotope.config import MOST, Count, Positive, Range, Share
from chronotope.models.precision import Precision
from chronotope.train.log import TrainingLog
from chronotope.train.optimizers import learning_rate_factor
from chronotope.train.state import TrainState, check_rates

__all__ = ["Batch", "Record", "Steps", "train_to_the_end"]


@dataclass(frozen=True)
class Steps:
    """Length of a training and learning rates, of Muon and AdamW."""

    steps: Count = 1000
    muon_rate: Share = 0.02
    adam_rate: Share = 3e-3
    warmup: Annotated[int, Range(0, MOST)] = 50
    decay_from: Annotated[float, Range(0, 1, open="high")] = 0.5
    clip_norm: Positive = 1.0
    average_decay: Annotated[float, Range(0, 1, open="high")] = 0.99
    precision: Precision = "auto"
    log_every: Count = 20
    save_every: Count = 500

    def __post_init__(self) -> None:
        check_rates(self.muon_rate, self.adam_rate)


class Batch(Protocol):
    """What a step learns: the names of its samples and how many tokens it has."""

    @property
    def keys(self) -> tuple[str, ...]: ...

    @property
    def num_tokens(self) -> int: ...


B = TypeVar("B", bound=Batch)


@dataclass(frozen=True)
class Record:
    """What is written of a training: its name, the description of its model, the settings that were asked for, and the
    run with what was measured on the data.
    """

    name: str
    description: Mapping[str, Any]
    settings: Mapping[str, Any]
    run: Mapping[str, Any]


def train_to_the_end(
    state: TrainState,
    train: Steps,
    batches: Iterator[B],
    loss_of: Callable[[B], Tensor],
    out: Path,
    record: Record,
    notes: Sequence[str],
    quiet: bool,
    stopping: Callable[[], bool],
) -> dict[str, Any]:
    """Say `notes`, take the steps that are left, and save the model after the last one; returns the logged numbers."""
    with TrainingLog(out, record.name, train.steps, state.step, quiet) as log:
        for note in notes:
            log.say(note)
        checkpoint_of = {**record.description, "settings": record.settings}
        _take_steps(state, train, log, batches, loss_of, out, checkpoint_of, stopping)
    if state.step == train.steps:
        trained = {"run": record.run, "seconds": state.seconds, "clips": state.clips, **state.numbers}
        checkpoint.save_model(out, state.average, {**record.description, "training": trained}, torch.float16)
    return state.numbers


def _take_steps(
    state: TrainState,
    train: Steps,
    log: TrainingLog,
    batches: Iterator[B],
    loss_of: Callable[[B], Tensor],
    out: Path,
    description: Mapping[str, Any],
    stopping: Callable[[], bool],
) -> None:
    """Train until the last step, or until `stopping()` is true; the state is saved after the step then.

    All random numbers depend on (seed, step), so an interrupted training gives the same weights.
    """
    stop = False
    while state.step < train.steps and not stop:
        started = time.perf_counter()
        factor = learning_rate_factor(train, state.step)
        batch = next(batches)
        loss = loss_of(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        if state.optimizer_step(loss, factor, train.clip_norm, train.precision):
            state.update_average(train.average_decay)
        else:
            log.skip(state.step, float(loss), sorted(set(batch.keys)))
            state.check_skipped()
        state.clips += len(batch.keys)
        state.tokens += batch.num_tokens
        state.seconds += time.perf_counter() - started
        stop = stopping()

        log.advance(state.step)
        last = state.step == train.steps
        if state.step % train.log_every == 0 or last:
            speed = {"clips/s": state.clips / state.seconds, "seconds": state.seconds}
            state.numbers = {**state.mean_loss(), "gradient_norm": state.gradient_norm, **speed}
            log.write(state.step, state.numbers)
        if state.step % train.save_every == 0 or last or stop:
            state.save(out, dict(description))
