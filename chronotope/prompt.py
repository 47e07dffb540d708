"""Prompts and the seconds at which they begin: one text, or the beats of a story."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chronotope.errors import UsageError

__all__ = ["Prompt", "prompts_between", "read_prompts", "read_story"]

_BEAT = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*s?\s*:\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Prompt:
    """A text and the time in seconds from which it describes the video."""

    text: str
    seconds: float = 0.0


def prompts_between(prompts: Sequence[Prompt], start: float, stop: float) -> tuple[Prompt, ...]:
    """Return the prompts of the part from `start` to `stop` seconds, with times that count from `start`."""
    current = [prompt for prompt in prompts if prompt.seconds <= start][-1:] or list(prompts[:1])
    later = [prompt for prompt in prompts if start < prompt.seconds < stop and prompt not in current]
    return (
        *(Prompt(prompt.text, 0.0) for prompt in current),
        *(Prompt(prompt.text, prompt.seconds - start) for prompt in later),
    )


def read_prompts(prompt: str | Sequence[tuple[float, str]]) -> tuple[Prompt, ...]:
    """Read a text, or (seconds, text) pairs in the order of their times; raises `UsageError` for empty texts."""
    if isinstance(prompt, str):
        prompts: tuple[Prompt, ...] = (Prompt(prompt),)
    else:
        prompts = tuple(Prompt(text, float(seconds)) for seconds, text in prompt)
    if not prompts or not all(prompt.text.strip() for prompt in prompts):
        raise UsageError('the prompt is empty; say what should be seen, for example "a red ball rolls right"')
    times = [prompt.seconds for prompt in prompts]
    if times != sorted(set(times)) or times[0] < 0:
        raise UsageError(f"the prompts of a story need rising times, got {', '.join(f'{time:g} s' for time in times)}")
    return prompts


def read_story(beats: Sequence[str]) -> tuple[tuple[float, str], ...]:
    """Read beats such as '2: it eats the berry' as (seconds, text) pairs."""
    story = []
    for beat in beats:
        found = _BEAT.fullmatch(beat)
        if not found or not found[2].strip():
            raise UsageError(f"a story has beats such as '0: a fox walks in' '2: it eats the berry', got '{beat}'")
        story.append((float(found[1]), found[2].strip()))
    times = [seconds for seconds, _ in story]
    if times != sorted(set(times)):
        raise UsageError(f"the beats of a story need rising times, got {', '.join(f'{time:g}' for time in times)} s")
    return tuple(story)
