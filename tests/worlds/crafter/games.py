"""Small games of Crafter that several tests share; they are skipped where Crafter is not installed."""

from __future__ import annotations

import functools

import pytest

from chronotope.worlds.case import Case
from chronotope.worlds.crafter.game import install_line
from chronotope.worlds.crafter.simulate import Episode, simulate
from chronotope.worlds.crafter.spec import CrafterSpec

NEEDS_CRAFTER = pytest.mark.skipif(bool(install_line()), reason=install_line() or "Crafter is installed")
AREA = 24  # a quarter of a second to make, without numba


def spec_of(seed: int = 4, start: int = 0, num_frames: int = 24, size: tuple[int, int] = (64, 64)) -> CrafterSpec:
    return CrafterSpec(*size, 8.0, num_frames, seed, start, area=AREA)


def case_of(spec: CrafterSpec) -> Case:
    return Case("crafter", spec, "", "sentence", "heldout", 0, 0, 0)


@functools.cache
def episode_of(seed: int = 4, start: int = 0, num_frames: int = 24) -> Episode:
    return simulate(spec_of(seed, start, num_frames))
