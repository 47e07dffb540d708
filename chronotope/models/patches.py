"""Latents <-> tokens: a token is a spacetime patch of `patch_size` latent vectors of one slice, in row-major order."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

__all__ = ["patchify", "unpatchify"]


def patchify(latents: Float[Tensor, "s c h w"], patch_size: tuple[int, int, int]) -> Float[Tensor, "n p"]:
    """Convert latent grids to tokens, in the order of slices, then rows, then columns."""
    _, ph, pw = patch_size
    return rearrange(latents, "s c (h ph) (w pw) -> (s h w) (ph pw c)", ph=ph, pw=pw)


def unpatchify(
    tokens: Float[Tensor, "n p"], patch_size: tuple[int, int, int], rows: int, columns: int
) -> Float[Tensor, "s c h w"]:
    """Convert tokens to latent grids of `rows` x `columns` patches; the inverse of `patchify`."""
    _, ph, pw = patch_size
    return rearrange(tokens, "(s h w) (ph pw c) -> s c (h ph) (w pw)", ph=ph, pw=pw, h=rows, w=columns).contiguous()
