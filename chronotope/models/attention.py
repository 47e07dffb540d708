"""Attention over a packed sequence: tokens of one sample see each other and nothing else.

Reference path, exact on any device: one scaled dot product per run of equally long samples. Behind the same function, on
CUDA with half precision, one variable-length kernel call.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["packed_attention"]


def packed_attention(
    q: Float[Tensor, "n heads k"], k: Float[Tensor, "n heads k"], v: Float[Tensor, "n heads k"], lengths: Sequence[int]
) -> Float[Tensor, "n heads k"]:
    """Attend within each of the consecutive samples of `lengths` tokens."""
    if q.is_cuda and q.dtype in (torch.bfloat16, torch.float16) and _VARLEN is not None:
        return _variable_length(q, k, v, lengths)
    return _by_sample(q, k, v, lengths)


def _by_sample(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """Neighbouring samples of one length share a call, as views."""
    outputs, start = [], 0
    for length, run in groupby(lengths):
        count = len(list(run))
        stop = start + count * length
        rows = (x[start:stop].unflatten(0, (count, length)).transpose(1, 2) for x in (q, k, v))
        outputs.append(F.scaled_dot_product_attention(*rows).transpose(1, 2).flatten(0, 1))
        start = stop
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def _variable_length(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    ends = torch.tensor([0, *lengths], device=q.device, dtype=torch.int32).cumsum(0, dtype=torch.int32)
    longest = max(lengths)
    return _VARLEN(q, k, v, ends, ends, longest, longest)  # type: ignore[misc]


try:
    from torch.nn.attention.varlen import varlen_attn as _VARLEN
except ImportError:  # torch without the kernel: the reference path serves
    _VARLEN = None  # type: ignore[assignment]
