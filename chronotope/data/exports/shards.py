"""A dataset -> tar shards in the layout of WebDataset, which `chronotope import` reads back.

    train-000000.tar ...      members KEY.mp4, KEY.json and KEY.txt; KEY is the number of the clip, heldout-... likewise
    curation.json, .jsonl     of a curated dataset: the manifest, as it is
    shards.json               what was exported and the hash of each shard; written last

KEY.json holds captions by level of detail, who wrote those of programs, rights, scores and the name of the clip in its
dataset; KEY.txt holds one caption. The bytes depend on the dataset alone. Shards are made in a hidden folder and take
their names when all are there, so that an interrupted export is never taken for a whole one; the same command again
goes on.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from chronotope.data.exports.dataset import Dataset, Item, main_caption
from chronotope.data.exports.facts import counted
from chronotope.errors import FileProblem, UsageError
from chronotope.jsonl import append_jsonl
from chronotope.manifest import read_manifest, seal
from chronotope.progress import Progress
from chronotope.sealed import read_sealed, write_sealed
from chronotope.storage import atomic_file, file_sha256, free_space_for, locked, remove_partials, sync_folder

__all__ = ["AGAIN", "EXPORT", "MANIFESTS", "Exported", "export_shards"]

EXPORT = "shards.json"
MANIFESTS = ("curation.jsonl", "curation.json")  # of a curated dataset, which the folder of shards holds as well
STAGING, WRITTEN = ".export", "shards.jsonl"
AGAIN = "delete the folder, and export the dataset again"


@dataclass(frozen=True)
class Exported:
    """How many clips lie in how many shards, and how many of these were written by this run."""

    clips: int
    shards: int
    written: int

    def in_words(self) -> str:
        """Return one line such as "41 clips in 3 shards, 1 of them new"."""
        clips, shards = counted(self.clips, "clip"), counted(self.shards, "shard")
        return f"{clips} in {shards}, {self.written or 'none'} of them new"


@dataclass(frozen=True)
class _Shard:
    """A tar file to be written: the clips in it with their keys, and its size in bytes."""

    name: str
    split: str
    clips: tuple[tuple[str, Item], ...]
    bytes: int


def export_shards(dataset: Dataset, out: Path, shard_bytes: int, progress: Progress | None = None) -> Exported:
    """Write the shards of a dataset that are not in `out` yet, and what describes them.

    A shard holds as many clips as fit into `shard_bytes`, at least one. Raises UsageError where `out` holds something
    else, or the export of another state of the dataset; FileProblem where a clip changes meanwhile or the disk is full.
    """
    planned = _planned(dataset, shard_bytes)
    about = {
        "format": "webdataset",
        "dataset": dataset.name,
        "kind": dataset.kind,
        **dataset.identity,
        "clips": len(dataset.items),
        "splits": {split: len(dataset.in_split(split)) for split in dataset.splits},
        "shard_bytes": shard_bytes,
    }
    with locked(out):
        staging = out / STAGING
        _check_folder(out, about)
        known = _known(out)
        whole = {shard.name: row for shard in planned if (row := _whole(shard, known.get(shard.name), out)) is not None}
        missing = [shard for shard in planned if shard.name not in whole]
        if missing or not (out / EXPORT).is_file():
            free_space_for(out, sum(shard.bytes for shard in missing))
            _prepare(staging, about)
            done = len(dataset.items) - sum(len(shard.clips) for shard in missing)
            for shard in missing:
                whole[shard.name] = row = _write_shard(shard, staging / shard.name, done, len(dataset.items), progress)
                append_jsonl(staging / WRITTEN, seal(row))
                done += len(shard.clips)
            _publish(dataset, out, {**about, "shards": [whole[shard.name] for shard in planned]})
    return Exported(len(dataset.items), len(planned), len(missing))


# Plan


def _planned(dataset: Dataset, shard_bytes: int) -> list[_Shard]:
    shards: list[_Shard] = []
    numbers = {item.file: f"{number:09d}" for number, item in enumerate(dataset.items)}
    for split in dataset.splits:
        for clips in _groups(dataset.in_split(split), shard_bytes):
            name = f"{split}-{sum(shard.split == split for shard in shards):06d}.tar"
            keyed = tuple((numbers[item.file], item) for item in clips)
            size = -(-(sum(map(_packed_bytes, clips)) + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE)
            shards.append(_Shard(name, split, keyed, size * tarfile.RECORDSIZE))
    return shards


def _groups(items: Sequence[Item], shard_bytes: int) -> Iterator[list[Item]]:
    group: list[Item] = []
    held = 0
    for item in items:
        size = _packed_bytes(item)
        if group and held + size > shard_bytes:
            yield group
            group, held = [], 0
        group.append(item)
        held += size
    if group:
        yield group


def _packed_bytes(item: Item) -> int:
    """Return how many bytes the members of a clip take in a tar file: each has a header and fills whole blocks."""
    sizes = (item.bytes, *(len(data) for _, data in _texts(item)))
    return sum(tarfile.BLOCKSIZE * (1 + -(-size // tarfile.BLOCKSIZE)) for size in sizes)


# Write


def _texts(item: Item) -> list[tuple[str, bytes]]:
    """Return the endings and the contents of the members that stand beside a clip."""
    record = {
        "captions": {level: list(item.captions[level]) for level in sorted(item.captions)},
        "file": item.file,
        "split": item.split,
        "sha256": item.sha256,
        "width": item.width,
        "height": item.height,
        "fps": item.fps,
        "frames": item.frames,
        "seconds": item.seconds,
        "picture": item.picture,
        "rights": dict(item.rights),
        "origin": dict(item.origin),
        "scores": dict(item.scores),
    }
    if item.written:
        record["written"] = [one.as_json() for one in item.written]
    text = json.dumps(record, sort_keys=True) + "\n"
    return [(".json", text.encode()), (".txt", main_caption(item.captions).encode())]


def _write_shard(shard: _Shard, target: Path, done: int, total: int, progress: Progress | None) -> dict[str, Any]:
    """Write a shard and return what `shards.json` says of it."""
    with atomic_file(target) as partial:
        with tarfile.open(partial, "w:", format=tarfile.GNU_FORMAT) as archive:
            for number, (key, item) in enumerate(shard.clips, start=1):
                _add_clip(archive, key, item)
                for ending, data in _texts(item):
                    archive.addfile(_member(f"{key}{ending}", len(data)), io.BytesIO(data))
                if progress:
                    progress(done + number, total)
        digest = file_sha256(partial)
    return {"file": shard.name, "split": shard.split, "clips": len(shard.clips), "bytes": shard.bytes, "sha256": digest}


def _add_clip(archive: tarfile.TarFile, key: str, item: Item) -> None:
    suffix = PurePosixPath(item.file).suffix.lower()
    again = "it was changed while it was exported; run the same command again"
    try:
        with item.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != item.bytes:
                raise FileProblem(f"{item.path}: {again}")
            hashed = _Hashed(file)
            archive.addfile(_member(f"{key}{suffix}", item.bytes), hashed)
    except FileNotFoundError as problem:
        raise FileProblem(f"{item.path}: {again}") from problem
    if hashed.digest.hexdigest() != item.sha256:
        raise FileProblem(f"{item.path}: {again}")


class _Hashed(io.RawIOBase):
    """A file that is read once, from which the hash of what was read is known afterwards."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        return data


def _member(name: str, size: int) -> tarfile.TarInfo:
    """Return the header of a member without owner and time, so that equal contents are equal bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info


# The folder


def _check_folder(out: Path, about: Mapping[str, Any]) -> None:
    """Raise UsageError unless a folder is new, or holds this export or a part of it."""
    documents = [path for path in (out / EXPORT, out / STAGING / EXPORT) if path.is_file()]
    if not documents:
        if other := next((path.name for path in out.iterdir() if path.name not in (".lock", STAGING)), None):
            raise UsageError(f"{out} holds {other} and no export; give a new folder with --out")
        return
    for path in documents:
        found = read_sealed(path, AGAIN)
        different = [name for name in about if found.get(name) != about[name]]
        if different:
            what = "clips or captions" if "content" in different else f"{different[0].replace('_', ' ')}"
            raise UsageError(f"{out} holds an export of other {what}; give a new folder with --out, or delete that one")


def _known(out: Path) -> dict[str, Mapping[str, Any]]:
    """Return what is written of the shards that earlier runs made, by their names."""
    listing = out / STAGING / WRITTEN
    rows: list[Mapping[str, Any]] = list(read_sealed(out / EXPORT, AGAIN)["shards"]) if (out / EXPORT).is_file() else []
    rows += read_manifest(listing, lambda _: None) if listing.is_file() else []
    return {row["file"]: {name: value for name, value in row.items() if name != "seal"} for row in rows}


def _whole(shard: _Shard, known: Mapping[str, Any] | None, out: Path) -> dict[str, Any] | None:
    """Return what is written of a shard whose file has the content that was written; None for any other."""
    for path in (out / shard.name, out / STAGING / shard.name):
        if known and path.is_file() and path.stat().st_size == shard.bytes and file_sha256(path) == known["sha256"]:
            return dict(known)
    return None


def _prepare(staging: Path, about: Mapping[str, Any]) -> None:
    try:
        staging.mkdir(exist_ok=True)
    except OSError as problem:
        raise FileProblem(f"{staging} cannot be created: {problem.strerror or problem}") from problem
    remove_partials(staging, staging.parent)
    write_sealed(staging / EXPORT, about)


def _publish(dataset: Dataset, out: Path, about: Mapping[str, Any]) -> None:
    """Give the shards their names, copy the manifest, and describe the whole."""
    staging = out / STAGING
    names = [shard["file"] for shard in about["shards"]]
    for name in MANIFESTS if dataset.kind == "curated" else ():
        with atomic_file(out / name) as partial:
            shutil.copyfile(dataset.folder / name, partial)
    try:
        for name in itertools.filterfalse(lambda name: not (staging / name).is_file(), names):
            os.replace(staging / name, out / name)
        sync_folder(out)
    except OSError as problem:
        raise FileProblem(f"{out} cannot be written: {problem.strerror or problem}") from problem
    write_sealed(out / EXPORT, about)
    shutil.rmtree(staging, ignore_errors=True)
