"""Dissolves: two stage clips, the first of which fades into the second; models learn transitions from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from chronotope.worlds.splits import spec_key
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Spec

if TYPE_CHECKING:
    from chronotope.worlds.splits import Split
    from chronotope.worlds.stage.scope import Scope

__all__ = ["Dissolve", "sample_dissolve"]

_LINKS = (" dissolves into ", ", then ", ", turning into ")
_MIN_OVERLAP, _MAX_OVERLAP = 4, 9  # frames


@dataclass(frozen=True)
class Dissolve:
    """Two clips of the same size and rate that share `overlap` frames."""

    first: Spec
    second: Spec
    overlap: int

    @property
    def key(self) -> str:
        """Return 16 hex digits that identify the pair."""
        return spec_key(self.first)[:8] + spec_key(self.second)[:8]

    @property
    def starts(self) -> int:
        """Return the first frame that shows the second clip."""
        return self.first.num_frames - self.overlap

    def render(self) -> np.ndarray:
        """Return frames, uint8 [t, h, w, 3]; in the overlap the share of the second clip grows linearly."""
        one, two = render(self.first).frames, render(self.second).frames
        share = (np.arange(self.overlap, dtype=np.float32) + 1)[:, None, None, None] / (self.overlap + 1)
        both = one[self.starts :] * (1 - share) + two[: self.overlap] * share
        return np.concatenate([one[: self.starts], both.round().astype(np.uint8), two[self.overlap :]])

    def captions(self, count: int = 4) -> dict[str, tuple[str, ...]]:
        """Return sentences and stories of two beats; the second beat starts within the overlap."""
        rng = np.random.default_rng([int(self.key[:8], 16), int(self.key[8:], 16)])
        first, second = _sentences(self.first, count), _sentences(self.second, count)
        pairs = [(first[i % len(first)], second[int(rng.integers(len(second)))]) for i in range(count)]
        moments = (self.starts + self.overlap * rng.random(count)) / self.first.fps
        links = [_LINKS[int(rng.integers(len(_LINKS)))] for _ in range(count)]
        sentences = [f"{one}{link}{two[0].lower()}{two[1:]}" for (one, two), link in zip(pairs, links, strict=True)]
        stories = [f"0: {one}\n{moment:.3g}: {two}" for (one, two), moment in zip(pairs, moments, strict=True)]
        return {"sentence": tuple(sentences), "story": tuple(stories)}

    @property
    def fps(self) -> float:
        """Return the rate of both clips in frames per second."""
        return self.first.fps


def _sentences(spec: Spec, count: int) -> list[str]:
    return [text.rstrip(".") for text in captions(spec, count)["sentence"]]


def sample_dissolve(seed: int, scope: Scope, split: Split) -> Dissolve:
    """Return two specs of this scope and split; together they have the maximum length of the scope."""
    from chronotope.worlds.stage.sample import sample_spec

    rng = np.random.default_rng([seed, 6])
    size = scope.sizes[int(rng.integers(len(scope.sizes)))]
    overlap = int(rng.integers(_MIN_OVERLAP, _MAX_OVERLAP + 1))
    total = scope.max_frames + overlap
    first_length = int(np.clip(rng.integers(total // 3, total - total // 3 + 1), overlap, total - overlap))
    specs = []
    for number, length in enumerate((first_length, total - first_length)):
        part = replace(scope, sizes=(size,), picture_share=0.0, min_frames=length, max_frames=length, acts=1)
        specs.append(sample_spec(seed * 2 + number, part, split))
    first, second = specs
    return Dissolve(first, second, overlap)
