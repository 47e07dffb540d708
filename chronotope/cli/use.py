"""The commands that use a trained model: generate a video, reconstruct one."""

from __future__ import annotations

import contextlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chronotope import __version__, video
from chronotope.cli.costs import SampleSize, sampling_costs
from chronotope.cli.given import Sources
from chronotope.cli.manners import PICKLES, check_finite, progress, say
from chronotope.data.latents import fingerprint
from chronotope.errors import FileProblem, UsageError
from chronotope.evaluate.reconstruction import measure_reconstruction
from chronotope.flow.solvers import SolverName
from chronotope.generate.inputs import Plan
from chronotope.generate.pipeline import LAYOUT, WEIGHTS, Generation, Generator, load_autoencoder
from chronotope.generate.rollout import num_windows
from chronotope.geometry import Geometry
from chronotope.picture import PICTURE_FORMATS, writable
from chronotope.video import VIDEO_FORMATS

__all__ = ["Request", "describe_plan", "device", "find_model", "generate", "plan", "reconstruct", "scores_in_words"]


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def find_model(name: str) -> Path:
    """The folder of a model: a path, or the name of one inside the package."""
    folder = Path(name)
    if folder.is_file():
        why = "a pickle, which is never loaded, since that runs whatever is in it" if folder.suffix in PICKLES else "a file"
        raise UsageError(f"--model {folder} is {why}; give the folder of a run, with autoencoder/ and dit/ in it")
    if folder.is_dir():
        return folder
    if len(folder.parts) == 1 and (WEIGHTS / name).is_dir():
        return WEIGHTS / name
    inside = ", ".join(sorted(path.name for path in WEIGHTS.glob("*") if path.is_dir())) or "none yet"
    raise FileProblem(
        f"there is no model '{name}': neither a folder nor one of those inside the package ({inside}); "
        "train one with `bash runs/tiny.sh`, then use it with --model out/tiny"
    )


def other_file(source: Path, output: Path) -> None:
    """Refuse to write over what is read."""
    if source.exists() and output.exists() and output.samefile(source):
        raise UsageError(f"{output} is the file to read; give another name with -o")


# Generate


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line; None stands for the model's default."""

    prompt: str | None
    output: Path | None
    sources: Sources
    story: tuple[tuple[float, str], ...]
    size: tuple[int, int] | None
    seconds: float | None
    fps: float | None
    steps: int | None
    guidance: float | None
    solver: SolverName
    negative: str
    seed: int
    count: int

    @property
    def to_picture(self) -> bool:
        return self.output is not None and self.output.suffix.lower() in PICTURE_FORMATS

    def check(self, dry_run: bool) -> None:
        """Refuse what no model could do, before one is loaded."""
        if self.prompt is None and not self.story:
            raise UsageError("Missing argument 'PROMPT': say what should be seen, for example \"a red ball\"")
        if self.prompt is not None and self.story:
            raise UsageError("a prompt and a --story are two ways to say what happens; give one of them")
        check_finite("--seconds", self.seconds)
        check_finite("--fps", self.fps)
        check_finite("--guidance", self.guidance)
        if self.output is not None:
            writable(self.output, {**VIDEO_FORMATS, **PICTURE_FORMATS})
        elif not dry_run:
            raise UsageError("name the file to write, for example: -o video.mp4")
        if self.output:
            for source in self.sources.files:
                other_file(source, self.output)
        self.sources.check(self.seconds)
        if self.sources.needs_motion and (self.to_picture or self.seconds == 0):
            raise UsageError("what is given is where a video starts: it needs --seconds above 0 and a video file such as -o video.mp4")

    def paths(self) -> list[Path]:
        """fox.mp4, or fox-7.mp4 and fox-8.mp4 for seeds 7 and 8."""
        assert self.output is not None
        if self.count == 1:
            return [self.output]
        return [self.output.with_stem(f"{self.output.stem}-{self.seed + number}") for number in range(self.count)]


def plan(request: Request, generator: Generator) -> dict[str, Any]:
    """The arguments of `Generator.generate` but the seed, every default resolved."""
    defaults, sources = generator.defaults, request.sources
    width, height = sources.size(request.size, (defaults.width, defaults.height), generator.geometry.cell)
    fps = request.fps or defaults.fps
    seconds = request.seconds if request.seconds is not None else 0.0 if request.to_picture else defaults.num_frames / defaults.fps
    num_frames = max(1, round(seconds * fps))
    if request.seconds is None and sources.at:  # as long as it takes to reach the last picture
        num_frames = max(num_frames, round(max(sources.at) * fps) + 1)
    if request.to_picture and num_frames > 1:
        raise UsageError(
            f"{request.output} holds one frame and {num_frames} were asked for; write a video (.mp4), or a picture with --seconds 0"
        )
    settings = {
        "prompt": request.story or request.prompt,
        **sources.read(fps, request.size),
        "height": height,
        "width": width,
        "num_frames": num_frames,
        "fps": fps,
        "num_steps": request.steps or defaults.num_steps,
        "guidance_scale": defaults.guidance_scale if request.guidance is None else request.guidance,
        "negative_prompt": request.negative,
        "solver": request.solver,
    }
    laid_out(generator, settings)  # can it be done at all?
    return settings


def laid_out(generator: Generator, settings: dict[str, Any]) -> Plan:
    """The canvas of a request, without a look of the networks at what is given."""
    return generator.lay_out(**{name: value for name, value in settings.items() if name in LAYOUT}, encoded=False)


def describe_plan(request: Request, generator: Generator, settings: dict[str, Any]) -> dict[str, Any]:
    """What --dry-run prints: the settings, what they amount to, and what they cost."""
    height, width, num_frames = settings["height"], settings["width"], settings["num_frames"]
    geometry = generator.geometry
    planned = laid_out(generator, settings)
    slices = planned.canvas.slices
    rows, columns = geometry.token_grid(height, width)
    covered = geometry.covered_size(height, width)
    text = sum(len(generator.tokenizer.encode(prompt.text)) for prompt in planned.canvas.prompts)
    windows = num_windows(planned.canvas, generator.window)
    at_once = len(slices) if windows == 1 else generator.window.slices
    size = SampleSize(at_once * rows * columns, text, at_once)
    guided = settings["guidance_scale"] != 1
    negative = len(generator.tokenizer.encode(request.negative)) if guided else None
    pixels = sum(geometry.stride[0] for _ in slices) * covered[0] * covered[1]
    models = generator.dit, generator.autoencoder
    costs = sampling_costs(models, geometry, size, pixels, settings["num_steps"], request.solver == "heun", negative)
    costs["flops_sampling"] *= windows
    stills = sum(piece.still for piece in slices)
    return {
        **{name: value for name, value in settings.items() if name not in ("image", "video", "into", "mask", "task")},
        "task": planned.task,
        "given": [str(path) for path in request.sources.files],
        "notes": list(planned.notes),
        "seeds": [request.seed + number for number in range(request.count)],
        "files": [str(path) for path in request.paths()] if request.output else [],
        "generated_size": f"{covered[1]}x{covered[0]}",
        "slices": f"{stills} still + {len(slices) - stills} moving",
        "windows": windows,
        "tokens": {"visual": size.visual, "grid": f"{at_once} slices x {rows} rows x {columns} columns", "text": size.text},
        **costs,
        "memory": generator.memory_needed(height, width, num_frames),
    }


def generate(request: Request, generator: Generator) -> list[dict[str, Any]]:
    """Make and write the videos, one a seed; returns where each lies and came from, as soon as it is there."""
    settings = plan(request, generator)
    given = [str(path) for path in request.sources.files]
    planned = laid_out(generator, settings)
    steps = num_windows(planned.canvas, generator.window) * settings["num_steps"]
    made = []
    for number, path in enumerate(request.paths()):
        with progress(path.name, "steps") as report:
            result = generator.generate(seed=request.seed + number, report=lambda step: report(step + 1, steps), **settings)
        origin = {**result.origin, **({"given": given} if given else {})}
        for note in result.origin["notes"] if number == 0 else []:
            say(f"note: {note}")
        video.write(path, result.frames, result.fps, metadata=origin)
        say(_made(path, result))
        made.append({"path": str(path), **origin})
    return made


def _made(path: Path, result: Generation) -> str:
    count, height, width = result.frames.shape[:3]
    what = f"a picture of {width}x{height}" if count == 1 else f"{count} frames of {width}x{height} at {result.fps:g} fps"
    return f"{path}: {what} in {sum(result.origin['seconds'].values()):.1f} s"


# Reconstruct


def reconstruct(source: Path, output: Path, seconds: float | None, model: Path) -> dict[str, Any]:
    """Write the original beside what came back of it; returns the scores."""
    check_finite("--seconds", seconds)
    writable(output, {**VIDEO_FORMATS, **PICTURE_FORMATS})
    other_file(source, output)
    info = video.probe(source)
    num_frames = info.num_frames if seconds is None else sum(1 for _ in video.stream(source, seconds=seconds))
    to_picture = output.suffix.lower() in PICTURE_FORMATS
    if to_picture and num_frames > 1:
        raise UsageError(f"{output} holds one frame and {source} has {num_frames}; write a video (.mp4)")
    if info.variable_frame_rate:
        say(f"note: the frame rate of {source} varies; the pair plays at its average, {info.fps:g} frames a second")
    autoencoder = load_autoencoder(model).to(device())
    geometry = Geometry(stride=autoencoder.config.stride)
    covered = geometry.covered_size(info.height, info.width)
    if covered != (info.height, info.width):
        say(f"note: encoded at {covered[1]}x{covered[0]}, edges repeated, and cut back to {info.width}x{info.height}")
    origin = {
        "program": f"chronotope {__version__}",
        "task": "reconstruct",
        "source": str(source),
        "seconds": seconds,
        "left": "original",
        "right": "reconstruction",
        "model": {"autoencoder": fingerprint(autoencoder)},
    }
    with contextlib.ExitStack() as stack:
        report = stack.enter_context(progress(output.name, "frames"))
        pairs: list[np.ndarray] = []
        writer = None if to_picture else stack.enter_context(video.VideoWriter(output, info.fps, metadata=origin))
        done = 0

        def watch(original: np.ndarray, decoded: np.ndarray) -> None:
            nonlocal done
            for pair in np.concatenate([original, decoded], axis=2):
                if writer:
                    writer.add(pair)
                else:
                    pairs.append(pair)
            done += len(original)
            report(done, num_frames)

        found = measure_reconstruction(autoencoder, geometry, video.stream(source, seconds=seconds), num_frames, watch)
    if to_picture:
        video.write_image(output, pairs[0], origin)
    scores = {name: None if isinstance(value, float) and math.isinf(value) else value for name, value in asdict(found).items()}
    return {"path": str(output), "size": f"{info.width}x{info.height}", "fps": info.fps, **scores}


def scores_in_words(source: Path, scores: dict[str, Any]) -> str:
    """Two lines for the human."""
    psnr = "every pixel came back" if scores["psnr"] is None else f"PSNR {scores['psnr']:.2f} dB"
    motion = "" if scores["temporal_psnr"] is None else f"   PSNR of the motion {scores['temporal_psnr']:.2f} dB"
    return (
        f"{psnr}   SSIM {scores['ssim']:.4f}{motion}\n"
        f"{source.name}: {scores['num_frames']} frames of {scores['size']}; {scores['channels']} channels, "
        f"{scores['values_ratio']:.1f} times fewer values ({scores['bits_ratio']:.1f} times fewer bits); "
        f"{scores['num_frames'] / max(scores['seconds'], 1e-9):.1f} frames/s"
    )
