"""A trained model on disk -> a `Generator`; a request -> a plan -> latents -> frames."""

from __future__ import annotations

import math
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from chronotope import PROGRAM, checkpoint
from chronotope.actions import ActionSchema
from chronotope.arguments import as_callback, as_path, described
from chronotope.caption.encoder.tokenizer import StateTokenizer, read_tokenizer
from chronotope.data.latents import encode_frames, fingerprint
from chronotope.data.record import data_behind, roots_of
from chronotope.errors import FileProblem, UsageError
from chronotope.flow.path import FlowConfig
from chronotope.generate.canvas import Canvas
from chronotope.generate.colours import ColourStabilizer
from chronotope.generate.copies import CopyWatch, clips_at_hand, required_comparison
from chronotope.generate.decoding import decode, glance
from chronotope.generate.memory import asked_size, check_free, video_bytes
from chronotope.generate.noise import seed_of
from chronotope.generate.plan import Plan, Shape, shape_of
from chronotope.generate.rollout import rollout
from chronotope.generate.sampler import sample
from chronotope.generate.stored.adapters import Adapter, apply_adapters, load_adapters
from chronotope.generate.stored.folders import PICKLES, WEIGHTS, find_model
from chronotope.generate.stored.knowledge import training_notes
from chronotope.generate.stored.load import (
    computed_with,
    load_autoencoder,
    model_description,
    own_settings,
    part_of_description,
)
from chronotope.generate.stored.student import Student, find_student, plan_for
from chronotope.generate.training_clips import Comparison
from chronotope.geometry import AnyFrames, Frames, Geometry, Picture, Slice
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.costs import FLOAT, HALF, sampling_bytes
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.precision import Precision, UsedPrecision, rounded, used_precision
from chronotope.models.text import TextTokenizer
from chronotope.prompt import read_prompts
from chronotope.request import Defaults, Inputs, Mask, Request, Task
from chronotope.safety.deliver import ALL_LAYERS, Layers, deliver
from chronotope.safety.policy.decide import Policy, default_policy
from chronotope.safety.uploads import check_uploads

__all__ = [
    "PICKLES",
    "WEIGHTS",
    "Generation",
    "Generator",
    "Sampled",
    "Stream",
    "Watch",
    "find_model",
    "load_autoencoder",
    "model_description",
]

MAX_NAMED = 8  # characters that a note names


Watch = Callable[[Callable[[], Picture]], None]  # takes a function that decodes a frame as it is so far


@dataclass(frozen=True)
class Sampled:
    """The latents of a plan of one window, and the seconds that sampling them took."""

    latents: Tensor
    seconds: float


@dataclass(frozen=True)
class Generation:
    """Frames, and their origin: every setting, the fingerprints of the model, the seconds that each part took.

    The `policy` judges the frames when they are saved.
    """

    frames: Frames
    fps: float
    origin: dict[str, Any]
    policy: Policy = field(default_factory=default_policy, compare=False, repr=False)

    def save(self, path: str | Path, layers: Layers = ALL_LAYERS) -> None:
        """Write a video or a picture that says where it came from: marked, signed, its settings in it and beside it.

        Raises `RefusedError` where the policy forbids the frames, `NotDeliveredError` where a layer fails.
        """
        composite = not str(self.origin.get("task", "")).startswith("text to")
        deliver(as_path("path", path), self.frames, self.fps, self.origin, layers, composite, policy=self.policy)


@dataclass(frozen=True)
class Stream:
    """A video that is generated while it is read: `pieces` yields its frames in order, a few at a time.

    `origin` holds every setting; `seconds` is filled while pieces are read. `found()` returns what is found of the
    frames that were read. It and the end of `pieces` raise `RefusedError` where the policy refuses them.
    """

    pieces: Iterator[AnyFrames]
    fps: float
    origin: dict[str, Any]
    seconds: dict[str, float]
    found: Callable[[], dict[str, Any]] = dict


class Generator:
    """A trained model: `Generator.load("small").generate("a red ball")`."""

    def __init__(
        self,
        autoencoder: Autoencoder,
        dit: DiT,
        tokenizer: TextTokenizer,
        flow: FlowConfig,
        geometry: Geometry,
        defaults: Defaults,
        folder: Path | None = None,
        adapters: tuple[Adapter, ...] = (),
        precision: Precision = "auto",
        actions: ActionSchema | None = None,
        policy: Policy | None = None,
        scrolling: tuple[str, ...] = (),
    ) -> None:
        self.autoencoder = autoencoder
        self.dit = dit
        self.tokenizer = tokenizer
        self.flow = flow
        self.geometry = geometry
        self.defaults = defaults
        self.folder = folder
        self.adapters = adapters
        self.actions = actions
        self.scrolling = scrolling  # the latents of a played view that move with it, as rows of 1 and 0
        self.policy = default_policy() if policy is None else policy
        self.comparison: Comparison | None = None  # the training clips that videos are compared with
        self._asked_precision = precision
        self._networks: tuple[Autoencoder, DiT] | None = None
        self.student: Student | None = None
        self._student: DiT | None = None
        self._student_name = ""
        self.names = {"dit": fingerprint(dit), "autoencoder": fingerprint(autoencoder)}
        if isinstance(tokenizer, StateTokenizer):
            self.names["text_encoder"] = tokenizer.facts.hash

    @classmethod
    @own_settings()
    def load(
        cls, name: str | Path, adapters: Mapping[str | Path, float] | None = None, precision: Precision = "auto"
    ) -> Generator:
        """Load a model by its name or from its folder; `adapters` names those that change it, with their weights.

        `Generator.load("small", {"runs/mine": 1.0})` adds what `chronotope train dit --adapter` learned in runs/mine.
        The precision "auto" is "bf16" where the device multiplies bfloat16, and "fp32" elsewhere.
        """
        used_precision(precision, torch.device("cpu"))  # raises for a name that is none
        folder = find_model(name)
        autoencoder = load_autoencoder(folder)
        description = model_description(folder / "dit", "dit")
        if description["autoencoder"] != fingerprint(autoencoder):
            raise FileProblem(
                f"{folder / 'dit'} was trained on latents of autoencoder {description['autoencoder']}, "
                f"but {folder / 'autoencoder'} is {fingerprint(autoencoder)}; "
                "encode the data and train the transformer with the same autoencoder"
            )
        read = partial(part_of_description, folder / "dit", description)
        with checkpoint.Uninitialised():
            dit = DiT(read("config", DiTConfig))
        checkpoint.load_model(folder / "dit", dit)
        applied = load_adapters(adapters, fingerprint(dit), str(name)) if adapters is not None else ()
        apply_adapters(dit, applied)
        dit.eval().requires_grad_(False)
        flow, geometry, defaults = read("flow", FlowConfig), read("geometry", Geometry), read("defaults", Defaults)
        networks = autoencoder, dit, read_tokenizer(description, dit.config, folder)
        actions = read("actions", ActionSchema) if description.get("actions") else None
        scrolling = tuple(description.get("scrolling", ()))
        found = cls(*networks, flow, geometry, defaults, folder, applied, precision, actions, scrolling=scrolling)
        student = found.student = find_student(folder, description, bool(applied))
        behind = [description, *([student.description] if student and student.role == "beside" else [])]
        found.names |= roots_of(about for one in behind for about in data_behind(one))
        return found

    @property
    def device(self) -> str:
        """The kind of device that the networks are on: cpu or cuda."""
        return self.dit.patch_in.weight.device.type

    @property
    def precision(self) -> UsedPrecision:
        """The precision in which the networks compute on their device."""
        return used_precision(self._asked_precision, self.dit.patch_in.weight.device)

    @property
    def networks(self) -> tuple[Autoencoder, DiT]:
        """The networks that compute: `autoencoder` and `dit`, or copies of them whose matrices are bfloat16."""
        if self._networks is None:
            self._networks = rounded(self.autoencoder, self.precision), rounded(self.dit, self.precision)
        return self._networks

    def to(self, device: str | torch.device) -> Generator:
        """Move both networks to a device; raises `UsageError` for one that is not there."""
        if not isinstance(device, str | torch.device):
            raise UsageError(f"a device is named by a text such as cpu or cuda, got {described(device)}")
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as problem:  # which of them depends on how torch was built
            reason = str(problem).splitlines()[0]
            raise UsageError(f"device {described(device)} cannot be used ({reason}); give cpu or cuda") from None
        self.autoencoder.to(device)
        self.dit.to(device)
        self._networks = self._student = None
        return self

    def generate(
        self,
        prompt: str | Sequence[tuple[float, str]],
        *,
        image: Picture | Sequence[tuple[float, Picture]] | None = None,
        video: AnyFrames | None = None,
        task: Task | None = None,
        into: AnyFrames | None = None,
        strength: float | None = None,
        context: float | None = None,
        span: tuple[float, float] | None = None,
        mask: Mask | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        fps: float | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str = "",
        solver: Literal["euler", "heun"] = "euler",
        draft: bool = False,
        consent: str = "",
        seed: int | None = None,
        generator: torch.Generator | None = None,
        report: Callable[[int], None] = lambda step: None,
    ) -> Generation:
        """Generate a video, or a picture with `num_frames=1`, and hold all of its frames.

        `prompt` is a text, or a story of (seconds, text) pairs. `image` is a first picture, or (seconds, picture)
        pairs; with a picture `num_frames` is rounded up to whole slices. `video` [t, h, w, 3] at `fps` is what `task`
        works on: extend, extend_backward, connect (to `into`), loop, edit (with `strength`), retake (`span` in seconds,
        `mask`) or outpaint. When a clip is extended, connected or looped, `num_frames` counts the new frames, a story
        counts from where they begin, and the model sees `context` seconds of the clip. Known frames of a clip come back
        unchanged, and a picture as the autoencoder returns it. Any height and width in pixels works. `consent` is what
        you state of the people in pictures and clips; a policy may need it.

        The `seed` is 0 unless it is given or drawn from a torch `generator`. `report(step)` is called after each step.
        Names are those of diffusers where it has them.
        """
        seed, report = seed_of(seed, generator), as_callback(report)
        if isinstance(image, list | tuple) and not image:
            raise UsageError("image is an empty list; leave it out, or give a picture")
        images = () if image is None else tuple(image) if isinstance(image, list | tuple) else ((0.0, image),)
        request = Request(
            prompts=read_prompts(prompt),
            inputs=Inputs(task, images, video, into, strength, context, span, mask),
            height=height,
            width=width,
            num_frames=num_frames,
            fps=fps,
            num_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            solver=solver,
            negative_prompt=negative_prompt,
            draft=draft,
            consent=consent,
        )
        stream = self.stream(self.plan(request), seed, report)
        origin = stream.origin
        frame_bytes = 3 * origin["num_frames"] * origin["height"] * origin["width"]
        check_free(2 * frame_bytes, "to hold all frames; take them from stream()")
        frames = np.concatenate(list(stream.pieces))
        return Generation(frames, stream.fps, {**origin, **stream.found(), "seconds": stream.seconds}, self.policy)

    def plan(self, request: Request, encode: bool = True) -> Plan:
        """Resolve a request and lay out its canvas; one plan serves many seeds.

        Without `encode` no network is used: enough to describe the plan, not to generate from it. Raises `UsageError`
        for what cannot be generated, before anything is encoded.
        """
        if not isinstance(request, Request):
            raise UsageError(f"plan takes a Request, got {described(request)}; generate() takes a prompt")
        with own_settings(self.device):
            return self._plan(request, encode)

    def _plan(self, request: Request, encode: bool) -> Plan:
        decided, notes = self._decide(request), self._read_texts(request)
        fps = self.defaults.fps if request.fps is None else request.fps
        uploads = check_uploads(self.policy, request.inputs, request.files, request.consent, fps)
        if uploads:
            decided["uploads"] = uploads
            notes += [f"a given file: {one['note']}" for one in uploads["files"] if one["note"]]
        on_cpu = self.device == "cpu"
        if on_cpu:
            shape = shape_of(request, self.defaults, self.geometry)
            check_free(self._least_memory(request, shape), asked_size(shape.width, shape.height))
        rest = self.defaults, self.geometry, self.autoencoder.config.channels
        plan = plan_for(self.student, request, *rest)
        notes += training_notes(self.folder, plan, self.adapters)
        plan = replace(plan, notes=(*request.word_notes, *plan.notes, *notes), policy=decided)
        if on_cpu:
            shorter = ", or a shorter loop" if plan.canvas.cycle else ""
            check_free(self.memory(plan), asked_size(plan.canvas.width, plan.canvas.height) + shorter)
        return replace(plan, layout=plan.layout.encoded(self._encode)) if encode else plan

    def sampler(self, plan: Plan) -> DiT:
        """Return the network that samples a plan: the transformer, or its student, which is loaded once."""
        if not plan.student or self.student is None:
            return self.networks[1]
        if self._student is None:
            student = self.student.load(self.names["dit"], self.dit.patch_in.weight.device)
            self._student_name = fingerprint(student)
            self._student = rounded(student, self.precision)
        return self._student

    def _decide(self, request: Request) -> dict[str, Any]:
        """Return what the policy decides of the texts; raise `RefusedError`.

        The beats of a story are one text. Below a guidance of 1 the model follows the negative prompt, which is then
        judged like a prompt; above it is led away from it, and may name what shall not be seen.
        """
        texts = {"prompt": "\n".join(prompt.text for prompt in request.prompts)}
        if request.typed and request.typed != texts["prompt"]:
            texts["typed prompt"] = request.typed
        scale = self.defaults.guidance_scale if request.guidance_scale is None else request.guidance_scale
        if request.negative_prompt and scale < 1:
            texts["negative prompt"] = request.negative_prompt
        return self.policy.check(texts)

    def _read_texts(self, request: Request) -> list[str]:
        """Return notes on what the model cannot read of its texts; raise `UsageError` for texts that are too long."""
        texts, most = [prompt.text for prompt in request.prompts], self.dit.config.max_text_tokens
        for what, words in [("prompt", text) for text in texts] + [("negative prompt", request.negative_prompt)]:
            if (length := self.tokenizer.num_tokens(words)) > most:
                raise UsageError(f"the {what} has {length} tokens, this model reads at most {most}; shorten it")
        unknown = self.tokenizer.unknown_characters("".join([*texts, request.negative_prompt]))
        if not unknown:
            return []
        named = [f"U+{ord(char):04X} {unicodedata.name(char, '')}".rstrip() for char in unknown[:MAX_NAMED]]
        more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
        return [
            f"the model cannot read these characters, and takes each for the same unknown one: {', '.join(named)}{more}"
        ]

    def _least_memory(self, request: Request, shape: Shape) -> int:
        """Return bytes that a request takes at least, before it is laid out: one window, and what is known."""
        slices = -(-min(shape.on_canvas, shape.window.frames) // self.geometry.stride[0])
        guided = request.guidance_scale != 1
        configs = self.dit.config, self.autoencoder.config
        sampling = sampling_bytes(*configs, self.geometry, shape.height, shape.width, slices, guided)
        inputs, known = request.inputs, 0
        if inputs.video is not None or inputs.images:
            latents = math.prod(self.geometry.latent_size(shape.height, shape.width)) * self.autoencoder.config.channels
            known = FLOAT * latents * (shape.on_canvas // self.geometry.stride[0])
        pixels = 0 if inputs.video is None else 3 * shape.on_canvas * shape.height * shape.width
        return self._rounding_bytes() + sampling + known + pixels

    def _rounding_bytes(self) -> int:
        """Return the bytes of bfloat16 copies that are still to be made."""
        if self.precision == "fp32" or self._networks is not None:
            return 0
        return HALF * sum(weight.numel() for model in (self.autoencoder, self.dit) for weight in model.parameters())

    def _encode(self, frames: AnyFrames, slices: Sequence[Slice]) -> Tensor:
        return encode_frames(self.networks[0], self.geometry, frames, slices).cpu()

    def memory(self, plan: Plan) -> int:
        """Return the bytes that generating a plan takes, beside those that the process holds now."""
        if not isinstance(plan, Plan):
            raise UsageError(f"memory takes what plan() returns, got {described(plan)}")
        configs = self.dit.config, self.autoencoder.config
        guided = plan.sampling.guidance.scale != 1
        video = video_bytes(*configs, self.geometry, plan.canvas, plan.window_slices, guided)
        return self._rounding_bytes() + video

    def stream(
        self,
        plan: Plan,
        seed: int = 0,
        report: Callable[[int], None] = lambda step: None,
        watch: Watch | None = None,
        sampled: Sampled | None = None,
    ) -> Stream:
        """Generate a video piece by piece: it is decoded while it is sampled, and finished frames are not held.

        `report(step)` is called after each step; an exception that it raises stops the work. `watch` is called then
        too, with a function that decodes how a frame from the middle looks so far; the video does not depend on it.
        `sampled` is what `together.sample_plans` returned for this plan and seed: it is decoded alone.
        """
        if not isinstance(plan, Plan):
            raise UsageError(f"stream takes what plan() returns, got {described(plan)}")
        seed, report = seed_of(seed, None), as_callback(report)
        names = self.names
        if plan.student and self.student is not None:
            self.sampler(plan)  # of another model it is refused before anything is sampled
            names = names | {"student": self._student_name}
        origin = {
            "program": PROGRAM,
            "task": plan.layout.task,
            **plan.settings(),
            "seed": seed,
            "num_frames": plan.num_frames,
            "decoder_noise": self.defaults.decoder_noise,
            "windows": len(plan.windows),
            "later_guidance_scales": sorted(set(plan.scales[1:])),
            "notes": list(plan.notes),
            "policy": dict(plan.policy),
            "model": names,
            **({"adapters": [adapter.origin for adapter in self.adapters]} if self.adapters else {}),
            "precision": self.precision,
            "computed_with": computed_with(self.dit.patch_in.weight.device),
            "generated_by_ai": True,
        }
        seconds = {"sampling": 0.0, "decoding": 0.0}
        if sampled is not None:
            seconds["sampling"] = sampled.seconds
        self.require_comparison()
        copies = CopyWatch(self.policy, self.comparison, plan.canvas.fps, plan.layout.new_frames)
        latents = self._fill(plan, seed, report, seconds, watch, sampled)
        pieces = copies.pieces(self._pieces(plan, latents, seconds))
        return Stream(pieces, plan.canvas.fps, origin, seconds, copies.found)

    def require_comparison(self) -> None:
        """Read the clips that trained the model where the policy requires them; raise `RefusedError` without them."""
        read = partial(clips_at_hand, self.folder, self.adapters, self.autoencoder)
        self.comparison = required_comparison(self.policy, self.comparison, read)

    def _pieces(self, plan: Plan, latents: Iterator[Tensor], seconds: dict[str, float]) -> Iterator[AnyFrames]:
        """Decode the latents while they are sampled, and insert the known frames; adds up the seconds of each part."""
        canvas = plan.canvas
        decoded = decode(self.networks[0], latents, canvas, self.defaults.decoder_noise)
        cropped = (frames[:, : canvas.height, : canvas.width].cpu().numpy() for frames in decoded)
        pieces = plan.layout.finish(cropped, self.geometry.cell)
        while True:
            started, sampling = time.perf_counter(), seconds["sampling"]
            with own_settings(self.device):  # between two pieces the caller computes
                piece = next(pieces, None)
            seconds["decoding"] += time.perf_counter() - started - (seconds["sampling"] - sampling)
            if piece is None:
                return
            yield piece

    def _fill(
        self,
        plan: Plan,
        seed: int,
        report: Callable[[int], None],
        seconds: dict[str, float],
        watch: Watch | None,
        sampled: Sampled | None,
    ) -> Iterator[Tensor]:
        """Yield the latents of a canvas window by window; the first uses the seed itself, the others derived seeds."""
        sampling, channels = plan.sampling, self.autoencoder.config.channels
        deviation = torch.tensor(self.flow.deviation)  # of all values of a token, channels last, or one for all
        network = self.sampler(plan)
        stabilize = ColourStabilizer(deviation[:channels] if len(deviation) > 1 else deviation.expand(channels))

        def fill(part: Canvas, number: int) -> Tensor:
            if sampled is not None:
                return stabilize(sampled.latents, part)
            own_seed = seed if number == 0 else int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
            scaled = replace(sampling, guidance=replace(sampling.guidance, scale=plan.scales[number]))
            steps_before, started = number * sampling.num_steps, time.perf_counter()

            def report_step(step: int) -> None:
                report(steps_before + step)

            def watch_step(latents: Tensor) -> None:
                if watch is not None:
                    watch(partial(self.glance, latents, part))

            model = network, self.tokenizer, self.flow, self.geometry
            filled = sample(*model, part, scaled, own_seed, report_step, watch_step if watch else None)
            seconds["sampling"] += time.perf_counter() - started
            return stabilize(filled, part)

        return rollout(plan.canvas, plan.windows, plan.history, fill)

    def glance(self, latents: Tensor, canvas: Canvas) -> Picture:
        """Decode a frame from the middle of latents that are still noisy."""
        return glance(self.networks[0], latents, canvas, self.defaults.decoder_noise)
