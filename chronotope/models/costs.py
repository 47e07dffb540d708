"""Model configs -> parameters, floating-point operations (FLOPs), bytes and seconds, before anything is run.

A multiplication with its addition counts as 2 FLOPs. The formulas stand in docs/command-line.md; the tests compare them
with the real modules.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from chronotope.checkpoint import Uninitialised
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.captioner import CaptionerConfig, LatentCaptioner
from chronotope.models.dit import NUM_SIGNALS, PIECE, DiT, DiTConfig
from chronotope.models.expander import ExpanderConfig, PromptExpander

__all__ = [
    "GPUS",
    "Device",
    "Pass",
    "SampleSize",
    "autoencoder_flops",
    "block_flops",
    "captioner_activations",
    "captioner_flops",
    "coding_bytes",
    "count_parameters",
    "dit_activations",
    "dit_flops",
    "dit_pass",
    "expander_activations",
    "expander_flops",
    "forward_bytes",
    "gathered_bytes",
    "kept_bytes",
    "orthogonal_bytes",
    "orthogonal_flops",
    "refinement_bytes",
    "sampling_bytes",
    "seconds_of_step",
    "shapes_only",
    "text_flops",
    "velocity_flops",
]

FLOAT, HALF = 4, 2  # bytes of a number in single precision, and in bfloat16
BUFFERS = 12_000_000  # bytes that libraries take for themselves, at any size
# The allocator keeps a share of the blocks that were freed, up to a limit. Both are measured.
KEPT_SHARE, KEPT_LIMIT = 0.3, 60_000_000


@dataclass(frozen=True)
class SampleSize:
    """Tokens of one video and of its text, and the number of its slices."""

    visual: int
    text: int
    slices: int


@contextlib.contextmanager
def shapes_only() -> Iterator[None]:
    """Build networks on the meta device, which takes no memory.

    Nothing is drawn: torch would import its compilers to draw no numbers, which takes over a second.
    """
    with torch.device("meta"), Uninitialised():
        yield


def count_parameters(config: DiTConfig | AutoencoderConfig | CaptionerConfig | ExpanderConfig) -> int:
    """Count the trainable numbers of a model, built on the meta device, which takes no memory."""
    with shapes_only():
        model = _network(config)
    return sum(parameter.numel() for parameter in model.parameters())


def _network(config: DiTConfig | AutoencoderConfig | CaptionerConfig | ExpanderConfig) -> nn.Module:
    if isinstance(config, CaptionerConfig):
        return LatentCaptioner(config)
    if isinstance(config, ExpanderConfig):
        return PromptExpander(config)
    return DiT(config) if isinstance(config, DiTConfig) else Autoencoder(config)


# FLOPs


def text_flops(config: DiTConfig, tokens: int) -> int:
    """FLOPs of encoding one text, without those of a frozen encoder, whose states are computed once."""
    projection = 2 * config.text_width * config.width * tokens
    return projection + config.text_depth * (2 * 10 * config.width**2 * tokens + 4 * config.width * tokens**2)


def dit_flops(config: DiTConfig, size: SampleSize) -> int:
    """FLOPs of one forward pass of the transformer over one sample whose text is already encoded."""
    width = config.width
    patches = 2 * width * config.token_size * 2 * size.visual
    latents = config.patch_size[1] * config.patch_size[2]
    in_space = config.seam_width + 2 * config.channels
    in_time = 2 * (config.seam_width + config.channels) if size.slices > 1 else 0  # a slice alone has no neighbours
    in_depth = 2 * config.seam_depth * config.seam_width
    seam = width * config.seam_width + 9 * config.seam_width * (in_space + in_time + in_depth)
    seams = 2 * latents * seam * size.visual
    inputs = 256 + NUM_SIGNALS + config.action_width
    modulation = 2 * width * (inputs + width + 6 * width + 2 * width) * (size.slices + 1)
    continuation = 0
    if config.reach:  # which only samples with the slice-causal mask have, nearly all of a model with actions
        around, (_, rows, columns) = 2 * config.reach, config.patch_size
        filters = (around + 1) ** 2 * latents * (width + config.channels)
        continuation = 2 * size.visual * (filters + config.channels * width * (rows + around) * (columns + around))
    return block_flops(config, size) + patches + seams + modulation + continuation


def block_flops(config: DiTConfig, size: SampleSize) -> int:
    """FLOPs of the blocks in one forward pass over one sample, which recomputation does once more."""
    width, tokens = config.width, size.visual + size.text
    block = 2 * (4 * width**2 + 3 * width * config.hidden) * tokens + 4 * width * tokens**2
    return config.depth * block


def velocity_flops(config: DiTConfig, size: SampleSize, negative_tokens: int | None = None) -> int:
    """FLOPs of one velocity; with guidance the sample passes once more, with a negative prompt of `negative_tokens`."""
    flops = dit_flops(config, size)
    if negative_tokens is None:
        return flops
    return flops + dit_flops(config, replace(size, text=negative_tokens))


def captioner_flops(config: CaptionerConfig, visual: int, text: int) -> int:
    """FLOPs of one forward pass of the captioner over a clip of `visual` tokens and one text of `text` tokens."""
    return _writing_flops(config, visual, text) + 2 * config.width * (config.token_size + 3) * visual


def expander_flops(config: ExpanderConfig, short: int, text: int) -> int:
    """FLOPs of one forward pass of the expander over a pair of texts of `short` and of `text` tokens."""
    return _writing_flops(config, short, text)


def _writing_flops(config: CaptionerConfig | ExpanderConfig, seen: int, text: int) -> int:
    """FLOPs of an encoder of `seen` tokens and the decoder of one text about them, with its logits."""
    width = config.width
    encoder = config.depth * (20 * width**2 * seen + 4 * width * seen**2)
    decoder = config.text_depth * (24 * width**2 * text + 4 * width**2 * seen + 4 * width * text * (text + seen))
    return encoder + decoder + 2 * width * config.vocabulary_size * text


def autoencoder_flops(config: AutoencoderConfig) -> tuple[float, float]:
    """FLOPs of (encoding, decoding) one pixel of one frame: those of the convolutions, whose positions are counted."""
    pixels, folded, channels = config.stride[0] * config.fold**2, config.folded_channels, config.channels
    places = [1 / (pixels * 4**level) for level in range(len(config.widths))]  # positions of each resolution, a pixel
    finest, coarsest = config.widths[0], config.widths[-1]
    linear = channels * folded * config.step**2
    encoding = 9 * folded * finest * places[0] + (2 * channels * coarsest + linear) * places[-1]
    decoding = 9 * folded * finest * places[0] + (27 * (channels + 1) * coarsest + linear) * places[-1]
    for level, width in enumerate(config.widths):
        encoding += config.encoder_blocks[level] * 18 * width**2 * places[level]
        decoding += config.decoder_blocks[level] * 18 * width**2 * places[level]
        if level > 0:  # a convolution of 2 x 2 places, or its opposite
            encoding += 4 * config.widths[level - 1] * width * places[level]
            decoding += 4 * config.widths[level - 1] * width * places[level]
    return 2 * encoding, 2 * decoding


# Bytes of training


def dit_activations(config: DiTConfig, size: SampleSize, recompute: bool = False) -> int:
    """Bytes that one sample's forward pass keeps for the backward pass in single precision, within a few percent.

    With `recompute` these are the inputs of all blocks, and the inside of the one whose gradient is computed.
    """
    tokens = size.visual + size.text
    block = tokens * (96 * config.width + 16 * config.hidden)
    blocks = block + config.depth * tokens * FLOAT * config.width if recompute else config.depth * block
    text = size.text * (config.text_depth * 104 * config.width + 8 * config.text_width)
    ends = size.visual * (24 * config.width + 4 * config.token_size) + size.text * 8 * config.width
    latents = size.visual * config.patch_size[1] * config.patch_size[2]
    seams = latents * config.seam_depth * 4 * FLOAT * config.seam_width  # what the convolutions and the norm read
    return blocks + text + ends + seams  # the modulation of the output keeps visual tokens alone


def captioner_activations(config: CaptionerConfig, visual: int, texts: int, text: int) -> int:
    """Bytes that the captioner keeps for the backward pass for one clip with `texts` texts, within a few percent."""
    return _writing_activations(config, visual, texts * text) + visual * 12 * config.token_size


def expander_activations(config: ExpanderConfig, short: int, text: int) -> int:
    """Bytes that the expander keeps for the backward pass for one pair of texts, within a few percent."""
    return _writing_activations(config, short, text)


def _writing_activations(config: CaptionerConfig | ExpanderConfig, seen: int, text: int) -> int:
    width = config.width
    encoder = config.depth * seen * 74 * width
    decoder = config.text_depth * (text * 98 * width + seen * 14 * width)
    return encoder + decoder + text * (2 * width + 4 * config.vocabulary_size)


def kept_bytes(model: nn.Module, forward: Callable[[], Any]) -> int:
    """Bytes that `forward` keeps for the backward pass, beside the weights of `model`; works on the meta device."""
    weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    # By storage, so that views count once. The tensors are kept alive, so that no storage's address is used twice.
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return sum(tensor.untyped_storage().nbytes() for storage, tensor in kept.items() if storage not in weights)


def refinement_bytes(config: DiTConfig, visual: int) -> int:
    """Bytes that the refinement takes for a moment in the forward pass, beside what it keeps."""
    return visual * config.patch_size[1] * config.patch_size[2] * FLOAT * 10 * config.seam_width


def orthogonal_bytes(count: int, rows: int, columns: int) -> int:
    """Bytes that Muon takes for a moment for matrices of one shape: four copies of each, and two products."""
    small, large = sorted((rows, columns))
    return FLOAT * count * (4 * small * large + 2 * small**2)


def orthogonal_flops(count: int, rows: int, columns: int) -> int:
    """FLOPs of Muon for matrices of one shape: five iterations of three products."""
    small, large = sorted((rows, columns))
    return 5 * count * (4 * small**2 * large + 2 * small**3)


# Training on many devices, each of which holds a share of every tensor (`parallel.shard`)


@dataclass(frozen=True)
class Device:
    """A GPU: its bfloat16 FLOPs a second, bytes, bytes a second from memory, within a node and between nodes.

    The links count in one direction. The numbers are the makers', without sparsity.
    """

    name: str
    flops: float
    memory: int
    bandwidth: float
    near: float
    far: float
    per_node: int = 8

    def link(self, devices: int) -> float:
        """Bytes a second of a collective operation over so many devices, four fifths of what the link can do."""
        return 0.8 * (self.near if devices <= self.per_node else self.far)


GPUS = {
    "H200": Device("NVIDIA H200", 989e12, 141_000_000_000, 4.8e12, 450e9, 50e9),
    "H100": Device("NVIDIA H100 80 GB", 989e12, 80_000_000_000, 3.35e12, 450e9, 50e9),
    "A100": Device("NVIDIA A100 80 GB", 312e12, 80_000_000_000, 2.0e12, 300e9, 25e9),
}
# Shares of the peak that kernels reach (published for an H100: 80 % in large products, 45 % in attention), and how
# often a block reads and writes the residual stream between its products, where nothing is compiled.
PRODUCTS, ATTENTION, TRAFFIC = 0.75, 0.45, 25
KERNELS, LAUNCH_SECONDS = 60, 5e-6  # of a block; small models wait for the launches


def gathered_bytes(parameters: int, block: int, depth: int, half: bool) -> int:
    """Bytes of what is gathered on each of several devices: two blocks, with their buffers, and all outside of blocks.

    `block` counts the parameters of a block.
    """
    rest = parameters - depth * block
    return block * (4 * (HALF if half else FLOAT) + 2 * FLOAT) + 2 * FLOAT * rest


@dataclass(frozen=True)
class Pass:
    """FLOPs of products and of attention, bytes of memory traffic, and kernels, of the forward pass of some samples."""

    products: float
    attention: float
    traffic: float
    kernels: int

    @property
    def flops(self) -> float:
        return self.products + self.attention


def dit_pass(config: DiTConfig, size: SampleSize, samples: int) -> Pass:
    """Count the forward pass of so many samples on one device."""
    tokens = size.visual + size.text
    attention = config.depth * 4 * config.width * tokens**2
    flops = dit_flops(config, size) + text_flops(config, size.text)
    traffic = TRAFFIC * 2 * HALF * config.width * config.depth * tokens
    return Pass(samples * (flops - attention), samples * attention, samples * traffic, config.depth * KERNELS)


def seconds_of_step(
    forward: Pass, passes: int, times: int, parameters: int, orthogonal: float, device: Device, devices: int
) -> float:
    """Estimate the seconds of a training step of `passes` forward and backward passes.

    A backward pass counts so that both are `times` a forward pass. `orthogonal` are the FLOPs of Muon for all matrices.
    Communication hides behind computation as far as that takes longer: a pass gathers the weights twice in bfloat16,
    and sums and divides their gradients once in single precision.
    """
    busy = forward.products / (PRODUCTS * device.flops) + forward.attention / (ATTENTION * device.flops)
    computing = times * max(busy + forward.traffic / device.bandwidth, forward.kernels * LAUNCH_SECONDS)
    sent = parameters * (2 * HALF + FLOAT) * (devices - 1) / devices
    exchanged = 2 * FLOAT * parameters / devices if devices > 1 else 0  # rows to whole matrices and back
    update = 12 * FLOAT * parameters / devices / device.bandwidth + orthogonal / devices / (PRODUCTS * device.flops)
    return passes * max(computing, sent / device.link(devices)) + update + exchanged / device.link(devices)


# Bytes of sampling, each at its worst moment; in bfloat16 too, where norms, rotations and attention stay as they are


def forward_bytes(config: DiTConfig, tokens: int, moving: bool = True) -> int:
    """Bytes of one forward pass without gradients: in attention, in the MLP of a block, or in the seam convolutions."""
    attention = tokens * 7 * config.width
    mlp = tokens * 3 * config.width + min(tokens, PIECE) * (4 * config.hidden + 9 * config.width)
    latents = config.patch_size[1] * config.patch_size[2]
    neighbours = 14 if moving else 7
    seams = tokens * (2 * config.width + latents * (neighbours * config.seam_width + 5 * config.channels))
    return FLOAT * (max(attention, mlp, seams) + tokens * 3 * config.token_size) + BUFFERS


def coding_bytes(config: AutoencoderConfig, height: int, width: int, half: bool) -> tuple[int, int]:
    """Bytes of (encoding, decoding) one slice, in bfloat16 if `half`: they are reached at the finest level.

    There is one residual block at a time: its input, and two results or, in bfloat16, three of a norm in single
    precision. Beside it the encoder keeps the pixels; the decoder ends with both its paths and their sum.
    """
    fine, finest, folded = height * width // config.fold**2, config.widths[0], config.folded_channels
    block = (HALF + 3 * FLOAT if half else 3 * FLOAT) * finest
    pixels = (FLOAT + HALF if half else FLOAT) * folded
    paths = (2 * FLOAT + HALF if half else 3 * FLOAT) * folded
    return fine * (pixels + block) + BUFFERS, fine * max(block, paths) + BUFFERS


def sampling_bytes(
    dit: DiTConfig,
    autoencoder: AutoencoderConfig,
    geometry: Geometry,
    height: int,
    width: int,
    slices: int,
    guided: bool,
) -> int:
    """Bytes of sampling and decoding a video of `slices` slices at once, beside the process as it is."""
    rows, columns = geometry.token_grid(height, width)
    covered = geometry.covered_size(height, width)
    cells = covered[0] * covered[1] // (geometry.stride[1] * geometry.stride[2])
    latents = FLOAT * slices * autoencoder.channels * cells
    passes = 2 if guided else 1
    sampling = forward_bytes(dit, passes * slices * rows * columns, moving=slices > 1)
    coding = max(max(coding_bytes(autoencoder, *covered, half)) for half in (False, True))
    less, more = sorted((sampling, coding))
    return 2 * latents + more + round(min(KEPT_SHARE * less, KEPT_LIMIT))
