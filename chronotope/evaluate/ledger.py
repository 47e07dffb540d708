"""An append-only record of what was planned and what became of it; each line holds the hash of the one before.

Every case is planned before the first one is made, and started before it is tried. A ledger in which planned cases are
missing, a case ended twice, or a line was changed, dropped or moved is refused. The chain reveals tampering to anyone
who knows the hash of an earlier last line: publish it with the numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.storage import append_jsonl

__all__ = ["Ledger"]

START = "0" * 64  # the hash before the first line
ENDS = ("done", "failed")


class Ledger:
    """A ledger on disk; opening it checks the whole chain and raises FileProblem where it is broken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self._last = START
        text = path.read_text() if path.exists() else ""
        if text and not text.endswith("\n"):  # the program was stopped while it wrote the last line
            text = text[: text.rfind("\n") + 1]
            path.write_text(text)
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                row = json.loads(line)
                chained = row.pop("hash")
            except (ValueError, KeyError) as problem:
                raise FileProblem(f"{path}, line {number}, is no line of a ledger") from problem
            if chained != _link(self._last, row):
                raise FileProblem(
                    f"{path}, line {number}, does not follow from the line before it: the ledger was changed"
                )
            self.rows.append(row)
            self._last = chained

    def write(self, *rows: dict[str, Any]) -> None:
        """Add lines; they are on disk before this returns."""
        lines = []
        for row in rows:
            self._last = _link(self._last, row)
            lines.append({**row, "hash": self._last})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        append_jsonl(self.path, *lines)
        self.rows += rows

    @property
    def head(self) -> str:
        """The hash of the last line, which identifies the whole ledger."""
        return self._last

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """The last line of this kind for each case."""
        return {row["case"]: row for row in self.rows if row["kind"] == kind}

    def ended(self) -> dict[str, dict[str, Any]]:
        """The last line of each case that ended in a video or a failure."""
        return {**self.of("done"), **self.of("failed")}

    def unfinished(self) -> list[str]:
        """The cases that were started and neither ended nor were interrupted by the user."""
        last = {row["case"]: row["kind"] for row in self.rows if row["kind"] in ("started", "interrupted", *ENDS)}
        return [name for name, kind in last.items() if kind == "started"]

    def check_whole(self) -> None:
        """Raise FileProblem if a planned case did not end, ended twice, or a case ended that was not planned."""
        planned, ended = self.of("planned"), self.ended()
        counts = Counter(row["case"] for row in self.rows if row["kind"] in ENDS)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise FileProblem(f"{self.path}: {len(twice)} cases ended twice ({_some(twice)}); only one try is allowed")
        missing = [name for name in planned if name not in ended]
        unplanned = [name for name in ended if name not in planned]
        problems = []
        if missing:
            problems.append(f"{len(missing)} planned and missing ({_some(missing)})")
        if unplanned:
            problems.append(f"{len(unplanned)} that were never planned ({_some(unplanned)})")
        if not planned:
            problems.append("nothing planned")
        if problems:
            raise FileProblem(f"{self.path} is incomplete: {', '.join(problems)}; run the same command to continue")


def _link(before: str, row: dict[str, Any]) -> str:
    return hashlib.sha256(f"{before}{json.dumps(row, sort_keys=True)}".encode()).hexdigest()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
