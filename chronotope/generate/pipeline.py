"""From words and pictures to pixels: the autoencoder, the transformer and the sampler behind one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from chronotope import __version__, checkpoint
from chronotope.config import from_dict
from chronotope.data.latents import encode_frames, fingerprint
from chronotope.errors import FileProblem, UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig
from chronotope.flow.solvers import SolverName
from chronotope.generate.canvas import Canvas
from chronotope.generate.colours import Hold
from chronotope.generate.memory import available_bytes, video_bytes
from chronotope.generate.plan import Plan, plan
from chronotope.generate.rollout import Window, rollout, scales, spans
from chronotope.generate.sampler import Sampling, sample
from chronotope.generate.settings import Defaults, Settings
from chronotope.generate.tasks import Frame
from chronotope.geometry import MAX_FRAMES, AnyFrames, Frames, Geometry, Picture, Slice
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.text import Tokenizer
from chronotope.prompt import read_prompts
from chronotope.request import Inputs, Mask, Task
from chronotope.storage import read_json

__all__ = ["WEIGHTS", "Defaults", "Generation", "Generator", "Stream", "load_autoencoder", "model_description"]

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"

T = TypeVar("T")
_DESCRIBED = {
    "autoencoder": ("config",),
    "dit": ("config", "flow", "geometry", "autoencoder", "vocabulary", "defaults"),
}


@dataclass(frozen=True)
class Generation:
    """Frames and where they came from (every setting, the model's fingerprints, the seconds each part took)."""

    frames: Frames
    fps: float
    origin: dict[str, Any]


@dataclass(frozen=True)
class Stream:
    """A video while it is made: `pieces` are its frames in order, [t, h, w, 3] of a few each, as soon as they are there.

    `origin` is every setting; `seconds` is filled while pieces are taken.
    """

    pieces: Iterator[AnyFrames]
    fps: float
    origin: dict[str, Any]
    seconds: dict[str, float]


def load_autoencoder(folder: Path) -> Autoencoder:
    """The autoencoder in `folder` (or in its subfolder `autoencoder`)."""
    folder = folder / "autoencoder" if (folder / "autoencoder").is_dir() else folder
    description = model_description(folder, "autoencoder")
    model = Autoencoder(_part(folder, description, "config", AutoencoderConfig))
    checkpoint.load_model(folder, model)
    return model.eval().requires_grad_(False)


def model_description(folder: Path, kind: str) -> dict[str, Any]:
    """What `model.json` says of a trained model of this kind ("autoencoder" or "dit"), whole or refused."""
    if not (folder / "model.json").is_file():
        raise FileProblem(
            f"{folder} holds no trained model (no model.json); see: chronotope train {kind} --help; or bash runs/tiny.sh"
        )
    description = read_json(folder / "model.json")
    if not isinstance(description, dict) or description.get("kind") != kind:
        found = description.get("kind") if isinstance(description, dict) else None
        raise FileProblem(f"{folder} holds a model of kind '{found}', expected '{kind}'")
    missing = [name for name in _DESCRIBED[kind] if name not in description]
    if not missing and kind == "dit" and "deviation" not in description["flow"]:
        missing = ["flow.deviation (it was trained by an older version)"]
    if missing:
        raise FileProblem(f"{folder / 'model.json'} lacks {', '.join(missing)}; copy it again or train it again")
    return description


def _part(folder: Path, description: Mapping[str, Any], name: str, cls: type[T]) -> T:
    """One table of a description as the dataclass that it was written from."""
    try:
        return from_dict(cls, description[name])
    except UsageError as problem:
        raise FileProblem(f"{folder / 'model.json'} does not fit this version of the program: {problem}") from problem


class Generator:
    """A trained system: `Generator.load(folder).generate("a red ball")`."""

    def __init__(
        self,
        autoencoder: Autoencoder,
        dit: DiT,
        tokenizer: Tokenizer,
        flow: FlowConfig,
        geometry: Geometry,
        defaults: Defaults,
    ) -> None:
        self.autoencoder = autoencoder
        self.dit = dit
        self.tokenizer = tokenizer
        self.flow = flow
        self.geometry = geometry
        self.defaults = defaults
        self.names = {"dit": fingerprint(dit), "autoencoder": fingerprint(autoencoder)}

    @classmethod
    def load(cls, folder: str | Path) -> Generator:
        """Read `folder/autoencoder` and `folder/dit`; a bare name is one of the models inside the package."""
        folder = Path(folder)
        if not folder.exists() and (WEIGHTS / folder).is_dir():
            folder = WEIGHTS / folder
        if not folder.is_dir():
            inside = ", ".join(sorted(path.name for path in WEIGHTS.glob("*") if path.is_dir())) or "none"
            raise FileProblem(f"{folder} is neither a run folder nor a model inside the package ({inside})")
        autoencoder = load_autoencoder(folder)
        description = model_description(folder / "dit", "dit")
        if description["autoencoder"] != fingerprint(autoencoder):
            raise FileProblem(
                f"{folder / 'dit'} was trained on latents of autoencoder {description['autoencoder']}, but {folder / 'autoencoder'} "
                f"is {fingerprint(autoencoder)}; encode the data and train the transformer with the same autoencoder"
            )
        read = partial(_part, folder / "dit", description)
        dit = DiT(read("config", DiTConfig))
        checkpoint.load_model(folder / "dit", dit)
        dit.eval().requires_grad_(False)
        flow, geometry, defaults = read("flow", FlowConfig), read("geometry", Geometry), read("defaults", Defaults)
        return cls(autoencoder, dit, Tokenizer(description["vocabulary"]), flow, geometry, defaults)

    def to(self, device: str | torch.device) -> Generator:
        """Move both networks to a device."""
        self.autoencoder.to(device)
        self.dit.to(device)
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
        solver: SolverName = "euler",
        draft: bool = False,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        report: Callable[[int], None] = lambda step: None,
    ) -> Generation:
        """A video (or a picture, with num_frames=1) from words, and from what else is given.

        `prompt` is a text, or texts with the seconds from which they speak. `image` is a first picture, or pictures with their seconds;
        whole slices follow, so `num_frames` is rounded up. `video` [t, h, w, 3] at `fps` is what `task` works on: extend,
        extend_backward, connect (to `into`), loop, edit (with `strength`), retake (`span` in seconds, `mask`), outpaint; then
        `num_frames` counts the new frames, and what was given comes back as it was. `context` is how many seconds of a clip are
        remembered (by default half of what the model sees at once, a quarter where two ends are given), and a story counts from where
        the new part begins. Sizes are in pixels and need no divisibility: the last tokens may reach over the edge and what lies outside
        is cut off. A `draft` is the same video, small and quick. The `seed` (0 when neither is given) may come from a `generator`
        instead. Names are those of diffusers where it has them.
        """
        defaults = self.defaults
        images = () if image is None else ((0.0, image),) if isinstance(image, np.ndarray) else tuple(image)
        scale = defaults.guidance_scale if guidance_scale is None else guidance_scale
        settings = Settings(
            read_prompts(prompt),
            defaults.height if height is None else height,
            defaults.width if width is None else width,
            defaults.num_frames if num_frames is None else num_frames,
            defaults.fps if fps is None else fps,
            Inputs(task, images, video, into, strength, context, span, mask),
            Sampling(
                defaults.num_steps if num_inference_steps is None else num_inference_steps,
                solver,
                Guidance(scale),
                negative_prompt,
            ),
        )
        stream = self.stream(settings.drafted(defaults) if draft else settings, _seed(seed, generator), report)
        _check_free(
            2 * 3 * stream.origin["num_frames"] * stream.origin["height"] * stream.origin["width"],
            "to be held; take them from stream()",
        )
        frames = np.concatenate(list(stream.pieces))
        return Generation(frames, stream.fps, {**stream.origin, "seconds": stream.seconds})

    def stream(
        self,
        settings: Settings,
        seed: int = 0,
        report: Callable[[int], None] = lambda step: None,
        planned: Plan | None = None,
    ) -> Stream:
        """The same, piece by piece: a long video is decoded while it is sampled, and nothing of it is kept.

        `report(step)` is called after each step; one that raises stops the work. `planned` is what `lay_out` gave for these settings:
        with it, what is given is encoded once for many seeds.
        """
        if not 0 <= seed < 2**63:
            raise UsageError(f"a seed is a whole number from 0 to 2^63 - 1, got {seed}")
        settings = self.at_its_size(settings)
        if planned is None:
            self.lay_out(settings, encoded=False)  # what cannot be made is refused before the networks look at anything
            planned = self.lay_out(settings)
        steps = spans(planned.canvas, self.window)
        origin = {
            "program": f"chronotope {__version__}",
            "task": planned.task,
            **settings.describe(),
            "seed": seed,
            "num_frames": planned.num_frames,
            "decoder_noise": self.defaults.decoder_noise,
            "windows": len(steps),
            "later_guidance_scales": sorted(set(self.scales(planned.canvas, settings.sampling)[1:])),
            "notes": self.notes(settings, planned),
            "model": self.names,
            "generated_by_ai": True,
        }
        seconds = {"sampling": 0.0, "decoding": 0.0}
        return Stream(self._pieces(planned, settings, seed, report, seconds), settings.fps, origin, seconds)

    def _pieces(
        self, planned: Plan, settings: Settings, seed: int, report: Callable[[int], None], seconds: dict[str, float]
    ) -> Iterator[AnyFrames]:
        """Sample, decode and put back what was given; keeps the time."""
        canvas = planned.canvas
        latents = self._fill(canvas, settings.sampling, seed, report, seconds)
        decoded = (
            frames[:, : settings.height, : settings.width].cpu().numpy() for frames in self._decode(latents, canvas)
        )
        pieces = planned.finish(decoded, self.geometry.cell)
        while True:
            started, sampling = time.perf_counter(), seconds["sampling"]
            piece = next(pieces, None)
            seconds["decoding"] += time.perf_counter() - started - (seconds["sampling"] - sampling)
            if piece is None:
                return
            yield piece

    def lay_out(self, settings: Settings, encoded: bool = True) -> Plan:
        """The canvas that `stream` would fill, or why it cannot; unless `encoded`, no network looks at what is given."""
        self.check(settings)
        told = (
            replace(settings.prompts[0], seconds=0.0),
            *settings.prompts[1:],
        )  # what is said first holds from the beginning
        frame = Frame(
            self.geometry, self.autoencoder.config.channels, settings.height, settings.width, settings.fps, told
        )

        def encode(frames: AnyFrames, slices: Sequence[Slice]) -> Tensor:
            if encoded:
                return encode_frames(self.autoencoder, self.geometry, frames, slices).cpu()
            return torch.zeros(1, 1, 1, 1).expand(
                len(slices), frame.channels, *self.geometry.latent_size(settings.height, settings.width)
            )

        planned = plan(encode, frame, settings.given, settings.num_frames, self.window.frames)
        self._check_memory(settings, planned)
        return planned

    def at_its_size(self, settings: Settings) -> Settings:
        """Settings whose noise is that of a draft, enlarged."""
        enlargement = self.defaults.enlargement(settings.height, settings.width)
        return replace(settings, sampling=replace(settings.sampling, enlargement=enlargement))

    @property
    def window(self) -> Window:
        """What is worked on at once: the length that the model was trained for, a quarter of it past."""
        length = self.geometry.stride[0]
        frames = max(2 * length, self.defaults.num_frames)
        return Window(frames, context=max(1, frames // length // 4))

    def scales(self, canvas: Canvas, sampling: Sampling) -> list[float]:
        """How strongly each window of a canvas is guided."""
        return scales(canvas, self.window, sampling.guidance.scale, insist=bool(sampling.negative_prompt))

    def _fill(
        self, canvas: Canvas, sampling: Sampling, seed: int, report: Callable[[int], None], seconds: dict[str, float]
    ) -> Iterator[Tensor]:
        """The latents of a canvas, window by window; the first has the seed itself, the others seeds of their own and its colours."""
        channels = self.autoencoder.config.channels
        deviation = torch.tensor(self.flow.deviation)  # of all values of a token, channels last, or one for all
        hold = Hold(deviation[:channels] if len(deviation) > 1 else deviation.expand(channels))
        mine = [
            replace(sampling, guidance=replace(sampling.guidance, scale=scale))
            for scale in self.scales(canvas, sampling)
        ]

        def fill(part: Canvas, number: int) -> Tensor:
            own = seed if number == 0 else int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
            count, started = number * sampling.num_steps, time.perf_counter()
            filled = sample(
                self.dit,
                self.tokenizer,
                self.flow,
                self.geometry,
                part,
                mine[number],
                own,
                lambda step: report(count + step),
            )
            seconds["sampling"] += time.perf_counter() - started
            return hold(filled, part)

        return rollout(canvas, self.window, fill)

    def _decode(self, latents: Iterable[Tensor], canvas: Canvas) -> Iterator[Tensor]:
        """Frames of one slice after another; on a cycle the last slice is a neighbour of the first."""
        device = self.dit.patch_in.weight.device
        latents = (grid.to(device) for grid in latents)
        noise = [self.defaults.decoder_noise * float(level) for level in canvas.level.amax(dim=(1, 2))]
        slices = list(canvas.slices)
        if not canvas.cycle:
            yield from self.autoencoder.stream_decode(latents, slices, noise)
            return
        around = list(latents)
        around, slices, noise = ([part[-1], *part, part[0]] for part in (around, slices, noise))  # type: ignore[assignment]
        yield from islice(self.autoencoder.stream_decode(around, slices, noise), 1, len(slices) - 1)

    def notes(self, settings: Settings, planned: Plan) -> list[str]:
        """What is not done quite as it was asked for, in words."""
        scale = settings.sampling.guidance.scale
        later = sorted({one for one in self.scales(planned.canvas, settings.sampling)[1:] if one != scale})
        found, (height, width), begins = (
            list(planned.notes),
            (settings.height, settings.width),
            settings.prompts[0].seconds,
        )
        covered, (tall, wide) = self.geometry.covered_size(height, width), self.geometry.cell
        if begins:
            found.insert(0, f"nothing is told before {begins:g} s, so the first beat speaks from the beginning")
        if covered != (height, width):
            cut = f"generated at {covered[1]}x{covered[0]} and cut to {width}x{height}, because tokens cover {wide}x{tall} pixels"
            found.insert(0, cut)
        if later and scale != self.defaults.guidance_scale:
            gently = " or ".join(f"{one:g}" for one in later)
            found.append(
                f"windows that remember what was made are guided by {gently}, not by {scale:g}, or colours would add up"
            )
        return found

    def check(self, settings: Settings) -> None:
        """Refuse what cannot work, before anything is allocated."""
        length = max(len(self.tokenizer.encode(prompt.text)) for prompt in settings.prompts)
        if length > self.dit.config.max_text_tokens:
            raise UsageError(
                f"the prompt has {length} tokens, this model reads at most {self.dit.config.max_text_tokens}; shorten it"
            )
        if not 0 < settings.fps <= 240:
            raise UsageError(f"fps must be above 0 and at most 240, got {settings.fps}")
        self.geometry.token_grid(settings.height, settings.width)
        num_frames = settings.given.num_frames_on_canvas(settings.num_frames, settings.fps, self.window.frames)
        asked = settings.num_frames
        if asked < 1 or num_frames > MAX_FRAMES:
            raise UsageError(f"a video has 1 to {MAX_FRAMES} frames, got {asked if asked < 1 else num_frames}")

    def memory(self, settings: Settings, planned: Plan) -> int:
        """Bytes that making this video takes, beside the process as it is now."""
        guided = settings.sampling.guidance.scale != 1
        at_once = max((span.stop - span.first for span in spans(planned.canvas, self.window)), default=0)
        return video_bytes(self.dit.config, self.autoencoder.config, self.geometry, planned.canvas, at_once, guided)

    def _check_memory(self, settings: Settings, planned: Plan) -> None:
        if self.dit.patch_in.weight.device.type == "cpu":
            what = f"to make {settings.width}x{settings.height}; ask for a smaller --size"
            _check_free(self.memory(settings, planned), what + (", or a shorter loop" if planned.canvas.cycle else ""))


def _check_free(needed: int, what: str) -> None:
    """Refuse what this machine cannot hold."""
    if needed > (free := available_bytes()):
        raise UsageError(f"about {needed / 1e9:.1f} GB are needed {what}. This machine has {free / 1e9:.1f} GB left")


def _seed(seed: int | None, generator: torch.Generator | None) -> int:
    """The seed itself, or the next number of a generator."""
    if generator is None:
        return seed or 0
    if seed is not None:
        raise UsageError("give a seed or a generator, not both")
    return int(torch.randint(2**62, (), generator=generator))
