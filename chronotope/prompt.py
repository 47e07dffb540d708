"""Prompts and the seconds at which they begin: one text, or the beats of a story.

Characters that no reader sees are left out of captions: control characters, halves of characters (surrogates), marks of
direction, and spaces and joiners of no width. A joiner stays between letters that are written with it, as in Persian,
and in emoji.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from chronotope.arguments import as_seconds, as_text, described
from chronotope.errors import UsageError

__all__ = [
    "MAX_PROMPT_BYTES",
    "STRANGE",
    "UNCLEAN",
    "Prompt",
    "check_length",
    "check_prompts",
    "cleaned",
    "composed",
    "is_clean",
    "person",
    "prompts_between",
    "read_prompts",
    "read_story",
    "story_between",
]

STRANGE = "control characters, halves of characters or unseen characters"
UNCLEAN = f"holds {STRANGE}, which are left out"
_UNSEEN = re.compile(
    r"[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]|(?:^|(?<=[\x00-\u024f]))[\u200c\u200d]+"
)

MAX_PROMPT_BYTES = 100_000  # of all texts of a request together, in UTF-8; models read a few hundred

_BEAT = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,20})?|\.[0-9]{1,20})\s*s?\s*:\s*(.*)", re.DOTALL)
_CLOCK = re.compile(r"\s*(?:([0-9]{1,4}):)?([0-9]{1,4}):([0-5][0-9](?:\.[0-9]+)?)\s*s?\s*:\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Prompt:
    """A text and the time in seconds from which it describes the video."""

    text: str
    seconds: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", composed(as_text("the text of a prompt", self.text)))
        object.__setattr__(self, "seconds", as_seconds("the seconds of a prompt", self.seconds))


def prompts_between(prompts: Sequence[Prompt], start: float, stop: float) -> tuple[Prompt, ...]:
    """Return the prompts of the part from `start` to `stop` seconds, with times that count from `start`."""
    current = [prompt for prompt in prompts if prompt.seconds <= start][-1:] or list(prompts[:1])
    later = [prompt for prompt in prompts if start < prompt.seconds < stop and prompt not in current]
    return (
        *(Prompt(prompt.text, 0.0) for prompt in current),
        *(Prompt(prompt.text, prompt.seconds - start) for prompt in later),
    )


def read_prompts(prompt: str | Sequence[tuple[float, str]]) -> tuple[Prompt, ...]:
    """Read a text, or (seconds, text) pairs in the order of their times; raises `UsageError`, see `check_prompts`."""
    if isinstance(prompt, str):
        return check_prompts((Prompt(prompt),))
    if not isinstance(prompt, list | tuple):
        raise UsageError(f"a prompt is a text, or a list of (seconds, text) pairs, got {described(prompt)}")
    for beat in prompt:
        if not isinstance(beat, list | tuple) or len(beat) != 2:
            raise UsageError(f"a story is a list of (seconds, text) pairs, got {described(beat)} in it")
    return check_prompts(tuple(Prompt(words, seconds) for seconds, words in prompt))


def check_prompts(prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
    """Return the prompts of a video.

    Raises `UsageError` for no prompts, empty or too long texts, and times that do not rise.
    """
    if not isinstance(prompts, tuple) or not all(isinstance(prompt, Prompt) for prompt in prompts):
        raise UsageError(f"prompts must be a tuple of Prompt, as read_prompts returns, got {described(prompts)}")
    if not prompts or not all(cleaned(prompt.text).strip() for prompt in prompts):
        raise UsageError('the prompt is empty; say what should be seen, for example "a red ball rolls right"')
    check_length(*(prompt.text for prompt in prompts))
    times = [prompt.seconds for prompt in prompts]
    if times != sorted(set(times)) or times[0] < 0:
        raise UsageError(f"the prompts of a story need rising times, got {_shown(times)}")
    return prompts


def check_length(*texts: str) -> None:
    """Raise `UsageError` where texts have too many bytes to be prompts."""
    size = sum(len(words.encode("utf-8", "surrogatepass")) for words in texts)
    if size > MAX_PROMPT_BYTES:
        raise UsageError(f"the prompt has {size:,} bytes, at most {MAX_PROMPT_BYTES:,} are read; shorten it")


def _shown(times: Sequence[float]) -> str:
    return ", ".join([f"{time:g} s" for time in times[:10]] + ["..."] * (len(times) > 10))


def read_story(beats: Sequence[str]) -> tuple[tuple[float, str], ...]:
    """Read beats such as '2: it eats the berry' or '0:02: it eats the berry' as (seconds, text) pairs."""
    story = []
    for beat in beats:
        if clock := _CLOCK.fullmatch(beat):
            seconds, text = 3600 * int(clock[1] or 0) + 60 * int(clock[2]) + float(clock[3]), clock[4]
        elif found := _BEAT.fullmatch(beat):
            seconds, text = float(found[1]), found[2]
        else:
            seconds, text = 0.0, ""
        if not text.strip():
            raise UsageError(f"a story has beats such as '0: a fox walks in' '2: it eats the berry', got '{beat}'")
        story.append((seconds, text.strip()))
    times = [seconds for seconds, _ in story]
    if times != sorted(set(times)):
        raise UsageError(f"the beats of a story need rising times, got {', '.join(f'{time:g}' for time in times)} s")
    return tuple(story)


def story_between(text: str, start: float, stop: float) -> str:
    """Return the beats of a story in a span of seconds, with times from its start; a text without beats as it is."""
    try:
        prompts = read_prompts(read_story(text.splitlines()))
    except UsageError:
        return text
    beats = {
        f"{prompt.seconds:.6f}".rstrip("0").rstrip("."): prompt.text for prompt in prompts_between(prompts, start, stop)
    }
    return "\n".join(f"{seconds}: {words}" for seconds, words in beats.items())


def cleaned(text: str, lines: bool = False) -> str:
    """Return a text of one line, or with `lines` of several, composed, with single spaces, without those characters."""
    kept = composed(_kept(text))
    parts = kept.splitlines() if lines else [kept]
    return "\n".join(" ".join(part.split()) for part in parts).strip()


def composed(text: str) -> str:
    """Return a text in which an accent and its letter are one character (NFC), so that equal words are equal texts."""
    return unicodedata.normalize("NFC", text)


def person(name: str) -> str:
    """Return what the spellings of a person's name have in common: letter case, spaces and accents make no other."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", cleaned(name)).casefold())


def is_clean(text: str) -> bool:
    """Return whether `cleaned` leaves out no character of a text but spaces and line ends."""
    return _kept(text) == text


def _kept(text: str) -> str:
    if text.isprintable():  # which is fast, and false for all of these and for line ends
        return text
    kept = "".join(char for char in text if char.isspace() or unicodedata.category(char) not in ("Cc", "Cs"))
    return _UNSEEN.sub("", kept)
