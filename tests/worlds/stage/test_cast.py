"""Every noun has a packaged drawing that fills its box."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import pytest

from chronotope.errors import FileProblem
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.stage import sprites
from chronotope.worlds.stage.cast import CAST, SHAPES
from chronotope.worlds.stage.drawings import OWN


def test_the_cast_is_large_and_its_drawings_are_packaged() -> None:
    path = Path(sprites.__file__).with_name("cast.json.xz")
    data = json.loads(lzma.decompress(path.read_bytes()))
    assert len(CAST) >= 150 and path.stat().st_size < 500_000
    assert data["note"]["licence"] == "MIT"
    assert {noun.icon for noun in CAST.values()} == set(data["icons"]) | set(OWN)


def test_every_noun_has_a_cropped_sprite() -> None:
    for noun in CAST:
        sprite = sprites.sprite_master(noun, None, 64)
        assert 50 <= max(sprite.shape[:2]) <= 110, noun
        alpha = sprite[..., 3]
        for edge in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]):
            assert edge.max() > 0, noun
        assert (alpha > 128).mean() > 0.15, noun
        assert (sprite[..., :3].max(-1) <= alpha).all(), "premultiplied"


@pytest.mark.parametrize("noun", SHAPES)
def test_shapes_have_their_colour(noun: str) -> None:
    for colour, rgb in COLOURS.items():
        sprite = sprites.sprite_master(noun, colour, 128).astype(int)
        inside = sprite[sprite[..., 3] == 255][:, :3]
        assert np.abs(inside.mean(0) - rgb).max() < 40


def test_missing_drawings_raise_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sprites, "__file__", str(tmp_path / "cast.py"))
    sprites._cast_file.cache_clear()
    sprites.sprite_master.cache_clear()
    try:
        with pytest.raises(FileProblem, match="drawings of the cast"):
            sprites.sprite_master("dog", None, 128)
        assert sprites.sprite_master("circle", "red", 128).any()  # a world of shapes needs no drawings
    finally:
        sprites._cast_file.cache_clear()
        sprites.sprite_master.cache_clear()
