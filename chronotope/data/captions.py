"""The files beside a clip -> its captions by level of detail, as people and programs save them.

`NAME.json` holds {"captions": {level: [texts]}}, {"caption": text}, {"text": text}, {"prompt": text}, a list of texts,
one text, or a story, a list of [seconds, text]. `NAME.txt` and `NAME.mp4.txt` hold one text, a `sentence`, or the same
JSON. Line ends are spaces, and characters that no reader sees are left out. Text is UTF-8 with or without a byte order
mark, UTF-16, or Windows-1252. Where several files or keys hold captions, the first of this order is used, and the
others are named.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope.arguments import described
from chronotope.data.doubtful import doubts
from chronotope.errors import FileProblem, UsageError
from chronotope.parsing import parse_json
from chronotope.prompt import UNCLEAN, cleaned, is_clean, read_prompts, read_story

__all__ = [
    "LEVELS",
    "CaptionNote",
    "Captions",
    "caption_files",
    "caption_names",
    "captions_of",
    "decode_bytes",
    "decode_text",
    "read_caption_file",
    "read_captions",
]

Captions = dict[str, tuple[str, ...]]
Say = Callable[[str], None]

LEVELS = ("tags", "sentence", "paragraph", "story", "descriptive")  # of detail, which the settings of a training know
MAX_BYTES = 2**24  # of one caption file
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_KEYS = ("captions", "caption", "text", "prompt")  # of texts, in any letter case, by preference
_NAMES = re.compile(
    r"caption|prompt|stor(y|ies)|text|descri|sentence|paragraph|title|summary", re.IGNORECASE
)  # of others
_OUR_SETTINGS = ("negative_prompt",)  # of our own sidecars
MAX_SECONDS = 10**7  # of a video
_EXAMPLE = '{"captions": {"sentence": ["a red ball rolls"]}}'


@dataclass(frozen=True)
class CaptionNote:
    """What is worth knowing about a caption file; files of one kind have the same `reason`, so that it is said once.

    What is `common` may be said of very many files, and `check` counts them, too.
    """

    file: Path
    reason: str
    common: bool = False

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


Note = Callable[[CaptionNote], None]


def read_captions(path: Path, note: Note = lambda _: None) -> Captions:
    """Read the captions of the clip at `path` by level of detail; {} where it has none.

    `note` receives what is worth knowing: a file whose encoding had to be guessed, that holds no caption, or whose
    captions are not used because another file or key has some. Raises FileProblem, which names the file, for content
    that is no caption.
    """
    used: Path | None = None
    captions: Captions = {}
    for file in caption_files(path):

        def say(reason: str, file: Path = file) -> None:
            note(CaptionNote(file, reason))

        found = read_caption_file(file, say)
        if used is None and found:
            used, captions = file, found
        elif used is not None and not _all_texts(found) <= _all_texts(captions):
            say(f"not used, because the {_ending(used, path)} of the same clip holds other captions")
    for reason in dict.fromkeys(doubt for text in sorted(_all_texts(captions)) for doubt in doubts(text)):
        note(CaptionNote(used or path, f"a text {reason}; it is used as it is, so correct it, or remove it", True))
    return captions


def read_caption_file(file: Path, say: Say = lambda _: None) -> Captions:
    """Read the captions of one file, JSON by its ending `.json`, else a text; raise FileProblem for anything else."""
    text = decode_text(file, say)
    return _from_json(file, text, say) if file.suffix.lower() == ".json" else _from_text(file, text, say)


def _ending(file: Path, clip: Path) -> str:
    """Return what a caption file adds to the name of its clip: ".json", or ".mp4.json" where it adds that."""
    return f"{clip.suffix}{file.suffix}" if file.stem == clip.name else file.suffix


def caption_files(path: Path) -> list[Path]:
    """Return the files that can hold captions of the clip at `path` and exist, by preference; endings in any case."""
    beside = map(Path, caption_names(str(path)))
    return [file for file in beside if file != path and os.path.lexists(file)]


def caption_names(clip: str) -> tuple[str, ...]:
    """Return the names that the caption files of a clip can have, by preference, from its name or path."""
    stem = str(Path(clip).with_suffix(""))
    return tuple(
        f"{start}{ending}"
        for start, kind in ((stem, ".json"), (clip, ".json"), (clip, ".txt"), (stem, ".txt"))
        for ending in (kind, kind.upper())
    )


def _all_texts(captions: Captions) -> set[str]:
    return {text for texts in captions.values() for text in texts}


def decode_text(path: Path, say: Say = lambda _: None, most: int = MAX_BYTES) -> str:
    """Read a text file in the encoding that it is in, and say a guess; raise FileProblem where it holds no text.

    It is raised for a file of more than `most` bytes, too.
    """
    if path.exists() and not path.is_file():  # a folder, or a pipe, whose reader would wait for ever
        raise FileProblem(f"{path} is no regular file, so no captions can be read from it; remove it")
    try:
        if path.stat().st_size > most:
            raise FileProblem(f"{path} has {path.stat().st_size} bytes; a caption file has at most {most}")
        data = path.read_bytes()
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror or problem}") from problem
    return decode_bytes(data, str(path), say)


def decode_bytes(data: bytes, where: str, say: Say = lambda _: None) -> str:
    """Return the text of bytes as `decode_text` does; an error begins with `where`."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded(where, data[len(mark) :], encoding)
    if data.count(0) * 8 > len(data):  # ASCII letters in UTF-16 have zeros in every second place
        return _decoded(where, data, "utf-16-be" if data[::2].count(0) > data[1::2].count(0) else "utf-16-le")
    try:
        return _decoded(where, data, "utf-8") if b"\0" in data else data.decode("utf-8")
    except UnicodeDecodeError:
        text = _decoded(where, data, "cp1252")
        say("read as Windows-1252, because it is not UTF-8; save it as UTF-8 if letters are wrong")
        return text


def _decoded(where: str, data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as problem:
        raise FileProblem(f"{where} is no text in UTF-8, UTF-16 or Windows-1252; save it as UTF-8") from problem
    if "\0" in text:
        raise FileProblem(f"{where} holds zero bytes, so it is no text; save it as UTF-8")
    return text


def _from_text(file: Path, text: str, say: Say) -> Captions:
    if text.lstrip().startswith(("{", "[", '"')):
        try:
            return _from_json(file, text, say)
        except FileProblem:  # a text that begins with a quotation mark or a bracket
            if not text.lstrip().startswith('"'):
                say("begins like JSON and is none that holds captions; it is read as a text")
    if len(text.strip().splitlines()) > 1:
        say("several lines are read as one caption; write several captions into NAME.json, as a list of texts")
    return captions_of(text, str(file), say)


def _from_json(file: Path, text: str, say: Say) -> Captions:
    if not text.strip():
        return {}

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        count = Counter(key for key, _ in pairs)
        if twice := [key for key in count if count[key] > 1]:
            say(f"the key {described(twice[0])} is there more than once, of which the last is read")
        return dict(pairs)

    try:
        data = parse_json(text, object_pairs_hook=table)
    except ValueError as problem:
        raise FileProblem(f"{file} is not readable JSON ({problem}); expected captions such as {_EXAMPLE}") from problem
    return captions_of(data, str(file), say)


def captions_of(data: Any, where: str, say: Say = lambda _: None) -> Captions:
    """Read captions from parsed JSON or a text; raise FileProblem, which begins with `where`, for anything else.

    `say` receives what is not read of an object: all of it where no key is known, and keys beside the one that is used.
    """
    if not isinstance(data, dict):
        return _by_level(data, where, say)
    keys = [key for name in _KEYS for key in data if key.strip().lower() == name]
    if not keys and data.get("generated_by_ai") is not True:  # a record of what was generated without words
        found = ", ".join(map(described, list(data)[:3]))
        say(f"holds no caption ({found or 'it is empty'}); expected captions such as {_EXAMPLE}")
    captions: Captions = {}
    for number, key in enumerate(keys, start=1):
        if captions := _by_level(_in_time(data[key], data.get("story_from")), where, say):
            named = [other for other in data if other not in keys and _NAMES.search(other)]
            others = [other for other in [*keys[number:], *named] if _is_unread(other, data[other], captions, keys)]
            if others:
                say(f"{described(key)} is read, and {', '.join(map(described, others))}, which holds others, is not")
            break
    return captions


def _in_time(texts: Any, story_from: Any) -> Any:
    """Return the beats of a story that counts from a later second of its video, with times of the video.

    So `generate` writes it where it extends, connects or loops a clip: the first beat holds from the beginning.
    """
    if not isinstance(texts, list) or not all(map(_is_beat, texts)) or not _is_time(story_from):
        return texts
    return [
        [round(seconds + story_from, 6) if seconds and _is_time(seconds) else seconds, words]
        for seconds, words in texts
    ]


def _is_time(value: Any) -> bool:
    """Return whether this is a number of seconds that a video can have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_SECONDS


def _is_unread(key: str, data: Any, captions: Captions, known: Container[str]) -> bool:
    """Return whether texts under another key of an object are not among `captions`; other values are settings."""
    if key in known:
        return not _is_held(data, captions)
    return key not in _OUR_SETTINGS and _has_words(data) and not _is_held(data, captions)


def _has_words(data: Any) -> bool:
    """Return whether a value, or a part of it, is a text."""
    if isinstance(data, dict | list):
        return any(map(_has_words, data.values() if isinstance(data, dict) else data))
    return isinstance(data, str) and bool(data.strip())


def _is_held(data: Any, captions: Captions) -> bool:
    """Return whether `captions` hold all texts that stand under another key of the same object."""
    try:
        return _all_texts(_by_level(data, "")) <= _all_texts(captions)
    except FileProblem:  # not captions, but not read either
        return False


def _by_level(data: Any, where: str, say: Say = lambda _: None) -> Captions:
    if isinstance(data, dict):
        if _are_beats(data.get("story")):  # one story, as the command line takes it, and not several of one beat
            data = {**data, "story": "\n".join(data["story"])}
        if not all(map(_is_story, _listed(data.get("story")))):
            say("a story in it has no beats such as '0: a fox walks in' with rising seconds; it is read as one text")
        levels = {
            level: _texts(texts, f"{where}, level {level},", say, level == "story") for level, texts in data.items()
        }
        found = {level: texts for level, texts in levels.items() if texts}
        if others := [level for level in found if level not in LEVELS]:
            say(
                f"its level{'' if len(others) == 1 else 's'} {', '.join(map(described, others))} will be captions too; "
                f"the levels of detail are {', '.join(LEVELS)}"
            )
        return found
    if isinstance(data, list) and data and all(map(_is_beat, data)):  # as `generate` writes beside its videos
        if not all(is_clean(words) for _, words in data):
            say(UNCLEAN)
        return {"story": ("\n".join(f"{seconds}: {cleaned(words)}" for seconds, words in data),)}
    texts = _texts(data, where, say)
    return {"sentence": texts} if texts else {}


def _are_beats(texts: Any) -> bool:
    """Return whether a list of texts is the beats of one story, ["0: a fox walks in", "2: it sits down"]."""
    if not isinstance(texts, list) or len(texts) < 2 or not all(isinstance(text, str) for text in texts):
        return False
    single = all(_is_story(text) and len(text.strip().splitlines()) == 1 for text in texts)
    return single and _is_story("\n".join(texts))


def _listed(texts: Any) -> list[str]:
    """Return the texts of a level; what is no text is refused elsewhere."""
    return [text for text in (texts if isinstance(texts, list) else [texts]) if isinstance(text, str)]


def _is_story(text: str) -> bool:
    try:
        read_prompts(read_story(text.splitlines()))
    except UsageError:
        return False
    return True


def _is_beat(data: Any) -> bool:
    """Return whether this is one part of a story, [seconds, text]."""
    if not isinstance(data, list) or len(data) != 2:
        return False
    seconds, words = data
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and isinstance(words, str)


def _texts(data: Any, where: str, say: Say, lines: bool = False) -> tuple[str, ...]:
    """Read one text, a list of texts, or null; texts of spaces alone are left out. With `lines`, line ends stay."""
    if data is None:
        return ()
    texts = [data] if isinstance(data, str) else data
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise FileProblem(f"{where} holds {_short(data)} where a text or a list of texts is expected, as in {_EXAMPLE}")
    if not all(map(is_clean, texts)):
        say(UNCLEAN)
    found = [cleaned(text, lines) for text in texts]
    return tuple(text for text in found if text)


def _short(data: Any) -> str:
    text = json.dumps(data)
    return text if len(text) <= 60 else f"{text[:57]}..."
