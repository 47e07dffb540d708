"""Train the autoencoder on windows of pixels.

Loss = L1 + mse * MSE + motion * L1 of frame differences + seams * L1 of frame differences across slices + kl * KL
divergence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any
from zlib import crc32

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from chronotope import checkpoint
from chronotope.config import Count, NotNegative, Positive, Range, Seed, Share, to_dict
from chronotope.data.clips import Clip, find_clips
from chronotope.data.latents import fingerprint
from chronotope.data.notes import Kinds
from chronotope.data.pixels import PixelPool, PoolConfig, load_pool
from chronotope.data.record import changes_in_data, data_and_repetitions
from chronotope.errors import FileProblem, UsageError
from chronotope.manifest import LeftOut
from chronotope.media import video
from chronotope.metrics.similarity import decibels, moving_pixels
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig, Block
from chronotope.models.precision import Precision, autocast
from chronotope.train.log import TrainingLog, write_toml
from chronotope.train.optimizers import Muon
from chronotope.train.same_run import check_same_run, settings_of_run
from chronotope.train.state import TrainState, check_rates, random_generator

__all__ = ["AutoencoderRun", "AutoencoderTraining", "is_frozen", "reconstruct_windows", "train_autoencoder"]


ROUNDING = 1 / 12  # the mean square error of rounding to whole levels


@dataclass(frozen=True)
class AutoencoderTraining:
    """Length of the training, learning rates and the weights of the terms of the loss.

    From step `freeze_encoder_from` on only the decoder is trained: latents encoded after it stay valid. From then on
    half of the windows have noise on their latents, with a deviation of up to `decoder_noise` that the decoder is
    given, so that it learns to decode the inexact latents of a transformer to sharp frames.

    `seams` weighs frame differences across slice boundaries once more. `emphasis` sets the deviations of the latent
    channels: 0 makes them equal, 1 makes them proportional to the effect of the channel on pixels, so that the
    transformer spends less on channels with little visible effect.
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

    def __post_init__(self) -> None:
        check_rates(self.muon_rate, self.adam_rate)


@dataclass(frozen=True)
class AutoencoderRun:
    """Everything that determines the result of a run, beside its data."""

    seed: Seed = 0
    model: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)
    train: AutoencoderTraining = field(default_factory=AutoencoderTraining)

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


def held_out(clip: Clip) -> bool:
    """Return whether a clip is held out for validation: one in forty, by a hash of its key."""
    return crc32(clip.key.encode()) % 40 == 0


def load_pools(
    datasets: Sequence[Sequence[Clip]], config: PoolConfig, seed: int, say: Callable[[str], None]
) -> tuple[PixelPool, PixelPool, tuple[LeftOut, ...]]:
    """Load the pools for training and validation, and name the clips that cannot be read.

    A dataset too small to divide is used for both; where no held-out clip can be read, or none is as large as a shape
    of the batches, validation uses the training clips, or the other shapes, which `say` is told. Raises FileProblem
    for a dataset without readable clips, UsageError where no training clip is as large as one of the shapes.
    """
    training = [[clip for clip in clips if not held_out(clip)] or list(clips) for clips in datasets]
    validation = [[clip for clip in clips if held_out(clip)] or list(clips[:1]) for clips in datasets]
    left_out: dict[str, LeftOut] = {}

    def leave_out(item: LeftOut) -> None:
        if item.key not in left_out:
            say(f"left out: {item.key}: {item.reason}")
        left_out[item.key] = item

    remarks = Kinds("in the training", "clip")
    pool = load_pool(training, config, seed, leave_out, remarks.add)
    for clips, windows in zip(training, pool.groups, strict=True):
        if not windows:
            raise FileProblem(f"none of {len(clips)} clips beside {clips[0].path} can be read")
    pool.check_shapes()
    for line in remarks.lines():
        say(f"note: {line}")
    validation_pool, missing = load_pool(validation, config, seed, leave_out).with_covered_shapes()
    if missing:
        say(f"note: of the held-out clips, {missing}")
    return pool, validation_pool if validation_pool.config.shapes else pool, tuple(left_out.values())


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


@torch.no_grad()
def validate(model: Autoencoder, pool: PixelPool, seed: int, batches: int = 8) -> tuple[dict[str, float], Tensor]:
    """Return PSNR in dB on validation windows, and a picture of originals above their reconstructions.

    `psnr` is the mean over windows, `psnr_moving` is over the moving pixels of all windows together, if there are any.
    """
    errors, moving, picture = list[Tensor](), list[Tensor](), None
    for step in range(batches):
        windows = pool.batch(seed + 2, step).to(model.latent_mean.device)
        output, _, _ = reconstruct_windows(model, windows.float() / 127.5 - 1, None)
        pixels = ((output + 1) * 127.5).round().clamp(0, 255)
        error = (pixels - windows) ** 2
        errors.append(error.mean(dim=(1, 2, 3, 4)))
        shown = windows.cpu().numpy()
        moves = torch.from_numpy(moving_pixels(shown[:, :-1], shown[:, 1:]))
        moving.append(error[:, 1:].cpu()[moves].flatten())
        if picture is None:
            rows = torch.cat([windows[:6, 0].float(), pixels[:6, 0]], dim=1)
            picture = rearrange(rows, "b h w c -> h (b w) c").to(torch.uint8).cpu()
    assert picture is not None
    # a window that comes back to the bit has the error of rounding, not none: its PSNR would be infinite
    means = torch.cat(errors).clamp(min=ROUNDING)
    found = {"psnr": float(10 * torch.log10(255**2 / means).mean())}
    if all_moving := torch.cat(moving).numel():
        found["psnr_moving"] = decibels(float(torch.cat(moving).sum()) / all_moving)
    return found, picture


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


def make_optimizers(model: Autoencoder, train: AutoencoderTraining) -> tuple[Muon, torch.optim.AdamW]:
    """Create Muon for the convolutions inside blocks and AdamW for all other parameters."""
    in_blocks = [
        p for module in model.modules() if isinstance(module, Block) for p in module.parameters() if p.ndim == 4
    ]
    ids = set(map(id, in_blocks))
    rest = [p for p in model.parameters() if id(p) not in ids]
    muon = Muon([{"params": in_blocks}], lr=train.muon_rate)
    return muon, torch.optim.AdamW(rest, lr=train.adam_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)


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


def prepare_run(config: AutoencoderRun, out: Path, start: Path | None) -> dict[str, Any]:
    """Write config.toml; return the description for model.json.

    Raises UsageError where the folder holds another run: of another seed or model, begun with a model to start from
    where `start` is None, or the reverse, or with a frozen encoder that the config would train again.
    """
    latest = checkpoint.latest_checkpoint(out)
    description: dict[str, Any] = {"kind": "autoencoder", "config": to_dict(config.model)}
    if latest is not None and ("started_from" in checkpoint.read_description(latest)) != (start is not None):
        raise UsageError(
            f"{out} was begun {'without' if start else 'with'} a model to train on; "
            "continue in the same way, or give another --out"
        )
    check_same_run(out, config)
    if start is not None:
        model = Autoencoder(config.model)
        checkpoint.load_model(start, model)
        description["started_from"] = fingerprint(model)
    if latest is not None and (start is None or not is_frozen(checkpoint.load_tensors(start / "model.safetensors"))):
        _check_freezing(config.train, latest, settings_of_run(out) or {})
    write_toml(out / "config.toml", config)
    return description


def _check_freezing(train: AutoencoderTraining, latest: Path, before: Mapping[str, Any]) -> None:
    """Raise UsageError for a new setting that would train a frozen encoder again: latents encoded with it are in use.

    The same setting is no such wish: a finished training freezes the encoder at its end, and may be made longer.
    """
    then, now, step = before.get("train.freeze_encoder_from"), train.freeze_encoder_from, int(latest.name)
    if then in (None, now) or now <= step:
        return
    if is_frozen(checkpoint.load_tensors(latest / "model.safetensors")):
        raise UsageError(
            f"train.freeze_encoder_from was {then} and is now {now}, but the encoder of {latest} is frozen already and "
            "latents encoded with it have to stay valid; leave the setting as it was, or give another --out"
        )


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


def train_autoencoder(
    config: AutoencoderRun,
    data: Sequence[Path],
    out: Path,
    start: Path | None = None,
    quiet: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Run or continue a training in the folder `out`; returns the last logged numbers.

    `start` is the folder of a trained autoencoder whose decoder is trained further; its encoder, and with it all
    latents that it made, do not change, unless it was grown and so never frozen. When `stopping()` is true after a
    step, the state is saved and training ends.
    """
    # setup: folder, device, data
    (out / "samples").mkdir(parents=True, exist_ok=True)
    description = prepare_run(config, out, start)
    train, seed = config.train, config.seed
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    datasets = [find_clips(folder) for folder in data]

    # model, optimizers and state
    torch.manual_seed(seed)
    model = Autoencoder(config.model).to(device)
    if start is not None:
        checkpoint.load_model(start, model)
    optimizers = make_optimizers(model, train)
    state = TrainState(model, optimizers)
    description["data"], repetitions = data_and_repetitions(datasets)
    notes = [*changes_in_data(out, description["data"]), *state.resume(out), *repetitions]
    train = keep_frozen(state, train, start is not None, notes.append)

    with TrainingLog(out, "autoencoder", train.steps, state.step, quiet) as log:
        for note in notes:
            log.say(note)
        log.say(f"reading clips into memory, out of {sum(map(len, datasets))}")
        pool, validation_pool, left_out = load_pools(datasets, config.pool, seed, log.say)
        if state.step == 0 and start is None:
            initialise_linear_paths(model, pool, seed)
            state = TrainState(model, optimizers)

        def write_frozen() -> None:
            checkpoint.save_model(out, state.average, description, torch.float16)
            log.say(f"the encoder is frozen: latents encoded with {out} stay valid from now on")

        freeze_if_due(state, train, validation_pool, seed, write_frozen)
        stop = False
        while state.step < train.steps and not stop:
            # one step; all random numbers depend on (seed, step)
            started = time.perf_counter()
            factor = min((state.step + 1) / train.warmup, 1.0) * (1 - state.step / train.steps) ** 0.8
            windows = pool.batch(seed, state.step).to(device).float() / 127.5 - 1
            with autocast(device, train.precision):
                noise = sample_decoder_noise(train, windows, config.model.stride[0], state.step, seed)
                output, mean, log_variance = reconstruct_windows(
                    model, windows, random_generator(seed, state.step, device), noise
                )
            if noise is not None:
                model.decoder.trained_noise.fill_(train.decoder_noise)
            loss = reconstruction_loss(
                train, output.float(), windows, mean.float(), log_variance.float(), config.model.stride[0]
            )
            loss.backward()
            if state.optimizer_step(loss, factor, train.clip_norm, train.precision):
                state.update_average(train.average_decay)
            else:
                log.skip(state.step, float(loss.detach()), pool.clips(seed, state.step - 1))
                state.check_skipped()
            state.clips += windows.shape[0]
            state.seconds += time.perf_counter() - started

            # log, validate, save
            log.advance(state.step)
            last, stop = state.step == train.steps, stopping()
            if state.step % train.log_every == 0 or last:
                speed = {"clips/s": state.clips / state.seconds, "seconds": state.seconds}
                state.numbers = {**state.mean_loss(), "gradient_norm": state.gradient_norm, **speed}
                log.write(state.step, state.numbers)
            if state.step % train.check_every == 0 or last:
                assert isinstance(state.average, Autoencoder)
                found, picture = validate(state.average, validation_pool, seed)
                state.numbers |= found
                log.write(state.step, state.numbers)
                video.write_image(out / "samples" / f"{state.step:07d}.png", picture.numpy())
            freeze_if_due(state, train, validation_pool, seed, write_frozen)
            if state.step % train.save_every == 0 or last or stop:
                state.save(out, {**description, "settings": to_dict(config)})

    if state.step == train.steps:
        trained = {"run": to_dict(config), "seconds": state.seconds, "clips": state.clips, **state.numbers}
        checkpoint.save_model(out, state.average, {**description, "training": trained}, torch.float16)
    return {**state.numbers, "left_out": len(left_out)}
