"""What a training run says while it runs: a line per logged step in log.jsonl, a live line on stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["TrainingLog"]


class TrainingLog:
    """Appends numbers to `log.jsonl` and shows them; lines after `step` of a resumed run are dropped first."""

    def __init__(self, run: Path, name: str, total: int, step: int, quiet: bool = False, writes: bool = True) -> None:
        self.path = run / "log.jsonl"
        self.writes = writes
        quiet = quiet or not writes
        if writes and self.path.exists():
            lines = [line for line in self.path.read_text().splitlines() if json.loads(line)["step"] <= step]
            self.path.write_text("".join(line + "\n" for line in lines))
        self.console = Console(stderr=True, quiet=quiet)
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

    def __enter__(self) -> TrainingLog:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        """A sentence above the live line."""
        self.console.print(text, highlight=False)

    def advance(self, step: int) -> None:
        self.progress.update(self.task, completed=step)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """One line of numbers, rounded to six significant digits."""
        rounded = {name: float(f"{value:.6g}") for name, value in numbers.items()}
        if self.writes:
            with self.path.open("a") as file:
                file.write(json.dumps({"step": step, **rounded}) + "\n")
        shown = "  ".join(f"{name} {value:.4g}" for name, value in rounded.items() if name != "seconds")
        self.progress.update(self.task, completed=step, numbers=shown)
        if not self.console.is_terminal:
            self.console.print(f"step {step}  {shown}", highlight=False)
