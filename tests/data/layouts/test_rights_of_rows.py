"""What rows of tables name of the rights in their clips is kept, and nothing false is said of their columns."""

from __future__ import annotations

from pathlib import Path

from chronotope.media.rights import Rights
from tests.data.layouts.test_layouts import Place, read


def test_a_column_that_is_empty_in_some_rows_is_read(tmp_path: Path, place: Place) -> None:
    table = "file_name,text,license\na.mp4,one,MIT\nb.mp4,two,\nc.mp4,three,n/a\n"
    reading = read(place(tmp_path, "a.mp4", "b.mp4", "c.mp4", files={"metadata.csv": table}), "videofolder")
    assert [row.rights.licence for row in reading.rows] == ["MIT", "", ""]
    assert not [note for note in reading.notes if "nothing is read" in note]


def test_a_consent_or_a_source_alone_is_kept_beside_the_licence_of_the_card(tmp_path: Path, place: Place) -> None:
    table = "file_name,text,consent,source\na.mp4,one,by letter,\nb.mp4,two,,https://example.org/b\n"
    files = {"metadata.csv": table, "README.md": "---\nlicense: cc-by-4.0\n---\n"}
    rows = read(place(tmp_path, "a.mp4", "b.mp4", files=files), "videofolder").rows
    assert [row.rights for row in rows] == [
        Rights("CC-BY-4.0", consent="by letter"),
        Rights("CC-BY-4.0", source="https://example.org/b"),
    ]
