"""From words and pictures to pixels: the autoencoder, the transformer and the sampler behind one call."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from chronotope import __version__, checkpoint
from chronotope.config import from_dict
from chronotope.data.latents import encode_frames, fingerprint
from chronotope.errors import FileProblem, UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig
from chronotope.flow.solvers import SOLVERS, SolverName
from chronotope.generate.canvas import Canvas, Prompt
from chronotope.generate.inputs import Given, Mask, Picture, Pixels, Plan, Task, plan
from chronotope.generate.rollout import Window, num_windows, rollout
from chronotope.generate.sampler import Sampling, sample
from chronotope.generate.tasks import Frame
from chronotope.geometry import MAX_FRAMES, Geometry, Slice
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.text import Tokenizer

__all__ = ["LAYOUT", "WEIGHTS", "Defaults", "Generation", "Generator", "load_autoencoder", "model_description"]

# the arguments of `generate` that decide the canvas
LAYOUT = ("prompt", "height", "width", "num_frames", "fps", "image", "video", "task", "into", "strength", "context", "span", "mask")
WEIGHTS = Path(__file__).resolve().parent.parent / "weights"

T = TypeVar("T")
_DESCRIBED = {"autoencoder": ("config",), "dit": ("config", "flow", "geometry", "autoencoder", "vocabulary", "defaults")}


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


@dataclass(frozen=True)
class Generation:
    """Frames and where they came from (every setting, the model's fingerprints, the seconds each part took)."""

    frames: UInt8[np.ndarray, "t h w 3"]
    fps: float
    origin: dict[str, Any]


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
        raise FileProblem(f"{folder} holds no trained model (no model.json); see: chronotope train {kind} --help; or bash runs/tiny.sh")
    description = checkpoint.load_json(folder / "model.json")
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
        self, autoencoder: Autoencoder, dit: DiT, tokenizer: Tokenizer, flow: FlowConfig, geometry: Geometry, defaults: Defaults
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
        video: Pixels | None = None,
        task: Task | None = None,
        into: Pixels | None = None,
        strength: float | None = None,
        context: float = 2.0,
        span: tuple[float, float] | None = None,
        mask: Mask | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        fps: float | None = None,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str = "",
        solver: SolverName = "euler",
        seed: int = 0,
        report: Callable[[int], None] = lambda step: None,
    ) -> Generation:
        """A video (or a picture, with num_frames=1) from words, and from what else is given.

        `prompt` is a text, or texts with the seconds from which they speak. `image` is a first picture, or pictures with their seconds;
        whole slices follow, so `num_frames` is rounded up. `video` [t, h, w, 3] at `fps` is what `task` works on: extend,
        extend_backward, connect (to `into`), loop, edit (with `strength`), retake (`span` in seconds, `mask`), outpaint; then
        `num_frames` counts the new frames, and what was given comes back as it was. Sizes are in pixels and need no divisibility: the
        last tokens may reach over the edge and what lies outside is cut off.
        """
        defaults = self.defaults
        height, width = height or defaults.height, width or defaults.width
        num_frames, fps = num_frames or defaults.num_frames, fps or defaults.fps
        if solver not in SOLVERS:
            raise UsageError(f"unknown solver '{solver}'. Choose from: {', '.join(SOLVERS)}")
        scale = defaults.guidance_scale if guidance_scale is None else guidance_scale
        sampling = Sampling(num_steps or defaults.num_steps, solver, Guidance(scale), negative_prompt)
        given: dict[str, Any] = {"image": image, "video": video, "task": task, "into": into, "strength": strength}
        given |= {"context": context, "span": span, "mask": mask}
        planned = self.lay_out(prompt, height=height, width=width, num_frames=num_frames, fps=fps, **given)
        canvas = planned.canvas

        started = time.perf_counter()
        latents = self._fill(canvas, sampling, seed, report)
        sampled = time.perf_counter()
        noise = [defaults.decoder_noise * float(level) for level in canvas.level.flatten(1).amax(dim=1)]
        frames = self._decode(latents, canvas, noise)[:, :height, :width].cpu().numpy()
        frames = planned.finish(frames, self.geometry.cell)
        decoded = time.perf_counter()
        origin = {
            "program": f"chronotope {__version__}",
            "task": planned.task,
            "prompt": prompt if isinstance(prompt, str) else [list(pair) for pair in prompt],
            "negative_prompt": negative_prompt,
            "seed": seed,
            "num_steps": sampling.num_steps,
            "guidance_scale": scale,
            "solver": solver,
            "decoder_noise": defaults.decoder_noise,
            "width": width,
            "height": height,
            "num_frames": len(frames),
            "fps": fps,
            "windows": num_windows(canvas, self.window),
            "notes": [*self._size_note(height, width), *planned.notes],
            "model": self.names,
            "seconds": {"sampling": round(sampled - started, 3), "decoding": round(decoded - sampled, 3)},
            "generated_by_ai": True,
        }
        return Generation(frames, fps, origin)

    def lay_out(
        self,
        prompt: str | Sequence[tuple[float, str]],
        *,
        height: int,
        width: int,
        num_frames: int,
        fps: float,
        image: Picture | Sequence[tuple[float, Picture]] | None = None,
        encoded: bool = True,
        **given: Any,
    ) -> Plan:
        """The canvas that `generate` would fill, or why it cannot; with `encoded` false what is given is not looked at by the networks."""
        prompts = (Prompt(prompt),) if isinstance(prompt, str) else tuple(Prompt(text, seconds) for seconds, text in prompt)
        images = () if image is None else ((0.0, image),) if isinstance(image, np.ndarray) else tuple(image)
        inputs = Given(images=images, **given)
        self.check_request(prompts, height, width, inputs.num_frames_on_canvas(num_frames, fps), fps)
        frame = Frame(self.geometry, self.autoencoder.config.channels, height, width, fps, prompts)

        def encode(frames: Pixels, slices: Sequence[Slice]) -> Tensor:
            if encoded:
                return encode_frames(self.autoencoder, self.geometry, frames, slices)
            return torch.zeros(len(slices), frame.channels, *self.geometry.latent_size(height, width))

        return plan(encode, frame, inputs, num_frames)

    @property
    def window(self) -> Window:
        """What is worked on at once: as many slices as the model's own length has."""
        slices = max(3, len(self.geometry.slices(self.defaults.num_frames)))
        return Window(slices, context=max(1, slices * 2 // 5))

    def _fill(self, canvas: Canvas, sampling: Sampling, seed: int, report: Callable[[int], None]) -> Tensor:
        """All latents of a canvas, window by window; the first window has the seed itself, the others have seeds of their own."""

        def fill(part: Canvas, number: int) -> Tensor:
            own = seed if number == 0 else int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
            count = number * sampling.num_steps
            return sample(self.dit, self.tokenizer, self.flow, self.geometry, part, sampling, own, lambda step: report(count + step))

        return torch.stack(list(rollout(canvas, self.window, fill)))

    def _decode(self, latents: Tensor, canvas: Canvas, noise: Sequence[float]) -> Tensor:
        """Frames of a canvas; on a cycle the last slice is a neighbour of the first."""
        latents = latents.to(self.dit.patch_in.weight.device)
        if not canvas.cycle:
            return self.autoencoder.decode(latents, canvas.slices, noise)
        frames = self.autoencoder.decode(
            torch.cat([latents[-1:], latents, latents[:1]]),
            (canvas.slices[-1], *canvas.slices, canvas.slices[0]),
            (noise[-1], *noise, noise[0]),
        )
        return frames[canvas.slices[-1].num_frames : -canvas.slices[0].num_frames]

    def _size_note(self, height: int, width: int) -> list[str]:
        covered = self.geometry.covered_size(height, width)
        if covered == (height, width):
            return []
        tall, wide = self.geometry.cell
        return [f"generated at {covered[1]}x{covered[0]} and cut to {width}x{height}, because tokens cover {wide}x{tall} pixels"]

    def num_tokens(self, height: int, width: int, num_frames: int) -> int:
        """Visual tokens of a video."""
        return self.geometry.num_tokens(num_frames, height, width)

    def check_request(self, prompts: Sequence[Prompt], height: int, width: int, num_frames: int, fps: float) -> None:
        """Refuse what cannot work, before anything is allocated."""
        if not prompts or not all(prompt.text.strip() for prompt in prompts):
            raise UsageError('the prompt is empty; say what should be seen, for example "a red ball rolls right"')
        times = [prompt.seconds for prompt in prompts]
        if times != sorted(set(times)) or times[0] < 0:
            raise UsageError(f"the prompts of a story speak from rising times, got {', '.join(f'{time:g} s' for time in times)}")
        length = max(len(self.tokenizer.encode(prompt.text)) for prompt in prompts)
        if length > self.dit.config.max_text_tokens:
            raise UsageError(f"the prompt has {length} tokens, this model reads at most {self.dit.config.max_text_tokens}; shorten it")
        if not 0 < fps <= 240:
            raise UsageError(f"fps must be above 0 and at most 240, got {fps}")
        if not 1 <= num_frames <= MAX_FRAMES:
            raise UsageError(f"a video has 1 to {MAX_FRAMES} frames, got {num_frames}")
        needed, free = self.memory_needed(height, width, num_frames), _available_memory()
        if needed > free:
            raise UsageError(
                f"{num_frames} frames of {width}x{height} need about {needed / 1e9:.1f} GB, this machine has {free / 1e9:.1f} GB; "
                "ask for fewer --seconds or a smaller --size"
            )

    def memory_needed(self, height: int, width: int, num_frames: int) -> int:
        """A rough count of the bytes alive at once: activations of one block for both guided copies of a window, and all frames."""
        config = self.dit.config
        tokens = 2 * self.num_tokens(height, width, min(num_frames, self.window.slices * self.geometry.stride[0]))
        activations = tokens * 4 * (12 * config.width + 4 * config.hidden)
        return activations + num_frames * height * width * 3 * 3


def _available_memory() -> int:
    """Bytes that this machine can still give; without /proc, all it has."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
