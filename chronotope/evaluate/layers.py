"""Whose fault is it? Each failure of the model is looked for in the videos that single layers make of the same cases.

What the truth itself shows is the checks' fault; what the truth shows only after the autoencoder, there and back, is the decoder's;
the rest is the transformer's and its sampler's. Reports of the same cases with one thing switched (more steps, another solver, the best
of several) say which failures that cures and which it brings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chronotope.evaluate.report import as_row, compare, paired
from chronotope.evaluate.statistics import Rate
from chronotope.evaluate.taxonomy import FAILURES

__all__ = ["attribution", "in_words", "switched", "what_differs"]

Report = dict[str, Any]


def attribution(model: Report, autoencoder: Report, truth: Report, others: Mapping[str, Report] | None = None) -> dict[str, Any]:
    """Plain values for a report: per class how many of the model's videos show it, and with whom the fault lies.

    `decoder_artefacts` are the cases in which the autoencoder's video shows a failure that the truth's does not (DEC-ART).
    """
    (rows, back), (_, true) = paired(model, autoencoder), paired(model, truth)
    found: dict[str, dict[str, int]] = {}
    for name, row in rows.items():
        for code in codes(row):
            counts = found.setdefault(code, {"videos": 0, "checks": 0, "decoder": 0, "transformer": 0})
            counts["videos"] += 1
            counts["checks" if code in codes(true[name]) else "decoder" if code in codes(back[name]) else "transformer"] += 1
    artefacts = sum(bool(codes(back[name]) - codes(true[name])) for name in rows)
    failed = {name: sum(not row["success"] for row in report["cases"])
              for name, report in (("model", model), ("autoencoder", autoencoder), ("truth", truth))}  # fmt: skip
    return {
        "cases": len(rows),
        "failed": failed,
        "decoder_artefacts": as_row(Rate(artefacts, len(rows))),
        "classes": _in_order(found),
        "switched": [switched(name, model, other) for name, other in (others or {}).items()],
    }


def codes(row: Mapping[str, Any]) -> set[str]:
    """The classes of failure that one video shows."""
    return {fault["code"] for fault in row["failures"]}


def switched(name: str, model: Report, other: Report) -> dict[str, Any]:
    """What one switch cures and what it brings: per class the videos of the model, of both, and of the other.

    The other report may be of a part of the cases; then only these are compared.
    """
    names = {row["id"] for row in other["cases"]}
    model = {**model, "cases": [row for row in model["cases"] if row["id"] in names]}
    ours, theirs = paired(model, other)
    whole = compare(model, other)[0]
    found = {}
    for code in FAILURES:
        first, second = ({case for case, row in rows.items() if code in codes(row)} for rows in (ours, theirs))
        if first or second:
            found[code] = {"model": len(first), "both": len(first & second), "switched": len(second)}
    row = {"name": name, "success": as_row(whole.second), "only_first": whole.only_first, "only_second": whole.only_second}
    return {**row, "p_value": round(whole.p_value, 6), "classes": found}


def what_differs(model: Report, other: Report) -> str:
    """What the reports say of themselves that is not the same, such as `steps 60`."""
    apart = ("ledger", "suite", "videos", "program", "device", "weights")
    told = {name: value for name, value in other["about"].items() if value != model["about"].get(name) and name not in apart}
    return ", ".join(f"{name} {value}" for name, value in told.items()) or "the same again"


def _in_order(found: Mapping[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The most frequent first."""
    return dict(sorted(found.items(), key=lambda item: -item[1]["videos"]))


def in_words(layers: Mapping[str, Any]) -> str:
    """A line a class."""
    failed = layers["failed"]
    lines = [f"of {layers['cases']} cases fail: model {failed['model']}, autoencoder {failed['autoencoder']}, truth {failed['truth']}"]
    lines.append(f"decoder artefacts (DEC-ART) in {layers['decoder_artefacts']['right']}")
    lines.append("class    videos  transformer  decoder  checks")
    lines += [
        f"{code}  {row['videos']:6} {row['transformer']:12} {row['decoder']:8} {row['checks']:7}  {FAILURES[code].name}"
        for code, row in layers["classes"].items()
    ]
    for one in layers["switched"]:
        lines.append(f"{one['name']}: success {one['success']['share']:.1%}; cured {one['only_second']}, broken {one['only_first']}, "
                     f"p {one['p_value']:.2g}")  # fmt: skip
        lines += _changes(one["classes"])
    return "\n".join(lines)


def _changes(classes: Mapping[str, Mapping[str, int]]) -> Sequence[str]:
    changed = [(code, row) for code, row in classes.items() if row["model"] != row["switched"]]
    return [f"  {code}  {row['model']} -> {row['switched']}  {FAILURES[code].name}" for code, row in changed]
