"""Clips that are held out and trained on all the same, by the frames of the files that they show."""

from __future__ import annotations

from typing import Any

import pytest

from chronotope.train.overlap import num_shown, repeated_rows


def row(file: str, start: float, frames: int, fps: float = 8.0, slices: int = 4) -> dict[str, Any]:
    about: dict[str, Any] = {"slices": [slices] * (frames // slices), "fps": fps, "source": {"sha256": file}}
    return about | ({"start": start} if start else {})


@pytest.mark.parametrize(
    ("heldout", "trained", "count"),
    [
        (row("a", 0, 8), row("a", 0, 8), 1),
        (row("a", 0, 8), row("b", 0, 8), 0),
        (row("a", 0, 32), row("a", 2, 8), 1),  # a whole clip whose third second is trained on
        (row("a", 0, 8), row("a", 1, 8), 0),  # parts that follow each other
        (row("a", 1, 8), row("a", 0, 8), 0),
        (row("a", 0, 4, fps=4.0), row("a", 0.5, 8), 1),  # the same second at half of the rate
        ({**row("a", 0, 8), "source": None}, row("a", 0, 8), 0),  # of nobody knows what file
        ({**row("a", 0, 8), "sha256": "x"}, {**row("b", 0, 8), "sha256": "x"}, 1),  # the same pixels in another file
        ({**row("a", 0, 8), "sha256": "x"}, {**row("b", 0, 8), "sha256": "y"}, 0),
    ],
)
def test_clips_are_the_same_that_show_frames_of_one_file(
    heldout: dict[str, Any], trained: dict[str, Any], count: int
) -> None:
    assert num_shown([heldout], [trained]) == num_shown([trained], [heldout]) == count


def test_parts_of_a_long_film_are_found_wherever_they_lie() -> None:
    film = [row("film", second, 8) for second in range(5000)]
    assert repeated_rows((str(second), each) for second, each in enumerate(film)) == []
    assert num_shown([row("film", 4321.5, 4), row("film", 4999.9, 8), row("film", 5000, 8)], film) == 2
    assert num_shown([row("film", 0, 8 * 5000)], film) == num_shown(film[4999:], [row("film", 0, 8 * 5000)]) == 1


def test_each_clip_counts_once() -> None:
    rows = [row("a", start, 8) for start in (0, 1, 2)]
    assert num_shown(rows, [row("a", 0, 24), row("a", 0.5, 8)]) == 3
    (said,) = repeated_rows([("whole", row("a", 0, 24)), *((f"part {i}", each) for i, each in enumerate(rows))])
    assert said.startswith("note: 1 clip is in the data more than once, such as whole and part 0;")
    assert repeated_rows([(str(i), each) for i, each in enumerate(rows)]) == []
