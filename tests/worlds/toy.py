"""A toy world: a white dot moves to the left or to the right on black. The page "Add a world" explains it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from chronotope.config import to_dict
from chronotope.worlds.case import Case, SuiteItem
from chronotope.worlds.check import Check
from chronotope.worlds.splits import spec_key, split_by, split_rng
from chronotope.worlds.world import Rendered, World


@dataclass(frozen=True)
class DotSpec:
    """Where a dot starts, in pixels from the left, and which way it moves, two pixels a frame."""

    width: int
    height: int
    fps: float
    num_frames: int
    start: int
    direction: str


class Dots(World):
    """A white dot on black."""

    name, licence, scopes, spec_type = "dots", "CC0-1.0", ("dots",), DotSpec

    def scope(self, name: str, size: tuple[int, int] | None = None, **shares: float | None) -> tuple[int, int]:
        return size or (96, 64)

    def sample(self, seed: int, scope: tuple[int, int], split: str) -> DotSpec:
        rng = split_rng(seed, split)
        while True:
            spec = DotSpec(*scope, 8.0, 9, int(rng.integers(24, scope[0] - 24)), str(rng.choice(["left", "right"])))
            if self.split(spec) == split:
                return spec

    def split(self, spec: DotSpec) -> Any:
        return split_by(spec_key(spec), [])

    def render(self, spec: DotSpec) -> Rendered:
        frames = np.zeros((spec.num_frames, spec.height, spec.width, 3), np.uint8)
        for t in range(spec.num_frames):
            x = spec.start + 2 * t * (1 if spec.direction == "right" else -1)
            frames[t, spec.height // 2 - 3 : spec.height // 2 + 3, x - 3 : x + 3] = 255
        return Rendered(frames, {"spec": to_dict(spec)})

    def captions(self, spec: DotSpec, count: int = 4) -> dict[str, tuple[str, ...]]:
        return {"sentence": (f"a white dot moves to the {spec.direction}",)}

    def check(self, case: Case, frames: np.ndarray) -> tuple[Check, ...]:
        rows, columns = np.nonzero(frames[..., 0].max(axis=1) > 127)  # frames and columns of bright pixels
        if len(set(rows)) < len(frames):
            return (Check("is there", "dot", "TXT-CNT", 0), Check("moves", "dot", "TXT-CNT", 0))
        way = columns[rows == len(frames) - 1].mean() - columns[rows == 0].mean()
        right = way * (1 if case.spec.direction == "right" else -1) > 8
        return (Check("is there", "dot"), Check("moves", "dot", None if right else "MOT-DIR", len(frames) - 1))

    # Optional: a suite, and cases, faults and controls on which the checks are tried

    suites: ClassVar[Any] = {
        "dots": lambda: (SuiteItem(i, s, DOTS.captions(s)["sentence"][0], "sentence") for i, s in specs(40))
    }

    def trial(self, count: int) -> Iterator[tuple[str, Case]]:
        for index, spec in specs(count, first=1000):
            yield "dots", Case("dots", spec, "as its spec says", "sentence", "heldout", 0, index, index)

    def faults(self, case: Case) -> Any:
        return {"MOT-DIR": lambda one: self.render(one.spec).frames[:, :, ::-1]}

    def controls(self, case: Case, frames: np.ndarray, other: Case) -> dict[str, np.ndarray]:
        return {"blank": np.zeros_like(frames)}


def specs(count: int, first: int = 0) -> Iterator[tuple[int, DotSpec]]:
    return ((index, DOTS.sample(first + index, DOTS.scope("dots"), "heldout")) for index in range(count))


DOTS = Dots()
