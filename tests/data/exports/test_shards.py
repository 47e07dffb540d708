"""Shards hold all of a dataset, the same bytes for the same dataset, and are read back as the same dataset."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
import tracemalloc
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from chronotope.data.clips import scan_folder
from chronotope.data.exports.dataset import Dataset, Item, read_dataset
from chronotope.data.exports.shards import EXPORT, Exported, export_shards
from chronotope.data.exports.verify import lost_shards
from chronotope.data.layouts.write import Imported, import_dataset
from chronotope.errors import FileProblem, UsageError
from chronotope.manifest import read_curation
from chronotope.sealed import read_sealed, write_sealed
from chronotope.storage import file_sha256, is_partial
from chronotope.worlds.write import DatasetRequest, write_dataset

SMALL = 60_000  # bytes of a shard, so that there are several


def export(folder: Path, out: Path, size: int = SMALL) -> Exported:
    return export_shards(read_dataset(folder), out, size)


def facts(dataset: Dataset) -> list[Item]:
    """The clips without where they lie."""
    return [replace(item, path=Path()) for item in dataset.items]


def content(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def members(shard: Path) -> dict[str, bytes]:
    with tarfile.open(shard) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def left_out(imported: Imported) -> str:
    return "\n".join(f"{item.key}: {item.reason}" for item in imported.left_out)


def test_import_reads_back_the_same_dataset(curated: Path, tmp_path: Path) -> None:
    export(curated, tmp_path / "out")
    imported = import_dataset(tmp_path / "out", tmp_path / "back")
    mood, heldout, rights = imported.notes
    assert "Jane <b>Doe</b> (1)" in rights and "LicenseRef-house, The House (3)" in rights
    assert (
        not imported.left_out and "level 'mood'" in mood and "held out because it is of the split 'heldout'" in heldout
    )
    before, after = read_dataset(curated), read_dataset(tmp_path / "back")
    assert imported.heldout == len(before.in_split("heldout")) > 0
    assert len(before.items) >= 9 and len(before.splits) == 2
    assert facts(after) == facts(before)  # captions, rights, scores, splits, sizes and hashes
    assert (after.kind, after.identity, after.rows) == (before.kind, before.identity, before.rows)
    for item in after.items:
        assert hashlib.sha256(item.path.read_bytes()).hexdigest() == item.sha256
    assert read_curation(tmp_path / "back") == read_curation(curated)
    train = {clip.file for clip in scan_folder(tmp_path / "back").clips}
    assert train == {item.file for item in before.in_split("train")}  # what is held out is shown to no training
    again = import_dataset(tmp_path / "out", tmp_path / "back")
    assert (
        again.in_words().endswith("nothing has changed") and read_dataset(tmp_path / "back").identity == before.identity
    )


def test_members_are_as_other_programs_expect(curated: Path, tmp_path: Path) -> None:
    """A key is the name of a member up to its first dot, and the members of a key follow each other."""
    export(curated, tmp_path / "out")
    dataset = read_dataset(curated)
    by_file = {item.file: item for item in dataset.items}
    for shard in sorted((tmp_path / "out").glob("*.tar")):
        names = list(members(shard))
        keys = [name.split(".")[0] for name in names]
        assert keys == sorted(keys) and all(key.isascii() and key.isdigit() for key in keys)
        for key in dict.fromkeys(keys):
            clip, record, text = (name for name in names if name.startswith(key))
            about = json.loads(members(shard)[record])
            item = by_file.pop(about["file"])
            assert shard.name.startswith(f"{item.split}-") and about["split"] == item.split
            assert PurePosixPath(clip).suffix == PurePosixPath(item.file).suffix and text == f"{key}.txt"
            assert members(shard)[clip] == item.path.read_bytes()
            assert about["rights"] == item.rights and about["scores"] == item.scores
            texts = [one for listed in item.captions.values() for one in listed]
            assert members(shard)[text].decode() in (texts or [""])
    assert not by_file  # every clip is in one shard


def test_shards_have_the_size_that_was_asked_for(curated: Path, tmp_path: Path) -> None:
    found = export(curated, tmp_path / "out")
    files = sorted((tmp_path / "out").glob("*.tar"))
    assert found.shards == len(files) > len(read_dataset(curated).splits)
    for path in files:
        assert path.stat().st_size <= SMALL + tarfile.RECORDSIZE or len(members(path)) == 3
    listed = json.loads((tmp_path / "out" / "shards.json").read_text())
    assert [(row["file"], row["bytes"]) for row in listed["shards"]] == [
        (path.name, path.stat().st_size) for split in ("train", "heldout") for path in files if split in path.name
    ]
    assert export(curated, tmp_path / "whole", 10**9).shards == 2


def test_equal_datasets_give_equal_bytes(curated: Path, tmp_path: Path) -> None:
    export(curated, tmp_path / "one")
    shutil.copytree(curated, tmp_path / "elsewhere" / "mine")
    for path in (tmp_path / "elsewhere").rglob("*.mp4"):
        os.utime(path, (1, 1))
    export(tmp_path / "elsewhere" / "mine", tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_second_export_changes_nothing_and_another_one_is_refused(curated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(curated, out)
    before = content(out)
    assert export(curated, out).written == 0 and content(out) == before
    with pytest.raises(UsageError, match="an export of other shard bytes"):
        export(curated, out, 2 * SMALL)
    clip = read_dataset(curated).items[0]
    clip.path.with_suffix(".json").write_text('{"captions": {"sentence": ["another one"]}}')
    with pytest.raises(UsageError, match="an export of other clips or captions"):
        export(curated, out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.docx").touch()
    with pytest.raises(UsageError, match=r"holds thesis\.docx"):
        export(curated, tmp_path / "full")
    assert content(out) == before and [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.docx"]


def test_a_lost_or_damaged_shard_is_written_again(curated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(curated, out)
    before, (first, second, *_) = content(out), sorted(out.glob("*.tar"))
    first.unlink()
    data = bytearray(second.read_bytes())
    data[700] ^= 1
    second.write_bytes(data)
    assert set(lost_shards(out)) == {first.name, second.name}
    assert export(curated, out).written == 2
    assert content(out) == before and not lost_shards(out)
    (out / "train-000099.tar").write_bytes(second.read_bytes())  # of another export
    assert lost_shards(out) == ["train-000099.tar"]


class Stop(BaseException):
    """Ctrl-C, at a moment of the test's choice."""


@pytest.mark.parametrize("moment", range(1, 9))
def test_an_interrupted_export_shows_no_shard_and_goes_on(curated: Path, tmp_path: Path, moment: int) -> None:
    export(curated, tmp_path / "whole")
    dataset, out = read_dataset(curated), tmp_path / "out"

    def stop(done: int, total: int) -> None:
        if done == moment:
            raise Stop

    with pytest.raises(Stop):
        export_shards(dataset, out, SMALL, stop)
    assert not [path for path in out.iterdir() if not path.name.startswith(".")]
    assert not [path for path in out.rglob("*") if is_partial(path.name) or path.name == ".lock"]
    kept = len(list(out.rglob("*.tar")))
    found = export(curated, out)
    assert found.written == found.shards - kept and content(out) == content(tmp_path / "whole")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize(("place", "name"), [(tarfile.TarFile, "addfile"), (os, "fsync"), (os, "replace")])
def test_a_failing_disk_is_said_and_leaves_nothing_half_written(
    curated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, place: Any, name: str
) -> None:
    calls = []

    def fail(*args: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) == 2:
            raise OSError(code, os.strerror(code))
        return original(*args, **named)

    original = getattr(place, name)
    out = tmp_path / "out"
    with monkeypatch.context() as context:
        context.setattr(place, name, fail)
        with pytest.raises(FileProblem, match=os.strerror(code)):
            export(curated, out)
    assert not (out / "shards.json").exists()
    assert not [path for path in out.rglob("*") if is_partial(path.name)]
    export(curated, out)
    export(curated, tmp_path / "whole")
    assert content(out) == content(tmp_path / "whole")


def test_a_disk_without_room_is_refused_before_the_work(
    curated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(FileProblem, match=r"needs .* MB and its disk has"):
        export(curated, tmp_path / "out")


def test_a_clip_that_changes_during_the_export_stops_it(curated: Path, tmp_path: Path) -> None:
    dataset = read_dataset(curated)
    clip = dataset.items[3]
    data = clip.path.read_bytes()
    for changed in (data[:-1] + bytes([data[-1] ^ 1]), data + b"x", None):
        clip.path.unlink()
        if changed is not None:
            clip.path.write_bytes(changed)
        with pytest.raises(FileProblem, match="was changed while it was exported"):
            export_shards(dataset, tmp_path / "out", SMALL)
        clip.path.write_bytes(data)
    with pytest.raises(FileProblem, match="clips are not those of its manifest"):
        clip.path.write_bytes(data + b"x")
        read_dataset(curated)


def test_a_large_clip_is_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.truncate(64 * 2**20)
    digest = hashlib.sha256(bytes(64 * 2**20)).hexdigest()
    item = Item(
        file="large.mp4",
        path=path,
        split="train",
        sha256=digest,
        bytes=64 * 2**20,
        width=8,
        height=8,
        fps=1.0,
        frames=1,
        seconds=1.0,
        picture=False,
        captions={},
        rights={},
        origin={},
        scores={},
    )
    tracemalloc.start()
    export_shards(Dataset(tmp_path, "plain", (item,), {}, ()), tmp_path / "out", SMALL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


# What cannot be exported


def test_only_whole_datasets_are_exported(curated: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a part of a dataset with splits"):
        read_dataset(curated / "train")
    (curated / "heldout" / "below").mkdir()
    with pytest.raises(UsageError, match="of its split heldout"):
        read_dataset(curated / "heldout" / "below")
    (curated / "heldout" / "below").rmdir()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileProblem, match="holds no videos or pictures"):
        read_dataset(tmp_path / "empty")
    (curated / "curation.json").unlink()
    with pytest.raises(UsageError, match="curation was interrupted"):
        read_dataset(curated)


def test_a_rendered_dataset_keeps_its_split(tmp_path: Path) -> None:
    write_dataset(tmp_path / "stage", DatasetRequest("stage", "shapes", "heldout", 0, 3, (32, 32)))
    dataset = read_dataset(tmp_path / "stage")
    assert dataset.kind == "rendered" and dataset.splits == ["heldout"]
    assert all("Chronotope" in item.rights["licence"] and item.captions for item in dataset.items)
    export(tmp_path / "stage", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob("*.tar")] == ["heldout-000000.tar"]
    (clip,) = [path for path in (tmp_path / "stage").rglob("*.json") if path.stem == Path(dataset.items[0].file).stem]
    clip.write_text('{"captions": {"sentence": ["another"]}}')
    with pytest.raises(FileProblem, match="not as a world rendered it"):
        read_dataset(tmp_path / "stage")


def test_a_plain_folder_of_clips_comes_back(curated: Path, tmp_path: Path) -> None:
    shutil.copytree(curated / "train", tmp_path / "plain")
    export(tmp_path / "plain", tmp_path / "out")
    assert not import_dataset(tmp_path / "out", tmp_path / "back").left_out
    assert facts(read_dataset(tmp_path / "back")) == facts(read_dataset(tmp_path / "plain"))


# What import does with shards that are not as they were exported


def name_again(out: Path, shard: Path) -> None:
    """Write the hash of a shard that was changed into the document of the export, as a stranger can."""
    about = read_sealed(out / EXPORT, "")
    for one in about["shards"]:
        one["sha256"] = file_sha256(shard) if one["file"] == shard.name else one["sha256"]
    write_sealed(out / EXPORT, about)


@pytest.mark.parametrize(("before", "after"), [(b"CC-BY-4.0", b"CC-BY-2.0"), (b"red disc", b"sad disc")])
def test_a_shard_that_was_edited_after_the_export_is_not_read(
    curated: Path, tmp_path: Path, before: bytes, after: bytes
) -> None:
    """Nothing but the hash of the shard tells that rights or captions beside an unchanged clip were edited."""
    out = tmp_path / "out"
    export(curated, out, 10**9)
    shard = next(path for path in out.glob("*.tar") if before in path.read_bytes())
    shard.write_bytes(shard.read_bytes().replace(before, after))
    imported = import_dataset(out, tmp_path / "back")
    assert f"{shard.name}: changed after the export: its SHA-256 is" in left_out(imported)
    assert "clips of the manifest were not imported" in "\n".join(imported.notes)
    for name in (EXPORT, "curation.json"):  # as the sentence says
        (out / name).unlink()
    others = import_dataset(out, tmp_path / "other")
    assert {item.reason for item in others.left_out} == {"no caption"}
    assert others.clips + len(others.left_out) == len(read_dataset(curated).items)


def test_a_manifest_of_another_export_is_not_restored(curated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(curated, out, 10**9)
    about = read_sealed(out / EXPORT, "")
    write_sealed(out / EXPORT, about | {"merkle_root": "x"})
    notes = "\n".join(import_dataset(out, tmp_path / "back").notes)
    assert "curation.jsonl and curation.json are not those that shards.json describes" in notes
    assert not (tmp_path / "back" / "curation.json").exists()


def test_import_names_what_was_tampered_with(curated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(curated, out)
    shard = next(path for path in sorted(out.glob("train-*.tar")) if len(members(path)) >= 3)
    clip = next(name for name in members(shard) if name.endswith(".mp4"))
    shard.write_bytes(shard.read_bytes().replace(members(shard)[clip][-64:], bytes(64)))
    name_again(out, shard)
    (lost,) = out.glob("heldout-000000.tar")
    lost.unlink()
    shutil.copy(next(path for path in sorted(out.glob("train-*.tar")) if path != shard), out / "train-000099.tar")
    imported = import_dataset(out, tmp_path / "back")
    assert "train-000099.tar: not named by shards.json, so it was added after the export" in "\n".join(imported.notes)
    assert f"{shard.name}/{clip}: its content is not the one that was exported" in left_out(imported)
    assert "heldout-000000.tar: missing, and shards.json names it" in left_out(imported)
    assert "clips of the manifest were not imported" in "\n".join(imported.notes)
    assert not (tmp_path / "back" / "curation.json").exists()
    assert not (tmp_path / "back" / "heldout").exists() or scan_folder(tmp_path / "back").left_out["held out for tests"]


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../outside.mp4"},
        {"file": "/etc/outside.mp4"},
        {"file": "train/.hidden.mp4"},
        {"file": "train/a\\b.mp4"},
        {"file": "train/model.json"},
        {"file": "train/\ud800.mp4"},
        {"file": 7},
        {"captions": "text"},
        {"captions": {"sentence": 7}},
    ],
    ids=repr,
)
def test_a_record_of_a_stranger_is_not_trusted(curated: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    out = tmp_path / "out"
    export(curated, out, 10**9)
    shard = out / "train-000000.tar"
    found = members(shard)
    with tarfile.open(shard, "w") as archive:
        for number, (name, data) in enumerate(found.items()):
            changed = json.dumps(json.loads(data) | change).encode() if number == 1 else data
            info = tarfile.TarInfo(name)
            info.size = len(changed)
            archive.addfile(info, io.BytesIO(changed))
    name_again(out, shard)
    imported = import_dataset(out, tmp_path / "back")
    assert [item.key for item in imported.left_out] == [f"train-000000.tar/{list(found)[1]}"]
    assert imported.clips == len(read_dataset(curated).items) - 1
    assert not (tmp_path / "outside.mp4").exists()


def test_a_manifest_of_other_clips_is_not_restored(curated: Path, tmp_path: Path) -> None:
    """A stranger may exchange a clip and its record; the manifest is that of the clips that were exported."""
    out = tmp_path / "out"
    export(curated, out, 10**9)
    shard = out / "train-000000.tar"
    found = members(shard)
    whole = {row["clip"] for row in read_curation(curated)[1] if row["state"] == "kept" and row["whole"]}
    records = {name: json.loads(data) for name, data in found.items() if name.endswith(".json")}
    chosen = next(name for name, record in records.items() if record["file"] in whole)
    clip = next(name for name in found if name.startswith(chosen.removesuffix("json")))
    found[clip] += b"x"
    found[chosen] = json.dumps(records[chosen] | {"sha256": hashlib.sha256(found[clip]).hexdigest()}).encode()
    with tarfile.open(shard, "w") as archive:
        for name, data in found.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    name_again(out, shard)
    imported = import_dataset(out, tmp_path / "back")
    assert f"{records[chosen]['file']} is not the clip of the manifest" in "\n".join(imported.notes)
    assert not (tmp_path / "back" / "curation.json").exists()
    assert scan_folder(tmp_path / "back").left_out["held out for tests"]
