"""The clips that tasks are measured on: rendered held-out specs in the order of their seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.harness import Options
from chronotope.generate.pipeline import Generation
from chronotope.geometry import Frames
from chronotope.media import video
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.checks.attributes import direction_of
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Actor, Spec

__all__ = ["CONTEXT", "Case", "cases", "keep", "mover", "moves", "settings", "simple", "with_size"]

CONTEXT = 8  # known frames of a clip


@dataclass(frozen=True)
class Case:
    """A spec and the seed that it was sampled with, which is also the seed of the videos generated for it."""

    index: int
    spec: Spec

    @property
    def prompt(self) -> str:
        return captions(self.spec)["sentence"][0]

    @property
    def frames(self) -> Frames:
        return render(self.spec).frames

    @property
    def size(self) -> dict[str, Any]:
        return {"height": self.spec.height, "width": self.spec.width, "fps": self.spec.fps}


def cases(options: Options, fits: Callable[[Spec], bool], count: int | None = None) -> list[Case]:
    """Return the first held-out specs of the scope that `fits` accepts."""
    found: list[Case] = []
    index = 0
    while len(found) < (count or options.specs):
        spec = sample_spec(index, SCOPES[options.scope], "heldout")
        if fits(spec):
            found.append(Case(index, spec))
        index += 1
    return found


def mover(spec: Spec) -> Actor | None:
    """Return the first actor that moves in a direction."""
    return next((actor for actor in spec.actors if direction_of(spec, actor)), None)


def moves(spec: Spec) -> bool:
    """Return whether an actor moves, in a clip long enough to be extended."""
    return spec.num_frames >= CONTEXT + 4 and mover(spec) is not None


def simple(spec: Spec) -> bool:
    """Return whether a spec is a clip with one actor."""
    return len(spec.actors) == 1 and spec.num_frames > 1


def keep(options: Options, name: str, case: Case, made: Generation) -> None:
    """Save a video if `--keep` names a folder."""
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        video.write(
            options.keep / f"{name}-{case.index:04d}.mp4", made.frames, made.fps, metadata={"prompt": case.prompt}
        )


def settings(options: Options, found: Sequence[Case], **more: Any) -> dict[str, Any]:
    """Return the settings that are printed below a table."""
    return {"model": options.model, "scope": options.scope, "cases": len(found), "seed": "the spec's index", **more}


def with_size(case: Case, width: int, height: int) -> Case:
    """Return the same scene at another size."""
    return replace(case, spec=replace(case.spec, width=width, height=height))
