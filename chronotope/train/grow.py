"""Turn trained weights into weights for shorter slices and more latent channels, which then are trained further.

A shorter slice is seen as a longer one of repeated frames, and new channels have no effect on old ones, so a grown
autoencoder without new channels computes what the old one computes for repeated frames. This is cheaper than training
from random weights: pictures come back as before, and only motion has to be learned anew (after Net2Net, Chen et al.
2015, arXiv 1511.05641).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.captioner import LatentCaptioner
from chronotope.models.dit import DiT

__all__ = ["fit_new_channels", "grow_autoencoder", "grow_captioner", "grow_dit", "grow_refinement"]


@torch.no_grad()
def grow_autoencoder(old: Autoencoder, frames: int, channels: int) -> Autoencoder:
    """Return an autoencoder for slices of `frames` frames; the first of its `channels` channels are the old ones.

    Its statistics of the latents are unset, as those of an autoencoder whose encoder is still trained. Raises
    UsageError for frames that do not divide those of the old slices, for fewer channels, and where nothing grows.
    """
    length, kept = old.config.stride[0], old.config.channels
    if frames < 1 or length % frames or channels < kept or (frames, channels) == (length, kept):
        raise UsageError(
            f"slices of {length} frames with {kept} channels can be grown to fewer frames that divide {length}, or to "
            f"more channels, got {frames} frames and {channels} channels"
        )
    new = Autoencoder(replace(old.config, stride=(frames, *old.config.stride[1:]), channels=channels))
    repeat, more = length // frames, channels - kept
    weights = old.state_dict()
    side = new.config.fold**2 * 3

    def sum_inputs(name: str, axis: str) -> None:
        """Sum the weights of frames that are equal now."""
        weights[name] = reduce(weights[name], f"{axis} -> o (t v) h w", "sum", r=repeat, v=side)

    def average_outputs(name: str, pattern: str) -> None:
        """Average the outputs of frames that are one frame now."""
        weights[name] = reduce(weights[name], pattern, "mean", r=repeat, v=side)

    sum_inputs("encoder.layers.0.weight", "o (t r v) h w")
    sum_inputs("encoder.linear.weight", "o (t r v) h w")
    last = f"decoder.layers.{len(old.decoder.layers) - 1}"
    average_outputs(f"{last}.weight", "(t r v) i h w -> (t v) i h w")
    average_outputs(f"{last}.bias", "(t r v) -> (t v)")
    average_outputs("decoder.linear.weight", "i (t r v) h w -> i (t v) h w")
    average_outputs("decoder.linear.bias", "(t r v) -> (t v)")

    # new channels: the encoder gives 0 with a small variance, the decoder does not look at them
    head = f"encoder.layers.{len(old.encoder.layers) - 1}"
    for name, log_variance in ((f"{head}.weight", 0.0), (f"{head}.bias", -6.0)):
        mean, variance = weights[name].chunk(2)
        added = mean.new_zeros(more, *mean.shape[1:])
        weights[name] = torch.cat([mean, added, variance, added + log_variance])
    for name in ("encoder.linear.weight", "encoder.linear.bias", "decoder.linear.weight"):
        weights[name] = torch.cat([weights[name], weights[name].new_zeros(more, *weights[name].shape[1:])])
    windows = rearrange(weights["decoder.layers.0.weight"], "o (three c) h w -> three o c h w", three=3)
    added = windows.new_zeros(3, windows.shape[1], more, *windows.shape[3:])
    grown = torch.cat([windows[:, :, :kept], added, windows[:, :, kept:]], dim=2)
    weights["decoder.layers.0.weight"] = rearrange(grown, "three o c h w -> o (three c) h w")
    weights["latent_mean"], weights["latent_deviation"] = torch.zeros(channels), torch.ones(channels)
    new.load_state_dict(weights)
    return new


@torch.no_grad()
def fit_new_channels(model: Autoencoder, slices: Float[Tensor, "b t h w 3"], kept: int, ridge: float = 1e-3) -> None:
    """Set the linear paths of the channels from `kept` on to the best linear correction of what the others give.

    `slices` are pixels in [-1, 1]. Reduced-rank regression (Izenman 1975) of the error of the reconstruction on the
    pixels: the least squares estimate, projected on its first principal components.
    """
    folded = model.fold(slices)
    mean, _ = model.encoder(folded)
    pixels = model.corners(folded)
    error = pixels - model.corners(model.decoder(model.window(None, mean, None)))
    centre, count = pixels.mean(dim=0), len(pixels)
    inputs = (pixels - centre).double()
    gram = inputs.T @ inputs / count
    gram += ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    estimate = torch.linalg.solve(gram, inputs.T @ error.double() / count)
    _, _, components = torch.linalg.svd(inputs @ estimate, full_matrices=False)
    synthesis = components[: model.config.channels - kept]
    analysis = (estimate @ synthesis.T).T
    deviation = (inputs @ analysis.T).std(dim=0).clamp(min=1e-6)[:, None]
    analysis, synthesis = (analysis / deviation).float(), (synthesis * deviation).float()
    encoder, decoder = model.encoder.linear, model.decoder.linear
    assert encoder.bias is not None
    encoder.weight[kept:] = analysis.view_as(encoder.weight[kept:])
    encoder.bias[kept:] = -analysis @ centre
    decoder.weight[kept:] = synthesis.view_as(decoder.weight[kept:])


@torch.no_grad()
def grow_dit(old: DiT, channels: int) -> DiT:
    """Return a transformer for latents of `channels` channels, the first of which are the old ones.

    New channels are neither looked at nor predicted, so the old ones are predicted as before. Raises UsageError for
    fewer channels.
    """
    kept, patch = old.config.channels, math.prod(old.config.patch_size)
    if channels < kept:
        raise UsageError(f"a transformer of {kept} channels can be grown to more, got {channels}")
    new, weights, more = DiT(replace(old.config, channels=channels)), old.state_dict(), channels - kept

    _add_zeros(weights, "patch_in.weight", "d p c", "d (p c)", patch, more)
    _add_zeros(weights, "patch_out.weight", "d p c", "(p c) d", patch, more)
    _add_zeros(weights, "patch_out.bias", "p c", "(p c)", patch, more)
    for name in ("seams.gather.weight", "seams.gather_in_time.weight"):
        weights[name] = torch.cat([weights[name], weights[name].new_zeros(len(weights[name]), more, 3, 3)], dim=1)
    for name in ("seams.correct.weight", "seams.correct.bias"):
        weights[name] = torch.cat([weights[name], weights[name].new_zeros(more, *weights[name].shape[1:])])
    new.load_state_dict(weights)
    return new


@torch.no_grad()
def grow_refinement(old: DiT, hidden: int, depth: int) -> DiT:
    """Return a transformer that computes what the old one does, with more channels and blocks in its refinement.

    Nothing reads the new channels at first, and new blocks begin as the identity. Raises UsageError for fewer channels
    or blocks, and for more channels where there are blocks, whose norm is over all channels.
    """
    kept, channels, blocks = old.config.seam_width, old.config.channels, old.config.seam_depth
    if hidden < kept or depth < blocks or (hidden > kept and blocks):
        more = "more blocks" if blocks else "more channels and more blocks"
        raise UsageError(
            f"a refinement of {kept} channels and {blocks} blocks can be grown to {more}, got {hidden} channels and "
            f"{depth} blocks"
        )
    new = DiT(replace(old.config, seam_width=hidden, seam_depth=depth))
    weights, grown = old.state_dict(), new.state_dict()
    ours = torch.arange(hidden) < kept
    inputs = torch.cat([ours, torch.ones(channels, dtype=torch.bool)])
    latents = ours.repeat(math.prod(old.config.patch_size[1:]))
    for name, places in (("spread.weight", latents), ("spread.bias", latents), ("gather.bias", ours)):
        grown[f"seams.{name}"][places] = weights.pop(f"seams.{name}")
    for name, outputs in (("gather", ours), ("gather_in_time", ours.repeat(2))):
        weight = grown[f"seams.{name}.weight"]
        weight[outputs] = 0
        weight[outputs.nonzero(), inputs.nonzero().T] = weights.pop(f"seams.{name}.weight")
    grown["seams.correct.weight"][:, ours] = weights.pop("seams.correct.weight")  # those of new channels are zero
    new.load_state_dict({**grown, **weights})
    return new


@torch.no_grad()
def grow_captioner(old: LatentCaptioner, channels: int) -> LatentCaptioner:
    """Return a captioner for latents of `channels` channels; it does not look at the new ones.

    Raises UsageError for fewer channels.
    """
    kept, patch = old.config.channels, math.prod(old.config.patch_size)
    if channels < kept:
        raise UsageError(f"a captioner of {kept} channels can be grown to more, got {channels}")
    new, weights = LatentCaptioner(replace(old.config, channels=channels)), old.state_dict()
    _add_zeros(weights, "patch_in.weight", "d p c", "d (p c)", patch, channels - kept)
    new.load_state_dict(weights)
    return new


def _add_zeros(weights: dict[str, Tensor], name: str, pattern: str, order: str, patch: int, more: int) -> None:
    """Add zeros for new channels to a weight whose axes are `order`; `pattern` has the channels last."""
    values = rearrange(weights[name], f"{order} -> {pattern}", p=patch)
    values = torch.cat([values, values.new_zeros(*values.shape[:-1], more)], dim=-1)
    weights[name] = rearrange(values, f"{pattern} -> {order}")
