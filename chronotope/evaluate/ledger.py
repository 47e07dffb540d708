"""An append-only record of what was planned and what came of it, each line chained to the one before by its hash.

Every case is planned before the first one is made. A result set from which planned rows are missing, or whose lines were
changed, dropped or put in another order, is refused: that is how nothing can be selected.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem

__all__ = ["Ledger"]

START = "0" * 64


class Ledger:
    """A ledger on disk; opening one checks every link of its chain."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self._last = START
        text = path.read_text() if path.exists() else ""
        if text and not text.endswith("\n"):  # cut off while the last line was being written
            text = text[: text.rfind("\n") + 1]
            path.write_text(text)
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                row = json.loads(line)
                chained = row.pop("hash")
            except (ValueError, KeyError) as problem:
                raise FileProblem(f"{path}, line {number}, is no line of a ledger") from problem
            if chained != _link(self._last, row):
                raise FileProblem(f"{path}, line {number}, does not follow from the line before it: the ledger was changed")
            self.rows.append(row)
            self._last = chained

    def write(self, **row: Any) -> None:
        """Add one line, on disk before this returns."""
        self._last = _link(self._last, row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps({**row, "hash": self._last}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)

    @property
    def head(self) -> str:
        """The hash of the last line: it names the whole ledger."""
        return self._last

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """The lines of one kind, by the name of their case; of several the last."""
        return {row["case"]: row for row in self.rows if row["kind"] == kind}

    def check_whole(self) -> None:
        """Refuse a ledger in which something was planned of which nothing came."""
        planned, ended = self.of("planned"), {**self.of("done"), **self.of("failed")}
        holes = [name for name in planned if name not in ended]
        strays = [name for name in ended if name not in planned]
        if holes or strays or not planned:
            what = [f"{len(holes)} planned and missing ({_some(holes)})"] * bool(holes)
            what += [f"{len(strays)} that were never planned ({_some(strays)})"] * bool(strays)
            what += ["nothing planned"] * (not planned)
            raise FileProblem(f"{self.path} is not whole: {', '.join(what)}; run the same command again to go on")


def _link(before: str, row: dict[str, Any]) -> str:
    return hashlib.sha256(f"{before}{json.dumps(row, sort_keys=True)}".encode()).hexdigest()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
