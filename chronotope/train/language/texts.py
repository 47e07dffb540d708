"""Batches of the captioner: clips with one caption of each level of detail.

All random numbers are functions of (seed, step, place in the batch), as in `train.batches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from chronotope.caption.subwords import Tokenizer
from chronotope.caption.tokens import visual_tokens
from chronotope.data.latents import LatentDataset
from chronotope.geometry import Geometry
from chronotope.models.captioner import DETAILS, END, VisualTokens
from chronotope.train.order import BatchPlan

__all__ = ["CaptionBatch", "caption_batch", "detail_of", "padded"]

IGNORED = -100  # the target of a place without loss


@dataclass(frozen=True)
class CaptionBatch:
    """Clips, and by level of detail one text about each, in the order of the clips.

    `targets` are the ids and the end of every text, and `IGNORED` after it and for clips without such a text.
    """

    clips: VisualTokens
    ids: dict[str, Int[Tensor, "clips _"]]
    targets: dict[str, Int[Tensor, "clips _"]]
    keys: tuple[str, ...]

    @property
    def num_tokens(self) -> int:
        return len(self.clips.values)

    def to(self, device: torch.device) -> CaptionBatch:
        """Copy the batch to a device."""
        if device.type == "cpu":
            return self
        seen = self.clips
        clips = VisualTokens(seen.values.to(device), seen.still.to(device), seen.positions.to(device), seen.lengths)
        ids, targets = ({name: x.to(device) for name, x in texts.items()} for texts in (self.ids, self.targets))
        return CaptionBatch(clips, ids, targets, self.keys)


def detail_of(level: str) -> str | None:
    """Return the level of detail of captions of a level in a dataset; None for a story, which is no description."""
    if level == "story":
        return None
    return level if level in DETAILS else "paragraph" if level == "descriptive" else "sentence"


def caption_batch(
    plan: BatchPlan,
    dataset: LatentDataset,
    tokenizer: Tokenizer,
    geometry: Geometry,
    deviation: Sequence[float],
    limits: tuple[int, int],
    details: Sequence[str],
    seed: int,
) -> CaptionBatch:
    """Build the batch of a plan, with captions of `details`; `limits` are visual tokens of a clip and ids of a text."""
    max_tokens, max_ids = limits
    clips, keys = [], []
    texts: dict[str, list[list[int] | None]] = {detail: [] for detail in details}
    for place in sorted(range(len(plan.clips)), key=lambda place: plan.sizes[place]):
        index = plan.clips[place]
        clip = dataset.clips[index]
        rng = np.random.default_rng((seed, plan.step, place, 6))
        slices, size = geometry.cut(clip.slices), (clip.height, clip.width)
        clips.append(visual_tokens(dataset.latents(index), slices, size, clip.fps, geometry, deviation, max_tokens))
        keys.append(clip.key)
        for detail in details:
            texts[detail].append(_ids(clip.captions, detail, tokenizer, max_ids, rng))
    together = VisualTokens(
        torch.cat([clip.values for clip in clips]),
        torch.cat([clip.still for clip in clips]),
        torch.cat([clip.positions for clip in clips]),
        tuple(clip.lengths[0] for clip in clips),
    )
    pairs = {detail: padded(found, max_ids - 1) for detail, found in texts.items()}
    ids, targets = ({detail: pair[part] for detail, pair in pairs.items()} for part in (0, 1))
    return CaptionBatch(together, ids, targets, tuple(keys))


def padded(texts: Sequence[list[int] | None], most: int) -> tuple[Tensor, Tensor]:
    """Return ids [texts, l] and targets [texts, l + 1], of texts of which at most `most` ids are read."""
    longest = min(most, max((len(ids) for ids in texts if ids), default=0))
    ids, targets = torch.zeros(len(texts), longest, dtype=torch.long), torch.full((len(texts), longest + 1), IGNORED)
    for row, text in enumerate(texts):
        if text is not None:
            read = text[:most]
            ids[row, : len(read)] = torch.tensor(read)
            targets[row, : len(read)] = torch.tensor(read)
            targets[row, len(read)] = END if read == text else IGNORED  # a text that is cut does not end there
    return ids, targets


def _ids(
    captions: dict[str, list[str]], detail: str, tokenizer: Tokenizer, most: int, rng: np.random.Generator
) -> list[int] | None:
    """Return the ids of one caption of this detail, without the opening one; None where the clip has none."""
    texts = [text for level, found in captions.items() if detail_of(level) == detail for text in found]
    if not texts:
        return None
    return tokenizer.encode(texts[int(rng.integers(len(texts)))], most + 1)[1:]
