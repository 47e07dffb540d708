"""Train the autoencoder on windows of pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from chronotope import checkpoint
from chronotope.config import to_dict
from chronotope.data.clips import find_clips
from chronotope.data.latents import fingerprint
from chronotope.data.pixels import PixelPool
from chronotope.data.record import changes_in_data, data_and_before, data_and_repetitions
from chronotope.errors import UsageError
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder, Block
from chronotope.models.precision import autocast
from chronotope.train.autoencoder.config import AutoencoderRun, AutoencoderTraining
from chronotope.train.autoencoder.freezing import freeze_if_due, initialise_linear_paths, is_frozen, keep_frozen
from chronotope.train.autoencoder.gate import Gate
from chronotope.train.autoencoder.terms import Terms
from chronotope.train.autoencoder.validation import load_pools, validate
from chronotope.train.autoencoder.windows import reconstruct_windows, reconstruction_loss, sample_decoder_noise
from chronotope.train.log import TrainingLog, write_toml
from chronotope.train.optimizers import Muon
from chronotope.train.same_run import check_same_run, settings_of_run
from chronotope.train.state import TrainState, random_generator

__all__ = ["make_optimizers", "train_autoencoder"]


def make_optimizers(model: Autoencoder, train: AutoencoderTraining) -> tuple[Muon, torch.optim.AdamW]:
    """Create Muon for the convolutions inside blocks and AdamW for all other parameters."""
    in_blocks = [
        p for module in model.modules() if isinstance(module, Block) for p in module.parameters() if p.ndim == 4
    ]
    ids = set(map(id, in_blocks))
    rest = [p for p in model.parameters() if id(p) not in ids]
    muon = Muon([{"params": in_blocks}], lr=train.muon_rate)
    return muon, torch.optim.AdamW(rest, lr=train.adam_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)


def prepare_run(config: AutoencoderRun, out: Path, start: Path | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write config.toml; return the description for model.json, with the `facts` of the terms of the loss.

    Raises UsageError where the folder holds another run: of another seed or model, begun with a model to start from
    where `start` is None, or the reverse, with a frozen encoder that the config would train again, or with another
    feature network of the same name.
    """
    latest = checkpoint.latest_checkpoint(out)
    description: dict[str, Any] = {"kind": "autoencoder", "config": to_dict(config.model), **facts}
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
    if latest is not None:
        _check_features(description, checkpoint.read_description(latest), latest)
    write_toml(out / "config.toml", config)
    return description


def _check_features(now: Mapping[str, Any], before: Mapping[str, Any], latest: Path) -> None:
    """Raise UsageError where the feature network of the same name has other files than before."""
    then, found = before.get("perceptual", {}), now.get("perceptual", {})
    if then and found and then["name"] == found["name"] and then["hash"] != found["hash"]:
        raise UsageError(
            f"{found['name']} has the hash {found['hash']}, and {latest} was trained with one of {then['hash']}; "
            "restore its files, or give another --out"
        )


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
    train, seed = config.train, config.seed
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    terms = Terms(config, device)
    description = prepare_run(config, out, start, terms.facts)
    datasets = [find_clips(folder) for folder in data]

    # model, optimizers and state
    torch.manual_seed(seed)
    model = Autoencoder(config.model).to(device)
    if start is not None:
        checkpoint.load_model(start, model)
    optimizers = (*make_optimizers(model, train), *terms.optimizers)
    gate = Gate(model, train.moving_margin) if config.gated else None
    beside = {**terms.networks, **({"gate": gate} if gate else {})}
    state = TrainState(model, optimizers, beside=beside)
    found, repetitions = data_and_repetitions(datasets)
    description |= data_and_before(out, found, start, description.get("started_from"))
    notes = [*changes_in_data(out, description["data"]), *state.resume(out), *repetitions]
    train = keep_frozen(state, train, start is not None, notes.append)
    terms.check(train)

    with TrainingLog(out, "autoencoder", train.steps, state.step, quiet) as log:
        for note in notes:
            log.say(note)
        log.say(f"reading clips into memory, out of {sum(map(len, datasets))}")
        pool, validation_pool, left_out = load_pools(datasets, config.pool, seed, log.say)
        if state.step == 0 and start is None:
            initialise_linear_paths(model, pool, seed)
            state = TrainState(model, optimizers, beside=beside)

        def write_frozen() -> None:
            checkpoint.save_model(out, state.average, description, torch.float16)
            log.say(f"the encoder is frozen: latents encoded with {out} stay valid from now on")

        freeze_if_due(state, train, validation_pool, seed, write_frozen)
        open_gate(gate, state, validation_pool, seed)
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
            output = output.float()
            loss = reconstruction_loss(
                train, output, windows, mean.float(), log_variance.float(), config.model.stride[0]
            )
            total = terms.add(loss, output, windows, model, state.step)
            total.backward()
            finite = 0 * (total.detach() + terms.backward_discriminator(output, windows))
            if state.optimizer_step(loss + finite, factor, train.clip_norm, train.precision):
                state.update_average(train.average_decay)
            else:
                log.skip(state.step, float(total.detach()), pool.clips(seed, state.step - 1))
                state.check_skipped()
            state.clips += windows.shape[0]
            state.seconds += time.perf_counter() - started

            # log, validate, save
            log.advance(state.step)
            last, stop = state.step == train.steps, stopping()
            if state.step % train.log_every == 0 or last:
                speed = {"clips/s": state.clips / state.seconds, "seconds": state.seconds}
                state.numbers = {**state.mean_loss(), **terms.numbers, "gradient_norm": state.gradient_norm, **speed}
                log.write(state.step, state.numbers)
            if state.step % train.check_every == 0 or last:
                check(state, gate, validation_pool, seed, log)
            freeze_if_due(state, train, validation_pool, seed, write_frozen)
            open_gate(gate, state, validation_pool, seed)
            if state.step % train.save_every == 0 or last or stop:
                state.save(out, {**description, "settings": to_dict(config)})

    if state.step == train.steps:
        write_finished(out, description, config, state, gate)
    return {**state.numbers, "left_out": len(left_out)}


def open_gate(gate: Gate | None, state: TrainState, pool: PixelPool, seed: int) -> None:
    """Keep the first weights whose encoder is frozen: later ones are compared with them."""
    assert isinstance(state.average, Autoencoder)
    if gate and not gate.is_open and is_frozen(state.average.state_dict()):
        gate.check(state.step, validate(state.average, pool, seed)[0], state.average)


def check(state: TrainState, gate: Gate | None, pool: PixelPool, seed: int, log: TrainingLog) -> None:
    """Measure the averaged weights on held-out clips, show a picture of them, and keep them if they pass the gate."""
    assert isinstance(state.average, Autoencoder)
    found, picture = validate(state.average, pool, seed)
    state.numbers |= found
    if gate and gate.is_open:
        if refusal := gate.check(state.step, found, state.average):
            log.say(f"note: {refusal}")
        state.numbers["kept_step"] = float(gate.step)
    log.write(state.step, state.numbers)
    video.write_image(log.path.parent / "samples" / f"{state.step:07d}.png", picture.numpy())


def write_finished(
    out: Path, description: Mapping[str, Any], config: AutoencoderRun, state: TrainState, gate: Gate | None
) -> None:
    """Write the finished model: the averaged weights, or those that passed the gate last."""
    trained = {"run": to_dict(config), "seconds": state.seconds, "clips": state.clips, **state.numbers}
    weights, more = state.average, dict[str, Any]()
    if gate and gate.is_open:
        weights, more = gate.weights, {"gate": gate.facts}
        trained |= {name: gate.facts[name] for name in ("psnr", "psnr_moving") if name in trained}
    checkpoint.save_model(out, weights, {**description, **more, "training": trained}, torch.float16)
