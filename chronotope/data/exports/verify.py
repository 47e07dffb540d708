"""What lies in a folder of shards, and whether it and the descriptions of a dataset are still what they were."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chronotope.data.exports.card import CARD
from chronotope.data.exports.croissant import CROISSANT, records_of
from chronotope.data.exports.croissant import TABLE as RECORDS
from chronotope.data.exports.dataset import Dataset, read_dataset
from chronotope.data.exports.shards import AGAIN, EXPORT
from chronotope.data.exports.table import is_table_of
from chronotope.errors import ChronotopeError, FileProblem
from chronotope.manifest import CURATE_AGAIN
from chronotope.sealed import read_sealed
from chronotope.storage import file_sha256

__all__ = ["PAGE", "describe_shards", "is_shards", "lost_shards", "names_us", "stale_descriptions"]

PAGE = "inspection.html"  # which `chronotope inspect` writes; it names the root of a manifest
TABLES = ("curation.parquet", "clips.parquet")
OTHERS = "describes other clips, captions or rights than the dataset"
EDITED = "was edited, or written by another version"
_IDENTIFIER = re.compile(rb'"identifier": "(merkle_root|manifest|content):[0-9a-f]{64}"')  # of a Croissant description
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
    """Return the shards of an export that are missing, or are not as they were written, and those of another one."""
    shards = _document(folder)["shards"]
    others = {path.name for path in folder.glob("*.tar")} - {shard["file"] for shard in shards}
    lost = [
        shard["file"]
        for shard in shards
        if not (folder / shard["file"]).is_file() or file_sha256(folder / shard["file"]) != shard["sha256"]
    ]
    return [*lost, *sorted(others)]


def _document(folder: Path) -> dict[str, Any]:
    about = read_sealed(folder / EXPORT, AGAIN)
    if not isinstance(about.get("shards"), list):
        raise FileProblem(f"{folder / EXPORT} is no document of an export; {AGAIN}")
    return about


def stale_descriptions(folder: Path) -> dict[str, str]:
    """Return what is wrong with the descriptions in a dataset that are not of it as it is now, by their names.

    Clips, captions with their authors, and rights are compared; what its makers say, and the words of a card, are not.
    A curated dataset that cannot be read, because its clips are not those of its manifest, is judged by the root of
    the manifest alone, and so is the page of `chronotope inspect`.
    """
    page = dict.fromkeys(_of_other_roots(folder, [PAGE] if (folder / PAGE).is_file() else []), OTHERS)
    return {**page, **_stale_exports(folder)}


def _stale_exports(folder: Path) -> dict[str, str]:
    there = [name for name in (CARD, CROISSANT, RECORDS, *TABLES) if _is_ours(folder, name)]
    if not there:
        return {}
    try:
        dataset = read_dataset(folder)
    except ChronotopeError:  # said of the dataset itself
        return dict.fromkeys(_of_other_roots(folder, there), OTHERS)
    identity = [value.encode() for value in dataset.identity.values()]
    found = {}
    for name in there:
        if name in (CARD, *TABLES) and not all(value in _edges(folder / name) for value in identity):
            found[name] = OTHERS
        elif name in TABLES and not is_table_of(dataset, folder / name):
            found[name] = EDITED
    return {**found, **_stale_records(dataset, there)}


def _stale_records(dataset: Dataset, there: Sequence[str]) -> dict[str, str]:
    """Return what is wrong with the table of Croissant, and with its description, which names the hash of the table."""
    found: dict[str, str] = {}
    if CROISSANT not in there and RECORDS not in there:
        return found
    table, path = records_of(dataset).encode(), dataset.folder / RECORDS
    wanted = [hashlib.sha256(table).hexdigest(), str(dataset.about.get("merkle_root", ""))]
    if CROISSANT in there and not all(value.encode() in _edges(dataset.folder / CROISSANT) for value in wanted):
        found[CROISSANT] = OTHERS
    if not path.is_file():
        found[RECORDS] = f"is missing, and {CROISSANT} describes it"
    elif path.read_bytes() != table:
        found[RECORDS] = OTHERS if CROISSANT in found else EDITED
    return found


def _is_ours(folder: Path, name: str) -> bool:
    """Return whether a description is there and, in a folder that may hold those of others, names this program."""
    writer = CROISSANT if name == RECORDS else name
    known = (folder / "curation.json").is_file() or ((folder / writer).is_file() and names_us(folder / writer))
    return known and (folder / name).is_file()


def _of_other_roots(folder: Path, names: Sequence[str]) -> Iterator[str]:
    """Yield the names of the descriptions in a curated dataset that do not name the root of its manifest."""
    header = folder / "curation.json"
    if header.is_file():
        root = str(read_sealed(header, CURATE_AGAIN).get("merkle_root")).encode()
        stale = [name for name in names if name != RECORDS and root not in _edges(folder / name)]
        yield from [*stale, *([RECORDS] if CROISSANT in stale and RECORDS in names else [])]


def names_us(path: Path) -> bool:
    """Return whether a description names the program that wrote it, which is this one, or a dataset by our hashes."""
    found = _edges(path)
    return b"chronotope" in found or _IDENTIFIER.search(found) is not None


def _edges(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(EDGE_BYTES)
        file.seek(max(len(start), os.fstat(file.fileno()).st_size - EDGE_BYTES))
        return start + file.read()
