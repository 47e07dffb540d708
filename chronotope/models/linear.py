"""Matrix products that round the same with any number of threads.

Two kernels of torch on a CPU depend on the number of threads in the last bit (measured with torch 2.13 and 2 to 64
threads): a matrix product of few rows for each thread, which other code computes than that of many rows, and a 1 x 1
convolution. So products of few rows run in one thread, and a 1 x 1 convolution is computed as a product.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Linear", "PointwiseConv2d", "linear"]

ROWS_PER_THREAD = 8  # products of up to 5.5 rows a thread depended on the threads, of 2 to 64


def linear(x: Float[Tensor, "*n i"], weight: Float[Tensor, "o i"], bias: Tensor | None = None) -> Float[Tensor, "*n o"]:
    """Return `x @ weight.T + bias`; without gradients on a CPU, products of few rows run in one thread."""
    # Training keeps its threads: it promises the same bits for the same number of threads only.
    if torch.is_grad_enabled() or x.device.type != "cpu":
        return F.linear(x, weight, bias)
    threads = torch.get_num_threads()
    if x.numel() > ROWS_PER_THREAD * threads * x.shape[-1]:
        return F.linear(x, weight, bias)
    torch.set_num_threads(1)
    try:
        return F.linear(x, weight, bias)
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
