"""An adversarial term: a discriminator tells slices of clips from reconstructed ones, patch by patch.

Hinge losses and the adaptive weight are those of VQGAN (Esser et al. 2021, arXiv 2012.09841).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from chronotope.models.autoencoder import PixelNorm

__all__ = ["SliceDiscriminator", "adaptive_weight", "discriminator_loss", "generator_loss"]

SMALL = 1e-4  # a gradient norm below which the term is not weighed up further


class SliceDiscriminator(nn.Module):
    """Score patches of 26x26 pixels of one slice: above 0 for those of clips, below 0 for reconstructed ones.

    A slice is seen alone, and norms act per position, so the scores of a slice do not depend on other slices.
    """

    updates: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.length = length
        self.layers = nn.Sequential(
            *(nn.Conv2d(3 * length, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), PixelNorm(2 * width), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(2 * width, 4 * width, 3, padding=1), PixelNorm(4 * width), nn.LeakyReLU(0.2)),
            nn.Conv2d(4 * width, 1, 3, padding=1),
        )
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))  # steps that trained it

    def forward(self, windows: Float[Tensor, "b t h w 3"]) -> Float[Tensor, "n 1 h2 w2"]:
        """Score each slice of windows of whole slices; the frame of a still slice (t = 1) is repeated."""
        if windows.shape[1] == 1:
            windows = windows.expand(-1, self.length, -1, -1, -1)
        slices = rearrange(windows, "b (s t) h w c -> (b s) (t c) h w", t=self.length)
        scores: Tensor = self.layers(slices.contiguous(memory_format=torch.channels_last))
        return scores.float()


def discriminator_loss(real: Tensor, made: Tensor) -> Float[Tensor, ""]:
    """Return the hinge loss of scores, which is 0 where those of clips are above 1 and the others below -1."""
    return F.relu(1 - real).mean() + F.relu(1 + made).mean()


def generator_loss(made: Tensor) -> Float[Tensor, ""]:
    """Return the loss of a decoder whose slices have these scores."""
    return -made.mean()


def adaptive_weight(rest: Tensor, term: Tensor, last: Tensor, most: float) -> Float[Tensor, ""]:
    """Return |gradient of the rest of the loss| / |gradient of the term| at the weights of the last layer, or `most`.

    So the term has the same influence there as the rest, however its own size changes.
    """
    norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (rest, term)]
    return (norms[0] / (norms[1] + SMALL)).clamp(max=most).detach()
