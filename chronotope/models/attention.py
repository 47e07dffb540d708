"""Attention over a packed sequence: a token attends to the tokens of its own sample only.

`packed_attention` is one call on every device, and part of a compiled graph:

- on CUDA in half precision, one variable-length kernel;
- on a CPU, one scaled dot-product attention for each run of samples of equal length. A compiled graph cannot hold a
  loop whose length depends on data, so there it calls an operator that hides the loop (`chronotope::attend`), with the
  same kernels and the same bits;
- elsewhere, and under a slice-causal mask, the loop outside of compiled graphs.

On a CPU attention is computed in single precision, but for samples of at least `BFLOAT16_FROM` tokens in a training in
bfloat16: there the forward and backward pass take 0.74 to 0.9 of the time, of shorter samples up to 1.3 times as much,
and the forward pass alone gains nothing at any length (docs/performance.md).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from chronotope.models.causal import CausalSegments
from chronotope.models.precision import multiplies_bfloat16

__all__ = ["BFLOAT16_FROM", "Segments", "copied_to", "packed_attention"]

BFLOAT16_FROM = 512
"""The length, in tokens, from which a CPU trains the attention of a sample in bfloat16."""


@dataclass(frozen=True, eq=False)
class Segments:
    """The number of tokens of each sample of a packed sequence, in order, and tensors made from it once.

    `ends` are 0 and the end of each sample (cumulative lengths), and `places` the index of every token within its
    sample; `to` copies both to a device. `host_ends` stay on the host. A compiled graph reads the tensors, so it is not
    specialised to the lengths.
    """

    lengths: tuple[int, ...]
    longest: int = field(init=False, repr=False)
    ends: Int[Tensor, " ends"] = field(init=False, repr=False)
    host_ends: Int[Tensor, " ends"] = field(init=False, repr=False)
    places: Float[Tensor, " n"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        lengths = torch.tensor(self.lengths, dtype=torch.long)
        ends = torch.tensor([0, *accumulate(self.lengths)])
        starts = ends[:-1].repeat_interleave(lengths)
        self._set(
            longest=max(self.lengths, default=0),
            ends=ends.int(),
            host_ends=ends.int(),
            places=(torch.arange(len(starts)) - starts).float(),
        )

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def to(self, device: torch.device) -> Segments:
        """Return these segments with their tensors on a device; the copy to a GPU is asynchronous."""
        if device == self.ends.device:
            return self
        moved = copy.copy(self)
        moved._set(**{name: copied_to(getattr(self, name), device) for name in ("ends", "places")})
        return moved

    def at(self, layer: int) -> Segments:
        """Return these segments, which all blocks read alike."""
        del layer
        return self

    def runs(self) -> list[tuple[int, int]]:
        """Return (count, length) of each run of consecutive samples of equal length."""
        return _runs(self.lengths)


def copied_to(value: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device; the copy from the host to a GPU is asynchronous."""
    pinned = value.pin_memory() if device.type == "cuda" and value.device.type == "cpu" else value
    return pinned.to(device, non_blocking=True)


def packed_attention(
    q: Float[Tensor, "n heads k"],
    k: Float[Tensor, "n heads k"],
    v: Float[Tensor, "n heads k"],
    segments: Segments | CausalSegments,
) -> Float[Tensor, "n heads k"]:
    """Compute attention within each sample; returns the dtype of `v`."""
    if isinstance(segments, Segments):
        if q.is_cuda and v.dtype in (torch.bfloat16, torch.float16):
            return _by_kernel(q.to(v.dtype), k.to(v.dtype), v, segments)
        if q.device.type == "cpu" and torch.compiler.is_compiling():
            rounds = _trains_in_bfloat16(v)
            attended, _ = torch.ops.chronotope.attend(q.float(), k.float(), v.float(), segments.host_ends, rounds)
            return attended.to(v.dtype)  # type: ignore[no-any-return]
    if torch.compiler.is_compiling():  # as a decorator it would import torch._dynamo, 1.3 s, where nothing is compiled
        return torch.compiler.disable(_attend)(q, k, v, segments)  # type: ignore[no-any-return]
    return _attend(q, k, v, segments)


def _by_kernel(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn  # takes 1.3 s

    ends, longest = segments.ends, segments.longest
    return varlen_attn(q, k, v, ends, ends, longest, longest)  # type: ignore[return-value]


def _attend(q: Tensor, k: Tensor, v: Tensor, segments: Segments | CausalSegments) -> Tensor:
    rounds = _trains_in_bfloat16(v)
    with torch.autocast(q.device.type, enabled=False):
        if isinstance(segments, CausalSegments):
            return segments.attend(q.float(), k.float(), v.float()).to(v.dtype)
        by_run = (_rounded(rows, rounds) for rows in _by_run(segments.runs(), q.float(), k.float(), v.float()))
        outputs = [
            _joined(F.scaled_dot_product_attention(queries, keys, values)).float() for queries, keys, values in by_run
        ]
        return _concatenated(outputs).to(v.dtype)


def _trains_in_bfloat16(values: Tensor) -> bool:
    return values.dtype == torch.bfloat16 and values.device.type == "cpu" and torch.is_grad_enabled()


def _rounded(rows: list[Float[Tensor, "samples heads length k"]], rounds: bool) -> list[Tensor]:
    """Round the rows of a run of samples to bfloat16 where that makes training faster."""
    if rounds and rows[0].shape[2] >= BFLOAT16_FROM and multiplies_bfloat16(rows[0].device):
        return [each.bfloat16() for each in rows]
    return rows


def _runs(lengths: Sequence[int]) -> list[tuple[int, int]]:
    return [(len(list(run)), length) for length, run in groupby(lengths)]


def _by_run(runs: Sequence[tuple[int, int]], *tensors: Tensor) -> Iterator[list[Tensor]]:
    """Yield the tensors [n, heads, ...] of each run as [samples, heads, length, ...], without copying them."""
    sizes = [count * length for count, length in runs]
    for run, pieces in zip(runs, zip(*(x.split(sizes) for x in tensors), strict=True), strict=True):
        yield [piece.unflatten(0, run).transpose(1, 2) for piece in pieces]


def _joined(rows: Float[Tensor, "samples heads length *k"]) -> Float[Tensor, "n heads *k"]:
    return rows.transpose(1, 2).flatten(0, 1)


def _concatenated(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]


# The operator that a compiled graph on a CPU calls. Its kernels are those that F.scaled_dot_product_attention takes.
# `torch.library.custom_op` would import torch._dynamo at the first call.

_OPERATORS = torch.library.Library("chronotope", "DEF")
_OPERATORS.define("attend(Tensor q, Tensor k, Tensor v, Tensor ends, bool rounds) -> (Tensor, Tensor)")
_OPERATORS.define(
    "attend_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor attended, Tensor logsumexp, Tensor ends,"
    " bool rounds) -> (Tensor, Tensor, Tensor)"
)


def _runs_between(ends: Tensor) -> list[tuple[int, int]]:
    return _runs([stop - start for start, stop in pairwise(ends.tolist())])


def _attend_kernel(q: Tensor, k: Tensor, v: Tensor, ends: Tensor, rounds: bool) -> tuple[Tensor, Tensor]:
    """Return the attended values [n, heads, k] and the logarithms of the sums of weights [n, heads]."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    found = [kernel(*_rounded(rows, rounds)) for rows in _by_run(_runs_between(ends), q, k, v)]
    return _concatenated([_joined(rows).float() for rows, _ in found]), torch.cat([_joined(rows) for _, rows in found])


def _attend_backward_kernel(
    gradient: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attended: Tensor,
    logsumexp: Tensor,
    ends: Tensor,
    rounds: bool,
) -> tuple[Tensor, ...]:
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    by_run = _by_run(_runs_between(ends), gradient, q, k, v, attended, logsumexp)
    found = [kernel(*_rounded(rows, rounds), sums, 0.0, False) for *rows, sums in by_run]
    return tuple(_concatenated([_joined(rows).float() for rows in part]) for part in zip(*found, strict=True))


def _attend_shapes(q: Tensor, k: Tensor, v: Tensor, ends: Tensor, rounds: bool) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), q.new_empty(q.shape[:2])


def _attend_backward_shapes(gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(x.shape) for x in (q, k, v))


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    *qkv, ends, ctx.rounds = inputs
    ctx.save_for_backward(*qkv, *output, ends)


def _differentiate(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return *torch.ops.chronotope.attend_backward(gradient, *ctx.saved_tensors, ctx.rounds), None, None


_OPERATORS.impl("attend", _attend_kernel, "CPU")
_OPERATORS.impl("attend_backward", _attend_backward_kernel, "CPU")
torch.library.register_fake("chronotope::attend", _attend_shapes, lib=_OPERATORS)
torch.library.register_fake("chronotope::attend_backward", _attend_backward_shapes, lib=_OPERATORS)
torch.library.register_autograd("chronotope::attend", _differentiate, setup_context=_save, lib=_OPERATORS)
