"""Cuts are found where they are known to be, and nowhere else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from chronotope.curate.shots import CutFinder, equal_parts
from tests.curate.films import film, scene


@pytest.mark.parametrize("seed", range(6))
def test_known_cuts_are_found(seed: int) -> None:
    """Scenes of moving textures of 12 to 40 frames, one after the other."""
    frames, starts = film(seed, count=8)
    finder = CutFinder(fps=24)
    for frame in frames:
        finder.add(frame)
    assert [first for first, _ in finder.bounds()] == starts
    assert [last for _, last in finder.bounds()] == [*starts[1:], len(frames)]


def test_motion_light_and_a_pan_are_no_cuts() -> None:
    rng = np.random.default_rng(1)
    wide = scene(rng, 1, height=72, width=512)[0]
    pan = [wide[:, 4 * step : 4 * step + 128] for step in range(90)]
    dimmed = [(frame * (0.4 + 0.6 * step / 90)).astype(np.uint8) for step, frame in enumerate(pan)]
    for frames in (pan, dimmed, [pan[0]] * 40):
        finder = CutFinder(fps=24)
        for frame in frames:
            finder.add(np.ascontiguousarray(frame))
        assert finder.bounds() == [(0, len(frames))]


def test_a_fade_through_black_divides() -> None:
    rng = np.random.default_rng(2)
    before, after = scene(rng, 40), scene(rng, 40)
    out = [(frame * (1 - step / 9)).astype(np.uint8) for step, frame in enumerate(before[-10:])]
    back = [(frame * step / 9).astype(np.uint8) for step, frame in enumerate(after[:10])]
    black = [np.zeros_like(before[0])] * 6
    finder = CutFinder(fps=24)
    for frame in [*before[:-10], *out, *black, *back, *after[10:]]:
        finder.add(frame)
    shots = finder.bounds()
    assert shots[0][1] in range(30, 47) and shots[-1][0] in range(40, 57)  # the fade itself may be a shot, or none
    assert all(last - first >= 8 for first, last in shots)


@pytest.mark.parametrize(("start", "stop", "most"), [(0, 10, 10), (0, 11, 10), (5, 1000, 7), (3, 4, 100)])
def test_equal_parts(start: int, stop: int, most: int) -> None:
    parts = equal_parts(start, stop, most)
    lengths = [last - first for first, last in parts]
    assert parts[0][0] == start and parts[-1][1] == stop
    assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
    assert max(lengths) <= most and max(lengths) - min(lengths) <= 1
    assert len(parts) == -(-(stop - start) // most)
