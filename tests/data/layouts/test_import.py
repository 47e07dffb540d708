"""An import writes a plain dataset, keeps what was edited, and accounts for what is new, changed and gone."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from chronotope.data.captions import read_captions
from chronotope.data.clips import scan_folder
from chronotope.data.exports.dataset import read_dataset
from chronotope.data.exports.shards import export_shards
from chronotope.data.layouts.record import IMPORTED, Names
from chronotope.data.layouts.write import Imported, import_dataset
from chronotope.errors import UsageError
from chronotope.manifest import read_manifest
from tests.cli.models import run

Place = Callable[..., Path]


@pytest.fixture
def source(tmp_path: Path, place: Place) -> Path:
    return place(tmp_path / "in", "a.mp4", "x/b.mp4", files={"a.txt": "one", "x/b.txt": "two"})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def texts(out: Path) -> dict[str, tuple[str, ...]]:
    return {clip.file: read_captions(clip.path).get("sentence", ()) for clip in scan_folder(out).clips}


def notes(imported: Imported) -> str:
    return "\n".join(imported.notes)


def test_a_plain_dataset_is_written(source: Path, out: Path) -> None:
    found = import_dataset(source, out)
    assert found.in_words() == "2 clips: 2 new"
    assert texts(out) == {"a.mp4": ("one",), "x/b.mp4": ("two",)}
    assert os.path.samefile(source / "a.mp4", out / "a.mp4")
    assert json.loads((out / "a.json").read_text()) == {"captions": {"sentence": ["one"]}}
    rows = read_manifest(out / IMPORTED)
    assert [row["key"] for row in rows] == ["a.mp4", "x/b.mp4"]
    assert rows[0]["captions"]["from"] == ["a.txt"] and rows[0]["source"]["file"] == "a.mp4"
    assert not scan_folder(out).left_out
    assert {path.name for path in out.rglob("*") if path.is_file()} == {
        "a.mp4", "a.json", "b.mp4", "b.json", IMPORTED,
    }  # fmt: skip


def test_copies_on_request_and_where_links_fail(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_dataset(source, tmp_path / "copied", copy=True)
    assert not os.path.samefile(source / "a.mp4", tmp_path / "copied" / "a.mp4")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    import_dataset(source, tmp_path / "other")
    assert (tmp_path / "other" / "a.mp4").read_bytes() == (source / "a.mp4").read_bytes()
    assert import_dataset(source, tmp_path / "other").in_words() == "2 clips: nothing has changed"


@pytest.mark.parametrize("copy", [False, True])
def test_the_same_command_again_changes_nothing(source: Path, out: Path, copy: bool) -> None:
    import_dataset(source, out, copy=copy)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert import_dataset(source, out, copy=copy).in_words() == "2 clips: nothing has changed"
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_new_changed_and_gone(source: Path, out: Path, place: Place, copy: bool, in_place: bool) -> None:
    import_dataset(source, out, copy=copy)
    place(source, "c.mp4", files={"c.txt": "three"})
    if not in_place:
        (source / "a.mp4").unlink()
    with (source / "a.mp4").open("ab" if in_place else "wb") as file:
        file.write(b"another content")
    shutil.rmtree(source / "x")
    found = import_dataset(source, out, copy=copy)
    assert found.in_words() == "2 clips: 1 new, 1 changed, 1 gone"
    assert texts(out) == {"a.mp4": ("one",), "c.mp4": ("three",)}
    assert (out / "a.mp4").read_bytes().endswith(b"another content")
    assert not (out / "x").exists()
    assert "x/b.mp4: removed, because its row, its caption or its file is no longer there" in found.notes
    assert import_dataset(source, out, copy=copy).in_words() == "2 clips: nothing has changed"


def test_new_captions(source: Path, out: Path) -> None:
    import_dataset(source, out)
    (source / "a.txt").write_text("another")
    assert import_dataset(source, out).in_words() == "2 clips: 1 with new captions"
    assert texts(out)["a.mp4"] == ("another",)


def test_what_was_edited_stays(source: Path, out: Path) -> None:
    import_dataset(source, out, copy=True)
    (out / "a.json").write_text('{"caption": "mine"}')
    (out / "x/b.mp4").write_bytes(b"mine")
    (source / "a.txt").write_text("another")
    with (source / "x/b.mp4").open("ab") as file:
        file.write(b"another")
    found = import_dataset(source, out, copy=True)
    assert found.in_words() == "2 clips: nothing has changed"
    assert texts(out)["a.mp4"] == ("mine",) and (out / "x/b.mp4").read_bytes() == b"mine"
    assert "a.json: not written by this command, or edited since" in notes(found)
    assert "x/b.mp4: edited since it was imported" in notes(found)
    for name in ("a.mp4", "x/b.mp4"):
        (source / name).unlink()
    (source / "a.txt").unlink()
    (source / "x/b.txt").rename(source / "c.txt")
    shutil.copy(source / "../out/a.mp4", source / "c.mp4")
    found = import_dataset(source, out, copy=True)
    assert found.in_words() == "3 clips: 1 new"
    assert "it stays, because it was edited" in notes(found)
    assert (out / "a.mp4").exists() and (out / "x/b.mp4").exists()


def test_files_of_others_are_not_replaced(source: Path, out: Path) -> None:
    out.mkdir()
    (out / "a.mp4").write_bytes(b"mine")
    (out / "x").mkdir()
    (out / "x/b.json").write_text('{"caption": "mine"}')
    found = import_dataset(source, out)
    assert found.in_words() == "1 clip: 1 new, 1 left out"
    assert "exists with another content" in found.left_out[0].reason
    assert (out / "a.mp4").read_bytes() == b"mine" and texts(out)["x/b.mp4"] == ("mine",)
    assert "x/b.json: not written by this command" in notes(found)


def test_clips_of_others_in_the_folder_are_named(source: Path, out: Path) -> None:
    assert not any("not imported" in note for note in import_dataset(source, out).notes)
    (out / "sub").mkdir(exist_ok=True)
    (out / "sub" / "holiday.MOV").write_bytes(b"x")
    (out / "notes.txt").write_text("x")
    notes = import_dataset(source, out).notes
    assert [note for note in notes if "not imported" in note and note.startswith("sub/holiday.MOV: ")], notes


def test_what_cannot_be_read_now_is_not_gone(tmp_path: Path, out: Path, place: Place) -> None:
    folder = place(tmp_path / "in", "a.mp4", "b.mp4", files={"metadata.csv": "file_name,text\na.mp4,one\nb.mp4,two\n"})
    import_dataset(folder, out)
    (folder / "a.mp4").unlink()  # and not emptied in place, as the clip is a link to it
    (folder / "a.mp4").touch()
    found = import_dataset(folder, out)
    assert found.in_words() == "2 clips: 1 left out" and (out / "a.mp4").exists()
    assert "a.mp4: stays as it was, because its row or file cannot be read now" in found.notes
    (folder / "metadata.csv").write_text('file_name,text\na.mp4,"one\n')
    found = import_dataset(folder, out)
    assert found.gone == 0 and "some rows could not be read" in notes(found) and len(texts(out)) == 2


def test_shards_are_unpacked_and_recognised(tmp_path: Path, out: Path, place: Place) -> None:
    folder, made = tmp_path / "in", place(tmp_path / "made", "k.mp4", files={"k.txt": "one"})
    folder.mkdir()

    def pack() -> None:
        with tarfile.open(folder / "0.tar", "w") as shard:
            for file in sorted(made.iterdir()):
                shard.add(file, file.name)

    pack()
    assert import_dataset(folder, out).in_words() == "1 clip: 1 new"
    assert (out / "0/k.mp4").read_bytes() == (made / "k.mp4").read_bytes()
    assert import_dataset(folder, out).in_words() == "1 clip: nothing has changed"
    pack()
    assert import_dataset(folder, out).in_words() == "1 clip: nothing has changed"
    (made / "k.mp4").write_bytes(b"another content")
    pack()
    assert import_dataset(folder, out).in_words() == "1 clip: 1 changed"
    assert (out / "0/k.mp4").read_bytes() == b"another content"


def test_an_interrupted_import_is_taken_up(source: Path, out: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_dataset(source, out, copy=True, progress=interrupt)
    assert len(read_manifest(out / IMPORTED)) == 1
    assert import_dataset(source, out, copy=True).in_words() == "2 clips: 1 new"
    (out / IMPORTED).unlink()  # as where it was killed before the record was written
    assert import_dataset(source, out, copy=True).in_words() == "2 clips: 2 new"
    (out / IMPORTED).write_bytes((out / IMPORTED).read_bytes()[:-40])
    found = import_dataset(source, out, copy=True)
    assert "was changed or damaged" in notes(found) and found.in_words() == "2 clips: 1 new"
    assert len(read_manifest(out / IMPORTED)) == 2


def test_names_are_different_visible_and_short(tmp_path: Path, out: Path, place: Place) -> None:
    long = "\u65e5" * 82 + ".mp4"
    names = ["a.mp4", "A.png", "a.mp4.mov", "model.mp4", ".hidden/c.mp4", "..d.mp4", long]
    rows = "\n".join(json.dumps({"file_name": name, "text": name}) for name in names)
    folder = place(tmp_path / "in", *names, files={"metadata.jsonl": rows})
    found = import_dataset(folder, out)
    assert not found.left_out and "the name is another one in the new dataset" in notes(found)
    assert sorted(text for (text,) in texts(out).values()) == sorted(names)
    scanned = scan_folder(out)
    assert not scanned.left_out and not scanned.shared
    assert import_dataset(folder, out).in_words() == "7 clips: nothing has changed"


def test_a_name_never_climbs_or_repeats() -> None:
    names = Names()
    found = [names.new(name) for name in ("../../a.mp4", "/a.mp4", "a.mp4", "A.MP4", "a\udcff.mp4", "a.mp4")]
    assert len({name.casefold() for name in found}) == len(found)
    assert all(".." not in name.split("/") and not name.startswith("/") for name in found)
    [name.encode() for name in found]


@pytest.mark.parametrize("inside", ["in/out", "."])
def test_outputs_that_are_refused(source: Path, tmp_path: Path, inside: str) -> None:
    with pytest.raises(UsageError, match="give another --out"):
        import_dataset(source, tmp_path / inside)


def test_an_output_that_is_filled_otherwise_is_refused(source: Path, tmp_path: Path, out: Path, place: Place) -> None:
    import_dataset(source, out)
    other = place(tmp_path / "other", "a.mp4", files={"a.txt": "one"})
    with pytest.raises(UsageError, match=r"was imported from .*in as pairs"):
        import_dataset(other, out)
    (out / "latents.json").write_text("{}")
    with pytest.raises(UsageError, match=r"holds latents\.json"):
        import_dataset(source, out)


def test_the_command(source: Path, out: Path, place: Place) -> None:
    result = run("import", str(source), "--out", str(out))
    assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    assert f"{out}: 2 clips: 2 new" in result.stderr and "is read as pairs" in result.stderr
    place(source, "z.mp4")
    result = run("import", str(source), "--out", str(out))
    assert result.exit_code == 3 and "left out: z.mp4: no caption" in result.stderr
    assert run("import", str(source), "--out", str(out), "--layout", "lines").exit_code == 2
    assert run("import", str(source / "missing"), "--out", str(out)).exit_code == 2


def test_rights_of_rows_are_kept_and_exported(tmp_path: Path, place: Place) -> None:
    table = "file_name,text,license,owner\na.mp4,one,CC BY-NC 4.0,Jane\nb.mp4,two,,\n"
    place(tmp_path / "in", "a.mp4", "b.mp4", files={"metadata.csv": table, "tdmrep.json": "{}"})
    found = import_dataset(tmp_path / "in", tmp_path / "out")
    rows = {row["key"]: row.get("rights") for row in read_manifest(tmp_path / "out" / IMPORTED)}
    assert rows == {"a.mp4": {"licence": "CC-BY-NC-4.0", "holder": "Jane"}, "b.mp4": None}
    assert "the rights are those of 'license', 'owner' (in 1 row)" in notes(found)
    assert "the licences of 1 of 2 clips are kept in imported.jsonl: CC-BY-NC-4.0, Jane (1)" in notes(found)
    assert "tdmrep.json: may ask that no model is trained on clips here, and is not imported" in notes(found)
    before = read_dataset(tmp_path / "out")
    assert [dict(item.rights) for item in before.items] == [rows["a.mp4"], {}]
    changed = table.replace("Jane", "Bob")
    (tmp_path / "in" / "metadata.csv").write_text(changed)
    import_dataset(tmp_path / "in", tmp_path / "out")
    after = read_dataset(tmp_path / "out")
    assert after.items[0].rights["holder"] == "Bob" and after.identity != before.identity
    export_shards(after, tmp_path / "shards", 10**6)
    import_dataset(tmp_path / "shards", tmp_path / "back")
    assert read_dataset(tmp_path / "back").items[0].rights == {"licence": "CC-BY-NC-4.0", "holder": "Bob"}


def test_rows_of_one_clip_with_different_rights(tmp_path: Path, place: Place) -> None:
    table = "file_name,text,licence\na.mp4,one,MIT\na.mp4,two,CC0-1.0\n"
    place(tmp_path / "in", "a.mp4", files={"metadata.csv": table})
    found = import_dataset(tmp_path / "in", tmp_path / "out")
    assert "a.mp4: named by rows of different rights, of which the first count: MIT" in notes(found)
    assert read_manifest(tmp_path / "out" / IMPORTED)[0]["rights"] == {"licence": "MIT"}


@pytest.mark.parametrize("said", ["license: cc-by-nc-4.0", "license:\n- cc-by-nc-4.0", 'license: "cc-by-nc-4.0"  # so'])
def test_the_licence_of_a_card_is_that_of_clips_without_another(tmp_path: Path, place: Place, said: str) -> None:
    files = {
        "README.md": f"---\npretty_name: x\n{said}\n---\n# A set\nlicense: mit\n",
        "a.txt": "one",
        "b.json": '{"caption": "two", "license": "CC0-1.0"}',
    }
    place(tmp_path / "in", "a.mp4", "b.mp4", files=files)
    import_dataset(tmp_path / "in", tmp_path / "out")
    found = {row["key"]: row["rights"]["licence"] for row in read_manifest(tmp_path / "out" / IMPORTED)}
    assert found == {"a.mp4": "CC-BY-NC-4.0", "b.mp4": "CC0-1.0"}
    (tmp_path / "in" / "README.md").write_text("# A set\nlicense: mit\n")
    import_dataset(tmp_path / "in", tmp_path / "out")
    assert "rights" not in read_manifest(tmp_path / "out" / IMPORTED)[0]
