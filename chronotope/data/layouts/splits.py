"""The split of a clip, as its row, its table or its folder names it: what is not for training is held out.

Clips that are held out lie in `heldout/` of the new dataset, which no training takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chronotope.data.clips import (
    BESIDE_SPLIT,
    NOT_TRAINING,
    TRAINING,
    Split,
    held_out_folders,
    names_held_out,
    read_datasets,
    split_of_curation,
    words_of_name,
)
from chronotope.parsing import parse_json

__all__ = [
    "COLUMNS",
    "KNOWN",
    "LISTING",
    "held_out_places",
    "listed_splits",
    "names_split",
    "says_held_out",
    "split_of_file",
    "split_of_values",
]

COLUMNS = ("split", "subset", "partition", "data_split", "dataset_split")
KNOWN = "train, test, validation, val, dev, eval, heldout, ..."
LISTING = "croissant.jsonl"  # the clips of an export with their splits
_YES, _NO = ("true", "yes", "y", "1", "1.0"), ("false", "no", "n", "0", "0.0")  # of flags


def names_split(column: str) -> bool:
    """Return whether a column of this name tells the split of its rows, in words or as a flag such as is_test."""
    words = _column_words(column)
    return "_".join(words) in COLUMNS or _is_flag(words)


def says_held_out(value: Any) -> bool | None:
    """Return whether a value names a split that is not for training, whatever its column is called; None for others."""
    words = words_of_name(value) if isinstance(value, str) else []
    return words[0] in NOT_TRAINING if len(words) == 1 and words[0] in NOT_TRAINING | TRAINING else None


def _column_words(column: str) -> list[str]:
    return words_of_name(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(column)))  # isTest


def _is_flag(words: Sequence[str]) -> bool:
    """Return whether the words of a column ask for one split: test, is_test, in_training_set."""
    plain = [word for word in words if word not in ("is", "in", "for", *BESIDE_SPLIT)]
    return len(plain) == 1 and plain[0] in NOT_TRAINING | TRAINING


def split_of_values(row: Mapping[str, Any]) -> tuple[Split | None, tuple[tuple[str, str], ...]]:
    """Return the split that the columns of a row name, and else the columns and values that name no known split.

    A clip is held out where one of several columns says so.
    """
    splits, unknown = [], []
    for column, value in row.items():
        text = str(value[0] if isinstance(value, list) and len(value) == 1 else value).strip()
        heldout = names_held_out(_edges(text))
        if _is_flag(words := _column_words(column)) and text.lower() in _YES + _NO:
            heldout = bool(names_held_out(words)) == (text.lower() in _YES)
        if heldout is None:
            unknown.append((column, text))
        else:
            splits.append(Split(heldout, f"because {column!r} says {text!r}"))
    if splits:
        return max(splits, key=lambda split: split.heldout), ()
    return None, tuple(unknown)


def split_of_file(path: Path) -> Split | None:
    """Return the split of clips in a table or a shard whose name begins or ends with it, such as test-00000.tar.

    None is returned for names that do not hold them out.
    """
    return Split(True, f"by the name of {path.name}") if names_held_out(_edges(path.stem)) else None


def held_out_places(folder: Path, files: Iterable[Path]) -> dict[Path, Split]:
    """Return the folders in or around a dataset whose clips other datasets of this program hold out."""
    found = {place: Split(True, f"in {place.parent.name}, whose clips they are") for place in held_out_folders(files)}
    for file, about in read_datasets(folder):
        split = str(about.get("split", "train"))
        if "world" in about and split != "train":
            found[file.parent] = Split(True, f"because dataset.json says {split!r}")
    if split_of_curation(folder) not in ("", "train"):
        found[folder] = Split(True, f"in {folder.resolve().parent.name}, whose clips they are")
    return found


def listed_splits(text: str) -> dict[str, Split]:
    """Return the splits of the clips in the text of a LISTING, by the file that it names; other lines are ignored."""
    found = {}
    for line in text.split("\n"):
        try:
            row = parse_json(line) if line.strip() else None
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("file_name"), str) and isinstance(row.get("split"), str):
            split, _ = split_of_values({"split": row["split"]})
            if split is not None:
                found[row["file_name"]] = Split(split.heldout, f"because {LISTING} says {row['split']!r}")
    return found


def _edges(text: str) -> list[str]:
    words = words_of_name(text)
    return [*words[:1], *words[-1:]]
