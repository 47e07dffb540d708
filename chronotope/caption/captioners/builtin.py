"""The captioner that is trained here, behind the same function as all captioners."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chronotope.caption.beams import beam_search
from chronotope.caption.captioners.captioner import Answer, NoCaptionError
from chronotope.caption.subwords import Tokenizer
from chronotope.caption.tokens import visual_tokens
from chronotope.config import from_dict
from chronotope.errors import UsageError
from chronotope.geometry import Frames, Geometry, Slice
from chronotope.media.picture import resize
from chronotope.models.captioner import DETAILS, LatentCaptioner, Memory

__all__ = ["BuiltIn", "Encode"]

Encode = Callable[[Frames, Sequence[Slice]], Tensor]  # frames and how they are cut -> latents [s, c, h, w]


class BuiltIn:
    """A trained captioner; `encode` is the autoencoder whose latents it reads, and `description` its model.json.

    A clip is shown at the rate and at about the area of the clips that it was trained on. `power` prefers longer texts
    where it is larger (see `beams.Found.score`).
    """

    def __init__(
        self,
        encode: Encode,
        network: LatentCaptioner,
        description: Mapping[str, Any],
        detail: str = "sentence",
        beams: int = 4,
        power: float = 0.7,
        weights: str = "",
    ) -> None:
        if detail not in DETAILS:
            raise UsageError(f"detail is one of {', '.join(DETAILS)}, got '{detail}'")
        self.encode, self.network = encode, network.eval()
        self.tokenizer = Tokenizer(description["vocabulary"])
        self.geometry = from_dict(Geometry, description["geometry"])
        self.deviation = tuple(description["deviation"])
        self.max_tokens = int(description["max_sample_tokens"])
        self.fps, self.area = float(description["shown"]["fps"]), int(description["shown"]["area"])
        self.detail, self.beams, self.power, self.weights = detail, beams, power, weights

    @property
    def author(self) -> Mapping[str, Any]:
        """What writes these captions: the hash of its weights and how it searches."""
        return {
            "kind": "builtin",
            "weights": self.weights,
            "detail": self.detail,
            "beams": self.beams,
            "power": self.power,
        }

    def ask(self, frames: Frames, fps: float) -> Answer:
        """Describe one clip."""
        found = beam_search(self.network, self.look(frames, fps), self.detail, self.beams, self.power)
        text = self.tokenizer.decode(found.ids)
        if not found.ended:
            raise NoCaptionError(f"the caption does not end: {text[:80]}")
        return Answer(text if self.detail == "tags" else sentences(text), len(found.ids))

    @torch.no_grad()
    def look(self, frames: Frames, fps: float) -> Memory:
        """Encode one clip, at the rate and the area that the captioner was trained at."""
        shown, rate = self._shown(frames, fps)
        slices, size = self.geometry.slices(len(shown)), (shown.shape[1], shown.shape[2])
        latents = self.encode(shown, slices)
        tokens = visual_tokens(latents, slices, size, rate, self.geometry, self.deviation, self.max_tokens)
        return self.network.look(tokens)

    def _shown(self, frames: Frames, fps: float) -> tuple[Frames, float]:
        """Return the frames at the rate and area of the training; a clip of a lower rate keeps its own."""
        rate = min(fps, self.fps)
        count = max(1, math.floor((len(frames) - 1) * rate / fps + 1e-6) + 1)
        chosen = np.minimum(np.round(np.arange(count) * fps / rate).astype(int), len(frames) - 1)
        height, width = frames.shape[1:3]
        scale = math.sqrt(self.area / (height * width))
        rows, columns = self.geometry.cell
        tall = max(1, round(height * scale / rows)) * rows
        wide = max(1, round(width * scale / columns)) * columns
        return resize(frames[chosen], tall, wide), rate


def sentences(text: str) -> str:
    """Write a text in lower case as sentences, each with a capital letter."""
    parts = text.split(". ")
    return ". ".join(part[:1].upper() + part[1:] for part in parts)
