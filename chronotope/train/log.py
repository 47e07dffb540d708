"""Log a training run: a line per logged step in log.jsonl, one per skipped step in quarantine.jsonl, a progress bar."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from chronotope.config import to_dict
from chronotope.errors import FileProblem, UsageError, visible
from chronotope.jsonl import append_jsonl, read_sealed_rows, sealed_row, write_jsonl
from chronotope.storage import write_atomically

__all__ = ["LOG", "QUARANTINE", "TrainingLog", "changes_in_log", "seal_of_log", "write_toml"]

LOG, QUARANTINE = "log.jsonl", "quarantine.jsonl"


class TrainingLog:
    """Appends numbers to `log.jsonl` and shows them; lines after `step`, from before a resumption, are deleted first.

    Skipped steps are written to `quarantine.jsonl`. The lines of both are sealed.

    With `writes=False` (all processes but the first) nothing is written or shown.
    """

    def __init__(self, run: Path, name: str, total: int, step: int, quiet: bool = False, writes: bool = True) -> None:
        self.path = run / LOG
        self.quarantine = run / QUARANTINE
        self.writes = writes
        self.console = Console(stderr=True, quiet=quiet or not writes)
        self._seals: dict[Path, str] = {}  # of the last lines
        if writes:
            for path in (self.path, self.quarantine):
                self._cut(path, step)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=self.console, transient=False)
        self.task = self.progress.add_task(name, total=total, completed=step, numbers="")

    def _cut(self, path: Path, step: int) -> None:
        """Delete the rows after a step."""
        self._seals[path] = ""
        if not path.exists():
            return
        rows = read_sealed_rows(path, self.say).rows
        if not all(isinstance(row.get("step"), int) for row in rows):
            raise FileProblem(f"{path} holds a row without a step; it was damaged or edited: mend or delete it")
        kept = [row for row in rows if step and row["step"] <= step]  # one that begins anew writes all of them again
        write_jsonl(path, [self._sealed(path, row) for row in kept])

    def _sealed(self, path: Path, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row with the seal that follows the last one of the file."""
        sealed = sealed_row(self._seals[path], row)
        self._seals[path] = sealed["seal"]
        return sealed

    def __enter__(self) -> TrainingLog:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        """Print a sentence above the progress bar."""
        self.console.print(visible(text), highlight=False, markup=False, soft_wrap=True)

    def advance(self, step: int) -> None:
        """Move the progress bar to `step`."""
        self.progress.update(self.task, completed=step)

    def skip(self, step: int, loss: float, clips: Sequence[str], gradient_norm: float = math.nan) -> None:
        """Write and say which step was skipped, and its clips.

        Its loss or gradient was not finite, or its finite gradient norm was far above those of before.
        """
        spike = {"gradient_norm": gradient_norm} if math.isfinite(gradient_norm) else {}
        if self.writes:
            row = {"step": step, "loss": str(loss), **spike, "clips": list(clips)}
            append_jsonl(self.quarantine, self._sealed(self.quarantine, row))
        why = f"its gradient norm ({gradient_norm:g}) is a spike" if spike else ""
        why = why or f"its loss ({loss:g}) or gradient is not finite"
        self.say(f"step {step} is skipped: {why}; see {self.quarantine}")

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write and show the numbers of a step, rounded to six significant digits."""
        rounded = {name: float(f"{value:.6g}") for name, value in numbers.items()}
        if self.writes:
            append_jsonl(self.path, self._sealed(self.path, {"step": step, **rounded}))
        # parts of the held-out loss are in the file alone
        names = [name for name in rounded if name != "seconds" and not name.startswith("heldout_by_")]
        shown = "  ".join(f"{name} {rounded[name]:.4g}" for name in names)
        self.progress.update(self.task, completed=step, numbers=shown)
        if not self.console.is_terminal:
            self.console.print(f"step {step}  {shown}", highlight=False)


def seal_of_log(run: Path) -> str:
    """Return the seal of the last line of a log, which a checkpoint keeps; the empty text where there is none."""
    return read_sealed_rows(run / LOG).last if (run / LOG).exists() else ""


def changes_in_log(run: Path, counters: Mapping[str, Any]) -> list[str]:
    """Say in a sentence where a log is not the one that the run had at a checkpoint, by its `counters`.

    Raises FileProblem where a line does not fit its seal.
    """
    expected = counters.get("log")
    seals = read_sealed_rows(run / LOG).seals if (run / LOG).exists() else []
    if not expected or expected in seals:  # earlier versions kept none
        return []
    what = "has other lines than those that were written" if seals else "is gone, with the lines"
    return [f"{run / LOG} {what} up to step {counters['step']}: its curves are not those of the whole training"]


def write_toml(path: Path, config: Any) -> None:
    """Write the configuration of a run as TOML; raise UsageError where TOML has no such value (None)."""
    import tomli_w

    try:
        text = tomli_w.dumps(to_dict(config))
    except TypeError as problem:
        raise UsageError(f"{path} cannot be written, TOML has no such value: {problem}") from problem
    write_atomically(path, text)
