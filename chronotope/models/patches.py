"""Latents <-> tokens: a spacetime patch is `patch_size` latent vectors of one slice, read row by row."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

__all__ = ["patchify", "unpatchify"]


def patchify(latents: Float[Tensor, "s c h w"], patch_size: tuple[int, int, int]) -> Float[Tensor, "n p"]:
    """Latent grids to tokens, slice after slice, row after row."""
    _, ph, pw = patch_size
    return rearrange(latents, "s c (h ph) (w pw) -> (s h w) (ph pw c)", ph=ph, pw=pw)


def unpatchify(
    tokens: Float[Tensor, "n p"], patch_size: tuple[int, int, int], rows: int, columns: int
) -> Float[Tensor, "s c h w"]:
    """Tokens back to latent grids of rows x columns patches."""
    _, ph, pw = patch_size
    return rearrange(tokens, "(s h w) (ph pw c) -> s c (h ph) (w pw)", ph=ph, pw=pw, h=rows, w=columns).contiguous()
