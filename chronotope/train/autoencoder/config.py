"""The settings of a training of the autoencoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from chronotope.config import MOST, Count, NotNegative, Positive, Range, Seed, Share
from chronotope.data.pixels import PoolConfig
from chronotope.errors import UsageError
from chronotope.models.autoencoder import AutoencoderConfig
from chronotope.models.precision import Precision
from chronotope.train.state import LEAST_RATE, check_rates

__all__ = ["AdversarialConfig", "AutoencoderRun", "AutoencoderTraining", "PerceptualConfig"]


@dataclass(frozen=True)
class AutoencoderTraining:
    """Length of the training, learning rates and the weights of the terms of the loss.

    From step `freeze_encoder_from` on only the decoder is trained: latents encoded after it stay valid. From then on
    half of the windows have noise on their latents, with a deviation of up to `decoder_noise` that the decoder is
    given, so that it learns to decode the inexact latents of a transformer to sharp frames.

    `seams` weighs frame differences across slice boundaries once more. `emphasis` sets the deviations of the latent
    channels: 0 makes them equal, 1 makes them proportional to the effect of the channel on pixels, so that the
    transformer spends less on channels with little visible effect.

    With a perceptual or adversarial term, weights are finished only where their PSNR of moving pixels is at most
    `moving_margin` dB below the highest of the run (see `gate`).
    """

    steps: Count = 2000
    freeze_encoder_from: Count = 1000
    muon_rate: Share = 0.006
    adam_rate: Share = 2e-4
    warmup: Count = 50
    clip_norm: Positive = 1.0
    mse: NotNegative = 2.0
    motion: NotNegative = 0.5
    seams: NotNegative = 0.0
    kl: NotNegative = 1e-4
    emphasis: Share = 0.5
    decoder_noise: Annotated[float, Range(0, 1, open="high")] = 0.3
    average_decay: Annotated[float, Range(0, 1, open="high")] = 0.995
    precision: Precision = "auto"
    log_every: Count = 20
    check_every: Count = 250
    save_every: Count = 250
    moving_margin: NotNegative = 0.3

    def __post_init__(self) -> None:
        check_rates(self.muon_rate, self.adam_rate)


@dataclass(frozen=True)
class PerceptualConfig:
    """The distance of features of a frozen `network`, hf:FOLDER or hf:NAME, with a `weight` in the loss (0: off).

    It is computed from step `start` on, on `frames` random frames of each step.
    """

    network: str = ""
    weight: NotNegative = 0.0
    start: Annotated[int, Range(0, MOST)] = 0
    frames: Count = 16

    def __post_init__(self) -> None:
        if self.weight and not self.network:
            raise UsageError(
                f"perceptual.weight = {self.weight:g} needs perceptual.network, hf:FOLDER or hf:NAME, an image model "
                "of transformers"
            )
        if self.network and not self.weight:
            raise UsageError(
                f"perceptual.network = {self.network} is not used where perceptual.weight = 0; set a weight such as 0.3"
            )


@dataclass(frozen=True)
class AdversarialConfig:
    """A discriminator of slices, with a `weight` beside the rest of the loss (0: off).

    It begins after the share `start` of the training, and not before the encoder is frozen. The weight is multiplied by
    the ratio of the gradients of the rest of the loss and of this term, up to `max_ratio`. `rate` is that of AdamW for
    the discriminator, `width` its number of channels at half of the size.
    """

    weight: NotNegative = 0.0
    start: Annotated[float, Range(0, 1, open="high")] = 0.6
    max_ratio: Positive = 10.0
    rate: Share = 2e-4
    width: Annotated[int, Range(1, 4096)] = 32

    def __post_init__(self) -> None:
        if self.weight and self.rate < LEAST_RATE:
            raise UsageError(
                f"adversarial.rate = {self.rate:g} changes no weight in single precision; give more, such as 0.0002"
            )


@dataclass(frozen=True)
class AutoencoderRun:
    """Everything that determines the result of a run, beside its data."""

    seed: Seed = 0
    model: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)
    train: AutoencoderTraining = field(default_factory=AutoencoderTraining)
    perceptual: PerceptualConfig = field(default_factory=PerceptualConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)

    @property
    def gated(self) -> bool:
        """Whether a term of the loss can make frames look sharper and be less like their originals."""
        return self.perceptual.weight > 0 or self.adversarial.weight > 0

    def __post_init__(self) -> None:
        stride = self.model.stride
        for frames, height, width in self.pool.shapes:
            if (frames > 1 and frames % stride[0]) or height % stride[1] or width % stride[2]:
                raise UsageError(
                    f"pool.shapes: {[frames, height, width]} is no whole number of latents; a shape has 1 frame or a "
                    f"multiple of {stride[0]}, and multiples of {stride[1]} and {stride[2]} pixels"
                )
        if max((frames for frames, _, _ in self.pool.shapes), default=0) < stride[0]:
            raise UsageError(f"pool.shapes needs a shape of {stride[0]} frames or more, to learn motion from")
        if self.perceptual.weight and self.perceptual.start >= self.train.steps:
            raise UsageError(
                f"perceptual.start = {self.perceptual.start} is not before the last step, train.steps = "
                f"{self.train.steps}; set a lower one, or perceptual.weight=0"
            )
