"""Suites: which specs a model is asked for, in which words, with which seeds; fixed before anything is sampled.

Every spec is held out from training by its hash, or combines attributes never seen together. A case's seed is a hash of the
suite's salt, the spec, the run and the index, so nobody chooses it. The rows of a suite are written to a file that a stranger can
fill with videos of any other model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from chronotope.config import from_dict, to_dict
from chronotope.errors import FileProblem, UsageError, suggest
from chronotope.evaluate.identity import identity_of
from chronotope.evaluate.tracking import DEEDS, TRAVELS, cannot_judge
from chronotope.worlds.backdrops import PLAIN
from chronotope.worlds.captions import captions
from chronotope.worlds.sample import SCOPES, Scope, Split, sample_spec, scope_of, split_of
from chronotope.worlds.spec import Spec, spec_key
from chronotope.worlds.words import places

__all__ = ["LENGTHS", "PHYSICS", "SUITES", "Case", "Suite", "make_suite", "read_cases", "specs_of", "write_cases"]

VERSION = 2
LENGTHS = ("a picture", "up to 1 s", "1 to 2 s", "over 2 s")
FORMS = ("sentence", "sentence", "tags", "paragraph")  # how prompts are worded: half of them in a sentence
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
WORDINGS = 12  # among which one that names the place is looked for


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


@dataclass(frozen=True)
class Case:
    """One video to be made: a spec, the words for it, and the seed."""

    spec: Spec
    prompt: str
    form: str
    split: Split
    run: int
    index: int
    seed: int

    @property
    def id(self) -> str:
        """The name of its video, without suffix."""
        return f"{self.index:04d}-{self.run}-{spec_key(self.spec)[:8]}"

    @property
    def file(self) -> str:
        """The video's file name: a picture is a PNG."""
        return self.id + (".png" if self.spec.num_frames == 1 else ".mp4")

    @cached_property
    def strata(self) -> dict[str, str]:
        """The levels by which rates are reported."""
        return strata_of(self.spec, self.form, self.split)


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
        deeds = "C2 two deeds at once" if len(starts) == 1 or len({e.actor for e in events}) > 1 else "C3 one deed after the other"
    return {
        "length": LENGTHS[0 if spec.num_frames == 1 else 1 if spec.seconds <= 1 else 2 if spec.seconds <= 2 else 3],
        "size": f"{spec.width}x{spec.height}",
        "words": form,
        "deeds": deeds,
        "physics": [name for name, kinds in PHYSICS.items() if not kinds or any(event.kind in kinds for event in spec.events)][-1],
        "actors": f"{len(spec.actors)}",
        "cast": "shapes" if kinds == {"shape"} else "nouns" if kinds == {"emoji"} else "both",
        "place": "plain colour" if spec.backdrop in PLAIN else "landscape",
        "identity": identity_of(spec),
        "novelty": "held out" if split == "heldout" else "new combination",
    }


def make_suite(name: str) -> list[Case]:
    """The cases of a suite, in their order; the same every time."""
    if name not in SUITES:
        raise UsageError(f"unknown suite '{name}'. {suggest(name, SUITES)}")
    suite, cases = SUITES[name], []
    for index in range(suite.specs):
        # spread evenly over the suite: every so many-th case; forms shift by one each round, so that each meets every kind of case
        form, shift = FORMS[(index + index // len(FORMS)) % len(FORMS)], index // ROUND
        if index % ROUND == shift % ROUND:
            deed = DEEDS[shift % len(DEEDS)]
            split: Split = "heldout"  # some deeds have no pair of attributes that is kept out of training
            spec, prompt = _worded(specs_of(1_000_000 + index, scope_of(deed), split, deed), form)
        else:
            scope = SCOPES["acts" if _falls(index, suite.acts) else "small"]
            split = "combination" if _falls(index, suite.combinations, offset=1) else "heldout"
            spec, prompt = _worded(specs_of(1_000_000 + index, scope, split), form)
        cases += [Case(spec, prompt, form, split, run, index, _seed(name, spec, run, index)) for run in range(suite.runs)]
    return cases


def specs_of(seed: int, scope: Scope, split: Split, deed: str | None = None) -> Iterator[Spec]:
    """Specs of one seed that can be judged; with a deed, those in which it is done."""
    for attempt in range(1000):
        spec = sample_spec(seed + 10_000_000 * attempt, scope, split)
        if (deed is None or any(event.kind == deed for event in spec.events)) and not cannot_judge(spec):
            yield spec


def _worded(specs: Iterator[Spec], form: str) -> tuple[Spec, str]:
    """The first spec with a wording that names the place it will be judged by, and the first such wording."""
    for spec in specs:
        named = (text for text in captions(spec, WORDINGS)[form] if _names_place(text, spec.backdrop))
        prompt = next(named, None)
        if prompt is not None:
            return spec, prompt
    raise UsageError("no spec of this scope can be judged")


def _names_place(text: str, backdrop: str) -> bool:
    return f"{backdrop} background" in text or any(phrase.removeprefix("in front of ") in text for phrase in places(backdrop))


def _falls(index: int, share: float, offset: int = 0) -> bool:
    """True for this share of the indices, evenly."""
    return int((index + offset + 1) * share) > int((index + offset) * share)


def _seed(suite: str, spec: Spec, run: int, index: int) -> int:
    digest = hashlib.sha256(f"chronotope suite {VERSION} {suite}|{spec_key(spec)}|{run}|{index}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def write_cases(cases: Sequence[Case], path: Path) -> None:
    """One JSON line a case: file name, prompt, size, length, rate, seed, and the spec the video will be judged by."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text("".join(json.dumps(row) + "\n" for row in map(_row, cases)))
    beside.replace(path)


def _row(case: Case) -> dict[str, object]:
    spec = case.spec
    asked = {"file": case.file, "prompt": case.prompt, "width": spec.width, "height": spec.height}
    asked |= {"num_frames": spec.num_frames, "fps": spec.fps, "seed": case.seed}
    return {**asked, "form": case.form, "split": case.split, "run": case.run, "index": case.index, "spec": to_dict(spec)}


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
            case = Case(
                from_dict(Spec, row["spec"]), row["prompt"], row["form"], row["split"], int(row["run"]), int(row["index"]), int(row["seed"])
            )
            said = {name: row[name] for name in ("file", "width", "height", "num_frames", "fps")}
        except (ValueError, KeyError, TypeError, UsageError) as problem:
            raise FileProblem(f"{path}, line {number}, is no case of a suite: {problem}") from problem
        wanted = {name: _row(case)[name] for name in said}
        if case.form not in FORMS or not case.prompt.strip() or not 0 <= case.seed < 2**63:
            raise FileProblem(f"{path}, line {number}, is no case of a suite: form {case.form!r}, seed {case.seed}, prompt {case.prompt!r}")
        if case.split != split_of(case.spec):
            raise FileProblem(f"{path}, line {number}, contradicts itself: split is {case.split}, by its spec {split_of(case.spec)}")
        if why := cannot_judge(case.spec):
            raise FileProblem(f"{path}, line {number}, cannot be judged: {why}")
        wrong = [f"{name} is {said[name]}, by its spec {wanted[name]}" for name in said if said[name] != wanted[name]]
        if wrong:
            raise FileProblem(f"{path}, line {number}, contradicts itself: {'; '.join(wrong)}")
        yield case
