"""Read JSON files that anybody may have written: bounded in size, depth and numbers, each fault in one sentence.

`report.schema.json` says what a report, a line of a plan and a line of a ledger hold; `schema.py` checks it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.evaluate.schema import first_problem, shown
from chronotope.parsing import unique_keys

__all__ = ["check_document", "parse_json", "read_document", "read_file", "read_rows"]

MAX_BYTES = 2**28  # of a file; a report of the largest suite, 19,200 videos, has 20 MB
MAX_TEXT = 100_000  # characters of one text
MAX_DEPTH = 32  # of lists and objects within each other; a report has 7
MAX_NUMBER = 2**63  # absolute value


def read_file(path: Path) -> str:
    """Read a text file in UTF-8; raise FileProblem where there is no such file, or one that is too large or no text."""
    try:
        if not path.is_file():
            raise FileProblem(f"{path} {'is no regular file' if path.exists() else 'is missing'}")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise FileProblem(f"{path} has {size:,} bytes, at most {MAX_BYTES:,} are read")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise FileProblem(f"{path} is no text in UTF-8 ({problem.reason} at byte {problem.start})") from problem
    except (OSError, ValueError) as problem:
        raise FileProblem(f"{path} cannot be read: {getattr(problem, 'strerror', None) or problem}") from problem


def parse_json(text: str, where: str) -> Any:
    """Parse JSON; `where` begins the sentence of the FileProblem that is raised for anything else.

    Refused beside faults of syntax: NaN and infinity, numbers from 2**63 on, a key that stands twice in one object,
    text of more than 100,000 characters or with halves of characters, and more than 32 levels of lists and objects.
    """
    try:
        value = json.loads(
            text, parse_constant=_no_number, parse_int=_integer, parse_float=_number, object_pairs_hook=unique_keys
        )
        _check_limits(value)
    except json.JSONDecodeError as problem:
        place = f"line {problem.lineno}, column {problem.colno}"
        raise FileProblem(f"{where} is not readable JSON: {problem.msg} at {place}") from problem
    except ValueError as problem:
        raise FileProblem(f"{where} is not readable JSON: {problem}") from problem
    except RecursionError as problem:
        raise FileProblem(f"{where} is not readable JSON: {_TOO_DEEP}") from problem
    return value


_TOO_DEEP = f"lists and objects are nested deeper than {MAX_DEPTH} levels"


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def _integer(digits: str) -> int:
    if len(digits) > len(str(MAX_NUMBER)) + 1 or abs(int(digits)) >= MAX_NUMBER:
        raise ValueError(f"{shown(digits)} is too large a number, expected less than 2**63")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value) or abs(value) >= MAX_NUMBER:
        raise ValueError(f"{shown(digits)} is too large a number, expected less than 2**63")
    return value


def _check_limits(value: Any) -> None:
    """Raise ValueError for nesting that is too deep and text that is too long or not Unicode."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ValueError(_TOO_DEEP)
        if isinstance(one, dict):
            waiting += [(inner, depth + 1) for pair in one.items() for inner in pair]
        elif isinstance(one, list):
            waiting += [(inner, depth + 1) for inner in one]
        elif isinstance(one, str):
            _check_text(one)


def _check_text(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise ValueError(f"a text has {len(text):,} characters, at most {MAX_TEXT:,} are read")
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise ValueError(f"{shown(text)} holds half of a character (a lone surrogate)") from problem


def check_document(value: Any, part: str, where: str) -> None:
    """Raise FileProblem unless a value is as `part` of report.schema.json says: "" for a report."""
    if problem := first_problem(value, part):
        raise FileProblem(f"{where} {problem}")


def read_document(path: Path, part: str = "") -> Any:
    """Read a JSON file that is as a part of the schema says."""
    value = parse_json(read_file(path), str(path))
    check_document(value, part, f"{path}:")
    return value


def read_rows(path: Path, what: str, whole: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a file of JSON lines, each with its place in the file, such as 'plan.jsonl, line 3,'.

    `what` says in errors of what a line should be: 'is no line of a ledger'. Only `whole` lines leave out a last one
    that has no end, as after the writer was killed. Lines end with line feeds alone: a text in JSON may hold other
    separators.
    """
    text = read_file(path)
    lines = (text[: text.rfind("\n") + 1] if whole else text).removesuffix("\n").split("\n")
    for number, line in enumerate(lines if lines != [""] else (), start=1):
        where = f"{path}, line {number},"
        if not line.strip():
            raise FileProblem(f"{where} is no {what}: it is empty")
        row = parse_json(line, where)
        if not isinstance(row, dict):
            raise FileProblem(f"{where} is no {what}: got {shown(row)}, expected an object")
        yield where, row
