"""Files of one JSON object a line: appended to durably; a line that was cut off is told from a whole one.

Lines may be sealed: the `seal` of a line is a hash of it and of all lines before it, so that one that was edited, added
or taken out is noticed, but for the last lines. Where these are cut off, only who knows the last seal notices it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.parsing import parse_json
from chronotope.storage import write_atomically

__all__ = ["SealedRows", "append_jsonl", "read_jsonl", "read_sealed_rows", "sealed_row", "write_jsonl"]

DIGITS = 16  # of the SHA-256 in a seal


def read_jsonl(path: Path, on_torn: Callable[[str], None] | None = None) -> list[dict[str, Any]]:
    """Read one JSON object a line; raise FileProblem where the file is missing or a line is no JSON object.

    A last line without its line break that is not whole was cut off when its writer was killed: it is left out, and
    `on_torn` is called with a sentence that says so.
    """
    try:
        *lines, last = path.read_bytes().split(b"\n")
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing") from problem
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror or problem}") from problem
    rows = []
    for number, line in enumerate(lines, start=1):
        row = _row(line)
        if row is None:
            raise FileProblem(f"{path}, line {number}, is not a JSON object; the file was damaged or edited")
        rows.append(row)
    row = _row(last)
    if row is not None:
        rows.append(row)
    elif last and on_torn:
        on_torn(f"{path}: the last line, {len(rows) + 1}, was cut off while it was written and is left out")
    return rows


@dataclass(frozen=True)
class SealedRows:
    """The rows of a file without their seals, the seal that each line has or would have, and whether all have one."""

    rows: list[dict[str, Any]]
    seals: list[str]
    sealed: bool

    @property
    def last(self) -> str:
        """The seal of the last line; the empty text of no line."""
        return self.seals[-1] if self.seals else ""


def read_sealed_rows(path: Path, on_torn: Callable[[str], None] | None = None) -> SealedRows:
    """Read a file as `read_jsonl`; raise FileProblem where a line does not fit its seal too.

    Lines before the first seal are those of an earlier version, and are covered by the seals of later lines.
    """
    rows, seals, first = read_jsonl(path, on_torn), [""], None
    for number, row in enumerate(rows, start=1):
        found = row.pop("seal", None)
        first = number if found is not None and first is None else first
        try:
            seals.append(_seal(seals[-1], row))
        except RecursionError:
            raise FileProblem(f"{path}, line {number}, is nested too deeply") from None
        if first and found != seals[-1]:
            raise FileProblem(
                f"{path}, line {number}, or one before it was edited, added or taken out: its seal is another one; "
                "restore the file from a copy, or delete it"
            )
    return SealedRows(rows, seals[1:], first == 1 or not rows)


def sealed_row(before: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its seal, which follows the seal of the line `before`, the empty text for the first line."""
    plain = json.loads(json.dumps(row))  # as it is read again
    return {**plain, "seal": _seal(before, plain)}


def _seal(before: str, row: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{before}{json.dumps(row, sort_keys=True)}".encode()).hexdigest()[:DIGITS]


def _row(line: bytes) -> dict[str, Any] | None:
    """Parse a line; None where it is no JSON object."""
    try:
        row = parse_json(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    write_atomically(path, _lines(rows))


def append_jsonl(path: Path, *rows: Mapping[str, Any]) -> None:
    """Append one JSON object a line; the lines are on disk (fsync) when this returns.

    A torn last line, see `read_jsonl`, is deleted first. Raises FileProblem, and leaves the file as it was, where the
    file system refuses.
    """
    data = _lines(rows).encode()
    try:
        with path.open("a+b", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            end = _end_of_rows(file.fileno(), size)
            if end is None:
                end, data = size, b"\n" + data  # the last row is whole, only its line break is missing
            if end < size:
                file.truncate(end)
            try:
                _write_all(file.fileno(), data)
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as problem:
        raise FileProblem(f"{path} cannot be written: {problem.strerror or problem}") from problem


def _end_of_rows(descriptor: int, size: int) -> int | None:
    """Return where the next row of a file is to be written; None after a whole row without a line break."""
    tail = b""
    while len(tail) < size and b"\n" not in tail:
        length = min(size - len(tail), max(4096, len(tail)))
        tail = os.pread(descriptor, length, size - len(tail) - length) + tail
    last = tail.rpartition(b"\n")[2]
    return None if last and _row(last) is not None else size - len(last)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
