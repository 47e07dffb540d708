"""The gate of a training with a perceptual or adversarial term: which of its averaged weights are the finished ones.

Such a term can make frames look sharper while moving things come back less like their originals. So the finished
weights are those of the last check whose PSNR of moving pixels on held-out clips is at most a margin below the highest
of all checks since the encoder was frozen.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from chronotope.models.autoencoder import Autoencoder

__all__ = ["Gate"]


class Gate(nn.Module):
    """Keeps the averaged weights that passed last; a module, so that a checkpoint stores it with the state.

    `margin` is in dB. Where nothing moves in the held-out clips, the PSNR of all pixels decides.
    """

    step: Tensor
    highest: Tensor
    psnr: Tensor
    psnr_moving: Tensor

    def __init__(self, model: Autoencoder, margin: float) -> None:
        super().__init__()
        self.margin = margin
        self.weights = copy.deepcopy(model).requires_grad_(False).eval()
        self.register_buffer("step", torch.full((), -1))  # at which the weights were checked; below 0: none were
        for name in ("highest", "psnr", "psnr_moving"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    @property
    def is_open(self) -> bool:
        """Whether weights passed already, as those at the freezing of the encoder always do."""
        return int(self.step) >= 0

    def check(self, step: int, found: Mapping[str, float], average: Autoencoder) -> str:
        """Keep the averaged weights if what `validate` found of them passes; else return a sentence that says why."""
        value = found.get("psnr_moving", found["psnr"])
        if self.is_open and value < float(self.highest) - self.margin:
            return (
                f"step {step} is not kept: its PSNR of moving pixels, {value:.2f} dB, is more than {self.margin:g} dB "
                f"below the highest, {float(self.highest):.2f} dB; the weights of step {int(self.step)} stay"
            )
        self.weights.load_state_dict(average.state_dict())
        self.step.fill_(step)
        self.highest.fill_(max(value, float(self.highest)) if self.is_open else value)
        self.psnr.fill_(found["psnr"])
        self.psnr_moving.fill_(value)
        return ""

    @property
    def facts(self) -> dict[str, Any]:
        """What `model.json` says of the finished weights: their step and PSNR in dB, and the highest of the run."""
        return {
            "margin": self.margin,
            "step": int(self.step),
            **{name: round(float(getattr(self, name)), 3) for name in ("psnr", "psnr_moving", "highest")},
        }
