"""Take clips out of a curated dataset for good: on request, or because they should not have been there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chronotope.curate.listing import Row, rewrite
from chronotope.curate.write import written_contents
from chronotope.errors import UsageError
from chronotope.manifest import CURATE_AGAIN, ChainedLines, read_curation, seal
from chronotope.storage import locked

__all__ = ["REMOVED", "is_removed", "removals", "remove_source", "taken_out"]

REMOVED = "removed.jsonl"  # what was taken out; later curations leave it out, too; it is not exported
KEPT = ("clip", "file", "start", "seconds", "rights")  # for audits of runs that have seen a clip


def removals(out: Path) -> list[Row]:
    """Return what was taken out of a dataset: contents of source files, and where a shot of them begins, or None.

    Raises FileProblem where a line is gone: what it took out would come back.
    """
    return ChainedLines(out / REMOVED).rows


def is_removed(row: Row, removed: Sequence[Row]) -> bool:
    """Return whether a line of the manifest is of what was taken out, whatever its file is called now.

    A film may be cut otherwise by now: a shot that shows a part of what was taken out is removed, too.
    """
    return any(one["sha256"] == row["source"]["sha256"] and _overlap(one, row) for one in removed)


def _overlap(removed: Row, row: Row) -> bool:
    """Return whether a shot shows more than a frame of the span that was taken out, or begins where it did."""
    if removed["start"] in (None, row["start"]):
        return True
    start, end = removed["start"], removed["start"] + removed.get("was", {}).get("seconds", 0.0)
    common = min(end, row["start"] + row["seconds"]) - max(start, row["start"])
    return bool(common > 1.5 / row["fps"])


def remove_source(out: Path, name: str) -> list[str]:
    """Take out the clip of a key or a path, or all clips of a source file; returns the clips, whose files are deleted.

    The manifest is written anew, and names them with the state "removed". Raises UsageError where nothing is called so.
    """
    with locked(out):
        _, rows = read_curation(out)
        found = [row for row in rows if name in (row["file"], row["key"], row.get("clip")) and row["state"] == "kept"]
        if not found:
            raise UsageError(f"no clip of {out} is called {name}, or it was taken out before; {CURATE_AGAIN}")
        lines = ChainedLines(out / REMOVED)
        whole_file, contents = any(row["file"] == name for row in found), written_contents(out)
        for row in found:
            start = None if whole_file else row["start"]
            about = {"name": name, "sha256": row["source"]["sha256"], "start": start}
            was = {"content": contents.get(row["clip"], ""), **{key: row[key] for key in KEPT}}
            lines.add(seal({**about, "was": was}))
        clips = [row["clip"] for row in found]
        for clip in clips:
            (out / clip).unlink(missing_ok=True)
            (out / clip).with_suffix(".json").unlink(missing_ok=True)
        keys = {row["key"] for row in found}
        rewrite(out, [taken_out(row) if row["key"] in keys else row for row in rows])
        return clips


def taken_out(row: Row) -> Row:
    """Return the line of a clip that was taken out, without what was said of it and of its holder."""
    plain = {name: value for name, value in row.items() if name not in ("seal", "clip")}
    plain |= {"captions": {}, "rights": {}}
    return seal({**plain, "state": "removed", "reason": "removed", "why": "taken out on request"})
