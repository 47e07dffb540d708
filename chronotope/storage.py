"""Write files atomically, and read and write JSON, JSON lines and TOML.

A file or folder receives its final name only when it is complete: it is written beside its target and then renamed. A
reader therefore finds the old content or the new content, never a part of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from chronotope.config import to_dict
from chronotope.errors import FileProblem, UsageError

__all__ = [
    "append_jsonl",
    "atomic_file",
    "json_text",
    "read_json",
    "read_jsonl",
    "remove_folder",
    "write_atomically",
    "write_folder",
    "write_json",
    "write_jsonl",
    "write_toml",
]


# Atomic writes


@contextlib.contextmanager
def atomic_file(path: Path, partial: Path | None = None) -> Iterator[Path]:
    """Yield a path to write to; rename it to `path` when the block succeeds and delete it when the block fails.

    The default partial path ends in `.part` and holds the process id, so that two processes can write the same file.
    """
    partial = partial or path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write bytes, or text as UTF-8; raise FileProblem where the file system refuses."""
    try:
        with atomic_file(path) as partial:
            partial.write_bytes(data.encode() if isinstance(data, str) else data)
    except OSError as problem:
        raise FileProblem(f"{path} cannot be written: {problem.strerror or problem}") from problem


def write_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Call `fill(folder)` on a new folder beside `target`, then replace `target` with it.

    When `fill` raises, including KeyboardInterrupt, the new folder is deleted and `target` is untouched.
    """
    partial = target.with_name(f".{target.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        fill(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if target.exists():
        remove_folder(target)
    partial.replace(target)


def remove_folder(folder: Path) -> None:
    """Rename a folder, then delete it, so that a half-deleted folder is never found under its name."""
    renamed = folder.with_name(f".{folder.name}.gone")
    shutil.rmtree(renamed, ignore_errors=True)
    folder.rename(renamed)
    shutil.rmtree(renamed)


# Formats


def read_json(path: Path) -> Any:
    """Read a JSON file; raise FileProblem where it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing") from problem
    except (OSError, ValueError) as problem:
        raise FileProblem(f"{path} is not readable JSON: {problem}") from problem


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON atomically."""
    write_atomically(path, json_text(data))


def json_text(data: Any) -> str:
    """Return indented JSON, as `write_json` writes it."""
    return json.dumps(data, indent=1) + "\n"


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read one JSON object a line; raise FileProblem where the file is missing or a line is not JSON."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing") from problem
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as problem:
            raise FileProblem(f"{path}, line {number}, is not JSON: {problem}") from problem
    return rows


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    write_atomically(path, _lines(rows))


def append_jsonl(path: Path, *rows: Mapping[str, Any]) -> None:
    """Append one JSON object a line; the lines are on disk (fsync) when this returns."""
    with path.open("a", encoding="utf-8") as file:
        file.write(_lines(rows))
        file.flush()
        os.fsync(file.fileno())


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_toml(path: Path, config: Any) -> None:
    """Write a config dataclass as TOML, atomically; raise UsageError where TOML has no such value (None)."""
    import tomli_w

    try:
        text = tomli_w.dumps(to_dict(config))
    except TypeError as problem:
        raise UsageError(f"{path} cannot be written, TOML has no such value: {problem}") from problem
    write_atomically(path, text)
