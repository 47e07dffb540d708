"""Encoding and decoding, beside the autoencoders of Wan, LTX and Cosmos: as published, and at our parameters."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from chronotope.bench.lines import AGAIN, OURS, Line, Section, lines_of
from chronotope.bench.peers import import_diffusers, parameters_made, parameters_of
from chronotope.bench.work import seconds_and_flops
from chronotope.generate.pipeline import WEIGHTS, load_autoencoder
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder

__all__ = ["calls_of", "equal_wan", "measure_autoencoder", "nearest", "published"]

FRAMES = 9  # a length that all of them take without padding
PUBLISHED = ("AutoencoderKLWan", "AutoencoderKLLTXVideo", "AutoencoderKLCosmos")


def published(name: str) -> nn.Module:
    """Return an autoencoder of diffusers as it is published, with random weights."""
    network: nn.Module = getattr(import_diffusers(), name)().eval().requires_grad_(False)
    return network


def equal_wan(parameters: int) -> nn.Module:
    """Return Wan's autoencoder in the width that brings its parameters nearest to `parameters`."""
    return nearest(lambda width: import_diffusers().AutoencoderKLWan(base_dim=width), range(8, 64, 4), parameters)


def equal_cosmos(parameters: int) -> nn.Module:
    """Return Cosmos' autoencoder in the width that brings its parameters nearest to `parameters`."""
    return nearest(_cosmos, (16, 24, 32, 48, 64), parameters)


def _cosmos(width: int) -> Any:
    """Return Cosmos' autoencoder with `width` channels where the published one has 128."""
    sizes = {"encoder_block_out_channels": (1, 2, 4, 4), "decode_block_out_channels": (2, 4, 4, 4)}
    scaled = {name: tuple(factor * width for factor in factors) for name, factors in sizes.items()}
    return import_diffusers().AutoencoderKLCosmos(**scaled)


def nearest(make: Callable[[int], Any], widths: Iterable[int], parameters: int) -> nn.Module:
    """Return the network of the width that brings its parameters nearest to `parameters`."""

    def distance(width: int) -> int:
        return abs(parameters_made(partial(make, width)) - parameters)

    network: nn.Module = make(min(widths, key=distance)).eval().requires_grad_(False)
    return network


def calls_of(ours: Autoencoder, others: dict[str, nn.Module], clip: Tensor) -> dict[str, dict[str, Callable[[], Any]]]:
    """Return what encodes and what decodes a clip [frames, height, width, 3] of bytes, by name.

    Ours converts from and to bytes; the others are given floats, which saves them that.
    """
    slices = Geometry(stride=ours.config.stride).slices(len(clip))
    with torch.no_grad():
        latents = ours.encode(clip, slices)
    encode, decode = partial(ours.encode, clip, slices), partial(ours.decode, latents, slices)
    calls: dict[str, dict[str, Callable[[], Any]]] = {
        "encode": {OURS: encode, AGAIN: encode},
        "decode": {OURS: decode, AGAIN: decode},
    }
    pixels = clip.permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    for name, other in others.items():
        network: Any = other
        with torch.no_grad():
            inner = network.encode(pixels).latent_dist.mode()
        calls["encode"][name] = partial(network.encode, pixels)
        calls["decode"][name] = partial(network.decode, inner)
    return calls


def measure_autoencoder(against: str, rounds: int, full: bool) -> Section:
    """Measure the autoencoder of `small` in fp32, beside random weights of the others."""
    ours, others = load_autoencoder(WEIGHTS / "small"), dict[str, nn.Module]()
    size = parameters_of(ours)
    if against:
        others = {name.removeprefix("AutoencoderKL"): published(name) for name in PUBLISHED}
        others |= {"Wan, equal size": equal_wan(size), "Cosmos, equal size": equal_cosmos(size)}
    notes = {
        name: f"{parameters_of(network) / 1e6:.1f} M parameters" for name, network in {OURS: ours, **others}.items()
    }
    lines = list[Line]()
    for side in (128, 256) if full else (128,):
        generator = torch.Generator().manual_seed(0)
        clip = torch.randint(0, 256, (FRAMES, side, side, 3), dtype=torch.uint8, generator=generator)
        for what, calls in calls_of(ours, others, clip).items():
            with torch.no_grad():
                lines += _speeds(f"{what}, {side} px", *seconds_and_flops(calls, rounds), clip, notes)
    return Section(
        "autoencoder", f"Mpixel/s of one core: {FRAMES} frames, fp32, random weights of the others", tuple(lines)
    )


def _speeds(
    case: str, seconds: dict[str, list[float]], counts: dict[str, float], clip: Tensor, notes: dict[str, str]
) -> list[Line]:
    """Return lines of seconds as lines of megapixels a second; the ratios stay those of the seconds."""
    pixels, rate = clip[..., 0].numel() / 1e6, counts[OURS] / statistics.median(seconds[OURS]) / 1e9
    notes = {**notes, OURS: f"{notes[OURS]}, {rate:.0f} GFLOP/s"}
    published_ones = {name: times for name, times in seconds.items() if not name.endswith("equal size")}
    equal = {name: times for name, times in seconds.items() if name.endswith("equal size")}
    lines = lines_of(case, published_ones, notes, ">= 15", counts=counts)
    of_equals = lines_of(case, {OURS: seconds[OURS], **equal}, notes, ">= 2.5", counts=counts)
    lines += [line for line in of_equals if line.who != OURS]
    return [replace(line, value=pixels / line.value, unit="Mpixel/s") for line in lines if line.value]
