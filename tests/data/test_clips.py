"""Every file below a folder is a clip with its own key, or is named as left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chronotope.data.clips import find_clips, scan_folder
from chronotope.errors import FileProblem, UsageError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def keys(folder: Path) -> list[str]:
    return [clip.key for clip in find_clips(folder)]


def test_keys_are_paths_without_the_ending(tmp_path: Path) -> None:
    touch(tmp_path / "d", "b.mp4", "sub/a.png", "a.GIF", "film.part1.mp4", "my.party.mov")
    assert keys(tmp_path / "d") == ["d/a", "d/b", "d/film.part1", "d/my.party", "d/sub/a"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("IMG_1.mov", "IMG_1.mp4"), ["d/IMG_1.mov", "d/IMG_1.mp4"]),
        (("fox.mp4", "fox.png", "owl.png"), ["d/fox.mp4", "d/fox.png", "d/owl"]),
        (("a.mp4", "a.mp4.mov"), ["d/a", "d/a.mp4.mov"]),
        (("a.mp4", "a.png", "a.mp4.mov"), ["d/a.mp4", "d/a.mp4.mov", "d/a.png"]),
        (("a.mp4", "x/a.mp4"), ["d/a", "d/x/a"]),
    ],
)
def test_two_files_never_share_a_key(tmp_path: Path, names: tuple[str, ...], expected: list[str]) -> None:
    touch(tmp_path / "d", *names)
    assert sorted(keys(tmp_path / "d")) == expected


def test_subtitles_and_captions_of_two_clips_are_said(tmp_path: Path) -> None:
    folder = touch(tmp_path / "d", "a.mp4", "a.srt", "c.mp4", "c.mp4.mp4", "c.mp4.txt")
    found = scan_folder(folder)
    assert found.left_out == {"subtitles, which are not read (captions stand in NAME.txt or NAME.json)": ("a.srt",)}
    (note,) = found.notes_on_captions()
    assert note.endswith("c.mp4.txt that of c.mp4 and c.mp4.mp4; rename c.mp4.mp4 if it is not of that clip")


def test_the_key_does_not_depend_on_how_the_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "d", "a.mp4")
    monkeypatch.chdir(tmp_path / "d")
    assert keys(Path(".")) == keys(tmp_path / "d") == keys(Path("../d")) == ["d/a"]


def test_what_is_left_out_is_named_with_its_reason(tmp_path: Path) -> None:
    folder = touch(
        tmp_path / "d", "a.mp4", "a.txt", "a.json", "b.part.mp4", "c.mp4.part", ".thumbs/a.png", ".d.mp4", "e.raw", "f"
    )
    (folder / "linked").symlink_to(tmp_path)
    found = scan_folder(folder)
    assert [clip.file for clip in found.clips] == ["a.mp4"]
    assert found.left_out == {
        "hidden": (".d.mp4",),
        "a hidden folder": (".thumbs",),
        "still being written, by its name": ("b.part.mp4", "c.mp4.part"),
        "no video or picture by its ending": ("e.raw", "f"),
        "a link to a folder": ("linked",),
    }
    assert len(found.notes()) == 5 and all(str(folder) in note for note in found.notes())


def test_all_that_can_be_read_is_taken(tmp_path: Path) -> None:
    names = [f"{number}.{ending}" for number, ending in enumerate("ts wmv ogv 3gp bmp tif flv m2ts TIFF".split())]
    assert len(find_clips(touch(tmp_path, *names))) == len(names)


def test_a_folder_without_clips_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match=r"holds no videos or pictures.*left out, no video or picture.*notes\.doc"):
        find_clips(touch(tmp_path, "notes.doc"))
    with pytest.raises(FileProblem, match="not a folder"):
        find_clips(tmp_path / "missing")


def test_an_interrupted_dataset_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "d", "0000/a.mp4")
    about = tmp_path / "d" / "dataset.json"
    for place in (tmp_path, tmp_path / "d"):
        about.write_text(json.dumps({"world": "stage", "count": 9, "complete": False}))
        with pytest.raises(UsageError, match=r"interrupted.*9 clips"):
            find_clips(place)
        about.write_text(json.dumps({"world": "stage", "count": 9, "complete": True}))
        assert len(find_clips(place)) == 1


def test_a_dataset_that_was_killed_before_its_first_clip_is_interrupted(tmp_path: Path) -> None:
    """It says what to do, and not that it holds no clips."""
    (tmp_path / "dataset.json").write_text(json.dumps({"world": "stage", "count": 3, "complete": False}))
    (tmp_path / "manifest.jsonl").write_text("")
    with pytest.raises(UsageError, match=r"was interrupted; run the same `chronotope world` command"):
        scan_folder(tmp_path)


def test_texts_beside_no_clip_are_named(tmp_path: Path) -> None:
    for name in ("a.png", "a.txt", "b.PNG", "b.PNG.TXT", "c.txt", "sub/a.json", "dataset.json", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert scan_folder(tmp_path).left_out == {"a text beside no clip of its name": ("c.txt", "sub/a.json")}


def test_tables_of_captions_are_named(tmp_path: Path) -> None:
    """Other programs keep captions in one table; that it is not read must be said. Tables of this program are known."""
    for name in ("a.mp4", "metadata.jsonl", "captions.csv", "manifest.jsonl", "readme.md"):
        (tmp_path / name).write_bytes(b"x")
    found = scan_folder(tmp_path)
    (names,) = found.left_out.values()
    assert sorted(names) == ["captions.csv", "metadata.jsonl"]


def test_captions_of_two_clips_are_named(tmp_path: Path) -> None:
    found = scan_folder(
        touch(tmp_path / "d", "a.mp4", "a.png", "a.txt", "b.mp4", "b.txt", "c.mp4", "c.png", "c.mp4.txt")
    )
    assert found.shared == {"a.txt": ("a.mp4", "a.png")}
    (note,) = found.notes_on_captions()
    assert "1 caption file has the name of several clips each: a.txt that of a.mp4 and a.png; name it a.mp4.txt" in note
