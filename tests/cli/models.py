"""Models of random weights in the shape of a run folder, small enough that a test makes a video in a second."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner, Result

from chronotope import checkpoint
from chronotope.caption.subwords import learn_vocabulary
from chronotope.cli.commands import chronotope
from chronotope.config import to_dict
from chronotope.data.latents import fingerprint
from chronotope.flow.path import FlowConfig
from chronotope.generate.pipeline import load_autoencoder
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.dit import DiT, DiTConfig
from chronotope.request import Defaults
from chronotope.sealed import write_sealed
from chronotope.storage import read_json

WORDS = ("a red ball moves to the right", "a fox walks past a tree at night")
AUTOENCODER = AutoencoderConfig(widths=(16, 32), encoder_blocks=(1, 1), decoder_blocks=(1, 1))
SMALL_AUTOENCODER = "model.widths=[16,32]", "model.encoder_blocks=[1,1]", "model.decoder_blocks=[1,1]"
SMALL_DIT = "model.width=64", "model.depth=1", "model.text_depth=1", "model.vocabulary_size=120"


def save_run(folder: Path, seed: int = 0) -> Path:
    """A run folder as training leaves it, its weights random."""
    torch.manual_seed(seed)
    autoencoder = Autoencoder(AUTOENCODER)
    checkpoint.save_model(
        folder / "autoencoder", autoencoder, {"kind": "autoencoder", "config": to_dict(AUTOENCODER)}, torch.float16
    )
    vocabulary = learn_vocabulary(WORDS, 120)
    config = DiTConfig(width=64, depth=1, text_depth=1, max_text_tokens=24, vocabulary_size=len(vocabulary) + 2)
    dit = DiT(config)
    torch.nn.init.normal_(dit.patch_out.weight, std=0.1)
    description = {
        "kind": "dit",
        "config": to_dict(config),
        "flow": to_dict(FlowConfig()),
        "geometry": to_dict(Geometry()),
        "autoencoder": fingerprint(load_autoencoder(folder)),
        "vocabulary": list(vocabulary),
        "defaults": to_dict(Defaults(height=32, width=48, num_frames=8, num_steps=2)),
        "training": {"run": {"train": {"steps": 7}}, "loss": 0.5},
    }
    checkpoint.save_model(folder / "dit", dit, description, torch.float16)
    return folder


def reseal(folder: Path, **changes: Any) -> None:
    """Change a model.json and make its checksums right again, of its weights and of itself."""
    weights = (folder / "model.safetensors").read_bytes()
    files = {"model.safetensors": {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}}
    write_sealed(folder / "model.json", {**read_json(folder / "model.json"), **changes, "files": files}, "checksum")


def save_clips(folder: Path, count: int = 3, size: tuple[int, int] = (32, 32)) -> Path:
    """A dataset: a captioned square on the move, and a picture."""
    folder.mkdir(parents=True)
    for number in range(count):
        frames = np.full((9, size[1], size[0], 3), 40 * number, np.uint8)
        for time, frame in enumerate(frames):
            frame[8:20, 2 * time : 2 * time + 12] = (250, 40, 40)
        video.write(folder / f"{number}.mp4", frames, 8.0)
        (folder / f"{number}.txt").write_text(WORDS[number % 2])
    video.write_image(folder / "still.png", frames[0])
    return folder


def run(*words: Any) -> Result:
    """The command line in this process."""
    return CliRunner().invoke(chronotope, [str(word) for word in words])


def answer(*words: Any) -> Any:
    """What a command that must succeed prints, read as JSON."""
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(*words: Any, status: int) -> str:
    """The one sentence that a command which cannot work says on stderr; stdout stays empty."""
    result = run(*words)
    assert result.exit_code == status, f"{result.exit_code}: {result.output}"
    assert not result.stdout
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("chronotope: "), result.stderr
    assert not last.startswith("chronotope: unexpected"), last
    return last.removeprefix("chronotope: ")


def program(*words: Any) -> subprocess.CompletedProcess[str]:
    """The command line as a program of its own."""
    command = [str(Path(sys.executable).with_name("chronotope")), "--threads", "1", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def files_in(folder: Path) -> set[str]:
    """Every file below a folder, hidden ones too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
