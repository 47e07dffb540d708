"""Layouts of other benchmarks: which videos a prompt file asks for, under the names and in the folders that they read.

The prompts are the user's copy of the benchmark's file. What the benchmarks' own pages and code confirm, and what not:

vbench       Confirmed: names, 5 samples a prompt and 25 for temporal_flickering, under 5 s, a folder that holds only
             videos. In text files the dimension is the file's name, so all_dimension.txt does not say which prompts
             need 25 samples.
vbench-long  Confirmed: the same names, 5 s or longer, 5 samples. Not confirmed: 25 for temporal_flickering, assumed as
             for vbench.
vbench2      Confirmed: a folder for each dimension, 180 characters of the prompt, 3 samples and 20 for Diversity. No
             length is prescribed.
physics-iq   Confirmed: 198 files numbered from 0001_, 5 s +- 0.001 s, one rate, one size, folders MODEL-PROMPTS-run_NN.
             Its ranked entries start from a picture or a clip; pictures are used if switch-frames/ is beside the table,
             otherwise only the text. Not written: submission.yaml, which holds scores and consent.
worldscore   Confirmed in copies of its code: folders, frames, tables, cameras. Its own repository could not be read.
evalcrafter  Confirmed: names by the order of the prompts. Not stated: length and rate.
compbench    Confirmed: the seven folders, names by the order of the prompts (100 each at first, now 200). Not stated:
             length and rate.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from chronotope.errors import FileProblem, UsageError, suggest
from chronotope.evaluate.exports import worldscore
from chronotope.evaluate.exports.prompts import BenchmarkPrompt, read_prompts, read_table
from chronotope.evaluate.exports.requests import ExportRequest, LengthRule, PlannedVideo

__all__ = ["FORMATS", "Format", "find_format", "plan"]

MAX_NAME_BYTES = 255  # of a file name, on every usual file system
FLICKERING = "temporal_flickering"
VBENCH_SAMPLES, FLICKERING_SAMPLES = 5, 25  # a prompt
VBENCH2_SAMPLES, DIVERSITY_SAMPLES = 3, 20
DIMENSIONS = (
    "Human_Anatomy Human_Identity Human_Clothes Diversity Composition Dynamic_Spatial_Relationship Dynamic_Attribute"
    " Motion_Order_Understanding Human_Interaction Complex_Landscape Complex_Plot Camera_Motion Motion_Rationality"
    " Instance_Preservation Mechanics Thermotics Material Multi-View_Consistency"
).split()
# T2V-CompBench's folders of videos, by the names of its prompt files (without their numbers) and of its metadata
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
class Format:
    """A benchmark's layout: which videos it reads for a prompt file, their length and number."""

    name: str
    about: str
    videos: Callable[[ExportRequest], Iterator[PlannedVideo]]
    length: LengthRule = field(default_factory=LengthRule)
    count: int | None = None
    same_size_and_rate: bool = False


# The layouts


def _vbench(request: ExportRequest) -> Iterator[PlannedVideo]:
    """PROMPT-N.mp4. A prompt in several dimensions gets as many samples as the most demanding of them."""
    samples: dict[str, int] = {}
    for prompt in read_prompts(request.prompts, "prompt_en"):
        count = FLICKERING_SAMPLES if FLICKERING in prompt.groups else VBENCH_SAMPLES
        _check_name(prompt, f"{prompt.text}-{count - 1}.mp4")
        samples[prompt.text] = max(count, samples.get(prompt.text, 0))
    for text, count in samples.items():
        for sample in range(count):
            yield PlannedVideo(f"videos/{text}-{sample}.mp4", (text,), sample)


def _vbench2(request: ExportRequest) -> Iterator[PlannedVideo]:
    """DIMENSION/PROMPT-N.mp4, the prompt cut to 180 characters."""
    wanted: dict[tuple[str, str], None] = {}
    for prompt in read_prompts(request.prompts, "prompt_en"):
        _check_name(prompt, f"{prompt.text[:180]}-{DIVERSITY_SAMPLES - 1}.mp4")
        for group in prompt.groups:
            if group not in DIMENSIONS:
                raise FileProblem(
                    f"{prompt.where}, stands under '{group}', which is no dimension of VBench-2.0. "
                    f"{suggest(group, DIMENSIONS)}"
                )
            wanted[group, prompt.text] = None
    for group, text in wanted:
        for sample in range(DIVERSITY_SAMPLES if group == "Diversity" else VBENCH2_SAMPLES):
            yield PlannedVideo(f"vbench2_videos/{group}/{text[:180]}-{sample}.mp4", (text,), sample)


def _physics_iq(request: ExportRequest) -> Iterator[PlannedVideo]:
    """The names of the table, for its first takes; `op` names the original prompts, `bpp` others; seed 0 is run 01."""
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
                f"{where}, has '{name}' under generated_video_name; "
                "0001_perspective-left_SCENARIO.mp4 or the like is expected"
            )
        expected = sum(samples.values()) + 1
        if int(parts[1]) != expected:
            raise FileProblem(
                f"{where}, has number {parts[1]}, expected {expected:04d}; first takes are numbered in order"
            )
        image = stills / "{}_switch-frames_anyFPS_{}_{}.jpg".format(*parts.groups()) if stills.is_dir() else None
        yield PlannedVideo(f"{run}/{name}", (text,), samples[text], image)
        samples[text] += 1


def _worldscore(request: ExportRequest) -> Iterator[PlannedVideo]:
    """A folder for each entry: frames, tables and the video."""
    samples = Counter[tuple[str, ...]]()
    for prompt in read_prompts(request.prompts, "image"):
        folder, texts = worldscore.instance_folder(prompt), worldscore.texts(prompt)
        file, image = str(folder / "videos/output.mp4"), worldscore.first_picture(prompt, request.prompts)
        yield PlannedVideo(file, texts, samples[texts], image, prompt.entry, str(folder))
        samples[texts] += 1


def _evalcrafter(request: ExportRequest) -> Iterator[PlannedVideo]:
    """0000.mp4, 0001.mp4, ... in the order of the prompts."""
    samples = Counter[str]()
    for number, prompt in enumerate(read_prompts(request.prompts, "prompt")):
        yield PlannedVideo(f"videos/{number:04d}.mp4", (prompt.text,), samples[prompt.text])
        samples[prompt.text] += 1


def _compbench(request: ExportRequest) -> Iterator[PlannedVideo]:
    """CATEGORY/0001.mp4, ... in the order of the category's prompts; one prompt file, or a folder of them."""
    numbers, samples = Counter[str](), Counter[str]()
    for prompt in read_prompts(request.prompts, "prompt"):
        stem = re.sub(r"^\d+_", "", prompt.groups[0])
        if stem not in CATEGORIES:
            raise FileProblem(
                f"{prompt.where}, stands in a file '{prompt.groups[0]}', which is no category. "
                f"{suggest(stem, CATEGORIES)}"
            )
        category = CATEGORIES[stem]
        numbers[category] += 1
        yield PlannedVideo(f"video/{category}/{numbers[category]:04d}.mp4", (prompt.text,), samples[prompt.text])
        samples[prompt.text] += 1


def _check_name(prompt: BenchmarkPrompt, name: str) -> None:
    """Raise FileProblem for a prompt that cannot be a file name: these benchmarks find videos only by the prompt."""
    if "/" in name or "\0" in name:
        raise FileProblem(
            f"{prompt.where}, has a '/' in its prompt and this benchmark names videos after prompts; "
            "take the '/' out of the file"
        )
    size = len(name.encode())
    if size > MAX_NAME_BYTES:
        raise FileProblem(
            f"{prompt.where}, would name a video of {size} bytes, at most {MAX_NAME_BYTES} are possible; "
            "shorten the prompt in the file"
        )


_FORMATS = (
    Format("vbench", "VBench: videos/PROMPT-0.mp4 to -4.mp4, under 5 s", _vbench, LengthRule(high=5.0)),
    Format("vbench-long", "VBench-Long: videos/PROMPT-0.mp4 to -4.mp4, 5 s or longer", _vbench, LengthRule(low=5.0)),
    Format("vbench2", "VBench-2.0: vbench2_videos/DIMENSION/PROMPT-0.mp4 to -2.mp4", _vbench2),
    Format(
        "physics-iq",
        "Physics-IQ: MODEL-op-run_01/0001_... to 0198_..., 5 s each",
        _physics_iq,
        LengthRule(5.0, exactly=True),
        count=198,
        same_size_and_rate=True,
    ),
    Format(
        "worldscore",
        "WorldScore: worldscore_output/static/... and dynamic/..., frames and tables",
        _worldscore,
        same_size_and_rate=True,
    ),
    Format("evalcrafter", "EvalCrafter: videos/0000.mp4 to 0699.mp4", _evalcrafter),
    Format("compbench", "T2V-CompBench: video/CATEGORY/0001.mp4 and on", _compbench),
)
FORMATS = {row.name: row for row in _FORMATS}


# Planning


def plan(request: ExportRequest) -> list[PlannedVideo]:
    """Every video that the format reads for the prompt file, in order, each with its seed.

    Raises UsageError for an unknown format and FileProblem for a prompt file that does not fit it.
    """
    videos = [replace(planned, seed=_seed(request, planned)) for planned in find_format(request.format).videos(request)]
    repeated = [file for file, count in Counter(planned.file for planned in videos).items() if count > 1]
    if repeated:
        raise FileProblem(
            f"{request.prompts} names {len(repeated)} videos twice, first {repeated[0]}; "
            "take one of the two prompts out of the file"
        )
    if not videos:
        raise FileProblem(f"{request.prompts} holds no prompt for {request.format}; give the benchmark's own file")
    return videos


def find_format(name: str) -> Format:
    """The format of this name; UsageError with the nearest name if there is none."""
    if name not in FORMATS:
        raise UsageError(f"unknown format '{name}'. {suggest(name, FORMATS)}")
    return FORMATS[name]


def _seed(request: ExportRequest, planned: PlannedVideo) -> int:
    """Four bytes of a hash of format, prompt and sample, plus the user's seed: no seed is selected."""
    digest = hashlib.sha256(f"{request.format}|{planned.prompt}|{planned.sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") + request.seed
