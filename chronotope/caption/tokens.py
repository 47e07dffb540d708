"""What the captioner sees of a clip: the patches of its slices, or of some of them where there are many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from chronotope.geometry import Geometry, Slice
from chronotope.models.captioner import VisualTokens
from chronotope.models.patches import patchify

__all__ = ["shown_slices", "slice_budget", "visual_tokens"]


def slice_budget(geometry: Geometry, height: int, width: int, max_tokens: int) -> int:
    """Return how many slices of a clip the captioner sees."""
    rows, columns = geometry.token_grid(height, width)
    return max(1, max_tokens // (rows * columns))


def shown_slices(count: int, most: int) -> list[int]:
    """Return the slices of a clip that are shown: all, or `most` of them, evenly spaced with both ends."""
    if count <= most:
        return list(range(count))
    return sorted({round(place) for place in np.linspace(0, count - 1, most)})


def visual_tokens(
    latents: Float[Tensor, "s c h w"],
    slices: Sequence[Slice],
    size: tuple[int, int],
    fps: float,
    geometry: Geometry,
    deviation: Sequence[float],
    max_tokens: int,
) -> VisualTokens:
    """Return the tokens of one clip of `size` (height, width), scaled by the deviation of every value of a token."""
    height, width = size
    shown = shown_slices(len(slices), slice_budget(geometry, height, width, max_tokens))
    chosen = [slices[number] for number in shown]
    values = patchify(latents[shown], geometry.patch_size) / torch.tensor(deviation)
    positions = torch.from_numpy(geometry.positions(chosen, height, width, fps))
    still = torch.tensor([float(piece.still) for piece in chosen]).repeat_interleave(len(values) // len(chosen))
    return VisualTokens(values, still, positions, (len(values),))
