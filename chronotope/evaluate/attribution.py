"""Whose fault is it? Each failure of the model is looked for in the videos that single layers make of the same cases.

What the truth itself shows is the checks' fault; what the truth shows only after the autoencoder, there and back, is the decoder's;
the rest is the transformer's and its sampler's. Reports of the same cases with one thing switched (more steps, another solver, the best
of several) say which failures that cures and which it brings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chronotope.errors import FileProblem
from chronotope.evaluate.make import LAYERS
from chronotope.evaluate.report import compare, over_scenes, paired, scene_of
from chronotope.worlds.taxonomy import FAILURES

__all__ = ["attribution", "belong_together", "in_words", "named", "switched", "what_differs"]

Report = dict[str, Any]


def attribution(
    model: Report, autoencoder: Report, truth: Report, others: Mapping[str, Report] | None = None
) -> dict[str, Any]:
    """Plain values for a report: per class how many of the model's videos show it, and with whom the fault lies.

    `decoder_artefacts` are the cases in which the autoencoder's video shows a failure that the truth's does not (DEC-ART).
    """
    (rows, back), (_, true) = paired(model, autoencoder), paired(model, truth)
    found: dict[str, dict[str, int]] = {}
    for name, row in rows.items():
        for code in codes(row):
            counts = found.setdefault(code, {"videos": 0, "checks": 0, "decoder": 0, "transformer": 0})
            counts["videos"] += 1
            counts[
                "checks" if code in codes(true[name]) else "decoder" if code in codes(back[name]) else "transformer"
            ] += 1
    artefacts = over_scenes(
        [bool(codes(back[name]) - codes(true[name])) for name in rows], [scene_of(row) for row in rows.values()]
    )
    failed = {name: sum(not row["success"] for row in report["cases"])
              for name, report in (("model", model), ("autoencoder", autoencoder), ("truth", truth))}  # fmt: skip
    return {
        "cases": len(rows),
        "failed": failed,
        "decoder_artefacts": artefacts,
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
    success = over_scenes([row["success"] for row in theirs.values()], [scene_of(row) for row in theirs.values()])
    row = {"name": name, "success": success, "only_first": whole.only_first, "only_second": whole.only_second}
    return {**row, "p_value": round(whole.p_value, 6), "classes": found}


def belong_together(model: Report, autoencoder: Report, truth: Report, others: Sequence[Report] = ()) -> None:
    """Refuse reports of other layers than these, in this order, or of other weights: what differs shall be the layer, or the switch."""
    for report, layer in zip((model, autoencoder, truth, *others), (*LAYERS, *("model" for _ in others)), strict=True):
        if (got := report["about"].get("layer", "none")) != layer:
            raise FileProblem(
                f"one report is of layer {got}, expected {layer}: give those of --layer model, autoencoder and truth, in this order, "
                "then those of the model with something switched"
            )
    ours = model["about"].get("weights", "")
    for report, of in ((autoencoder, "autoencoder"), *((other, "") for other in others)):
        theirs = report["about"].get("weights", "")
        if _part(theirs, of) != _part(ours, of):
            raise FileProblem(
                f"one report is of the weights {theirs or 'unknown'}, the first of {ours or 'unknown'}; expected the same"
            )


def _part(weights: str, of: str) -> str:
    """Of 'autoencoder 8657, dit 003d' one part, or all of it."""
    return next((part for part in weights.split(", ") if part.startswith(of + " ")), "") if of else weights


def named(model: Report, others: Sequence[Report]) -> dict[str, Report]:
    """The switched reports by what differs from the first; of equal names the later ones are numbered."""
    found: dict[str, Report] = {}
    for other in others:
        name, number = what_differs(model, other), 1
        while (unique := name if number == 1 else f"{name} ({number})") in found:
            number += 1
        found[unique] = other
    return found


def what_differs(model: Report, other: Report) -> str:
    """What the reports say of how the model was sampled that is not the same, such as `steps 60`."""
    apart = ("ledger", "suite", "videos", "program", "device", "weights", "folder")
    ours, theirs = model["about"], other["about"]
    told = {
        name: theirs.get(name) for name in (*theirs, *ours) if theirs.get(name) != ours.get(name) and name not in apart
    }
    words = (
        f"{name} by default, not {ours[name]}" if value is None else f"{name} {value}" for name, value in told.items()
    )
    return ", ".join(words) or "the same again"


def _in_order(found: Mapping[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The most frequent first."""
    return dict(sorted(found.items(), key=lambda item: -item[1]["videos"]))


def in_words(layers: Mapping[str, Any]) -> str:
    """A line a class."""
    failed = layers["failed"]
    lines = [
        f"of {layers['cases']} cases fail: model {failed['model']}, autoencoder {failed['autoencoder']}, truth {failed['truth']}"
    ]
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
