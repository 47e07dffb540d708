"""Tables of clips: `metadata.jsonl` and `.csv` of Hugging Face, and JSON, JSONL and CSV of other names.

A row names a file, relative to the folder of its table, and has one or several captions.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from chronotope.data.captions import MAX_BYTES, decode_bytes
from chronotope.data.clips import OUR_TABLES
from chronotope.data.layouts.columns import FILES, file_of, known_file_column, read_columns
from chronotope.data.layouts.pairs import PAIRS
from chronotope.data.layouts.reading import Layout, Reading, is_media
from chronotope.data.layouts.splits import LISTING, names_split, split_of_file
from chronotope.errors import FileProblem
from chronotope.parsing import parse_json

__all__ = ["TABLE", "VIDEOFOLDER", "read_tables"]

Rows = Iterator[tuple[str, dict[str, Any]]]

_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
_PROGRAMS = tuple(
    f"{name}.json" for name in "config curation croissant dataset_infos package shards training validation".split()
)  # no tables
_FOLDERS = ("videos", "video", "clips", "images")  # beside a table, where its names alone are not found
_HEAD = 2**16  # bytes by which a table is recognised
_FILE_KEY = re.compile(rf'"({"|".join(FILES)})"\s*:', re.IGNORECASE)
_MEDIA_KEY = re.compile(r'"[^"\n]+\.(mp4|mkv|webm|mov|avi|m4v|gif|png|jpe?g|webp)"\s*:\s*["{\[]', re.IGNORECASE)


def _find_metadata(reading: Reading, folder: Path) -> list[Path]:
    return [file for file in reading.below(folder) if file.name.lower() in _METADATA]


def _find_tables(reading: Reading, folder: Path) -> list[Path]:
    """Return the tables directly in a folder that name files; a .json beside its clip is of that clip alone.

    The list of our own export is read only where no captions stand beside the clips.
    """
    files = [file for file in reading.below(folder) if file.parent == folder]
    clips = {file.stem for file in files if is_media(file)} | {file.name for file in files if is_media(file)}
    found = [
        file
        for file in files
        if file.suffix.lower() in _SUFFIXES
        and file.name.lower() not in (*_METADATA, *_PROGRAMS, *OUR_TABLES)
        and file.stem not in clips
        and reading.allowed(file)
        and _names_files(file)
    ]
    listing = [file for file in files if file.name == LISTING and reading.allowed(file)]
    return found or ([] if PAIRS.find(reading, folder) else listing)


def _names_files(table: Path) -> bool:
    """Return whether the beginning of a table has a column of files."""
    if not table.is_file():
        return False
    with table.open("rb") as file:
        head = file.read(_HEAD)
    try:
        text = decode_bytes(head, str(table))
    except FileProblem:  # cut within a character
        text = head.decode("utf-8", "replace")
    if table.suffix.lower() in (".csv", ".tsv"):
        line = text.lstrip().partition("\n")[0].strip()
        return any(known_file_column(name.strip().strip('"')) for name in line.split(_delimiter(table, line)))
    return bool(_FILE_KEY.search(text) or _MEDIA_KEY.search(text))


def read_tables(reading: Reading, folder: Path, tables: Sequence[Path]) -> None:
    """Read all rows of some tables."""
    del folder  # the rows name files relative to their tables
    for table in tables:
        choices: Counter[str] = Counter()
        with reading.within(split_of_file(table)):
            for where, row in _rows(reading, table):
                _read_row(reading, table, where, row, choices)
        for choice, count in choices.items():
            if choice:
                reading.note(reading.label(table), f"{choice} (in {count} {'row' if count == 1 else 'rows'})")


def _read_row(reading: Reading, table: Path, where: str, row: dict[str, Any], choices: Counter[str]) -> None:
    name = file_of(row)
    try:
        path = _file(reading, table, name)
    except FileProblem as problem:
        known = isinstance(name, str) and "\0" not in name
        reading.leave_out(where, str(problem), reading.label(table.parent / str(name).strip()) if known else "")
        return
    try:
        found = read_columns(row, reading.say(where))
    except FileProblem as problem:
        reading.add_unread(where, path, str(problem))
        return
    choices[found.choice] += 1
    reading.note_splits(reading.label(table), found.unknown)
    reading.note_ignored(reading.label(table), row, found.ignored)
    reading.add(where, path, found.captions, found.split, found.written, found.rights)


def _file(reading: Reading, table: Path, name: Any) -> Path:
    """Return the path of a row's file, which some datasets keep in a folder that the table does not name."""
    path = reading.path(name, table.parent)
    if path.exists():
        return path
    for folder in (table.parent / name for name in _FOLDERS):
        if folder.is_dir() and (inside := reading.path(name, folder)).exists():
            reading.note(reading.label(table), f"its files are found in {folder.name}/")
            return inside
    return path


def _rows(reading: Reading, table: Path) -> Rows:
    """Yield the rows of a table; what cannot be read is listed."""
    where = reading.label(table)
    if table.suffix.lower() == ".parquet":
        yield from _parquet_rows(reading, table, where)
        return
    try:
        text = reading.text(table)
    except FileProblem as problem:
        reading.leave_out_unread(where, str(problem))
        return
    read: Callable[[Reading, str, str], Rows]
    if table.suffix.lower() in (".csv", ".tsv"):
        first = text.lstrip().partition("\n")[0]
        yield from _csv_rows(reading, text, where, _delimiter(table, first))
        return
    read = _json_rows if table.suffix.lower() == ".json" else _line_rows
    yield from read(reading, text, where)


def _line_rows(reading: Reading, text: str, where: str) -> Rows:
    """Yield the objects of JSON lines. Lines end in a line feed alone: other line ends may stand in texts."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{where}, line {number}"
        try:
            row = parse_json(line, _said_table(reading, place))
        except ValueError as problem:
            reading.leave_out_unread(place, f"not readable as JSON ({problem})")
            continue
        if isinstance(row, dict):
            yield place, row
        else:
            reading.leave_out_unread(place, "no JSON object")


def _said_table(reading: Reading, where: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Return what makes a dict of the pairs of an object of JSON, and says which keys stand in it twice."""

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        count = Counter(key for key, _ in pairs)
        if twice := [key for key in count if count[key] > 1]:
            reading.note(where, f"the keys {twice[:3]} are there more than once in one object, and the last is read")
        return dict(pairs)

    return table


def _of_all_rows(reading: Reading, where: str, beside: dict[str, Any]) -> dict[str, Any]:
    """Return the split that an object names beside its list of rows; say which other lists are not read."""
    lists = [name for name, value in beside.items() if isinstance(value, list | dict) and value]
    if lists:
        reading.note(where, f"{', '.join(map(repr, lists[:6]))} beside its list of clips, which is not read")
    return {name: value for name, value in beside.items() if names_split(name) and name not in lists}


def _json_rows(reading: Reading, text: str, where: str) -> Rows:
    """Yield the objects of a list, of the one list in an object, or of an object whose keys are files."""

    try:
        data = parse_json(text, _said_table(reading, where))
    except ValueError as problem:
        if "Extra data" in str(problem):  # JSON lines, whatever the name says
            yield from _line_rows(reading, text, where)
        else:
            reading.leave_out_unread(where, f"not readable as JSON ({problem})")
        return
    if isinstance(data, dict):
        lists = [(key, value) for key, value in data.items() if isinstance(value, list) and value]
        objects = [(key, value) for key, value in lists if isinstance(value[0], dict)]
        if any(map(known_file_column, data)):
            data = [data]
        elif len(objects) == 1:
            shared = _of_all_rows(reading, where, {name: data[name] for name in data if name != objects[0][0]})
            where, data = f"{where}, {objects[0][0]!r}", objects[0][1]
            data = [{**shared, **row} if isinstance(row, dict) else row for row in data]
        else:
            data = [_named(name, value) for name, value in data.items()]
    if not isinstance(data, list):
        reading.leave_out_unread(where, "no list of clips")
        return
    for number, row in enumerate(data, start=1):
        if isinstance(row, dict):
            yield f"{where}, item {number}", row
        else:
            reading.leave_out_unread(f"{where}, item {number}", "no JSON object")


def _named(name: str, value: Any) -> dict[str, Any]:
    """Return the row of a file that is the key of its captions."""
    return {**value, "file_name": name} if isinstance(value, dict) else {"file_name": name, "caption": value}


def _delimiter(table: Path, header: str) -> str:
    """Return what separates the columns: in .csv a comma, or, in a header without one, a semicolon or a tab."""
    if table.suffix.lower() == ".tsv":
        return "\t"
    return next((mark for mark in (",", ";", "\t") if mark in header), ",")


def _csv_rows(reading: Reading, text: str, where: str, delimiter: str) -> Rows:
    """Yield the rows of CSV by the names in its first line; a row with another number of cells is listed."""
    csv.field_size_limit(MAX_BYTES)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    ended = 0
    while True:
        place = f"{where}, line {ended + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            reading.leave_out_unread(place, f"not readable as CSV ({problem})")
            ended = reader.line_num
            continue
        ended = reader.line_num
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = [cell.strip() for cell in cells]
            if not any(map(known_file_column, header)):
                reading.leave_out_unread(where, f"no column of files, such as file_name, in its first line {header}")
                return
            if twice := [name for name, count in Counter(header).items() if count > 1]:
                reading.note(where, f"the columns {twice} are there more than once, and the last of each is read")
        elif len(cells) != len(header):
            reading.leave_out_unread(
                place,
                f"{len(cells)} cells, where the first line has {len(header)}; quote texts that hold {delimiter!r}",
            )
        else:
            row = dict(zip(header, cells, strict=True))
            if any("\n" in cell.strip() for cell in cells):
                reading.note(place, "a cell of several lines, which are read as one text; check its quotation marks")
            yield place, row


def _parquet_rows(reading: Reading, table: Path, where: str) -> Rows:
    """Yield the rows of a Parquet file, which needs a library that this program does not install."""
    if importlib.util.find_spec("pyarrow") is None:
        reading.leave_out_unread(where, "not read, because Parquet needs pyarrow: pip install 'chronotope[parquet]'")
        return
    if not reading.allowed(table):
        reading.leave_out_unread(where, "a link out of the folder; --follow-paths follows it")
        return
    try:
        rows = importlib.import_module("pyarrow.parquet").read_table(str(table)).to_pylist()
    except Exception as problem:  # of a library whose errors have no common class
        reading.leave_out_unread(where, f"not readable as Parquet ({problem})")
        return
    for number, row in enumerate(rows, start=1):
        yield f"{where}, row {number}", row


VIDEOFOLDER = Layout(
    "videofolder", _find_metadata, read_tables, "metadata.jsonl or metadata.csv with a column file_name"
)
TABLE = Layout(
    "table", _find_tables, read_tables, "a .json, .jsonl or .csv that names files in a column such as path or video"
)
