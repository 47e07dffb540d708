"""Two clips of the stage, the one dissolving into the other: what transitions are learned from."""

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

_SHORTEST, _LONGEST = 4, 9  # frames of overlap


@dataclass(frozen=True)
class Dissolve:
    """`first`, then `second`, which share `overlap` frames; both have one size and rate."""

    first: Spec
    second: Spec
    overlap: int

    @property
    def key(self) -> str:
        """Sixteen hex digits that name it."""
        return spec_key(self.first)[:8] + spec_key(self.second)[:8]

    @property
    def starts(self) -> int:
        """The first frame in which something of the second clip can be seen."""
        return self.first.num_frames - self.overlap

    def render(self) -> np.ndarray:
        """Frames, uint8 [t, h, w, 3]; in the overlap the share of the second clip grows by equal steps."""
        one, two = render(self.first).frames, render(self.second).frames
        share = (np.arange(self.overlap, dtype=np.float32) + 1)[:, None, None, None] / (self.overlap + 1)
        both = one[self.starts :] * (1 - share) + two[: self.overlap] * share
        return np.concatenate([one[: self.starts], both.round().astype(np.uint8), two[self.overlap :]])

    def captions(self, count: int = 4) -> dict[str, tuple[str, ...]]:
        """What is seen, in a sentence and as a story of two beats; the second one begins somewhere in the overlap."""
        rng = np.random.default_rng([int(self.key[:8], 16), int(self.key[8:], 16)])
        befores, afters = (
            [text.rstrip(".") for text in captions(spec, count)["sentence"]] for spec in (self.first, self.second)
        )
        pairs = [(befores[i % len(befores)], afters[int(rng.integers(len(afters)))]) for i in range(count)]
        moments = (self.starts + self.overlap * rng.random(count)) / self.first.fps
        joints = [(" dissolves into ", ", then ", ", turning into ")[int(rng.integers(3))] for _ in range(count)]
        sentences = [f"{one}{joint}{two[0].lower()}{two[1:]}" for (one, two), joint in zip(pairs, joints, strict=True)]
        stories = [f"0: {one}\n{moment:.3g}: {two}" for (one, two), moment in zip(pairs, moments, strict=True)]
        return {"sentence": tuple(sentences), "story": tuple(stories)}

    @property
    def fps(self) -> float:
        """Frames a second, of both."""
        return self.first.fps


def sample_dissolve(seed: int, scope: Scope, split: Split) -> Dissolve:
    """Two specs of this scope and split, as long together as one clip of the scope may be."""
    from chronotope.worlds.stage.sample import sample_spec

    rng = np.random.default_rng([seed, 6])
    size = scope.sizes[int(rng.integers(len(scope.sizes)))]
    overlap = int(rng.integers(_SHORTEST, _LONGEST + 1))
    both = scope.max_frames + overlap
    length = int(np.clip(rng.integers(both // 3, both - both // 3 + 1), overlap, both - overlap))
    lengths = length, both - length
    halves = [
        replace(scope, sizes=(size,), picture_share=0.0, min_frames=frames, max_frames=frames, acts=1)
        for frames in lengths
    ]
    first, second = (sample_spec(seed * 2 + place, half, split) for place, half in enumerate(halves))
    return Dissolve(first, second, overlap)
