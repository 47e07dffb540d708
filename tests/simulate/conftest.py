"""Small networks with random weights, as a model that was trained with actions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from chronotope.actions import ActionSchema
from chronotope.caption.subwords import Tokenizer
from chronotope.flow.path import FlowConfig
from chronotope.generate.pipeline import Generator
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.packing import action_width
from chronotope.request import Defaults
from chronotope.simulate.model import WorldModel

WALK = ActionSchema("discrete", ("action",), (("noop", "left", "right"),), neutral=(0.0,))


def make_generator(
    schema: ActionSchema | None, stride: int = 1, memory: int = 3, scrolling: tuple[str, ...] = ()
) -> Generator:
    """Return a model of random weights that answers to actions of this schema."""
    torch.manual_seed(0)
    autoencoder = Autoencoder(
        AutoencoderConfig((stride, 8, 8), 4, widths=(8, 8), encoder_blocks=(0, 0), decoder_blocks=(0, 0))
    )
    nn.init.normal_(autoencoder.decoder.linear.weight, std=0.2)
    width = action_width(schema, stride) if schema else 0
    dit = DiT(
        DiTConfig(width=32, depth=1, head_dim=16, vocabulary_size=120, channels=4, action_width=width, memory=memory)
    )
    for module in (dit.modulation, dit.final_modulation, dit.patch_out, dit.seams.correct, dit.seams.gather_in_time):
        nn.init.normal_(module.weight, std=0.03)
    for network in (autoencoder, dit):
        network.eval().requires_grad_(False)
    return Generator(
        autoencoder,
        dit,
        Tokenizer(()),
        FlowConfig(),
        Geometry((stride, 8, 8)),
        Defaults(height=32, width=48, num_steps=2, guidance_scale=1.5),
        actions=schema,
        scrolling=scrolling,
    )


@pytest.fixture(scope="session")
def world() -> WorldModel:
    return WorldModel(make_generator(WALK))
