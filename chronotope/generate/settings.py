"""Everything that decides a video but the model and the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chronotope.flow.guidance import Guidance
from chronotope.generate.sampler import Sampling
from chronotope.prompt import Prompt, read_prompts
from chronotope.request import Inputs

__all__ = ["Defaults", "Settings"]

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
    given: Inputs = field(default_factory=Inputs)
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
