"""The noise that a canvas starts from: a function of the seed, and at larger sizes the enlarged noise of a smaller one.

A draft and the full size then agree where the network attends to coarse things first: the mean of every k x k block of the large
noise is the noise of the small one, and what is added is independent of it, so the large noise is white as well.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["enlarged", "starting_noise"]


def starting_noise(
    shape: tuple[int, int, int, int], seed: int, enlargement: int = 1, patch_size: tuple[int, int, int] = (1, 1, 1)
) -> Float[Tensor, "s c h w"]:
    """White noise for latents of this shape; with an enlargement k, that of a canvas of 1/k its sides in whole patches, enlarged."""
    generator = torch.Generator().manual_seed(seed)
    if enlargement == 1:
        return torch.randn(shape, generator=generator)
    slices, channels, height, width = shape
    tall, wide = (
        side * -(-size // (side * enlargement)) for side, size in zip(patch_size[1:], (height, width), strict=True)
    )
    coarse = torch.randn(slices, channels, tall, wide, generator=generator)
    return enlarged(coarse, enlargement, generator)[..., :height, :width].contiguous()


def enlarged(coarse: Float[Tensor, "s c h w"], k: int, generator: torch.Generator) -> Float[Tensor, "s c h2 w2"]:
    """White noise whose k x k blocks have the mean `coarse` / k, which is the deviation that a mean of k * k values has."""
    slices, channels, height, width = coarse.shape
    fine = torch.randn(slices, channels, height, k, width, k, generator=generator)
    fine = fine - fine.mean(dim=(3, 5), keepdim=True) + coarse[:, :, :, None, :, None] / k
    return fine.reshape(slices, channels, height * k, width * k)
