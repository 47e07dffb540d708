"""The folders that a user names -> the files to curate, and what is said of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chronotope.cli.left_out import scan_and_say
from chronotope.curate.run import RawFile
from chronotope.data.clips import Clip, check_outside
from chronotope.data.contradictions import split_beside
from chronotope.data.layouts.splits import held_out_places
from chronotope.data.rendered import FOR_EVALUATION
from chronotope.errors import FileProblem, UsageError

__all__ = ["raw_files"]


def raw_files(folders: Sequence[Path], out: Path) -> list[RawFile]:
    """Return all videos and pictures below the folders, in order; say which files are left out.

    With several folders, the name of a file begins with that of its folder. Raises UsageError for a folder that is
    named twice or lies in another one, for an `out` among the sources, and for clips that their dataset holds out: here
    they would be divided anew.
    """
    resolved = [folder.resolve() for folder in folders]
    for number, folder in enumerate(resolved):
        others = resolved[:number] + resolved[number + 1 :]
        if inside := next((other for other in others if folder.is_relative_to(other)), None):
            what = "is named twice" if inside == folder else f"lies in {inside}, which is named as well"
            raise UsageError(f"{folder} {what}; name each folder once")
    names = [folder.name for folder in resolved]
    if len(set(names)) < len(names):
        raise UsageError(f"two folders are called {max(names, key=names.count)}; rename one of them")
    files: list[RawFile] = []
    for folder, place in zip(folders, resolved, strict=True):
        if not folder.is_dir():
            raise FileProblem(f"{folder} is no folder; name folders of videos and pictures")
        check_outside(out, folder)
        if place.is_relative_to(out.resolve()):
            raise UsageError(f"{folder} lies in {out}, the folder to fill; name the folder of the original files")
        found = scan_and_say(folder, captions=True)
        _refuse_held_out(folder, found.clips)
        start = f"{place.name}/" if len(folders) > 1 else ""
        files += [RawFile(f"{start}{clip.file}", clip.path, folder) for clip in found.clips]
    return files


def _refuse_held_out(folder: Path, clips: Sequence[Clip]) -> None:
    """Raise UsageError where clips are in a folder that their dataset holds out, or have a spec that is held out."""
    paths = [clip.path.resolve() for clip in clips]
    for place, split in held_out_places(folder, ()).items():
        if any(path.is_relative_to(place.resolve()) for path in paths):
            raise UsageError(
                f"{place} holds clips that are held out {split.why}, {FOR_EVALUATION}; curation would divide them "
                "anew, so name folders without them (`chronotope train dit --heldout` measures on them as they are)"
            )
    for clip in clips:
        if (of_spec := split_beside(clip.path)) != "train":
            raise UsageError(
                f"{folder}: the spec of {clip.file} is of split {of_spec}, {FOR_EVALUATION}; curation would divide "
                "such clips anew, so name folders without them"
            )
