"""Attention over a packed sequence: a token attends to the tokens of its own sample only.

The reference path runs on every device: one scaled dot-product attention for each run of samples of equal length. On
CUDA in half precision, the same function calls one variable-length kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, groupby

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from chronotope.models.causal import CausalSegments

__all__ = ["Segments", "packed_attention"]


@dataclass(frozen=True, eq=False)
class Segments:
    """The number of tokens of each sample of a packed sequence, in order.

    An object rather than a tuple, so that a compiled block is not specialised to the lengths.
    """

    lengths: tuple[int, ...]
    _ends: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False)

    def at(self, layer: int) -> Segments:
        """Return these segments, which all blocks read alike."""
        del layer
        return self

    def ends(self, device: torch.device) -> Int[Tensor, " ends"]:
        """Return 0 and the end of each sample (cumulative lengths); copied to each device once, asynchronously."""
        if device not in self._ends:
            ends = torch.tensor([0, *accumulate(self.lengths)], dtype=torch.int32)
            self._ends[device] = ends.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else ends
        return self._ends[device]

    def places(self) -> Int[Tensor, " n"]:
        """Return the index of every token within its sample."""
        lengths = torch.tensor(self.lengths)
        return torch.arange(int(lengths.sum())) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)

    def runs(self) -> list[tuple[int, int]]:
        """Return (count, length) of each run of consecutive samples of equal length."""
        return [(len(list(run)), length) for length, run in groupby(self.lengths)]


def packed_attention(
    q: Float[Tensor, "n heads k"],
    k: Float[Tensor, "n heads k"],
    v: Float[Tensor, "n heads k"],
    segments: Segments | CausalSegments,
) -> Float[Tensor, "n heads k"]:
    """Compute attention within each sample; returns the dtype of `v`. It stays outside of compiled graphs."""
    if torch.compiler.is_compiling():  # as a decorator it would import torch._dynamo, 1.3 s, where nothing is compiled
        return torch.compiler.disable(_attend)(q, k, v, segments)  # type: ignore[no-any-return]
    return _attend(q, k, v, segments)


def _attend(q: Tensor, k: Tensor, v: Tensor, segments: Segments | CausalSegments) -> Tensor:
    if isinstance(segments, CausalSegments):
        with torch.autocast(q.device.type, enabled=False):
            return segments.attend(q.float(), k.float(), v.float()).to(v.dtype)
    if q.is_cuda and v.dtype in (torch.bfloat16, torch.float16) and (kernel := _variable_length_kernel()):
        ends, longest = segments.ends(q.device), max(segments.lengths)
        attended: Tensor = kernel(q.to(v.dtype), k.to(v.dtype), v, ends, ends, longest, longest)
        return attended
    # single precision, because the backward pass of the fused CPU kernel is 2.5 times slower in bfloat16
    with torch.autocast(q.device.type, enabled=False):
        return _by_sample(q.float(), k.float(), v.float(), segments).to(v.dtype)


def _by_sample(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """Attend with one call for each run of consecutive samples of equal length, without copying q, k and v."""
    runs = segments.runs()
    sizes = [count * length for count, length in runs]
    outputs = []
    for run, pieces in zip(runs, zip(*(x.split(sizes) for x in (q, k, v)), strict=True), strict=True):
        rows = (piece.unflatten(0, run).transpose(1, 2) for piece in pieces)
        outputs.append(F.scaled_dot_product_attention(*rows).transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


@cache
def _variable_length_kernel() -> Callable[..., Tensor] | None:
    """Return the kernel for samples of different lengths; None where this torch has none. Importing it takes 1.3 s."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn  # type: ignore[return-value]
