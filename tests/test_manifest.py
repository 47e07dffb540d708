"""Items are recognised by their content; a changed line of a manifest is noticed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.errors import FileProblem
from chronotope.manifest import described, identify, manifest_hash, read_manifest, seal
from chronotope.sealed import digest


def test_a_file_is_identified_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = identify(path, "a")
    assert (first.file, first.bytes, first.sha256) == ("a", 3, hashlib.sha256(b"one").hexdigest())
    assert identify(path, "a", first) == first
    times = path.stat()
    path.write_bytes(b"two")  # the same size
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # and the same time of modification
    assert identify(path, "a", first).sha256 == hashlib.sha256(b"two").hexdigest()
    with pytest.raises(FileProblem, match="cannot be read"):
        identify(tmp_path / "missing", "missing")


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = identify(path, "a")
    path.chmod(0)
    known = path.stat()
    stored = type(first)("a", first.sha256, 3, known.st_mtime_ns, known.st_ctime_ns)
    assert identify(path, "b", stored).sha256 == first.sha256  # without permission to read it


ROWS = st.dictionaries(
    st.text(max_size=8).filter(lambda name: name not in ("seal", "shard")),
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | st.lists(st.integers(0, 9), max_size=3),
)


@given(ROWS, ROWS)
def test_a_seal_holds_for_its_row_alone(tmp_path_factory: Any, row: dict[str, Any], other: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("manifest") / "rows.jsonl"
    moved = {**seal(row), "shard": 3}  # the place of the data may change
    path.write_text(json.dumps(seal(row)) + "\n" + json.dumps(moved) + "\n")
    assert read_manifest(path) == [seal(row), moved]
    if json.dumps(other, sort_keys=True) != json.dumps(row, sort_keys=True):
        path.write_text(json.dumps({**other, "seal": seal(row)["seal"]}))
        with pytest.raises(FileProblem, match=r"line 1, was changed or damaged"):
            read_manifest(path)


def test_the_same_items_have_the_same_manifest_on_another_disk(tmp_path: Path) -> None:
    """A copy, and another link to the file, change times and numbers; the data of a model would not be found again."""
    rows = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        (folder / "clip").write_bytes(b"one")
        os.utime(folder / "clip", ns=(0, 1 if folder.name == "a" else 2))
        rows.append(seal({"key": "clip", "source": described(identify(folder / "clip", "clip"))}))
    assert rows[0]["source"] != rows[1]["source"] and manifest_hash(rows[:1]) == manifest_hash(rows[1:])
    changed = {**rows[0], "source": {**rows[0]["source"], "sha256": "0"}}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(changed))
    with pytest.raises(FileProblem, match="was changed or damaged"):
        read_manifest(path)
    older = {name: value for name, value in rows[0].items() if name != "seal"}
    older |= {"seal": digest(older)[:16]}  # as versions before sealed them
    path.write_text(json.dumps(older))
    assert read_manifest(path) == [older]


def test_a_damaged_line_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    rows = [seal({"key": key}) for key in "abc"]
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps(row) for row in rows]
    for damaged in (lines[1].replace("b", "d", 1), "\0" * 20, "[" * 9999, lines[1][:9], "3"):
        path.write_text("\n".join([lines[0], damaged, lines[2]]) + "\n")
        with pytest.raises(FileProblem, match="line 2"):
            read_manifest(path)
        said: list[str] = []
        assert read_manifest(path, said.append) == [rows[0], rows[2]]
        assert len(said) == 1 and "line 2" in said[0]


def test_the_hash_of_a_manifest_notices_every_change() -> None:
    rows = [seal({"key": key}) for key in "abc"]
    hashes = {manifest_hash(found) for found in (rows, rows[:2], rows[::-1], [*rows, rows[0]], [])}
    assert len(hashes) == 5
