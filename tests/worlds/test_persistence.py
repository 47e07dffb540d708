"""Runs of flags in time: what lasts a quarter of a second counts, from its first frame on."""

from __future__ import annotations

import numpy as np
import pytest

from chronotope.worlds.persistence import first_run, persistent_frames, steadily_seen


def flags(text: str) -> np.ndarray:
    return np.array([sign == "x" for sign in text], bool)


@pytest.mark.parametrize(
    ("seen", "fps", "first"),
    [
        ("..x.x.xx..", 8.0, 6),
        ("x.x.x.x", 8.0, None),
        ("..xxxxx.", 24.0, None),
        (".xxxxxx", 24.0, 1),
        ("x", 8.0, 0),
        (".", 8.0, None),
        ("", 8.0, None),
    ],
)
def test_the_first_run_that_lasts(seen: str, fps: float, first: int | None) -> None:
    assert first_run("OBJ-DIS", flags(seen), fps) == (None if first is None else ("OBJ-DIS", first))


def test_two_frames_at_least() -> None:
    assert [persistent_frames(fps) for fps in (1.0, 8.0, 24.0)] == [2, 2, 6]


@pytest.mark.parametrize(
    ("seen", "steady"),
    [
        ("xxxx......", True),
        ("......xxxx", True),
        ("...xxxx...", False),
        ("x..x..x..x", False),
        ("x.........", False),
        ("....", False),
    ],
)
def test_gone_or_late_is_seen_steadily_at_one_end(seen: str, steady: bool) -> None:
    assert steadily_seen(flags(seen), 2) == steady
