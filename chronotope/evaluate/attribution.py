"""Attribute each failure of the model to a layer, by looking for it in what single layers make of the same cases.

A failure that the true clip shows is attributed to the checks; one that it shows only after the autoencoder, to the
decoder; any other, to the transformer and its sampler. Reports of the same cases with one setting changed (more steps,
another solver, the best of several) say which failures that setting cures and which it causes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chronotope.errors import FileProblem
from chronotope.evaluate.make import LAYERS
from chronotope.evaluate.report import compare, over_scenes, paired, scene_of
from chronotope.worlds.taxonomy import FAILURES

__all__ = ["attribution", "changed_settings", "check_comparable", "compare_setting", "named"]

JsonReport = dict[str, Any]
# what may differ between two reports without being a setting of the sampler
NOT_SETTINGS = ("ledger", "suite", "videos", "program", "device", "weights", "folder")


def attribution(
    model: JsonReport, autoencoder: JsonReport, truth: JsonReport, others: Mapping[str, JsonReport] | None = None
) -> dict[str, Any]:
    """Count the videos of the model with each class of failure, and the layers to which these are attributed.

    Returns JSON values. `decoder_artefacts` are the cases in which the autoencoder's video shows a failure that the
    true clip does not (DEC-ART). `others` are reports of the model with changed settings, by name.
    """
    (rows, decoded), (_, true) = paired(model, autoencoder), paired(model, truth)
    found: dict[str, dict[str, int]] = {}
    for name, row in rows.items():
        for code in codes(row):
            if code in codes(true[name]):
                layer = "checks"
            elif code in codes(decoded[name]):
                layer = "decoder"
            else:
                layer = "transformer"
            counts = found.setdefault(code, {"videos": 0, "checks": 0, "decoder": 0, "transformer": 0})
            counts["videos"] += 1
            counts[layer] += 1
    artefacts = [bool(codes(decoded[name]) - codes(true[name])) for name in rows]
    reports = {"model": model, "autoencoder": autoencoder, "truth": truth}
    return {
        "cases": len(rows),
        "failed": {name: sum(not row["success"] for row in report["cases"]) for name, report in reports.items()},
        "decoder_artefacts": over_scenes(artefacts, [scene_of(row) for row in rows.values()]),
        "classes": dict(sorted(found.items(), key=lambda item: -item[1]["videos"])),
        "switched": [compare_setting(name, model, other) for name, other in (others or {}).items()],
    }


def codes(row: Mapping[str, Any]) -> set[str]:
    """The classes of failure that one video shows."""
    return {failure["code"] for failure in row["failures"]}


def compare_setting(name: str, model: JsonReport, other: JsonReport) -> dict[str, Any]:
    """Count the videos that a changed setting cures and breaks; per class, those of the first, the second and both.

    If the other report holds only a part of the cases, only these are compared.
    """
    names = {row["id"] for row in other["cases"]}
    model = {**model, "cases": [row for row in model["cases"] if row["id"] in names]}
    before, after = paired(model, other)
    found = {}
    for code in FAILURES:
        first = {case for case, row in before.items() if code in codes(row)}
        second = {case for case, row in after.items() if code in codes(row)}
        if first or second:
            found[code] = {"model": len(first), "both": len(first & second), "switched": len(second)}
    overall = compare(model, other)[0]
    return {
        "name": name,
        "success": over_scenes([row["success"] for row in after.values()], [scene_of(row) for row in after.values()]),
        "only_first": overall.only_first,
        "only_second": overall.only_second,
        "p_value": round(overall.p_value, 6),
        "classes": found,
    }


def check_comparable(
    model: JsonReport, autoencoder: JsonReport, truth: JsonReport, others: Sequence[JsonReport] = ()
) -> None:
    """Raise FileProblem unless the reports are of these layers, in this order, and of the same weights."""
    expected = [*LAYERS, *("model" for _ in others)]
    for report, layer in zip((model, autoencoder, truth, *others), expected, strict=True):
        got = report["about"].get("layer", "none")
        if got != layer:
            raise FileProblem(
                f"one report is of layer {got}, expected {layer}: give those of --layer model, autoencoder and truth, "
                "in this order, then those of the model with a changed setting"
            )
    weights = model["about"].get("weights", "")
    compared = [(_component(weights, "autoencoder"), autoencoder, "autoencoder")]
    compared += [(weights, other, "") for other in others]
    for ours, report, component in compared:
        theirs = report["about"].get("weights", "")
        if (_component(theirs, component) if component else theirs) != ours:
            raise FileProblem(
                f"one report is of the weights {theirs or 'unknown'}, the first of {weights or 'unknown'}; "
                "expected the same"
            )


def _component(weights: str, name: str) -> str:
    """The part of 'autoencoder 8657, dit 003d' that starts with a name."""
    return next((part for part in weights.split(", ") if part.startswith(name + " ")), "")


def named(model: JsonReport, others: Sequence[JsonReport]) -> dict[str, JsonReport]:
    """Name each report by the settings that differ from the first; repeated names are numbered."""
    found: dict[str, JsonReport] = {}
    for other in others:
        name = unique = changed_settings(model, other)
        number = 1
        while unique in found:
            number += 1
            unique = f"{name} ({number})"
        found[unique] = other
    return found


def changed_settings(model: JsonReport, other: JsonReport) -> str:
    """The settings of the sampler that differ between two reports, such as `steps 60`."""
    first, second = model["about"], other["about"]
    words = []
    for name in dict.fromkeys([*second, *first]):
        before, after = first.get(name), second.get(name)
        if name in NOT_SETTINGS or before == after:
            continue
        words.append(f"{name} by default, not {before}" if after is None else f"{name} {after}")
    return ", ".join(words) or "the same again"
