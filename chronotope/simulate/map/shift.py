"""How the view moved between two slices, in whole latents: every shift is tried, and the best one explains the slice.

Latents have a variance of about 1. The error of a latent is cut at `MOST_ERROR`, so that things which move by
themselves do not decide.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["choose_shift", "errors_of_shifts", "shifts"]

MOST_ERROR = 0.5
# a shift that is farther by a latent must have an error that is smaller by this share, and by this amount
FARTHER, LEAST_GAIN = 0.05, 0.001
LEAST_SEEN = 0.25  # the share of the latents of a view that must be known where a shift takes it


def shifts(reach: int) -> Int[Tensor, "n 2"]:
    """Return all shifts of up to `reach` latents, (down, right), row by row."""
    steps = torch.arange(-reach, reach + 1)
    return torch.cartesian_prod(steps, steps)


def errors_of_shifts(
    views: Float[Tensor, "b c h w"], around: Float[Tensor, "b k H W"]
) -> tuple[Float[Tensor, "b n h w"], Bool[Tensor, "b n h w"]]:
    """Return the error of every latent of each view under every shift, and where that is known.

    `around` is what is known of the view before and its surroundings, larger by the reach on every side; its last
    channel is 1 where something is known, else 0.
    """
    height, width = views.shape[2:]
    seen = F.unfold(around, (height, width)).unflatten(1, (around.shape[1], height, width)).movedim(4, 1)
    error = (seen[:, :, :-1] - views[:, None]).square().mean(dim=2).clamp(max=MOST_ERROR)
    return error, seen[:, :, -1] > 0


def choose_shift(
    error: Float[Tensor, "b n h w"], known: Bool[Tensor, "b n h w"], scrolling: Bool[Tensor, "h w"], reach: int
) -> Int[Tensor, "b 2"]:
    """Return by how many latents each view moved over the map, (down, right), from the errors of its latents that
    scroll; of shifts that explain a view about equally well, the smallest.
    """
    counted = known & scrolling
    counts = counted.sum(dim=(2, 3))
    mean = (error * counted).sum(dim=(2, 3)) / counts.clamp(min=1)
    mean = torch.where(counts < LEAST_SEEN * scrolling.sum(), MOST_ERROR, mean)
    tried = shifts(reach)
    score = (mean + LEAST_GAIN) * (1 + FARTHER * tried.abs().sum(dim=1))
    return tried[score.argmin(dim=1)]
