"""Clips of another split than that of training are held out, whatever names the split, and it is said."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from chronotope.cli.datasets.sources import raw_files
from chronotope.data.audit import audit_dataset
from chronotope.data.clips import HELD_OUT, scan_folder, split_of_folder, taken_from_splits
from chronotope.data.encode import encode_dataset
from chronotope.data.exports.about import Statement
from chronotope.data.exports.croissant import write_croissant
from chronotope.data.exports.dataset import read_dataset
from chronotope.data.exports.shards import export_shards
from chronotope.data.layouts.columns import read_columns
from chronotope.data.layouts.detect import read_layout
from chronotope.data.layouts.splits import split_of_file, split_of_values
from chronotope.data.layouts.write import Imported, import_dataset
from chronotope.data.rendered import changes_since_import, find_worlds
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.worlds.write import DatasetRequest, write_dataset

Place = Callable[..., Path]


def held_out(folder: Path) -> dict[str, bool]:
    """Return the clips of a folder as readers see it, and whether they are held out."""
    reading = read_layout(folder)[1]
    return {row.label: row.heldout for row in reading.rows}


def table(split: str, column: str = "split") -> dict[str, str]:
    rows = [
        {"file_name": "a.mp4", "text": "one", column: "train"},
        {"file_name": "b.mp4", "text": "two", column: split},
    ]
    return {"metadata.jsonl": "\n".join(map(json.dumps, rows))}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(value, True) for value in ("test", "Validation", "val", "VALID", "heldout", "held-out", "Hold_Out", "dev", "eval",
                                 "test_unseen", "val2017", "public test", "train_val", "testing", "combination")]
    + [(value, False) for value in ("train", "Training", "train-clean-100")]
    + [(value, None) for value in ("", "fold1", "extra", "0", "latest", "contest", "devotion")],
)  # fmt: skip
def test_words_of_splits(value: str, expected: bool | None) -> None:
    split, unknown = split_of_values({"split": value})
    assert (split.heldout if split else None) is expected
    assert unknown == ((("split", value),) if expected is None else ())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("test.csv", True), ("val-00000-of-00002.tar", True), ("captions_dev.json", True), ("train.csv", False),
     ("metadata.csv", False), ("latest.csv", False), ("my_test_drive.csv", False)],
)  # fmt: skip
def test_names_of_tables(name: str, expected: bool) -> None:
    assert (split_of_file(Path(name)) is not None) is expected


@pytest.mark.parametrize(
    ("label", "expected"),
    [("test/a.mp4", True), ("Val/x/a.mp4", True), ("test set/a.mp4", True), ("held_out/a.mp4", True),
     ("videos/validation/a.mp4", True), ("train/a.mp4", False), ("test.mp4", False), ("test drives/a.mp4", False),
     ("x/test/a.mp4", False), ("a/b/test/a.mp4", False)],
)  # fmt: skip
def test_names_of_folders(label: str, expected: bool) -> None:
    assert (split_of_folder(label) is not None) is expected


@pytest.mark.parametrize("column", ["split", "Split", "subset", "partition"])
def test_a_column_of_splits(tmp_path: Path, place: Place, column: str) -> None:
    folder = place(tmp_path / "in", "a.mp4", "b.mp4", files=table("TEST", column))
    imported = import_dataset(folder, tmp_path / "out")
    assert imported.in_words() == "2 clips, 1 of them held out: 2 new"
    assert f"b.mp4: held out because {column!r} says 'TEST'; no training takes them from heldout/" in imported.notes
    scanned = scan_folder(tmp_path / "out")
    assert [clip.file for clip in scanned.clips] == ["a.mp4"]
    assert scanned.left_out == {HELD_OUT: ("heldout/b.mp4",)}
    assert [clip.file for clip in scan_folder(tmp_path / "out" / "heldout").clips] == ["b.mp4"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"split": "train", "Split": "test"}, True),
        ({"set": "test"}, True),
        ({"phase": "val", "split": "train"}, True),
        ({"usage": "train"}, None),
        ({"label": "testing the water"}, None),
        ({"is_test": True}, True),
        ({"is_test": "False"}, False),
        ({"isTest": 1, "split": "train"}, True),
        ({"is_train": 0}, True),
        ({"in training set": "yes"}, False),
        ({"heldout": "TRUE"}, True),
        ({"val": "maybe"}, None),
        ({"test_score": 1, "contest": True}, None),
    ],
)
def test_flags_and_columns_of_other_case_name_a_split(row: dict[str, object], expected: bool | None) -> None:
    found = read_columns({"file_name": "a.mp4", "text": "one", **row}, lambda _: None)
    assert (found.split.heldout if found.split else None) is expected
    assert bool(found.unknown) == ("val" in row)


def test_what_stands_beside_a_list_of_clips_holds_or_is_said(tmp_path: Path, place: Place) -> None:
    clips = [{"file_name": "a.mp4", "text": "one"}, {"file_name": "b.mp4", "text": "two", "split": "train"}]
    text = json.dumps({"split": "test", "clips": clips, "rejected": ["b.mp4"], "version": 2})
    folder = place(tmp_path / "in", "a.mp4", "b.mp4", files={"list.json": text})
    assert held_out(folder) == {"a.mp4": True, "b.mp4": False}
    notes = import_dataset(folder, tmp_path / "out").notes
    assert any("'rejected' beside its list of clips, which is not read" in note for note in notes)


def test_a_key_that_is_twice_in_a_line_is_said(tmp_path: Path, place: Place) -> None:
    text = '{"file_name": "a.mp4", "text": "one", "split": "test", "split": "train"}'
    imported = import_dataset(place(tmp_path / "in", "a.mp4", files={"metadata.jsonl": text}), tmp_path / "out")
    assert any("line 1: the keys ['split'] are there more than once" in note for note in imported.notes)


def test_no_training_takes_what_is_held_out(tmp_path: Path, place: Place) -> None:
    folder = place(tmp_path / "in", "a.mp4", "b.mp4", files=table("val"))
    import_dataset(folder, tmp_path / "out")
    config = AutoencoderConfig(widths=(8, 12), encoder_blocks=(1, 1), decoder_blocks=(1, 1), channels=4)
    autoencoder, notes = Autoencoder(config).eval(), list[str]()
    for data, latents in (("out", "latents"), ("out/heldout", "unseen")):
        found = encode_dataset(tmp_path / data, tmp_path / latents, autoencoder, Geometry(), note=notes.append)
        assert found.in_words().startswith("1 clip")
    index = (tmp_path / "latents" / "index.jsonl").read_text()
    assert '"a.mp4"' in index and "b.mp4" not in index
    assert any("held out for tests: heldout/b.mp4" in note for note in notes)


def test_a_column_of_unknown_values_is_named_once(tmp_path: Path, place: Place) -> None:
    rows = [{"file_name": f"{n}.mp4", "text": "one", "subset": f"fold{n}"} for n in range(5)]
    text = "\n".join(map(json.dumps, rows))
    imported = import_dataset(
        place(tmp_path / "in", *(f"{n}.mp4" for n in range(5)), files={"metadata.jsonl": text}), tmp_path / "out"
    )
    (note,) = imported.notes
    assert note.startswith("metadata.jsonl: the column 'subset' holds 'fold0', 'fold1', 'fold2', and 2 more, none of")
    assert imported.heldout == 0


def test_a_copy_of_a_clip_that_is_held_out_is_held_out_as_well(tmp_path: Path, place: Place) -> None:
    text = "file_name,text\ntest/a.mp4,one\ntrain/b.mp4,two\ntrain/c.mp4,three\n"
    folder = place(tmp_path / "in", "test/a.mp4", "train/c.mp4", files={"metadata.csv": text})
    shutil.copy(folder / "test/a.mp4", folder / "train/b.mp4")
    out = tmp_path / "out"
    imported = import_dataset(folder, out)
    assert imported.heldout == 2 and "train/b.mp4: has the same content as test/a.mp4" in "\n".join(imported.notes)
    assert [clip.file for clip in scan_folder(out).clips] == ["train/c.mp4"]
    assert import_dataset(folder, out).in_words() == "3 clips, 2 of them held out: nothing has changed"
    place(folder, "train/b.mp4")
    assert import_dataset(folder, out).in_words() == "3 clips, 1 of them held out: 1 changed, 1 of another split"
    assert (out / "train/b.mp4").read_bytes() == (folder / "train/b.mp4").read_bytes()


@pytest.mark.parametrize("part", ["", "train"])
def test_a_clip_that_was_copied_out_of_those_held_out_is_said(tmp_path: Path, place: Place, part: str) -> None:
    text = "file_name,text\ntest/a.mp4,one\ntrain/c.mp4,two\n"
    folder = place(tmp_path / "in", "test/a.mp4", "train/c.mp4", files={"metadata.csv": text})
    out = tmp_path / "out"
    import_dataset(folder, out)
    config = AutoencoderConfig(widths=(8, 12), encoder_blocks=(1, 1), decoder_blocks=(1, 1), channels=4)

    def said() -> list[str]:
        notes = [finding.what for finding in audit_dataset(out / part)]
        encode_dataset(out / part, tmp_path / "latents", Autoencoder(config), Geometry(), note=notes.append)
        return [note for note in notes if "the same content as clips that are held out" in note]

    assert said() == []
    shutil.rmtree(tmp_path / "latents")
    shutil.copy(out / "heldout/test/a.mp4", out / "train/d.mp4")
    found = said()
    assert len(found) == 2 and all("1 clip has" in note and "heldout/test/a.mp4" in note for note in found)


def test_one_of_several_columns_and_rows_is_enough(tmp_path: Path, place: Place) -> None:
    rows = [
        {"file_name": "a.mp4", "text": "one", "split": "train", "subset": "vimeo"},
        {"file_name": "b.mp4", "text": "two", "split": "official", "subset": "validation"},
        {"file_name": "c.mp4", "text": "three", "split": "train"},
        {"file_name": "c.mp4", "text": "four", "split": "test"},
        {"file_name": "test/d.mp4", "text": "five", "split": "train"},
    ]
    names = [str(row["file_name"]) for row in rows]
    folder = place(tmp_path, *names, files={"metadata.jsonl": "\n".join(map(json.dumps, rows))})
    reading = read_layout(folder)[1]
    assert {row.label: row.heldout for row in reading.rows} == {
        "a.mp4": False, "b.mp4": True, "c.mp4": True, "test/d.mp4": False,
    }  # fmt: skip
    assert reading.notes["named by rows of several splits, so it is held out"] == ["c.mp4"]


def _tar(texts: Mapping[str, str | dict[str, str]], clip: bytes) -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w") as shard:
        for key, text in texts.items():
            beside = text.encode() if isinstance(text, str) else json.dumps(text).encode()
            for name, data in ((f"{key}.mp4", clip), (f"{key}.{'txt' if isinstance(text, str) else 'json'}", beside)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                shard.addfile(info, io.BytesIO(data))
    return found.getvalue()


def test_every_layout_has_its_ways(tmp_path: Path, place: Place, clip: Path) -> None:
    data = clip.read_bytes()
    pairs = {"train/a.txt": "one", "test/b.txt": "two", "videos/val/c.txt": "three", "x/d.txt": "four"}
    clips = [name.replace(".txt", ".mp4") for name in pairs]
    expected = {"train/a.mp4": False, "test/b.mp4": True, "videos/val/c.mp4": True, "x/d.mp4": False}
    assert held_out(place(tmp_path / "pairs", *clips, files=pairs)) == expected
    lists = {"videos.txt": "train/a.mp4\nHeldOut/b.mp4\n", "captions.txt": "one\ntwo\n"}
    assert held_out(place(tmp_path / "lines", "train/a.mp4", "HeldOut/b.mp4", files=lists)) == {
        "HeldOut/b.mp4": True, "train/a.mp4": False,
    }  # fmt: skip
    tables = {"train.csv": "path,text\na.mp4,one\n", "test.csv": "path,text\nb.mp4,two\n"}
    assert held_out(place(tmp_path / "tables", "a.mp4", "b.mp4", files=tables)) == {"a.mp4": False, "b.mp4": True}
    each = {f"{split}/metadata.csv": "file_name,text\na.mp4,one\n" for split in ("train", "validation")}
    assert held_out(place(tmp_path / "each", "train/a.mp4", "validation/a.mp4", files=each)) == {
        "train/a.mp4": False, "validation/a.mp4": True,
    }  # fmt: skip
    shards = {"train-00.tar": _tar({"a": "one"}, data), "dev-00.tar": _tar({"b": "two"}, data)}
    shards["more.tar"] = _tar({"c": {"caption": "c", "split": "test"}, "d": {"caption": "d", "split": "train"}}, data)
    shards["val/0.tar"] = _tar({"e": "five", "f": "six"}, data)
    assert held_out(place(tmp_path / "shards", files=shards)) == {
        "dev-00.tar/b.mp4": True, "more.tar/c.mp4": True, "more.tar/d.mp4": False, "train-00.tar/a.mp4": False,
        "val/0.tar/e.mp4": True, "val/0.tar/f.mp4": True,
    }  # fmt: skip
    roots = {f"{name}.json": json.dumps({"datasets": [{"data_root": name}]}) for name in ("training", "validation")}
    texts = {"training/a.txt": "one", "validation/b.txt": "two"}
    assert held_out(place(tmp_path / "roots", "training/a.mp4", "validation/b.mp4", files=roots | texts)) == {
        "training/a.mp4": False, "validation/b.mp4": True,
    }  # fmt: skip


def test_a_row_that_changes_its_split_moves_its_clip_with_what_was_edited(tmp_path: Path, place: Place) -> None:
    folder, out = place(tmp_path / "in", "a.mp4", "b.mp4", files=table("train")), tmp_path / "out"
    import_dataset(folder, out)
    (out / "b.json").write_text('{"caption": "mine"}')
    place(folder, files=table("test"))
    found = import_dataset(folder, out)
    assert found.in_words() == "2 clips, 1 of them held out: 1 of another split"
    assert (out / "heldout/b.mp4").is_file() and not (out / "b.mp4").exists() and not (out / "b.json").exists()
    assert (out / "heldout/b.json").read_text() == '{"caption": "mine"}'
    place(folder, files=table("train"))
    assert import_dataset(folder, out).heldout == 0
    assert (out / "b.json").read_text() == '{"caption": "mine"}' and not (out / "heldout").exists()


def test_an_interrupted_import_shows_nothing_that_is_held_out(tmp_path: Path, place: Place) -> None:
    """Also before the first clip is recorded, and between a move of a clip and its record."""
    folder, out = place(tmp_path / "in", "a.mp4", "b.mp4", files=table("test")), tmp_path / "out"
    seen = []

    def look(done: int, total: int) -> None:
        seen.append([clip.file for clip in scan_folder(out).clips])

    import_dataset(folder, out, progress=look)
    assert seen == [["a.mp4"], ["a.mp4"]]
    place(folder, files=table("train"))
    import_dataset(folder, out)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    place(folder, files=table("test"))
    with pytest.raises(KeyboardInterrupt):
        import_dataset(folder, out, progress=interrupt)
    assert [clip.file for clip in scan_folder(out).clips] == ["a.mp4"]
    assert import_dataset(folder, out).in_words() == "2 clips, 1 of them held out: 1 of another split"
    assert import_dataset(folder, out).in_words() == "2 clips, 1 of them held out: nothing has changed"


def test_a_file_in_the_way_of_a_clip_that_moves_is_named(tmp_path: Path, place: Place) -> None:
    folder, out = place(tmp_path / "in", "a.mp4", "b.mp4", files=table("train")), tmp_path / "out"
    import_dataset(folder, out)
    place(out, files={"heldout/b.mp4": "mine"})
    place(folder, files=table("test"))
    with pytest.raises(FileProblem, match=r"heldout/b\.mp4 is there and was not written by this command"):
        import_dataset(folder, out)
    assert (out / "heldout/b.mp4").read_text() == "mine" and (out / "b.mp4").exists()


def test_a_clip_for_training_is_not_hidden_by_the_name_of_its_folder(tmp_path: Path, place: Place) -> None:
    text = "file_name,text,split\nheldout/a.mp4,one,train\n"
    imported = import_dataset(place(tmp_path / "in", "heldout/a.mp4", files={"metadata.csv": text}), tmp_path / "out")
    assert imported.heldout == 0
    assert [clip.file for clip in scan_folder(tmp_path / "out").clips] == ["train/heldout/a.mp4"]


def test_what_other_datasets_hold_out_stays_held_out(tmp_path: Path, place: Place) -> None:
    """Curated, imported and rendered datasets within the folder, and a part of one."""
    files = {"mine/curation.json": "{}", "mine/train/a.txt": "one", "mine/heldout/b.txt": "two"}
    files |= {"theirs/imported.jsonl": "", "theirs/c.txt": "three", "theirs/heldout/d.txt": "four"}
    clips = ("mine/train/a.mp4", "mine/heldout/b.mp4", "theirs/c.mp4", "theirs/heldout/d.mp4")
    folder = place(tmp_path / "all", *clips, files=files)
    assert [name for name, heldout in held_out(folder).items() if heldout] == [clips[1], clips[3]]
    assert held_out(folder / "mine" / "heldout") == {"b.mp4": True}
    write_dataset(tmp_path / "stage", DatasetRequest("stage", "shapes", "combination", 0, 2, (32, 32)))
    assert set(held_out(tmp_path / "stage").values()) == {True}


def test_clips_that_are_held_out_are_not_curated_anew(tmp_path: Path, place: Place) -> None:
    """Those of a curated dataset and of a rendered one, alone and in a folder; training clips are taken."""
    folder = place(tmp_path / "all", "mine/train/a.mp4", "mine/heldout/b.mp4", files={"mine/curation.json": "{}"})
    assert [one.name for one in raw_files([folder], tmp_path / "out")] == ["mine/train/a.mp4"]
    write_dataset(folder / "stage", DatasetRequest("stage", "shapes", "heldout", 0, 1, (32, 32)))
    for source in (folder / "mine/heldout", folder / "stage", folder):
        with pytest.raises(UsageError, match=r"held out .*, meant for evaluation, not for training"):
            raw_files([source], tmp_path / "out")


def test_the_splits_of_an_exported_list_hold(tmp_path: Path, place: Place) -> None:
    folder = place(tmp_path / "in", "a.mp4", "b.mp4", files=table("heldout"))
    import_dataset(folder, tmp_path / "out")
    write_croissant(read_dataset(tmp_path / "out"), Statement())
    card = tmp_path / "card"
    card.mkdir()
    for file in [*(tmp_path / "out").rglob("*.mp4"), tmp_path / "out" / "croissant.jsonl"]:
        shutil.copy(file, card)  # without its captions, and in one folder
    listing = (card / "croissant.jsonl").read_text().replace("heldout/", "")
    (card / "croissant.jsonl").write_text(listing)
    assert held_out(card) == {"a.mp4": False, "b.mp4": True}
    (card / "metadata.jsonl").write_text(listing)
    assert held_out(card) == {"a.mp4": False, "b.mp4": True}
    place(card, files={"metadata.jsonl": '{"file_name": "a.mp4", "text": "x"}\n{"file_name": "b.mp4", "text": "y"}'})
    assert held_out(card) == {"a.mp4": False, "b.mp4": True}


def exported(folder: Path, tmp_path: Path) -> Imported:
    export_shards(read_dataset(folder), tmp_path / "shards", 10**6)
    return import_dataset(tmp_path / "shards", tmp_path / "back")


def test_splits_come_back_from_shards(tmp_path: Path, place: Place) -> None:
    import_dataset(place(tmp_path / "in", "a.mp4", "b.mp4", files=table("test")), tmp_path / "out")
    assert exported(tmp_path / "out", tmp_path).heldout == 1
    before, after = read_dataset(tmp_path / "out"), read_dataset(tmp_path / "back")
    assert before.identity == after.identity and after.splits == ["train", "heldout"]


def test_a_rendered_split_comes_back_from_shards(tmp_path: Path) -> None:
    write_dataset(tmp_path / "stage", DatasetRequest("stage", "shapes", "heldout", 0, 2, (32, 32)))
    imported = exported(tmp_path / "stage", tmp_path)
    assert imported.in_words() == "2 clips, 2 of them held out: 2 new"
    assert read_dataset(tmp_path / "back").splits == ["heldout"]


def test_a_clip_that_was_moved_out_of_those_held_out_is_said(tmp_path: Path, place: Place) -> None:
    text = "file_name,text\ntest/a.mp4,one\ntrain/c.mp4,two\ntrain/d.mp4,three\n"
    folder = place(tmp_path / "in", "test/a.mp4", "train/c.mp4", "train/d.mp4", files={"metadata.csv": text})
    out = tmp_path / "out"
    import_dataset(folder, out, copy=True)
    assert changes_since_import(out) == []
    (out / "heldout/test/a.mp4").rename(out / "train/e.mp4")
    notes = [finding.what for finding in audit_dataset(out)]
    assert any("1 clip has the same content as clips that are held out, such as train/e.mp4" in note for note in notes)
    assert any("those that were imported: 1 missing or renamed (such as heldout/test/a.mp4)" in note for note in notes)
    contents = (out / "train/c.mp4").read_bytes(), (out / "train/d.mp4").read_bytes()
    assert contents[0] != contents[1]
    (out / "train/c.mp4").write_bytes(contents[1])
    find_worlds(out, notes.append)  # which `encode` asks
    assert "2 changed" not in notes[-1] and "1 changed or exchanged (such as train/c.mp4)" in notes[-1]


def test_clips_whose_spec_is_held_out_are_held_out_without_their_dataset(tmp_path: Path) -> None:
    write_dataset(tmp_path / "w", DatasetRequest("stage", "shapes", "heldout", 1, 2))
    for path in (tmp_path / "w" / "0000").iterdir():  # without dataset.json, which names the split
        path.rename(tmp_path / path.name)
    (tmp_path / "clips").mkdir()
    for path in [path for path in tmp_path.iterdir() if path.is_file()]:
        path.rename(tmp_path / "clips" / path.name)
    found = import_dataset(tmp_path / "clips", tmp_path / "out")
    assert found.heldout == found.clips == 2
    assert any("held out because the spec beside it is of split heldout" in note for note in found.notes)
    with pytest.raises(UsageError, match="is of split heldout, meant for evaluation, not for training; curation"):
        raw_files([tmp_path / "clips"], tmp_path / "curated")


def test_a_folder_called_after_a_split_is_said_and_exported_as_held_out(tmp_path: Path, place: Place) -> None:
    folder = place(tmp_path / "in", "train/a.mp4", "test/b.mp4", files={"train/a.txt": "one", "test/b.txt": "two"})
    (said,) = taken_from_splits(folder, [clip.file for clip in scan_folder(folder).clips])
    assert "1 clip is taken from folders" in said and "test/b.mp4" in said
    assert said in map(str, audit_dataset(folder))
    assert {item.file: item.split for item in read_dataset(folder).items} == {
        "train/a.mp4": "train",
        "test/b.mp4": "heldout",
    }
