"""Settings of trainings that take a second, and what several modules of tests train with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from chronotope.config import override
from chronotope.data.encode import encode_dataset
from chronotope.generate.pipeline import load_autoencoder
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.train.autoencoder import AutoencoderRun, train_autoencoder
from chronotope.train.config import DiTRun
from chronotope.train.dit import train_dit

AUTOENCODER = override(
    AutoencoderRun(),
    [
        "model.widths=[8,12]",
        "model.encoder_blocks=[1,1]",
        "model.decoder_blocks=[1,1]",
        "model.channels=4",
        "pool.batch_pixels=30000",
        "pool.shapes=[[8,32,32],[1,32,32]]",
        "train.precision=fp32",
        "train.steps=6",
        "train.warmup=1",
        "train.freeze_encoder_from=4",
        "train.save_every=3",
        "train.check_every=6",
    ],
)
DIT = override(
    DiTRun(),
    [
        "model.channels=4",
        "model.head_dim=16",
        "model.width=32",
        "model.depth=1",
        "model.text_depth=1",
        "model.vocabulary_size=80",
        "train.precision=fp32",
        "train.steps=6",
        "train.warmup=1",
        "train.batch_tokens=150",
        "train.save_every=3",
    ],
)


def save_moving_blocks(folder: Path) -> Path:
    """Five clips of several lengths and two sizes, and a picture, with captions."""
    rng = np.random.default_rng(0)
    for i, frames in enumerate([9, 8, 12, 1, 16, 9]):
        moving = np.zeros((frames, 32, 32 + 16 * (i % 2), 3), np.uint8)
        for t in range(frames):
            moving[t, 8:20, 2 + t : 12 + t] = rng.integers(100, 256, 3)
        path = folder / (f"{i}.mp4" if frames > 1 else f"{i}.png")
        if frames > 1:
            video.write(path, moving, 8.0)
        else:
            video.write_image(path, moving[0])
        path.with_suffix(".json").write_text(
            json.dumps({"captions": {"sentence": [f"block {i} moves"], "tags": ["block"]}})
        )
    return folder


def train_on(clips: Path, folder: Path) -> Path:
    """Train both networks, and keep the latents between them."""
    train_autoencoder(AUTOENCODER, [clips], folder / "autoencoder", quiet=True)
    encode_dataset(clips, folder / "latents", load_autoencoder(folder), Geometry())
    train_dit(DIT, [folder / "latents"], folder / "dit", quiet=True)
    return folder


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()
