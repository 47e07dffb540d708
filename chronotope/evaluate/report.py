"""Verdicts become numbers with intervals, and a JSON for machines; two such reports of the same cases can be compared.

report.json holds `version`, `about`, `summary` (success, strata, cube, checks, failures, survival, long range) and
`cases`, a row a video; `memorisation` and `layers` where they were measured. `report.schema.json` beside this module
describes all of it (JSON Schema 2020-12), and the lines of plans and ledgers too; reports are checked against it when
they are read.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.evaluate.documents import check_document, parse_json, read_file
from chronotope.evaluate.judge import Judged
from chronotope.evaluate.schema import SCHEMA, shown
from chronotope.metrics.statistics import Rate, clustered, holm, mcnemar, sign_flip, survival
from chronotope.sealed import check_seal, write_sealed
from chronotope.storage import write_json
from chronotope.worlds.case import LENGTHS
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.check import DRIFT_CHECK
from chronotope.worlds.taxonomy import FAILURES

__all__ = [
    "SCHEMA",
    "VERSION",
    "Comparison",
    "as_row",
    "compare",
    "lasted",
    "make_report",
    "over_scenes",
    "paired",
    "read_report",
    "scene_of",
    "success_rate",
    "write_report",
]

VERSION = 1
# A video that was not made has failed from the start
SURVIVAL_CODES = tuple(
    code for code in FAILURES if code.startswith(("OBJ-", "ID-COL", "MOT-JMP", "MOT-SHK", "SYS-RUN"))
)


def make_report(verdicts: Sequence[Judged], about: dict[str, Any]) -> dict[str, Any]:
    """Everything that was measured, as plain JSON values."""
    return {
        "version": VERSION,
        "about": about,
        "summary": _summary(verdicts),
        "cases": [_case(verdict) for verdict in verdicts],
    }


def _case(verdict: Judged) -> dict[str, Any]:
    case = verdict.case
    faults = [
        {
            "code": c.code,
            "check": c.name,
            "actor": c.actor,
            "frame": c.frame,
            "second": round((c.frame or 0) / case.spec.fps, 3),
        }
        for c in verdict.checks
        if c.code
    ]
    row = {
        "id": case.id,
        "index": case.index,
        "run": case.run,
        "file": case.file,
        "prompt": case.prompt,
        "seed": case.seed,
    }
    if verdict.suite:
        row["suite"] = verdict.suite
    row |= {
        "world": case.world,
        "strata": verdict.strata,
        "success": verdict.success,
        "graded": round(verdict.graded, 4),
        "failures": faults,
    }
    # under the name of the check; of two actors, the later one's
    measured = {
        c.name: {name: round(value, 4) for name, value in c.measured.items()} for c in verdict.checks if c.measured
    }
    return {**row, "measured": measured} if measured else row


def success_rate(verdicts: Iterable[Judged]) -> Rate:
    """How many videos succeed."""
    found = [verdict.success for verdict in verdicts]
    return Rate(sum(found), len(found))


def as_row(rate: Rate) -> dict[str, Any]:
    """A rate and its interval, as plain values."""
    return {
        "right": rate.successes,
        "of": rate.trials,
        "share": round(rate.share, 4),
        "interval": [round(bound, 4) for bound in rate.interval],
    }


def over_scenes(found: Sequence[bool], scenes: Sequence[Hashable]) -> dict[str, Any]:
    """A rate as plain values, with an interval over scenes: videos of one scene are not independent."""
    bounds = clustered(found, scenes)
    return {**as_row(Rate(sum(found), len(found))), "interval": [round(bound, 4) for bound in bounds]}


def scene_of(row: Mapping[str, Any]) -> tuple[str, int]:
    """What the videos of one scene have in common, of a case's row: its suite, where that is known, and its index
    there.
    """
    return row.get("suite", ""), row["index"]


def _scene(verdict: Judged) -> tuple[str, int]:
    return verdict.suite, verdict.case.index


def _summary(verdicts: Sequence[Judged]) -> dict[str, Any]:
    runs, scenes = sorted({verdict.case.run for verdict in verdicts}), list(map(_scene, verdicts))
    by_run = [success_rate(v for v in verdicts if v.case.run == run).share for run in runs]
    return {
        "success": {**as_row(success_rate(verdicts)), "interval_over_specs": _level(verdicts)["interval"]},
        "runs": {
            "count": len(runs),
            "shares": by_run,
            "deviation": round(statistics.stdev(by_run), 4) if len(runs) > 1 else None,
        },
        "graded": round(sum(v.graded for v in verdicts) / len(verdicts), 4),
        "checks": _by_check(verdicts),
        "strata": _by_stratum(verdicts),
        "cube": _cube(verdicts),
        "failures": {code: over_scenes([code in v.codes for v in verdicts], scenes) for code in FAILURES},
        "survival": _survival(verdicts),
        "long_range": _long_range(verdicts),
        "permanence": _extra_rates(verdicts),
    }


def _extra_rates(verdicts: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Return the rates that only the worlds of these cases know.

    A name that two worlds have begins with the name of the world.
    """
    found: list[tuple[str, str, Rate]] = []
    for world in dict.fromkeys(v.case.world for v in verdicts):
        rates = find_world(world).extra_rates(v.checks for v in verdicts if v.case.world == world)
        found += [(world, name, rate) for name, rate in rates.items()]
    counts = Counter(name for _, name, _ in found)
    return {f"{world}: {name}" if counts[name] > 1 else name: as_row(rate) for world, name, rate in found}


def _by_check(verdicts: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    found: dict[str, list[tuple[bool, Hashable]]] = {}
    for verdict in verdicts:
        for check in verdict.checks:
            found.setdefault(check.name, []).append((check.holds, _scene(verdict)))
    rates = {
        name: over_scenes([holds for holds, _ in rows], [scene for _, scene in rows]) for name, rows in found.items()
    }
    return dict(sorted(rates.items(), key=lambda item: item[1]["share"]))


def _by_stratum(verdicts: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(
        name for v in verdicts for name in v.strata
    ):  # of joined plans not every case has every stratum
        levels = _in_order({v.strata[name] for v in verdicts if name in v.strata})
        found[name] = {level: _level([v for v in verdicts if v.strata.get(name) == level]) for level in levels}
    return found


def _level(verdicts: Sequence[Judged]) -> dict[str, Any]:
    return over_scenes([verdict.success for verdict in verdicts], list(map(_scene, verdicts)))


def _in_order(levels: Iterable[str]) -> list[str]:
    """Lengths from short to long, everything else by its name."""
    return sorted(levels, key=lambda level: (LENGTHS.index(level) if level in LENGTHS else 0, level))


def _cube(verdicts: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Length against deeds: the two-way table."""
    table: dict[str, dict[str, list[Judged]]] = {}
    for verdict in verdicts:
        strata = verdict.strata
        table.setdefault(strata.get("deeds", ""), {}).setdefault(strata.get("length", ""), []).append(verdict)
    return {deeds: {length: _level(row[length]) for length in _in_order(row)} for deeds, row in sorted(table.items())}


def lasted(faults: Iterable[tuple[str, float]], seconds: float) -> tuple[float, bool]:
    """How long a video of so many seconds goes well, by its failures and when they are seen, and whether that ended in
    one.

    What is wrong from the first frame on (who, which colour, where) is no matter of time, and is left out.
    """
    times = [second for code, second in faults if code in SURVIVAL_CODES]
    return (min(times), True) if times else (seconds, False)


def _survival(verdicts: Sequence[Judged]) -> dict[str, Any]:
    """Seconds until somebody vanishes, appears, doubles, changes, jumps or shakes; videos without that are censored at
    their end.
    """
    ends = []
    for verdict in (v for v in verdicts if v.case.spec.num_frames > 1):
        fps = verdict.case.spec.fps
        ends.append(
            lasted(
                [(c.code, (c.frame or 0) / fps) for c in verdict.checks if c.code], verdict.case.spec.num_frames / fps
            )
        )
    if not ends:
        return {}
    times, failed = zip(*ends, strict=True)
    curve = survival(times, failed)
    rows = {name: [round(value, 4) for value in getattr(curve, name)] for name in ("times", "alive", "low", "high")}
    return {
        **rows,
        "median": curve.median,
        "videos": len(times),
        "longest": max(v.case.spec.num_frames / v.case.spec.fps for v in verdicts),
    }


def _long_range(verdicts: Sequence[Judged]) -> dict[str, Any]:
    """Of the videos long enough: how far the end is from the beginning in each measure, beside what true clips stay
    within.

    Where videos are of several worlds, whose true clips differ, the name of a measure begins with that of its world.
    """
    long = [(v, check.measured) for v in verdicts for check in v.checks if check.name == DRIFT_CHECK and check.measured]
    if not long:
        return {}
    worlds = list(dict.fromkeys(verdict.case.world for verdict, _ in long))
    measures: dict[str, Any] = {}
    for world in worlds:
        rows = [(_scene(verdict), measured) for verdict, measured in long if verdict.case.world == world]
        for name, spread in find_world(world).drift_spread.items():
            measures[name if len(worlds) == 1 else f"{world}: {name}"] = _drift(rows, name, spread)
    drifting = over_scenes(["LNG-DRF" in v.codes for v, _ in long], [_scene(verdict) for verdict, _ in long])
    return {"videos": len(long), "drifting": drifting, "measures": measures}


def _drift(rows: Sequence[tuple[Hashable, Mapping[str, float]]], name: str, spread: float) -> dict[str, Any]:
    """Summarise one measure over long videos, each with its scene."""
    changes = [measured[name] for _, measured in rows]
    within = over_scenes([abs(change) <= spread for change in changes], [scene for scene, _ in rows])
    slope = statistics.median(measured[f"{name} a second"] for _, measured in rows)
    return {
        "spread": spread,
        "median": round(statistics.median(changes), 4),
        "slope": round(slope, 4),
        "within": within,
    }


def write_report(report: dict[str, Any], folder: Path, sealed: bool = True) -> None:
    """report.json in the folder, whole or not at all, with its seal, unless it extends a report that had none."""
    folder.mkdir(parents=True, exist_ok=True)
    if sealed:
        write_sealed(folder / "report.json", report)
    else:
        write_json(folder / "report.json", report)


def read_report(path: Path) -> dict[str, Any]:
    """Read a report, given as its folder or its JSON file.

    Raises FileProblem unless it is as the schema says and agrees with its seal, if it has one, and with itself.
    """
    path = path / "report.json" if path.is_dir() else path
    if not path.exists():
        raise FileProblem(f"{path} is missing; make a report with: chronotope evaluate MODEL --out FOLDER")
    report = parse_json(read_file(path), str(path))
    if not isinstance(report, dict) or report.get("version") != VERSION:
        got = shown(report.get("version", "none")) if isinstance(report, dict) else "none"
        raise FileProblem(f"{path} is a report of version {got}, this program reads version {VERSION}; evaluate again")
    check_document(report, "", f"{path} is no whole report:")
    if problem := next(_contradictions(report), ""):
        raise FileProblem(f"{path} contradicts itself: {problem}; evaluate again")
    check_seal(report, path, "make it again with `chronotope evaluate`, or take it from a copy")
    return {name: value for name, value in report.items() if name != "seal"}


def _contradictions(report: Mapping[str, Any]) -> Iterator[str]:
    """Say where a report does not fit the taxonomy or itself, beyond what a schema can express."""
    cases, summary, layers = report["cases"], report["summary"], report.get("layers", {"classes": {}, "switched": []})
    name, count = Counter(case["id"] for case in cases).most_common(1)[0]
    if count > 1:
        yield f"cases holds {name} {count} times"
    codes = dict.fromkeys([*summary["failures"], *(fault["code"] for case in cases for fault in case["failures"])])
    for classes in (layers["classes"], *(other["classes"] for other in layers["switched"])):
        codes |= dict.fromkeys(classes)
    for code in codes:
        if code not in FAILURES:
            yield f"it names the failure {shown(code)}, which is none of the taxonomy"
    right, success = sum(case["success"] for case in cases), summary["success"]
    if (success["right"], success["of"]) != (right, len(cases)):
        yield f"summary.success is {success['right']} of {success['of']}, by its cases {right} of {len(cases)}"
    yield from _wrong_counts(report)
    curve = summary["survival"]
    if curve and len({len(curve[name]) for name in ("times", "alive", "low", "high")}) > 1:
        yield "the lists of summary.survival have different lengths"


def _wrong_counts(report: Mapping[str, Any]) -> Iterator[str]:
    """Say where counts and shares of the summary are not those of the cases."""
    cases, summary = report["cases"], report["summary"]
    codes = [{fault["code"] for fault in case["failures"]} for case in cases]
    counted = {f"failures.{code}": (sum(code in one for one in codes), len(cases)) for code in summary["failures"]}
    for name, levels in summary["strata"].items():
        for level in levels:
            found = [case["success"] for case in cases if case["strata"].get(name) == level]
            counted[f"strata.{name}.{level}"] = sum(found), len(found)
    rates = dict(_rates(summary, ""))
    for place, (right, of) in counted.items():
        if (said := rates[place]) and (said["right"], said["of"]) != (right, of):
            yield f"summary.{place} is {said['right']} of {said['of']}, by its cases {right} of {of}"
    for place, rate in rates.items():
        if rate["of"] and (rate["right"] > rate["of"] or rate["share"] != round(rate["right"] / rate["of"], 4)):
            yield f"summary.{place} has the share {rate['share']:g} of {rate['right']} of {rate['of']}"


def _rates(value: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every rate below a part of a summary, with its place there."""
    if isinstance(value, dict):
        if {"right", "of", "share"} <= value.keys():
            yield place, value
        for name, inner in value.items():
            yield from _rates(inner, f"{place}.{name}" if place else name)


@dataclass(frozen=True)
class Comparison:
    """How two systems differ on the same cases, in one stratum: cases that only one of them solved, and the chance of
    that.
    """

    stratum: str
    first: Rate
    second: Rate
    only_first: int
    only_second: int
    p_value: float
    adjusted: float


def paired(first: dict[str, Any], second: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rows of two reports by the name of their case; both must be of the same cases."""
    ours, theirs = ({row["id"]: row for row in report["cases"]} for report in (first, second))
    if set(ours) != set(theirs):
        alone = [
            f"{len(a.keys() - b.keys())} only in the {name}"
            for a, b, name in ((ours, theirs, "first"), (theirs, ours, "second"))
        ]
        raise FileProblem(f"the two reports are of other cases ({', '.join(alone)}); compare reports of one suite")
    for name, row in ours.items():
        for field in ("seed", "prompt", "world", "index", "run", "strata"):
            if row.get(field) != theirs[name].get(field):
                raise FileProblem(
                    f"the two reports are of other cases: {name} has another {field}; compare reports of one suite"
                )
    return ours, theirs


def compare(first: dict[str, Any], second: dict[str, Any]) -> list[Comparison]:
    """Paired tests over all cases and over every level of every stratum, adjusted together (Holm)."""
    ours, theirs = paired(first, second)
    groups: dict[str, list[str]] = {"all cases": list(ours)}
    for name, row in ours.items():
        for stratum, level in row["strata"].items():
            groups.setdefault(f"{stratum}: {level}", []).append(name)
    found = []
    for group, names in groups.items():
        pairs = [(bool(ours[name]["success"]), bool(theirs[name]["success"])) for name in names]
        found.append(_compared(group, pairs, [scene_of(ours[name]) for name in names]))
    adjusted = [
        found[0].p_value,
        *holm([row.p_value for row in found[1:]]),
    ]  # the first question was asked before all others
    return [replace(row, adjusted=level) for row, level in zip(found, adjusted, strict=True)]


def _compared(group: str, pairs: Sequence[tuple[bool, bool]], specs: Sequence[Hashable]) -> Comparison:
    """Exact McNemar where every spec is there once; else specs, not videos, are what differs by chance."""
    first, second = (Rate(sum(pair[side] for pair in pairs), len(pairs)) for side in (0, 1))
    only_first, only_second = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    once = len(set(specs)) == len(specs)
    p_value = mcnemar(only_first, only_second) if once else sign_flip([float(a) - float(b) for a, b in pairs], specs)
    return Comparison(group, first, second, only_first, only_second, p_value, p_value)
