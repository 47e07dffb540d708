"""Read manifest.jsonl, which lies beside the folders that a benchmark reads and has a line for each video."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem

__all__ = ["MANIFEST", "file_hash", "read_manifest"]

MANIFEST = "manifest.jsonl"
FIELDS = ("file", "prompt", "sample", "seed", "sha256", "frames", "size", "fps", "model")


def read_manifest(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Read the lines by file, without a last line that was cut off; None if there is no manifest.

    Raises FileProblem for a malformed line.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    text = path.read_text()
    rows = {}
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), start=1):
        try:
            row = json.loads(line)
            lacking = [name for name in FIELDS if name not in row]
        except (ValueError, TypeError) as problem:
            raise FileProblem(_malformed(path, number, repr(problem))) from problem
        if lacking:
            raise FileProblem(_malformed(path, number, f"it lacks {', '.join(lacking)}"))
        rows[row["file"]] = row
    return rows


def _malformed(path: Path, number: int, reason: str) -> str:
    return f"{path}, line {number}, is no line of a manifest ({reason}); remove it and run again"


def file_hash(path: Path) -> str:
    """The SHA-256 of a file; empty if there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
