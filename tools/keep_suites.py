"""Summarise the reports of five suites for docs/evaluation/results.md: by length, size, prompt, task, and of the table.

chronotope evaluate small --suite lengths --out out/lengths                        (and sizes, prompts, tasks, table)
chronotope evaluate small --suite lengths --layer truth --out out/lengths-truth    the errors of the checks
python tools/keep_suites.py && python tools/generate_docs.py
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from chronotope.evaluate.report import lasted, over_scenes, scene_of
from chronotope.metrics.statistics import survival

ROOT = Path(__file__).resolve().parent.parent
LEVELS = {"lengths": "length", "sizes": "size", "prompts": "asks for", "tasks": "task", "table": "physics"}
# the second stratum of each two-way table
BESIDE = {"lengths": "story", "sizes": "training", "prompts": "words", "table": "camera"}
SECONDS = (1, 2, 4, 8, 16, 32, 60, 120)


def rate_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The success rate and the three most common failures."""
    rate = over_scenes([row["success"] for row in rows], [scene_of(row) for row in rows])
    failures = Counter(code for row in rows for code in {fault["code"] for fault in row["failures"]})
    return {name: rate[name] for name in ("right", "of", "interval")} | {"failures": dict(failures.most_common(3))}


def survival_by_second(rows: list[dict[str, Any]], lengths: dict[str, float]) -> dict[str, list[float]]:
    """Kaplan-Meier estimate of the share of videos without a failure of `SURVIVAL_CODES` so far, and those at risk."""
    ends = [lasted([(fault["code"], fault["second"]) for fault in row["failures"]], lengths[row["id"]]) for row in rows]
    times, failed = zip(*ends, strict=True)
    curve = survival(times, failed)
    found = {}
    longest = max(lengths[row["id"]] for row in rows)
    for second in SECONDS:
        if second <= longest:
            place = max(i for i, time in enumerate(curve.times) if time <= second)
            shares = [round(value, 4) for value in (curve.alive[place], curve.low[place], curve.high[place])]
            found[str(second)] = [*shares, sum(time >= second for time in times)]
    return found


def summarised(suite: str, report: dict[str, Any]) -> dict[str, Any]:
    """The rates of one report by level, and by level and second stratum."""
    rows, level, beside = report["cases"], LEVELS[suite], BESIDE.get(suite)
    groups = [(row["strata"][level], row["strata"][beside] if beside else "") for row in rows]
    order = list(dict.fromkeys(name for name, _ in (sorted(groups) if suite == "table" else groups)))
    found: dict[str, Any] = {"about": report["about"], "graded": report["summary"]["graded"], "all": rate_of(rows)}
    found["over specs"] = report["summary"]["success"]["interval_over_specs"]
    found["levels"] = {
        name: rate_of([row for row, (one, _) in zip(rows, groups, strict=True) if one == name]) for name in order
    }
    checks = report["summary"]["checks"].values()
    found["checks"] = {"right": sum(rate["right"] for rate in checks), "of": sum(rate["of"] for rate in checks)}
    if beside:
        names = list(dict.fromkeys(name for _, name in groups))
        found["beside"] = {
            name: rate_of([row for row, (_, one) in zip(rows, groups, strict=True) if one == name]) for name in names
        }
        table: dict[str, dict[str, Any]] = {}
        for pair in dict.fromkeys(groups):
            table.setdefault(pair[0], {})[pair[1]] = rate_of(
                [row for row, one in zip(rows, groups, strict=True) if one == pair]
            )
        found["table"] = table
    if suite == "lengths":
        from chronotope.evaluate.suite import make_suite

        moving = [row for row in rows if row["strata"]["length"] != "a picture"]
        found["lasting"] = survival_by_second(moving, {case.id: case.spec.seconds for case in make_suite(suite)})
    return found


def main() -> None:
    target = ROOT / "benchmarks" / "suites.json"
    found = json.loads(target.read_text()) if target.is_file() else {}
    for suite in LEVELS:
        for layer in ("model", "truth"):
            file = ROOT / "out" / (suite if layer == "model" else f"{suite}-{layer}") / "report.json"
            if not file.is_file():
                print(f"{file} is missing; its former summary is kept", file=sys.stderr)
                continue
            report = json.loads(file.read_text())
            about = report["about"]
            if about.get("layer") != layer or about.get("model") != "small" or suite not in about.get("suite", ""):
                sys.exit(
                    f"{file} is of {about.get('model')}, {about.get('suite')}, layer {about.get('layer')}; "
                    f"expected small, {suite}, {layer}"
                )
            found.setdefault(suite, {})[layer] = summarised(suite, report)
    target.write_text(json.dumps({suite: found[suite] for suite in LEVELS if suite in found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
