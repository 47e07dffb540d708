"""The lines of a training's log.jsonl -> TensorBoard or trackio, while the training goes on or afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem, UsageError
from chronotope.jsonl import read_sealed_rows

__all__ = ["SINKS", "track"]

Sink = Callable[[int, Mapping[str, float]], None]  # takes a step and its numbers

POLL_SECONDS = 5.0  # between two looks at a log that is followed


def track(run: Path, to: str, follow: bool, rest: Callable[[float], None] = time.sleep) -> int:
    """Send the lines of the log of a run to a sink, with `follow` until it is interrupted; return how many.

    `rest` waits so many seconds. Raises FileProblem where there is no log, UsageError where the sink is not installed.
    """
    log = run if run.suffix == ".jsonl" else run / "log.jsonl"
    if not log.is_file():
        raise FileProblem(f"{log} is missing; name the folder of a training, such as runs/mine/dit")
    begin, sent = SINKS[to], 0
    sink, end = begin(log.parent)
    try:
        for row in _rows(log, follow, rest):
            numbers = {name: float(value) for name, value in row.items() if name != "step"}
            sink(int(row["step"]), numbers)
            sent += 1
    except KeyboardInterrupt:
        if not follow:
            raise
    finally:
        end()
    return sent


def _rows(log: Path, follow: bool, rest: Callable[[float], None]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a log, and with `follow` those that are appended; lines of a step that was sent are left out.

    A training that is resumed deletes the lines after its checkpoint and writes them again.
    """
    seen: set[tuple[int, tuple[str, ...]]] = set()
    while True:
        for row in read_sealed_rows(log).rows:
            if (key := (int(row["step"]), tuple(sorted(row)))) not in seen:
                seen.add(key)
                yield row
        if not follow:
            return
        rest(POLL_SECONDS)


def _tensorboard(run: Path) -> tuple[Sink, Callable[[], None]]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as problem:
        raise UsageError("TensorBoard is not installed; pip install 'chronotope[track]'") from problem
    writer = SummaryWriter(str(run / "tensorboard"))

    def send(step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return send, writer.close


def _trackio(run: Path) -> tuple[Sink, Callable[[], None]]:
    try:
        import trackio
    except ImportError as problem:
        raise UsageError("trackio is not installed; pip install 'chronotope[track]'") from problem
    trackio.init(project="chronotope", name=f"{run.resolve().parent.name}-{run.resolve().name}")
    return lambda step, numbers: trackio.log(dict(numbers), step=step), trackio.finish


SINKS: dict[str, Callable[[Path], tuple[Sink, Callable[[], None]]]] = {
    "tensorboard": _tensorboard,
    "trackio": _trackio,
}
