"""Colours that are held: in a long canvas, what rests keeps the colours that it had in the first window.

Each window adds a small cast of its own to what it remembers, and casts add up. Where a slice is nearly what a reference slice was at
the same place, the difference is taken for a cast; its mean over the neighbourhood is taken away, also from who moves there. Slices of
which something is given, be it the gist, have their colours from that and are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from chronotope.generate.canvas import Canvas

__all__ = ["Hold"]

NEAR = 0.8  # deviations of the latents, root mean square over the channels: nearer is the same thing, with a cast
REACH, FEWEST = 5, 6  # cells: the side of a neighbourhood, and how many of it must be near
ENOUGH = 0.25  # of all cells: fewer near ones are another place, from then on the reference


@dataclass
class Hold:
    """Sees the windows of one canvas in the order in which they are made; `deviation` is that of the latents, by channel."""

    deviation: Float[Tensor, " c"]
    reference: Float[Tensor, "c h w"] | None = None

    def __call__(self, filled: Float[Tensor, "s c h w"], part: Canvas) -> Float[Tensor, "s c h w"]:
        """The same window, wholly new moving slices without their cast; of the first, whose colours are held, nothing changes."""
        given = part.given.flatten(1).all(dim=1).tolist()
        moving = [place for place, piece in enumerate(part.slices) if not piece.still]
        if self.reference is None:
            seen = [place for place in moving if given[place]] or moving
            self.reference = filled[seen[-1]].clone() if seen else None
            return filled
        held, unknown = filled.clone(), (part.level.flatten(1) >= 1).all(dim=1).tolist()
        for place in (place for place in moving if unknown[place]):
            near = self._near(filled[place])
            if near.float().mean() < ENOUGH:
                self.reference = filled[place].clone()
            else:
                held[place] = filled[place] - cast(filled[place] - self.reference, near)
        return held

    def _near(self, latents: Float[Tensor, "c h w"]) -> Bool[Tensor, "h w"]:
        assert self.reference is not None
        apart = (latents - self.reference) / self.deviation.to(latents)[:, None, None]
        return apart.square().mean(dim=0).sqrt() < NEAR


def cast(difference: Float[Tensor, "c h w"], near: Bool[Tensor, "h w"]) -> Float[Tensor, "c h w"]:
    """The mean of the differences of those cells of each neighbourhood that are near; 0 where they are too few."""
    weight = near.to(difference)[None]
    window = torch.ones(1, 1, REACH, REACH, dtype=difference.dtype, device=difference.device)
    total = F.conv2d((difference * weight)[:, None], window, padding=REACH // 2)[:, 0]
    count = F.conv2d(weight[:, None], window, padding=REACH // 2)[:, 0]
    return torch.where(count >= FEWEST, total / count.clamp(min=1), torch.zeros_like(total))
