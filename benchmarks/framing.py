"""Native sizes against square crops: how much of the subject is in the picture.  python -m benchmarks.framing

    python -m benchmarks.framing --work FOLDER [--out benchmarks/framing.json] [--pairs docs/framing.png]

Two transformers of the preset `tiny` are trained on the same clips of one shape: as they are (16:9, 3:2, 1:1, 2:3 and
9:16), and cut to the square in their middle; the same seed, steps and tokens a step. Both then make the same held-out
prompts from the same seeds, 64x64, and the first also in 112x64. The share of the shape that lies in the frame is found
by placing its drawing, which may reach beyond the frame, so that it explains the picture best; a picture without the
shape counts as 0.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.optimize import minimize

from benchmarks.harness import say
from chronotope.cli.train.networks import dit_config
from chronotope.data.encode import encode_dataset
from chronotope.generate.pipeline import Generator, find_model, load_autoencoder
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.metrics.statistics import Rate, bootstrap, mcnemar, sign_flip
from chronotope.storage import write_json
from chronotope.train.dit import train_dit
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.splits import Split
from chronotope.worlds.stage.backdrops import PLAIN_COLOURS
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Event, Spec
from chronotope.worlds.stage.sprites import sprite_master

SCOPE = replace(
    SCOPES["shapes"],
    backdrops=tuple(PLAIN_COLOURS),
    max_actors=1,
    min_frames=5,
    max_frames=5,
    sizes=((112, 64), (64, 112), (96, 64), (64, 96), (64, 64)),
)
CLIPS, PROMPTS, PAIRS = 3000, 120, 12
PICTURES, LEAST_WAY = 0.5, 0.1  # the share of still pictures; of a frame, to call it a movement
STEPS, TOKENS, FRAMES = 2400, 2500, 5
WHOLE, DRAWN = 0.95, 0.02  # of the shape in the frame; of the frame that differs from its background
AUTOENCODER = "small"
MASTER = 128  # pixels of the drawing that is placed


# The share of a shape that is in the frame


def place(seen: np.ndarray, template: np.ndarray) -> tuple[float, float, float]:
    """Return centre (x, y) and longer side, in pixels, of the drawing that explains the opacity `seen` [h, w] best."""

    def error(found: np.ndarray) -> float:
        return float(np.square(_placed(template, *found, seen.shape) - seen).mean())

    ys, xs = np.nonzero(seen > 0.5)
    left, right, top, bottom = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
    size = float(max(right - left, bottom - top))
    guesses = [
        (x, y, size * factor)
        for factor in (1.0, 1.3, 1.7)
        for x in {(left + right) / 2, right - size * factor / 2, left + size * factor / 2}
        for y in {(top + bottom) / 2, bottom - size * factor / 2, top + size * factor / 2}
    ]
    best = sorted(guesses, key=lambda guess: error(np.array(guess)))[:3]
    simplex = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0], [0, 0, 4]])
    found = [
        minimize(error, guess, method="Nelder-Mead", options={"initial_simplex": guess + simplex, "maxfev": 160})
        for guess in best
    ]
    x, y, side = min(found, key=lambda one: one.fun).x
    return float(x), float(y), float(side)


def visible_share(frame: np.ndarray, noun: str, colour: str, backdrop: str) -> float:
    """Return the share of a shape that lies in a frame [h, w, 3]; 0 where the frame hardly shows any."""
    seen = opacity(frame, colour, backdrop)
    if (seen > 0.5).mean() < DRAWN:
        return 0.0
    template = sprite_master(noun, colour, MASTER)[..., 3].astype(np.float32) / 255
    inside = _placed(template, *(found := place(seen, template)), seen.shape)
    whole = template.mean() * template.shape[0] * template.shape[1] * (found[2] / max(template.shape)) ** 2
    return float(min(1.0, inside.sum() / whole))


def opacity(frame: np.ndarray, colour: str, backdrop: str) -> np.ndarray:
    """Return how far each pixel is from the background towards the colour of the shape, 0 to 1."""
    background, subject = np.array(PLAIN_COLOURS[backdrop], float), np.array(COLOURS[colour], float)
    way = subject - background
    return np.clip((frame - background) @ way / (way @ way), 0, 1).astype(np.float32)


def _placed(template: np.ndarray, x: float, y: float, side: float, size: tuple[int, ...]) -> np.ndarray:
    """Return the opacity [h, w] of the template with its centre at (x, y) and its longer side `side`."""
    scale = max(side, 2.0) / max(template.shape)
    height, width = template.shape
    matrix = np.array([[scale, 0, x - 0.5 - scale * (width - 1) / 2], [0, scale, y - 0.5 - scale * (height - 1) / 2]])
    blurred = cv2.GaussianBlur(template, (0, 0), max(0.4 / scale, 0.1))  # so that fine detail is not skipped
    return cv2.warpAffine(blurred, matrix, size[1::-1], flags=cv2.INTER_LINEAR)


# Clips and trainings


def spread_spec(seed: int, split: Split = "train") -> Spec:
    """Return a spec of one shape that is whole, anywhere in the frame: still, or on its way to another such place."""
    rng = np.random.default_rng((seed, 71))
    scope = replace(SCOPE, events=(), picture_share=float(rng.random() < PICTURES))
    spec = sample_spec(seed, scope, split)
    actor = spec.actors[0]
    half = [0.51 * actor.size * min(spec.width, spec.height) / side for side in (spec.width, spec.height)]
    here, there = ([float(rng.uniform(room, 1 - room)) for room in half] for _ in range(2))
    actor, events = replace(actor, x=here[0], y=here[1]), list[Event]()
    if spec.num_frames > 1:
        axis = int(spec.height > spec.width)  # along the longer side
        way = there[axis] - here[axis]
        direction: Any = (("left", "right"), ("up", "down"))[axis][int(way > 0)]
        if abs(way) > LEAST_WAY:
            events.append(Event("move", actor.id, 0.0, spec.seconds, direction, amount=abs(way)))
    return replace(spec, actors=(actor,), events=tuple(events))


def write_clips(work: Path) -> dict[str, float]:
    """Write the clips as they are and cut to squares; return the mean share of the subject that each shows."""
    native, square = work / "clips" / "native", work / "clips" / "square"
    about = work / "clips" / "shares.json"
    if about.is_file():
        shares: dict[str, float] = json.loads(about.read_text())
        return shares
    for folder in (native, square):
        folder.mkdir(parents=True, exist_ok=True)
    kept: list[float] = []
    for seed in range(CLIPS):
        spec = spread_spec(seed)
        clip = render(spec)
        frames, masks = _square(clip.frames), _square(clip.masks)
        kept.append(float((masks > 0).sum() / max(1, (clip.masks > 0).sum())))
        for folder, shown in ((native, clip.frames), (square, frames)):
            _write(folder / f"{seed:05d}", shown, spec)
    whole = float(np.mean([share >= WHOLE for share in kept]))
    write_json(about, shares := {"native": 1.0, "square": float(np.mean(kept)), "whole in squares": whole})
    return shares


def _square(frames: np.ndarray) -> np.ndarray:
    side = min(frames.shape[1:3])
    top, left = (frames.shape[1] - side) // 2, (frames.shape[2] - side) // 2
    return frames[:, top : top + side, left : left + side]


def _write(stem: Path, frames: np.ndarray, spec: Spec) -> None:
    if len(frames) == 1:
        video.write_image(stem.with_suffix(".png"), frames[0])
    else:
        video.write(stem.with_suffix(".mp4"), frames, spec.fps)
    texts = {level: list(some) for level, some in captions(spec).items() if level in ("tags", "sentence")}
    stem.with_suffix(".json").write_text(json.dumps({"captions": texts}))


def train(work: Path, name: str) -> Path:
    """Train the transformer of one kind of clips, and return the run."""
    run, clips, latents = work / name, work / "clips" / name, work / "latents" / name
    autoencoder = find_model(AUTOENCODER)
    if not (run / "dit" / "model.json").is_file():
        network = load_autoencoder(autoencoder)
        encode_dataset(clips, latents, network, Geometry(stride=network.config.stride))
        settings = [f"train.steps={STEPS}", f"train.batch_tokens={TOKENS}", "train.save_every=200"]
        train_dit(dit_config("tiny", 0, settings), [latents], run / "dit")
    if not (run / "autoencoder").exists():
        (run / "autoencoder").symlink_to((autoencoder / "autoencoder").resolve())
    return run


# Samples


@dataclass(frozen=True)
class Sample:
    """What one model made of one prompt: its last frame, and the mean share of the subject over all frames."""

    frame: np.ndarray
    share: float


def sample(run: Path, specs: list[Spec], size: tuple[int, int]) -> list[Sample]:
    """Make a video of each spec; its index is the seed."""
    generator, made = Generator.load(run), []
    for seed, spec in enumerate(specs):
        text, actor = captions(spec)["sentence"][0], spec.actors[0]
        frames = generator.generate(text, seed=seed, width=size[0], height=size[1], num_frames=FRAMES, fps=8).frames
        shares = [visible_share(frame, actor.noun, str(actor.colour), spec.backdrop) for frame in frames]
        made.append(Sample(frames[-1], float(np.mean(shares))))
    return made


def held_out() -> list[Spec]:
    """Return the specs of the prompts."""
    return [spread_spec(50_000 + seed, "heldout") for seed in range(PROMPTS)]


def compare(first: list[Sample], second: list[Sample]) -> dict[str, Any]:
    """Return how two models differ on the same prompts and seeds."""
    shares = np.array([[one.share for one in samples] for samples in (first, second)])
    whole = shares >= WHOLE
    only = int((whole[0] & ~whole[1]).sum()), int((~whole[0] & whole[1]).sum())
    differences = (shares[0] - shares[1]).tolist()
    keys = list(range(len(differences)))
    return {
        "only the first whole": only[0],
        "only the second whole": only[1],
        "p of whole (McNemar)": mcnemar(*only),
        "difference of the share": float(np.mean(differences)),
        "p of the share (sign flips)": sign_flip(differences, keys),
    }


def summary(samples: list[Sample]) -> dict[str, Any]:
    """Return the mean share of the subject in the frame, and how often it is whole or missing."""
    shares = [one.share for one in samples]
    whole = Rate(sum(share >= WHOLE for share in shares), len(shares))
    low, high = bootstrap(shares, list(range(len(shares))))
    return {
        "share": float(np.mean(shares)),
        "interval": [low, high],
        "whole": str(whole),
        "missing": sum(share == 0 for share in shares),
    }


def main() -> None:
    """Train both models, sample, compare, and draw the first pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--pairs", type=Path)
    arguments = parser.parse_args()
    shares = write_clips(arguments.work)
    say(f"share of the subject in the training clips: {shares}")
    runs = {name: train(arguments.work, name) for name in ("native", "square")}
    specs = held_out()
    made = {
        "native": sample(runs["native"], specs, (64, 64)),
        "square": sample(runs["square"], specs, (64, 64)),
        "native 112x64": sample(runs["native"], specs, (112, 64)),
    }
    found = {
        "clips": CLIPS,
        "steps": STEPS,
        "prompts": PROMPTS,
        "training clips": shares,
        "samples": {name: summary(samples) for name, samples in made.items()},
        "native against square": compare(made["native"], made["square"]),
        "native 112x64 against square": compare(made["native 112x64"], made["square"]),
    }
    write_json(arguments.out, found)
    say(json.dumps(found, indent=1))
    if arguments.pairs:
        draw_pairs(arguments.pairs, made)


def draw_pairs(path: Path, made: dict[str, list[Sample]]) -> None:
    """Draw the first samples: square crops above, native below, each with its wide picture."""
    rows = []
    for name in ("square", "native", "native 112x64"):
        frames = [one.frame for one in made[name][:PAIRS]]
        rows.append(np.concatenate([np.pad(f, ((2, 2), (2, 2), (0, 0)), constant_values=255) for f in frames], axis=1))
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    video.write_image(path, np.concatenate(padded, axis=0))


if __name__ == "__main__":
    main()
