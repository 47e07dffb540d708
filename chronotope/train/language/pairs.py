"""Captions of clips -> pairs of a short caption and a descriptive one of the same clip, in batches.

All random numbers are functions of (seed, step), as in `train.batches`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from chronotope.data.captions import Captions, read_captions
from chronotope.data.clips import find_clips
from chronotope.data.latents import clip_of, read_header, read_index
from chronotope.data.recaptions import Recaptions
from chronotope.errors import UsageError
from chronotope.models.text import Tokenizer
from chronotope.storage import file_sha256
from chronotope.train.language.texts import detail_of, padded

__all__ = ["DESCRIPTIVE", "CaptionPairs", "PairBatch", "pair_batches", "read_pairs"]

DESCRIPTIVE = "paragraph"  # the level of detail that is written
SHORT = ("tags", "sentence")  # those it is written from


@dataclass(frozen=True)
class CaptionPairs:
    """The short and the descriptive captions of clips that have both; `data` names the folders, by their captions."""

    keys: tuple[str, ...]
    short: tuple[tuple[str, ...], ...]
    descriptive: tuple[tuple[str, ...], ...]
    data: tuple[dict[str, Any], ...]

    def texts(self) -> Iterator[str]:
        """Yield every caption."""
        for texts in (*self.short, *self.descriptive):
            yield from texts


@dataclass(frozen=True)
class PairBatch:
    """Short captions, packed, and as many descriptive ones, in the order of their lengths."""

    ids: Int[Tensor, " n"]
    lengths: tuple[int, ...]
    texts: Int[Tensor, "pairs _"]
    targets: Int[Tensor, "pairs _"]
    keys: tuple[str, ...]

    @property
    def num_tokens(self) -> int:
        return len(self.ids) + self.texts.numel()

    def to(self, device: torch.device) -> PairBatch:
        """Copy the batch to a device."""
        moved = (self.ids.to(device), self.lengths, self.texts.to(device), self.targets.to(device))
        return PairBatch(*moved, self.keys)


def read_pairs(folders: Sequence[Path]) -> CaptionPairs:
    """Read the captions of folders of clips or of latents; raise UsageError where no clip has both kinds."""
    keys, short, descriptive, data = [], [], [], []
    for folder in folders:
        listing = []
        for key, captions in _captions_in(folder):
            found: dict[str, list[str]] = {}
            for level, texts in captions.items():
                found.setdefault(detail_of(level) or "", []).extend(texts)
            brief = tuple(text for detail in SHORT for text in found.get(detail, ()))
            full = tuple(found.get(DESCRIPTIVE, ()))
            listing.append([key, brief, full])
            if brief and full:
                keys.append(key)
                short.append(brief)
                descriptive.append(full)
        digest = hashlib.sha256(json.dumps(listing).encode()).hexdigest()
        data.append({"clips": len(listing), "listing": digest})
    if not keys:
        raise UsageError(
            f"no clip in {', '.join(map(str, folders))} has a short caption (tags, sentence) and a descriptive one "
            "(paragraph, descriptive), to learn the one from the other; write some with `chronotope caption`"
        )
    return CaptionPairs(tuple(keys), tuple(short), tuple(descriptive), tuple(data))


def _captions_in(folder: Path) -> Iterator[tuple[str, Captions]]:
    if (folder / "latents.json").is_file():
        read_header(folder)
        for row in read_index(folder):
            clip = clip_of(row, folder)
            yield clip.key, {level: tuple(texts) for level, texts in clip.captions.items()}
        return
    written = Recaptions(folder)
    for one in find_clips(folder):
        captions = read_captions(one.path)
        yield one.key, written.merged(captions, one.file, file_sha256(one.path)) if written.rows else captions


def pair_batches(
    pairs: CaptionPairs, tokenizer: Tokenizer, size: int, most: int, seed: int, step: int
) -> Iterator[PairBatch]:
    """Yield batches of `size` pairs without end, from a step on; `most` ids of a text are read."""
    while True:
        rng = np.random.default_rng((seed, step, 8))
        chosen = rng.integers(len(pairs.keys), size=size)
        rows = []
        for index in chosen:
            brief, full = (texts[int(index)] for texts in (pairs.short, pairs.descriptive))
            source, target = (texts[int(rng.integers(len(texts)))] for texts in (brief, full))
            rows.append(
                (tokenizer.encode(source, most), tokenizer.encode(target, most + 1)[1:], pairs.keys[int(index)])
            )
        rows.sort(key=lambda row: len(row[0]))  # texts of one length attend in one call
        texts, targets = padded([row[1] for row in rows], most - 1)
        ids = torch.tensor([number for row in rows for number in row[0]])
        yield PairBatch(ids, tuple(len(row[0]) for row in rows), texts, targets, tuple(row[2] for row in rows))
        step += 1
