"""Shards that `chronotope export` wrote -> what is restored of the dataset: names, splits, and the manifest.

An export comes from anybody. A shard is read only as it was exported, a name is used only where it stays in the new
dataset, and a manifest only where all clips that it names were imported with the content that was exported.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from chronotope.data.clips import is_utf8
from chronotope.data.exports.shards import EXPORT, MANIFESTS
from chronotope.data.layouts.reading import TRAIN
from chronotope.data.layouts.record import Entry
from chronotope.data.recaptions import Written, written_from_json
from chronotope.errors import FileProblem
from chronotope.jsonl import write_jsonl
from chronotope.manifest import described, read_curation, seal
from chronotope.media.rights import Rights, rights_from
from chronotope.sealed import read_sealed
from chronotope.storage import atomic_file, file_sha256

__all__ = ["ClipRecord", "exported_shards", "record_of_clip", "refusal_of_shard", "restore_manifest"]

_MEND = (
    "take the folder from a copy, or delete shards.json and curation.json, and the shards are read as those of any "
    "program"
)


@dataclass(frozen=True)
class ClipRecord:
    """What KEY.json says of a clip: its captions by level, its POSIX path in the dataset, its SHA-256 and its split.

    `written` are those of the captions that programs wrote, `rights` what is recorded of the rights in the clip.
    """

    captions: Mapping[str, Any]
    file: str
    sha256: str
    split: str
    written: tuple[Written, ...]
    rights: Rights


def exported_shards(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the shards that an export of ours names, by their names.

    Raises FileProblem where its document is damaged.
    """
    document = folder / EXPORT
    if not document.is_file():
        return {}
    found = read_sealed(document, _MEND)
    try:
        shards = found["shards"] if found.get("format") == "webdataset" else []
        return {str(shard["file"]): str(shard["sha256"]) for shard in shards}
    except (KeyError, TypeError) as problem:
        raise FileProblem(f"{document} is no document of an export ({problem!r}); {_MEND}") from problem


def refusal_of_shard(shard: Path, sha256: str) -> str:
    """Return why a shard is not read, whose captions and rights are those of the export by its hash alone; else ""."""
    try:
        found = file_sha256(shard)
    except OSError as problem:
        return f"cannot be read: {problem.strerror or problem}"
    if found == sha256:
        return ""
    return f"changed after the export: its SHA-256 is {found[:16]}, and {EXPORT} names {sha256[:16]}; {_MEND}"


def record_of_clip(data: Any, member: str) -> ClipRecord:
    """Check what is written beside a clip of a shard; raise FileProblem, which begins with "it", for anything else."""
    if not isinstance(data, dict) or not isinstance(data.get("captions"), dict):
        raise FileProblem("it does not hold the captions of a clip, as `chronotope export` writes them")
    file, sha256 = data.get("file"), data.get("sha256")
    if not isinstance(file, str) or not isinstance(sha256, str):
        raise FileProblem("it does not name the file and the hash of its clip, as `chronotope export` does")
    path = PurePosixPath(file)
    hidden = any(part.startswith(".") for part in path.parts)
    strange = "\0" in file or "\\" in file or not is_utf8(file) or str(path) != file
    if path.is_absolute() or hidden or strange or path.suffix.lower() != PurePosixPath(member).suffix:
        raise FileProblem(f"it names a file {file!r} that is no name of its clip in a dataset")
    split, written = data.get("split", TRAIN), written_from_json(data.get("written", []))
    if not isinstance(split, str) or written is None:
        raise FileProblem("its split, or who wrote its captions, is not as `chronotope export` writes it")
    return ClipRecord(data["captions"], file, sha256, split, written, rights_from(data.get("rights")))


def restore_manifest(folder: Path, out: Path, entries: Mapping[str, Entry]) -> list[str]:
    """Make an imported dataset the curated one that was exported, with its splits, rights and Merkle root.

    `entries` are the imported clips. Returns sentences that say why this was not done, if it was not.
    """
    about = read_sealed(folder / EXPORT, _MEND) if (folder / EXPORT).is_file() else {}
    if not all((folder / name).is_file() for name in MANIFESTS):
        lost = "merkle_root" in about
        return [f"{' or '.join(MANIFESTS)} is missing, so scores and sources are not taken over"] if lost else []
    header, rows = read_curation(folder)
    if header.get("merkle_root") != about.get("merkle_root"):
        return [f"{' and '.join(MANIFESTS)} are not those that {EXPORT} describes, so scores and sources are not "
                "taken over; take them from a copy"]  # fmt: skip
    kept = {row["clip"]: row for row in rows if row.get("state") == "kept"}
    if strange := [clip for clip, row in kept.items() if not {"whole", "start", "seconds", "source"} <= row.keys()]:
        raise FileProblem(f"{folder}: the manifest's line of {strange[0]} is none of a curated clip; {_MEND}")
    imported = {entry.key: entry for entry in entries.values()}
    if missing := sorted(kept.keys() - imported.keys()):
        return [f"{len(missing)} clips of the manifest were not imported, such as {missing[0]}, so scores and "
                "sources of the others are not taken over"]  # fmt: skip
    for clip, row in kept.items():
        if row["whole"] and row["source"]["sha256"] != imported[clip].media.sha256:
            return [f"{clip} is not the clip of the manifest, so scores and sources are not taken over"]
    listing = [
        seal(
            {
                "clip": clip,
                "origin": [row["source"]["sha256"], row["start"], row["seconds"], row["whole"]],
                "captions": file_sha256((out / clip).with_suffix(".json"))[:16],
                "source": described(imported[clip].media),
            }
        )
        for clip, row in kept.items()
    ]
    write_jsonl(out / "clips.jsonl", listing)
    for name in MANIFESTS:
        with atomic_file(out / name) as partial:
            shutil.copyfile(folder / name, partial)
    return []
