"""An append-only record of what was planned and what became of it; each line holds the hash of the one before.

Every case is planned before the first one is made, and started before it is tried. A ledger in which planned cases are
missing, a case ended twice, or a line was changed, dropped or moved is refused. `ledger.head.json` beside it holds the
number of lines and the hash of the last one, so that a ledger that was cut or emptied is refused too. The chain reveals
tampering to anyone who knows the hash of an earlier last line: publish it with the numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.evaluate.documents import check_document, parse_json, read_document, read_file
from chronotope.jsonl import append_jsonl
from chronotope.storage import write_json

__all__ = ["MAX_STARTS", "START", "Ledger"]

START = "0" * 64  # the hash before the first line
ENDS = ("done", "failed")
MAX_STARTS = 3  # of a case over which the program was killed each time


class Ledger:
    """A ledger on disk; opening it checks the whole chain and raises FileProblem where it is broken.

    `torn` says whether the last line was half written, as by a program that is killed, and was left out. `expected` is
    the hash of a line that must be there: that of the last one, which a finished report names.
    """

    def __init__(self, path: Path, expected: str = "") -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self.torn = False
        self._head_path = path.with_name(f"{path.stem}.head.json")
        self._last = START
        self._size = 0  # bytes of the whole lines
        hashes = [START, *self._read()]
        self._check_head(hashes, expected)

    def _read(self) -> list[str]:
        """Read the lines and return their hashes; a last line without an end is left out."""
        text = read_file(self.path) if self.path.exists() else ""
        whole, _, rest = text.rpartition("\n")
        self.torn, self._size = bool(rest), len(text.encode()) - len(rest.encode())
        hashes = []
        for number, line in enumerate(whole.split("\n") if self._size else (), start=1):
            where = f"{self.path}, line {number},"
            row = parse_json(line, where)
            check_document(row, "ledger_line", f"{where} is no line of a ledger:")
            chained = row.pop("hash")
            if chained != _link(self._last, row):
                raise FileProblem(f"{where} does not follow from the line before it: the ledger was changed")
            self.rows.append(row)
            self._last = chained
            hashes.append(chained)
        return hashes

    def _check_head(self, hashes: list[str], expected: str) -> None:
        """Raise FileProblem where lines are gone that the file beside the ledger, or a report, says were there."""
        restore = "restore the whole folder from a copy, or give another --out"
        if self._head_path.exists():
            head = read_document(self._head_path, "ledger_head")
            if head["lines"] >= len(hashes):
                got = f"{len(self.rows)} whole lines, and {self._head_path.name} says {head['lines']}"
                raise FileProblem(f"{self.path} was cut: it has {got}; {restore}")
            if hashes[head["lines"]] != head["hash"]:
                raise FileProblem(f"{self.path} is another ledger than {self._head_path.name} says; {restore}")
        elif self.rows and self.rows[0].get("head") == self._head_path.name:
            raise FileProblem(f"{self._head_path} is missing, which says how long {self.path.name} is; {restore}")
        if expected and expected not in hashes:
            missing = "the report beside it names a line of it that is not there"
            raise FileProblem(f"{self.path} was cut or exchanged: {missing}; {restore}")

    def write(self, *rows: dict[str, Any]) -> None:
        """Add lines; they are on disk before this returns.

        The first line names the file beside the ledger that holds its length, so that its absence is noticed.
        """
        if not rows:
            return
        if not self.rows:
            rows = ({**rows[0], "head": self._head_path.name}, *rows[1:])
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write_head(0, START)
        last, lines = self._last, []
        for row in rows:
            last = _link(last, row)
            lines.append({**row, "hash": last})
        if self.torn and self.path.exists():
            os.truncate(self.path, self._size)
        self.torn = True  # until all of it is written: a full disk may stop it in the middle of a line
        append_jsonl(self.path, *lines)
        self.torn, self._size = False, self.path.stat().st_size
        self._last = last
        self.rows += rows
        self._write_head(len(self.rows), last)

    def _write_head(self, lines: int, last: str) -> None:
        write_json(self._head_path, {"lines": lines, "hash": last})

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

    def unfinished(self) -> dict[str, int]:
        """The cases that were started and did not end, with how often a start was followed by neither an end nor the
        line of an interruption: so often the program was killed meanwhile.
        """
        ended = self.ended()
        started = Counter(row["case"] for row in self.rows if row["kind"] == "started")
        started.subtract(row["case"] for row in self.rows if row["kind"] == "interrupted")
        return {name: count for name, count in started.items() if name not in ended and count > 0}

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
