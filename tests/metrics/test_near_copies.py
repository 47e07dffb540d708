"""Distances to the nearest clip: against the definition written out, and on copies of parts of clips."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from chronotope.media import video
from chronotope.metrics.near_copies import (
    MOMENTS,
    RATE,
    SIDE,
    Moments,
    best_alignment,
    moments_of,
    nearest,
    part_distances,
    reduced,
    signature,
)


def moving(seed: int, num_frames: int, fps: float) -> np.ndarray:
    """A disc on the move over a textured ground, in 96 x 64 pixels, the same at every frame rate."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.integers(0, 255, (4, 6, 3), np.uint8), (96, 64), interpolation=cv2.INTER_CUBIC)
    speed, start, colour = rng.uniform(-20, 20, 2), rng.uniform(20, 50, 2), rng.integers(0, 255, 3).tolist()
    frames = np.repeat(ground[None], num_frames, axis=0)
    for number, frame in enumerate(frames):
        x, y = start + speed * number / fps
        cv2.circle(frame, (round(x), round(y)), 12, colour, -1)
    return frames


def rows_of(frames: np.ndarray) -> np.ndarray:
    return np.stack([reduced(frame) for frame in frames])


def test_signatures_do_not_ask_for_size_or_length() -> None:
    frames = np.zeros((9, 32, 48, 3), np.uint8)
    frames[:, :, 24:] = 200
    same = np.zeros((17, 64, 64, 3), np.uint8)
    same[:, :, 32:] = 200
    assert len(signature(frames)) == MOMENTS * SIDE * SIDE * 3 and (signature(frames) == signature(same)).all()
    assert (signature(frames[:1]) == signature(frames)).all()


def test_the_nearest_is_the_nearest() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(0, 256, (7, 60), np.uint8), rng.integers(0, 256, (50, 60), np.uint8)
    every = np.sqrt(((ours[:, None].astype(float) - theirs[None]) ** 2).mean(axis=2))
    place, distance = nearest(ours, theirs, block=8)
    assert (place == every.argmin(axis=1)).all() and distance == pytest.approx(every.min(axis=1), abs=1e-3)
    assert nearest(theirs, theirs)[1].max() == 0.0


@pytest.mark.parametrize("fps", [2.0, 4.0, 10.0, 24.0])
@pytest.mark.parametrize("most", [1, 3, MOMENTS])
def test_parts_are_compared_as_the_definition_says(fps: float, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronotope.metrics.near_copies.BLOCK", 10)
    rng = np.random.default_rng(1)
    clips = [rng.integers(0, 256, (count, 12), np.uint8) for count in (1, 3, 12, 9, 8, 2, 20)]
    videos = [rng.integers(0, 256, (count, 12), np.uint8) for count in (1, 5, 30)]
    found = part_distances(videos, fps, Moments(np.concatenate(clips), tuple(map(len, clips))), most)
    for video_rows, row in zip(videos, found, strict=True):
        assert row == pytest.approx([definition(video_rows, fps, clip, most) for clip in clips], abs=1e-3)


def definition(frames: np.ndarray, fps: float, clip: np.ndarray, most: int) -> float:
    """The least root mean square difference over all places of the longest part that fits in both."""
    length = min(most, int((len(frames) - 1) * RATE / fps + 1e-9) + 1, len(clip))
    steps = [int(number * fps / RATE + 0.5) for number in range(length)]
    found = []
    for begin in range(len(frames) - steps[-1]):
        for place in range(len(clip) - length + 1):
            pairs = ((frames[begin + step], clip[place + number]) for number, step in enumerate(steps))
            found.append(np.mean([(one.astype(float) - other) ** 2 for one, other in pairs]))
    return float(np.sqrt(min(found)))


def test_a_part_of_a_clip_is_found_at_another_size_and_rate(tmp_path: Path) -> None:
    clips = [rows_of(moving(seed, 120, 24.0)) for seed in range(6)]
    moments = [moments_of(clip, 24.0) for clip in clips]
    index = Moments(np.concatenate(moments), tuple(map(len, moments)))
    part = moving(3, 120, 24.0)[24:96:3]  # from 1 to 4 s, at 8 frames a second
    longer = np.concatenate([moving(9, 16, 8.0), part])  # after two seconds of something else
    small = np.stack([cv2.resize(frame, (48, 40), interpolation=cv2.INTER_AREA) for frame in longer])
    video.write(tmp_path / "copy.mp4", small, 8.0, crf=28)
    rows = rows_of(video.read(tmp_path / "copy.mp4").frames)
    distances = part_distances([rows], 8.0, index)[0]
    others = np.delete(distances, 3)
    assert distances.argmin() == 3 and distances[3] < 8 < 80 < others.min()
    begins = best_alignment(rows, 8.0, index.clip(3))
    assert begins[0] >= 2.0 and begins[1] - begins[0] == pytest.approx(1.0 - 2.0, abs=0.13)


def test_a_picture_is_found_in_a_clip_and_a_clip_beside_a_picture() -> None:
    clip, picture = rows_of(moving(1, 48, 24.0)), rows_of(moving(2, 1, 24.0))
    index = Moments(np.concatenate([moments_of(clip, 24.0), picture]), (len(moments_of(clip, 24.0)), 1))
    asked = (clip[30:31], picture, rows_of(moving(2, 24, 24.0)))
    distances = np.array([part_distances([rows], 24.0, index)[0] for rows in asked])
    same = np.array([[True, False], [False, True], [False, True]])
    assert (distances[same] == 0).all() and (distances[~same] > 80).all()
