"""The contract of a world: everything that the rest of the program knows of it.

A world is one package, and `world.py` in it holds its face: a subclass of `World`. Whatever is outside enters the
world only there. A new world needs the abstract methods; suites, injected faults, controls, tasks and a selector are
optional.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from chronotope.actions import Actions, ActionSchema
from chronotope.config import from_dict
from chronotope.errors import UsageError
from chronotope.geometry import Frames
from chronotope.metrics.statistics import Rate
from chronotope.worlds.case import Case, SuiteItem, TaskInputs, basic_strata
from chronotope.worlds.check import Check
from chronotope.worlds.controls import control_clips
from chronotope.worlds.facts import Fact
from chronotope.worlds.observe.sightings import Observer, Step
from chronotope.worlds.playable import Playable, Sight
from chronotope.worlds.splits import Split, spec_key, split_of

__all__ = ["Inject", "Rendered", "World"]

Inject = Callable[[Case], Frames | None]  # the true clip of a case with one fault, or None where it cannot have it


@dataclass(frozen=True)
class Rendered:
    """A rendered clip: its frames, the JSON record of what really happened, arrays by file suffix, and the actions if
    it is played.
    """

    frames: Frames
    record: Mapping[str, Any]
    arrays: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    actions: Actions | None = None


class World(ABC):
    """A simulated world. A spec is a frozen dataclass with at least `width`, `height`, `fps` and `num_frames`."""

    name: ClassVar[str]
    licence: ClassVar[str]
    scopes: ClassVar[tuple[str, ...]]  # names of what a dataset may contain; the first is the default
    spec_type: ClassVar[type[Any]]  # the dataclass of a spec
    suites: ClassVar[Mapping[str, Callable[[], Iterable[SuiteItem]]]] = {}
    tasks: ClassVar[tuple[str, ...]] = ()  # the tasks that a case of this world may have
    kinds: ClassVar[
        Mapping[str, tuple[str, ...]]
    ] = {}  # the kinds that a case may be of, by the stratum they belong to
    selector: ClassVar[str] = ""  # how `confidence` chooses among several videos of one prompt; empty where it cannot
    actions: ClassVar[ActionSchema | None] = None  # what an action is, of a world that is played
    drift_spread: ClassVar[Mapping[str, float]] = {}  # by how much true clips change from end to end, by measure

    # Specs and clips

    @abstractmethod
    def scope(self, name: str, size: tuple[int, int] | None = None, **shares: float | None) -> Any:
        """Return a scope by name, optionally with one size and other shares (`pictures`, `dissolves`) of its clips."""

    @abstractmethod
    def sample(self, seed: int, scope: Any, split: Split) -> Any:
        """Return the spec of this seed within a scope and a split."""

    @abstractmethod
    def render(self, spec: Any) -> Rendered:
        """Render a spec; the same spec gives the same bytes on one machine."""

    @abstractmethod
    def captions(self, spec: Any, count: int = 4) -> Mapping[str, tuple[str, ...]]:
        """Return up to `count` wordings of each level of detail, written from the spec."""

    def read_spec(self, data: Mapping[str, Any]) -> Any:
        """Read a spec back from plain values; `config.to_dict` writes them."""
        return from_dict(self.spec_type, dict(data))

    def facts(self, spec: Any) -> frozenset[Fact]:
        """Return what captions of a spec can truly claim; empty where the world does not say."""
        return frozenset()

    def read_facts(self, caption: str) -> frozenset[Fact]:
        """Return what a caption in the world's own words claims."""
        return frozenset()

    def split(self, spec: Any) -> Split:
        """Return the split that a spec belongs to; this depends on the spec alone. The default reads its actors and
        events.
        """
        return split_of(spec)

    def key(self, spec: Any) -> str:
        """Return the file name of a clip in a dataset, without suffix."""
        return spec_key(spec)[:16]

    def vocabulary(self, scopes: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return what the captions of these scopes can name, by kind, such as nouns and colours."""
        return {}

    def unavailable(self) -> str:
        """Say why this world cannot be rendered on this machine; empty where it can."""
        return ""

    def start(self, spec: Any) -> Playable:
        """Start a game at the first frame of a spec; raise UsageError where the world is not played."""
        raise UsageError(f"the world '{self.name}' is not played: it has no actions")

    def sight(self, frames: Frames) -> Sight:
        """Return what frames show, whoever made them; raise UsageError where the world has no grid of cells."""
        raise UsageError(f"the world '{self.name}' has no grid of cells that could be read")

    # Evaluation

    @abstractmethod
    def check(self, case: Case, frames: Frames) -> tuple[Check, ...]:
        """Check a video of the size and length of the case's spec."""

    def strata(self, case: Case) -> dict[str, str]:
        """Return the levels by which rates are reported."""
        return basic_strata(case)

    def task_inputs(self, case: Case) -> TaskInputs | None:
        """Return what the task of a case gives and expects, or None where words alone are given."""
        return None

    def not_checkable(self, case: Case) -> str | None:
        """Say why the checks cannot decide about a case, or None where they can."""
        return None

    def extra_rates(self, checks: Iterable[Sequence[Check]]) -> dict[str, Rate]:
        """Return further rates over the checks of many videos, by name."""
        return {}

    def selectable(self, prompt: str) -> bool:
        """Tell whether the prompt names something that the selector knows."""
        return False

    def confidence(self, prompt: str, frames: Frames) -> float:
        """Return how surely the video shows what the prompt names, from 0 to 1."""
        return 0.0

    # Videos without a spec

    def read_step(self, text: str) -> Step:
        """Return what a clause names that `observer` can see; raise UsageError for any other."""
        raise UsageError(f"the world '{self.name}' sees no '{text}': it looks at no video without a spec")

    def observer(self, fps: float) -> Observer:
        """Return what looks at a video of this frame rate; raise UsageError where nothing does."""
        raise UsageError(f"the world '{self.name}' looks at no video without a spec")

    # Validation of the checks

    def trial(self, count: int) -> Iterator[tuple[str, Case]]:
        """Yield held-out cases on which the checks are tried, each with the name of its group."""
        return iter(())

    def faults(self, case: Case) -> Mapping[str, Inject]:
        """Return what injects each failure of the taxonomy that can be asked of such a case, by its code."""
        return {}

    def moves(self, spec: Any) -> bool:
        """Tell whether something happens in a clip, so that it must fail where it is frozen, shuffled or backwards."""
        return False

    def reversible(self, spec: Any) -> bool:
        """Tell whether a clip looks right when it is played backwards."""
        return False

    def controls(self, case: Case, frames: Frames, other: Case) -> Mapping[str, Frames]:
        """Return videos that must fail, by name; `other` is a case whose clip may serve as the
        video of another prompt.
        """
        rng = np.random.default_rng([case.index, 19])
        return control_clips(frames, rng, self.moves(case.spec), self.reversible(case.spec))
