"""A dataset on disk: whole, resumable, and saying where it came from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from chronotope.config import from_dict
from chronotope.errors import FileProblem, UsageError
from chronotope.media import video
from chronotope.worlds.splits import spec_key
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.write import DatasetRequest, write_dataset


def test_a_dataset_holds_what_it_says(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_dataset(
        tmp_path,
        DatasetRequest("stage", "small", "train", 7, 12),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(i + 1, 12) for i in range(12)]
    about = json.loads((tmp_path / "dataset.json").read_text())
    assert (about["world"], about["scope"], about["split"], about["seed"], about["count"]) == (
        "stage",
        "small",
        "train",
        7,
        12,
    )
    assert "MIT" in about["licence"]
    records = sorted((tmp_path / "0000").glob("*.json"))
    assert len(records) == 12
    kinds = set()
    for path in records:
        record = json.loads(path.read_text())
        spec = from_dict(Spec, record["spec"])
        assert path.stem == spec_key(spec)[:16]
        assert record["captions"] == {level: list(texts) for level, texts in captions(spec).items()}
        clip = render(spec)
        assert (np.load(path.with_suffix(".masks.npz"))["masks"] == clip.masks).all()
        assert np.allclose(record["truth"]["x"], clip.truth.x, atol=1e-3)
        suffix = ".png" if spec.num_frames == 1 else ".mp4"
        kinds.add(suffix)
        frames = video.read(path.with_suffix(suffix)).frames if suffix == ".mp4" else _picture(path.with_suffix(suffix))
        assert frames.shape == clip.frames.shape
        error = np.abs(frames.astype(int) - clip.frames).mean()
        assert error == 0 if suffix == ".png" else error < 6
    assert kinds == {".png", ".mp4"}
    assert not list(tmp_path.rglob("*.part*"))


def _picture(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path))[None]


def test_writing_again_fills_the_gaps_only(tmp_path: Path) -> None:
    write_dataset(tmp_path, DatasetRequest("stage", "shapes", "train", 1, 4))
    records = sorted((tmp_path / "0000").glob("*.json"))
    lost, kept = records[0], records[1]
    stamp, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    write_dataset(tmp_path, DatasetRequest("stage", "shapes", "train", 1, 4))
    assert lost.read_bytes() == content and kept.stat().st_mtime_ns == stamp


def test_one_size_for_all(tmp_path: Path) -> None:
    write_dataset(tmp_path, DatasetRequest("stage", "shapes", "train", 1, 3, size=(40, 24)))
    for path in (tmp_path / "0000").glob("*.json"):
        spec = json.loads(path.read_text())["spec"]
        assert (spec["width"], spec["height"]) == (40, 24)


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'small'"):
        write_dataset(tmp_path, DatasetRequest("stage", "smal", "train", 0, 1))
    with pytest.raises(UsageError, match="count"):
        write_dataset(tmp_path, DatasetRequest("stage", "small", "train", 0, 0))
    (tmp_path / "file").write_text("")
    with pytest.raises(FileProblem, match="cannot be written"):
        write_dataset(tmp_path / "file", DatasetRequest("stage", "shapes", "train", 0, 1))
