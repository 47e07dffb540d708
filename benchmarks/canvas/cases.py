"""The clips that tasks are tried on: held-out specs in the order of their seeds, rendered, and what is shared in measuring them."""

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

CONTEXT = 8  # frames that are given of a clip


@dataclass(frozen=True)
class Case:
    """A spec and the seed that found it, which is also the seed of everything made from it."""

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
    """The first held-out specs of the scope that a task can be tried on."""
    found: list[Case] = []
    index = 0
    while len(found) < (count or options.specs):
        spec = sample_spec(index, SCOPES[options.scope], "heldout")
        if fits(spec):
            found.append(Case(index, spec))
        index += 1
    return found


def mover(spec: Spec) -> Actor | None:
    """The first actor that goes somewhere."""
    return next((actor for actor in spec.actors if direction_of(spec, actor)), None)


def moves(spec: Spec) -> bool:
    """Somebody goes somewhere, for long enough to be continued."""
    return spec.num_frames >= CONTEXT + 4 and mover(spec) is not None


def simple(spec: Spec) -> bool:
    """One actor in a clip, of which a picture or a story can be made."""
    return len(spec.actors) == 1 and spec.num_frames > 1


def keep(options: Options, name: str, case: Case, made: Generation) -> None:
    """Leave the video where it was asked for."""
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        video.write(
            options.keep / f"{name}-{case.index:04d}.mp4", made.frames, made.fps, metadata={"prompt": case.prompt}
        )


def settings(options: Options, found: Sequence[Case], **more: Any) -> dict[str, Any]:
    """What stands below a table."""
    return {"model": options.model, "scope": options.scope, "cases": len(found), "seed": "the spec's index", **more}


def with_size(case: Case, width: int, height: int) -> Case:
    """The same scene at another size."""
    return replace(case, spec=replace(case.spec, width=width, height=height))
