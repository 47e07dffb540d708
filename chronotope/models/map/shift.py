"""How the view moved between two slices, in whole latents: every shift is tried, and the best one explains the slice.

Latents have a variance of about 1. The error of a latent is cut at `MOST_ERROR`, so that things which move by
themselves do not decide.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["best_shift", "errors_of_shifts", "shifts"]

MOST_ERROR = 0.5
# a shift that is farther by a latent must have an error that is smaller by this share, and by this amount
FARTHER, LEAST_GAIN = 0.05, 0.001
LEAST_SEEN = 0.25  # the share of the latents of a view that must be known where a shift takes it


def shifts(reach: int, device: torch.device | None = None) -> Int[Tensor, "n 2"]:
    """Return all shifts of up to `reach` latents, (down, right), row by row: the places of `Continuation`."""
    steps = torch.arange(-reach, reach + 1, device=device)
    return torch.cartesian_prod(steps, steps)


def errors_of_shifts(
    view: Float[Tensor, "b c h w"], around: Float[Tensor, "b k H W"]
) -> tuple[Float[Tensor, "b n h w"], Bool[Tensor, "b n h w"]]:
    """Return the error of every latent of a view under every shift, and where that is known.

    `around` is what is known of the view before and its surroundings (its last channel is 1 there, else 0), larger by
    the reach on every side.
    """
    height, width = view.shape[2:]
    places = F.unfold(around, (height, width)).unflatten(1, (around.shape[1], height, width))
    seen = places.movedim(4, 1)  # [b, n, k, h, w]
    error = (seen[:, :, :-1] - view[:, None]).square().mean(dim=2).clamp(max=MOST_ERROR)
    return error, seen[:, :, -1] > 0


def best_shift(
    view: Float[Tensor, "b c h w"], around: Float[Tensor, "b k H W"], scrolling: Bool[Tensor, "h w"]
) -> Int[Tensor, "b 2"]:
    """Return by how many latents each view moved over the map, (down, right); only `scrolling` latents count.

    Among shifts that explain a view about equally well, the smallest is returned.
    """
    error, known = errors_of_shifts(view, around)
    counts = (known & scrolling).sum(dim=(2, 3))
    mean = (error * (known & scrolling)).sum(dim=(2, 3)) / counts.clamp(min=1)
    mean = torch.where(counts < LEAST_SEEN * scrolling.sum(), MOST_ERROR, mean)
    tried = shifts((around.shape[2] - view.shape[2]) // 2, view.device)
    steps = tried.abs().sum(dim=1)
    score = (mean + LEAST_GAIN) * (1 + FARTHER * steps)
    return tried[score.argmin(dim=1)]
