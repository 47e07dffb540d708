"""Matrix products and SiLU that round the same with any number of threads.

Three kernels of torch on a CPU depend on the number of threads in the last bit (measured with torch 2.13 and 2 to 64
threads): a matrix product of few rows for each thread, which other code computes than that of many rows, a 1 x 1
convolution, and SiLU, where the share of a thread is no whole number of vector registers: other code computes the rest.
So products of few rows run in one thread, a 1 x 1 convolution is computed as a product, and SiLU is shared evenly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Linear", "PointwiseConv2d", "linear", "silu"]

VECTORS = 64  # values that SiLU computes at once, or a multiple of their number
GRAIN = 2**15  # values for which torch takes one thread, however many there are
ROWS_PER_THREAD = 8  # products of up to 5.5 rows a thread depended on the threads, of 2 to 64


def linear(x: Float[Tensor, "*n i"], weight: Float[Tensor, "o i"], bias: Tensor | None = None) -> Float[Tensor, "*n o"]:
    """Return `x @ weight.T + bias`; without gradients on a CPU, products of few rows run in one thread."""
    if weight.dtype == torch.bfloat16:  # a network of models/precision.py; training leaves this to autocast
        x = x.to(weight.dtype)
    # Training keeps its threads: it promises the same bits for the same number of threads only.
    if torch.is_grad_enabled() or x.device.type != "cpu":
        return F.linear(x, weight, bias)
    if x.numel() > ROWS_PER_THREAD * torch.get_num_threads() * x.shape[-1]:
        return F.linear(x, weight, bias)
    with _at_most(1):
        return F.linear(x, weight, bias)


def silu(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Return `F.silu(x)`; without gradients on a CPU, the share of every thread is a whole number of vectors."""
    if torch.is_grad_enabled() or x.device.type != "cpu":
        return F.silu(x)
    dense = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)  # else rows are computed one by one
    vectors, rest = divmod(x.numel(), VECTORS)
    even = not rest and (dense or x.shape[-1] % VECTORS == 0)
    # the largest power of two that divides them
    with _at_most(min(vectors & -vectors, -(-x.numel() // GRAIN)) if even else 1):
        return F.silu(x)


@contextlib.contextmanager
def _at_most(most: int) -> Iterator[None]:
    """Compute in the largest power of two of threads that is at most `most` and at most those of the caller."""
    threads = torch.get_num_threads()
    fewer = 1 << max(1, min(most, threads)).bit_length() - 1
    if fewer == threads:
        yield
        return
    torch.set_num_threads(fewer)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Linear(nn.Linear):
    """`torch.nn.Linear`, computed by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


class PointwiseConv2d(nn.Conv2d):
    """A 1 x 1 convolution, computed by `linear`; in channels_last memory nothing is copied."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Tensor) -> Tensor:
        return linear(input.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
