"""A row of a table -> the file that it names and its captions by level of detail, and the columns they were read from.

Programs name these columns differently. The first known name that holds something is read; what else looks like a
caption is named, so that nobody trains on another column than he thinks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chronotope.data.captions import Captions, captions_of
from chronotope.data.clips import Split
from chronotope.data.layouts.authors import without_written
from chronotope.data.layouts.splits import names_split, says_held_out, split_of_values
from chronotope.data.recaptions import Written, written_from_json
from chronotope.media.rights import NO_RIGHTS, Rights, read_rights
from chronotope.parsing import parse_json

__all__ = ["FILES", "Columns", "file_of", "known_file_column", "read_columns"]

FILES = tuple(
    "file_name filename video_path video_file video media_path file_path filepath path file clip_path clip "
    "video_file_name media image_path image_file image image_file_name".split()
)
_LEVELS = {
    "sentence": "caption text prompt captions sentence cap short_caption short_prompt description title".split(),
    "paragraph": "paragraph long_caption detailed_caption dense_caption long_prompt".split(),
    "tags": "tags keywords tag".split(),
}
_CAPTION_LIKE = re.compile(r"caption|prompt|text|descri|sentence|paragraph", re.IGNORECASE)
AUTHORS = "written"  # the column of our exports that holds captions with their authors
_FACTS = (AUTHORS, *"authors seconds duration frames num_frames n_frames fps width height bytes sha256".split())
_SETTINGS = ("negative_prompt", "text_bytes", "caption_score")
_PART = re.compile(
    r"(clip_|frame_|time_?)*(start|end|begin|stop)(_(time|sec|seconds|frame|s|ms|idx))?|frame_idx|timestamps?|crop|bbox"
)
_SPAN = re.compile(r"(clip_|frame_|time_?)*(frames?|span|segment|range|interval|window|times?|seconds)(_(range|idx))?")
_BESIDE = re.compile(r"(embed|path|file|length|tokens|score|_id|lang|model|bytes)", re.IGNORECASE)  # of no caption


@dataclass(frozen=True)
class Columns:
    """The captions that a row holds, and a sentence on the choice of columns where there was one.

    `split` is the one that a column names, else None, and `unknown` are columns and values that name no known split;
    `written` are captions that programs wrote, in a column of our exports, and `rights` what columns name of them.
    `ignored` are the columns that nothing is read from.
    """

    captions: Captions
    choice: str
    split: Split | None
    unknown: tuple[tuple[str, str], ...]
    written: tuple[Written, ...]
    rights: Rights = NO_RIGHTS
    ignored: tuple[str, ...] = ()


def known_file_column(name: str) -> bool:
    """Return whether a column of this name holds files."""
    return _plain(name) in FILES


def file_of(row: Mapping[str, Any]) -> Any:
    """Return what the first column of files that holds something names; None where no column does."""
    names = _file_columns(row)
    file = row[names[0]] if names else None
    return file.get("path") if isinstance(file, Mapping) else file  # as `datasets` writes a file that is elsewhere


def _file_columns(row: Mapping[str, Any]) -> list[str]:
    columns = _columns(row)
    return [columns[name] for name in FILES if name in columns and _holds(row[columns[name]])]


def _columns(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns of a row by their plain names."""
    columns: dict[str, str] = {}
    for name in row:
        columns.setdefault(_plain(name), name)
    return columns


def read_columns(row: Mapping[str, Any], say: Callable[[str], None]) -> Columns:
    """Read the captions of a row; raise FileProblem, whose subject is "it", for captions that are none."""
    columns, file_columns = _columns(row), _file_columns(row)
    captions: Captions = {}
    used: dict[str, str] = {}
    for level, names in _LEVELS.items():
        for name in names:
            if name in columns and _holds(row[columns[name]]) and columns[name] not in file_columns[:1]:
                if found := _captions(row[columns[name]], level, say):
                    used[columns[name]] = level
                    captions = {**captions, **{key: texts for key, texts in found.items() if key not in captions}}
                    break
    others = [name for name in row if name not in used and name not in file_columns and _is_caption(name, row[name])]
    if not captions and len(others) == 1:
        captions, used, others = _captions(row[others[0]], "sentence", say), {others[0]: "sentence"}, []
    spans = [name for name in row if _names_part(_plain(name), row[name])]
    unread = [name for name in row if name not in (*used, *file_columns, *spans)]
    splits = [name for name in row if names_split(name) and _holds(row[name])]
    splits += [name for name in unread if name not in splits and says_held_out(row[name])]
    split, unknown = split_of_values({name: row[name] for name in splits})
    written = _written(row[columns[AUTHORS]]) if AUTHORS in columns else ()
    rights, named = read_rights({name: value for name, value in row.items() if name not in used})
    choice = _choice(file_columns, used, others, spans, list(named.values()))
    read = {*splits, *others, *named.values(), *(name for name in unread if _plain(name) in _FACTS)}
    ignored = tuple(name for name in unread if name not in read and says_held_out(row[name]) is None)
    return Columns(without_written(captions, written), choice, split, unknown, written, rights, ignored)


def _written(value: Any) -> tuple[Written, ...]:
    """Return the captions that programs wrote, of a column as our exports write it, a text of JSON."""
    try:
        return written_from_json(parse_json(value) if isinstance(value, str) else value) or ()
    except ValueError:  # a column of another program
        return ()


def _choice(files: list[str], used: Mapping[str, str], others: list[str], spans: list[str], rights: list[str]) -> str:
    """Say which columns are read where there was a choice."""
    known = {name for names in _LEVELS.values() for name in names[:3]}
    parts = []
    levels = [f"{name!r} (level {level})" for name, level in used.items()]
    if len(files) > 1:
        parts.append(f"the files are those of {files[0]!r}, and those of {_listed(files[1:])} are not imported")
    if len(used) > 1 or others or any(_plain(name) not in known for name in used):
        parts.append(f"the captions are those of {' and '.join(levels)}" if levels else "no column is one of captions")
    if others:
        parts.append(f"{_listed(others)} {'is' if len(others) == 1 else 'are'} not read")
    if rights:
        parts.append(f"the rights are those of {_listed(rights)}")
    if spans:
        parts.append(
            f"{_listed(spans)} {'is' if len(spans) == 1 else 'are'} not read, so each caption is taken for all of its "
            "file; where rows are of parts of files, cut the files first"
        )
    return "; ".join(parts)


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:6])) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _plain(name: str) -> str:
    return re.sub(r"[\s.-]+", "_", str(name).strip().lower())


def _holds(value: Any) -> bool:
    """Return whether a cell holds something; tables of numbers write NaN for nothing."""
    if isinstance(value, float) and math.isnan(value):
        return False
    return bool(value.strip()) if isinstance(value, str) else value not in (None, [], {})


def _names_part(plain: str, value: Any) -> bool:
    """Return whether a column says of which part of its file a row is: an end of it, or both in a list."""
    if _PART.fullmatch(plain):
        return _holds(value)
    pair = isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(end, int | float) for end in value)
    return pair and _SPAN.fullmatch(plain) is not None


def _is_caption(name: str, value: Any) -> bool:
    """Return whether a column that is not read looks like one of captions."""
    plain = _plain(name)
    if plain in _SETTINGS or not isinstance(value, str | list) or not _holds(value):
        return False
    if any(plain in names for names in _LEVELS.values()):
        return True
    return bool(_CAPTION_LIKE.search(plain)) and not _BESIDE.search(plain)


def _captions(value: Any, level: str, say: Callable[[str], None]) -> Captions:
    if level == "tags" and isinstance(value, list) and all(isinstance(text, str) for text in value):
        value = ", ".join(value)
    found = captions_of({"captions": value}, "it", say)
    if level != "sentence" and "sentence" in found:
        found = {level: found["sentence"]}
    return found
