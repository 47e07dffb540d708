"""Layouts of other people's benchmarks: which videos a prompt file asks for, in exactly the names and places that are looked for.

Formats only: the prompts are the user's copy of the benchmark's file. What the benchmarks' own pages and readers say, and what they do not:

vbench       Confirmed: names, 5 samples a prompt and 25 for temporal_flickering, under 5 s, a folder of nothing but videos. In text
             files the dimension is the file's name, so all_dimension.txt alone cannot tell which prompts need 25.
vbench-long  Confirmed: the same names, 5 s or longer, 5 samples. Not confirmed: 25 for temporal_flickering, taken over from vbench.
vbench2      Confirmed: a folder a dimension, 180 characters of the prompt, 3 samples and 20 for Diversity. No length is asked for.
physics-iq   Confirmed: 198 files numbered from 0001_, 5 s +- 0.001 s, one rate, one size, folders MODEL-PROMPTS-run_NN. Its ranked
             entries start from a picture or a clip; pictures are used where switch-frames/ lies beside the table, else words alone.
             Not made: submission.yaml, which holds scores and consent.
worldscore   Confirmed in copies of its reader: folders, frames, tables, cameras. Its own repository could not be read.
evalcrafter  Confirmed: names by the order of the prompts. Not stated: length and rate.
compbench    Confirmed: the seven folders, names by the order of the prompts (100 each at first, now 200). Not stated: length and rate.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem, UsageError, suggest
from chronotope.evaluate.exports import worldscore
from chronotope.evaluate.exports.prompts import Prompt, read_prompts, read_table

__all__ = ["FORMATS", "Clip", "Format", "Length", "Request", "find_format", "plan"]

LONGEST_NAME = 255  # bytes, on every usual file system
FLICKERING = "temporal_flickering"
DIMENSIONS = (
    "Human_Anatomy Human_Identity Human_Clothes Diversity Composition Dynamic_Spatial_Relationship Dynamic_Attribute"
    " Motion_Order_Understanding Human_Interaction Complex_Landscape Complex_Plot Camera_Motion Motion_Rationality"
    " Instance_Preservation Mechanics Thermotics Material Multi-View_Consistency"
).split()
# T2V-CompBench's folders of videos, by the names of its prompt files (without their number) and of its metadata
CATEGORIES = {
    "consistent_attr": "consistent_attr",
    "consistent_attribute_binding": "consistent_attr",
    "dynamic_attr": "dynamic_attr",
    "dynamic_attribute_binding": "dynamic_attr",
    "spatial_relationship": "spatial_relationships",
    "spatial_relationships": "spatial_relationships",
    "motion_binding": "motion_binding",
    "action_binding": "action_binding",
    "interaction": "interaction",
    "object_interactions": "interaction",
    "numeracy": "generative_numeracy",
    "generative_numeracy": "generative_numeracy",
}


@dataclass(frozen=True)
class Request:
    """What is to be exported: a format, the benchmark's prompt file, the folder to fill, the model's name, and a seed."""

    format: str
    prompts: Path
    out: Path
    model: str = "small"
    seed: int = 0


@dataclass(frozen=True)
class Clip:
    """One video of an export: its file below the folder, its texts from scene to scene, which sample of them it is, and its seed.

    `unit` is what is put in place at once: the file itself, or the folder of all that belongs to it.
    """

    file: str
    texts: tuple[str, ...]
    sample: int
    image: Path | None = None
    entry: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    seed: int = 0

    @property
    def unit(self) -> str:
        return self.folder or self.file

    @property
    def prompt(self) -> str:
        return " ".join(self.texts)


@dataclass(frozen=True)
class Length:
    """How long videos are to be: from `low` seconds to under `high`, or `low` exactly, to a thousandth of a second."""

    low: float = 0.0
    high: float = math.inf
    exactly: bool = False

    def fault(self, seconds: float) -> str:
        """What is wrong with this length; nothing if it is right."""
        if self.exactly:
            return (
                ""
                if abs(seconds - self.low) <= 0.001 + 1e-9
                else f"lasts {seconds:.4g} s, expected {self.low:g} s +- 0.001 s"
            )
        if seconds < self.low - 1e-9:
            return f"lasts {seconds:.4g} s, expected {self.low:g} s or longer"
        return "" if seconds < self.high - 1e-9 else f"lasts {seconds:.4g} s, expected less than {self.high:g} s"

    def frames(self, default: int, fps: float) -> int:
        """The model's own number of frames where that is right, else the nearest that is; UsageError where there is none."""
        wanted = round(self.low * fps) if self.exactly else max(default, 2, math.ceil(self.low * fps - 1e-9))
        if fault := self.fault(wanted / fps):
            raise UsageError(
                f"a video of {wanted} frames at {fps:g} frames a second {fault}; export another format, or with another model"
            )
        return wanted


@dataclass(frozen=True)
class Format:
    """A benchmark's layout: which videos it wants of a prompt file, how long, how many, and whether all of one rate and size."""

    name: str
    about: str
    clips: Callable[[Request], Iterator[Clip]]
    length: Length = field(default_factory=Length)
    count: int | None = None
    alike: bool = False


# The layouts


def _vbench(request: Request) -> Iterator[Clip]:
    """PROMPT-N.mp4; a prompt that stands under several dimensions is sampled once, as often as the most demanding asks."""
    samples: dict[str, int] = {}
    for prompt in read_prompts(request.prompts, "prompt_en"):
        count = 25 if FLICKERING in prompt.groups else 5
        _check_name(prompt, f"{prompt.text}-{count - 1}.mp4")
        samples[prompt.text] = max(count, samples.get(prompt.text, 0))
    for text, count in samples.items():
        yield from (Clip(f"videos/{text}-{sample}.mp4", (text,), sample) for sample in range(count))


def _vbench2(request: Request) -> Iterator[Clip]:
    """DIMENSION/PROMPT-N.mp4, the prompt cut to 180 characters."""
    wanted: dict[tuple[str, str], None] = {}
    for prompt in read_prompts(request.prompts, "prompt_en"):
        _check_name(prompt, f"{prompt.text[:180]}-19.mp4")
        for group in prompt.groups:
            if group not in DIMENSIONS:
                raise FileProblem(
                    f"{prompt.where}, stands under '{group}', which is no dimension of VBench-2.0. {suggest(group, DIMENSIONS)}"
                )
            wanted[group, prompt.text] = None
    for group, text in wanted:
        for sample in range(20 if group == "Diversity" else 3):
            yield Clip(f"vbench2_videos/{group}/{text[:180]}-{sample}.mp4", (text,), sample)


def _physics_iq(request: Request) -> Iterator[Clip]:
    """The names of the table, for its first takes; `op` are the original prompts, `bpp` all others; seed 0 is run 01."""
    setting = "op" if "original" in request.prompts.stem else "bpp"
    run = f"{Path(request.model).name}-{setting}-run_{request.seed + 1:02d}"
    stills, samples = request.prompts.parent / "switch-frames", Counter[str]()
    for where, row in read_table(request.prompts, ("scenario", "description", "generated_video_name")):
        text, name = row["description"].strip(), row["generated_video_name"].strip()
        if "_take-1_" not in row["scenario"]:
            continue
        parts = re.fullmatch(r"(\d{4})_(perspective-[a-z]+)_([^/]+)\.mp4", name)
        if parts is None:
            raise FileProblem(
                f"{where}, has '{name}' under generated_video_name; 0001_perspective-left_SCENARIO.mp4 or the like is expected"
            )
        if int(parts[1]) != sum(samples.values()) + 1:
            raise FileProblem(
                f"{where}, has number {parts[1]}, expected {sum(samples.values()) + 1:04d}; first takes are numbered in order"
            )
        image = stills / "{}_switch-frames_anyFPS_{}_{}.jpg".format(*parts.groups()) if stills.is_dir() else None
        yield Clip(f"{run}/{name}", (text,), samples[text], image)
        samples[text] += 1


def _worldscore(request: Request) -> Iterator[Clip]:
    """A folder an entry, of frames, tables and the video."""
    samples = Counter[tuple[str, ...]]()
    for prompt in read_prompts(request.prompts, "image"):
        folder, texts = worldscore.instance_folder(prompt), worldscore.texts(prompt)
        file, image = str(folder / "videos/output.mp4"), worldscore.picture(prompt, request.prompts)
        yield Clip(file, texts, samples[texts], image, prompt.entry, str(folder))
        samples[texts] += 1


def _evalcrafter(request: Request) -> Iterator[Clip]:
    """0000.mp4 and on, in the order of the prompts."""
    samples = Counter[str]()
    for number, prompt in enumerate(read_prompts(request.prompts, "prompt")):
        yield Clip(f"videos/{number:04d}.mp4", (prompt.text,), samples[prompt.text])
        samples[prompt.text] += 1


def _compbench(request: Request) -> Iterator[Clip]:
    """CATEGORY/0001.mp4 and on, in the order of the category's prompts; a file a category, or a folder of such files."""
    numbers, samples = Counter[str](), Counter[str]()
    for prompt in read_prompts(request.prompts, "prompt"):
        stem = re.sub(r"^\d+_", "", prompt.groups[0])
        if stem not in CATEGORIES:
            raise FileProblem(
                f"{prompt.where}, stands in a file '{prompt.groups[0]}', which is no category. {suggest(stem, CATEGORIES)}"
            )
        category = CATEGORIES[stem]
        numbers[category] += 1
        yield Clip(f"video/{category}/{numbers[category]:04d}.mp4", (prompt.text,), samples[prompt.text])
        samples[prompt.text] += 1


def _check_name(prompt: Prompt, name: str) -> None:
    """Refuse a prompt that cannot name a file; the benchmarks that name videos after prompts have no other way to find them."""
    if "/" in name or "\0" in name:
        raise FileProblem(
            f"{prompt.where}, has a '/' in its prompt and this benchmark names videos after prompts; take the '/' out of the file"
        )
    if (size := len(name.encode())) > LONGEST_NAME:
        raise FileProblem(
            f"{prompt.where}, would name a video of {size} bytes, at most {LONGEST_NAME} are possible; shorten the prompt in the file"
        )


FORMATS = {
    row.name: row
    for row in (
        Format("vbench", "VBench: videos/PROMPT-0.mp4 to -4.mp4, under 5 s", _vbench, Length(high=5.0)),
        Format("vbench-long", "VBench-Long: videos/PROMPT-0.mp4 to -4.mp4, 5 s or longer", _vbench, Length(low=5.0)),
        Format("vbench2", "VBench-2.0: vbench2_videos/DIMENSION/PROMPT-0.mp4 to -2.mp4", _vbench2),
        Format(
            "physics-iq",
            "Physics-IQ: MODEL-op-run_01/0001_... to 0198_..., 5 s each",
            _physics_iq,
            Length(5.0, exactly=True),
            198,
            True,
        ),
        Format(
            "worldscore",
            "WorldScore: worldscore_output/static/... and dynamic/..., frames and tables",
            _worldscore,
            alike=True,
        ),
        Format("evalcrafter", "EvalCrafter: videos/0000.mp4 to 0699.mp4", _evalcrafter),
        Format("compbench", "T2V-CompBench: video/CATEGORY/0001.mp4 and on", _compbench),
    )
}


# Planning


def plan(request: Request) -> list[Clip]:
    """Every video that the format wants of the prompt file, in order, with its seed; UsageError or FileProblem where it makes no sense."""
    clips = [replace(clip, seed=_seed(request, clip)) for clip in find_format(request.format).clips(request)]
    twice = [file for file, count in Counter(clip.file for clip in clips).items() if count > 1]
    if twice:
        raise FileProblem(
            f"{request.prompts} names {len(twice)} videos twice, first {twice[0]}; take one of the two prompts out of the file"
        )
    if not clips:
        raise FileProblem(f"{request.prompts} holds no prompt for {request.format}; give the benchmark's own file")
    return clips


def find_format(name: str) -> Format:
    """The format of this name; UsageError with the nearest where there is none."""
    if name not in FORMATS:
        raise UsageError(f"unknown format '{name}'. {suggest(name, FORMATS)}")
    return FORMATS[name]


def _seed(request: Request, clip: Clip) -> int:
    """Nobody chooses it: four bytes of a hash of format, prompt and sample, and the user's own seed on top."""
    digest = hashlib.sha256(f"{request.format}|{clip.prompt}|{clip.sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") + request.seed
