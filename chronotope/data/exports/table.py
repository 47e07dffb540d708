"""A dataset -> tables of one row a clip: JSON lines for Croissant, and Parquet, which lists what was left out, too."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope.data.exports.dataset import Dataset, Item, main_caption
from chronotope.errors import UsageError
from chronotope.storage import atomic_file

__all__ = ["COLUMNS", "Column", "clip_rows", "is_table_of", "parquet_name", "write_parquet"]

SCORES = ("motion", "sharpness", "brightness", "contrast", "borders", "repeated")


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, what it holds, and the type of its values, "texts" for a list of texts."""

    name: str
    kind: str
    about: str


COLUMNS = (
    Column("file_name", "text", "The file of the clip, relative to the dataset."),
    Column("split", "text", "The split that the clip belongs to."),
    Column("text", "text", "One caption: the first sentence, else the first text."),
    Column("captions", "texts", "All captions of the clip, of all levels of detail."),
    Column("authors", "texts", "The program that wrote each of the captions; empty where none is named."),
    Column("written", "text", "The captions that programs wrote, with authors and verdicts of reviewers, as JSON."),
    Column("seconds", "float", "The length of the clip in seconds."),
    Column("frames", "integer", "The number of frames; a picture has one."),
    Column("fps", "float", "Frames per second."),
    Column("width", "integer", "Width in square pixels, as players show it."),
    Column("height", "integer", "Height in pixels."),
    Column("bytes", "integer", "The size of the file in bytes."),
    Column("sha256", "text", "The SHA-256 of the file."),
    Column("licence", "text", "The licence of the source, an SPDX expression where one is known."),
    Column("holder", "text", "Who holds the rights."),
    Column("source", "text", "Where the source is from, such as a page."),
    Column("consent", "text", "What is known of the consent of the persons shown or of the holder."),
    Column("from_file", "text", "The source file that the clip was cut from."),
    Column("from_sha256", "text", "The SHA-256 of the source file."),
    Column("start", "float", "Where the clip begins in the source file, in seconds."),
    Column("motion", "float", "Motion in picture widths per second."),
    Column("sharpness", "float", "Sharpness, 0 for a picture without detail."),
    Column("brightness", "float", "Mean light, 0 to 1."),
    Column("contrast", "float", "Contrast, 0 for a picture of one colour."),
    Column("borders", "float", "The share of the picture that is black edge."),
    Column("repeated", "float", "The share of frames that repeat the one before."),
)


def clip_rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield the rows of the clips, a value for each of COLUMNS, None where nothing is known."""
    return map(_row, dataset.items)


def _row(item: Item) -> dict[str, Any]:
    captions = [text for level in sorted(item.captions) for text in item.captions[level]]
    authors = item.author_of
    row = {
        "file_name": item.file,
        "split": item.split,
        "text": main_caption(item.captions) or None,
        "captions": captions,
        "authors": [authors.get(text, "") for text in captions],
        "written": json.dumps([one.as_json() for one in item.written]) if item.written else None,
        "seconds": item.seconds,
        "frames": item.frames,
        "fps": item.fps,
        "width": item.width,
        "height": item.height,
        "bytes": item.bytes,
        "sha256": item.sha256,
        **_rights(item.rights),
        "from_file": item.origin.get("file"),
        "from_sha256": item.origin.get("sha256"),
        "start": item.origin.get("start"),
    }
    return row | {name: item.scores.get(name) for name in SCORES}


def _rights(rights: Mapping[str, Any]) -> dict[str, Any]:
    return {name: rights.get(name) for name in ("licence", "holder", "source", "consent")}


# Parquet


def parquet_name(dataset: Dataset) -> str:
    """Return how the table is called: `curation.parquet` holds all lines of the manifest of a curated dataset."""
    return "curation.parquet" if dataset.kind == "curated" else "clips.parquet"


def write_parquet(dataset: Dataset, path: Path) -> int:
    """Write a row for each clip, and for each shot and file of the manifest that is not used; return their number.

    To the columns of the clips come the `state` ("kept", "left out", "refused", "unreadable" or "removed"), with reason
    and explanation, the captions by level and the line of the manifest as JSON. Raises UsageError without pyarrow.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError("Parquet needs pyarrow: pip install 'chronotope[parquet]'")
    parquet = importlib.import_module("pyarrow.parquet")
    table = _table_of(dataset)
    with atomic_file(path) as partial:
        parquet.write_table(table, partial, compression="zstd")
    return int(table.num_rows)


def is_table_of(dataset: Dataset, path: Path) -> bool:
    """Return whether a Parquet file holds the rows of a dataset; True where pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        return True
    parquet = importlib.import_module("pyarrow.parquet")
    try:
        return bool(parquet.read_table(path).equals(_table_of(dataset)))
    except (OSError, ValueError):  # no Parquet, or a damaged one
        return False


def _table_of(dataset: Dataset) -> Any:
    """Return the table of all rows; the identity of the dataset is in its metadata."""
    pyarrow = importlib.import_module("pyarrow")
    kinds = {
        "text": pyarrow.string(),
        "texts": pyarrow.list_(pyarrow.string()),
        "integer": pyarrow.int64(),
        "float": pyarrow.float64(),
        "levels": pyarrow.map_(pyarrow.string(), pyarrow.list_(pyarrow.string())),
    }
    columns = {**{column.name: column.kind for column in COLUMNS}, "levels": "levels"}
    columns |= dict.fromkeys(("key", "state", "reason", "why", "duplicate_of", "seal", "record"), "text")
    schema = pyarrow.schema(
        [pyarrow.field(name, kinds[kind]) for name, kind in columns.items()],
        metadata={**dataset.identity, "program": "chronotope"},
    )
    return pyarrow.Table.from_pylist(list(_all_rows(dataset)), schema)


def _all_rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
    of_clip = {row["clip"]: row for row in dataset.rows if "clip" in row}
    for item in dataset.items:
        levels = [(level, list(item.captions[level])) for level in sorted(item.captions)]
        line = of_clip.get(item.file, {})
        yield {**_row(item), **_judged(line), "state": "kept", "levels": levels}
    for line in dataset.rows:
        if "clip" not in line and "state" in line:
            yield {**_row_left_out(line), **_judged(line)}


def _judged(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns about the decision on a shot or a file, from its line of the manifest."""
    names = ("key", "state", "reason", "why", "duplicate_of", "seal")
    return {**{name: line.get(name) or None for name in names}, "record": json.dumps(line) if line else None}


def _row_left_out(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a shot or a file that is not used."""
    names = ("split", "seconds", "frames", "fps", "width", "height", "start")
    source = {"from_file": line["file"], "from_sha256": line["source"]["sha256"] or None}
    scores = {name: line.get("scores", {}).get(name) for name in SCORES}
    return {**{name: line.get(name) for name in names}, **_rights(line["rights"]), **source, **scores}
