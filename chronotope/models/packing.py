"""Batching by packing: concatenate samples of any size and length into one sequence, without padding.

Samples are sorted by length inside a pack, so that attention can process runs of equal length in one call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chronotope.geometry import Geometry, Slice
from chronotope.models.dit import SIGNAL_STILL, SIGNAL_TEXT, PackedTokens
from chronotope.models.refinement import Grid

__all__ = ["Sample", "pack", "row_signals", "rows_of", "unpack"]


@dataclass(frozen=True)
class Sample:
    """One video as tokens, with its texts; the input of `pack`.

    `row` is the index of every visual token into `level` (noise levels) and `signals`. A text is (the time in seconds
    that it describes, token ids).
    """

    noisy: Float[Tensor, "v p"]
    positions: Float[Tensor, "v 3"]
    row: Int[Tensor, " v"]
    level: Float[Tensor, " r"]
    signals: Float[Tensor, "r g"]
    texts: tuple[tuple[float, tuple[int, ...]], ...]
    grid: Grid

    @property
    def num_text_tokens(self) -> int:
        return sum(len(ids) for _, ids in self.texts)

    @property
    def num_tokens(self) -> int:
        return len(self.noisy) + self.num_text_tokens


def rows_of(*levels: Float[Tensor, "s rows columns"]) -> tuple[Float[Tensor, "r k"], Int[Tensor, " v"]]:
    """Group the tokens of each slice that have equal levels into rows.

    Returns (slice index, levels...) of every row, and the row of every token in the order of `patchify`.
    """
    of_slice = torch.arange(len(levels[0]), device=levels[0].device)[:, None, None].expand_as(levels[0])
    columns = torch.stack([of_slice.to(levels[0].dtype), *levels], dim=-1).flatten(0, 2)
    rows, row = torch.unique(columns, dim=0, return_inverse=True)
    return rows, row


def row_signals(
    geometry: Geometry, slices: Sequence[Slice], height: int, width: int, fps: float
) -> Float[Tensor, "s g"]:
    """Return the conditioning signals of the tokens of each slice (see `models.dit.NUM_SIGNALS`)."""
    shared = [math.log2(fps / 8), math.log2(math.sqrt(height * width) / 64), math.log2(width / height)]
    return torch.tensor([[float(piece.still), 0.0, *shared] for piece in slices])


def pack(samples: Sequence[Sample]) -> tuple[PackedTokens, tuple[int, ...]]:
    """Concatenate samples into one sequence; also return the indices of the samples in their order in the sequence."""
    arranged = tuple(sorted(range(len(samples)), key=lambda i: (samples[i].num_tokens, samples[i].num_text_tokens)))
    device = samples[0].noisy.device
    ids: list[int] = []
    text_lengths: list[int] = []
    order, positions, row, level, signals = [], [], [], [], []
    num_text = sum(sample.num_text_tokens for sample in samples)
    text_seen, visual_seen, rows_seen = 0, num_text, 0
    for index in arranged:
        sample = samples[index]
        length, visual = sample.num_text_tokens, len(sample.noisy)
        order += [torch.arange(text_seen, text_seen + length), torch.arange(visual_seen, visual_seen + visual)]
        text_seen, visual_seen = text_seen + length, visual_seen + visual
        for seconds, words in sample.texts:
            ids += words
            text_lengths.append(len(words))
            positions.append(torch.tensor([[seconds, 0.0, 0.0]]).expand(len(words), 3).to(device))
        positions.append(sample.positions)
        # text tokens form one row: noise level 0 and the signals that the slices of the sample share
        num_rows = len(sample.level)
        row += [torch.full((length,), rows_seen + num_rows), sample.row.cpu() + rows_seen]
        level += [sample.level, sample.level.new_zeros(1)]
        text_signals = sample.signals[:1].clone()
        text_signals[0, SIGNAL_STILL], text_signals[0, SIGNAL_TEXT] = 0.0, 1.0
        signals += [sample.signals, text_signals]
        rows_seen += num_rows + 1
    tokens = PackedTokens(
        noisy=torch.cat([samples[i].noisy for i in arranged]),
        text_ids=torch.tensor(ids, device=device),
        text_lengths=tuple(text_lengths),
        order=torch.cat(order).to(device),
        lengths=tuple(samples[i].num_tokens for i in arranged),
        positions=torch.cat(positions),
        row=torch.cat(row).to(device),
        level=torch.cat(level),
        signals=torch.cat(signals),
        grids=tuple(samples[i].grid for i in arranged),
    )
    return tokens, arranged


def unpack(
    values: Float[Tensor, "v p"], samples: Sequence[Sample], arranged: Sequence[int]
) -> list[Float[Tensor, "w p"]]:
    """Split the values of the visual tokens of a pack into samples, in the order that `pack` was given."""
    pieces = values.split([len(samples[i].noisy) for i in arranged])
    return [pieces[arranged.index(i)] for i in range(len(samples))]
