"""Attention over a packed sequence: tokens of one sample see each other and nothing else.

Reference path, exact on any device: one scaled dot product per run of equally long samples. Behind the same function, on
CUDA with half precision, one variable-length kernel call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate, groupby

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Segments", "packed_attention"]


@dataclass(frozen=True, eq=False)
class Segments:
    """How many tokens each sample of a packed sequence has, in order.

    An object and not a tuple, so that a compiled block does not depend on the numbers in it.
    """

    lengths: tuple[int, ...]
    _ends: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def ends(self, device: torch.device) -> Int[Tensor, " s+1"]:
        """Where samples end, after a 0; sent to a device once, without waiting for what it is doing."""
        if device not in self._ends:
            ends = torch.tensor([0, *accumulate(self.lengths)], dtype=torch.int32)
            self._ends[device] = ends.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else ends
        return self._ends[device]

    def places(self) -> Int[Tensor, " n"]:
        """The place of every token in its sample."""
        lengths = torch.tensor(self.lengths)
        return torch.arange(int(lengths.sum())) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)

    def runs(self) -> list[tuple[int, int]]:
        """(count, length) of consecutive samples of one length."""
        return [(len(list(run)), length) for length, run in groupby(self.lengths)]


@torch.compiler.disable
def packed_attention(
    q: Float[Tensor, "n heads k"], k: Float[Tensor, "n heads k"], v: Float[Tensor, "n heads k"], segments: Segments
) -> Float[Tensor, "n heads k"]:
    """Attend within each sample."""
    if q.is_cuda and v.dtype in (torch.bfloat16, torch.float16) and _VARLEN is not None:
        return _variable_length(q.to(v.dtype), k.to(v.dtype), v, segments)
    # single precision: on CPUs the backward pass of the fused kernel is 2.5 times slower in bfloat16
    with torch.autocast(q.device.type, enabled=False):
        return _by_sample(q.float(), k.float(), v.float(), segments).to(v.dtype)


def _by_sample(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """Neighbouring samples of one length share a call, as views."""
    runs = segments.runs()
    sizes = [count * length for count, length in runs]
    outputs = []
    for run, pieces in zip(runs, zip(*(x.split(sizes) for x in (q, k, v)), strict=True), strict=True):
        rows = (piece.unflatten(0, run).transpose(1, 2) for piece in pieces)
        outputs.append(F.scaled_dot_product_attention(*rows).transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def _variable_length(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    ends, longest = segments.ends(q.device), max(segments.lengths)
    attended: Tensor = _VARLEN(q, k, v, ends, ends, longest, longest)  # type: ignore[misc, assignment]
    return attended


try:
    from torch.nn.attention.varlen import varlen_attn as _VARLEN
except ImportError:  # torch without the kernel: the reference path serves
    _VARLEN = None  # type: ignore[assignment]
