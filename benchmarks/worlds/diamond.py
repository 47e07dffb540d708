"""A world that is trained in pixels, frame by frame, as DIAMOND is: the baseline of `benchmarks.worlds`.

    python -m benchmarks.worlds.diamond CLIPS FILE.safetensors --minutes 12 [--from FILE.safetensors]

CLIPS is a folder of clips with actions, FILE gets the averaged weights, and FILE.jsonl the loss over the processor
time. `--from` continues a training: its weights and its optimizer; `--minutes` counts the processor time of all of it.
The first frames of a clip, and of a session, see the first one in the places of those before it.

Source: Alonso et al. 2024, arXiv 2405.12399, with its noise levels, three Euler steps and no augmented history; the
U-Net is small (1.5 million parameters, theirs for Atari 4.4).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.worlds.unet import UNet, UNetConfig, preconditioning
from chronotope.actions import SUFFIX, ActionSchema, has_actions, read_actions
from chronotope.config import from_dict, to_dict
from chronotope.data.clips import find_clips, read_datasets
from chronotope.geometry import Frames, Picture
from chronotope.media import video

LEVELS = (-0.4, 1.2)  # mean and deviation of the logarithm of the noise level in training
OFFSET = 0.3  # share of noise that is the same for a whole channel
SIGMAS = (2e-3, 5.0)  # the least and the greatest of sampling
RHO = 7.0
STEPS = 3
BATCH = 16
RATE, WARMUP = 5e-4, 50
AVERAGE = 0.995  # share of the averaged weights that stays, a step
LOG_EVERY, SAVE_EVERY = 50, 250  # steps


@dataclass(frozen=True)
class Film:
    """Frames of a clip and the numbers of the actions that led to them; the first has the number of none."""

    frames: Frames
    actions: Int[np.ndarray, " t"]


def read_films(folder: Path) -> tuple[ActionSchema, list[Film]]:
    """Read all clips with actions under a folder, and what an action is."""
    described = [about["actions"] for _, about in read_datasets(folder) if about.get("actions")]
    if not described:
        raise SystemExit(f"{folder} has no clips with actions; make some with: chronotope world crafter")
    schema = from_dict(ActionSchema, described[0])
    if schema.kind != "discrete":
        raise SystemExit(f"actions of {folder} are {schema.kind}; this baseline reads discrete ones")
    films = []
    for clip in find_clips(folder):
        if not has_actions(clip.path):
            continue
        frames = video.read(clip.path).frames
        actions = read_actions(clip.path.with_name(clip.path.stem + SUFFIX), schema, len(frames)).values[:, 0]
        films.append(Film(frames, np.concatenate([[len(schema.choices[0])], actions[1:]])))
    return schema, films


def to_levels(frames: Tensor) -> Tensor:
    """Return pixels of 0 to 255, [..., h, w, 3], as numbers from -1 to 1, [..., 3, h, w]."""
    return frames.movedim(-1, -3).float() / 127.5 - 1


def windows(films: Sequence[Film], history: int, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return a batch: the frames before, [b, t, 3, h, w], the actions up to the next, [b, t], and the next frame."""
    lengths = np.array([len(film.frames) - 1 for film in films])
    chosen = rng.choice(len(films), size, p=lengths / lengths.sum())
    before, actions, after = [], [], []
    for film in (films[i] for i in chosen):
        t = int(rng.integers(1, len(film.frames)))
        places = np.maximum(np.arange(t - history, t + 1), 0)
        before.append(film.frames[places[:-1]])
        actions.append(film.actions[places[1:]])
        after.append(film.frames[t])
    return (
        to_levels(torch.from_numpy(np.stack(before))),
        torch.from_numpy(np.stack(actions)),
        to_levels(torch.from_numpy(np.stack(after))),
    )


def loss_of(net: UNet, batch: tuple[Tensor, Tensor, Tensor], generator: torch.Generator) -> Tensor:
    """Return the loss of a batch: the mean square error of what the network predicts, at noise levels of training."""
    history, actions, clean = batch
    count, channels = clean.shape[:2]
    sigma = torch.exp(LEVELS[0] + LEVELS[1] * torch.randn(count, generator=generator)).clamp(SIGMAS[0], 20)
    offset = OFFSET * torch.randn(count, channels, 1, 1, generator=generator)
    noise = torch.randn(clean.shape, generator=generator) + offset
    noisy = clean + sigma[:, None, None, None] * noise
    skip, out = preconditioning(sigma)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = net.raw(noisy, sigma, history, actions)
    return F.mse_loss(predicted.float(), (clean - skip * noisy) / out)


def sigmas(steps: int = STEPS) -> Float[Tensor, " n"]:
    """Return the noise levels of sampling, from the greatest to 0 (Karras et al. 2022, equation 5)."""
    least, greatest = (sigma ** (1 / RHO) for sigma in SIGMAS)
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    return torch.cat([(greatest + ramp * (least - greatest)) ** RHO, torch.zeros(1, dtype=torch.float64)]).float()


@torch.no_grad()
def sample(
    net: UNet, history: Float[Tensor, "b t 3 h w"], actions: Int[Tensor, "b t"], noise: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 3 h w"]:
    """Return the next frame of each history, by Euler steps."""
    levels = sigmas()
    x = noise * levels[0]
    for sigma, following in pairwise(levels):
        denoised = net(x, sigma.expand(len(x)), history, actions)
        x = x + (x - denoised) / sigma * (following - sigma)
    return x.clamp(-1, 1)


@dataclass(frozen=True, eq=False)
class DiamondState:
    """The frames and actions that the next step reads, the seed of the noise and the number of the next frame."""

    seed: int
    number: int
    history: Float[Tensor, "t 3 h w"]
    actions: Int[Tensor, " t"]


class Diamond:
    """A trained U-Net as a world that is stepped."""

    def __init__(self, net: UNet, schema: ActionSchema) -> None:
        self.net, self.schema = net.eval(), schema

    @classmethod
    def load(cls, path: Path) -> Diamond:
        """Load the averaged weights of a training."""
        net, schema, _ = read_training(path)
        return cls(net, schema)

    def begin(self, seed: int = 0, prompt: str = "", picture: Picture | None = None) -> tuple[DiamondState, Picture]:
        """Return the first state and frame, of a picture; words say nothing to this model."""
        if picture is None:
            raise SystemExit("this baseline begins from a picture")
        length = self.net.config.history
        frames = to_levels(torch.from_numpy(picture))[None].expand(length, -1, -1, -1)
        return DiamondState(seed, 1, frames, torch.full((length,), self.net.config.actions)), picture

    def step(self, state: DiamondState, actions: Shaped[np.ndarray, "t d"]) -> tuple[DiamondState, Frames]:
        """Return the next state and its frame."""
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence((state.seed, state.number)).generate_state(1)[0])
        )
        noise = torch.randn(1, *state.history.shape[1:], generator=generator)
        done = torch.cat([state.actions[1:], torch.from_numpy(np.asarray(actions)[:, 0])])
        made = sample(self.net, state.history[None], done[None], noise)
        frames = ((made + 1) * 127.5).round().to(torch.uint8).movedim(1, -1).numpy()
        return self.observe(state, frames, actions), frames

    def observe(self, state: DiamondState, frames: Frames, actions: Shaped[np.ndarray, "t d"]) -> DiamondState:
        """Return the state after a frame that really was there."""
        history = torch.cat([state.history[1:], to_levels(torch.from_numpy(frames))])
        done = torch.cat([state.actions[1:], torch.from_numpy(np.asarray(actions)[:, 0])])
        return DiamondState(state.seed, state.number + 1, history, done)


@dataclass
class Training:
    """What a training has reached: processor time in seconds, steps, and the moments of its optimizer."""

    seconds: float
    steps: int
    state: dict[str, Tensor]


def read_training(path: Path) -> tuple[UNet, ActionSchema, Training]:
    """Read a file of `train`; the network has the averaged weights."""
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["about"])
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    net = UNet(from_dict(UNetConfig, about["net"]))
    net.load_state_dict({name.removeprefix("average."): x for name, x in held.items() if name.startswith("average.")})
    return net, from_dict(ActionSchema, about["actions"]), Training(about["seconds"], about["steps"], held)


def train(folder: Path, out: Path, minutes: float, before: Path | None = None, seed: int = 0) -> None:
    """Train for a number of minutes of processor time, and write weights and log."""
    schema, films = read_films(folder)
    net, done = UNet(UNetConfig(len(schema.choices[0]))), Training(0.0, 0, {})
    if before is not None:
        net, schema, done = read_training(before)
    average = UNet(net.config)
    average.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=1e-2, betas=(0.9, 0.99))
    if before is not None:
        _restore(net, optimizer, done)
    net.to(memory_format=torch.channels_last)
    rng, generator = np.random.default_rng([seed, done.steps]), torch.Generator().manual_seed(seed + done.steps)
    started, losses = time.process_time() - done.seconds, []
    with out.with_suffix(".jsonl").open("a") as log:
        while (seconds := time.process_time() - started) < 60 * minutes:
            optimizer.param_groups[0]["lr"] = RATE * min(1.0, (done.steps + 1) / WARMUP)
            loss = loss_of(net, windows(films, net.config.history, BATCH, rng), generator)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            done.steps += 1
            share = min(AVERAGE, done.steps / (done.steps + 10))
            with torch.no_grad():
                for kept, new in zip(average.parameters(), net.parameters(), strict=True):
                    kept.lerp_(new, 1 - share)
            losses.append(loss.item())
            if done.steps % LOG_EVERY == 0:
                row = {"seconds": round(seconds, 1), "steps": done.steps, "loss": round(float(np.mean(losses)), 5)}
                log.write(json.dumps({**row, "clips": len(films)}) + "\n")
                log.flush()
                losses = []
            if done.steps % SAVE_EVERY == 0:
                _save(out, net, average, optimizer, schema, seconds, done.steps)
    _save(out, net, average, optimizer, schema, seconds, done.steps)


def _save(
    out: Path,
    net: UNet,
    average: UNet,
    optimizer: torch.optim.Optimizer,
    schema: ActionSchema,
    seconds: float,
    steps: int,
) -> None:
    """Write weights and optimizer; a file that is read meanwhile stays whole."""
    about = {"net": to_dict(net.config), "actions": to_dict(schema), "seconds": seconds, "steps": steps}
    partial = out.with_suffix(".partial")
    save_file(dict(_held(net, average, optimizer)), partial, {"about": json.dumps(about)})
    partial.replace(out)


def _held(net: UNet, average: UNet, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Yield what a training writes: averaged weights, weights, and the moments of the optimizer."""
    for name, x in average.state_dict().items():
        yield f"average.{name}", x.contiguous()
    for name, x in net.named_parameters():
        yield f"weight.{name}", x.detach().contiguous()
        for moment in ("exp_avg", "exp_avg_sq"):
            yield f"{moment}.{name}", optimizer.state[x][moment].contiguous()


def _restore(net: UNet, optimizer: torch.optim.Optimizer, done: Training) -> None:
    """Give network and optimizer the values of an earlier training."""
    with torch.no_grad():
        for name, x in net.named_parameters():
            x.copy_(done.state[f"weight.{name}"])
            moments = {moment: done.state[f"{moment}.{name}"] for moment in ("exp_avg", "exp_avg_sq")}
            optimizer.state[x] = {"step": torch.tensor(float(done.steps)), **moments}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--from", dest="before", type=Path)
    asked = parser.parse_args()
    train(asked.clips, asked.out, asked.minutes, asked.before)


if __name__ == "__main__":
    main()
