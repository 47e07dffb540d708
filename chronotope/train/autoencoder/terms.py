"""The terms that a training adds to the loss of the pixels: perceptual and adversarial, each from its first step on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from chronotope.errors import UsageError
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.precision import autocast
from chronotope.train.autoencoder.adversarial import (
    SliceDiscriminator,
    adaptive_weight,
    discriminator_loss,
    generator_loss,
)
from chronotope.train.autoencoder.config import AutoencoderRun, AutoencoderTraining
from chronotope.train.autoencoder.perceptual import load_features
from chronotope.train.state import random_generator

__all__ = ["Terms"]


class Terms:
    """The networks of both terms; a training stores the `networks`, by name, and the `optimizers`."""

    def __init__(self, config: AutoencoderRun, device: torch.device) -> None:
        self.config, self._values = config, dict[str, Tensor]()
        self.features = load_features(config.perceptual.network, device) if config.perceptual.weight else None
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: tuple[torch.optim.Optimizer, ...] = ()
        self.discriminator: SliceDiscriminator | None = None
        if config.adversarial.weight:
            with torch.random.fork_rng(devices=[]):  # the weights of the autoencoder stay those without this term
                torch.manual_seed(config.seed + 1)
                self.discriminator = SliceDiscriminator(config.model.stride[0], config.adversarial.width).to(device)
            self.networks = {"discriminator": self.discriminator}
            rate = config.adversarial.rate
            self.optimizers = (torch.optim.AdamW(self.discriminator.parameters(), rate, (0.5, 0.9), weight_decay=0.0),)

    @property
    def facts(self) -> dict[str, Any]:
        """What `model.json` says of the feature network."""
        return {"perceptual": asdict(self.features.facts)} if self.features else {}

    def check(self, train: AutoencoderTraining) -> None:
        """Raise UsageError where the encoder is not frozen before the end, so that the discriminator never begins."""
        if self.discriminator and train.freeze_encoder_from >= train.steps:
            raise UsageError(
                f"the adversarial term begins when the encoder is frozen, and train.freeze_encoder_from = "
                f"{train.freeze_encoder_from} is not before train.steps = {train.steps}; freeze it earlier, or train a "
                "finished model further with --from"
            )

    @property
    def numbers(self) -> dict[str, float]:
        """The terms of the last step, for the log."""
        return {name: float(value) for name, value in self._values.items()}

    def add(self, loss: Tensor, output: Tensor, windows: Tensor, model: Autoencoder, step: int) -> Tensor:
        """Return the loss of the pixels with the terms that have begun; windows are [b, t, h, w, 3] in [-1, 1]."""
        self._values = {}
        perceptual, adversarial = self.config.perceptual, self.config.adversarial
        if self.features and step >= perceptual.start:
            frames = torch.stack([output, windows]).flatten(1, 2)
            generator = random_generator(self.config.seed + 5, step)
            chosen = torch.randperm(frames.shape[1], generator=generator)[: perceptual.frames].to(frames.device)
            made, true = rearrange(frames[:, chosen], "k n h w c -> k n c h w")
            distance = self.features.distance(made, true, self.config.train.precision)
            loss = loss + perceptual.weight * distance
            self._values["perceptual"] = distance.detach()
        if self.discriminator and self._adversarial_has_begun(model, step):
            self.discriminator.requires_grad_(False)
            term = generator_loss(self._scores(output))
            last = model.decoder.layers[-1].weight
            assert isinstance(last, Tensor)
            ratio = adaptive_weight(loss, term, last, adversarial.max_ratio)
            begun = min(1.0, (int(self.discriminator.updates) + 1) / self.config.train.warmup)
            loss = loss + adversarial.weight * begun * ratio * term
            self._values |= {"adversarial": term.detach(), "adversarial_ratio": ratio}
        return loss

    def backward_discriminator(self, output: Tensor, windows: Tensor) -> Tensor:
        """Compute the gradients of the discriminator, after `add` has used it; return its loss, 0 where it is off.

        Gradients are clipped as those of the model are. A norm that is not finite makes the returned loss so.
        """
        if self.discriminator is None or "adversarial" not in self._values:
            return output.new_zeros(())
        self.discriminator.requires_grad_(True)
        loss = discriminator_loss(self._scores(windows), self._scores(output.detach()))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.discriminator.parameters(), self.config.train.clip_norm)
        self.discriminator.updates += 1
        self._values["discriminator"] = loss.detach()
        return loss.detach() + 0 * norm

    def _adversarial_has_begun(self, model: Autoencoder, step: int) -> bool:
        frozen = not any(parameter.requires_grad for parameter in model.encoder.parameters())
        return frozen and step >= self.config.adversarial.start * self.config.train.steps

    def _scores(self, windows: Tensor) -> Tensor:
        assert self.discriminator is not None
        with autocast(windows.device, self.config.train.precision):
            scores: Tensor = self.discriminator(windows)
        return scores
