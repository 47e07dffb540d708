"""Measures of frames against closed forms."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from chronotope.curate import scores
from chronotope.curate.fingerprints import (
    Fingerprinted,
    fingerprints,
    main_colour,
    near_duplicates,
    shrunk,
    within_borders,
)
from tests.curate.films import scene


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_motion_is_the_shift_of_a_texture(shift: int) -> None:
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.standard_normal((72, 120)), (0, 0), 3)
    texture = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    before, after = texture[:, 8:104], texture[:, 8 - shift : 104 - shift]
    assert scores.motion(before, after) == pytest.approx(shift / 96, rel=0.02)
    assert scores.motion(before, before) == 0.0


def test_light_and_contrast() -> None:
    half = np.zeros((10, 10), np.uint8)
    half[:5] = 255
    assert scores.brightness(half) == 0.5 and scores.contrast(half) == 0.5
    assert scores.brightness(np.full((4, 4), 51, np.uint8)) == pytest.approx(0.2)
    assert scores.contrast(np.full((4, 4), 51, np.uint8)) == 0.0


def test_blur_lowers_sharpness_and_a_change_of_contrast_does_not() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 255, (64, 64), np.uint8)
    soft = cv2.GaussianBlur(sharp, (0, 0), 2)
    faint = (100 + sharp // 4).astype(np.uint8)
    assert scores.sharpness(soft) < 0.3 * scores.sharpness(sharp)
    assert scores.sharpness(faint) == pytest.approx(scores.sharpness(sharp), rel=0.05)


def test_borders_are_measured_at_every_side() -> None:
    frame = np.zeros((100, 200), np.uint8)
    frame[10:80, 30:190] = 120
    assert scores.borders(frame) == (0.1, 0.2, 0.15, 0.05)
    assert scores.borders(np.zeros((10, 10), np.uint8)) == (0.0, 0.0, 0.0, 0.0)
    assert scores.borders(np.full((10, 10), 90, np.uint8)) == (0.0, 0.0, 0.0, 0.0)


def test_repeats() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(20, 200, (32, 32, 3), np.uint8)
    assert scores.repeats(frame, frame) and not scores.repeats(frame, frame + 1)


def fingerprinted(key: str, frames: list[np.ndarray], rank: float = 0.0) -> Fingerprinted:
    small = np.stack([shrunk(frame) for frame in frames])
    inside = within_borders(small, scores.borders(small.max(axis=(0, 3))))
    hashes = fingerprints(np.stack([scores.grey(each) for each in inside]))
    return Fingerprinted(key, hashes, (rank,), key, main_colour(small))


def variants(frames: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    height, width = frames[0].shape[:2]
    return {
        "smaller": [cv2.resize(frame, (width // 2, height // 2), interpolation=cv2.INTER_AREA) for frame in frames],
        "compressed": [cv2.imdecode(cv2.imencode(".jpg", frame, [1, 20])[1], 1) for frame in frames],
        "brighter": [np.clip(1.15 * frame + 5, 0, 255).astype(np.uint8) for frame in frames],
        "cropped": [frame[2 : height - 2, 3 : width - 3] for frame in frames],
        "mirrored": [frame[:, ::-1] for frame in frames],
        "letterboxed": [np.pad(frame, ((10, 10), (0, 0), (0, 0))) for frame in frames],
        "pillarboxed and mirrored": [np.pad(frame[:, ::-1], ((0, 0), (25, 25), (0, 0))) for frame in frames],
    }


def test_copies_are_found_and_others_are_not() -> None:
    rng = np.random.default_rng(3)
    originals = {f"{number:02d}": scene(rng, 25)[::6] for number in range(20)}
    clips = [fingerprinted(key, frames) for key, frames in originals.items()]
    assert near_duplicates(clips) == {}
    for key, frames in originals.items():
        for name, copy in variants(frames).items():
            found = near_duplicates([*clips, fingerprinted(f"copy {name}", copy, rank=1.0)])
            assert found == {f"copy {name}": key}, name


def test_the_hash_of_a_mirrored_picture_follows_from_the_hash() -> None:
    """Every second of the 16 bits of a row is inverted, but for coefficients near the median."""
    rng = np.random.default_rng(6)
    odd = int("aa" * 32, 16)
    for _ in range(10):
        small = scores.grey(shrunk(scene(rng, 1)[0]))
        one, mirrored = (int(fingerprints(each[None])[0], 16) for each in (small, np.ascontiguousarray(small[:, ::-1])))
        assert (one ^ mirrored ^ odd).bit_count() <= 24 < (one ^ mirrored).bit_count()


def test_what_lies_within_borders_is_the_picture_without_them() -> None:
    picture = shrunk(scene(np.random.default_rng(7), 1, 128, 128)[0])
    padded = shrunk(np.pad(cv2.resize(picture, (128, 96)), ((16, 16), (0, 0), (0, 0))))[None]
    borders = scores.borders(padded.max(axis=(0, 3)))
    assert borders == (0.125, 0.125, 0.0, 0.0)
    assert np.abs(within_borders(padded, borders)[0].astype(int) - picture).mean() < 4
    assert np.array_equal(within_borders(picture[None], (0.0,) * 4)[0], picture)


def test_events_before_the_same_background_are_no_copies() -> None:
    """The camera of a laboratory does not move, so its clips share nearly all pixels."""
    rng = np.random.default_rng(4)
    background = scene(rng, 1)[0]
    clips = []
    for number in range(12):
        colour = tuple(int(value) for value in rng.integers(0, 255, 3))
        start, end = rng.integers(10, 60, 2), rng.integers(10, 118, 2)
        frames = []
        for share in np.linspace(0, 1, 8):
            frame = background.copy()
            cv2.circle(frame, tuple(int(v) for v in (1 - share) * start + share * end), 8, colour, -1)
            frames.append(frame)
        clips.append(fingerprinted(str(number), frames))
    assert near_duplicates(clips) == {}


def test_parts_of_one_file_are_not_compared_and_the_better_clip_stays() -> None:
    rng = np.random.default_rng(5)
    frames = scene(rng, 25)[::6]
    first, second = fingerprinted("a", frames, rank=2.0), fingerprinted("b", frames, rank=1.0)
    assert near_duplicates([first, second]) == {"a": "b"}
    same = [Fingerprinted(clip.key, clip.hashes, clip.rank, "film.mp4", clip.colour) for clip in (first, second)]
    assert near_duplicates(same) == {}
    assert near_duplicates([Fingerprinted("flat", ()), first]) == {}
