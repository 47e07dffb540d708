"""Texts that belong to clips by name or by line: clip.txt beside clip.mp4, captions/ beside videos/, two lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from chronotope.data.captions import Captions, caption_names, captions_of
from chronotope.data.layouts.reading import Layout, Reading, is_media
from chronotope.errors import FileProblem, UsageError

__all__ = ["LINES", "PAIRS", "add_pair", "unpaired_list"]

_CAPTION_FOLDERS = ("captions", "caption", "texts", "text", "txt", "labels", "prompts")
_MEDIA_FOLDERS = ("videos", "video", "clips", "images")
_CAPTION_LISTS = ("captions.txt", "caption.txt", "prompts.txt", "prompt.txt")
_MEDIA_LISTS = ("videos.txt", "video.txt", "images.txt", "image.txt")
_ABOUT = re.compile(r"readme|licen[cs]e|notice|requirements|changelog", re.IGNORECASE)  # texts that are no captions
_TEXTS = (".txt", ".caption")


def _names(clip: str) -> tuple[str, ...]:
    """Return the names that the caption file of a clip can have: those of this program, and `.caption`."""
    return (*caption_names(clip), str(Path(clip).with_suffix(".caption")))


def _sibling_folders(reading: Reading, folder: Path) -> list[tuple[Path, Path]]:
    """Return the pairs of a folder of clips and one of captions beside it."""
    parents = {file.parent.parent for file in reading.below(folder)} | {folder}
    return [
        (parent / media, parent / texts)
        for parent in sorted(parents)
        if parent.is_relative_to(folder)
        for media in _MEDIA_FOLDERS
        for texts in _CAPTION_FOLDERS
        if (parent / media).is_dir() and (parent / texts).is_dir()
    ]


def _texts_of(reading: Reading, folder: Path) -> dict[Path, list[Path]]:
    """Return the clips of a folder with their caption files, by preference."""
    files = reading.below(folder)
    there = set(map(str, files))
    siblings = _sibling_folders(reading, folder)
    found = {}
    for clip in filter(is_media, files):
        places = [clip, *(texts / clip.relative_to(media) for media, texts in siblings if clip.is_relative_to(media))]
        names = (name for place in places for name in _names(str(place)))
        found[clip] = [Path(name) for name in dict.fromkeys(names) if name in there and name != str(clip)]
    return found


def _find_pairs(reading: Reading, folder: Path) -> list[Path]:
    written = [
        clip for clip in reading.below(folder) if is_media(clip) and reading.recaptions.names(reading.label(clip))
    ]
    return [text for texts in _texts_of(reading, folder).values() for text in texts] or written


def _read_pairs(reading: Reading, folder: Path, found: Sequence[Path]) -> None:
    owners: dict[Path, list[str]] = {}
    for clip, texts in _texts_of(reading, folder).items():
        add_pair(reading, clip, texts)
        for text in texts[:1]:
            owners.setdefault(text, []).append(clip.name)
    for text, clips in owners.items():
        if len(clips) > 1:
            reading.note(reading.label(text), "has the name of several clips, and is read as the caption of each")
    used = set(found)
    for file in reading.below(folder):
        if file.suffix.lower() in _TEXTS and file not in used and not _ABOUT.search(file.stem):
            reading.leave_out(reading.label(file), "a text beside no clip of its name")


def add_pair(reading: Reading, clip: Path, texts: Iterable[Path]) -> None:
    """Add a clip with the captions of the first of its caption files that holds some; the others are named."""
    captions: Captions = {}
    used, where = "", reading.label(clip)
    for text in texts:
        try:
            found = reading.captions_in(text)
        except FileProblem as problem:
            reading.leave_out(where, str(problem).replace(str(text), reading.label(text)), where)
            return
        if found and not captions:
            captions, used = found, reading.label(text)
        elif found and found != captions:
            reading.note(reading.label(text), "not read, because another file of the same clip holds captions")
    reading.add(used or where, clip, captions)


def _find_lines(reading: Reading, folder: Path) -> list[Path]:
    there = {file.name.lower(): file for file in reading.below(folder) if file.parent == folder}
    captions = [there[name] for name in _CAPTION_LISTS if name in there]
    media = [there[name] for name in _MEDIA_LISTS if name in there]
    return [*media, *captions] if captions and media else []


def _read_lines(reading: Reading, folder: Path, found: Sequence[Path]) -> None:
    """Read two lists: a line of one belongs to the line of the same number of the other."""
    lists = [file for file in found if file.name.lower() in _MEDIA_LISTS]
    texts = [file for file in found if file.name.lower() in _CAPTION_LISTS]
    media, captions = lists[0], texts[0]
    for other in (*lists[1:], *texts[1:]):
        reading.note(reading.label(other), f"not read; {media.name} and {captions.name} are")
    names, lines = (_lines(reading.text(file)) for file in (media, captions))
    if len(names) != len(lines):
        raise UsageError(
            f"{media} has {len(names)} lines and {captions} has {len(lines)}; a line of one belongs to the same line "
            "of the other, so their numbers must agree"
        )
    for number, (name, line) in enumerate(zip(names, lines, strict=True), start=1):
        where = f"{reading.label(media)}, line {number}"
        if not name.strip() and not line.strip():
            continue
        try:
            path = reading.path(name, folder)
        except FileProblem as problem:
            reading.leave_out(where, str(problem), reading.label(folder / name.strip()) if name.strip() else "")
            continue
        reading.add(where, path, captions_of(line, "it", reading.say(f"{reading.label(captions)}, line {number}")))


def _lines(text: str) -> list[str]:
    """Return the lines of a list without empty ones at its end."""
    return re.split(r"\r\n|\n|\r", text.rstrip()) if text.strip() else []


def unpaired_list(reading: Reading, folder: Path) -> str:
    """Return the name of a list of captions that no list of files accompanies, so that its order says nothing."""
    return next((file.name for file in reading.below(folder) if file.name.lower() in _CAPTION_LISTS), "")


LINES = Layout("lines", _find_lines, _read_lines, "captions.txt or prompts.txt with videos.txt, line by line")
PAIRS = Layout("pairs", _find_pairs, _read_pairs, "clip.txt beside clip.mp4, or captions/ beside videos/")
