"""The detector: sizes, labels that are exact, flaws that keep picture and label together,
and a training that learns.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from chronotope.errors import FileProblem
from chronotope.worlds.stage.checks.detector import (
    CELL,
    KINDS,
    NOTHING,
    SHORT_SIDE,
    SOMETHING,
    Detector,
    load_detector,
    look,
    scaled,
    weights_folder,
)
from chronotope.worlds.stage.scope import SCOPES
from tools.degrade import add_blob, bend, soften, spoil
from tools.malform import Drawing, change, cut_out, lone_actor, malform, malformed
from tools.train_detector import gather, main, train_detector


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_the_kinds_are_the_cast_of_the_model() -> None:
    assert len(set(KINDS)) == len(KINDS)
    for scope in (SCOPES["small"], SCOPES["wide"]):
        assert set(scope.shapes) | set(scope.nouns) <= set(KINDS)


@pytest.mark.parametrize("size", [(64, 64), (64, 107), (96, 64), (70, 66)])
def test_every_cell_gets_a_distribution(size: tuple[int, int]) -> None:
    likely = look(Detector().eval(), noise(3, *size, 3), batch=2)
    assert likely.shape == (3, len(KINDS), -(-size[0] // CELL), -(-size[1] // CELL))
    assert likely.sum(axis=1) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("size", "expected"), [((64, 96), (64, 96)), ((48, 80), (64, 107)), ((256, 144), (114, 64)), ((32, 32), (64, 64))]
)
def test_frames_are_scaled_to_one_short_side(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert scaled(noise(2, *size, 3)).shape == (2, *expected, 3)
    assert min(expected) == SHORT_SIDE


def test_the_shipped_weights_are_small_and_say_what_they_are() -> None:
    assert (weights_folder() / "detector.safetensors").stat().st_size < 1_000_000
    about = json.loads((weights_folder() / "detector.json").read_text())
    assert {"kinds", "seed", "steps", "clips"} <= set(about)
    assert load_detector() is load_detector()


def test_a_probe_of_another_cast_is_refused(tmp_path: Path) -> None:
    (tmp_path / "detector.json").write_text('{"kinds": ["a cat"]}')
    with pytest.raises(FileProblem, match="another cast"):
        load_detector(tmp_path)


def test_weights_that_are_not_those_that_were_saved_are_refused(tmp_path: Path) -> None:
    weights = bytearray((weights_folder() / "detector.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "detector.safetensors").write_bytes(weights)
    shutil.copy(weights_folder() / "detector.json", tmp_path)
    with pytest.raises(FileProblem, match=r"detector\.safetensors is damaged"):
        load_detector(tmp_path)


def test_flaws_move_the_picture_and_its_labels_together() -> None:
    """A bright actor on a dark ground is still where its label says after every kind of bend."""
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 24:50] = 5
    frame = np.where(mask[..., None] > 0, 230, 20).astype(np.uint8).repeat(3, axis=2)
    rng = np.random.default_rng(0)
    for _ in range(20):
        bent, moved = bend(frame, mask, rng)
        assert np.mean((bent[..., 0] > 125) == (moved == 5)) > 0.97


def test_a_blob_is_something_and_nothing_else_changes() -> None:
    frame, mask = noise(64, 64, 3), np.full((64, 64), 3, np.uint8)
    blobbed, labels = add_blob(frame, mask, SOMETHING, np.random.default_rng(1))
    assert set(np.unique(labels)) == {SOMETHING, 3}
    assert not mask[mask != 3].size  # the originals are left alone
    far = labels == 3
    far &= (
        ~np.roll(~far, 4, axis=0) & ~np.roll(~far, -4, axis=0) & ~np.roll(~far, 4, axis=1) & ~np.roll(~far, -4, axis=1)
    )
    assert np.abs(blobbed[far].astype(int) - frame[far]).mean() < 3


def test_spoilt_examples_keep_their_form() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        frame, mask = spoil(noise(64, 80, 3), noise(64, 80, 3), np.zeros((64, 80), np.uint8), SOMETHING, rng)
        assert frame.shape == (64, 80, 3)
        assert frame.dtype == mask.dtype == np.uint8
    assert soften(noise(2, 64, 64, 3), 0).shape == (2, 64, 64, 3)


def test_labels_are_the_masks_of_the_stage() -> None:
    examples = gather(8, seed=3)
    assert len(examples) >= 8
    for example in examples:
        assert example.kinds.shape == example.frame.shape[:2]
        assert min(example.kinds.shape) == SHORT_SIDE
        assert example.kinds.max() < len(KINDS)
    assert any((example.kinds > SOMETHING).any() for example in examples)
    assert all((example.kinds == NOTHING).any() for example in examples)


def test_training_learns_and_repeats_itself() -> None:
    examples = gather(6, seed=3)
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        runs.append(list(train_detector(Detector(fine=16, coarse=16), examples, steps=40, seed=0, batch=4)))
    assert runs[0] == runs[1]
    assert np.mean(runs[0][-10:]) < 0.85 * np.mean(runs[0][:3])


def test_the_script_writes_a_probe_that_can_be_loaded(tmp_path: Path) -> None:
    main(["--clips", "3", "--steps", "1", "--out", str(tmp_path)])
    assert isinstance(load_detector(tmp_path), Detector)


# Malformed drawings


def drawn(kind: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a frame with a disc whose left half is red and right half blue, its backdrop and its mask."""
    y, x = np.mgrid[:64, :96]
    inside = (x - 48) ** 2 + (y - 32) ** 2 < 16**2
    behind = np.full((64, 96, 3), 40, np.uint8)
    colours = np.where((x < 48)[..., None], np.array([220, 30, 30]), np.array([30, 30, 220])).astype(np.uint8)
    return np.where(inside[..., None], colours, behind), behind, np.where(inside, kind, 0).astype(np.uint8)


def test_a_drawing_is_cut_out_whole_and_comes_back() -> None:
    frame, behind, mask = drawn()
    drawing = cut_out(frame, mask)
    assert np.array_equal(drawing.inside, mask > 0)
    assert drawing.box == (17, 48, 33, 64)
    assert change(drawing, drawing) == 0
    cover = drawing.cover[..., None]
    back = behind * (1 - cover) + drawing.colour * cover
    assert np.abs(back - frame)[cv2.erode((mask > 0).astype(np.uint8), np.ones((5, 5))) > 0].max() < 1
    gone = Drawing(drawing.colour, np.zeros_like(drawing.cover))
    assert change(drawing, gone) == 1


@pytest.mark.parametrize("seed", range(40))
def test_what_is_changed_much_is_something_and_lies_on_the_backdrop(seed: int) -> None:
    frame, behind, mask = drawn()
    rng = np.random.default_rng(seed)
    redrawn, kinds = malform(frame, behind, mask, [cut_out(frame, mask)], SOMETHING, rng)
    assert set(np.unique(kinds)) <= {0, 5} or set(np.unique(kinds)) <= {0, SOMETHING}
    outside = cv2.dilate((kinds > 0).astype(np.uint8), np.ones((9, 9))) == 0
    assert np.abs(redrawn[outside].astype(int) - behind[outside]).mean() < 1  # a warp leaves pale shreds
    before = cut_out(frame, mask)
    after = malformed(before, [], np.random.default_rng(seed))
    assert 0 <= change(before, after) <= 1


def test_most_malformations_of_a_drawing_are_something() -> None:
    frame, behind, mask = drawn()
    kinds = [malform(frame, behind, mask, [], SOMETHING, np.random.default_rng(seed))[1].max() for seed in range(200)]
    assert 0.6 < np.mean([kind == SOMETHING for kind in kinds]) < 5 / 6 + 0.06


def test_only_one_whole_actor_has_a_form() -> None:
    _, _, mask = drawn()
    assert lone_actor(mask) == 5
    assert lone_actor(np.roll(mask, 40, axis=1)) is None  # at the edge
    two = mask.copy()
    two[:4, 40:44] = 7
    assert lone_actor(two) is None
    assert lone_actor(np.where(np.mgrid[:64, :96][0] == 32, mask, 0).astype(np.uint8)) is None  # too small
