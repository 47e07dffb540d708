"""Predict, for every cell of 4 x 4 pixels of a frame, which kind of the stage's cast it contains, if any.

Frames are scaled to a short side of 64 pixels, so an actor has about the same size at every resolution.
`tools/train_detector.py` trains the network on the stage's exact masks; its weights are part of the package.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from chronotope.checkpoint import load_tensors
from chronotope.errors import FileProblem
from chronotope.geometry import Frames
from chronotope.media.picture import resize
from chronotope.storage import file_sha256, read_json
from chronotope.worlds.stage.scope import SCOPES

__all__ = [
    "CELL",
    "KINDS",
    "NOTHING",
    "SHAPE_KINDS",
    "SHORT_SIDE",
    "SOMETHING",
    "Detector",
    "load_detector",
    "look",
    "scaled",
    "weights_folder",
]

SHORT_SIDE = 64  # pixels, after scaling
CELL = 4  # pixels a side
# The kinds that a cell can contain. "something" is any foreground that is none of the others, such as an unknown noun.
NOTHING, SOMETHING = 0, 1
SHAPE_KINDS = SCOPES["wide"].shapes
KINDS = ("", "something", *SHAPE_KINDS, *SCOPES["wide"].nouns)


class Residual(nn.Module):
    """Two convolutions with a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return F.relu(x + self.layers(x))


class Detector(nn.Module):
    """A two-scale network: cells of 4 pixels resolve outlines, cells of 8 pixels cover whole actors."""

    def __init__(self, fine: int = 48, coarse: int = 80) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 24, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(inplace=True),
            nn.Conv2d(24, fine, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(fine),
            nn.ReLU(inplace=True),
        )
        self.outline = nn.Sequential(Residual(fine), Residual(fine))
        self.whole = nn.Sequential(
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(coarse),
            nn.ReLU(inplace=True),
            Residual(coarse),
            Residual(coarse),
            nn.Conv2d(coarse, fine, 1),
        )
        self.decide = nn.Sequential(Residual(fine), nn.Conv2d(fine, len(KINDS), 1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k rows columns"]:
        """Return the logits of every kind for every cell; pixels are in [-1, 1], with sides divisible by 8."""
        outline = self.outline(self.stem(pixels.contiguous(memory_format=torch.channels_last)))
        whole = F.interpolate(self.whole(outline), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.decide(outline + whole)


def scaled(frames: Frames) -> UInt8[np.ndarray, "t h2 w2 3"]:
    """Scale frames to a short side of 64 pixels."""
    height, width = frames.shape[1:3]
    factor = SHORT_SIDE / min(height, width)
    size = max(SHORT_SIDE, round(height * factor)), max(SHORT_SIDE, round(width * factor))
    return frames if size == (height, width) else resize(frames, *size)


@torch.no_grad()
def look(detector: Detector, frames: Frames, batch: int = 32) -> Float[np.ndarray, "t k rows columns"]:
    """Return the probability of each kind in each cell of frames that have been scaled."""
    height, width = frames.shape[1:3]
    rows, columns = -(-height // CELL), -(-width // CELL)
    padded = np.pad(frames, ((0, 0), (0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
    probabilities = []
    for start in range(0, len(padded), batch):
        pixels = torch.from_numpy(padded[start : start + batch]).permute(0, 3, 1, 2).float() / 127.5 - 1
        probabilities.append(detector(pixels).softmax(dim=1)[..., :rows, :columns].numpy())
    return np.concatenate(probabilities)


def weights_folder() -> Path:
    """Return the folder of the shipped detector."""
    return Path(__file__).parent


@functools.lru_cache(maxsize=2)
def load_detector(folder: Path | None = None) -> Detector:
    """Load a trained detector, in evaluation mode.

    Raises FileProblem where it was trained for another cast, or its weights are not those that were saved.
    """
    folder = folder or weights_folder()
    about = read_json(folder / "detector.json")
    if tuple(about["kinds"]) != KINDS:
        raise FileProblem(
            f"{folder}/detector.json was trained for another cast; train it again: python -m tools.train_detector"
        )
    if file_sha256(folder / "detector.safetensors") != about["sha256"]:
        raise FileProblem(f"{folder}/detector.safetensors is damaged; install the package again")
    detector = Detector()
    tensors = load_tensors(folder / "detector.safetensors")
    detector.load_state_dict({key: x.float() if x.is_floating_point() else x for key, x in tensors.items()})
    return detector.eval()
