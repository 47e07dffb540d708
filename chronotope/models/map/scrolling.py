"""Which latents of a slice move with the view: the map does, and the player in its middle and the numbers below do not.

Of the slices that moved, each latent votes: does the slice before explain it better where it was moved from, or where
it is? Which slices moved depends on which latents count, so both are found in turns, at first with all latents.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from chronotope.models.map.shift import best_shift, errors_of_shifts, shifts

__all__ = ["find_scrolling", "is_scrolling", "rows_of_text"]

ROUNDS = 4
CLEAR, VISIBLE = 4, 0.1  # a vote needs errors that differ by this factor, of which the larger is at least so large
LEAST_VOTES = 3


def find_scrolling(clips: Iterable[Float[Tensor, "_ c h w"]], reach: int) -> Bool[Tensor, "h w"]:
    """Measure which latents scroll, on clips of equal size; none where the view never moves."""
    pairs = [(clip[:-1].float(), clip[1:].float()) for clip in clips if len(clip) > 1]
    before, after = (torch.cat(each) for each in zip(*pairs, strict=True))
    padded = F.pad(torch.cat([before, torch.ones_like(before[:, :1])], dim=1), [reach] * 4)
    error, known = errors_of_shifts(after, padded)
    tried, still = shifts(reach).tolist(), (2 * reach + 1) ** 2 // 2
    scrolling = torch.ones(after.shape[2:], dtype=torch.bool)
    for _ in range(ROUNDS):
        shift = best_shift(after, padded, scrolling)
        source = F.pad(scrolling.float()[None, None], [reach] * 4)
        from_map = F.unfold(source, tuple(scrolling.shape)).view(*scrolling.shape, -1) > 0
        votes = torch.zeros(scrolling.shape)
        for number, moved in enumerate(tried):
            chosen = (shift == torch.tensor(moved)).all(dim=1)
            if number == still or not chosen.any():
                continue
            there, here = error[chosen, number], error[chosen, still]
            counts = known[chosen, number] & from_map[:, :, number]
            votes += (counts & (CLEAR * there < here) & (here > VISIBLE)).sum(dim=0)
            votes -= (counts & (CLEAR * here < there) & (there > VISIBLE)).sum(dim=0)
        found = votes >= LEAST_VOTES
        if torch.equal(found, scrolling):
            break
        scrolling = found
    return scrolling


def rows_of_text(scrolling: Bool[Tensor, "h w"]) -> tuple[str, ...]:
    """Write which latents scroll as rows of 1 and 0, for a config."""
    return tuple("".join("1" if each else "0" for each in row) for row in scrolling.tolist())


def is_scrolling(rows: tuple[str, ...]) -> Bool[Tensor, "h w"]:
    """Read what `rows_of_text` wrote."""
    values = [[each == "1" for each in row] for row in rows]
    return torch.tensor(values, dtype=torch.bool).view(len(rows), len(rows[0]) if rows else 0)
