"""A perceptual term against none: python -m benchmarks.perceptual hf:FOLDER --work FOLDER [--seeds 0 1]

    python tests/real_clips.py          # camera clips, once

The decoder of `small` is trained further on pieces of camera clips, with the same seed, clips and number of steps, with
the term and without; whole videos are held out. Scores are those of the averaged weights after the last step, whether
or not they pass the gate, on all pieces that are held out: PSNR, PSNR of moving pixels, SSIM (means over the pieces),
and the distance of features of the first frames of slices.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch

from benchmarks.harness import hardware, say
from chronotope.checkpoint import latest_checkpoint
from chronotope.config import override
from chronotope.data.clips import find_clips
from chronotope.evaluate.reconstruction import measure_reconstruction
from chronotope.generate.pipeline import WEIGHTS, load_autoencoder
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder
from chronotope.presets import PRESETS
from chronotope.storage import write_json
from chronotope.train.autoencoder import train_autoencoder
from chronotope.train.autoencoder.perceptual import FeatureNetwork, load_features
from tests.real_clips import available

TRAINING = ("bikes.mp4", "box.mp4", "cityCC0.mpg", "jwpIntro.mp4", "testMovie.mp4", "tree.avi")
HELD_OUT = ("carphone_pristine.mp4", "cockatoo.mp4", "cup.mp4")
FRAMES, SKIPPED, SIDE = 16, 24, 144  # of a piece, between two pieces, and the height of a piece
SETTINGS = (
    "pool.batch_pixels=131072",
    "pool.shapes=[[8,64,64],[4,96,128],[8,96,96]]",
    "train.muon_rate=0.002",
    "train.adam_rate=0.0001",
    "train.warmup=20",
    "train.average_decay=0.98",
    "train.log_every=10",
)


def pieces(path: Path) -> Iterator[np.ndarray]:
    """Cut a clip into pieces of `FRAMES` frames, at one height."""
    stream = video.stream(path)
    while len(piece := list(itertools.islice(stream, FRAMES))) == FRAMES:
        height, width = piece[0].shape[:2]
        yield video.resize(np.stack(piece), SIDE, round(SIDE * width / height / 16) * 16)
        list(itertools.islice(stream, SKIPPED))


def write_pieces(folder: Path) -> None:
    """Write all pieces; the names of those of `HELD_OUT` are such that a training holds them out."""
    clips = available()
    for name in (*TRAINING, *HELD_OUT):
        if name not in clips:
            say(f"not there: {name}")
            continue
        for number, piece in enumerate(itertools.islice(pieces(clips[name]), 8)):
            stem = next(
                stem
                for stem in (f"{Path(name).stem}-{number}-{more}" for more in itertools.count())
                if (crc32(f"{folder.name}/{stem}".encode()) % 40 == 0) == (name in HELD_OUT)
            )
            video.write(folder / f"{stem}.mp4", piece, 12.0)


def scores(autoencoder: Autoencoder, features: FeatureNetwork, clips: list[Path]) -> dict[str, float]:
    """Measure the reconstructions of clips."""
    rows: list[dict[str, float]] = []
    for path in clips:
        distances: list[float] = []

        def look(original: np.ndarray, decoded: np.ndarray, found: list[float] = distances) -> None:
            true, made = (torch.from_numpy(one).permute(0, 3, 1, 2) / 127.5 - 1 for one in (original, decoded))
            with torch.no_grad():
                found.append(float(features.distance(made[:1], true[:1])))

        got = measure_reconstruction(autoencoder, Geometry(), video.stream(path), FRAMES, look)
        row = {"psnr": got.psnr, "ssim": got.ssim, "distance": statistics.mean(distances)}
        rows.append({**row, **({} if got.moving_psnr is None else {"moving_psnr": got.moving_psnr})})
    return {name: round(statistics.mean(row[name] for row in rows if name in row), 4) for name in rows[0] | rows[-1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--weight", type=float, default=0.02)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/perceptual.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, start = arguments.work / "pieces", WEIGHTS / "small" / "autoencoder"
    if not data.is_dir():
        data.mkdir(parents=True)
        write_pieces(data)
    names = tuple(Path(name).stem for name in HELD_OUT)
    held_out = [clip.path for clip in find_clips(data) if clip.path.name.startswith(names)]
    features = load_features(arguments.network, torch.device("cpu"))
    found: dict[str, Any] = {"hardware": hardware(), "network": vars(features.facts), "held_out": len(held_out)}
    found["before"] = scores(load_autoencoder(start), features, held_out)
    say(f"before: {found['before']}")
    for seed, weight in itertools.product(arguments.seeds, (0.0, arguments.weight)):
        term = [f"perceptual.network={arguments.network}", f"perceptual.weight={weight}"] if weight else []
        length = [f"train.steps={arguments.steps}", f"train.check_every={arguments.steps // 4}", f"seed={seed}"]
        run = override(PRESETS["small"].autoencoder, [*SETTINGS, *length, *term])
        folder = arguments.work / f"seed{seed}-weight{weight:g}"
        numbers = train_autoencoder(run, [data], folder, start, quiet=True)
        last = latest_checkpoint(folder)
        assert last is not None
        row = {"seconds": numbers["seconds"], **scores(load_autoencoder(last), features, held_out)}
        found[f"seed {seed}, weight {weight:g}"] = row
        say(f"seed {seed}, weight {weight:g}: {row}")
        write_json(arguments.out, found)


if __name__ == "__main__":
    main()
