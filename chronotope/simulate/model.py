"""A trained model and a state -> the next state and its frame, for an action. The states are never changed.

A step is a canvas whose past is known and whose last slice is unknown. What the network keeps of the past is part of
the state, so a step computes one slice; the state holds the last `memory` slices and a map of places that were seen, of
a fixed size, so it has the same size after hours. Where the map knows what enters the view, that is what enters it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from chronotope.actions import ActionSchema
from chronotope.arguments import as_number, as_whole
from chronotope.data.latents import encode_frames
from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig
from chronotope.generate.canvas import Canvas
from chronotope.generate.pipeline import Generator
from chronotope.generate.sampler import Network, Sampling, keep, sample, sample_together
from chronotope.generate.stored.load import own_settings
from chronotope.geometry import Frames, Geometry, Picture, Slice
from chronotope.media.picture import resize
from chronotope.models.causal import Past
from chronotope.models.dit import DiT
from chronotope.models.packing import action_values
from chronotope.models.text import TextTokenizer
from chronotope.prompt import Prompt, check_length
from chronotope.request import Inputs
from chronotope.safety.uploads import check_uploads
from chronotope.simulate.map.memory import MapMemory
from chronotope.simulate.map.scrolling import is_scrolling
from chronotope.simulate.starts import start_picture

__all__ = ["StepSettings", "WorldModel", "WorldState"]

VIEWS = 4  # the side of a map, in views
FIRST_STEPS = 30  # of the sampler, for a first frame from words alone
MOST_STEPS = 1000  # of the sampler, for a step
MOST_SIDE = 1024  # latents of a map, whose states a session keeps 10 s


@dataclass(frozen=True)
class StepSettings:
    """How a step is sampled; None stands for the default of the model.

    `history` is the noise level at which the past is seen: more of it forgives errors, and keeps fewer details.
    `map_side` is the side of the map of places that were seen, in latents: four times a view by default; 0: no map.
    """

    num_steps: int | None = None
    guidance_scale: float | None = None
    history: float = 0.0
    map_side: int | None = None

    def __post_init__(self) -> None:
        if self.map_side is not None and not 0 <= self.map_side <= MOST_SIDE:
            raise UsageError(f"map_side is a number of latents from 0 to {MOST_SIDE}, got {self.map_side}")
        if self.num_steps is not None and not 1 <= as_whole("num_steps", self.num_steps) <= MOST_STEPS:
            raise UsageError(f"num_steps must be between 1 and {MOST_STEPS}, got {self.num_steps}")
        if self.guidance_scale is not None and as_number("guidance_scale", self.guidance_scale) < 0:
            raise UsageError(f"guidance_scale is at least 0, got {self.guidance_scale:g}")
        if not 0 <= self.history < 1:
            raise UsageError(f"history is a noise level from 0 to below 1, got {self.history:g}")


@dataclass(frozen=True, eq=False)
class WorldState:
    """Everything that decides what happens next, beside actions: the past as it is kept, and the seed of the noise.

    `slices` counts those before the next one; `latents` and `actions` are those of the slices in `past`. `map` is None
    where the model does not say what scrolls, or nothing does.
    """

    seed: int
    prompt: str
    height: int
    width: int
    slices: int
    latents: Float[Tensor, "s c h w"]
    actions: Float[Tensor, "s a"]
    past: Past
    map: MapMemory | None = None

    @property
    def position(self) -> tuple[int, int] | None:
        """Where the view is by dead reckoning: latents down and right of the first one; None without a map."""
        return None if self.map is None else self.map.position

    @property
    def step_seed(self) -> int:
        """The seed of the noise of the next step."""
        return int(np.random.SeedSequence((self.seed, self.slices)).generate_state(1)[0])


class WorldModel:
    """A model that was trained with actions, as a function from state and action to state and frames."""

    goes_back, recorded = True, None

    def __init__(self, generator: Generator, settings: StepSettings | None = None) -> None:
        if generator.actions is None:
            where = f"{generator.folder} " if generator.folder else "this model "
            raise UsageError(
                f"{where}was trained without actions, so nothing in it can be steered; train one with: "
                "chronotope train dit --preset world --data FOLDER (clips with actions)"
            )
        self.generator, self.settings = generator, settings or StepSettings()
        self.schema: ActionSchema = generator.actions
        self.geometry, defaults = generator.geometry, generator.defaults
        self.fps, self.slice_frames = defaults.fps, self.geometry.stride[0]
        guidance = self.settings.guidance_scale
        self.sampling = Sampling(
            defaults.num_steps if self.settings.num_steps is None else self.settings.num_steps,
            guidance=Guidance(defaults.guidance_scale if guidance is None else guidance),
        )

    @classmethod
    def load(cls, name: str | Path, settings: StepSettings | None = None) -> WorldModel:
        """Load a model by its name or from its folder; raise UsageError for one without actions."""
        return cls(Generator.load(name), settings)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames of a session, in pixels."""
        return self.generator.defaults.height, self.generator.defaults.width

    def end(self) -> None:
        """Do nothing: frames are not recorded."""

    @property
    def names(self) -> dict[str, str]:
        """The hashes of its networks, by their names."""
        return self.generator.names

    def sampling_facts(self) -> dict[str, Any]:
        """Return the settings of the sampler, as a record has them."""
        scale, history = self.sampling.guidance.scale, self.settings.history
        facts = {"num_steps": self.sampling.num_steps, "guidance_scale": scale, "history": history}
        return {**facts, "map_side": self.map_side}

    def start_picture(self, number: int) -> Picture | None:
        """Return a picture of the folder `starts` of the run, chosen by a number; None where it has none."""
        return start_picture(self.generator.folder, number)

    @property
    def map_side(self) -> int:
        """The side of the map of places in latents; 0 without one, as where nothing scrolls."""
        rows, asked = self.generator.scrolling, self.settings.map_side
        view = self.geometry.latent_size(*self.size)
        if (len(rows), *{len(row) for row in rows}) != view or not any("1" in row for row in rows):
            return 0
        return VIEWS * max(view) if asked is None else asked

    @own_settings()
    def begin(
        self, seed: int = 0, prompt: str = "", picture: Picture | None = None, consent: str = ""
    ) -> tuple[WorldState, Picture]:
        """Return the first state and frame: of a picture, which is scaled to the model's size, or of a text alone.

        `consent` is what you state of the people in the picture; a policy may need it.
        """
        check_length(prompt)
        if self.generator.policy.near_copies.required:
            self.generator.policy.refuse_uncompared("those of a played world are not; play by another policy")
        if prompt:
            self.generator.policy.check({"prompt": prompt})
        if picture is not None:
            check_uploads(self.generator.policy, Inputs(images=((0.0, picture),)), (), consent, self.fps)
        height, width = self.size
        still = (Slice(0, 1),)
        unknown = torch.zeros(1, self.generator.dit.config.action_width)
        canvas = replace(self._canvas(still, height, width, prompt), actions=unknown)
        if picture is None:
            sampling = replace(self.sampling, num_steps=FIRST_STEPS, guidance=Guidance(1.0))
            latents = sample(*self._networks(), canvas, sampling, seed)
        else:
            scaled = picture if picture.shape[:2] == (height, width) else resize(picture, height, width)
            latents = encode_frames(self.generator.networks[0], self.geometry, scaled[None], still).cpu()
        past = self._keep(canvas, latents, None, seed)
        places = self._empty_map(latents)
        state = WorldState(seed, prompt, height, width, 1, latents, unknown, past, places and places.after(latents))
        return state, self._decode(state, None)[0]

    def step(self, state: WorldState, actions: Shaped[np.ndarray, "t d"]) -> tuple[WorldState, Frames]:
        """Return the next state and its frames, one for each of the actions; raise UsageError for other actions."""
        return self.step_together([state], [actions])[0]

    @own_settings()
    def step_together(
        self, states: Sequence[WorldState], actions: Sequence[Shaped[np.ndarray, "t d"]]
    ) -> list[tuple[WorldState, Frames]]:
        """Do as `step` for sessions of one size that are equally old, in one pass of the network a sampler step."""
        values = [self._values(each) for each in actions]
        canvases = [self._next(state, each) for state, each in zip(states, values, strict=True)]
        # a copy of the past joins its keys for this step alone: states that are kept hold each slice once
        states = [replace(state, past=replace(state.past)) for state in states]
        seeds, pasts = [state.step_seed for state in states], [state.past for state in states]
        made = sample_together(Network(*self._networks()), canvases, self.sampling, seeds, pasts=pasts)
        return [self._arrive(old, new[-1:], each) for old, new, each in zip(states, made, values, strict=True)]

    def _arrive(
        self, state: WorldState, latents: Float[Tensor, "1 c rows columns"], values: Float[Tensor, "1 a"]
    ) -> tuple[WorldState, Frames]:
        """Return the next state and its frames, of sampled latents; what the map knows comes back as it was."""
        new, shift = state.map.recall(latents) if state.map else (latents, None)
        after = self._after(state, new, values, shift)
        return after, self._decode(after, state.latents[-1])

    def _next(self, state: WorldState, values: Float[Tensor, "1 a"]) -> Canvas:
        """Return the canvas of a step: the slices that are kept, and one that is unknown."""
        known = len(state.latents)
        canvas = self._canvas(self._slices(state.slices - known, known + 1), state.height, state.width, state.prompt)
        level = canvas.level.clone()
        level[:known] = 0
        latents = torch.cat([state.latents, torch.zeros_like(state.latents[:1])])
        return replace(canvas, known=latents, level=level, actions=torch.cat([state.actions, values]))

    @own_settings()
    def observe(
        self,
        state: WorldState,
        frames: Frames,
        actions: Shaped[np.ndarray, "t d"],
        shift: tuple[int, int] | None = None,
    ) -> WorldState:
        """Return the state after frames that really were there, of the size of the session, and their actions.

        `shift` is how far the view moved by the pose of an environment that has one, in latents (down, right); without
        it the map follows the frames.
        """
        values, size = self._values(actions), (self.slice_frames, state.height, state.width, 3)
        if frames.shape != size:
            raise UsageError(f"a step of this session has frames of shape {size}, got {frames.shape}")
        latents = encode_frames(self.generator.networks[0], self.geometry, frames, (Slice(0, len(frames)),)).cpu()
        return self._after(state, latents, values, shift)

    def _values(self, actions: Shaped[np.ndarray, "t d"]) -> Float[Tensor, "1 a"]:
        """Return what stands for the actions of one step; raise UsageError for other ones."""
        actions, count = self.schema.check(actions), self.slice_frames
        if len(actions) != count:
            raise UsageError(f"a step of this model takes {count} actions, got {len(actions)}")
        return action_values(self.schema, count, [count], actions, np.ones(count, bool))

    def _after(
        self,
        state: WorldState,
        latents: Float[Tensor, "1 c h w"],
        values: Float[Tensor, "1 a"],
        shift: tuple[int, int] | None = None,
    ) -> WorldState:
        """Return the state after one more slice, which is known now."""
        canvas = self._canvas(self._slices(state.slices, 1), state.height, state.width, state.prompt)
        past = self._keep(replace(canvas, actions=values), latents, state.past, state.step_seed)
        kept = len(past.slices)
        return replace(
            state,
            slices=state.slices + 1,
            latents=torch.cat([state.latents, latents])[-kept:],
            actions=torch.cat([state.actions, values])[-kept:],
            past=past,
            map=state.map and state.map.after(latents, shift),
        )

    def _empty_map(self, latents: Float[Tensor, "1 c h w"]) -> MapMemory | None:
        """Return the map of a session that begins with these latents; None for a session without one."""
        if not self.map_side:
            return None
        channels = latents.shape[1]
        deviation = torch.tensor(self.generator.flow.deviation)[:channels].expand(channels)[:, None, None]
        reach = max(1, self.generator.dit.config.reach)
        return MapMemory.empty(is_scrolling(self.generator.scrolling), deviation, self.map_side, reach)

    def _networks(self) -> tuple[DiT, TextTokenizer, FlowConfig, Geometry]:
        generator = self.generator
        return generator.networks[1], generator.tokenizer, generator.flow, self.geometry

    def _slices(self, first: int, count: int) -> tuple[Slice, ...]:
        """Return slices by number: the first one of a session is a still, all others are moving."""
        length = self.slice_frames
        return tuple(
            Slice(0, 1) if number == 0 else Slice(1 + (number - 1) * length, length)
            for number in range(first, first + count)
        )

    def _canvas(self, slices: Sequence[Slice], height: int, width: int, prompt: str) -> Canvas:
        channels = self.generator.autoencoder.config.channels
        prompts = (Prompt(prompt),)
        canvas = Canvas.unknown(self.geometry, channels, tuple(slices), height, width, self.fps, prompts)
        return replace(canvas, order="causal")

    def _keep(self, canvas: Canvas, latents: Float[Tensor, "1 c h w"], past: Past | None, seed: int) -> Past:
        """Return the past with a slice that is now known, with noise of the level `history` on it."""
        history = self.settings.history
        level = torch.full_like(canvas.level, history)
        if history:
            noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed ^ 1))
            latents = (1 - history) * latents + history * noise
        return keep(*self._networks(), replace(canvas, known=latents, level=level, rest=level), past)

    def _decode(self, state: WorldState, before: Tensor | None) -> Frames:
        """Decode the newest slice after the one before it."""
        autoencoder, deviation = self.generator.networks[0], self.generator.defaults.decoder_noise
        still = state.slices == 1 or self.slice_frames == 1
        frames = autoencoder.decode_slice(before, state.latents[-1], None, still, (deviation, deviation, 0.0))
        return frames[:, : state.height, : state.width].cpu().numpy()
