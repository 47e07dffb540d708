"""Captions of clips -> pairs of a short caption and a descriptive one of the same clip, in batches.

All random numbers are functions of (seed, step), as in `train.batches`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from chronotope.caption.subwords import Tokenizer
from chronotope.data.audit import changes_since_encoding
from chronotope.data.captions import Captions, read_captions
from chronotope.data.clips import scan_folder
from chronotope.data.contradictions import contradictions_beside
from chronotope.data.latents import clip_of, read_folder
from chronotope.data.notes import ClipNotes
from chronotope.data.recaptions import Recaptions
from chronotope.data.record import content_of_row, repeated_clips
from chronotope.data.rendered import changes_since_rendering, find_worlds
from chronotope.errors import FileProblem, UsageError
from chronotope.manifest import LeftOut, described, identify
from chronotope.train.language.texts import detail_of, padded

__all__ = ["DESCRIPTIVE", "CaptionPairs", "PairBatch", "pair_batches", "read_pairs"]

DESCRIPTIVE = "paragraph"  # the level of detail that is written
SHORT = ("tags", "sentence")  # those it is written from

Note = Callable[[str], None]


@dataclass(frozen=True)
class CaptionPairs:
    """The short and the descriptive captions of clips that have both; `data` names the folders, by their captions."""

    keys: tuple[str, ...]
    short: tuple[tuple[str, ...], ...]
    descriptive: tuple[tuple[str, ...], ...]
    data: tuple[dict[str, Any], ...]
    left_out: tuple[LeftOut, ...] = ()  # clips whose captions, or files, cannot be read

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


def read_pairs(folders: Sequence[Path], note: Note = lambda _: None) -> CaptionPairs:
    """Read the captions of folders of clips or of latents; raise UsageError where no clip has both kinds.

    `note` receives what `encode` says of clips without decoding them, what a training on latents says of them, and
    that clips are in the data more than once. Clips whose captions cannot be read are in `left_out`. Raises FileProblem
    for latents whose index is not whole.
    """
    keys, short, descriptive, data = [], [], [], []
    contents: list[tuple[str, str | None]] = []
    left_out: list[LeftOut] = []
    for folder in folders:
        listing = []
        in_latents = (folder / "latents.json").is_file()
        read = _of_latents(folder, note, contents) if in_latents else _of_clips(folder, note, contents, left_out)
        for key, captions in read:
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
    for sentence in repeated_clips(contents):
        note(sentence.removeprefix("note: "))
    if not keys:
        cannot = f"; {len(left_out)} cannot be read, the first: {left_out[0].reason}" if left_out else ""
        raise UsageError(
            f"no clip in {', '.join(map(str, folders))} has a short caption (tags, sentence) and a descriptive one "
            "(paragraph, descriptive), to learn the one from the other; write some with "
            f"`chronotope caption`{cannot}"
        )
    return CaptionPairs(tuple(keys), tuple(short), tuple(descriptive), tuple(data), tuple(left_out))


def _of_latents(folder: Path, note: Note, contents: list[tuple[str, str | None]]) -> Iterator[tuple[str, Captions]]:
    """Yield the captions of latents; add to `contents` the names and hashes of their clips."""
    header, rows = read_folder(folder)
    for sentence in changes_since_encoding(folder, header, rows):
        note(sentence)
    for row in rows:
        clip = clip_of(row, folder)
        contents.append((f"{folder}: {clip.key}", content_of_row(row)))
        yield clip.key, {level: tuple(texts) for level, texts in clip.captions.items()}


def _of_clips(
    data: Path, note: Note, contents: list[tuple[str, str | None]], left_out: list[LeftOut]
) -> Iterator[tuple[str, Captions]]:
    """Yield the captions beside clips and those written for them; add to `contents` and to `left_out`."""
    folder = scan_folder(data)
    for sentence in (*folder.notes(), *folder.notes_on_captions()):
        note(sentence)
    find_worlds(data, note)  # of a split that is meant for evaluation
    written, clip_notes = Recaptions(data, note), ClipNotes(note, data)
    rows = []
    for clip in folder.clips:
        try:
            source = identify(clip.path, clip.file)
            rows.append({"source": described(source)})
            beside = read_captions(clip.path, clip_notes.captions)
            for found in contradictions_beside(clip.path):
                clip_notes.captions(found)
        except FileProblem as problem:
            left_out.append(LeftOut(clip.key, str(problem)))
            continue
        contents.append((str(clip.path), content_of_row(rows[-1])))
        yield clip.key, written.merged(beside, clip.file, source.sha256)
    clip_notes.close()
    for sentence in changes_since_rendering(data, rows):
        note(sentence)


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
