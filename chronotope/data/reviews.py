"""What people think of captions that a captioner wrote: `reviews.jsonl`, a sealed line a verdict.

A verdict that is no longer there is noticed, see `ChainedLines`. Captions are never overwritten: a verdict is of one
text about one content, and says who gave it. The last verdict on a text decides: it is kept, used as mended, or not
used. Reviewers whose names differ in letter case or spaces are one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from chronotope.errors import UsageError
from chronotope.manifest import ChainedLines, seal
from chronotope.metrics.statistics import cohen_kappa
from chronotope.prompt import cleaned, person

__all__ = ["REVIEWS", "VERDICTS", "Reviews", "Verdict", "used_text"]

REVIEWS = "reviews.jsonl"
Verdict = Literal["keep", "mend", "reject"]
VERDICTS: tuple[Verdict, ...] = ("keep", "mend", "reject")
MAX_CHARACTERS = 5000  # of a mended text

_Key = tuple[str, str, str, str]  # file, hash of its content, level of detail, text


class Reviews:
    """The verdicts of a folder. A damaged line is left out, and named to `note`."""

    def __init__(self, folder: Path, note: Callable[[str], None] = lambda _: None) -> None:
        self.path = folder / REVIEWS
        self.by_text: dict[_Key, dict[str, Mapping[str, Any]]] = defaultdict(dict)  # the last verdict of each reviewer
        self.damaged: list[str] = []  # a sentence for each damaged line
        self._names: dict[str, str] = {}  # of reviewers, as they were first written
        self._lines = ChainedLines(self.path, self.damaged.append, note)
        for row in self._lines.rows:
            if _is_row(row):
                self._take(row)
            else:
                self.damaged.append(f"{self.path} holds a line that is none of this program's")
        for sentence in self.damaged:
            note(sentence)

    def mend(self) -> Path:
        """Write the file again without its damaged lines; return the copy of it as it was."""
        self._lines.rows = [row for row in self._lines.rows if _is_row(row)]
        return self._lines.mend()

    def _take(self, row: Mapping[str, Any]) -> None:
        verdicts = self.by_text[row["file"], row["sha256"], row["detail"], cleaned(row["text"])]
        reviewer = self.name_of(row["reviewer"])
        verdicts.pop(reviewer, None)  # so that the last one stands last
        verdicts[reviewer] = {
            **row,
            "reviewer": reviewer,
            "text": cleaned(row["text"]),
            "mended": cleaned(row["mended"]),
        }

    def name_of(self, reviewer: str) -> str:
        """Return the name of a reviewer as it was first written."""
        name = cleaned(reviewer)
        return self._names.setdefault(person(name), name)

    def text_for(self, file: str, sha256: str, detail: str, text: str) -> str:
        """Return the text that is used in place of a caption, by the last verdict on it; empty where it is rejected."""
        verdicts = self.of(file, sha256, detail, text)
        return used_text(text, verdicts[-1]["verdict"], verdicts[-1]["mended"]) if verdicts else text

    def of(self, file: str, sha256: str, detail: str, text: str) -> list[Mapping[str, Any]]:
        """Return the last verdict of every reviewer on a caption; the last of the list decides."""
        return list(self.by_text.get((file, sha256, detail, cleaned(text)), {}).values())

    def add(self, caption: Mapping[str, Any], verdict: Verdict, reviewer: str, mended: str = "") -> Mapping[str, Any]:
        """Append a verdict on a row of `Recaptions`; it is on disk when this returns."""
        text, reviewer = cleaned(mended), self.name_of(reviewer)
        if verdict not in VERDICTS:
            raise UsageError(f"a verdict is one of {', '.join(VERDICTS)}, got '{verdict}'")
        if not reviewer or len(reviewer) > 80:
            raise UsageError("a verdict needs the name of its reviewer, of at most 80 characters")
        if (verdict == "mend") != bool(text) or len(text) > MAX_CHARACTERS:
            raise UsageError(f"a mended caption, and no other, has a text of 1 to {MAX_CHARACTERS} characters")
        facts = {name: caption[name] for name in ("file", "sha256", "detail", "text")}
        row = seal({**facts, "verdict": verdict, "mended": text, "reviewer": reviewer})
        self._lines.add(row)
        self._take(row)
        return row

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield the last verdict of every reviewer on every text."""
        for verdicts in self.by_text.values():
            yield from verdicts.values()

    def agreements(self) -> dict[str, tuple[int, float]]:
        """Return, for every two reviewers, how many texts both have judged, and their kappa on keeping them as is."""
        both: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
        for verdicts in self.by_text.values():
            names = sorted(verdicts)
            for place, one in enumerate(names):
                for two in names[place + 1 :]:
                    pair = tuple(verdicts[name]["verdict"] == "keep" for name in (one, two))
                    both[f"{one} and {two}"].append((pair[0], pair[1]))
        return {
            names: (len(pairs), cohen_kappa([one for one, _ in pairs], [two for _, two in pairs]))
            for names, pairs in both.items()
        }


def used_text(text: str, verdict: str, mended: str) -> str:
    """Return the text that is used after a verdict on a caption; empty where it is rejected."""
    return {"keep": text, "mend": mended, "reject": ""}[verdict]


def _is_row(row: Mapping[str, Any]) -> bool:
    names = ("file", "sha256", "detail", "text", "verdict", "mended", "reviewer")
    return all(isinstance(row.get(name), str) for name in names) and row["verdict"] in VERDICTS
