"""The record of a taught model's samples, in teach.json: the weights that made them and the content of every file.

The page shows the files by name, so nothing else tells a sample from another video that was put in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chronotope import checkpoint
from chronotope.data.audit import Finding
from chronotope.errors import FileProblem
from chronotope.sealed import read_sealed, write_sealed
from chronotope.storage import file_sha256

__all__ = ["PLAN", "changes_in_samples", "read_plan", "record_samples"]

PLAN = "teach.json"

AGAIN = "run the `chronotope teach` command again, which makes the samples again"
FILES = ("file", "shown")  # of a row: the sample, and the clip beside it


def record_samples(out: Path, samples: Sequence[Mapping[str, str]]) -> None:
    """Write the samples of the model in `out` into its teach.json, with the SHA-256 of every file."""
    rows = [{**row, "sha256": {row[name]: file_sha256(out / row[name]) for name in FILES}} for row in samples]
    made = {"samples": rows, "samples_of": checkpoint.weights_hash(out / "dit")}
    write_sealed(out / PLAN, {**read_plan(out), **made})


def read_plan(out: Path) -> dict[str, Any]:
    """Return what teach.json says of the model in `out`: its plan, how it began, its samples; nothing without one."""
    return read_sealed(out / PLAN, "restore it from a copy") if (out / PLAN).is_file() else {}


def changes_in_samples(out: Path) -> list[Finding]:
    """Say what of the samples of the model in `out` is not as it was recorded; nothing where none were made yet."""
    plan = read_plan(out)
    if not isinstance(plan.get("samples"), list):
        return []
    if "samples_of" not in plan:
        what = f"{out / 'teach.json'} does not record which samples were made, since an older version wrote it"
        return [Finding(what, AGAIN, serious=False)]
    changes = []
    if plan["samples_of"] != checkpoint.weights_hash(out / "dit"):
        changes.append(f"the samples in {out / 'samples'} were made by other weights than those in {out / 'dit'}")
    for row in plan["samples"]:
        hashes = row.get("sha256") if isinstance(row, dict) else None
        if not isinstance(hashes, dict) or any(row.get(name) not in hashes for name in FILES):
            return [Finding(f"{out / 'teach.json'} was edited: a sample in it has a file without its SHA-256", AGAIN)]
        for name, expected in hashes.items():
            changes += _changed(out / name, expected)
    return [Finding(what, AGAIN) for what in changes]


def _changed(path: Path, expected: str) -> list[str]:
    """Say where a file is missing or has other content."""
    try:
        return [] if file_sha256(path) == expected else [f"{path} is not the file that was made as a sample"]
    except FileProblem as problem:
        return [str(problem)]
