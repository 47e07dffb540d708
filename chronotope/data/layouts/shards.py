"""Tar shards of WebDataset: `key.mp4` with `key.txt` or `key.json` inside `000.tar`, those of `chronotope export` too.

A shard comes from anybody. Nothing is unpacked by its own names: only regular members are taken, whose names stay in
the shard and whose bytes lie in it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from chronotope.data.captions import MAX_BYTES, Captions, captions_of, decode_bytes
from chronotope.data.clips import Split
from chronotope.data.layouts.authors import without_written
from chronotope.data.layouts.columns import Columns, known_file_column, read_columns
from chronotope.data.layouts.exported import exported_shards, record_of_clip, refusal_of_shard
from chronotope.data.layouts.reading import TRAIN, Layout, Member, Reading, Row, is_media, joined
from chronotope.data.layouts.splits import split_of_file
from chronotope.errors import FileProblem
from chronotope.media.rights import Rights
from chronotope.parsing import parse_json

__all__ = ["WEBDATASET"]

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_TEXTS = (".txt", ".caption", ".cap", ".json")


def _find_shards(reading: Reading, folder: Path) -> list[Path]:
    endings = (".tar", *_COMPRESSED)
    return [file for file in reading.below(folder) if file.name.lower().endswith(endings)]


def _read_shards(reading: Reading, folder: Path, shards: Sequence[Path]) -> None:
    exported = exported_shards(folder)
    for name in sorted(exported.keys() - {reading.label(shard) for shard in shards}):
        reading.leave_out_unread(name, "missing, and shards.json names it")
    for shard in shards:  # anywhere below the folder
        where = reading.label(shard)
        if shard.name.lower().endswith(_COMPRESSED):
            reading.leave_out_unread(where, "a compressed shard; unpack it to a .tar first, as with gunzip")
        elif not reading.allowed(shard):
            reading.leave_out_unread(where, "a link out of the folder; --follow-paths follows it")
        elif not shard.is_file():
            reading.leave_out_unread(where, "no regular file")
        elif where in exported and (changed := refusal_of_shard(shard, exported[where])):
            reading.leave_out_unread(where, changed)
        else:
            if exported and where not in exported:
                reading.note(where, "not named by shards.json, so it was added after the export; it is read, too")
            with reading.within(split_of_file(shard)):
                _read_shard(reading, shard, where, where in exported)


def _read_shard(reading: Reading, shard: Path, where: str, exported: bool) -> None:
    samples: dict[str, list[Member]] = {}
    names: set[str] = set()
    try:
        size = shard.stat().st_size
        with tarfile.open(shard, "r:") as archive:
            for info in archive:
                if info.isdir():
                    continue
                name = PurePosixPath(info.name)
                if problem := _refusal(info, size, names):
                    reading.leave_out(f"{where}/{name}", problem, f"{where}/{name}")
                    continue
                names.add(str(name))
                key = str(name.parent / name.name.split(".")[0])
                samples.setdefault(key, []).append(Member(shard, str(name), info.offset_data, info.size))
            end = archive.offset
        with shard.open("rb") as file:
            file.seek(end)
            if any(file.read(tarfile.BLOCKSIZE)):  # tarfile takes a damaged header for the end
                reading.leave_out_unread(where, f"damaged at byte {end}, so the rest of it is not read")
    except (tarfile.TarError, OSError, ValueError, EOFError) as problem:
        reading.leave_out_unread(where, f"not readable as a tar file to its end ({problem})")
    for members in samples.values():
        for sample in _divided(members):
            _read_sample(reading, where, sample, exported)


def _divided(members: Sequence[Member]) -> list[list[Member]]:
    """Divide the members of one key where its clips have different names, such as film.0001.mp4 and film.0002.mp4.

    A key of WebDataset ends at the first point of a name. Texts of such a longer name belong to its clip alone, others
    to each clip.
    """
    stems = dict.fromkeys(_stem(member) for member in members if is_media(Path(member.name)))
    if len(stems) < 2:
        return [list(members)]
    shared = [member for member in members if _stem(member) not in stems]
    return [[*(member for member in members if _stem(member) == stem), *shared] for stem in stems]


def _stem(member: Member) -> str:
    return str(PurePosixPath(member.name).with_suffix(""))


def _refusal(info: tarfile.TarInfo, size: int, names: set[str]) -> str:
    """Return why a member of a shard of `size` bytes is not taken; "" where it is."""
    name = PurePosixPath(info.name)
    if info.issym() or info.islnk():
        return "a link"
    if not info.isreg() or info.issparse():
        return "no regular file"
    if name.is_absolute() or ".." in name.parts or "\\" in info.name or "\0" in info.name or not name.name:
        return "its name leads out of the shard"
    if str(name) in names:
        return "the same name is in the shard twice; the first is read"
    if info.size < 0 or info.offset_data < 0 or info.offset_data + info.size > size:
        return "cut off: the shard ends before it"
    return ""


def _read_sample(reading: Reading, where: str, members: Sequence[Member], exported: bool) -> None:
    """Add the clips of one key with the captions of its texts; one that we `exported` has the name that it had."""
    clips = [member for member in members if is_media(Path(member.name))]
    records = [member for member in members if member.name.endswith(".json")]
    if exported and len(clips) == len(records) == 1:
        _read_exported(reading, where, clips[0], records[0])
        return
    texts = [member for member in members if PurePosixPath(member.name).suffix.lower() in _TEXTS]
    captions: Captions = {}
    split: Split | None = None
    rights = Rights()
    for member in texts if clips else ():
        place = f"{where}/{member.name}"
        try:
            found = _columns(reading, member, place)
        except FileProblem as problem:
            reading.leave_out(place, str(problem))
            reading.pending |= {f"{where}/{clip.name}" for clip in clips}
            continue
        if captions and joined(captions, found.captions) != captions:
            reading.note(place, "holds other captions than the text beside it; all are kept")
        captions, split = joined(captions, found.captions), split or found.split
        rights = rights.completed(found.rights)
        reading.note_splits(where, found.unknown)
    for clip in clips:
        if clip.size:
            reading.add_member(f"{where}/{clip.name}", clip, captions, split, rights)
        else:
            reading.leave_out(f"{where}/{clip.name}", "is empty", f"{where}/{clip.name}")
    if not clips:
        reading.leave_out(f"{where}/{members[0].name}", "a key without a video or picture")


def _read_exported(reading: Reading, where: str, clip: Member, beside: Member) -> None:
    place, label = f"{where}/{beside.name}", f"{where}/{clip.name}"
    try:
        record = record_of_clip(_parsed(reading, beside, place), clip.name)
        captions = captions_of({"captions": record.captions}, "it", reading.say(place))
    except FileProblem as problem:
        reading.leave_out_unread(place, str(problem))
    else:
        split = Split(record.split != TRAIN, f"because it is of the split {record.split!r}")
        left = without_written(captions, record.written)
        reading.add_exported(
            Row(label, record.file, (label,), clip, left, True, record.sha256, split, record.written, record.rights)
        )


def _text(reading: Reading, member: Member, place: str) -> str:
    if member.size > MAX_BYTES:
        raise FileProblem(f"it has {member.size} bytes; a caption file has at most {MAX_BYTES}")
    with member.shard.open("rb") as file:
        file.seek(member.offset)
        return decode_bytes(file.read(member.size), "it", reading.say(place))


def _parsed(reading: Reading, member: Member, place: str) -> Any:
    try:
        return parse_json(_text(reading, member, place))
    except ValueError as problem:
        raise FileProblem(f"not readable as JSON ({problem})") from problem


def _columns(reading: Reading, member: Member, place: str) -> Columns:
    """Return the captions of a text beside a clip, and the split that an object of JSON names."""
    if not member.name.lower().endswith(".json"):
        return _alone(captions_of(_text(reading, member, place), "it", reading.say(place)))
    data = _parsed(reading, member, place)
    if not isinstance(data, dict):
        return _alone(captions_of(data, "it", reading.say(place)))
    texts = {name: value for name, value in data.items() if not known_file_column(name)}  # which name other files
    found = read_columns(texts, reading.say(place))
    if found.choice:
        reading.note(place, found.choice)
    reading.note_ignored(reading.label(member.shard), texts, found.ignored)
    return found


def _alone(captions: Captions) -> Columns:
    return Columns(captions, "", None, (), ())


WEBDATASET = Layout("webdataset", _find_shards, _read_shards, "tar shards with key.mp4 and key.txt or key.json")
