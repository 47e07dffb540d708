"""Prompts and the times from which they speak: a text alone, or the beats of a story."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chronotope.errors import UsageError

__all__ = ["Prompt", "prompts_between", "read_prompts", "read_story"]

_BEAT = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*s?\s*:\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Prompt:
    """Words and the time in seconds from which they speak."""

    text: str
    seconds: float = 0.0


def prompts_between(prompts: Sequence[Prompt], start: float, stop: float) -> tuple[Prompt, ...]:
    """The prompts that speak about a stretch of time, in seconds; its times begin at 0."""
    spoken = [prompt for prompt in prompts if prompt.seconds <= start][-1:] or list(prompts[:1])
    coming = [prompt for prompt in prompts if start < prompt.seconds < stop and prompt not in spoken]
    return (
        *(Prompt(prompt.text, 0.0) for prompt in spoken),
        *(Prompt(prompt.text, prompt.seconds - start) for prompt in coming),
    )


def read_prompts(prompt: str | Sequence[tuple[float, str]]) -> tuple[Prompt, ...]:
    """A text, or texts with the seconds from which they speak."""
    prompts = (
        (Prompt(prompt),)
        if isinstance(prompt, str)
        else tuple(Prompt(text, float(seconds)) for seconds, text in prompt)
    )
    if not prompts or not all(prompt.text.strip() for prompt in prompts):
        raise UsageError('the prompt is empty; say what should be seen, for example "a red ball rolls right"')
    times = [prompt.seconds for prompt in prompts]
    if times != sorted(set(times)) or times[0] < 0:
        raise UsageError(
            f"the prompts of a story speak from rising times, got {', '.join(f'{time:g} s' for time in times)}"
        )
    return prompts


def read_story(beats: Sequence[str]) -> tuple[tuple[float, str], ...]:
    """'2: it eats the berry' says a text and the seconds from which it speaks."""
    story = []
    for beat in beats:
        found = _BEAT.fullmatch(beat)
        if not found or not found[2].strip():
            raise UsageError(
                f"a story is told in beats such as '0: a fox walks in' '2: it eats the berry', got '{beat}'"
            )
        story.append((float(found[1]), found[2].strip()))
    times = [seconds for seconds, _ in story]
    if times != sorted(set(times)):
        raise UsageError(f"the beats of a story come at rising times, got {', '.join(f'{time:g}' for time in times)} s")
    return tuple(story)
