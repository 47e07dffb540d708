"""A case: one video that a suite asks for, with its spec, its prompt and what its task gives beside words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from chronotope.geometry import Frames
from chronotope.request import Inputs
from chronotope.worlds.splits import Split, spec_key

__all__ = [
    "FORMS",
    "LENGTHS",
    "PROMPT_FORMS",
    "Case",
    "SuiteItem",
    "TaskInputs",
    "basic_strata",
    "form_of",
    "hardest",
]

FORMS = ("sentence", "sentence", "tags", "paragraph")  # how prompts are worded: half of them in a sentence
PROMPT_FORMS = (
    "short",
    "descriptive",
    "paraphrased",
    "rewritten",
)  # of one spec in a suite of prompts there are all four
# Upper bounds in seconds. The mixture suites have no clip of more than 3 s, and their last level was named "over 2 s".
_UP_TO = {
    "up to 1 s": 1.0,
    "1 to 2 s": 2.0,
    "over 2 s": 3.0,
    "3 to 4 s": 4.0,
    "4 to 8 s": 8.0,
    "8 to 16 s": 16.0,
    "16 to 32 s": 32.0,
    "over 32 s": float("inf"),
}
LENGTHS = ("a picture", *_UP_TO)


@dataclass(frozen=True)
class TaskInputs:
    """What a task gives beside words, and what it expects of the video.

    `new_frames` counts as `Generator.generate` does. The `kept` pixels must come back as in `reference`. Motion must
    be continuous at the `boundaries`, the first frames after a change from given to generated or back. Where the video
    `wraps`, its first frame must follow on its last.
    """

    inputs: Inputs
    new_frames: int
    kept: Bool[np.ndarray, "t h w"] | None = None
    reference: Frames | None = None
    boundaries: tuple[int, ...] = ()
    wraps: bool = False

    @property
    def any_start(self) -> bool:
        """Whether any frame of the video may be the first: in a loop made of words alone."""
        return self.wraps and self.kept is None


@dataclass(frozen=True)
class SuiteItem:
    """An entry of a suite, before its seeds are known.

    Entries with one `index` show one scene and differ in one thing: length, size, wording or run. Where length or size
    differs, the spec differs, and so do the variation of the backdrop and the seed of the model's noise.
    """

    index: int
    spec: Any
    prompt: str
    form: str
    task: str = ""
    kind: str = ""
    runs: int = 1


@dataclass(frozen=True)
class Case:
    """One video to be made: the world it is of, a spec, the prompt, the seed; `task` and `kind` say what is checked
    beyond the spec.
    """

    world: str
    spec: Any
    prompt: str
    form: str
    split: Split
    run: int
    index: int
    seed: int
    task: str = ""
    kind: str = ""

    @property
    def id(self) -> str:
        """The file name of its video, without suffix."""
        name = f"{self.index:04d}-{self.run}-{spec_key(self.spec)[:8]}"
        return f"{name}-{self.form}" if self.form in PROMPT_FORMS else name

    @property
    def file(self) -> str:
        """The file name of its video; a picture is a PNG."""
        return self.id + (".png" if self.spec.num_frames == 1 else ".mp4")


def basic_strata(case: Case) -> dict[str, str]:
    """Return the strata that cases of every world have: length, size, words and novelty."""
    spec = case.spec
    length = "a picture"
    if spec.num_frames > 1:
        length = next(name for name, most in _UP_TO.items() if spec.num_frames / spec.fps <= most)
    return {
        "length": length,
        "size": f"{spec.width}x{spec.height}",
        "words": case.form,
        "novelty": "held out" if case.split == "heldout" else "new combination",
    }


def form_of(index: int) -> str:
    """Return how the case of this index is worded: forms shift by one each round, so that each meets every kind of
    case.
    """
    return FORMS[(index + index // len(FORMS)) % len(FORMS)]


def hardest(levels: Mapping[str, Collection[str]], kinds: Collection[str]) -> str:
    """Return the last level that contains one of `kinds`; a level that lists nothing contains everything."""
    matching = [name for name, members in levels.items() if not members or set(members) & set(kinds)]
    return matching[-1]
