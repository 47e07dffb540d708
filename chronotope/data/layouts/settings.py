"""Settings of trainers that name where the data are: TOML of kohya and musubi, `training.json` of finetrainers."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from chronotope.data.layouts.pairs import LINES, PAIRS, add_pair
from chronotope.data.layouts.reading import Layout, Reading, is_media
from chronotope.data.layouts.shards import WEBDATASET
from chronotope.data.layouts.splits import split_of_file
from chronotope.data.layouts.tables import TABLE, VIDEOFOLDER, read_tables
from chronotope.errors import FileProblem, UsageError
from chronotope.parsing import parse_json

__all__ = ["FINETRAINERS", "KOHYA", "PLAIN"]

PLAIN = (VIDEOFOLDER, LINES, WEBDATASET, TABLE, PAIRS)  # the layouts of a folder that no settings describe

_FOLDERS = ("video_directory", "image_directory", "image_dir", "video_dir")
_TABLES = ("video_jsonl_file", "image_jsonl_file", "metadata_file")
_LOOKS_LIKE = re.compile(rf"^\s*({'|'.join((*_FOLDERS, *_TABLES))})\s*=", re.MULTILINE)
_OF_TRAINING = (  # of how clips are shown, which the settings of a training here say
    "batch_size resolution enable_bucket bucket_no_upscale bucket_reso_steps min_bucket_reso max_bucket_reso "
    "cache_directory subsets dataset_type resolution_buckets video_resolution_buckets image_resolution_buckets"
).split()
_TRAINING = ("training.json", "validation.json")


def _find_toml(reading: Reading, folder: Path) -> list[Path]:
    files = [file for file in reading.below(folder) if file.parent == folder and file.suffix.lower() == ".toml"]
    return [file for file in files if reading.allowed(file) and _LOOKS_LIKE.search(_text(reading, file))]


def _text(reading: Reading, file: Path) -> str:
    try:
        return reading.text(file)
    except FileProblem:
        return ""


def _read_toml(reading: Reading, folder: Path, files: Sequence[Path]) -> None:
    for file in files:
        try:
            settings = tomllib.loads(reading.text(file))
        except ValueError as problem:
            raise UsageError(f"{file} is not readable as TOML ({problem}); correct it") from problem
        with reading.within(split_of_file(file)):
            for number, entry in enumerate(_entries(settings), start=1):
                _read_entry(reading, folder, entry, f"{reading.label(file)}, dataset {number}")


def _entries(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the datasets, and the subsets of datasets, with the settings that they inherit."""
    general = settings.get("general")
    shared = general if isinstance(general, dict) else {}
    datasets = settings.get("datasets")
    for dataset in datasets if isinstance(datasets, list) else []:
        if not isinstance(dataset, dict):
            raise FileProblem("its datasets are not all tables, [[datasets]]")
        whole = {**shared, **dataset}
        subsets = dataset.get("subsets")
        if any(name in dataset for name in (*_FOLDERS, *_TABLES)) or not isinstance(subsets, list):
            yield whole
        for subset in subsets if isinstance(subsets, list) else []:
            if isinstance(subset, dict):
                data = (*_FOLDERS, *_TABLES)
                yield {**{name: value for name, value in whole.items() if name not in data}, **subset}


def _read_entry(reading: Reading, folder: Path, entry: dict[str, Any], where: str) -> None:
    named = {name: entry[name] for name in (*_FOLDERS, *_TABLES) if name in entry}
    if not named:
        reading.leave_out_unread(where, f"names no data ({', '.join((*_FOLDERS, *_TABLES))})")
    for name, value in named.items():
        try:
            path = reading.path(value, folder)
        except FileProblem as problem:
            reading.leave_out_unread(f"{where}, {name}", str(problem))
            continue
        if name in _TABLES and path.is_file():
            read_tables(reading, path.parent, [path])
        elif name in _FOLDERS and path.is_dir():
            _read_folder(reading, path, entry.get("caption_extension", ".txt"), where)
        else:
            reading.leave_out_unread(f"{where}, {name}", f"{reading.label(path)} is missing")
    _say_unread(reading, where, entry, (*named, "caption_extension"))


def _say_unread(reading: Reading, where: str, entry: dict[str, Any], read: Collection[str]) -> None:
    """Say which settings of a dataset are not read, such as its repeats, its regularisation or a share for tests."""
    unread = [name for name, value in entry.items() if name not in (*read, *_OF_TRAINING) and value not in ("", None)]
    if unread:
        reading.note(where, f"{', '.join(unread)} {'is' if len(unread) == 1 else 'are'} not read")


def _read_folder(reading: Reading, folder: Path, extension: Any, where: str) -> None:
    """Read the clips of a folder, not of those in it, each with a text of this extension."""
    if not isinstance(extension, str) or not extension.strip():
        reading.leave_out_unread(where, "caption_extension is no text such as '.txt'")
        return
    extension = extension if extension.startswith((".", "_")) else f".{extension}"
    files = [file for file in reading.below(folder) if file.parent == folder]
    there = set(files)
    for clip in filter(is_media, files):
        beside = (clip.with_name(f"{clip.stem}{extension}"), clip.with_name(f"{clip.name}{extension}"))
        add_pair(reading, clip, [file for file in beside if file in there])


def _find_training(reading: Reading, folder: Path) -> list[Path]:
    files = [file for file in reading.below(folder) if file.parent == folder and file.name.lower() in _TRAINING]
    return [file for file in files if '"data_root"' in _text(reading, file)]


def _read_training(reading: Reading, folder: Path, files: Sequence[Path]) -> None:
    for file in files:
        try:
            settings = parse_json(reading.text(file))
        except ValueError as problem:
            raise UsageError(f"{file} is not readable as JSON ({problem}); correct it") from problem
        datasets = settings.get("datasets") if isinstance(settings, dict) else None
        with reading.within(split_of_file(file)):
            for number, entry in enumerate(datasets if isinstance(datasets, list) else [], start=1):
                _read_root(reading, folder, entry, f"{reading.label(file)}, dataset {number}")


def _read_root(reading: Reading, folder: Path, entry: Any, where: str) -> None:
    """Read the folder that an entry of `training.json` names, in whichever of the plain layouts it is."""
    try:
        root = reading.path(entry.get("data_root") if isinstance(entry, dict) else None, folder)
    except FileProblem as problem:
        reading.leave_out_unread(where, str(problem))
        return
    if not root.is_dir():
        reading.leave_out_unread(where, f"{reading.label(root)} is no folder here; download it first")
        return
    _say_unread(reading, where, entry, ("data_root",))
    for layout in PLAIN:
        if found := layout.find(reading, root):
            reading.note(where, f"{reading.label(root)} is read as {layout.name}")
            layout.read(reading, root, found)
            return
    reading.leave_out_unread(where, f"{reading.label(root)} holds no captions in a known layout")


KOHYA = Layout("kohya", _find_toml, _read_toml, "a .toml of [[datasets]] with video_directory or image_directory")
FINETRAINERS = Layout("finetrainers", _find_training, _read_training, "training.json with datasets of a data_root")
