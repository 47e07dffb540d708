"""A canvas: slices in time, what is known of each token, and the noise level from which it is to be denoised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.geometry import Geometry, Slice
from chronotope.prompt import Prompt

__all__ = ["Canvas"]


@dataclass(frozen=True)
class Canvas:
    """What the sampler sees of a task.

    `known` holds latents (anything where nothing is known); `level` in [0, 1] is one number a token: 0 keeps the known
    latents to the bit, 1 starts from noise, between the two keeps the gist. A token comes to rest at level `rest`: at 0 it is
    finished; where `rest` equals `level` it is a history, shown to the network with that much noise and given back to the bit.
    On a `cycle` the last slice comes before the first. Height and width are in pixels.
    """

    slices: tuple[Slice, ...]
    height: int
    width: int
    fps: float
    prompts: tuple[Prompt, ...]
    known: Float[Tensor, "s c h w"]
    level: Float[Tensor, "s rows columns"]
    rest: Float[Tensor, "s rows columns"] | None = None
    cycle: bool = False

    def __post_init__(self) -> None:
        if not self.slices or len(self.slices) != len(self.known) or len(self.slices) != len(self.level):
            raise UsageError(
                f"a canvas of {len(self.slices)} slices got {len(self.known)} latents and {len(self.level)} levels"
            )
        level = _once(self.level)
        if not bool(((level >= 0) & (level <= 1)).all()):
            raise UsageError("noise levels lie between 0 (known) and 1 (unknown)")
        if self.rest is not None and not bool(((self.rest >= 0) & (self.rest <= self.level)).all()):
            raise UsageError("a token comes to rest between 0 and the noise level it starts from")
        if self.cycle and len({piece.num_frames for piece in self.slices}) != 1:
            raise UsageError(
                "the slices of a cycle must be of one kind: give a length that is a multiple of the frames of a slice"
            )

    @property
    def given(self) -> Bool[Tensor, "s rows columns"]:
        """The tokens that never move."""
        if self.rest is None:
            return (_once(self.level) == 0).expand(self.level.shape)
        return self.level == self.rest

    @staticmethod
    def unknown(
        geometry: Geometry,
        channels: int,
        slices: tuple[Slice, ...],
        height: int,
        width: int,
        fps: float,
        prompts: tuple[Prompt, ...],
    ) -> Canvas:
        """A canvas on which nothing is known yet."""
        rows, columns = geometry.token_grid(height, width)
        # one number seen everywhere: an hour of nothing takes no memory
        known = torch.zeros(1, 1, 1, 1).expand(len(slices), channels, *geometry.latent_size(height, width))
        return Canvas(
            slices, height, width, fps, prompts, known, torch.ones(1, 1, 1).expand(len(slices), rows, columns)
        )


def _once(level: Float[Tensor, "s rows columns"]) -> Float[Tensor, "_ _ _"]:
    """Levels that are one number seen everywhere as that number."""
    return level[:1, :1, :1] if set(level.stride()) == {0} else level
