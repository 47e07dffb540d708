"""An append-only record of what was planned and what came of it, each line chained to the one before by its hash.

Every case is planned before the first one is made, and started before it is tried. A result set from which planned rows are
missing, in which a case ended twice, or whose lines were changed, dropped or put in another order, is refused. The chain shows
tampering to whoever knows the hash of an earlier last line: publish it with the numbers.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.storage import append_jsonl

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
                raise FileProblem(
                    f"{path}, line {number}, does not follow from the line before it: the ledger was changed"
                )
            self.rows.append(row)
            self._last = chained

    def write(self, *rows: dict[str, Any]) -> None:
        """Add lines, on disk before this returns."""
        lines = []
        for row in rows:
            self._last = _link(self._last, row)
            lines.append({**row, "hash": self._last})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        append_jsonl(self.path, *lines)
        self.rows += rows

    @property
    def head(self) -> str:
        """The hash of the last line: it names the whole ledger."""
        return self._last

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """The lines of one kind, by the name of their case; of several the last."""
        return {row["case"]: row for row in self.rows if row["kind"] == kind}

    def ended(self) -> dict[str, dict[str, Any]]:
        """The cases of which a video or a failure came."""
        return {**self.of("done"), **self.of("failed")}

    def unfinished(self) -> list[str]:
        """The cases that were started, and neither ended nor were interrupted by a person."""
        last = {
            row["case"]: row["kind"] for row in self.rows if row["kind"] in ("started", "interrupted", "done", "failed")
        }
        return [name for name, kind in last.items() if kind == "started"]

    def check_whole(self) -> None:
        """Refuse a ledger in which something was planned of which nothing came, or of which something came twice."""
        planned, ended = self.of("planned"), self.ended()
        ends = [row["case"] for row in self.rows if row["kind"] in ("done", "failed")]
        if twice := sorted({name for name in ends if ends.count(name) > 1} if len(set(ends)) < len(ends) else ()):
            raise FileProblem(f"{self.path}: {len(twice)} cases ended twice ({_some(twice)}); there is one try")
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
