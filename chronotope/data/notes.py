"""What is worth knowing of the clips of a folder -> a few lines: one a kind, with the number of files and the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from chronotope.data.captions import CaptionNote
from chronotope.data.clips import first_names

__all__ = ["MAX_NOTES", "ClipNotes", "Kinds"]

MAX_NOTES = 20  # sentences on single clips, and kinds of remarks, of one run

Note = Callable[[str], None]


class Kinds:
    """Files by what is said of them, so that a thousand files of one kind are one line.

    Lines begin with `where`, such as the path of a folder, and call the files `what`, such as "clip".
    """

    def __init__(self, where: object, what: str) -> None:
        self.where, self.what = where, what
        self.files: dict[str, list[str]] = {}  # by what is said of them

    def add(self, file: str, reason: str) -> None:
        """Take a file; one that is named twice for the same reason counts once."""
        names = self.files.setdefault(reason, [])
        if file not in names[-1:]:
            names.append(file)

    def lines(self) -> Iterator[str]:
        """Yield one line a kind, the most frequent first, and after `MAX_NOTES` of them how many are not said."""
        kinds = sorted(self.files.items(), key=lambda kind: -len(kind[1]))
        for reason, names in kinds[:MAX_NOTES]:
            files = f"{len(names)} {self.what}{'' if len(names) == 1 else 's'}"
            yield f"{self.where}: {files} ({first_names(names)}): {reason}"
        if others := sum(len(names) for _, names in kinds[MAX_NOTES:]):
            yield f"{others} more sentences on {self.what}s; `chronotope check` prints all of them"


class ClipNotes:
    """Says what is remarkable about the clips of a folder in a few lines, so that ten thousand clips hide nothing."""

    def __init__(self, note: Note, data: Path) -> None:
        self.note, self.sentences = note, 0
        self.remarks, self.caption_files = Kinds(data, "clip"), Kinds(data, "caption file")

    def clip(self, sentence: str) -> None:
        """Say a sentence on one clip, if there were not too many."""
        self.sentences += 1
        if self.sentences <= MAX_NOTES:
            self.note(sentence)

    def captions(self, found: CaptionNote) -> None:
        """Take a remark on a caption file, which is said at the end."""
        self.caption_files.add(found.file.name, found.reason)

    def close(self) -> None:
        """Say what was collected; a second call says nothing."""
        if self.sentences > MAX_NOTES:
            self.note(f"{self.sentences - MAX_NOTES} more sentences on clips; `chronotope check` prints all of them")
        self.sentences = 0
        for kinds in (self.remarks, self.caption_files):
            for line in kinds.lines():
                self.note(line)
            kinds.files.clear()
