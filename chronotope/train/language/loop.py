"""The steps of a training of one process: losses of batches -> weights, log and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor

from chronotope.train.log import TrainingLog
from chronotope.train.optimizers import Rates, learning_rate_factor
from chronotope.train.state import Precision, TrainState

__all__ = ["Batch", "Steps", "take_steps"]


class Steps(Rates, Protocol):
    """The settings of a training that the loop needs."""

    @property
    def clip_norm(self) -> float: ...

    @property
    def average_decay(self) -> float: ...

    @property
    def precision(self) -> Precision: ...

    @property
    def log_every(self) -> int: ...

    @property
    def save_every(self) -> int: ...


class Batch(Protocol):
    """What a step learns: the names of its samples and how many tokens it has."""

    @property
    def keys(self) -> tuple[str, ...]: ...

    @property
    def num_tokens(self) -> int: ...


B = TypeVar("B", bound=Batch)


def take_steps(
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
            state.numbers = {**state.mean_loss(), "clips/s": state.clips / state.seconds, "seconds": state.seconds}
            log.write(state.step, state.numbers)
        if state.step % train.save_every == 0 or last or stop:
            state.save(out, dict(description))
