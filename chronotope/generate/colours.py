"""Keep the colours of resting areas constant across the windows of a long video.

Each window adds a small colour shift to the content it continues, and the shifts of many windows add up. Where a slice
is almost equal to a reference slice at the same place, the difference is taken for such a shift: its local mean is
subtracted, from moving actors in that neighbourhood as well. Slices with known content are not changed, since their
colours come from that content.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from chronotope.generate.canvas import Canvas

__all__ = ["ColourStabilizer", "local_shift"]

MAX_DISTANCE = 0.8  # of equal content: root mean square over the channels, in standard deviations of the latents
NEIGHBOURHOOD = 5  # cells along each side
MIN_CELLS = 6  # of a neighbourhood that must be equal to estimate its shift
MIN_SHARE = 0.25  # of all cells that must be equal; below it the scene has changed and becomes the reference


@dataclass
class ColourStabilizer:
    """Correct the windows of one canvas in the order of generation; `deviation` is that of the latents, by channel."""

    deviation: Float[Tensor, " c"]
    reference: Float[Tensor, "c h w"] | None = None

    def __call__(self, filled: Float[Tensor, "s c h w"], part: Canvas) -> Float[Tensor, "s c h w"]:
        """Return the window with its new moving slices corrected; the first window only sets the reference."""
        moving = [index for index, piece in enumerate(part.slices) if not piece.still]
        if self.reference is None:
            fixed = part.fixed.flatten(1).all(dim=1).tolist()
            candidates = [index for index in moving if fixed[index]] or moving
            self.reference = filled[candidates[-1]].clone() if candidates else None
            return filled
        unknown = (part.level.flatten(1) >= 1).all(dim=1).tolist()
        corrected = filled.clone()
        for index in moving:
            if not unknown[index]:
                continue
            equal = self._equal_cells(filled[index])
            if equal.float().mean() < MIN_SHARE:
                self.reference = filled[index].clone()
            else:
                corrected[index] = filled[index] - local_shift(filled[index] - self.reference, equal)
        return corrected

    def _equal_cells(self, latents: Float[Tensor, "c h w"]) -> Bool[Tensor, "h w"]:
        assert self.reference is not None
        distance = (latents - self.reference) / self.deviation.to(latents)[:, None, None]
        return distance.square().mean(dim=0).sqrt() < MAX_DISTANCE


def local_shift(difference: Float[Tensor, "c h w"], equal: Bool[Tensor, "h w"]) -> Float[Tensor, "c h w"]:
    """Return the mean difference of the equal cells of each neighbourhood; 0 where there are fewer than `MIN_CELLS`."""
    weight = equal.to(difference)[None]
    window = torch.ones(1, 1, NEIGHBOURHOOD, NEIGHBOURHOOD, dtype=difference.dtype, device=difference.device)
    total = F.conv2d((difference * weight)[:, None], window, padding=NEIGHBOURHOOD // 2)[:, 0]
    count = F.conv2d(weight[:, None], window, padding=NEIGHBOURHOOD // 2)[:, 0]
    return torch.where(count >= MIN_CELLS, total / count.clamp(min=1), torch.zeros_like(total))
