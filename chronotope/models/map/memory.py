"""A map of what was seen, by position: where the view is follows from the slices themselves (dead reckoning).

Positions count in latents from the first view. A latent is stored at its position modulo the side of the map, with its
position as its key, so the map has a size: what lies a side away takes the place of what was stored before. Only
latents that scroll are stored (after the egocentric map of Parisotto and Salakhutdinov 2017, arXiv 1702.08360).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chronotope.models.map.shift import best_shift

__all__ = ["MapMemory"]

SPAN = 2**31  # of the columns in a key
NOWHERE = -(2**62)  # the key of an empty place


@dataclass(frozen=True, eq=False)
class MapMemory:
    """What was seen around the views of `b` videos of equal size. It is never changed: `after` returns another map.

    `latents` and `keys` are those of all places of the map, and `position` is the first row and column of each view.
    """

    scrolling: Bool[Tensor, "h w"]
    reach: int
    side: int
    latents: Float[Tensor, "b places c"]
    keys: Int[Tensor, "b places"]
    position: Int[Tensor, "b 2"]

    @staticmethod
    def empty(count: int, side: int, channels: int, scrolling: Bool[Tensor, "h w"], reach: int) -> MapMemory:
        """Return `count` maps of side x side latents, of which nothing is known."""
        device = scrolling.device
        latents = torch.zeros(count, side**2, channels, device=device)
        keys = torch.full((count, side**2), NOWHERE, device=device)
        return MapMemory(scrolling, reach, side, latents, keys, torch.zeros(count, 2, dtype=torch.long, device=device))

    def repeated(self, count: int) -> MapMemory:
        """Return the map of one video `count` times."""
        latents, keys, position = (x.expand(count, *x.shape[1:]) for x in (self.latents, self.keys, self.position))
        return replace(self, latents=latents, keys=keys, position=position)

    def around(self) -> Float[Tensor, "b k H W"]:
        """Return what is known of the view and of `reach` latents on its every side; the last channel says where."""
        places, keys = self._window(self.reach)
        known = self.keys.gather(1, places) == keys
        latents = self.latents.gather(1, places[:, :, None].expand(-1, -1, self.latents.shape[2]))
        seen = torch.cat([latents * known[:, :, None], known[:, :, None]], dim=2)
        height, width = self.scrolling.shape
        return seen.transpose(1, 2).unflatten(2, (height + 2 * self.reach, width + 2 * self.reach))

    def after(self, view: Float[Tensor, "b c h w"], shift: Int[Tensor, "b 2"] | None = None) -> MapMemory:
        """Return the maps after one more view each; how it moved, (down, right), is found where it is not stated."""
        if shift is None:
            shift = best_shift(view, self.around(), self.scrolling)
        moved = replace(self, position=self.position + shift)
        places, keys = moved._window(0)
        written, index = self.scrolling.flatten(), places[:, :, None].expand(-1, -1, self.latents.shape[2])
        # the others keep what is there: to select the scrolling ones would synchronise with a GPU
        latents = view.flatten(2).transpose(1, 2).to(self.latents.dtype)
        latents = torch.where(written[:, None], latents, self.latents.gather(1, index))
        keys = torch.where(written, keys, self.keys.gather(1, places))
        return replace(moved, latents=self.latents.scatter(1, index, latents), keys=self.keys.scatter(1, places, keys))

    def _window(self, margin: int) -> tuple[Int[Tensor, "b n"], Int[Tensor, "b n"]]:
        """Return the places and the keys of the view with a margin."""
        height, width = self.scrolling.shape
        rows, columns = (
            self.position[:, axis, None] + torch.arange(-margin, size + margin, device=self.position.device)
            for axis, size in enumerate((height, width))
        )
        places = (rows % self.side)[:, :, None] * self.side + (columns % self.side)[:, None]
        keys = rows[:, :, None] * SPAN + columns[:, None]
        return places.flatten(1), keys.flatten(1)
