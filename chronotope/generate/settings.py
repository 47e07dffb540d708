"""Everything that decides a video but the model and the seed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.generate.canvas import Prompt
from chronotope.generate.plan import Given
from chronotope.generate.sampler import Sampling

__all__ = ["Defaults", "Settings", "read_prompts", "read_story"]

_BEAT = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*s?\s*:\s*(.*)", re.DOTALL)
DRAFT_STEPS = 3  # a draft takes a third of the steps


@dataclass(frozen=True)
class Defaults:
    """What is generated when nothing else is asked for; kept beside the weights.

    `decoder_noise` is how large the decoder takes the errors of generated latents to be (at most what it was trained with).
    """

    height: int = 64
    width: int = 96
    num_frames: int = 17
    fps: float = 8.0
    num_steps: int = 30
    guidance_scale: float = 3.0
    decoder_noise: float = 0.1

    def enlargement(self, height: int, width: int) -> int:
        """How many times, each way, a frame is larger than the model's own; at least 1."""
        return max(1, round(math.sqrt(height * width / (self.height * self.width))))

    def settings(self, prompt: str | Sequence[tuple[float, str]]) -> Settings:
        """A request with nothing but words; `dataclasses.replace` changes the rest."""
        sampling = Sampling(self.num_steps, guidance=Guidance(self.guidance_scale))
        return Settings(read_prompts(prompt), self.height, self.width, self.num_frames, self.fps, sampling=sampling)


@dataclass(frozen=True)
class Settings:
    """One video to be made. `num_frames` counts new frames where a clip goes on, connects or loops, else all of them."""

    prompts: tuple[Prompt, ...]
    height: int
    width: int
    num_frames: int
    fps: float
    given: Given = field(default_factory=Given)
    sampling: Sampling = field(default_factory=Sampling)
    draft: bool = False

    def drafted(self, defaults: Defaults) -> Settings:
        """The same, small and quick: sides about the model's own, a third of the steps, and noise of which the full size's is made."""
        shrink = 1 if self.given.task == "outpaint" else defaults.enlargement(self.height, self.width)
        sampling = replace(self.sampling, num_steps=max(1, -(-self.sampling.num_steps // DRAFT_STEPS)), enlargement=1)
        return replace(
            self, height=-(-self.height // shrink), width=-(-self.width // shrink), sampling=sampling, draft=True
        )

    def describe(self) -> dict[str, Any]:
        """What stands in a file's tags."""
        told = [[prompt.seconds, prompt.text] for prompt in self.prompts]
        return {
            "prompt": told[0][1] if len(told) == 1 and told[0][0] == 0 else told,
            "negative_prompt": self.sampling.negative_prompt,
            "num_steps": self.sampling.num_steps,
            "guidance_scale": self.sampling.guidance.scale,
            "solver": self.sampling.solver,
            "width": self.width,
            "height": self.height,
            "fps": self.fps,
            **self._about_given(),
        }

    def _about_given(self) -> dict[str, Any]:
        """What else was asked for; pictures and masks by their place alone."""
        given = self.given
        about: dict[str, Any] = {
            "at": [seconds for seconds, _ in given.images],
            "strength": given.strength,
            "context": given.context,
            "span": None if given.span is None else list(given.span),
            "masked": given.mask is not None,
            "draft": self.draft,
        }
        return {name: value for name, value in about.items() if value not in (None, False, [])}


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
