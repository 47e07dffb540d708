"""Files appear complete or not at all, and errors name the file and the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronotope.errors import FileProblem
from chronotope.storage import (
    append_jsonl,
    atomic_file,
    read_json,
    read_jsonl,
    write_atomically,
    write_folder,
    write_json,
    write_jsonl,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_atomically(target, "old")
    with atomic_file(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
        assert ".part" in partial.name
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_an_interrupted_file_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write_atomically(target, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(target) as partial:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_an_interrupted_folder_leaves_the_old_one(tmp_path: Path) -> None:
    def interrupt(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    write_folder(tmp_path / "run", lambda folder: (folder / "whole").touch())
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "run", interrupt)
    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == ["whole"]
    write_folder(tmp_path / "run", lambda folder: (folder / "new").touch())
    assert names(tmp_path / "run") == ["new"]


def test_unwritable_paths_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "a.json", tmp_path / "file" / "a.json"):
        with pytest.raises(FileProblem, match=r"a\.json cannot be written"):
            write_json(path, {})
    assert names(tmp_path) == ["file"]


def test_json_round_trip_and_problems(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(FileProblem, match=r"a\.json is missing"):
        read_json(path)
    write_json(path, {"b": [1, None]})
    assert read_json(path) == {"b": [1, None]}
    path.write_text("{")
    with pytest.raises(FileProblem, match=r"a\.json is not readable JSON"):
        read_json(path)


def test_json_lines_round_trip_and_problems(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(FileProblem, match=r"a\.jsonl is missing"):
        read_jsonl(path)
    append_jsonl(path, {"a": 1})
    append_jsonl(path, {"a": 2}, {"a": 3})
    assert read_jsonl(path) == [{"a": 1}, {"a": 2}, {"a": 3}]
    write_jsonl(path, ({"a": number} for number in (4, 5)))
    assert read_jsonl(path) == [{"a": 4}, {"a": 5}]
    path.write_text(path.read_text() + '{"a":')
    with pytest.raises(FileProblem, match=r"a\.jsonl, line 3, is not JSON"):
        read_jsonl(path)
