"""The noise that a canvas starts from, a function of the seed: at larger sizes the enlarged noise of a smaller canvas.

A draft and its full size then agree as far as the network depends on coarse structure: the mean of every k x k block of
the large noise is the noise of the draft. The added detail is independent of it, so the large noise is white as well.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from chronotope.arguments import as_whole, described
from chronotope.errors import UsageError

__all__ = ["enlarge", "seed_of", "starting_noise"]


def starting_noise(
    shape: tuple[int, int, int, int], seed: int, enlargement: int = 1, patch: tuple[int, int] = (1, 1)
) -> Float[Tensor, "s c h w"]:
    """Return white noise for latents of this shape.

    With an enlargement k it is the noise of a canvas of 1/k the height and width, rounded up to whole patches (height
    and width in latents), enlarged.
    """
    generator = torch.Generator().manual_seed(seed)
    if enlargement == 1:
        return torch.randn(shape, generator=generator)
    slices, channels, height, width = shape
    coarse_height, coarse_width = (
        side * -(-size // (side * enlargement)) for side, size in zip(patch, (height, width), strict=True)
    )
    coarse = torch.randn(slices, channels, coarse_height, coarse_width, generator=generator)
    return enlarge(coarse, enlargement, generator)[..., :height, :width].contiguous()


def enlarge(coarse: Float[Tensor, "s c h w"], k: int, generator: torch.Generator) -> Float[Tensor, "s c h2 w2"]:
    """Return white noise whose k x k blocks have the mean `coarse` / k; such a mean has the deviation 1 / k."""
    slices, channels, height, width = coarse.shape
    fine = torch.randn(slices, channels, height, k, width, k, generator=generator)
    fine = fine - fine.mean(dim=(3, 5), keepdim=True) + coarse[:, :, :, None, :, None] / k
    return fine.reshape(slices, channels, height * k, width * k)


def seed_of(seed: int | None, generator: torch.Generator | None) -> int:
    """Return the seed itself, or the next number of a generator; 0 for neither."""
    if generator is not None:
        if seed is not None:
            raise UsageError("give a seed or a generator, not both")
        if not isinstance(generator, torch.Generator):
            raise UsageError(f"generator must be a torch.Generator, got {described(generator)}")
        return int(torch.randint(2**62, (), generator=generator, device=generator.device))
    seed = 0 if seed is None else as_whole("seed", seed)
    if not 0 <= seed < 2**63:
        raise UsageError(f"a seed is a whole number from 0 to 2^63 - 1, got {described(seed)}")
    return seed
