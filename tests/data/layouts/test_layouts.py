"""Each layout gives its clips and captions; each row is read, or left out with its reason."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chronotope.cli.datasets.commands import LAYOUTS as NAMES
from chronotope.data.captions import Captions
from chronotope.data.layouts.detect import LAYOUTS, read_layout
from chronotope.data.layouts.reading import Reading
from chronotope.errors import UsageError

Place = Callable[..., Path]


def sentences(*texts: str) -> Captions:
    return {"sentence": texts}


def read(folder: Path, layout: str, follow: bool = False) -> Reading:
    """Read a folder, which is recognised as this layout."""
    found, reading = read_layout(folder, None, follow)
    assert found.name == layout
    return reading


def captions(reading: Reading) -> dict[str, Captions]:
    return {row.label: row.captions for row in reading.rows}


def left_out(reading: Reading) -> dict[str, str]:
    return {item.key: item.reason for item in reading.left_out}


def test_the_command_names_all_layouts() -> None:
    assert tuple(layout.name for layout in LAYOUTS) == NAMES


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", '{"file_name": "a.mp4", "text": "one"}\n\n{"file_name": "x/b.mp4", "text": "two"}\n'),
        ("metadata.csv", "file_name,text\na.mp4,one\nx/b.mp4,two\n"),
        ("metadata.csv", '\ufefffile_name;prompt\r\na.mp4;"one"\r\n\r\nx\\b.mp4;two\r\n'),
        ("metadata.csv", "file_name,text\na.mp4,one\nx/b.mp4,two\n".encode("utf-16")),
    ],
)
def test_videofolder(tmp_path: Path, place: Place, name: str, text: str | bytes) -> None:
    reading = read(place(tmp_path, "a.mp4", "x/b.mp4", files={name: text}), "videofolder")
    assert captions(reading) == {"a.mp4": sentences("one"), "x/b.mp4": sentences("two")}
    assert not reading.left_out


def test_videofolder_with_a_table_in_each_split(tmp_path: Path, place: Place) -> None:
    tables = {f"{split}/metadata.csv": f"file_name,caption\n1.mp4,{split} one\n" for split in ("train", "test")}
    reading = read(place(tmp_path, "train/1.mp4", "test/1.mp4", files=tables), "videofolder")
    assert captions(reading) == {"test/1.mp4": sentences("test one"), "train/1.mp4": sentences("train one")}


def test_every_row_is_accounted_for(tmp_path: Path, place: Place) -> None:
    rows = (
        "file_name,text\na.mp4,one\nb.mp4,\nmissing.mp4,x\n../out.mp4,x\n/etc/passwd,x\nnotes.md,x\nc.mp4,one, two\n"
        'a.mp4,again\nempty.mp4,x\nlfs.mp4,x\n,x\nftp://host/a.mp4,x\nd.part.mp4,x\n"a" b,x\nlink.mp4,x\nloop.mp4,x\n'
    )
    folder = place(tmp_path / "d", "a.mp4", "b.mp4", "c.mp4", "d.part.mp4", "e.mp4", "../out.mp4")
    place(folder, files={"metadata.csv": rows, "notes.md": "x", "empty.mp4": ""})
    (folder / "lfs.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (folder / "link.mp4").symlink_to(tmp_path / "out.mp4")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    reading = read(folder, "videofolder")
    assert captions(reading) == {"a.mp4": sentences("one", "again")}
    assert reading.rows[0].where == ("metadata.csv, line 2", "metadata.csv, line 9")
    found = left_out(reading)
    for line, words in (
        (3, "b.mp4 has no caption"),
        (4, "missing.mp4 is missing"),
        (5, "out.mp4 leads out of the folder"),
        (6, "/etc/passwd leads out of the folder"),
        (7, "notes.md is no video or picture"),
        (8, "3 cells, where the first line has 2"),
        (10, "is empty"),
        (11, "git lfs pull"),
        (12, "no file is named"),
        (13, "is an address"),
        (14, "still being written"),
        (15, "not readable as CSV"),
        (16, "leads out of the folder"),
        (17, "loop.mp4 is missing"),
    ):
        assert words in found.pop(f"metadata.csv, line {line}"), line
    assert found.pop("e.mp4") == found.pop("c.mp4") == "no caption names it"
    assert found == {"link.mp4": "no caption names it"}
    assert reading.notes["named by several rows, whose captions are all kept"] == ["a.mp4"]


def test_paths_out_of_the_folder_are_followed_on_request(tmp_path: Path, place: Place) -> None:
    folder = place(tmp_path / "d", "../out/1.mp4", "../out/2.mp4")
    rows = [{"path": "../out/1.mp4", "text": "one"}, {"path": str(tmp_path / "out/2.mp4"), "text": "two"}]
    place(folder, files={"list.json": json.dumps(rows)})
    assert len(read(folder, "table").left_out) == 2
    reading = read(folder, "table", follow=True)
    assert [row.name for row in reading.rows] == ["out/1.mp4", "out/2.mp4"]
    inside = [{"path": str(folder / "x/../a.mp4"), "text": "one"}]
    place(folder, "a.mp4", files={"list.json": json.dumps(inside)})
    (folder / "x").mkdir()
    assert captions(read(folder, "table")) == {"a.mp4": sentences("one")}


def test_the_chosen_column_is_said(tmp_path: Path, place: Place) -> None:
    table = 'file_name,title,caption,long_caption,tags,text_embedding\na.mp4,t,one,all of it,"x, y",0.1\n'
    reading = read(place(tmp_path, "a.mp4", files={"metadata.csv": table}), "videofolder")
    assert captions(reading) == {"a.mp4": {"sentence": ("one",), "paragraph": ("all of it",), "tags": ("x, y",)}}
    note, ignored = reading.notes
    assert "'caption' (level sentence)" in note and "'title' is not read" in note and "embedding" not in note
    assert ignored == "nothing is read from 'text_embedding'"


def test_columns_that_nothing_is_read_from_are_named_once(tmp_path: Path, place: Place) -> None:
    table = "file_name,text,consent,noai,fps,set\na.mp4,one,no,1,8,train\nb.mp4,two,yes,,8,test\n"
    reading = read(place(tmp_path, "a.mp4", "b.mp4", files={"metadata.csv": table}), "videofolder")
    assert [row.heldout for row in reading.rows] == [False, True]
    told = {note: places for note, places in reading.notes.items() if "nothing is read" in note}
    assert told == {"nothing is read from 'noai'": ["metadata.csv"]}
    assert [row.rights.consent for row in reading.rows] == ["no", "yes"]


@pytest.mark.parametrize(
    "columns",
    [
        {"start": 3, "end": 5},
        {"timestamp": [0, 2]},
        {"frame_idx": "0:49"},
        {"crop": [0, 64, 0, 64]},
        {"frames": [0, 49]},
        {"clip_range": [0.5, 2]},
    ],
)
def test_rows_of_parts_are_said(tmp_path: Path, place: Place, columns: dict[str, Any]) -> None:
    row = json.dumps({"file_name": "a.mp4", "caption": "one", **columns})
    reading = read(place(tmp_path, "a.mp4", files={"metadata.jsonl": row}), "videofolder")
    (note,) = reading.notes
    assert all(repr(name) in note for name in columns) and "each caption is taken for all of its file" in note


def test_a_key_that_is_there_twice_is_said(tmp_path: Path, place: Place) -> None:
    table = '{"a.mp4": "one", "b.mp4": "two", "a.mp4": "three"}'
    reading = read(place(tmp_path, "a.mp4", "b.mp4", files={"list.json": table}), "table")
    assert captions(reading)["a.mp4"] == sentences("three")
    assert "the keys ['a.mp4'] are there more than once in one object, and the last is read" in next(
        iter(reading.notes)
    )


def test_a_single_column_of_another_name_is_read_and_said(tmp_path: Path, place: Place) -> None:
    reading = read(
        place(tmp_path, "a.mp4", files={"metadata.csv": "file_name,blip_caption\na.mp4,one\n"}), "videofolder"
    )
    assert captions(reading) == {"a.mp4": sentences("one")}
    assert "'blip_caption' (level sentence)" in next(iter(reading.notes))


def test_doubtful_captions_are_noted(tmp_path: Path, place: Place) -> None:
    rows = "file_name,text\na.mp4,<p>one</p>\nb.mp4,https://host/a\nc.mp4,nan\n"
    reading = read(place(tmp_path, "a.mp4", "b.mp4", "c.mp4", files={"metadata.csv": rows}), "videofolder")
    assert len(reading.rows) == 3
    said = " ".join(reading.notes)
    assert "holds HTML" in said and "is an address" in said and "says nothing" in said


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.json", '[{"path": "v/a.mp4", "cap": ["one"]}, {"path": "v/b.mp4", "cap": ["two"]}]'),
        (
            "list.json",
            '{"clips": [{"media_path": "v/a.mp4", "caption": "one"}, {"media_path": "v/b.mp4", "text": "two"}]}',
        ),
        ("list.json", '{"v/a.mp4": "one", "v/b.mp4": {"caption": "two"}}'),
        ("list.json", '{"video": "v/a.mp4", "prompt": "one"}\n{"video": "v/b.mp4", "prompt": "two"}\n'),
        ("train.jsonl", '{"video_path": "v/a.mp4", "caption": "one"}\n{"file": "v/b.mp4", "caption": "two"}'),
        ("open.csv", "path,text,num_frames\nv/a.mp4,one,4\nv/b.mp4,two,4\n"),
        ("open.tsv", "path\ttext\nv/a.mp4\tone\nv/b.mp4\ttwo\n"),
    ],
)
def test_tables_of_other_names(tmp_path: Path, place: Place, name: str, text: str) -> None:
    reading = read(place(tmp_path, "v/a.mp4", "v/b.mp4", files={name: text}), "table")
    assert captions(reading) == {"v/a.mp4": sentences("one"), "v/b.mp4": sentences("two")}
    assert not reading.left_out


def test_names_alone_are_found_in_the_folder_of_videos(tmp_path: Path, place: Place) -> None:
    reading = read(place(tmp_path, "video/a.mp4", files={"open.csv": "video,caption\na.mp4,one\n"}), "table")
    assert captions(reading) == {"video/a.mp4": sentences("one")}
    assert "its files are found in video/" in reading.notes


def test_names_in_any_script_and_either_code_of_a_letter(tmp_path: Path, place: Place) -> None:
    names = ["\u65e5\u672c.mp4", "caf\u00e9.mp4", "\u0434\u043e\u043c \U0001f600.mp4"]
    rows = [{"file_name": name.replace("\u00e9", "e\u0301"), "text": "one"} for name in names]
    text = "\n".join(json.dumps(row) for row in rows)
    reading = read(place(tmp_path, *names, files={"metadata.jsonl": text}), "videofolder")
    assert sorted(captions(reading)) == sorted(names) and not reading.left_out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"file_name": "a.mp4", "text": ', "not readable as JSON"),
        ("[1, 2]", "no JSON object"),
        ('{"file_name": "a.mp4", "text": 5}', "where a text or a list of texts is expected"),
        ('{"text": "one"}', "no file is named"),
        ('{"file_name": ["a.mp4"], "text": "one"}', "no file is named"),
        ('{"file_name": "a\\u0000.mp4", "text": "one"}', "zero byte"),
        ('{"file_name": "a.mp4", "text": NaN}', "has no caption"),
    ],
)
def test_lines_of_json_that_are_no_rows(tmp_path: Path, place: Place, line: str, words: str) -> None:
    text = f'{line}\n{{"file_name": "b.mp4", "text": "two"}}'
    reading = read(place(tmp_path, "a.mp4", "b.mp4", files={"metadata.jsonl": text}), "videofolder")
    assert captions(reading) == {"b.mp4": sentences("two")}
    assert words in left_out(reading)["metadata.jsonl, line 1"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("metadata.csv", "a.mp4,one\n", "no column of files"),
        ("metadata.csv", b"file_name,text\n\0\0\0\x81\x8d", "no text"),
        ("list.json", '[{"path": "a.mp4"', "not readable as JSON"),
        ("metadata.parquet", b"PAR1", "Parquet needs pyarrow"),
    ],
)
def test_tables_that_cannot_be_read(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch, name: str, text: str | bytes, words: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    _, reading = read_layout(place(tmp_path, "a.mp4", files={name: text}))
    assert not reading.rows and reading.uncertain
    assert words in left_out(reading)[name]


def test_parquet_is_read_where_its_library_is_there(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"video": {"path": "a.mp4", "bytes": None}, "caption": "one"}]
    table = SimpleNamespace(to_pylist=lambda: rows)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "pyarrow", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", SimpleNamespace(read_table=lambda path: table))
    reading = read(place(tmp_path, "a.mp4", files={"metadata.parquet": b"PAR1"}), "videofolder")
    assert captions(reading) == {"a.mp4": sentences("one")}


def test_pairs(tmp_path: Path, place: Place) -> None:
    files = {
        "a.txt": "one\n",
        "x/b.caption": "two",
        "c.txt": "caf\u00e9".encode("cp1252"),
        "d.txt": "  ",
        "lone.txt": "x",
        "README.txt": "x",
        "bad.txt": b"\0\0\0\x81",
    }
    names = ("a.mp4", "x/b.mov", "c.png", "d.mp4", "e.mp4", "bad.mp4")
    reading = read(place(tmp_path, *names, files=files), "pairs")
    assert captions(reading) == {
        "a.mp4": sentences("one"),
        "x/b.mov": sentences("two"),
        "c.png": sentences("caf\u00e9"),
    }
    found = left_out(reading)
    assert "holds zero bytes" in found.pop("bad.mp4")
    assert found == {
        "d.mp4": "no caption",
        "e.mp4": "no caption",
        "lone.txt": "a text beside no clip of its name",
    }
    assert any("Windows-1252" in note for note in reading.notes)


def test_captions_and_videos_in_two_folders(tmp_path: Path, place: Place) -> None:
    files = {"set/captions/1.txt": "one", "set/captions/x/2.txt": "two"}
    reading = read(place(tmp_path, "set/videos/1.mp4", "set/videos/x/2.mp4", files=files), "pairs")
    assert captions(reading) == {"set/videos/1.mp4": sentences("one"), "set/videos/x/2.mp4": sentences("two")}
    assert not reading.left_out


def test_a_caption_of_two_clips_is_noted(tmp_path: Path, place: Place) -> None:
    reading = read(place(tmp_path, "a.mp4", "a.png", files={"a.txt": "one"}), "pairs")
    assert len(reading.rows) == 2
    assert reading.notes == {"has the name of several clips, and is read as the caption of each": ["a.txt"]}


@pytest.mark.parametrize(("texts", "media"), [("captions.txt", "videos.txt"), ("prompt.txt", "video.txt")])
def test_lists_of_lines(tmp_path: Path, place: Place, texts: str, media: str) -> None:
    files = {texts: "one\r\n\r\ntwo\u2028more\r\n", media: "videos/1.mp4\nvideos/2.mp4\nvideos/3.mp4\n\n"}
    reading = read(place(tmp_path, *(f"videos/{n}.mp4" for n in (1, 2, 3)), files=files), "lines")
    assert captions(reading) == {"videos/1.mp4": sentences("one"), "videos/3.mp4": sentences("two more")}
    assert left_out(reading) == {f"{media}, line 2": "videos/2.mp4 has no caption"}


def test_lists_of_different_lengths_are_refused(tmp_path: Path, place: Place) -> None:
    place(tmp_path, "1.mp4", files={"captions.txt": "one\ntwo\n", "videos.txt": "1.mp4\n"})
    with pytest.raises(UsageError, match=r"has 1 lines and .* has 2"):
        read_layout(tmp_path)


def test_the_order_of_files_is_not_guessed(tmp_path: Path, place: Place) -> None:
    place(tmp_path, "1.mp4", "2.mp4", files={"captions.txt": "one\ntwo\n"})
    with pytest.raises(UsageError, match=r"captions\.txt and no videos\.txt.*which clip"):
        read_layout(tmp_path)


def test_musubi(tmp_path: Path, place: Place) -> None:
    toml = """
[general]
caption_extension = ".txt"
[[datasets]]
video_directory = "v"
[[datasets]]
image_directory = 'i'
caption_extension = ".cap"
[[datasets]]
video_jsonl_file = "more.jsonl"
cache_directory = "cache"
[[datasets]]
video_directory = "/somewhere/else"
[[datasets]]
video_directory = "gone"
[[datasets.subsets]]
image_dir = "s"
class_tokens = "sks"
[[datasets]]
"""
    files = {"v/1.txt": "one", "i/2.cap": "two", "s/4.txt": "four", "d.toml": toml}
    files["more.jsonl"] = '{"video_path": "m/3.mp4", "caption": "three"}'
    reading = read(place(tmp_path, "v/1.mp4", "i/2.png", "m/3.mp4", "s/4.png", "v/5.mp4", files=files), "kohya")
    assert captions(reading) == {
        "v/1.mp4": sentences("one"),
        "i/2.png": sentences("two"),
        "m/3.mp4": sentences("three"),
        "s/4.png": sentences("four"),
    }
    found = left_out(reading)
    assert found.pop("v/5.mp4") == "no caption"
    assert sorted(reason.split(" (")[0] for reason in found.values()) == [
        "/somewhere/else leads out of the folder, and is followed with --follow-paths alone",
        "gone is missing",
        "names no data",
    ]
    assert reading.notes["class_tokens is not read"]


def test_unreadable_settings_are_refused(tmp_path: Path, place: Place) -> None:
    place(tmp_path, "v/1.mp4", files={"d.toml": "[[datasets]\nvideo_directory = 1\n"})
    with pytest.raises(UsageError, match="not readable as TOML"):
        read_layout(tmp_path)


def test_finetrainers(tmp_path: Path, place: Place) -> None:
    roots = ["one", "two", "someone/on-the-hub", "../out"]
    files = {
        "training.json": json.dumps({"datasets": [{"data_root": root, "id_token": "afkx"} for root in roots]}),
        "one/prompts.txt": "one",
        "one/videos.txt": "1.mp4",
        "two/metadata.csv": "file_name,caption\n2.mp4,two\n",
    }
    reading = read(place(tmp_path, "one/1.mp4", "two/2.mp4", files=files), "finetrainers")
    assert captions(reading) == {"one/1.mp4": sentences("one"), "two/2.mp4": sentences("two")}
    assert "download it first" in left_out(reading)["training.json, dataset 3"]
    assert "leads out" in left_out(reading)["training.json, dataset 4"]
    assert "id_token is not read" in reading.notes
    assert "one is read as lines" in reading.notes


def add_member(shard: tarfile.TarFile, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, "/etc/passwd" if kind != tarfile.REGTYPE else ""
    shard.addfile(info, io.BytesIO(data))


def test_shards(tmp_path: Path, clip: Path) -> None:
    data = clip.read_bytes()
    with tarfile.open(tmp_path / "00.tar", "w") as shard:
        add_member(shard, "./a.mp4", data)
        add_member(shard, "./a.txt", b"one")
        add_member(shard, "x/b.mp4", data)
        add_member(shard, "x/b.json", b'{"caption": "two", "long_caption": "two more"}')
        add_member(shard, "c.mp4", data)
        add_member(shard, "../../d.mp4", data)
        add_member(shard, "/e.mp4", data)
        add_member(shard, "f.mp4", kind=tarfile.SYMTYPE)
        add_member(shard, "g.mp4", kind=tarfile.LNKTYPE)
        add_member(shard, "h.mp4", kind=tarfile.CHRTYPE)
        add_member(shard, "i.mp4", data)
        add_member(shard, "i.json", b"{")
        add_member(shard, "j.txt", b"alone")
        add_member(shard, "a.txt", b"twice")
        add_member(shard, "k.mp4")
        add_member(shard, "k.txt", b"k")
    (tmp_path / "01.tar.gz").write_bytes(b"x")
    (tmp_path / "02.tar").write_bytes(b"x" * 600)
    reading = read(tmp_path, "webdataset")
    assert captions(reading) == {
        "00.tar/a.mp4": sentences("one"),
        "00.tar/x/b.mp4": {"sentence": ("two",), "paragraph": ("two more",)},
    }
    assert [row.name for row in reading.rows] == ["00/a.mp4", "00/x/b.mp4"]
    found = left_out(reading)
    assert found["00.tar/c.mp4"] == "no caption"
    assert found["00.tar/../../d.mp4"] == found["00.tar//e.mp4"] == "its name leads out of the shard"
    assert found["00.tar/f.mp4"] == found["00.tar/g.mp4"] == "a link"
    assert found["00.tar/h.mp4"] == "no regular file"
    assert "not readable as JSON" in found["00.tar/i.json"]
    assert found["00.tar/j.txt"] == "a key without a video or picture"
    assert "twice" in found["00.tar/a.txt"]
    assert found["00.tar/k.mp4"] == "is empty"
    assert "gunzip" in found["01.tar.gz"] and "not readable" in found["02.tar"]


def test_clips_of_one_key_have_their_own_texts(tmp_path: Path, clip: Path) -> None:
    """A key ends at the first point of a name, but film.0001.txt is the text of film.0001.mp4 alone."""
    data = clip.read_bytes()
    with tarfile.open(tmp_path / "00.tar", "w") as shard:
        for number in range(3):
            add_member(shard, f"film.{number:04}.mp4", data)
            add_member(shard, f"film.{number:04}.txt", f"text {number}".encode())
        for member in ("a.low.mp4", "a.high.mp4"):
            add_member(shard, member, data)
        add_member(shard, "a.txt", b"of both")
        add_member(shard, "b.mp4", data)
        add_member(shard, "b.caption.txt", b"of b")
    texts = {f"film.{number:04}.mp4": f"text {number}" for number in range(3)}
    texts |= {"a.low.mp4": "of both", "a.high.mp4": "of both", "b.mp4": "of b"}
    assert captions(read(tmp_path, "webdataset")) == {f"00.tar/{name}": sentences(text) for name, text in texts.items()}


def test_curated_datasets_are_not_imported(tmp_path: Path, place: Place) -> None:
    place(tmp_path, "mine/train/a.mp4", files={"mine/curation.json": "{}", "mine/train/a.txt": "one"})
    with pytest.raises(UsageError, match="is a dataset that `chronotope curate` made"):
        read_layout(tmp_path / "mine")


@pytest.mark.parametrize("damage", ["cut", "header"])
def test_damaged_shards_are_said(tmp_path: Path, clip: Path, damage: str) -> None:
    path = tmp_path / "00.tar"
    with tarfile.open(path, "w") as shard:
        for key in "ab":
            add_member(shard, f"{key}.txt", b"one")
            add_member(shard, f"{key}.mp4", clip.read_bytes())
    with tarfile.open(path) as shard:
        second = shard.getmembers()[2]
    with path.open("r+b") as file:
        if damage == "cut":
            file.truncate(second.offset_data + 2048)
        else:
            file.seek(second.offset)
            file.write(b"?" * 512)
    reading = read(tmp_path, "webdataset")
    assert captions(reading) == {"00.tar/a.mp4": sentences("one")}
    assert reading.uncertain or "cut off" in left_out(reading)["00.tar/b.mp4"]


def test_the_first_layout_is_read_and_others_are_said(tmp_path: Path, place: Place) -> None:
    files = {"metadata.csv": "file_name,text\na.mp4,one\n", "a.txt": "two", "more.csv": "path,text\na.mp4,three\n"}
    reading = read(place(tmp_path, "a.mp4", files=files), "videofolder")
    assert "--layout table or --layout pairs would fit, too" in next(iter(reading.notes))
    for layout, text in (("table", "three"), ("pairs", "two")):
        assert captions(read_layout(tmp_path, layout)[1]) == {"a.mp4": sentences(text)}
    with pytest.raises(UsageError, match=r"not the layout lines \(captions\.txt.*has the layout videofolder"):
        read_layout(tmp_path, "lines")


def test_wrong_folders_are_refused(tmp_path: Path, place: Place) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        read_layout(tmp_path / "missing")
    place(tmp_path, "a.mp4")
    with pytest.raises(UsageError, match="is a file"):
        read_layout(tmp_path / "a.mp4")
    with pytest.raises(UsageError, match="no captions in a known layout"):
        read_layout(tmp_path)


def test_pipes_and_linked_folders_are_left_out(tmp_path: Path, place: Place) -> None:
    folder = place(tmp_path / "d", "a.mp4", "../other/b.mp4", files={"a.txt": "one", "p.txt": "x"})
    os.mkfifo(folder / "p.mp4")
    (folder / "linked").symlink_to(tmp_path / "other")
    found = left_out(read(folder, "pairs"))
    assert found == {"p.txt": "p.mp4 is no regular file", "linked": "a link to a folder, which is not searched"}
