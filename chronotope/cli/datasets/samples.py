"""The record of a taught model's samples, in teach.json: the weights that made them and the content of every file.

The page shows the files by name, so nothing else tells a sample from another video that was put in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from chronotope import checkpoint
from chronotope.errors import FileProblem
from chronotope.storage import file_sha256, read_json, write_json

__all__ = ["changes_in_samples", "record_samples"]

SHOWN = ("file", "shown")  # of a row: the sample, and the clip beside it


def record_samples(out: Path, samples: Sequence[Mapping[str, str]]) -> None:
    """Write the samples of the model in `out` into its teach.json, with the SHA-256 of every file."""
    rows = [{**row, "sha256": {row[name]: file_sha256(out / row[name]) for name in SHOWN}} for row in samples]
    made = {"samples": rows, "samples_of": checkpoint.weights_hash(out / "dit")}
    write_json(out / "teach.json", {**read_json(out / "teach.json"), **made})


def changes_in_samples(out: Path) -> list[str]:
    """Say what of the samples of the model in `out` is not as it was recorded; nothing where none were made yet."""
    plan = read_json(out / "teach.json")
    if not isinstance(plan, dict) or not isinstance(plan.get("samples"), list):
        return []
    if "samples_of" not in plan:
        return [f"{out / 'teach.json'} does not record which samples were made, since an older version wrote it"]
    changes = []
    if plan["samples_of"] != checkpoint.weights_hash(out / "dit"):
        changes.append(f"the samples in {out / 'samples'} were made by other weights than those in {out / 'dit'}")
    for row in plan["samples"]:
        hashes = row.get("sha256") if isinstance(row, dict) else None
        if not isinstance(hashes, dict) or any(row.get(name) not in hashes for name in SHOWN):
            return [f"{out / 'teach.json'} was edited: the record of a sample has a file without its SHA-256"]
        for name, expected in hashes.items():
            changes += _changed(out / name, expected)
    return changes


def _changed(path: Path, expected: str) -> list[str]:
    """Say where a file is missing or has other content."""
    try:
        return [] if file_sha256(path) == expected else [f"{path} is not the file that was made as a sample"]
    except FileProblem as problem:
        return [str(problem)]
