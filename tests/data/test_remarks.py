"""What encoding says of the clips: their split, and remarks on captions, one line a kind."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from chronotope.data.audit import audit_dataset, audit_latents
from chronotope.data.encode import encode_dataset
from chronotope.data.latents import read_header
from chronotope.geometry import Geometry
from chronotope.sealed import write_sealed
from chronotope.worlds.write import DatasetRequest, write_dataset
from tests.data.test_encode import autoencoder, save_clip


@pytest.mark.parametrize("split", ["train", "heldout", "combination"])
def test_latents_know_the_split_of_their_clips(split: Any, tmp_path: Path) -> None:
    """Training says what `audit_header` finds. Latents of older versions name no split, but may know their clips."""
    data, latents = tmp_path / "d", tmp_path / "lat"
    write_dataset(data, DatasetRequest("stage", "shapes", split, 1, 2))
    encode_dataset(data, latents, autoencoder(), Geometry())
    expected = [f"{latents} is of split {split}, whose clips are meant for evaluation, not for training"]
    expected = expected if split != "train" else []
    header = read_header(latents)
    assert header["splits"] == [split]
    old = {name: value for name, value in header.items() if name not in ("splits", "seal")}
    for about in (header, old, {**old, "splits": [split], "data": str(tmp_path / "moved")}):
        write_sealed(latents / "latents.json", about)
        found = [finding for finding in audit_latents(latents) if "of split" in finding.what]
        assert [finding.what for finding in found] == expected
        assert not any(finding.serious for finding in found)
    (latents / "latents.json").unlink()
    moved = {"data": str(tmp_path / "moved"), "data_from_here": "../moved"}
    write_sealed(latents / "latents.json", {**old, **moved})
    assert not any("of split" in finding.what for finding in audit_latents(latents))


def test_clips_copied_out_of_a_split_for_evaluation_are_said(tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    for split in ("train", "heldout", "combination"):
        write_dataset(tmp_path / split, DatasetRequest("stage", "shapes", split, 1, 2))  # type: ignore[arg-type]
        for file in (tmp_path / split / "0000").iterdir():
            shutil.copy(file, copied)
    notes: list[str] = []
    encode_dataset(copied, tmp_path / "latents", autoencoder(), Geometry(), note=notes.append)
    checked = "\n".join(finding.what for finding in audit_dataset(copied))
    for split in ("heldout", "combination"):
        assert f"its spec is of split {split}, whose clips are meant for evaluation" in "\n".join(notes)
        assert f"its spec is of split {split}, whose clips are meant for evaluation" in checked
    assert len(notes) == 2 and all("2 caption files (" in note for note in notes)
    notes.clear()
    encode_dataset(tmp_path / "heldout", tmp_path / "lat", autoencoder(), Geometry(), note=notes.append)
    assert not any("its spec" in note for note in notes)  # the dataset says so


def test_remarks_on_captions_are_one_line_a_kind_and_hide_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    for number in range(25):
        clip = save_clip(folder / f"{number:02}.png", frames=1, colour=number, caption="a blue ball")
        clip.with_suffix(".json").write_text('{"caption": "a red ball"}')
    (folder / "05.txt").write_text("a red ball")
    (folder / "07.json").write_text('{"title": "a"}')
    (folder / "08.json").write_text('{"title": "b"}')
    notes: list[str] = []
    encode_dataset(folder, tmp_path / "lat", autoencoder(), Geometry(), note=notes.append)
    both, unknown = notes
    assert both.startswith(f"{folder}: 22 caption files (00.txt, 01.txt, 02.txt, and 19 more): not used, because")
    assert unknown.startswith(f"{folder}: 2 caption files (07.json, 08.json): holds no caption ('title')")


def test_latents_copied_with_their_clips_are_compared_with_the_copy(tmp_path: Path) -> None:
    project, copy = tmp_path / "project", tmp_path / "copy"
    write_dataset(project / "clips", DatasetRequest("stage", "shapes", "train", 2, 2))
    encode_dataset(project / "clips", project / "latents", autoencoder(), Geometry())
    shutil.copytree(project, copy)
    next((copy / "clips").rglob("*.mp4")).unlink()
    wrong = [
        finding.what for finding in audit_latents(copy / "latents") if "not those that were encoded" in finding.what
    ]
    assert wrong == [f"the clips in {copy / 'clips'} are not those that were encoded: 1 gone"]
    assert not [finding for finding in audit_latents(project / "latents") if finding.serious]
