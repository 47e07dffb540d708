"""Slice-causal attention: a slice reads itself, the slices before it and the text, so its past can be kept.

The same weights are trained with both masks. In the order "causal" the slices of a sample are a video. In "teacher"
they are a video twice, first clean and then noisy: a noisy slice reads itself and the clean slices before it, so one
pass trains the prediction of every slice from a clean past (teacher forcing; Gao et al. 2024, arXiv 2411.16375).

Text reads itself only, and stands at the time of the slice that reads it: its keys are rotated to that time. So a
session may last for hours without distances between times that no clip had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chronotope.models.refinement import Grid
from chronotope.models.rope import rotary_angles, rotate

__all__ = ["CausalSegments", "Past", "PastSlice", "slices_read"]

MOST_KEYS = 2**20  # tokens that are gathered at once

KeysAndValues = tuple[Tensor, Tensor]  # [n, heads, k] each


@dataclass(frozen=True, eq=False)
class PastSlice:
    """What later slices read of a clean slice: keys and values of each block, its message to the next slice and its
    latents, as the network reads them.
    """

    layers: tuple[KeysAndValues, ...]
    message: Float[Tensor, "1 c h w"]
    latents: Float[Tensor, "1 l h w"]


@dataclass(frozen=True, eq=False)
class Past:
    """The clean past of one video, as the blocks read it: its text and its last `memory` slices (0: all).

    It is never changed, so a copy of a session costs nothing: `with_slice` returns another past that shares the slices.
    """

    text: tuple[KeysAndValues, ...]
    slices: tuple[PastSlice, ...] = ()
    memory: int = 0

    def with_slice(self, new: PastSlice) -> Past:
        """Return the past after one more slice; the oldest one is forgotten where there are more than `memory`."""
        return replace(self, slices=(*self.slices, new)[-self.memory :])

    @cached_property
    def joined(self) -> tuple[KeysAndValues, ...]:
        """Keys and values of all slices, [n, heads, k] each, by block."""
        layers = zip(*(one.layers for one in self.slices), strict=True)
        return tuple((torch.cat([k for k, _ in each]), torch.cat([v for _, v in each])) for each in layers)


def slices_read(grid: Grid, past: int, memory: int) -> Iterator[list[range]]:
    """Yield the slices that each slice of a grid reads, as ranges; slices count from the first of `past` earlier ones.

    A slice reads at most `memory` slices before it, or all of them where `memory` is 0.
    """
    count = grid.slices // 2 if grid.order == "teacher" else grid.slices
    first = [max(0, past + i - memory) if memory else 0 for i in range(count)]
    for i in range(count):
        yield [range(first[i], past + i + 1)]
    for i in range(count, grid.slices):  # the noisy slices of "teacher"
        yield [range(first[i - count], past + i - count), range(past + i, past + i + 1)]


@dataclass(frozen=True, eq=False)
class CausalSegments:
    """The samples of a packed sequence of which some have a slice-causal mask, as `packed_attention` reads them.

    `angles` are cosines and sines of the times of all slices, by sample [s, 1, 1, k / 2]; `pasts` is what each sample
    reads beside its own tokens. Where `kept` is a list, it receives the keys and values of each block.
    """

    lengths: tuple[int, ...]
    grids: tuple[Grid, ...]
    angles: tuple[KeysAndValues, ...]
    pasts: tuple[Past | None, ...]
    memory: int
    layer: int = 0
    kept: list[KeysAndValues] | None = field(default=None, repr=False)

    @staticmethod
    def of(
        lengths: tuple[int, ...],
        grids: tuple[Grid, ...],
        positions: Float[Tensor, "n 3"],
        head_dim: int,
        pasts: Sequence[Past | None],
        memory: int,
        kept: list[KeysAndValues] | None = None,
    ) -> CausalSegments:
        """Read the times of slices from the positions of their first tokens."""
        angles, end = [], 0
        for length, grid in zip(lengths, grids, strict=True):
            end += length
            times = F.pad(positions[end - grid.tokens : end : grid.rows * grid.columns, :1], (0, 2))
            cosines, sines = rotary_angles(times, head_dim)
            angles.append((cosines[:, None], sines[:, None]))
        return CausalSegments(lengths, grids, tuple(angles), tuple(pasts) or (None,) * len(grids), memory, 0, kept)

    def at(self, layer: int) -> CausalSegments:
        """Return the same samples as the block of this number reads them."""
        return replace(self, layer=layer)

    def attend(
        self, q: Float[Tensor, "n heads k"], k: Float[Tensor, "n heads k"], v: Float[Tensor, "n heads k"]
    ) -> Float[Tensor, "n heads k"]:
        """Compute attention within each sample under its mask; samples of equal shape are processed together."""
        if self.kept is not None:
            self.kept.append((k, v))
        outputs, start = [], 0
        numbers = range(len(self.lengths))
        for _, run in groupby(numbers, key=lambda i: (self.lengths[i], self.grids[i], id(self.pasts[i]))):
            members = list(run)
            stop = start + self.lengths[members[0]] * len(members)
            parts = [x[start:stop].unflatten(0, (len(members), -1)).transpose(1, 2) for x in (q, k, v)]
            outputs.append(self._run(members, *parts).transpose(1, 2).flatten(0, 1))
            start = stop
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]

    def _run(self, members: list[int], q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend in samples [b, heads, n, k] of equal shape."""
        first = members[0]
        grid, past = self.grids[first], self.pasts[first]
        if grid.order == "full":
            return F.scaled_dot_product_attention(q, k, v)
        size, num_text = grid.rows * grid.columns, q.shape[2] - grid.tokens
        text_k, text_v, num_past = k[:, :, :num_text], v[:, :, :num_text], 0
        outputs = [F.scaled_dot_product_attention(q[:, :, :num_text], text_k, text_v)] if num_text else []
        q, k, v = (x[:, :, num_text:] for x in (q, k, v))
        if past is not None:
            text_k, text_v = (_for_all(x, len(members)) for x in past.text[self.layer])
            if past.slices:
                before = (_for_all(x, len(members)) for x in past.joined[self.layer])
                k, v = (torch.cat(pair, dim=2) for pair in zip(before, (k, v), strict=True))
            num_past = len(past.slices)
        cosines, sines = (torch.stack([self.angles[i][part] for i in members]).to(k.dtype) for part in (0, 1))
        index, read = _index_of(list(slices_read(grid, num_past, self.memory)), q.device)
        at_once = max(1, MOST_KEYS // (len(members) * (num_text + index.shape[1] * size)))  # slices
        for some in torch.arange(grid.slices, device=q.device).split(at_once):
            text_keys = rotate(_as_many(text_k, len(some)), cosines[:, some], sines[:, some])
            text = (text_keys, _as_many(text_v, len(some)))
            keys, values = (
                torch.cat([of_text, _gathered(x, index[some], size)], dim=3)
                for of_text, x in zip(text, (k, v), strict=True)
            )
            of_text = read.new_ones(len(some), keys.shape[3] - index.shape[1] * size)
            mask = torch.cat([of_text, read[some].repeat_interleave(size, dim=1)], dim=1)
            queries = q.unflatten(2, (-1, size)).transpose(1, 2)[:, some]
            attended = F.scaled_dot_product_attention(
                queries.flatten(0, 1),
                keys.flatten(0, 1),
                values.flatten(0, 1),
                None if mask.all() else mask.repeat(len(members), 1)[:, None, None],
            )
            outputs.append(attended.unflatten(0, (len(members), -1)).transpose(1, 2).flatten(2, 3))
        return torch.cat(outputs, dim=2)


def _index_of(reads: list[list[range]], device: torch.device) -> tuple[Int[Tensor, "s m"], Bool[Tensor, "s m"]]:
    """Return the slices that each slice reads, in rows of equal length, and which of these count."""
    rows = [[number for numbers in ranges for number in numbers] for ranges in reads]
    most = max(map(len, rows))
    index = torch.tensor([row + [0] * (most - len(row)) for row in rows], device=device)
    counts = torch.tensor(list(map(len, rows)), device=device)
    return index, torch.arange(most, device=device) < counts[:, None]


def _gathered(
    x: Float[Tensor, "b heads n k"], index: Int[Tensor, "s m"], size: int
) -> Float[Tensor, "b s heads keys k"]:
    """Return the tokens of the slices that each slice reads."""
    slices = x.unflatten(2, (-1, size))
    found = slices.index_select(2, index.flatten()).unflatten(2, index.shape)
    return found.transpose(1, 2).flatten(3, 4)


def _as_many(x: Float[Tensor, "b heads n k"], count: int) -> Float[Tensor, "b s heads n k"]:
    return x[:, None].expand(-1, count, -1, -1, -1)


def _for_all(x: Float[Tensor, "n heads k"], count: int) -> Float[Tensor, "b heads n k"]:
    return x.transpose(0, 1).expand(count, -1, -1, -1)
