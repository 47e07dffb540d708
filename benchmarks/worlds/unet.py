"""A small U-Net that denoises one frame, given the frames before it and the actions, as DIAMOND has it.

The last frames are stacked on the channels of the noisy one; the actions and the noise level set scale and shift of
every group normalisation (Alonso et al. 2024, arXiv 2405.12399). Preconditioning is that of EDM (Karras et al. 2022,
arXiv 2206.00364). Pixels are numbers from -1 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

SIGMA_DATA = 0.5
GROUP = 8  # channels that are normalised together


@dataclass(frozen=True)
class UNetConfig:
    """`widths` are the channels of each level, the finest first; each level has half the side of the one before."""

    actions: int  # choices; one more stands for an action that is not known
    history: int = 4  # frames
    widths: tuple[int, ...] = (24, 48, 64, 96)
    condition: int = 128  # width of the vector of actions and noise level


class Norm(nn.Module):
    """Group normalisation with a scale and a shift from the condition (Zheng et al. 2020, arXiv 2004.11020)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.groups = max(1, width // GROUP)
        self.modulation = nn.Linear(condition, 2 * width)

    def forward(self, x: Float[Tensor, "b c h w"], condition: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        return F.group_norm(x, self.groups) * (1 + scale) + shift


class Block(nn.Module):
    """Two convolutions beside a skip connection."""

    def __init__(self, width_in: int, width: int, condition: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([Norm(width_in, condition), Norm(width, condition)])
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(width_in, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)]
        )
        self.skip = nn.Conv2d(width_in, width, 1) if width_in != width else nn.Identity()
        nn.init.zeros_(self.convolutions[1].weight)

    def forward(self, x: Float[Tensor, "b c h w"], condition: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        y = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            y = convolution(F.silu(norm(y, condition)))
        return self.skip(x) + y


class UNet(nn.Module):
    """Denoise a frame. `forward` is the denoiser of EDM; `raw` is what the network itself predicts."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, d = config.widths, config.condition
        self.action = nn.Embedding(config.actions + 1, d // config.history)
        inputs = 2 * (d // 2) + d // config.history * config.history
        self.embed = nn.Sequential(nn.Linear(inputs, d), nn.SiLU(), nn.Linear(d, d))
        self.first = nn.Conv2d(3 * (config.history + 1), widths[0], 3, padding=1)
        self.down = nn.ModuleList([Block(width, width, d) for width in widths])
        self.coarser = nn.ModuleList([nn.Conv2d(fine, coarse, 3, 2, 1) for fine, coarse in pairwise(widths)])
        self.middle = Block(widths[-1], widths[-1], d)
        self.finer = nn.ModuleList([nn.Conv2d(coarse, fine, 3, padding=1) for fine, coarse in pairwise(widths)])
        self.up = nn.ModuleList([Block(2 * width, width, d) for width in widths])
        self.norm = Norm(widths[0], d)
        self.last = nn.Conv2d(widths[0], 3, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    def forward(
        self,
        noisy: Float[Tensor, "b 3 h w"],
        sigma: Float[Tensor, " b"],
        history: Float[Tensor, "b t 3 h w"],
        actions: Int[Tensor, "b t"],
    ) -> Float[Tensor, "b 3 h w"]:
        c_skip, c_out = preconditioning(sigma)
        return c_skip * noisy + c_out * self.raw(noisy, sigma, history, actions)

    def raw(
        self,
        noisy: Float[Tensor, "b 3 h w"],
        sigma: Float[Tensor, " b"],
        history: Float[Tensor, "b t 3 h w"],
        actions: Int[Tensor, "b t"],
    ) -> Float[Tensor, "b 3 h w"]:
        level = sigma.log() / 4
        frequencies = torch.exp(torch.linspace(0, math.log(100), self.config.condition // 2))
        waves = level[:, None] * frequencies
        condition = self.embed(torch.cat([waves.sin(), waves.cos(), self.action(actions).flatten(1)], dim=1))
        scaled = noisy / (sigma**2 + SIGMA_DATA**2).sqrt()[:, None, None, None]
        x = self.first(torch.cat([scaled, history.flatten(1, 2) / SIGMA_DATA], dim=1))
        kept = []
        for number, block in enumerate(self.down):
            x = block(x if number == 0 else self.coarser[number - 1](x), condition)
            kept.append(x)
        x = self.middle(x, condition)
        for number in reversed(range(len(self.up))):
            x = self.up[number](torch.cat([x, kept[number]], dim=1), condition)
            if number:
                x = self.finer[number - 1](F.interpolate(x, scale_factor=2.0))
        return self.last(F.silu(self.norm(x, condition)))


def preconditioning(sigma: Float[Tensor, " b"]) -> tuple[Float[Tensor, "b 1 1 1"], Float[Tensor, "b 1 1 1"]]:
    """Return what the noisy frame and what the network contribute to the denoised one."""
    total = sigma**2 + SIGMA_DATA**2
    skip, out = SIGMA_DATA**2 / total, sigma * SIGMA_DATA / total.sqrt()
    return skip[:, None, None, None], out[:, None, None, None]
