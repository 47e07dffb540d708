"""Suites: which specs a model is asked for, in which words, with which seeds; all fixed before anything is sampled.

Every spec is held out from training by its hash, or combines attributes that training never sees together. The seed of
a case is a hash of the suite's salt, the spec, the run and the index, so nobody chooses it. The rows of a suite are
written to a file, a plan, that anybody can fill with videos of any other model.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from chronotope.config import to_dict
from chronotope.errors import ChronotopeError, FileProblem, UsageError, suggest
from chronotope.evaluate.documents import check_document, read_rows
from chronotope.evaluate.schema import shown
from chronotope.evaluate.tasks import describe_inputs, write_inputs
from chronotope.geometry import Frames
from chronotope.jsonl import write_jsonl
from chronotope.worlds.case import FORMS, PROMPT_FORMS, Case, SuiteItem
from chronotope.worlds.catalogue import all_worlds, find_world
from chronotope.worlds.splits import spec_key
from chronotope.worlds.world import World

__all__ = ["is_plan", "make_suite", "name_of", "read_cases", "suite_names", "suite_of", "truth_of", "write_cases"]

VERSION = 2
MAX_PIXELS = 2**30  # of all frames of a video that is judged: 3 GiB


def suite_names() -> list[str]:
    """Return the names of all suites of all worlds."""
    return [name for world in all_worlds() for name in world.suites]


def make_suite(name: str) -> list[Case]:
    """Return the cases of a suite, in their order; the same every time."""
    for world in all_worlds():
        if name in world.suites:
            return list(_suite(name, world))
    raise UsageError(f"unknown suite '{name}'. {suggest(name, suite_names())}")


@functools.lru_cache(maxsize=2)  # a report asks whether its cases are those of a suite
def _suite(name: str, world: World) -> tuple[Case, ...]:
    return tuple(case for item in world.suites[name]() for case in _cases(name, world, item))


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


def is_plan(path: Path) -> bool:
    """Return whether every line of a file is one of a plan."""
    try:
        for where, row in read_rows(path, "case of a suite"):
            check_document(row, "plan_line", where)
    except FileProblem:
        return False
    return True


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
    if not path.exists():
        raise FileProblem(f"{path} is missing; write one with: chronotope evaluate --plan {path}")
    cases = [_read(where, row) for where, row in read_rows(path, "case of a suite")]
    if not cases:
        raise FileProblem(f"{path} holds no cases; a plan is written with: chronotope evaluate --plan FILE")
    name, count = Counter(case.id for case in cases).most_common(1)[0]
    if count > 1:
        raise FileProblem(f"{path} holds {name} twice; every case has one line")
    return cases


def _read(where: str, row: Mapping[str, Any]) -> Case:
    """Read one line of a plan; `where` names it in errors."""
    check_document(row, "plan_line", f"{where} is no case of a suite:")
    try:
        case = _case(row)
        world = find_world(case.world)
        if why := world.not_checkable(case):
            raise FileProblem(f"{where} cannot be judged: {why}")
        if case.task and "inputs" not in row:
            raise UsageError("it lacks 'inputs', which a case with a task has")
        named = ["file", "width", "height", "num_frames", "fps", *(["inputs"] if case.task else [])]
        said, wanted = {name: row[name] for name in named}, _row(case)
        split = world.split(case.spec)
    except FileProblem:
        raise
    except ChronotopeError as problem:
        raise FileProblem(f"{where} is no case of a suite: {problem}") from problem
    except (ArithmeticError, LookupError, TypeError, ValueError) as problem:  # by a simulator, for a senseless spec
        reason = f"its spec cannot be simulated ({type(problem).__name__}: {problem})"
        raise FileProblem(f"{where} is no case of a suite: {reason}") from problem
    if case.split != split:
        raise FileProblem(f"{where} contradicts itself: split is {case.split}, by its spec {split}")
    wrong = [f"{name} is {said[name]}, by its spec {wanted[name]}" for name in said if said[name] != wanted[name]]
    if wrong:
        raise FileProblem(f"{where} contradicts itself: {'; '.join(wrong)}")
    return case


def _case(row: Mapping[str, Any]) -> Case:
    """Read the case of a row whose words this program knows; a row without task or kind asks for words alone."""
    world, spec = _spec(row)
    if (pixels := spec.width * spec.height * spec.num_frames) > MAX_PIXELS:
        raise UsageError(f"the video has {pixels:,} pixels in all, expected at most {MAX_PIXELS:,}")
    run, index, seed, task, kind = row["run"], row["index"], row["seed"], row.get("task", ""), row.get("kind", "")
    case = Case(world.name, spec, row["prompt"], row["form"], row["split"], run, index, seed, task, kind)
    forms = dict.fromkeys((*FORMS, "story", *PROMPT_FORMS))
    if case.form not in forms:
        raise UsageError(f"form is {shown(case.form)}, expected one of {', '.join(forms)}")
    if not case.prompt.strip():
        raise UsageError(f"prompt is {shown(case.prompt)}, expected words")
    kinds = [kind for members in world.kinds.values() for kind in members]
    for what, value, known in (("task", case.task, world.tasks), ("kind", case.kind, kinds)):
        if value and not known:
            raise UsageError(f"{what} is {shown(value)}, and the world '{world.name}' has no {what}s; leave it out")
        if value and value not in known:
            raise UsageError(f"unknown {what} {shown(value)}. {suggest(value, known)}")
    return case


def _spec(row: Mapping[str, Any]) -> tuple[World, Any]:
    """Read the spec of a row; plans of earlier versions name no world, so the first world that can read the spec is
    taken.

    Where none can, the problem is that of the world whose spec shares most keys with this one.
    """
    if "world" in row:
        world = find_world(row["world"])
        return world, world.read_spec(row["spec"])
    problems: dict[World, UsageError] = {}
    for world in all_worlds():
        try:
            return world, world.read_spec(row["spec"])
        except UsageError as problem:
            problems[world] = problem
    raise problems[max(problems, key=lambda world: len(_keys(world) & row["spec"].keys()))]


def _keys(world: World) -> set[str]:
    return {field.name for field in fields(world.spec_type)}
