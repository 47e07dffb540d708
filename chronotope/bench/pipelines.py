"""Pipelines of diffusers from vectors of text to pixels, with random weights and the parameters of ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from chronotope.bench.autoencoder import equal_wan, nearest
from chronotope.bench.peers import HEAD, PEERS, TEXT, import_diffusers, layers_for, parameters_of

__all__ = ["PIPELINES", "megaparameters", "pipeline_of", "run_pipeline"]

WIDTH = 192  # of the preset small


def wan_pipeline(autoencoder: int, transformer: int) -> Any:
    """Return Wan's pipeline whose networks have about so many parameters."""
    return pipeline_of("WanPipeline", PEERS[0].of_size(WIDTH, transformer), equal_wan(autoencoder))


def ltx_pipeline(autoencoder: int, transformer: int, ours: bool = False) -> Any:
    """Return LTX's pipeline whose networks have about so many parameters.

    A token of it is 32x32 pixels of eight frames. With `ours` it is 16x16 pixels of four frames, as in our presets.
    """
    network: Any = nearest(partial(_ltx_autoencoder, ours), range(8, 64, 4), autoencoder)
    channels = network.config.latent_channels

    def make(layers: int) -> nn.Module:
        sizes = {"num_attention_heads": WIDTH // HEAD, "attention_head_dim": HEAD, "num_layers": layers}
        texts = {"cross_attention_dim": WIDTH, "caption_channels": WIDTH}
        made = import_diffusers().LTXVideoTransformer3DModel
        model: nn.Module = made(in_channels=channels, out_channels=channels, **sizes, **texts)
        return model

    return pipeline_of("LTXPipeline", make(layers_for(make, transformer)), network)


def _ltx_autoencoder(ours: bool, width: int) -> Any:
    """Return LTX's autoencoder with `width` channels where the published one has 128."""
    widths = tuple(factor * width for factor in (1, 2, 4, 4))
    halved = (True, True, not ours, False)  # the levels that halve height, width and frames, after patches of 4 x 4
    scaling = {"spatio_temporal_scaling": halved, "decoder_spatio_temporal_scaling": halved}
    latents = {"latent_channels": 64} if ours else {}  # what a token of ours holds, in place of 128
    made = import_diffusers().AutoencoderKLLTXVideo
    return made(block_out_channels=widths, decoder_block_out_channels=widths, **scaling, **latents)


def pipeline_of(name: str, transformer: nn.Module, autoencoder: nn.Module) -> Any:
    """Return the pipeline of this name with these networks; it is given vectors instead of text."""
    diffusers = import_diffusers()
    pipeline = getattr(diffusers, name)(
        tokenizer=None,
        text_encoder=None,
        transformer=transformer.eval().requires_grad_(False),
        vae=autoencoder,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def run_pipeline(pipeline: Any, steps: int, frames: int, size: tuple[int, int]) -> Any:
    """Make one clip of `frames` frames and `size` = (width, height), with guidance as the pipeline sets it."""
    states = torch.randn(2, 1, TEXT, WIDTH)
    texts = {"prompt_embeds": states[0], "negative_prompt_embeds": states[1]}
    if type(pipeline).__name__.startswith("LTX"):
        mask = torch.ones(1, TEXT)
        texts |= {"prompt_attention_mask": mask, "negative_prompt_attention_mask": mask}
    return pipeline(**texts, width=size[0], height=size[1], num_frames=frames, num_inference_steps=steps)


def megaparameters(pipeline: Any) -> float:
    """Return the number of parameters of the networks of a pipeline, in millions."""
    return (parameters_of(pipeline.transformer) + parameters_of(pipeline.vae)) / 1e6


PIPELINES: dict[str, Callable[[int, int], Any]] = {
    "Wan": wan_pipeline,
    "LTX, our token size": partial(ltx_pipeline, ours=True),
    "LTX": ltx_pipeline,
}
