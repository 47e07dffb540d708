"""Where tokens meet: two convolutions over the latents of neighbouring tokens, beside the transformer's own output.

A token is predicted as a whole, so an outline that crosses from one to the next breaks at the edge, and a movement between
one slice and the next; convolutions before the output mend that (Bao et al. 2023, arXiv 2209.12152, section 3.1). They look
one slice back and one ahead, and never across samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from chronotope.models.patches import patchify, unpatchify

__all__ = ["Grid", "Seams"]


class Grid(NamedTuple):
    """How one sample's tokens are arranged; on a `cycle` the last slice comes before the first."""

    slices: int
    rows: int
    columns: int
    cycle: bool = False


class Seams(nn.Module):
    """What the tokens say of each of their latents, and the noisy latents themselves -> a correction; nothing at the start."""

    def __init__(self, width: int, channels: int, patch_size: tuple[int, int, int], hidden: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.spread = nn.Linear(width, patch_size[1] * patch_size[2] * hidden)
        self.gather = nn.Conv2d(hidden + channels, hidden, 3, padding=1)
        self.gather_in_time = nn.Conv2d(
            hidden + channels, 2 * hidden, 3, padding=1, bias=False
        )  # for the next slice, for the one before
        self.correct = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(
        self, tokens: Float[Tensor, "v d"], noisy: Float[Tensor, "v p"], grids: tuple[Grid, ...]
    ) -> Float[Tensor, "v p"]:
        """Samples of one height and width pass together, whatever their order."""
        spread = self.spread(tokens)
        both = torch.cat(
            [spread.unflatten(1, (self.patch_size[1] * self.patch_size[2], -1)), _by_latent(noisy, self.patch_size)],
            dim=-1,
        )
        pieces = both.flatten(1).split([grid.slices * grid.rows * grid.columns for grid in grids])
        found: dict[int, Tensor] = {}
        for shape in dict.fromkeys((grid.rows, grid.columns) for grid in grids):
            alike = [i for i, grid in enumerate(grids) if (grid.rows, grid.columns) == shape]
            latents = unpatchify(torch.cat([pieces[i] for i in alike]), self.patch_size, *shape)
            latents = latents.contiguous(memory_format=torch.channels_last)
            gathered = self.gather(latents)
            if any(grids[i].slices > 1 or grids[i].cycle for i in alike):  # pictures have no neighbours in time
                gathered = gathered + _from_neighbours(self.gather_in_time(latents), [grids[i] for i in alike])
            corrected = patchify(self.correct(F.silu(gathered)), self.patch_size)
            found |= zip(alike, corrected.split([len(pieces[i]) for i in alike]), strict=True)
        return torch.cat([found[i] for i in range(len(grids))])


def _from_neighbours(said: Float[Tensor, "s both h w"], grids: Sequence[Grid]) -> Float[Tensor, "s c h w"]:
    """What the slice before says for the next one and the slice after for the one before; beyond the ends nobody says anything."""
    before, after = _adjacent(grids, said.device)
    to_next, to_previous = F.pad(said, (0, 0, 0, 0, 0, 0, 0, 1)).chunk(2, dim=1)  # one more slice, which is silent
    return to_next[before] + to_previous[after]


def _adjacent(grids: Sequence[Grid], device: torch.device) -> tuple[Int[Tensor, " s"], Int[Tensor, " s"]]:
    """The places of each slice's neighbours among the slices of all grids; their number where there is no neighbour."""
    lengths, cycles = torch.tensor([grid.slices for grid in grids]), torch.tensor([grid.cycle for grid in grids])
    last = lengths.cumsum(0) - 1
    first, count = last - lengths + 1, int(last[-1]) + 1
    before, after = torch.arange(count) - 1, torch.arange(count) + 1
    before[first], after[last] = torch.where(cycles, last, count), torch.where(cycles, first, count)
    return before.to(device), after.to(device)


def _by_latent(tokens: Float[Tensor, "v p"], patch_size: tuple[int, int, int]) -> Float[Tensor, "v l c"]:
    return tokens.unflatten(1, (patch_size[1] * patch_size[2], -1))
