"""What of a command line, and of a folder, is not used: it is refused, or said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chronotope.cli.terminal import say
from chronotope.errors import UsageError

if TYPE_CHECKING:
    from chronotope.data.clips import Folder

__all__ = ["refuse_beside", "refuse_twice", "scan_and_compare", "scan_and_say"]


def scan_and_say(folder: Path, captions: bool = False) -> Folder:
    """Find the clips below a folder and say what is left out; with `captions`, also which captions several clips share.

    Code that must not talk, or whose caller has said it, calls `find_clips` or `scan_folder`, which raise the same.
    """
    from chronotope.data.clips import (
        scan_folder,  # help needs none of it
        taken_from_splits,
    )

    found = scan_folder(folder)
    taken = taken_from_splits(folder, [clip.file for clip in found.clips])
    for sentence in (*found.notes(), *(found.notes_on_captions() if captions else ()), *taken):
        say(f"note: {sentence}")
    return found


def scan_and_compare(folder: Path) -> None:
    """Say what is left out of a folder of clips, and where its clips are not those that its datasets list."""
    from chronotope.data.rendered import changes_since_curation, changes_since_import, changes_since_rendering
    from chronotope.storage import file_sha256

    clips = scan_and_say(folder).clips
    rows = [{"source": {"file": clip.file, "sha256": file_sha256(clip.path)}} for clip in clips]
    changes = (changes_since_curation(folder), changes_since_import(folder), changes_since_rendering(folder, rows))
    for sentence in (sentence for each in changes for sentence in each):
        say(f"note: {sentence}")


def refuse_beside(why: str, *used: str) -> None:
    """Refuse the parameters of this command line that are not `used`: they would have no effect; `why` says so."""
    ctx, typed = click.get_current_context(), click.core.ParameterSource.COMMANDLINE
    others = [
        param.opts[0] if isinstance(param, click.Option) else param.make_metavar(ctx).strip("[]")
        for param in ctx.command.params
        if param.name not in used and ctx.get_parameter_source(str(param.name)) is typed
    ]
    if others:
        raise click.UsageError(f"{why}; leave out {', '.join(others)}", ctx)


def refuse_twice(what: str, sources: Sequence[str | Path]) -> None:
    """Refuse a folder or file that is named twice, under whatever path: it would count twice."""
    seen: dict[str, str | Path] = {}
    for source in sources:
        place = str(Path(source).resolve()) if Path(source).exists() else str(source)
        if place in seen:
            raise UsageError(f"{what} names {seen[place]} twice, the second time as {source}; name it once")
        seen[place] = source
