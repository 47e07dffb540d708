"""A training clip that is submitted as a video is detected, also blurred and recoded; a held-out true clip is not."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from chronotope.errors import UsageError
from chronotope.evaluate.memorisation import ClipSignatures, gather, memorisation, signatures_of
from chronotope.media import video
from chronotope.metrics.near_copies import nearest
from chronotope.worlds.write import DatasetRequest, write_dataset

TRAINING, HELD_OUT = "small:120:5", "small:240:6"  # other seeds are as unseen as the split, and sooner found


@pytest.fixture(scope="module")
def training() -> ClipSignatures:
    return signatures_of(gather(TRAINING))


@pytest.fixture(scope="module")
def baseline() -> ClipSignatures:
    return signatures_of(gather(HELD_OUT))


def test_copies_are_caught_and_held_out_truth_is_not(
    training: ClipSignatures, baseline: ClipSignatures, tmp_path: Path
) -> None:
    copies = []
    for name, frames in list(gather("small:40:5"))[::2]:
        soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 0.8) for frame in frames])
        if len(soft) > 1:
            video.write(tmp_path / "copy.mp4", soft, 8.0)
            soft = video.read(tmp_path / "copy.mp4").frames
        copies.append((name, soft))
    found = memorisation(signatures_of(copies), training, baseline)
    assert found["below"]["share"] >= 0.95 and all(
        row["video"] == row["clip"].replace("120", "40") for row in found["nearest"]
    )
    true = memorisation(signatures_of(gather("small:120:7")), training, baseline)
    assert found["copies"]["share"] >= 0.95 and true["copies"]["right"] == 0
    low, high = true["below"]["interval"]
    assert low <= 0.01 <= high < 0.08, true["below"]  # 1 % is expected
    assert found["median_percentile"] < 0.01 < 0.2 < true["median_percentile"] < 0.8


def test_a_baseline_that_shares_clips_with_the_training_hides_no_copy(
    training: ClipSignatures, baseline: ClipSignatures, tmp_path: Path
) -> None:
    """Two shared clips, one of them coded again, would set the first percentile to 0, below which nothing lies."""
    (_, one), (_, other) = [(name, frames) for name, frames in gather("small:8:5") if len(frames) > 1][:2]
    video.write(tmp_path / "coded.mp4", other, 8.0)
    mixed = [("one", one), ("coded", video.read(tmp_path / "coded.mp4").frames)]
    shared = signatures_of(mixed)
    names, rows = baseline.names + shared.names, np.concatenate([baseline.signatures, shared.signatures])
    notes: list[str] = []
    copies = signatures_of(mixed)
    found = memorisation(copies, training, ClipSignatures(names, rows), notes.append)
    assert found["copies"]["right"] == 2 and found["threshold"] == memorisation(copies, training, baseline)["threshold"]
    assert (found["baseline_clips"], found["baseline_left_out"]) == (240, 2)
    (note,) = notes
    assert note.startswith("2 of 242 baseline clips are training clips too") and "the first: one, which is 0.0" in note
    with pytest.raises(UsageError, match="all 2 baseline clips are training clips"):
        memorisation(copies, training, shared)


@pytest.mark.parametrize("count", [1, 99, 100])
def test_a_baseline_of_few_clips_is_said(count: int, training: ClipSignatures, baseline: ClipSignatures) -> None:
    notes: list[str] = []
    few = ClipSignatures(baseline.names[:count], baseline.signatures[:count])
    memorisation(few, training, few, notes.append)
    said = f"the baseline has {count} clip{'' if count == 1 else 's'} to compare with, too few for a first percentile"
    assert [note.startswith(said) for note in notes] == ([True] if count < 100 else [])


def test_the_stages_clips_are_those_of_the_folder(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", DatasetRequest("stage", "small", "train", 5, 6))
    folder, stage = signatures_of(gather(str(tmp_path / "data"))), signatures_of(gather("small:6:5"))
    assert nearest(folder.signatures, stage.signatures)[1].max() < 4.0  # but for the coding
    assert len(set(nearest(folder.signatures, stage.signatures)[0].tolist())) == 6
    write_dataset(tmp_path / "mixed", DatasetRequest("stage", "acts", "heldout", 31, 6, dissolves=0.5, pictures=0.6))
    mixed, same = (
        signatures_of(gather(str(tmp_path / "mixed"))),
        signatures_of(gather("acts:6:31:heldout:dissolves=0.5:pictures=0.6")),
    )
    assert nearest(mixed.signatures, same.signatures)[1].max() < 4.0
    kinds = [json.loads(path.read_text()) for path in (tmp_path / "mixed" / "0000").glob("*.json")]
    assert 0 < sum("dissolve" in kind for kind in kinds) < 6 and any((tmp_path / "mixed").rglob("*.png"))
    assert (
        nearest(mixed.signatures, signatures_of(gather("acts:6:31:heldout")).signatures)[1].max() > 10.0
    )  # without being told
    wrongs = (("nowhere", "no folder"), ("smal:6:5", "small"), ("small:6:5:trian", "train"), ("small:x:5", "such as"))
    for wrong, says in (*wrongs, ("small:6:5:dissolves=2", "no share"), ("small:6:5:disolves=0.5", "dissolves")):
        with pytest.raises(UsageError, match=says):
            next(gather(wrong))
