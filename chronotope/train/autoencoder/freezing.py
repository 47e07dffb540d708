"""What is measured on clips instead of learned: the linear paths at the start, and at the freezing of the encoder the
statistics of its latents.

From the freezing on the encoder does not change, so latents that it makes stay valid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor

from chronotope.data.pixels import PixelPool
from chronotope.models.autoencoder import Autoencoder
from chronotope.train.autoencoder.config import AutoencoderTraining
from chronotope.train.autoencoder.windows import reconstruct_windows
from chronotope.train.state import TrainState, random_generator

__all__ = [
    "calibrate",
    "freeze_if_due",
    "initialise_linear_paths",
    "is_frozen",
    "keep_frozen",
    "pixel_sensitivity",
]


@torch.no_grad()
def initialise_linear_paths(model: Autoencoder, pool: PixelPool, seed: int, batches: int = 8) -> None:
    """Set the linear paths to the principal components of pixel blocks, which is the best linear autoencoder."""
    length = model.config.stride[0]
    blocks: list[Tensor] = []
    for step in range(batches * 4):
        windows = pool.batch(seed + 3, step)
        if windows.shape[1] >= length and len(blocks) < batches:
            slices = rearrange(windows.float() / 127.5 - 1, "b (s t) h w c -> (b s) t h w c", t=length)
            blocks.append(model.corners(model.fold(slices.to(model.latent_mean.device))))
    pixels = torch.cat(blocks)
    centre = pixels.mean(dim=0)
    _, _, components = torch.linalg.svd((pixels - centre)[:: max(1, len(pixels) // 20_000)], full_matrices=False)
    components = components[: model.config.channels]
    deviation = ((pixels - centre) @ components.T).std(dim=0)
    model.set_linear(components / deviation[:, None], components * deviation[:, None], centre)


@torch.no_grad()
def calibrate(model: Autoencoder, pool: PixelPool, seed: int, emphasis: float, batches: int = 24) -> None:
    """Measure each latent channel on windows of the pool and set the statistics that normalise latents.

    Normalised latents have mean 0 and mean square 1 over all channels; the deviation of a channel is proportional to
    (the change of pixels caused by its deviation) ** emphasis.
    """
    rows, changes = [], []
    for step in range(batches):
        windows = pool.batch(seed + 1, step).to(model.latent_mean.device).float() / 127.5 - 1
        _, mean, _ = reconstruct_windows(model, windows, None)
        rows.append(mean.permute(0, 2, 3, 1).flatten(0, 2))
        if step < 6:
            changes.append(pixel_sensitivity(model, mean[:64], random_generator(seed + 1, step, mean.device)))
    latents = torch.cat(rows)
    model.latent_mean.copy_(latents.mean(dim=0))
    deviation = latents.std(dim=0)
    weight = torch.stack(changes).mean(dim=0) * deviation
    weight = weight.clamp(min=1e-3 * float(weight.max())) ** emphasis  # above 0 for a channel without effect
    model.latent_deviation.copy_(deviation / weight * weight.square().mean().sqrt())


@torch.no_grad()
def pixel_sensitivity(model: Autoencoder, latents: Tensor, generator: torch.Generator, size: float = 0.1) -> Tensor:
    """Measure the root mean square change of pixels per unit of noise in each channel of raw latents [b, c, h, w]."""
    before = model.decoder(model.window(None, latents, None))
    changes = []
    for channel in range(latents.shape[1]):
        noisy = latents.clone()
        noisy[:, channel] += size * torch.randn(noisy[:, channel].shape, generator=generator, device=noisy.device)
        changes.append((model.decoder(model.window(None, noisy, None)) - before).square().mean().sqrt() / size)
    return torch.stack(changes)


def is_frozen(weights: Mapping[str, Tensor]) -> bool:
    """Return whether an encoder was frozen: only then the deviations of its latents are measured."""
    return bool((weights["latent_deviation"] != 1).any())


@torch.no_grad()
def freeze_encoder(state: TrainState, pool: PixelPool, seed: int, emphasis: float) -> None:
    """Continue with the averaged weights, set the statistics of the latents, and stop training the encoder."""
    model, average = state.model, state.average
    assert isinstance(model, Autoencoder) and isinstance(average, Autoencoder)
    # the encoder is rounded here once, so that saving it in half precision does not change its latents
    for parameter in average.encoder.parameters():
        parameter.copy_(parameter.half().float())
    calibrate(average, pool, seed, emphasis)
    for statistics in (average.latent_mean, average.latent_deviation):
        statistics.copy_(statistics.half().float())
    model.load_state_dict(average.state_dict())
    model.encoder.requires_grad_(False)


def keep_frozen(
    state: TrainState, train: AutoencoderTraining, started: bool, say: Callable[[str], None]
) -> AutoencoderTraining:
    """Keep an encoder as it is that was frozen before, as that of a run which `started` from a model is, if not grown.

    Returns the settings with the step from which on it is frozen now.
    """
    model = state.model
    assert isinstance(model, Autoencoder)
    if not is_frozen(model.state_dict()):
        return train
    model.encoder.requires_grad_(False)
    if not started and state.step < train.freeze_encoder_from:
        say("note: the encoder was frozen before and stays so, so that latents encoded with it stay valid")
    return replace(train, freeze_encoder_from=min(state.step, train.freeze_encoder_from))


def freeze_if_due(
    state: TrainState, train: AutoencoderTraining, pool: PixelPool, seed: int, write: Callable[[], None]
) -> None:
    """Freeze the encoder after its last step, and `write` the model; also where that step was set to one gone by."""
    model = state.model
    assert isinstance(model, Autoencoder)
    trains = any(parameter.requires_grad for parameter in model.encoder.parameters())
    if trains and state.step >= min(train.freeze_encoder_from, train.steps):
        freeze_encoder(state, pool, seed, train.emphasis)
        write()
