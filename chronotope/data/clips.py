"""Find the videos and pictures below a folder, and read their captions.

Any folder of videos and pictures is a dataset. The captions of a file are read from `name.json` beside it ({"captions":
{level: [texts]}} or {"caption": text}) or from `name.txt`; both may be missing. A level is a level of detail, such as
`sentence`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chronotope.errors import FileProblem
from chronotope.storage import read_json

__all__ = ["SUFFIXES", "Clip", "find_clips", "read_captions"]

SUFFIXES = frozenset(".mp4 .mkv .webm .mov .avi .mpg .mpeg .m4v .gif .png .jpg .jpeg .webp".split())


@dataclass(frozen=True)
class Clip:
    """One video or picture, and its captions by level of detail (tags, sentence, paragraph, story, or another)."""

    key: str
    path: Path
    captions: dict[str, tuple[str, ...]] = field(default_factory=dict)


def find_clips(folders: Sequence[Path]) -> tuple[Clip, ...]:
    """Find all clips below `folders`, sorted by path in each; raise FileProblem for a folder without clips."""
    clips = []
    for folder in folders:
        if not folder.is_dir():
            raise FileProblem(f"{folder} is not a folder of clips")
        files = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in SUFFIXES and ".part" not in path.name and path.name[0] != "."
        )
        if not files:
            raise FileProblem(f"{folder} holds no videos or pictures ({' '.join(sorted(SUFFIXES))})")
        clips += [
            Clip(f"{folder.name}/{path.relative_to(folder).with_suffix('')}", path, read_captions(path))
            for path in files
        ]
    return tuple(clips)


def read_captions(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the captions of one clip by level of detail; {} where it has none."""
    sidecar = path.with_suffix(".json")
    if sidecar.is_file():
        data = read_json(sidecar)
        if "captions" in data:
            return {level: tuple(texts) for level, texts in data["captions"].items()}
        return {"sentence": (data["caption"],)} if "caption" in data else {}
    text = path.with_suffix(".txt")
    return {"sentence": (text.read_text().strip(),)} if text.is_file() else {}
