"""Where tokens meet: two convolutions over every slice's grid of latents, beside the transformer's own output.

A token is predicted as a whole, so an outline that crosses from one to the next breaks at the edge; convolutions before the output
mend that (Bao et al. 2023, arXiv 2209.12152, section 3.1). They see one slice at a time, and never across samples.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chronotope.models.patches import patchify, unpatchify

__all__ = ["Grid", "Seams"]

Grid = tuple[int, int, int]  # slices, rows and columns of one sample's tokens


class Seams(nn.Module):
    """What the tokens say of each of their latents, and the noisy latents themselves -> a correction; nothing at the start."""

    def __init__(self, width: int, channels: int, patch_size: tuple[int, int, int], hidden: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.spread = nn.Linear(width, patch_size[1] * patch_size[2] * hidden)
        self.gather = nn.Conv2d(hidden + channels, hidden, 3, padding=1)
        self.correct = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, tokens: Float[Tensor, "v d"], noisy: Float[Tensor, "v p"], grids: tuple[Grid, ...]) -> Float[Tensor, "v p"]:
        """Samples of one height and width pass together, whatever their order."""
        spread = self.spread(tokens)
        both = torch.cat([spread.unflatten(1, (self.patch_size[1] * self.patch_size[2], -1)), _by_latent(noisy, self.patch_size)], dim=-1)
        pieces = both.flatten(1).split([slices * rows * columns for slices, rows, columns in grids])
        found: dict[int, Tensor] = {}
        for shape in dict.fromkeys(grid[1:] for grid in grids):
            alike = [i for i, grid in enumerate(grids) if grid[1:] == shape]
            latents = unpatchify(torch.cat([pieces[i] for i in alike]), self.patch_size, *shape)
            latents = self.correct(F.silu(self.gather(latents.contiguous(memory_format=torch.channels_last))))
            corrected = patchify(latents, self.patch_size)
            found |= zip(alike, corrected.split([len(pieces[i]) for i in alike]), strict=True)
        return torch.cat([found[i] for i in range(len(grids))])


def _by_latent(tokens: Float[Tensor, "v p"], patch_size: tuple[int, int, int]) -> Float[Tensor, "v l c"]:
    return tokens.unflatten(1, (patch_size[1] * patch_size[2], -1))
