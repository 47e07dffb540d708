"""Latents <-> tokens: a token is a spacetime patch of `patch_size` latent vectors of one slice, in row-major order."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

__all__ = ["patchify", "unpatchify"]


def patchify(latents: Float[Tensor, "s c h w"], patch_size: tuple[int, int, int]) -> Float[Tensor, "n p"]:
    """Convert latent grids to tokens, in the order of slices, then rows, then columns."""
    (s, c, h, w), (_, ph, pw) = latents.shape, patch_size
    # without einops, whose own time counts: training calls this for every clip of a batch
    return latents.reshape(s, c, h // ph, ph, w // pw, pw).permute(0, 2, 4, 3, 5, 1).reshape(-1, ph * pw * c)


def unpatchify(
    tokens: Float[Tensor, "n p"], patch_size: tuple[int, int, int], rows: int, columns: int
) -> Float[Tensor, "s c h w"]:
    """Convert tokens to latent grids of `rows` x `columns` patches; the inverse of `patchify`."""
    _, ph, pw = patch_size
    return rearrange(tokens, "(s h w) (ph pw c) -> s c (h ph) (w pw)", ph=ph, pw=pw, h=rows, w=columns).contiguous()
