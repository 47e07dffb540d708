"""Choosing captions."""

from __future__ import annotations

import numpy as np
import pytest

from chronotope.train.config import CaptionConfig
from chronotope.train.samples import choose_caption


@pytest.mark.parametrize("level", ["__class__", "dropout", "mine"])
def test_a_level_may_have_any_name(level: str) -> None:
    """Levels of the user's own have a share of 1, whatever the settings are called."""
    config = CaptionConfig(sentence=1.0, dropout=0.0)
    captions = {level: ["mine"], "sentence": ["a fox"]}
    drawn = [choose_caption(captions, config, np.random.default_rng(seed))[0].text for seed in range(400)]
    assert 150 < drawn.count("mine") < 250
