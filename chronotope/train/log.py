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
from chronotope.jsonl import append_jsonl, read_jsonl, write_jsonl
from chronotope.storage import write_atomically

__all__ = ["TrainingLog", "write_toml"]


class TrainingLog:
    """Appends numbers to `log.jsonl` and shows them; lines after `step`, from before a resumption, are deleted first.

    Skipped steps are written to `quarantine.jsonl`.

    With `writes=False` (all processes but the first) nothing is written or shown.
    """

    def __init__(self, run: Path, name: str, total: int, step: int, quiet: bool = False, writes: bool = True) -> None:
        self.path = run / "log.jsonl"
        self.quarantine = run / "quarantine.jsonl"
        self.writes = writes
        self.console = Console(stderr=True, quiet=quiet or not writes)
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
        rows = read_jsonl(path, self.say) if path.exists() else []
        if not all(isinstance(row.get("step"), int) for row in rows):
            raise FileProblem(f"{path} holds a row without a step; it was damaged or edited: mend or delete it")
        kept = [row for row in rows if step and row["step"] <= step]  # one that begins anew writes all of them again
        if path.exists():
            write_jsonl(path, kept)

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
            append_jsonl(self.quarantine, {"step": step, "loss": str(loss), **spike, "clips": list(clips)})
        why = f"its gradient norm ({gradient_norm:g}) is a spike" if spike else ""
        why = why or f"its loss ({loss:g}) or gradient is not finite"
        self.say(f"step {step} is skipped: {why}; see {self.quarantine}")

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write and show the numbers of a step, rounded to six significant digits."""
        rounded = {name: float(f"{value:.6g}") for name, value in numbers.items()}
        if self.writes:
            append_jsonl(self.path, {"step": step, **rounded})
        # parts of the held-out loss are in the file alone
        names = [name for name in rounded if name != "seconds" and not name.startswith("heldout_by_")]
        shown = "  ".join(f"{name} {rounded[name]:.4g}" for name in names)
        self.progress.update(self.task, completed=step, numbers=shown)
        if not self.console.is_terminal:
            self.console.print(f"step {step}  {shown}", highlight=False)


def write_toml(path: Path, config: Any) -> None:
    """Write the configuration of a run as TOML; raise UsageError where TOML has no such value (None)."""
    import tomli_w

    try:
        text = tomli_w.dumps(to_dict(config))
    except TypeError as problem:
        raise UsageError(f"{path} cannot be written, TOML has no such value: {problem}") from problem
    write_atomically(path, text)
