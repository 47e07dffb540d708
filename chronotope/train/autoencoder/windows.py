"""Windows of pixels through the autoencoder in training: the noise on their latents, and the loss of the pixels.

Loss = L1 + mse * MSE + motion * L1 of frame differences + seams * L1 of frame differences across slices + kl * KL
divergence.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from chronotope.models.autoencoder import Autoencoder
from chronotope.train.autoencoder.config import AutoencoderTraining
from chronotope.train.state import random_generator

__all__ = ["reconstruct_windows", "reconstruction_loss", "sample_decoder_noise"]


def reconstruct_windows(
    model: Autoencoder, windows: Tensor, generator: torch.Generator | None, noise: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Pass pixels [b, t, h, w, 3] in [-1, 1] through the networks; returns (reconstruction, mean, log variance).

    With a generator the latents are sampled, as in training; without one they are the means. `noise` [b, s] is the
    deviation of noise to add to the normalised latents of each slice; the decoder receives it as a confidence.
    """
    batch, frames = windows.shape[:2]
    length = 1 if frames == 1 else model.config.stride[0]
    slices = rearrange(windows, "b (s t) h w c -> (b s) t h w c", t=length)
    mean, log_variance = model.encoder(model.fold(slices))
    latents = mean
    if generator is not None:
        latents = mean + torch.randn(mean.shape, generator=generator, device=mean.device) * (0.5 * log_variance).exp()
    grid = rearrange(latents, "(b s) c h w -> b s c h w", b=batch)
    confidence = torch.ones_like(grid[:, :, :1])  # see Autoencoder.window
    if noise is not None:
        unit = torch.randn(grid.shape, generator=generator, device=grid.device) * model.latent_deviation[:, None, None]
        grid, confidence = grid + noise[..., None, None, None] * unit, confidence - noise[..., None, None, None]
    # pad with zeros, which mean that there is no slice before the first and after the last
    padded = F.pad(torch.cat([grid, confidence], dim=2), (0, 0, 0, 0, 0, 0, 1, 1))
    window = torch.cat([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], dim=2).flatten(0, 1)
    output = model.unfold(model.decoder(window))
    if length == 1:
        output = output.mean(dim=1, keepdim=True)
    return rearrange(output, "(b s) t h w c -> b (s t) h w c", b=batch), mean, log_variance


def reconstruction_loss(
    config: AutoencoderTraining, output: Tensor, target: Tensor, mean: Tensor, log_variance: Tensor, stride: int
) -> Tensor:
    """Compute the training loss, averaged over elements; windows are [b, t, h, w, 3], in slices of `stride` frames."""
    loss = F.l1_loss(output, target) + config.mse * F.mse_loss(output, target)
    if target.shape[1] > 1:
        error = (output.diff(dim=1) - target.diff(dim=1)).abs()
        loss = loss + config.motion * error.mean()
        if target.shape[1] > stride:
            loss = loss + config.seams * error[:, stride - 1 :: stride].mean()
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
    return loss + config.kl * kl


def sample_decoder_noise(
    train: AutoencoderTraining, windows: Tensor, stride: int, step: int, seed: int
) -> Tensor | None:
    """Sample the deviations of latent noise [b, s]; None until the encoder is frozen.

    Half of the windows have no noise, the others one deviation each, uniform up to `train.decoder_noise`. A quarter of
    the slices of all windows is exact, because generated slices are decoded beside known ones.
    """
    if step < train.freeze_encoder_from:
        return None
    generator = random_generator(seed + 4, step, windows.device)
    num_slices = max(1, windows.shape[1] // stride)
    per_window = torch.rand(len(windows), 1, generator=generator, device=windows.device)
    per_slice = torch.rand(len(windows), num_slices, generator=generator, device=windows.device)
    return (2 * per_window - 1).clamp(min=0) * train.decoder_noise * (per_slice < 0.75)
