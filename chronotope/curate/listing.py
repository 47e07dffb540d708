"""The manifest of a curated dataset, as it is read and written: `run` says which files there are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chronotope.config import from_dict
from chronotope.curate.look import Looked
from chronotope.jsonl import write_jsonl
from chronotope.manifest import CURATE_AGAIN, Source, manifest_hash, merkle_root, read_manifest, source_of
from chronotope.sealed import read_sealed, write_sealed

__all__ = [
    "Row",
    "earlier_header",
    "looked_at",
    "rewrite",
    "set_aside",
    "source_identities",
    "source_paths",
    "write_manifest",
]

Row = dict[str, Any]
BEFORE = "curation.before.json"


def source_paths(out: Path) -> dict[str, Path]:
    """Return where the source files lay when they were looked at, by their names."""
    listing = out / "sources.jsonl"
    rows = read_manifest(listing, lambda _: None) if listing.is_file() else []
    return {row["name"]: Path(str(row.get("path", ""))) for row in rows}


def source_identities(out: Path) -> dict[str, Source]:
    """Return the identities of the source files when they were looked at, by their names."""
    listing = out / "sources.jsonl"
    rows = read_manifest(listing, lambda _: None) if listing.is_file() else []
    return {row["name"]: source for row in rows if (source := source_of(row))}


def looked_at(out: Path) -> dict[str, Looked]:
    """Return what the source files look like, by their names."""
    listing = out / "sources.jsonl"
    rows = read_manifest(listing, lambda _: None) if listing.is_file() else []
    return {row["name"]: from_dict(Looked, row["looked"]) for row in rows if row.get("looked")}


def set_aside(out: Path) -> None:
    """Take the header away until the clips are those of a new manifest: a dataset without it is not complete.

    It is kept beside, so that an interrupted run knows how the clips were divided before.
    """
    with contextlib.suppress(FileNotFoundError):
        os.replace(out / "curation.json", out / BEFORE)


def earlier_header(out: Path) -> dict[str, Any]:
    """Return the header of the last complete curation; {} where there was none."""
    header = next((path for path in (out / "curation.json", out / BEFORE) if path.is_file()), None)
    return read_sealed(header, CURATE_AGAIN) if header else {}


def write_manifest(out: Path, rows: Sequence[Row], made: Mapping[str, Any]) -> None:
    kept = [row for row in rows if row["state"] == "kept"]
    header = {
        **made,
        "clips": len(kept),
        "listed": len(rows),
        "manifest": manifest_hash(rows),
        "merkle_root": merkle_root([row["seal"] for row in kept]),
    }
    write_jsonl(out / "curation.jsonl", rows)
    write_sealed(out / "curation.json", header)
    (out / BEFORE).unlink(missing_ok=True)


def rewrite(out: Path, rows: Sequence[Row]) -> None:
    """Write the lines of a manifest anew, and its header as it was, but for its numbers and hashes."""
    header = read_sealed(out / "curation.json", CURATE_AGAIN)
    write_manifest(out, rows, {name: header[name] for name in ("made_with", "filters", "allow_unknown")})
