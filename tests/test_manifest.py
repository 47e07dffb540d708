"""Items are recognised by their content; a changed line of a manifest is noticed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.errors import FileProblem
from chronotope.manifest import identify, manifest_hash, seal, unsealed


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
def test_a_seal_holds_for_its_row_alone(row: dict[str, object], other: dict[str, object]) -> None:
    sealed = seal(row)
    assert unsealed(sealed, "row") == row
    assert unsealed({**sealed, "shard": 3}, "row") == {**row, "shard": 3}  # the place of the data may change
    if repr(other) != repr(row) and other != row:
        with pytest.raises(FileProblem, match=r"^row was changed or damaged"):
            unsealed({**other, "seal": sealed["seal"]}, "row")


def test_the_hash_of_a_manifest_notices_every_change() -> None:
    rows = [seal({"key": key}) for key in "abc"]
    hashes = {manifest_hash(found) for found in (rows, rows[:2], rows[::-1], [*rows, rows[0]], [])}
    assert len(hashes) == 5
