"""Read prompt files as benchmarks publish them: text, JSON lists, CSV tables. Errors name the line or the entry.

A folder means all prompt files in it, in the order of their names.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.evaluate.documents import parse_json, read_file

__all__ = ["BenchmarkPrompt", "read_prompts", "read_table", "text_of"]

SUFFIXES = (".txt", ".json")


@dataclass(frozen=True)
class BenchmarkPrompt:
    """One entry of a prompt file: its place there, its text, its dimensions or category, and the entry itself."""

    where: str
    text: str
    groups: tuple[str, ...]
    entry: Mapping[str, Any] = field(default_factory=dict)


def read_prompts(path: Path, key: str) -> Iterator[BenchmarkPrompt]:
    """Read a file or folder: a prompt a line in .txt; in .json an object each, with its text under `key`.

    Raises FileProblem for anything else.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise FileProblem(
                f"{path} is a folder without prompt files; "
                "put the benchmark's .txt or .json files there, or name one of them"
            )
    for file in files:
        if file.suffix.lower() not in SUFFIXES:
            raise FileProblem(
                f"{file} ends in '{file.suffix}'; prompts are read from .txt (one a line) or .json (a list of objects)"
            )
        if file.suffix.lower() == ".txt":
            yield from _from_lines(file)
        else:
            yield from _from_list(file, key)


def _from_lines(path: Path) -> Iterator[BenchmarkPrompt]:
    lines = _read(path).rstrip().split("\n")
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            raise FileProblem(f"{where}, is empty; a prompt is expected in every line, so take the line out")
        yield BenchmarkPrompt(where, line.strip(), (path.stem,))


def _from_list(path: Path, key: str) -> Iterator[BenchmarkPrompt]:
    try:
        entries = parse_json(_read(path), str(path))
    except FileProblem as problem:
        raise FileProblem(f"{problem}; copy it again from the benchmark") from problem
    if not isinstance(entries, list) or not entries:
        raise FileProblem(
            f"{path} holds {_kind(entries)}; a list of objects is expected, one a prompt, as the benchmark ships it"
        )
    for number, entry in enumerate(entries, start=1):
        where = f"{path}, entry {number}"
        if not isinstance(entry, dict):
            raise FileProblem(f"{where}, is {_kind(entry)}; an object with '{key}' is expected")
        groups = entry.get("dimension", path.stem)
        groups = [groups] if isinstance(groups, str) else groups
        if not isinstance(groups, list) or not groups or not all(isinstance(group, str) for group in groups):
            raise FileProblem(f"{where}, has {groups!r} under 'dimension'; a list of names is expected")
        yield BenchmarkPrompt(where, text_of(where, entry, key), tuple(groups), entry)


def text_of(where: str, entry: Mapping[str, Any], key: str) -> str:
    """The text under a key of an entry; FileProblem if there is none."""
    text = entry.get(key)
    if not isinstance(text, str) or not text.strip():
        if key in entry:
            got = f"{text!r} under '{key}'"
        else:
            got = f"no '{key}' (it has: {', '.join(map(str, entry)) or 'nothing'})"
        raise FileProblem(f"{where}, has {got}; a text is expected there")
    return text


def read_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file, each with its place; FileProblem if one of these columns is missing or empty."""
    rows = csv.DictReader(_read(path).splitlines())
    try:
        lacking = [column for column in columns if column not in (rows.fieldnames or ())]
        if lacking:
            got = ", ".join(rows.fieldnames or ()) or "nothing"
            verb = "is" if len(lacking) == 1 else "are"
            raise FileProblem(f"{path}, line 1, has the columns {got}; {', '.join(lacking)} {verb} missing")
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            for column in columns:
                text_of(where, row, column)
            yield where, row
    except csv.Error as problem:
        raise FileProblem(f"{path}, line {rows.line_num}, is not readable CSV: {problem}") from problem


def _read(path: Path) -> str:
    try:
        return read_file(path)
    except FileProblem as problem:
        raise FileProblem(f"{problem}; give the prompt file of the benchmark") from problem


def _kind(value: Any) -> str:
    """Name the kind of a JSON value."""
    if isinstance(value, list | dict) and not value:
        return "nothing"
    return {dict: "an object", list: "a list", str: "a text", type(None): "null"}.get(type(value), "a number")
