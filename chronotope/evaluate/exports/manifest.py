"""Read manifest.jsonl, which lies beside the folders that a benchmark reads and has a line for each video."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.evaluate.documents import check_document, read_rows

__all__ = ["MANIFEST", "file_hash", "read_manifest"]

MANIFEST = "manifest.jsonl"


def read_manifest(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Read the lines by file, without a last line that was cut off; None if there is no manifest.

    Raises FileProblem for a line that is not as report.schema.json says, and for a video that is named twice.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    rows: dict[str, dict[str, Any]] = {}
    try:
        for where, row in read_rows(path, "line of a manifest", whole=True):
            check_document(row, "manifest_line", f"{where} is no line of a manifest:")
            if row["file"] in rows:
                raise FileProblem(f"{where} names {row['file']} a second time")
            rows[row["file"]] = row
    except FileProblem as problem:
        raise FileProblem(f"{problem}; remove the line and run again, or give another --out") from problem
    return rows


def file_hash(path: Path) -> str:
    """The SHA-256 of a file; empty if there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
