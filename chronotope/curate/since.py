"""A curated dataset and its source files -> what has changed since: rights, requests not to train on them, captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chronotope.curate.listing import looked_at
from chronotope.curate.rights import Policy, opt_out_signals
from chronotope.curate.run import CaptionsOf, RawFile, captions_of_shot, inner_name
from chronotope.manifest import read_curation
from chronotope.media.rights import RecordedRights, described_rights

__all__ = ["Since", "changes_since"]


@dataclass(frozen=True)
class Since:
    """Source files whose clips are used, by name: with why they may not be now, with other rights, other captions."""

    refused: tuple[tuple[str, str], ...]
    other_rights: tuple[str, ...]
    other_captions: tuple[str, ...]


def changes_since(files: Sequence[RawFile], out: Path, policy: Policy, captions_of: CaptionsOf) -> Since:
    """Compare the source files that are still there with the dataset that `out` was made of them; decode nothing."""
    paths, looked, recorded = {file.name: file for file in files}, looked_at(out), RecordedRights()
    used = [row for row in read_curation(out)[1] if row["state"] == "kept" and row["file"] in paths]
    refused, rights, captions = dict[str, str](), set[str](), set[str]()
    for row in used:
        file = paths[row["file"]]
        seen = looked.get(file.name)
        signals = opt_out_signals(file.folder, inner_name(file), seen.metadata if seen else {})
        now = policy.rights(inner_name(file), signals, recorded.of(file.path, row["source"]["sha256"]))
        if why := policy.refusal(now):
            refused[file.name] = why
        elif described_rights(now) != row["rights"]:
            rights.add(file.name)
        words = captions_of_shot(captions_of(file.path), row["start"], row["seconds"], row["whole"])
        if words != row["captions"]:
            captions.add(file.name)
    return Since(tuple(sorted(refused.items())), tuple(sorted(rights)), tuple(sorted(captions)))
