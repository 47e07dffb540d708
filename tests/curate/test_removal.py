"""What was taken out of a dataset stays out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from chronotope.curate.decide import Filters
from chronotope.curate.removal import remove_source
from chronotope.errors import FileProblem
from chronotope.manifest import read_curation
from chronotope.media import video
from tests.curate.films import film, run, small


def test_a_removed_clip_does_not_come_back_under_another_name(tmp_path: Path) -> None:
    folder, out = small(tmp_path / "f", 4), tmp_path / "out"
    run(folder, out)
    name = next(path.name for path in sorted((out / "train").glob("*.mp4")))
    remove_source(out, name)
    (folder / name).rename(folder / "other.mp4")
    assert run(folder, out).reasons == {"removed": 1}
    assert not list(out.rglob("other.mp4"))


@pytest.mark.parametrize("seconds", [0.4, 1.0, 60.0])
def test_what_was_taken_out_does_not_come_back_where_films_are_cut_otherwise(tmp_path: Path, seconds: float) -> None:
    folder, out = tmp_path / "f", tmp_path / "out"
    folder.mkdir()
    video.write(folder / "film0.mp4", np.stack(film(0, 3)[0]), 12)
    run(folder, out, Filters(heldout=0, max_seconds=0.7, min_seconds=0.1))
    rows = [row for row in read_curation(out)[1] if row["state"] == "kept"]
    remove_source(out, rows[1]["clip"])
    first, last = rows[1]["start"], rows[1]["start"] + rows[1]["seconds"]
    run(folder, out, Filters(heldout=0, max_seconds=seconds, min_seconds=0.1))
    kept = [row for row in read_curation(out)[1] if row["state"] == "kept"]
    assert kept and all(row["start"] + row["seconds"] < first + 0.1 or row["start"] > last - 0.1 for row in kept)


def test_what_was_taken_out_does_not_come_back_where_its_line_is_gone(tmp_path: Path) -> None:
    folder, out = small(tmp_path / "f", 5), tmp_path / "out"
    run(folder, out)
    for path in sorted((out / "train").glob("*.mp4"))[:2]:
        remove_source(out, path.name)
    listing = out / "removed.jsonl"
    lines = listing.read_text().splitlines(keepends=True)
    for less in (lines[:1], lines[1:], [], None):
        listing.unlink() if less is None else listing.write_text("".join(less))
        with pytest.raises(FileProblem, match=r"removed\.jsonl.*from a copy"):
            run(folder, out)
        listing.write_text("".join(lines))
    assert run(folder, out).reasons == {"removed": 2}


def test_a_note_on_captions_of_copies_names_no_removed_clip(tmp_path: Path) -> None:
    folder, out, notes = small(tmp_path / "f", 3), tmp_path / "out", list[str]()
    shutil.copy(folder / "c01.mp4", folder / "copy.mp4")
    for name in ("c01", "copy"):
        (folder / f"{name}.txt").write_text(f"words of {name}")
    run(folder, out, note=notes.append)
    files = {row["file"] for row in read_curation(out)[1] if row["state"] == "kept"}
    (kept,) = files & {"c01.mp4", "copy.mp4"}
    assert any("near-copies that are left out have other captions" in note for note in notes)
    remove_source(out, kept)
    notes.clear()
    run(folder, out, note=notes.append)
    assert not [note for note in notes if "near-copies" in note]
