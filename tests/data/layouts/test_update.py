"""An import that is brought up to date equals a new one, in every layout, whatever was changed in the source."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from chronotope.data.clips import scan_folder
from chronotope.data.exports.dataset import read_dataset
from chronotope.data.exports.shards import export_shards
from chronotope.data.layouts.record import IMPORTED
from chronotope.data.layouts.write import import_dataset
from chronotope.data.recaptions import Recaptions
from chronotope.manifest import read_manifest
from chronotope.media import video
from tests.cli.models import run

Captions = Mapping[str, str]  # by the name of a clip; "" is none
Clips = Mapping[str, Path]

START = {"1.mp4": "one", "2.mp4": "two", "3.mp4": "three"}


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five clips of different contents."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(5):
        video.write(folder / f"{number}.mp4", np.full((2, 32, 32, 3), 40 * number, np.uint8), 8.0)
    return sorted(folder.iterdir())


# One writer a layout: captions and clips -> a folder


def _place(folder: Path, clips: Clips, below: str = "") -> None:
    for name, path in clips.items():
        (folder / below / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / below / name)


def _videofolder(folder: Path, captions: Captions, clips: Clips) -> None:
    _place(folder, clips)
    rows = [json.dumps({"file_name": name, "text": text}) for name, text in captions.items()]
    (folder / "metadata.jsonl").write_text("\n".join(rows))


def _csv(folder: Path, captions: Captions, clips: Clips) -> None:
    _place(folder, clips, "v")
    rows = [f"v/{name},{text}\n" for name, text in captions.items()]
    (folder / "data.csv").write_text(f"path,caption\n{''.join(rows)}")


def _json(folder: Path, captions: Captions, clips: Clips) -> None:
    _place(folder, clips)
    (folder / "list.json").write_text(json.dumps(dict(captions)))


def _lines(folder: Path, captions: Captions, clips: Clips) -> None:
    _place(folder, clips)
    (folder / "videos.txt").write_text("".join(f"{name}\n" for name in captions))
    (folder / "prompts.txt").write_text("".join(f"{text}\n" for text in captions.values()))


def _pairs(folder: Path, captions: Captions, clips: Clips) -> None:
    _place(folder, clips)
    for name, text in captions.items():
        if text:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).with_suffix(".txt").write_text(text)


def _folders(folder: Path, captions: Captions, clips: Clips) -> None:
    _place(folder, clips, "videos")
    _pairs(folder / "captions", captions, {})


def _kohya(folder: Path, captions: Captions, clips: Clips) -> None:
    (folder / "set.toml").write_text('[[datasets]]\nvideo_directory = "v"\n')
    _pairs(folder / "v", captions, clips)


def _finetrainers(folder: Path, captions: Captions, clips: Clips) -> None:
    (folder / "d").mkdir()
    (folder / "training.json").write_text('{"datasets": [{"data_root": "d"}]}')
    _videofolder(folder / "d", captions, clips)


def _shards(folder: Path, captions: Captions, clips: Clips) -> None:
    texts = {f"{Path(name).stem}.txt": text.encode() for name, text in captions.items() if text}
    with tarfile.open(folder / "00.tar", "w") as shard:
        for name, data in sorted({**texts, **{name: path.read_bytes() for name, path in clips.items()}}.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))


def _exported(folder: Path, captions: Captions, clips: Clips) -> None:
    """Shards of our own: clips are numbered, so that those behind one that is removed have other numbers."""
    made = folder.parent / "made"
    shutil.rmtree(made, ignore_errors=True)
    _pairs_of_files(made, captions, clips)
    export_shards(read_dataset(made), folder, 10**6)


def _exported_authors(folder: Path, captions: Captions, clips: Clips) -> None:
    """The same of captions that a program wrote."""
    made = folder.parent / "made"
    shutil.rmtree(made, ignore_errors=True)
    _listed(made, captions, clips)
    export_shards(read_dataset(made), folder, 10**6)


def _listed(folder: Path, captions: Captions, clips: Clips) -> None:
    """Captions that a program wrote, in `recaptions.jsonl`; another clip has one of a person."""
    _place(folder, {**clips, "own.mp4": next(iter(clips.values()))})
    (folder / "own.txt").write_text("of a person")
    contents = {item.file: item.sha256 for item in read_dataset(folder).items}
    for name, text in captions.items():
        if text and name in contents:
            Recaptions(folder).add(name, contents[name], "sentence", {"kind": "endpoint", "model": "m"}, text)


def _pairs_of_files(folder: Path, captions: Captions, clips: Clips) -> None:
    _place(folder, clips)
    _pairs(folder, {name: text for name, text in captions.items() if name in clips}, {})


WRITERS = [
    _videofolder, _csv, _json, _lines, _pairs, _folders, _kohya, _finetrainers, _shards, _exported, _exported_authors,
    _listed,
]  # fmt: skip

# What may happen to a source: captions, and the numbers of the clips
CHANGES: dict[str, tuple[Captions, Mapping[str, int]]] = {
    "row removed": ({"1.mp4": "one", "2.mp4": "two"}, {"1.mp4": 0, "2.mp4": 1, "3.mp4": 2}),
    "first row removed": ({"2.mp4": "two", "3.mp4": "three"}, {"1.mp4": 0, "2.mp4": 1, "3.mp4": 2}),
    "caption emptied": ({**START, "2.mp4": ""}, {"1.mp4": 0, "2.mp4": 1, "3.mp4": 2}),
    "row edited": ({**START, "2.mp4": "other"}, {"1.mp4": 0, "2.mp4": 1, "3.mp4": 2}),
    "file removed": (START, {"1.mp4": 0, "3.mp4": 2}),
    "row and file removed": ({"2.mp4": "two", "3.mp4": "three"}, {"2.mp4": 1, "3.mp4": 2}),
    "row and file added": ({"0.mp4": "nought", **START}, {"0.mp4": 3, "1.mp4": 0, "2.mp4": 1, "3.mp4": 2}),
    "file added": (START, {"0.mp4": 3, "1.mp4": 0, "2.mp4": 1, "3.mp4": 2}),
    "file replaced": (START, {"1.mp4": 0, "2.mp4": 4, "3.mp4": 2}),
    "files exchanged": (START, {"1.mp4": 1, "2.mp4": 0, "3.mp4": 2}),
    "held out": ({"1.mp4": "one", "test/2.mp4": "two", "3.mp4": "three"}, {"1.mp4": 0, "test/2.mp4": 1, "3.mp4": 2}),
}


def dataset(out: Path) -> dict[str, object]:
    """Return all files with their contents; of the record what is no fact of the disk."""
    files = {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in (IMPORTED, "recaptions.jsonl")
    }
    written = {row["seal"] for row in Recaptions(out).rows.values()}
    return {**files, "record": [(row["key"], row["captions"]) for row in read_manifest(out / IMPORTED)], "by": written}


def write(folder: Path, writer: Callable[..., None], captions: Captions, clips: Clips) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    writer(folder, captions, clips)


SLOW = (_exported, _exported_authors, _listed)  # which hash and write whole datasets: they see the changes that matter
TOLD = ("row removed", "row edited", "file removed", "held out")
CASES = [
    (writer, change, copy)
    for copy, writers in ((False, WRITERS), (True, [_csv, _shards]))
    for writer in writers
    for change in (TOLD if writer in SLOW else CHANGES)
]


@pytest.mark.parametrize(("writer", "change", "copy"), CASES)
def test_an_update_equals_a_new_import(
    tmp_path: Path, films: list[Path], writer: Callable[..., None], change: str, copy: bool
) -> None:
    source = tmp_path / "in"
    write(source, writer, START, dict(zip(START, films, strict=False)))
    import_dataset(source, tmp_path / "updated", copy=copy)
    captions, numbers = CHANGES[change]
    write(source, writer, captions, {name: films[number] for name, number in numbers.items()})
    updated = import_dataset(source, tmp_path / "updated", copy=copy)
    fresh = import_dataset(source, tmp_path / "fresh", copy=copy)
    assert dataset(tmp_path / "updated") == dataset(tmp_path / "fresh")
    assert (updated.clips, updated.heldout, updated.left_out) == (fresh.clips, fresh.heldout, fresh.left_out)
    again = import_dataset(source, tmp_path / "updated", copy=copy)
    assert not (again.new or again.changed or again.moved or again.recaptioned or again.gone)


def test_the_command_removes_a_clip_whose_row_was_removed(tmp_path: Path, films: list[Path]) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    write(source, _csv, START, dict(zip(START, films, strict=False)))
    assert run("import", str(source), "--out", str(out)).exit_code == 0
    (source / "data.csv").write_text("path,caption\nv/1.mp4,one\nv/2.mp4,two\n")
    result = run("import", str(source), "--out", str(out))
    assert result.exit_code == 3 and "left out: v/3.mp4: no caption names it" in result.stderr
    assert "2 clips: 1 gone, 1 left out" in result.stderr
    assert [clip.file for clip in scan_folder(out).clips] == ["v/1.mp4", "v/2.mp4"]


@pytest.mark.parametrize("emptied", [False, True])
def test_clips_of_a_disk_that_is_not_mounted_stay(tmp_path: Path, films: list[Path], emptied: bool) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    write(source, _csv, START, dict(zip(START, films, strict=False)))
    import_dataset(source, out, copy=True)
    before = dataset(out)
    shutil.rmtree(source / "v")
    if emptied:
        (source / "v").mkdir()
    updated = import_dataset(source, out, copy=True)
    assert dataset(out) == before and not updated.gone and len(updated.left_out) == 3
    assert any("v/1.mp4" in note and "stays as it was" in note for note in updated.notes)
