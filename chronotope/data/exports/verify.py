"""What lies in a folder of shards, and whether it and the descriptions of a dataset are still what they were."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chronotope.data.exports.card import CARD
from chronotope.data.exports.croissant import CROISSANT
from chronotope.data.exports.croissant import TABLE as RECORDS
from chronotope.data.exports.shards import AGAIN, EXPORT
from chronotope.errors import FileProblem
from chronotope.manifest import CURATE_AGAIN
from chronotope.sealed import read_sealed
from chronotope.storage import file_sha256

__all__ = ["describe_shards", "is_shards", "lost_shards", "names_us", "stale_descriptions"]

DESCRIPTIONS = (CARD, CROISSANT, "curation.parquet")
EDGE_BYTES = 2**20  # at both ends of a description that are searched for a hash


def is_shards(folder: Path) -> bool:
    """Return whether a folder holds the shards of an export, and is not a dataset that was imported from them."""
    return (folder / EXPORT).is_file() and not (folder / "imported.jsonl").exists()


def describe_shards(folder: Path) -> dict[str, Any]:
    """Describe the shards of an export by its document."""
    about = _document(folder)
    facts: dict[str, Any] = {
        name: about[name] for name in ("dataset", "clips", "splits", "merkle_root") if name in about
    }
    sizes = [shard["bytes"] for shard in about["shards"]]
    kind = {"kind": "shards of a dataset", "path": str(folder)}
    return {**kind, **facts, "shards": len(sizes), "bytes": sum(sizes)}


def lost_shards(folder: Path) -> list[str]:
    """Return the shards of an export that are missing, or are not as they were written."""
    shards = _document(folder)["shards"]
    return [
        shard["file"]
        for shard in shards
        if not (folder / shard["file"]).is_file() or file_sha256(folder / shard["file"]) != shard["sha256"]
    ]


def _document(folder: Path) -> dict[str, Any]:
    about = read_sealed(folder / EXPORT, AGAIN)
    if not isinstance(about.get("shards"), list):
        raise FileProblem(f"{folder / EXPORT} is no document of an export; {AGAIN}")
    return about


def stale_descriptions(folder: Path) -> Iterator[str]:
    """Yield the names of the descriptions in a curated dataset that are of other clips than those of its manifest."""
    header = folder / "curation.json"
    if not header.is_file():
        return
    root = str(read_sealed(header, CURATE_AGAIN).get("merkle_root")).encode()
    stale = [name for name in DESCRIPTIONS if (folder / name).is_file() and root not in _edges(folder / name)]
    yield from stale
    if CROISSANT in stale and (folder / RECORDS).is_file():
        yield RECORDS


def names_us(path: Path) -> bool:
    """Return whether a description names the program that wrote it, which is this one."""
    return b"chronotope" in _edges(path)


def _edges(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(EDGE_BYTES)
        file.seek(max(len(start), os.fstat(file.fileno()).st_size - EDGE_BYTES))
        return start + file.read()
