"""A map of what was seen, by position: where the view is follows from the slices themselves (dead reckoning).

Positions count in latents from the first view. A latent is stored at its position modulo the side of the map, with its
position as its key, so the map has a size: what lies a side away takes the place of what was stored before. Only
latents that scroll are stored (after the egocentric map of Parisotto and Salakhutdinov 2017, arXiv 1702.08360).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.simulate.map.shift import choose_shift, errors_of_shifts

__all__ = ["MapMemory"]

SPAN = 2**31  # of the columns in a key
NOWHERE = -(2**62)  # the key of an empty place

Shift = tuple[int, int]  # latents (down, right)


@dataclass(frozen=True, eq=False)
class MapMemory:
    """What was seen so far. It is never changed: `after` returns another map.

    `latents` and `keys` are those of all side x side places; `position` is the first row and column of the view. A view
    moves by up to `reach` latents a slice. Latents are compared in units of their `deviation`.
    """

    scrolling: Bool[Tensor, "h w"]
    deviation: Float[Tensor, "c 1 1"]
    reach: int
    side: int
    latents: Float[Tensor, "places c"]
    keys: Int[Tensor, " places"]
    position: Shift = (0, 0)

    @staticmethod
    def empty(
        scrolling: Bool[Tensor, "h w"], deviation: Float[Tensor, "c 1 1"], side: int, reach: int = 1
    ) -> MapMemory:
        """Return a map of which nothing is known; raise UsageError for one that is smaller than a view."""
        least = max(scrolling.shape) + 2 * reach
        if side < least:
            raise UsageError(f"a map of {side} latents a side is less than a view and its surroundings; give {least}")
        latents, keys = torch.zeros(side**2, len(deviation)), torch.full((side**2,), NOWHERE)
        return MapMemory(scrolling, deviation, reach, side, latents, keys)

    def around(self, margin: int) -> tuple[Float[Tensor, "c H W"], Bool[Tensor, "H W"]]:
        """Return what is known of the view with a margin, and where that is."""
        places, keys = self._window(margin)
        known = self.keys[places] == keys
        return (self.latents[places] * known[:, :, None]).movedim(2, 0), known

    def after(self, view: Float[Tensor, "1 c h w"], shift: Shift | None = None) -> MapMemory:
        """Return the map after one more view; how it moved is found where it is not stated."""
        moved = self._at(self._shift(view, *self.around(self.reach)) if shift is None else shift)
        places, keys = moved._window(0)
        places, keys = places[self.scrolling], keys[self.scrolling]
        latents, all_keys = self.latents.clone(), self.keys.clone()
        latents[places], all_keys[places] = view[0].movedim(0, 2)[self.scrolling], keys
        return replace(moved, latents=latents, keys=all_keys)

    def recall(self, view: Float[Tensor, "1 c h w"]) -> tuple[Float[Tensor, "1 c h w"], Shift]:
        """Return a view that follows the last one, in which places that were seen before are as they were; and how it
        moved.

        Only latents that enter the view are replaced. The shift follows from those that were in view: what a model
        makes up at the border says nothing of it.
        """
        inside = F.pad(self.scrolling, [self.reach] * 4)
        latents, known = self.around(self.reach)
        down, right = self._shift(view, latents, known & inside)
        height, width = self.scrolling.shape
        rows, columns = slice(self.reach + down, None), slice(self.reach + right, None)
        stays = inside[rows, columns][:height, :width]
        latents, known = self._at((down, right)).around(0)
        return torch.where(self.scrolling & known & ~stays, latents, view), (down, right)

    def _shift(self, view: Float[Tensor, "1 c h w"], latents: Float[Tensor, "c H W"], known: Tensor) -> Shift:
        """Find how a view moved over what was around the last one."""
        around = torch.cat([latents / self.deviation, known[None]])[None]
        error, where = errors_of_shifts(view / self.deviation, around)
        down, right = choose_shift(error, where, self.scrolling, self.reach)[0].tolist()
        return down, right

    def _at(self, shift: Shift) -> MapMemory:
        return replace(self, position=(self.position[0] + shift[0], self.position[1] + shift[1]))

    def _window(self, margin: int) -> tuple[Int[Tensor, "H W"], Int[Tensor, "H W"]]:
        """Return the places and the keys of the view with a margin."""
        rows, columns = (
            torch.arange(start - margin, start + size + margin)
            for start, size in zip(self.position, self.scrolling.shape, strict=True)
        )
        places = (rows % self.side)[:, None] * self.side + columns % self.side
        return places, rows[:, None] * SPAN + columns
