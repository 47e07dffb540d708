"""A canvas: the slices of a video, the known content of each token, and the noise level it is denoised from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.geometry import Geometry, Slice
from chronotope.models.refinement import Order
from chronotope.prompt import Prompt

__all__ = ["Canvas"]


@dataclass(frozen=True)
class Canvas:
    """The input of the sampler, the same for every task.

    `known` holds latents; where nothing is known their values do not matter. `level` in [0, 1] is one number a token: 0
    keeps the known latents unchanged, 1 starts from noise, and between the two the known latents guide the result. A
    token is denoised from `level` to `rest`, which is 0 unless stated. Where `rest` equals `level` the token is
    history: the network sees it with that much noise, and the sampler returns it unchanged. On a `cycle` the last slice
    comes before the first. Height and width are in pixels. `actions` stand for those of each slice, see
    `models.packing.action_values`. In the order "causal" a slice sees itself and the slices before it.
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
    actions: Float[Tensor, "s a"] | None = None
    order: Order = "full"

    def __post_init__(self) -> None:
        if not self.slices or len(self.slices) != len(self.known) or len(self.slices) != len(self.level):
            raise UsageError(
                f"a canvas of {len(self.slices)} slices got {len(self.known)} latents and {len(self.level)} levels"
            )
        level = _collapsed(self.level)
        if not bool(((level >= 0) & (level <= 1)).all()):
            raise UsageError("noise levels lie between 0 (known) and 1 (unknown)")
        if self.rest is not None and not bool(((self.rest >= 0) & (self.rest <= self.level)).all()):
            raise UsageError("a token is denoised to a level between 0 and the one it starts from")
        if self.actions is not None and len(self.actions) != len(self.slices):
            raise UsageError(f"a canvas of {len(self.slices)} slices got the actions of {len(self.actions)}")
        if self.cycle and len({piece.num_frames for piece in self.slices}) != 1:
            raise UsageError(
                "the slices of a cycle must be of one kind: give a length that is a multiple of the frames of a slice"
            )

    @property
    def fixed(self) -> Bool[Tensor, "s rows columns"]:
        """The tokens that the sampler returns unchanged."""
        if self.rest is None:
            return (_collapsed(self.level) == 0).expand(self.level.shape)
        return self.level == self.rest

    @property
    def fixed_slices(self) -> list[bool]:
        """Whether the sampler returns every token of a slice unchanged, for each slice."""
        fixed = self.fixed
        if fixed.stride()[1:] == (0, 0):  # one number a slice, expanded: a long canvas of large frames takes no time
            fixed = fixed[:, :1, :1]
        return fixed.flatten(1).all(dim=1).tolist()

    @property
    def num_frames(self) -> int:
        """Frames from the beginning to the end of the last slice."""
        return self.slices[-1].stop

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
        """Return a canvas on which nothing is known yet."""
        rows, columns = geometry.token_grid(height, width)
        # One number, expanded: an hour of unknown slices takes no memory.
        known = torch.zeros(()).expand(len(slices), channels, *geometry.latent_size(height, width))
        level = torch.ones(()).expand(len(slices), rows, columns)
        return Canvas(slices, height, width, fps, prompts, known, level)


def _collapsed(level: Float[Tensor, "s rows columns"]) -> Float[Tensor, "_ _ _"]:
    """Return one entry of levels that are one number expanded, otherwise all of them."""
    return level[:1, :1, :1] if set(level.stride()) == {0} else level
