"""A canvas: slices in time, what is known of each token, and the noise level from which it is to be denoised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.geometry import Geometry, Slice

__all__ = ["Canvas", "Prompt"]


@dataclass(frozen=True)
class Prompt:
    """Words and the time in seconds from which they speak."""

    text: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Canvas:
    """What the sampler sees of a task.

    `known` holds latents (anything where nothing is known); `level` in [0, 1] is one number a token: 0 keeps the known
    latents to the bit, 1 starts from noise, between the two keeps the gist. Height and width are in pixels.
    """

    slices: tuple[Slice, ...]
    height: int
    width: int
    fps: float
    prompts: tuple[Prompt, ...]
    known: Float[Tensor, "s c h w"]
    level: Float[Tensor, "s rows columns"]

    def __post_init__(self) -> None:
        if not self.slices or len(self.slices) != len(self.known) or len(self.slices) != len(self.level):
            raise UsageError(f"a canvas of {len(self.slices)} slices got {len(self.known)} latents and {len(self.level)} levels")
        if not bool(((self.level >= 0) & (self.level <= 1)).all()):
            raise UsageError("noise levels lie between 0 (known) and 1 (unknown)")

    @staticmethod
    def unknown(
        geometry: Geometry, channels: int, slices: tuple[Slice, ...], height: int, width: int, fps: float, prompts: tuple[Prompt, ...]
    ) -> Canvas:
        """A canvas on which nothing is known yet."""
        rows, columns = geometry.token_grid(height, width)
        known = torch.zeros(len(slices), channels, *geometry.latent_size(height, width))
        return Canvas(slices, height, width, fps, prompts, known, torch.ones(len(slices), rows, columns))
