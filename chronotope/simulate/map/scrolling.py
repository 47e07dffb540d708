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

from chronotope.simulate.map.shift import choose_shift, errors_of_shifts, shifts

__all__ = ["find_scrolling", "is_scrolling", "rows_of_text"]

ROUNDS = 4
CLEAR, VISIBLE = 4, 0.1  # a vote needs errors that differ by this factor, of which the larger is at least so large
LEAST_VOTES = 3


def find_scrolling(clips: Iterable[Float[Tensor, "_ c h w"]], reach: int) -> Bool[Tensor, "h w"]:
    """Measure which latents scroll, on clips of equal size, each of two slices or more; none where no view moves."""
    measured = [_errors(clip.float(), reach) for clip in clips]
    error, known = (torch.cat(each) for each in zip(*measured, strict=True))
    tried, still = shifts(reach), (2 * reach + 1) ** 2 // 2
    scrolling = torch.ones(error.shape[2:], dtype=torch.bool)
    for _ in range(ROUNDS):
        shift = choose_shift(error, known, scrolling, reach)
        source = F.pad(scrolling.float()[None, None], [reach] * 4)
        from_map = F.unfold(source, tuple(scrolling.shape)).view(*scrolling.shape, -1) > 0
        votes = torch.zeros(scrolling.shape)
        for number, moved in enumerate(tried):
            chosen = (shift == moved).all(dim=1)
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


def _errors(clip: Float[Tensor, "s c h w"], reach: int) -> tuple[Tensor, Tensor]:
    """Return the errors of the shifts between all neighbouring slices of a clip."""
    known = torch.ones_like(clip[:-1, :1])
    return errors_of_shifts(clip[1:], F.pad(torch.cat([clip[:-1], known], dim=1), [reach] * 4))


def rows_of_text(scrolling: Bool[Tensor, "h w"]) -> list[str]:
    """Write which latents scroll as rows of 1 and 0, for a description."""
    return ["".join("1" if each else "0" for each in row) for row in scrolling.tolist()]


def is_scrolling(rows: Iterable[str]) -> Bool[Tensor, "h w"]:
    """Read what `rows_of_text` wrote."""
    return torch.tensor([[each == "1" for each in row] for row in rows], dtype=torch.bool)
