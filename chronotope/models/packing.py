"""Batching by packing: concatenate samples of any size and length into one sequence, without padding.

Samples are sorted by length inside a pack, so that attention can process runs of equal length in one call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from chronotope.actions import ActionSchema
from chronotope.geometry import Geometry, Slice, View
from chronotope.models.attention import Segments
from chronotope.models.dit import SIGNAL_STILL, SIGNAL_TEXT, PackedTokens
from chronotope.models.refinement import Grid, Neighbours, neighbours_of
from chronotope.models.text import TextTokens

__all__ = [
    "Sample",
    "action_values",
    "action_width",
    "group_rows",
    "pack",
    "row_signals",
    "rows_of",
    "signals_of",
    "unpack",
]


@dataclass(frozen=True)
class Sample:
    """One video as tokens, with its texts; the input of `pack`.

    `row` is the index of every visual token into `level` (noise levels), `signals` and `actions`; all samples of a pack
    have actions, or none has. A text is (the time in seconds that it describes, its tokens).
    """

    noisy: Float[Tensor, "v p"]
    positions: Float[Tensor, "v 3"]
    row: Int[Tensor, " v"]
    level: Float[Tensor, " r"]
    signals: Float[Tensor, "r g"]
    texts: tuple[tuple[float, TextTokens], ...]
    grid: Grid
    actions: Float[Tensor, "r a"] | None = None

    @property
    def num_text_tokens(self) -> int:
        return sum(len(tokens) for _, tokens in self.texts)

    @property
    def num_tokens(self) -> int:
        return len(self.noisy) + self.num_text_tokens


def rows_of(*levels: Float[Tensor, "s rows columns"]) -> tuple[Float[Tensor, "r k"], Int[Tensor, " v"]]:
    """Group the tokens of each slice that have equal levels into rows.

    Returns (slice index, levels...) of every row, and the row of every token in the order of `patchify`.
    """
    of_slice = torch.arange(len(levels[0]), device=levels[0].device).repeat_interleave(levels[0][0].numel())
    return group_rows(of_slice, *(level.flatten() for level in levels))


def group_rows(
    of_slice: Int[Tensor, " v"], *levels: Float[Tensor, " v"]
) -> tuple[Float[Tensor, "r k"], Int[Tensor, " v"]]:
    """Do as `rows_of` for the tokens of several samples; `of_slice` counts the slices of all of them."""
    code, found = of_slice, []
    for level in levels:  # one number a token: sorting numbers is many times faster than sorting rows
        values, rank = torch.unique(level, return_inverse=True)
        code = code * len(values) + rank
        found.append(values)
    codes, row = torch.unique(code, return_inverse=True)
    columns = list[Tensor]()
    for values in reversed(found):
        columns.insert(0, values[codes % len(values)])
        codes = codes // len(values)
    return torch.stack([codes.to(levels[0].dtype), *columns], dim=1), row


def row_signals(
    geometry: Geometry, slices: Sequence[Slice], height: int, width: int, fps: float
) -> Float[Tensor, "s g"]:
    """Return the conditioning signals of the tokens of each slice (see `models.dit.NUM_SIGNALS`)."""
    return signals_of([View(tuple(slices), height, width, fps)])


def signals_of(views: Sequence[View]) -> Float[Tensor, "s g"]:
    """Return the conditioning signals of the slices of several samples, one after the other; see `row_signals`."""
    shared = [
        (
            math.log2(view.fps / 8),
            math.log2(math.sqrt(view.height * view.width) / 64),
            math.log2(view.width / view.height),
        )
        for view in views
    ]
    return torch.tensor(
        [
            [float(piece.still), 0.0, *numbers]
            for view, numbers in zip(views, shared, strict=True)
            for piece in view.slices
        ]
    )


def action_width(schema: ActionSchema, stride: int) -> int:
    """Return how many values stand for the actions of a slice of `stride` frames."""
    return stride * (1 + (schema.dims if schema.kind == "continuous" else sum(map(len, schema.choices))))


def action_values(
    schema: ActionSchema, stride: int, lengths: Sequence[int], values: np.ndarray, known: np.ndarray
) -> Float[Tensor, "s a"]:
    """Return what stands for the actions that led to the frames of each slice; `lengths` are those of slices.

    A frame has a 1, then the choice of each dimension as 0 and 1, or its value from -1 to 1. All are zeros where no
    action is known, and in the missing frames of a still slice, which come first.
    """
    if schema.kind == "continuous":
        low, high = np.array(schema.low), np.array(schema.high)
        parts = [2 * (values - low) / (high - low) - 1]
    else:
        parts = [np.eye(len(names))[values[:, d].astype(int)] for d, names in enumerate(schema.choices)]
    frames = np.concatenate([np.ones((len(values), 1)), *parts], axis=1) * known[:, None]
    slices = np.zeros((len(lengths), stride, frames.shape[1]), np.float32)
    for i, (start, length) in enumerate(zip(np.cumsum([0, *lengths]), lengths, strict=False)):
        slices[i, stride - length :] = frames[start : start + length]
    return torch.from_numpy(slices.reshape(len(lengths), -1))


def pack(samples: Sequence[Sample]) -> tuple[PackedTokens, tuple[int, ...]]:
    """Concatenate samples into one sequence; also return the indices of the samples in their order in the sequence."""
    arranged = tuple(sorted(range(len(samples)), key=lambda i: (samples[i].num_tokens, samples[i].num_text_tokens)))
    ordered, device = [samples[i] for i in arranged], samples[0].noisy.device
    texts = [text for sample in ordered for text in sample.texts]
    text_lengths = [len(tokens) for _, tokens in texts]
    num_text = np.array([sample.num_text_tokens for sample in ordered])
    num_visual = np.array([len(sample.noisy) for sample in ordered])
    num_rows = np.array([len(sample.level) for sample in ordered])
    order = _alternating(num_text, num_visual).to(device)
    place = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order), device=device))
    grids = tuple(sample.grid for sample in ordered)
    # text tokens form one row: noise level 0 and the signals that the slices of the sample share
    row_order = _alternating(num_rows, np.ones_like(num_rows)).to(device)
    text_row = np.cumsum(num_rows + 1) - 1
    text_signals = torch.cat([sample.signals[:1] for sample in ordered])
    text_signals[:, SIGNAL_STILL], text_signals[:, SIGNAL_TEXT] = 0.0, 1.0
    text_positions = np.zeros((sum(text_lengths), 3), np.float32)
    text_positions[:, 0] = np.repeat([seconds for seconds, _ in texts], text_lengths)
    rows = [
        torch.from_numpy(text_row.repeat(num_text)).to(device),
        torch.cat([sample.row for sample in ordered])
        + torch.from_numpy((text_row - num_rows).repeat(num_visual)).to(device),
    ]
    levels = [sample.level for sample in ordered]
    actions = [sample.actions for sample in ordered if sample.actions is not None]
    if actions:
        actions.append(actions[0].new_zeros(len(ordered), actions[0].shape[1]))  # texts have none
    tokens = PackedTokens(
        noisy=torch.cat([sample.noisy for sample in ordered]),
        text_tokens=_joined([tokens for _, tokens in texts]).to(device),
        texts=Segments(tuple(text_lengths)).to(device),
        order=order,
        place=place[sum(text_lengths) :],
        samples=Segments(tuple((num_text + num_visual).tolist())).to(device),
        positions=torch.cat([torch.from_numpy(text_positions).to(device), *(one.positions for one in ordered)])[order],
        row=torch.cat(rows)[order],
        level=torch.cat([*levels, levels[0].new_zeros(len(ordered))])[row_order],
        signals=torch.cat([*(sample.signals for sample in ordered), text_signals])[row_order],
        grids=grids,
        neighbours=tuple(Neighbours(*(x.to(device) for x in both)) for both in neighbours_of(grids)),
        actions=torch.cat(actions)[row_order] if actions else None,
    )
    return tokens, arranged


def _joined(texts: Sequence[TextTokens]) -> Int[Tensor, " l"] | Float[Tensor, "l s"]:
    """Concatenate the tokens of texts: ids, or states of a frozen encoder."""
    states = [tokens for tokens in texts if isinstance(tokens, Tensor)]
    if states:
        return torch.cat(states)
    return torch.tensor([number for ids in texts for number in ids], dtype=torch.long)


def _alternating(first: np.ndarray, second: np.ndarray) -> Int[Tensor, " n"]:
    """Return the order that puts blocks of these lengths, first all of the one and then all of the other, in turns."""
    lengths = np.stack([first, second], axis=1).reshape(-1)
    starts = np.stack([np.cumsum(first) - first, first.sum() + np.cumsum(second) - second], axis=1).reshape(-1)
    return torch.from_numpy(np.arange(lengths.sum()) + (starts - (np.cumsum(lengths) - lengths)).repeat(lengths))


def unpack(
    values: Float[Tensor, "v p"], samples: Sequence[Sample], arranged: Sequence[int]
) -> list[Float[Tensor, "w p"]]:
    """Split the values of the visual tokens of a pack into samples, in the order that `pack` was given."""
    pieces = values.split([len(samples[i].noisy) for i in arranged])
    return [pieces[arranged.index(i)] for i in range(len(samples))]
