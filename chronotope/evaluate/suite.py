"""Suites: which specs a model is asked for, in which words, with which seeds; fixed before anything is sampled.

Every spec is held out from training by its hash, or combines attributes never seen together. A case's seed is a hash of the
suite's salt, the spec, the run and the index, so nobody chooses it. `smoke`, `standard` and `full` are one mixture; the others ask
the same scenes at several levels of one thing. The rows of a suite are written to a file that a stranger can fill with videos of
any other model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from chronotope.config import from_dict, to_dict
from chronotope.errors import FileProblem, UsageError, suggest
from chronotope.evaluate.tasks import described, hand_out
from chronotope.geometry import Frames
from chronotope.storage import write_jsonl
from chronotope.worlds.splits import Split, spec_key
from chronotope.worlds.stage.backdrops import PLAIN
from chronotope.worlds.stage.checks.identity import identity_stratum
from chronotope.worlds.stage.checks.tracking import ACTIONS, TRAVELS
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.sample import split_of
from chronotope.worlds.stage.scope import SCOPES, scope_of
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.suites.feasibility import infeasible
from chronotope.worlds.stage.suites.lengths import STORIES, lengths_suite
from chronotope.worlds.stage.suites.prompts import PROMPT_FORMS, PROMPT_KINDS, prompts_suite
from chronotope.worlds.stage.suites.sizes import TRAINING, sizes_suite, trained
from chronotope.worlds.stage.suites.specs import FORMS, SuiteItem, form_of, hardest, specs_of, worded
from chronotope.worlds.stage.suites.tasks import CANVAS_TASKS, TaskInputs, task_inputs_of, tasks_suite
from chronotope.worlds.table.checks.geometry import truth_of as played
from chronotope.worlds.table.render import render as render_table
from chronotope.worlds.table.sample import table_split
from chronotope.worlds.table.spec import TableSpec
from chronotope.worlds.table.suite import asked_on_table, table_levels, table_suite, table_unfit

__all__ = [
    "LENGTHS",
    "NAMES",
    "SUITES",
    "Case",
    "Suite",
    "make_suite",
    "name_of",
    "read_cases",
    "specs_of",
    "write_cases",
]

VERSION = 2
# up to so many seconds; the mixture has no clip of more than three, so its last level was named "over 2 s": 2 to 3 s
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
# What of physics a clip shows, by its deeds; the last that fits
PHYSICS = {
    "P0 none": (),
    "P1 inertia": (*TRAVELS, "enter", "leave", "stop", "meet", "hide", "emerge"),
    "P2 gravity": ("bounce",),
    "P3 two bodies": ("hit",),
    "P5 irreversible": ("eat",),
}
CONTACT = ("meet", "hit", "eat")
ROUND = 5  # of so many cases in a row, one is of the scope `deeds`
# What else a case can be one of, by the stratum in which it is reported
_KINDS: dict[str, tuple[str, ...]] = {"story": tuple(STORIES), "training": TRAINING, "asks for": tuple(PROMPT_KINDS)}


@dataclass(frozen=True)
class Suite:
    """How many specs, how often each; of those without a deed of their own, the shares of clips of two acts and of new combinations."""

    name: str
    specs: int
    runs: int
    acts: float = 0.25
    combinations: float = 0.2


SUITES = {
    "smoke": Suite("smoke", 24, 1),
    "standard": Suite("standard", 1200, 4),
    "full": Suite("full", 4800, 4),
}


# Those that ask for the same scenes at several levels of one thing
BY_STRATUM: dict[str, Callable[[], Iterator[SuiteItem]]] = {
    "lengths": lengths_suite,
    "sizes": sizes_suite,
    "prompts": prompts_suite,
    "tasks": tasks_suite,
    "table": table_suite,
}
NAMES = (*SUITES, *BY_STRATUM)


@dataclass(frozen=True)
class Case:
    """One video to be made: a spec, the words for it, and the seed; `task` names what the canvas is given beside words."""

    spec: Spec | TableSpec
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
        """The name of its video, without suffix."""
        plain = f"{self.index:04d}-{self.run}-{spec_key(self.spec)[:8]}"
        return f"{plain}-{self.form}" if self.form in PROMPT_FORMS else plain  # of one spec there are four

    @property
    def file(self) -> str:
        """The video's file name: a picture is a PNG."""
        return self.id + (".png" if self.spec.num_frames == 1 else ".mp4")

    @cached_property
    def suite(self) -> str:
        """Of which suite it is, as its seed tells; empty where that was made elsewhere."""
        return next((name for name in NAMES if _seed(name, self.spec, self.run, self.index) == self.seed), "")

    @cached_property
    def strata(self) -> dict[str, str]:
        """The levels by which rates are reported."""
        also = {"task": self.task} if self.task else {}
        if isinstance(self.spec, TableSpec):
            return {**_shared(self.spec, self.form, self.split), **table_levels(self.spec), **also}
        also |= {stratum: self.kind for stratum, kinds in _KINDS.items() if self.kind in kinds}
        return {**strata_of(self.spec, self.form, self.split), **also}

    @property
    def stage(self) -> Spec:
        """Its spec, of the stage."""
        if isinstance(self.spec, TableSpec):
            raise TypeError(f"{self.id} is a case of the table")
        return self.spec

    @property
    def asked(self) -> TaskInputs | None:
        """What its task gives and wants, if it has one."""
        if isinstance(self.spec, TableSpec):
            return asked_on_table(self.spec)
        return task_inputs_of(self.task, self.spec) if self.task else None

    def truth(self) -> Frames:
        """The clip of its spec, rendered."""
        return (
            render_table(self.spec, played(self.spec).motion).frames
            if isinstance(self.spec, TableSpec)
            else render(self.spec).frames
        )


def _shared(spec: Spec | TableSpec, form: str, split: Split) -> dict[str, str]:
    """Levels that say the same of any world."""
    length = LENGTHS[0] if spec.num_frames == 1 else next(name for name, most in _UP_TO.items() if spec.seconds <= most)
    novelty = "held out" if split == "heldout" else "new combination"
    return {"length": length, "size": f"{spec.width}x{spec.height}", "words": form, "novelty": novelty}


def strata_of(spec: Spec, form: str, split: Split) -> dict[str, str]:
    """What kind of case this is, from the spec and its truth alone."""
    events = [event for event in spec.events if event.kind not in ("beside", "stay")]  # by which nothing happens
    starts = {event.start for event in events}
    kinds = {actor.kind for actor in spec.actors}
    if any(event.kind in CONTACT for event in events):
        deeds = "C4 one touches another"
    elif not events:
        deeds = "C0 nothing happens"
    elif len(events) == 1:
        deeds = "C1 one deed"
    else:
        deeds = (
            "C2 two deeds at once"
            if len(starts) == 1 or len({e.actor for e in events}) > 1
            else "C3 one deed after the other"
        )
    return {
        **_shared(spec, form, split),
        "deeds": deeds,
        "physics": hardest(PHYSICS, {event.kind for event in spec.events}),
        "actors": f"{len(spec.actors)}",
        "cast": "shapes" if kinds == {"shape"} else "nouns" if kinds == {"emoji"} else "both",
        "place": "plain colour" if spec.backdrop in PLAIN else "landscape",
        "identity": identity_stratum(spec),
    }


def make_suite(name: str) -> list[Case]:
    """The cases of a suite, in their order; the same every time."""
    if name in BY_STRATUM:
        return [
            Case(d.spec, d.prompt, d.form, _split(d.spec), 0, d.index, _seed(name, d.spec, 0, d.index), d.task, d.kind)
            for d in BY_STRATUM[name]()
        ]
    if name not in SUITES:
        raise UsageError(f"unknown suite '{name}'. {suggest(name, NAMES)}")
    suite, cases = SUITES[name], []
    for index in range(suite.specs):
        # spread evenly over the suite: every so many-th case
        form, shift = form_of(index), index // ROUND
        if index % ROUND == shift % ROUND:
            deed = ACTIONS[shift % len(ACTIONS)]
            split: Split = "heldout"  # some deeds have no pair of attributes that is kept out of training
            spec, prompt = worded(specs_of(1_000_000 + index, scope_of(deed), split, deed), form)
        else:
            scope = SCOPES["acts" if _falls(index, suite.acts) else "small"]
            split = "combination" if _falls(index, suite.combinations, offset=1) else "heldout"
            spec, prompt = worded(specs_of(1_000_000 + index, scope, split), form)
        cases += [
            Case(spec, prompt, form, split, run, index, _seed(name, spec, run, index)) for run in range(suite.runs)
        ]
    return cases


def name_of(cases: Sequence[Case]) -> str | None:
    """The suite whose cases these are, or that it is its first so many; nothing if one of them is not as planned there."""
    first = cases[0]
    names = [name for name in NAMES if _seed(name, first.spec, first.run, first.index) == first.seed]
    for name in names:
        whole = make_suite(name)
        if whole[: len(cases)] == list(cases):
            return name if len(cases) == len(whole) else f"the first {len(cases)} videos of {name}"
    return None


def _falls(index: int, share: float, offset: int = 0) -> bool:
    """True for this share of the indices, evenly."""
    return int((index + offset + 1) * share) > int((index + offset) * share)


def _split(spec: Spec | TableSpec) -> Split:
    return table_split(spec) if isinstance(spec, TableSpec) else split_of(spec)


def _seed(suite: str, spec: Spec | TableSpec, run: int, index: int) -> int:
    digest = hashlib.sha256(f"chronotope suite {VERSION} {suite}|{spec_key(spec)}|{run}|{index}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def write_cases(cases: Sequence[Case], path: Path) -> None:
    """One JSON line a case: file name, prompt, size, length, rate, seed, and the spec the video will be judged by.

    What the canvas is given is written into the folder `inputs` beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for case in cases:
        if asked := case.asked:
            hand_out(asked, case.id, path.parent)
    write_jsonl(path, map(_row, cases))


def _row(case: Case) -> dict[str, object]:
    spec = case.spec
    asked = {"file": case.file, "prompt": case.prompt, "width": spec.width, "height": spec.height}
    asked |= {"num_frames": spec.num_frames, "fps": spec.fps, "seed": case.seed}
    also: dict[str, object] = {"task": case.task, "inputs": described(given, case.id)} if (given := case.asked) else {}
    also |= {"kind": case.kind} if case.kind else {}
    return {
        **asked,
        **also,
        "form": case.form,
        "split": case.split,
        "run": case.run,
        "index": case.index,
        "spec": to_dict(spec),
    }


def read_cases(path: Path) -> list[Case]:
    """The cases of such a file; a line that contradicts itself is refused."""
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError as problem:
        raise FileProblem(f"{path} is no text; a plan is written with: chronotope evaluate --plan FILE") from problem
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing; write one with: chronotope evaluate --plan {path}") from problem
    cases = list(_read(path, lines))
    if not cases:
        raise FileProblem(f"{path} holds no cases")
    names = [case.id for case in cases]
    if len(set(names)) < len(names):
        raise FileProblem(f"{path} holds {next(name for name in names if names.count(name) > 1)} twice")
    return cases


def _read(path: Path, lines: Sequence[str]) -> Iterator[Case]:
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            case = _case(row)
            if why := _unfit(case):
                raise FileProblem(f"{path}, line {number}, cannot be judged: {why}")
            named = ("file", "width", "height", "num_frames", "fps", *(("inputs",) if case.task else ()))
            said, wanted = {name: row[name] for name in named}, _row(case)
        except (ValueError, KeyError, TypeError, UsageError) as problem:
            raise FileProblem(f"{path}, line {number}, is no case of a suite: {problem}") from problem
        if case.split != _split(case.spec):
            raise FileProblem(
                f"{path}, line {number}, contradicts itself: split is {case.split}, by its spec {_split(case.spec)}"
            )
        if case.kind in TRAINING and case.kind != trained(case.stage):
            raise FileProblem(
                f"{path}, line {number}, contradicts itself: kind is {case.kind}, by its spec {trained(case.stage)}"
            )
        wrong = [f"{name} is {said[name]}, by its spec {wanted[name]}" for name in said if said[name] != wanted[name]]
        if wrong:
            raise FileProblem(f"{path}, line {number}, contradicts itself: {'; '.join(wrong)}")
        yield case


def _unfit(case: Case) -> str | None:
    if isinstance(case.spec, TableSpec):
        return table_unfit(case.task, case.kind, case.form, case.spec)
    return infeasible(case.task, case.kind, case.spec, case.prompt)


def _case(row: dict[str, Any]) -> Case:
    """The case of a row, of words that this program knows; a row without task or kind asks for words alone."""
    names = (row["prompt"], row["form"], row["split"], int(row["run"]), int(row["index"]), int(row["seed"]))
    spec = from_dict(TableSpec, row["spec"]) if "table" in row["spec"] else from_dict(Spec, row["spec"])
    case = Case(spec, *names, row.get("task", ""), row.get("kind", ""))
    if case.form not in (*FORMS, "story", *PROMPT_FORMS) or not case.prompt.strip() or not 0 <= case.seed < 2**63:
        raise ValueError(f"form {case.form!r}, seed {case.seed}, prompt {case.prompt!r}")
    for what, named, known in (
        ("task", case.task, CANVAS_TASKS),
        ("kind", case.kind, [kind for kinds in _KINDS.values() for kind in kinds]),
    ):
        if named and named not in known:
            raise ValueError(f"unknown {what} '{named}'. {suggest(named, known)}")
    return case
