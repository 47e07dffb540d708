"""What a model costs before anything is run: parameters, floating-point operations, memory. The formulas stand in docs/command-line.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.dit import NUM_SIGNALS, DiT, DiTConfig
from chronotope.train import autoencoder, dit
from chronotope.train.autoencoder import AutoencoderRun, reconstruct_windows
from chronotope.train.config import DiTRun
from chronotope.train.muon import Muon

__all__ = [
    "SampleSize",
    "autoencoder_costs",
    "autoencoder_flops",
    "dit_activations",
    "dit_costs",
    "dit_flops",
    "kept_bytes",
    "num_parameters",
    "sampling_costs",
    "text_flops",
]

TEXT_TOKENS = 32  # of a typical caption
PLAIN_BYTES = 12  # a parameter, its gradient and its running average, in single precision


@dataclass(frozen=True)
class SampleSize:
    """Tokens of one video and its text, and the slices it has."""

    visual: int
    text: int
    slices: int


def num_parameters(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(parameter.numel() for parameter in model.parameters())


def text_flops(config: DiTConfig, text: int) -> int:
    """Operations of encoding a text: 2 for each multiplication of a matrix product."""
    return config.text_depth * (2 * 10 * config.width**2 * text + 4 * config.width * text**2)


def dit_flops(config: DiTConfig, size: SampleSize) -> int:
    """Operations of one forward pass of the transformer over one sample, its text already encoded."""
    width, tokens = config.width, size.visual + size.text
    block = 2 * (4 * width**2 + 3 * width * config.hidden) * tokens + 4 * width * tokens**2
    latents = config.patch_size[1] * config.patch_size[2]
    seams = width * config.seam_width + 9 * config.seam_width * (3 * config.seam_width + 4 * config.channels)
    ends = 2 * width * config.token_size * 2 * size.visual + 2 * latents * seams * size.visual
    rows = 2 * width * (256 + NUM_SIGNALS + width + 6 * width + 2 * width) * (size.slices + 1)
    return config.depth * block + ends + rows


def dit_activations(config: DiTConfig, size: SampleSize) -> int:
    """Bytes that one sample's forward pass keeps for the backward pass, in single precision, within a few percent."""
    tokens = size.visual + size.text
    in_blocks = config.depth * tokens * (96 * config.width + 16 * config.hidden)
    in_text = config.text_depth * size.text * 104 * config.width
    return in_blocks + in_text + tokens * (24 * config.width + 4 * config.token_size)


def optimizer_bytes(optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """What the optimizers remember: Muon one number a parameter, AdamW two, in single precision."""
    remembered = 0
    for optimizer in optimizers:
        numbers = sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])
        remembered += numbers * (4 if isinstance(optimizer, Muon) else 8)
    return remembered


def dit_costs(run: DiTRun) -> dict[str, Any]:
    """One training step of a run, on clips like the one it will generate by default."""
    defaults, geometry = run.defaults, run.geometry
    slices = geometry.slices(defaults.num_frames)
    rows, columns = geometry.token_grid(defaults.height, defaults.width)
    kept = min(len(slices), max(1, run.train.max_sample_tokens // (rows * columns)))
    size = SampleSize(kept * rows * columns, TEXT_TOKENS, kept)
    with torch.device("meta"):
        model = DiT(run.model)
    parameters = num_parameters(model)
    samples = max(1, run.train.batch_tokens // size.visual)
    forward = dit_flops(run.model, size) + text_flops(run.model, size.text)
    memory = {
        "weights, gradients, average": parameters * PLAIN_BYTES,
        "optimizer": optimizer_bytes(dit.make_optimizers(model, run.train)),
        "activations": samples * dit_activations(run.model, size),
    }
    return {
        "parameters": parameters,
        "a clip": f"{defaults.num_frames} frames of {defaults.width}x{defaults.height}: {len(slices)} slices of {rows}x{columns} tokens"
        + (f", {kept} of them at a time" if kept < len(slices) else ""),
        "samples_per_step": samples,
        "tokens_per_step": samples * (size.visual + size.text),
        "flops_per_token": forward // (size.visual + size.text),
        "flops_per_step": 3 * forward * samples,
        "flops_in_all": 3 * forward * samples * run.train.steps,
        "memory": {**memory, "in all": sum(memory.values())},
    }


def autoencoder_flops(config: AutoencoderConfig) -> tuple[float, float]:
    """Operations for one pixel of one frame: encoding, decoding; counted on the real networks, on the meta device."""
    with torch.device("meta"):
        model = Autoencoder(config)
        slices = torch.empty(1, config.stride[0], 8 * config.stride[1], 8 * config.stride[2], 3)
        window = torch.empty(1, 3 * (config.channels + 1), 8, 8)
    pixels = slices.numel() // 3
    with torch.no_grad(), FlopCounterMode(display=False) as encoding:
        model.encoder(model.fold(slices))
    with torch.no_grad(), FlopCounterMode(display=False) as decoding:
        model.decoder(window)
    return encoding.get_total_flops() / pixels, decoding.get_total_flops() / pixels


def kept_bytes(model: nn.Module, forward: Callable[[], Any]) -> int:
    """Bytes that a forward pass keeps for the backward pass, beside the weights."""
    weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[
        int, torch.Tensor
    ] = {}  # by storage, so that views count once; held, so that no storage's number is given out twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return sum(tensor.untyped_storage().nbytes() for storage, tensor in kept.items() if storage not in weights)


def autoencoder_costs(run: AutoencoderRun) -> dict[str, Any]:
    """One training step of a run."""
    with torch.device("meta"):
        model = Autoencoder(run.model)
        windows = torch.empty(1, 2 * run.model.stride[0], 8 * run.model.stride[1], 8 * run.model.stride[2], 3)
    pixels, parameters = run.pool.batch_pixels, num_parameters(model)
    activations = kept_bytes(model, lambda: reconstruct_windows(model, windows, None)) * pixels * 3 // windows.numel()
    memory = {
        "weights, gradients, average": parameters * PLAIN_BYTES,
        "optimizer": optimizer_bytes(autoencoder.make_optimizers(model, run.train)),
        "activations": activations,
        "clips in memory": run.pool.megabytes * 1_000_000,
    }
    encoding, decoding = autoencoder_flops(run.model)
    return {
        "parameters": parameters,
        "pixels_per_step": pixels,
        "flops_per_pixel": round(encoding + decoding),
        "flops_per_step": round(3 * (encoding + decoding) * pixels),
        "flops_in_all": round(3 * (encoding + decoding) * pixels) * run.train.steps,
        "memory": {**memory, "in all": sum(memory.values())},
    }


def sampling_costs(
    models: tuple[DiT, Autoencoder],
    geometry: Geometry,
    size: SampleSize,
    pixels: int,
    num_steps: int,
    heun: bool,
    negative_tokens: int,
    guided: Sequence[bool],
) -> dict[str, Any]:
    """Generating one video: every velocity takes the video with its prompt, in guided windows once more with the negative one.

    `flops_per_velocity` is that of the first window.
    """
    transformer, decoder = models
    evaluations = 2 * num_steps - 1 if heun else num_steps
    plain, more = (
        dit_flops(transformer.config, SampleSize(size.visual, text, size.slices))
        for text in (size.text, negative_tokens)
    )
    velocities = [plain + more * twice for twice in guided]
    return {
        "parameters": {"transformer": num_parameters(transformer), "autoencoder": num_parameters(decoder)},
        "flops_per_velocity": velocities[0] if velocities else 0,
        "flops_sampling": sum(velocities) * evaluations,
        "flops_decoding": round(autoencoder_flops(decoder.config)[1] * pixels),
    }
