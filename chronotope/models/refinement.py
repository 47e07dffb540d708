"""Convolutions over the latent grid at the input and output of the transformer, across tokens and slices.

Each token predicts its latents alone, which breaks outlines at token edges and motion between slices. Convolutions
before the output correct that (Bao et al. 2023, arXiv 2209.12152, section 3.1). The first also reads the slices before
and after; samples stay separate. Residual blocks between the first and the last make the correction deeper: a drawing
is the same wherever it stands, which convolutions need not learn for every place.

Models of worlds that are played also bring the latents of the slice before to every slice (`Continuation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from chronotope.models.autoencoder import Block
from chronotope.models.linear import Linear, silu
from chronotope.models.patches import patchify, unpatchify

__all__ = ["Continuation", "Grid", "Neighbours", "Order", "Refinement", "neighbours_of", "slices_before"]


Order = Literal["full", "causal", "teacher"]


class Grid(NamedTuple):
    """The arrangement of the tokens of one sample; in a `cycle` the last slice precedes the first.

    `order` says which slices read which: all each other, or earlier ones (see `models/causal.py`).
    """

    slices: int
    rows: int
    columns: int
    cycle: bool = False
    order: Order = "full"

    @property
    def tokens(self) -> int:
        return self.slices * self.rows * self.columns


class Neighbours(NamedTuple):
    """The index of the slice before and after each slice, of all samples of equal height and width.

    Where there is none it is the number of slices.
    """

    before: Int[Tensor, " s"]
    after: Int[Tensor, " s"]


class Refinement(nn.Module):
    """Map token features and noisy latents to a correction of the output; the correction is initialised to zero."""

    def __init__(
        self, width: int, channels: int, patch_size: tuple[int, int, int], hidden: int, depth: int = 0
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.spread = Linear(width, patch_size[1] * patch_size[2] * hidden)
        self.gather = nn.Conv2d(hidden + channels, hidden, 3, padding=1)
        # output channels: first what a slice sends to the next slice, then what it sends to the previous one
        self.gather_in_time = nn.Conv2d(hidden + channels, 2 * hidden, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(Block(hidden) for _ in range(depth))
        self.correct = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(
        self,
        tokens: Float[Tensor, "v d"],
        noisy: Float[Tensor, "v p"],
        grids: tuple[Grid, ...],
        received: Sequence[Tensor | None] = (),
        neighbours: Sequence[Neighbours] = (),
    ) -> Float[Tensor, "v p"]:
        """Return the correction of every visual token; samples of equal height and width are processed together.

        `received` are the messages from the slice before the first of each sample, where there is one. `neighbours` are
        those of `neighbours_of`, on the device of the tokens; without them they are found here.
        """
        received = received or [None] * len(grids)
        neighbours = neighbours or [Neighbours(*(x.to(tokens.device) for x in both)) for both in neighbours_of(grids)]
        pieces = self._inputs(tokens, noisy).split([grid.tokens for grid in grids])
        corrections: dict[int, Tensor] = {}
        for (shape, members), adjacent in zip(_by_shape(grids).items(), neighbours, strict=True):
            latents = unpatchify(torch.cat([pieces[i] for i in members]), self.patch_size, *shape)
            latents = latents.contiguous(memory_format=torch.channels_last)
            gathered = self.gather(latents)
            # a picture has no neighbours in time
            if any(grids[i].slices > 1 or grids[i].cycle or received[i] is not None for i in members):
                messages, own = self.gather_in_time(latents), [grids[i] for i in members]
                gathered = gathered + _from_neighbours(messages, own, adjacent, [received[i] for i in members])
            for block in self.blocks:
                gathered = block(gathered)
            corrected = patchify(self.correct(silu(gathered)), self.patch_size)
            corrections |= zip(members, corrected.split([len(pieces[i]) for i in members]), strict=True)
        return torch.cat([corrections[i] for i in range(len(grids))])

    def message(
        self, tokens: Float[Tensor, "v d"], noisy: Float[Tensor, "v p"], grid: Grid
    ) -> Float[Tensor, "1 c h w"]:
        """Return what a single slice sends to the next one."""
        latents = unpatchify(self._inputs(tokens, noisy), self.patch_size, grid.rows, grid.columns)
        return self.gather_in_time(latents.contiguous(memory_format=torch.channels_last)).chunk(2, dim=1)[0]

    def _inputs(self, tokens: Float[Tensor, "v d"], noisy: Float[Tensor, "v p"]) -> Float[Tensor, "v q"]:
        features = _by_latent(self.spread(tokens), self.patch_size)
        return torch.cat([features, _by_latent(noisy, self.patch_size)], dim=-1).flatten(1)


def neighbours_of(grids: Sequence[Grid]) -> tuple[Neighbours, ...]:
    """Return the neighbours of the slices of a pack, for each height and width in the order in which they come."""
    return tuple(_adjacent([grids[i] for i in members]) for members in _by_shape(grids).values())


def _by_shape(grids: Sequence[Grid]) -> dict[tuple[int, int], list[int]]:
    """Return the numbers of the samples of each height and width."""
    members: dict[tuple[int, int], list[int]] = {}
    for number, grid in enumerate(grids):
        members.setdefault((grid.rows, grid.columns), []).append(number)
    return members


class Continuation(nn.Module):
    """Bring the latents of the slice before each slice to its input and its output, under the slice-causal mask.

    The input of a token holds the latents at its patch and up to `reach` latents around it. Its output moves them: for
    each of its latents a token predicts from which of `(2 reach + 1)^2` places it comes, or from none, as shares that
    sum to 1 (Finn et al. 2016, arXiv 1605.07157), so that a shift of the picture is one choice. The gain of each value
    depends on the noise level.
    """

    def __init__(self, width: int, channels: int, patch_size: tuple[int, int, int], reach: int) -> None:
        super().__init__()
        self.patch_size, self.reach, (rows, columns) = patch_size, reach, patch_size[1:]
        kernel = (rows + 2 * reach, columns + 2 * reach)
        self.gather = nn.Conv2d(channels, width, kernel, stride=(rows, columns), padding=reach, bias=False)
        self.places = Linear(width, rows * columns * ((2 * reach + 1) ** 2 + 1), bias=False)
        self.gains = Linear(width, rows * columns * channels, bias=False)

    def inputs(self, before: Sequence[Float[Tensor, "_ c _ _"]]) -> Float[Tensor, "v d"]:
        """Return what the input of every token holds of the slice before its own."""
        dtype = self.gather.weight.dtype
        read = [self.gather(latents.to(dtype)).flatten(2).transpose(1, 2).flatten(0, 1) for latents in before]
        return torch.cat(read)

    def outputs(
        self, tokens: Float[Tensor, "v d"], before: Sequence[Float[Tensor, "_ c _ _"]], grids: tuple[Grid, ...]
    ) -> Float[Tensor, "v p"]:
        """Return what the latents of the slice before, moved as every token asks, add to the output."""
        found = list[Tensor]()
        places = self.places(tokens).float().split([grid.tokens for grid in grids])
        for logits, latents, grid in zip(places, before, grids, strict=True):
            around = F.unfold(latents, 2 * self.reach + 1, padding=self.reach).unflatten(1, (latents.shape[1], -1))
            shares = unpatchify(logits, self.patch_size, grid.rows, grid.columns).softmax(dim=1)[:, :-1].flatten(2)
            moved = (around * shares[:, None]).sum(dim=2)
            found.append(patchify(moved.view_as(latents), self.patch_size))
        return (self.gains(tokens) - 1) * torch.cat(found)  # a velocity leads away from clean latents


def slices_before(
    tokens: Float[Tensor, "v p"],
    grids: tuple[Grid, ...],
    patch_size: tuple[int, int, int],
    received: Sequence[Float[Tensor, "1 c _ _"] | None] = (),
) -> list[Float[Tensor, "_ c _ _"]]:
    """Return the latents of the slice before each slice, by sample: zeros in the order "full" and where none is known.

    `received` are the latents of the slice before the first of each sample, where there is one. A noisy slice of
    "teacher" follows a clean one.
    """
    before = []
    pieces = tokens.split([grid.tokens for grid in grids])
    for piece, grid, first in zip(pieces, grids, received or [None] * len(grids), strict=True):
        latents = unpatchify(piece, patch_size, grid.rows, grid.columns)
        start = torch.zeros_like(latents[:1]) if first is None else first.to(latents.dtype)
        if grid.order == "full":
            before.append(torch.zeros_like(latents))
        elif grid.order == "teacher":
            before.append(torch.cat([start, latents[: grid.slices // 2 - 1]]).repeat(2, 1, 1, 1))
        else:
            before.append(torch.cat([start, latents[:-1]]))
    return before


def _from_neighbours(
    messages: Float[Tensor, "s both h w"],
    grids: Sequence[Grid],
    adjacent: Neighbours,
    received: Sequence[Tensor | None],
) -> Float[Tensor, "s c h w"]:
    """Add what the previous slice sends forward and what the next slice sends back; beyond the ends both are zero."""
    to_next, to_previous = F.pad(messages, (0, 0, 0, 0, 0, 0, 0, 1)).chunk(2, dim=1)  # one more slice, of zeros
    before, start = adjacent.before, 0
    from_past: list[Tensor] = []
    for grid, message in zip(grids, received, strict=True):
        if message is not None:
            first = torch.arange(len(before), device=before.device) == start
            before = torch.where(first, len(to_next) + len(from_past), before)
            from_past.append(message)
        start += grid.slices
    if from_past:
        to_next = torch.cat([to_next, *from_past])
    return to_next[before] + to_previous[adjacent.after]


def _adjacent(grids: Sequence[Grid]) -> Neighbours:
    """Return the previous and next slice of each slice."""
    count = sum(grid.slices for grid in grids)
    before, after = torch.arange(count) - 1, torch.arange(count) + 1
    start = 0
    for grid in grids:
        stop = start + grid.slices
        before[start] = stop - 1 if grid.cycle else count
        after[stop - 1] = start if grid.cycle else count
        if grid.order != "full":  # no slice sends anything back
            after[start:stop] = count
        if grid.order == "teacher":  # a noisy slice is preceded by the clean slice before it
            half = start + grid.slices // 2
            before[half:stop] = before[start:half].clone()
        start = stop
    return Neighbours(before, after)


def _by_latent(tokens: Float[Tensor, "v p"], patch_size: tuple[int, int, int]) -> Float[Tensor, "v l c"]:
    return tokens.unflatten(1, (patch_size[1] * patch_size[2], -1))
