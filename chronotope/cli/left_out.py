"""A folder that a user names -> its clips, after it is said which of its files are left out."""

from __future__ import annotations

from pathlib import Path

from chronotope.cli.terminal import say
from chronotope.data.clips import Folder, scan_folder

__all__ = ["scan_and_say"]


def scan_and_say(folder: Path, captions: bool = False) -> Folder:
    """Find the clips below a folder and say what is left out; with `captions`, also which captions several clips share.

    Code that must not talk, or whose caller has said it, calls `find_clips` or `scan_folder`, which raise the same.
    """
    found = scan_folder(folder)
    for sentence in (*found.notes(), *(found.notes_on_captions() if captions else ())):
        say(f"note: {sentence}")
    return found
