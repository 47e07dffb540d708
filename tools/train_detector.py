"""Train the detector on the stage's exact masks: python -m tools.train_detector

Ten minutes on one core. Only specs of the training split are seen, so held-out ones and new combinations stay fair
tests.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chronotope.storage import write_atomically, write_json
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.stage.cast import CAST, SHAPES
from chronotope.worlds.stage.checks.detector import (
    CELL,
    KINDS,
    NOTHING,
    SHAPE_KINDS,
    SHORT_SIDE,
    SOMETHING,
    Detector,
    load_detector,
    scaled,
    weights_folder,
)
from chronotope.worlds.stage.render import backdrop_frames, render
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES, Scope
from tools.degrade import spoil
from tools.malform import Drawing, cut_out, lone_actor, malform

__all__ = ["Example", "gather", "train_detector"]


@dataclasses.dataclass(frozen=True)
class Example:
    """A frame with a short side of 64, a neighbouring frame, the backdrop, and the kind of thing at every pixel."""

    frame: np.ndarray
    ghost: np.ndarray
    behind: np.ndarray  # the frame without actors
    kinds: np.ndarray


def _strangers() -> Scope:
    """Who else is in the cast: all of them are `something` to the detector."""
    nouns = tuple(noun for noun in CAST if noun not in KINDS)
    shapes = tuple(shape for shape in SHAPES if shape not in KINDS)
    return dataclasses.replace(SCOPES["wide"], shapes=shapes, nouns=nouns, colours=tuple(COLOURS), shape_share=0.15)


# Scopes and how much of the training each is. Shapes are told apart by their outline alone, which takes more examples
# than a face. With strangers beside them, actors are not recognised just by being there.
_MENU = (
    (dataclasses.replace(SCOPES["small"], shape_share=0.6), 0.6),
    (dataclasses.replace(SCOPES["wide"], shape_share=0.5), 0.28),
    (_strangers(), 0.12),
)


MALFORMED_SHARE = 0.5  # of the examples; of these, only those with one whole actor are changed


def gather(count: int, seed: int) -> list[Example]:
    """Two frames of each of `count` clips of the training split."""
    rng = np.random.default_rng([seed, 7])
    scopes, shares = [scope for scope, _ in _MENU], [share for _, share in _MENU]
    examples = []
    for index in range(count):
        scope = scopes[rng.choice(len(scopes), p=shares)]
        spec = sample_spec(seed * 1_000_003 + index, scope)
        clip, empty = render(spec), backdrop_frames(spec)
        lookup = np.array(
            [NOTHING, *(KINDS.index(a.noun) if a.noun in KINDS else SOMETHING for a in spec.actors)], np.uint8
        )
        for t in rng.choice(spec.num_frames, min(2, spec.num_frames), replace=False):
            frame, ghost = scaled(clip.frames[[t, max(0, t - 1)]])
            behind = scaled(empty[[t]])[0]
            kinds = lookup[clip.masks[t]]
            if kinds.shape != frame.shape[:2]:
                rows = np.arange(frame.shape[0]) * kinds.shape[0] // frame.shape[0]
                kinds = kinds[rows][:, np.arange(frame.shape[1]) * kinds.shape[1] // frame.shape[1]]
            examples.append(Example(frame, ghost, behind, kinds))
    return examples


def _batches(examples: list[Example], size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of spoilt examples of one frame size: pixels [b, 3, h, w] and shares of every kind [b, k, rows,
    columns].
    """
    rng = np.random.default_rng([seed, 8])
    groups: dict[tuple[int, ...], list[Example]] = {}
    for example in examples:
        groups.setdefault(example.frame.shape, []).append(example)
    lists = list(groups.values())
    weights = np.array([len(group) for group in lists]) / len(examples)
    while True:
        group = lists[rng.choice(len(lists), p=weights)]
        spoilt = [_spoilt(group[i], group, rng) for i in rng.integers(len(group), size=size)]
        frames = np.stack([frame for frame, _ in spoilt])
        height, width = (side // 8 * 8 for side in frames.shape[1:3])
        pixels = torch.from_numpy(frames[:, :height, :width]).permute(0, 3, 1, 2).float() / 127.5 - 1
        kinds = torch.from_numpy(np.stack([mask for _, mask in spoilt])[:, :height, :width]).long()
        shares = F.avg_pool2d(F.one_hot(kinds, len(KINDS)).permute(0, 3, 1, 2).float(), CELL)
        yield pixels, shares


def _spoilt(example: Example, group: list[Example], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the frame and its kinds after a malformation of the actor, in some cases, and the flaws of a generator."""
    frame, ghost, kinds = example.frame, example.ghost, example.kinds
    if rng.random() < MALFORMED_SHARE:
        frame, kinds = malform(frame, example.behind, kinds, _another(group, rng), SOMETHING, rng)
        ghost = frame
    return spoil(frame, ghost, kinds, SOMETHING, rng)


def _another(group: list[Example], rng: np.random.Generator) -> list[Drawing]:
    """Return the actor of another example, where a few tries find one that is alone."""
    for index in rng.integers(len(group), size=4):
        other = group[index]
        kind = lone_actor(other.kinds)
        if kind is not None:
            return [cut_out(other.frame, other.kinds, plain=KINDS[kind] in SHAPE_KINDS)]
    return []


def train_detector(
    detector: Detector, examples: list[Example], steps: int, seed: int, learning_rate: float = 4e-3, batch: int = 32
) -> Iterator[float]:
    """Fit the detector; yields the loss of every step."""
    optimizer = torch.optim.AdamW(detector.parameters(), lr=learning_rate, weight_decay=0.02, betas=(0.9, 0.98))
    # most cells hold nothing: they count less, or the detector would learn to say nothing
    weight = torch.ones(len(KINDS))
    weight[NOTHING], weight[SOMETHING] = 0.3, 0.8
    detector.train()
    for step, (pixels, shares) in zip(range(steps), _batches(examples, batch, seed), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / 60) * 0.5 * (1 + math.cos(math.pi * step / steps))
        loss = F.cross_entropy(detector(pixels), shares, weight=weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield float(loss.detach())
    detector.eval()


def _save(detector: Detector, folder: Path, about: dict[str, object]) -> None:
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.half().contiguous() if t.is_floating_point() else t for name, t in detector.state_dict().items()}
    weights = save(tensors)
    write_atomically(folder / "detector.safetensors", weights)
    description = {"kind": "probe", "kinds": list(KINDS), "short_side": SHORT_SIDE, "cell": CELL, **about}
    description["sha256"] = hashlib.sha256(weights).hexdigest()
    write_json(folder / "detector.json", description)


def main(arguments: list[str] | None = None) -> None:
    """Gather, train, save."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_detector", description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=6000, help="how many specs to render")
    parser.add_argument("--steps", type=int, default=1300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=4e-3, help="the highest learning rate")
    parser.add_argument("--start", type=Path, help="folder of a detector to train further")
    parser.add_argument(
        "--out", type=Path, default=weights_folder(), help="folder for detector.safetensors and detector.json"
    )
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    began = time.perf_counter()
    examples = gather(options.clips, options.seed)
    say = sys.stderr.write
    say(f"{len(examples)} frames of {options.clips} clips in {time.perf_counter() - began:.0f} s\n")
    detector, average = load_detector(options.start) if options.start else Detector(), 0.0
    for step, loss in enumerate(train_detector(detector, examples, options.steps, options.seed, options.rate), 1):
        average += (loss - average) / min(step, 50)
        if step % 50 == 0:
            say(f"step {step}/{options.steps}  loss {average:.4f}  {time.perf_counter() - began:.0f} s\n")
    about = {name: getattr(options, name) for name in ("clips", "steps", "seed", "rate")}
    about |= {"start": str(options.start) if options.start else None, "loss": round(average, 4)}
    _save(detector, options.out, {**about, "seconds": round(time.perf_counter() - began)})


if __name__ == "__main__":
    main()
