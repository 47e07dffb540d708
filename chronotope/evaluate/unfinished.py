"""A folder without a report -> what it is, how far it came, and the command that goes on: an evaluation, an export."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.evaluate.exports.manifest import MANIFEST, file_hash, read_manifest
from chronotope.evaluate.ledger import Ledger

__all__ = ["describe_evaluation", "describe_export", "is_export", "lost_in_export"]

SEALED_COMMAND = "chronotope evaluate --sealed KIT"
EXPORT_COMMAND = "chronotope export-suite --format NAME --prompts FILE --model DIR"


def describe_evaluation(folder: Path) -> dict[str, Any]:
    """Say how far an evaluation came that has a ledger and no report, and the command that goes on."""
    ledger = Ledger(folder / "ledger.jsonl")
    began = ledger.rows[0] if ledger.rows else {}
    planned, done, failed = (len(ledger.of(kind)) for kind in ("planned", "done", "failed"))
    named = ("model", "suite", "layer", "selection", "weights", "kit")
    found = {
        "kind": "run of a sealed kit" if "kit" in began else "evaluation without a report yet",
        "path": str(folder),
        **{name: began[name] for name in named if name in began},
        "planned": planned,
        "made": done,
        "failed": failed,
        "missing": planned - len(ledger.ended()),
    }
    if "kit" in began and (folder / "reveal.json").is_file():  # a kit of words alone has no report
        return {
            **found,
            "run": ledger.head,
            "compare_with_kit": f"{SEALED_COMMAND} --videos {shlex.quote(str(folder))}",
        }
    return {**found, "go_on": _evaluation_command(began, folder)}


def _evaluation_command(began: dict[str, Any], folder: Path) -> str:
    """Return the command by which an evaluation was begun, as far as the first line of its ledger tells."""
    if "kit" in began:
        return f"{SEALED_COMMAND} --adapter FOLDER_OR_URL --out {shlex.quote(str(folder))}"
    if not {"model", "suite", "layer"} <= began.keys():
        return "the `chronotope evaluate` command that began it"
    words = ["chronotope", "evaluate", str(began["model"])]
    first = re.fullmatch(r"the first (\d+) videos of (\S+)", str(began["suite"]))
    words += ["--suite", first[2], "--first", first[1]] if first else ["--suite", str(began["suite"])]
    words += ["--layer", str(began["layer"])] if began["layer"] != "model" else []
    for name in ("steps", "guidance", "solver"):
        words += [f"--{name}", str(began[name])] if name in began else []
    if tries := re.match(r"best of (\d+) ", str(began.get("selection", ""))):
        words += ["--best-of", tries[1]]
    return shlex.join([*words, "--out", str(folder)])


def is_export(folder: Path) -> bool:
    """Return whether a folder holds the list of videos that an export for another benchmark keeps."""
    if (folder / "dataset.json").exists():
        return False
    try:
        return bool(read_manifest(folder))
    except FileProblem:
        return False


def lost_in_export(folder: Path) -> list[str]:
    """Return the files that an export lists and that are missing or are not as they were made."""
    rows = read_manifest(folder) or {}
    return [file for file, row in rows.items() if file_hash(folder / file) != row["sha256"]]


def describe_export(folder: Path) -> dict[str, Any]:
    """Describe the videos that an export for another benchmark made so far, and the command that goes on."""
    rows = list((read_manifest(folder) or {}).values())
    models = {", ".join(f"{part} {found}" for part, found in row["model"].items()) for row in rows}
    return {
        "kind": "export for another benchmark",
        "path": str(folder),
        "listed": f"{len(rows)} videos in {folder / MANIFEST}",
        "missing_or_changed": lost_in_export(folder),
        "sizes": sorted({row["size"] for row in rows}),
        "weights": sorted(models),
        "go_on": f"{EXPORT_COMMAND} --out {shlex.quote(str(folder))}, which makes what is missing and checks all",
    }
