"""Suites: which specs a model is asked for, in which words, with which seeds; all fixed before anything is sampled.

Every spec is held out from training by its hash, or combines attributes that training never sees together. The seed of
a case is a hash of the suite's salt, the spec, the run and the index, so nobody chooses it. The rows of a suite are
written to a file, a plan, that anybody can fill with videos of any other model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chronotope.config import to_dict
from chronotope.errors import FileProblem, UsageError, suggest
from chronotope.evaluate.tasks import describe_inputs, write_inputs
from chronotope.geometry import Frames
from chronotope.storage import write_jsonl
from chronotope.worlds.case import FORMS, PROMPT_FORMS, Case, SuiteItem
from chronotope.worlds.catalogue import all_worlds, find_world
from chronotope.worlds.splits import spec_key
from chronotope.worlds.world import World

__all__ = ["make_suite", "name_of", "read_cases", "suite_names", "suite_of", "truth_of", "write_cases"]

VERSION = 2


def suite_names() -> list[str]:
    """Return the names of all suites of all worlds."""
    return [name for world in all_worlds() for name in world.suites]


def make_suite(name: str) -> list[Case]:
    """Return the cases of a suite, in their order; the same every time."""
    for world in all_worlds():
        if name in world.suites:
            return [case for item in world.suites[name]() for case in _cases(name, world, item)]
    raise UsageError(f"unknown suite '{name}'. {suggest(name, suite_names())}")


def _cases(suite: str, world: World, item: SuiteItem) -> Iterator[Case]:
    split = world.split(item.spec)
    for run in range(item.runs):
        seed = _seed(suite, item.spec, run, item.index)
        yield Case(world.name, item.spec, item.prompt, item.form, split, run, item.index, seed, item.task, item.kind)


def suite_of(case: Case) -> str:
    """Return the suite that a case is of, as its seed tells; empty where the case was made elsewhere."""
    names = find_world(case.world).suites
    return next((name for name in names if _seed(name, case.spec, case.run, case.index) == case.seed), "")


def name_of(cases: Sequence[Case]) -> str | None:
    """Name the suite whose cases these are, whole or its beginning; None if one of them is not as planned there."""
    name = suite_of(cases[0])
    if not name:
        return None
    whole = make_suite(name)
    if whole[: len(cases)] != list(cases):
        return None
    return name if len(cases) == len(whole) else f"the first {len(cases)} videos of {name}"


def truth_of(case: Case) -> Frames:
    """Render the clip of a case's spec."""
    return find_world(case.world).render(case.spec).frames


def _seed(suite: str, spec: object, run: int, index: int) -> int:
    digest = hashlib.sha256(f"chronotope suite {VERSION} {suite}|{spec_key(spec)}|{run}|{index}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


# Plans


def write_cases(cases: Sequence[Case], path: Path) -> None:
    """Write one JSON line a case: file name, prompt, size, length, rate, seed, and the spec the video will be checked
    by.

    What a task gives beside words is written into the folder `inputs` beside the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for case in cases:
        if task := find_world(case.world).task_inputs(case):
            write_inputs(task, case.id, path.parent)
    write_jsonl(path, map(_row, cases))


def _row(case: Case) -> dict[str, Any]:
    spec = case.spec
    row: dict[str, Any] = {"file": case.file, "prompt": case.prompt, "width": spec.width, "height": spec.height}
    row |= {"num_frames": spec.num_frames, "fps": spec.fps, "seed": case.seed}
    if task := find_world(case.world).task_inputs(case):
        row |= {"task": case.task, "inputs": describe_inputs(task, case.id)}
    if case.kind:
        row["kind"] = case.kind
    row |= {"form": case.form, "split": case.split, "run": case.run, "index": case.index, "world": case.world}
    return row | {"spec": to_dict(spec)}


def read_cases(path: Path) -> list[Case]:
    """Read the cases of a plan.

    Raises FileProblem for a file that is no plan, and for a line that cannot be checked or contradicts itself.
    """
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError as problem:
        raise FileProblem(f"{path} is no text; a plan is written with: chronotope evaluate --plan FILE") from problem
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing; write one with: chronotope evaluate --plan {path}") from problem
    cases = [_read(f"{path}, line {number},", line) for number, line in enumerate(lines, start=1)]
    if not cases:
        raise FileProblem(f"{path} holds no cases")
    names = [case.id for case in cases]
    if len(set(names)) < len(names):
        raise FileProblem(f"{path} holds {next(name for name in names if names.count(name) > 1)} twice")
    return cases


def _read(where: str, line: str) -> Case:
    """Read one line of a plan; `where` names it in errors."""
    try:
        row = json.loads(line)
        case = _case(row)
        world = find_world(case.world)
        if why := world.not_checkable(case):
            raise FileProblem(f"{where} cannot be judged: {why}")
        named = ["file", "width", "height", "num_frames", "fps", *(["inputs"] if case.task else [])]
        said, wanted = {name: row[name] for name in named}, _row(case)
    except (ValueError, KeyError, TypeError, UsageError) as problem:
        raise FileProblem(f"{where} is no case of a suite: {problem}") from problem
    if case.split != world.split(case.spec):
        raise FileProblem(f"{where} contradicts itself: split is {case.split}, by its spec {world.split(case.spec)}")
    wrong = [f"{name} is {said[name]}, by its spec {wanted[name]}" for name in said if said[name] != wanted[name]]
    if wrong:
        raise FileProblem(f"{where} contradicts itself: {'; '.join(wrong)}")
    return case


def _case(row: Mapping[str, Any]) -> Case:
    """Read the case of a row whose words this program knows; a row without task or kind asks for words alone."""
    world, spec = _spec(row)
    run, index, seed = (int(row[name]) for name in ("run", "index", "seed"))
    task, kind = row.get("task", ""), row.get("kind", "")
    case = Case(world.name, spec, row["prompt"], row["form"], row["split"], run, index, seed, task, kind)
    if case.form not in (*FORMS, "story", *PROMPT_FORMS) or not case.prompt.strip() or not 0 <= case.seed < 2**63:
        raise ValueError(f"form {case.form!r}, seed {case.seed}, prompt {case.prompt!r}")
    kinds = [kind for members in world.kinds.values() for kind in members]
    for what, value, known in (("task", case.task, world.tasks), ("kind", case.kind, kinds)):
        if value and value not in known:
            raise ValueError(f"unknown {what} '{value}'. {suggest(value, known)}")
    return case


def _spec(row: Mapping[str, Any]) -> tuple[World, Any]:
    """Read the spec of a row; plans of earlier versions name no world, so the first world that can read the spec is
    taken.
    """
    if "world" in row:
        world = find_world(row["world"])
        return world, world.read_spec(row["spec"])
    problems = []
    for world in all_worlds():
        try:
            return world, world.read_spec(row["spec"])
        except UsageError as problem:
            problems.append(problem)
    raise problems[0]
