"""The commands that use a trained model: generate a video, reconstruct one."""

from __future__ import annotations

import contextlib
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chronotope import __version__
from chronotope.cli.costs import sampling_costs
from chronotope.cli.inputs import Sources
from chronotope.cli.interrupt import Stop, StoppedError, stoppable
from chronotope.cli.knowledge import training_notes
from chronotope.cli.terminal import PICKLES, check_finite, progress, say
from chronotope.data.latents import fingerprint
from chronotope.errors import FileProblem, UsageError, nearest
from chronotope.evaluate.reconstruction import measure_reconstruction
from chronotope.flow.guidance import Guidance
from chronotope.flow.solvers import SolverName
from chronotope.generate.memory import process_bytes, return_large_blocks
from chronotope.generate.pipeline import WEIGHTS, Generator, Stream, load_autoencoder
from chronotope.generate.rollout import spans
from chronotope.generate.sampler import Sampling
from chronotope.generate.settings import Settings
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.media.picture import PICTURE_FORMATS, check_writable, partial_path
from chronotope.media.video import VIDEO_FORMATS
from chronotope.models.costs import SampleSize
from chronotope.progress import Progress
from chronotope.prompt import read_prompts

__all__ = ["Request", "describe_plan", "device", "find_model", "generate", "plan", "reconstruct", "scores_in_words"]


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def find_model(name: str) -> Path:
    """The folder of a model: a path, or the name of one inside the package."""
    folder = Path(name)
    if folder.is_file():
        why = (
            "a pickle, which is never loaded, since that runs whatever is in it"
            if folder.suffix in PICKLES
            else "a file"
        )
        raise UsageError(f"{folder} is {why}, not a model; give the folder of a run, with autoencoder/ and dit/ in it")
    if folder.is_dir():
        return folder
    if len(folder.parts) == 1 and (WEIGHTS / name).is_dir():
        return WEIGHTS / name
    inside = sorted(path.name for path in WEIGHTS.glob("*") if path.is_dir())
    lost = f"there is no model '{name}': neither a folder nor one of those inside the package ({', '.join(inside) or 'none yet'})"
    if near := nearest(name, inside):
        raise FileProblem(f"{lost}. Did you mean '{near}'?")
    raise FileProblem(f"{lost}; train one with `bash runs/tiny.sh`, then name its folder, out/tiny")


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
    draft: bool = False

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
            check_writable(self.output, {**VIDEO_FORMATS, **PICTURE_FORMATS})
        elif not dry_run:
            raise UsageError("name the file to write, for example: -o video.mp4")
        if self.output:
            for source in self.sources.files:
                other_file(source, self.output)
        self.sources.check(self.seconds)
        if self.sources.needs_motion and (self.to_picture or self.seconds == 0):
            raise UsageError(
                "what is given is where a video starts: it needs --seconds above 0 and a video file such as -o video.mp4"
            )

    def paths(self) -> list[Path]:
        """fox.mp4, or fox-7.mp4 and fox-8.mp4 for seeds 7 and 8."""
        assert self.output is not None
        if self.count == 1:
            return [self.output]
        return [self.output.with_stem(f"{self.output.stem}-{self.seed + number}") for number in range(self.count)]


def plan(request: Request, generator: Generator) -> Settings:
    """What is to be made, every default resolved and every file read."""
    defaults, sources = generator.defaults, request.sources
    width, height = sources.size(request.size, (defaults.width, defaults.height), generator.geometry.cell)
    fps = request.fps or defaults.fps
    seconds = (
        request.seconds
        if request.seconds is not None
        else 0.0
        if request.to_picture
        else defaults.num_frames / defaults.fps
    )
    num_frames = max(1, round(seconds * fps))
    if request.seconds is None and not request.to_picture:
        num_frames = unasked_frames(request, num_frames, fps, generator.geometry.stride[0])
    late = [at for at, _ in request.story if at * fps >= num_frames]
    if late and not (sources.edit or sources.retake):
        raise UsageError(
            f"the story goes on at {late[0]:g} s, when the new part of {num_frames / fps:g} s is over; give more --seconds"
        )
    if request.to_picture and num_frames > 1:
        raise UsageError(
            f"{request.output} holds one frame and {num_frames} were asked for; write a video (.mp4), or a picture with --seconds 0"
        )
    scale = defaults.guidance_scale if request.guidance is None else request.guidance
    settings = Settings(
        prompts=read_prompts(request.story or request.prompt or ""),
        height=height,
        width=width,
        num_frames=num_frames,
        fps=fps,
        given=sources.read(fps, request.size),
        sampling=Sampling(request.steps or defaults.num_steps, request.solver, Guidance(scale), request.negative),
    )
    return settings.drafted(defaults) if request.draft else settings


def unasked_frames(request: Request, default: int, fps: float, length: int) -> int:
    """How long a video is when no --seconds say so: to the last picture, through a story's last beat, in whole slices of new frames."""
    sources = request.sources
    if sources.at:
        return max(default, round(max(sources.at) * fps) + 1)
    told = round(request.story[-1][0] * fps) if request.story else 0
    if sources.clip or told or (sources.loop and not sources.images):
        default = max(length, default // length * length)  # nobody asked for the frame too many
    return told + default


def describe_plan(request: Request, generator: Generator, settings: Settings, model: Path) -> dict[str, Any]:
    """What --dry-run prints: the settings, what they amount to, and what they cost."""
    geometry, sampling = generator.geometry, settings.sampling
    planned = generator.lay_out(settings, encoded=False)
    slices = planned.canvas.slices
    rows, columns = geometry.token_grid(settings.height, settings.width)
    covered = geometry.covered_size(settings.height, settings.width)
    text = sum(len(generator.tokenizer.encode(prompt.text)) for prompt in planned.canvas.prompts)
    steps = spans(planned.canvas, generator.window)
    at_once = max((step.stop - step.first for step in steps), default=0)
    size = SampleSize(at_once * rows * columns, text, at_once)
    negative = len(generator.tokenizer.encode(request.negative))
    guided = [scale != 1 for scale in generator.scales(planned.canvas, sampling)]
    pixels = sum(geometry.stride[0] for _ in slices) * covered[0] * covered[1]
    configs = generator.dit.config, generator.autoencoder.config
    costs = sampling_costs(configs, size, pixels, sampling.num_steps, sampling.solver == "heun", negative, guided)
    stills = sum(piece.still for piece in slices)
    return {
        **settings.describe(),
        "task": planned.task,
        "num_frames": planned.num_frames,
        "given": [str(path) for path in request.sources.files],
        "notes": [*generator.notes(settings, planned), *training_notes(model, settings, planned)],
        "seeds": [request.seed + number for number in range(request.count)],
        "files": [str(path) for path in request.paths()] if request.output else [],
        "generated_size": f"{covered[1]}x{covered[0]}",
        "slices": f"{stills} still + {len(slices) - stills} moving",
        "windows": len(steps),
        "tokens": {
            "visual": size.visual,
            "grid": f"{at_once} slices x {rows} rows x {columns} columns",
            "text": size.text,
        },
        **costs,
        "memory": process_bytes() + generator.memory(settings, planned),
    }


def generate(request: Request, generator: Generator, model: Path) -> tuple[list[dict[str, Any]], bool]:
    """Make and write the videos, one a seed, each as it is made; where they lie and came from, and whether all were made whole."""
    return_large_blocks()
    settings = plan(request, generator)
    if settings.num_frames == 1 and not request.to_picture and not request.sources.files:
        say(f"note: a single frame is a picture; {request.output} is a video of one frame")
    given = {"given": [str(path) for path in request.sources.files]} if request.sources.files else {}
    steps = spans(
        generator.lay_out(settings, encoded=False).canvas, generator.window
    )  # refuses what cannot be made, before encoding
    planned = generator.lay_out(settings)
    total = len(steps) * settings.sampling.num_steps
    watchable = len(steps) > 1 and not steps[0].backward
    notes = [*generator.notes(settings, planned), *training_notes(model, settings, planned)]
    for note in notes:
        say(f"note: {note}")
    made: list[dict[str, Any]] = []
    with stoppable() as stop:
        for number, path in enumerate(request.paths()):
            with progress(path.name, "steps") as report:

                def stepped(step: int, report: Progress = report) -> None:
                    report(step + 1, total)
                    stop.check()

                stream = generator.stream(settings, request.seed + number, stepped, planned)
                if watchable and number == 0 and path.suffix.lower() != ".gif":
                    say(f"note: {partial_path(path)} can be watched while it grows")
                origin = write_stream(
                    path, replace(stream, origin={**stream.origin, **given, "notes": notes}), stop, watchable
                )
            if origin is None:
                say(f"note: stopped before the first frame of {path}; it was not written")
                break
            say(f"{path}: {_made(origin)} in {sum(origin['seconds'].values()):.1f} s")
            made.append({"path": str(path), **origin})
            if "stopped" in origin:
                say(f"note: stopped {origin['stopped']}")
            if stop.asked:
                break
    return made, not stop.asked


def write_stream(path: Path, stream: Stream, stop: Stop, watchable: bool) -> dict[str, Any] | None:
    """Write frames as they are made; once stopped, the file holds those that are there. Returns its settings, if there is one."""
    origin = stream.origin
    if path.suffix.lower() in PICTURE_FORMATS:
        try:
            frames = np.concatenate(list(stream.pieces))
        except StoppedError:
            return None
        origin = {**origin, "seconds": _rounded(stream.seconds)}
        video.write_image(path, frames[0], origin)
        return origin
    with video.VideoWriter(path, stream.fps, metadata=origin, watchable=watchable) as writer:
        try:
            for piece in stream.pieces:
                for frame in piece:
                    writer.add(frame)
                    if writer.num_frames < origin["num_frames"]:
                        stop.check()
        except StoppedError:
            if not writer.num_frames:
                writer.abort()
                return None
            stopped = f"after {writer.num_frames} of {origin['num_frames']} frames"
            origin = {**origin, "num_frames": writer.num_frames, "stopped": stopped}
        origin = {**origin, "seconds": _rounded(stream.seconds)}
        writer.finish(origin)
    return origin


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in seconds.items()}


def _made(origin: dict[str, Any]) -> str:
    size = f"{origin['width']}x{origin['height']}"
    return (
        f"a picture of {size}"
        if origin["num_frames"] == 1
        else f"{origin['num_frames']} frames of {size} at {origin['fps']:g} fps"
    )


# Reconstruct


def reconstruct(source: Path, output: Path, seconds: float | None, model: Path) -> dict[str, Any]:
    """Write the original beside what came back of it; returns the scores."""
    check_finite("--seconds", seconds)
    check_writable(output, {**VIDEO_FORMATS, **PICTURE_FORMATS})
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
    scores = {
        name: None if isinstance(value, float) and math.isinf(value) else value for name, value in asdict(found).items()
    }
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
