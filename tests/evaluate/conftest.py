"""A whole untrained system, small enough for every benchmark to run in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from chronotope import checkpoint
from chronotope.caption.subwords import learn_vocabulary
from chronotope.config import to_dict
from chronotope.data.latents import fingerprint
from chronotope.flow.path import FlowConfig
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.dit import DiT, DiTConfig
from chronotope.request import Defaults


@pytest.fixture
def model(tmp_path: Path) -> Iterator[str]:
    """A whole untrained system in a folder."""
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    small = Autoencoder(AutoencoderConfig(widths=(8, 16), encoder_blocks=(1, 1), decoder_blocks=(1, 1), channels=4))
    vocabulary = learn_vocabulary(["a red circle moves to the left"], 64)
    config = DiTConfig(width=32, depth=1, head_dim=32, text_depth=1, vocabulary_size=len(vocabulary) + 2, channels=4)
    dit = DiT(config)
    description = {
        "kind": "dit",
        "config": to_dict(config),
        "autoencoder": fingerprint(small),
        "flow": to_dict(FlowConfig()),
        "geometry": to_dict(Geometry()),
        "vocabulary": list(vocabulary),
        "defaults": to_dict(Defaults(height=32, width=32, num_frames=4, num_steps=2)),
    }
    checkpoint.save_model(
        tmp_path / "model/autoencoder", small, {"kind": "autoencoder", "config": to_dict(small.config)}
    )
    checkpoint.save_model(tmp_path / "model/dit", dit, description)
    yield str(tmp_path / "model")
    torch.set_num_threads(threads)  # sections choose their own number
