"""From a prompt to pixels: our shipped model, beside pipelines of equal size, and in fewer steps and half precision."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from chronotope.bench.lines import AGAIN, OURS, Line, Section, lines_of
from chronotope.bench.measure import in_turns, run_python
from chronotope.bench.peers import parameters_of
from chronotope.bench.pipelines import PIPELINES, megaparameters, run_pipeline
from chronotope.bench.work import seconds_and_flops
from chronotope.generate.pipeline import Generator
from chronotope.models.precision import multiplies_bfloat16
from chronotope.storage import read_json

__all__ = ["measure_matched", "measure_sampling", "measure_student"]

PROMPT = "a fox walks to the right in green hills"
STEPS, FRAMES, SIZE = 10, 17, (96, 64)  # 120 tokens in ours and in Wan
AIMS = {"Wan": ">= 2", "LTX, our token size": ">= 1.4"}
FEW, THEIRS = 8, 50  # steps in which `small` succeeds as often as in its own 30 (--full); what the pipelines take
STUDENTS = (4, 8)
VIDEOS = 120  # of the suite standard, to measure success

Call = Callable[[], Any]


def _ours(generator: Generator, steps: int, guidance: float | None = None) -> Call:
    width, height = SIZE
    return partial(
        generator.generate,
        PROMPT,
        width=width,
        height=height,
        num_frames=FRAMES,
        num_inference_steps=steps,
        guidance_scale=guidance,
        seed=0,
    )


def _pipelines(ours: Generator, steps: int) -> tuple[dict[str, Call], dict[str, str]]:
    """Return what makes a clip with each pipeline, and notes on their sizes."""
    made = {name: make(*map(parameters_of, ours.networks[:2])) for name, make in PIPELINES.items()}
    calls: dict[str, Call] = {name: partial(run_pipeline, each, steps, FRAMES, SIZE) for name, each in made.items()}
    return calls, {name: f"{megaparameters(each):.1f} M, given vectors" for name, each in made.items()}


def measure_sampling(against: str, rounds: int) -> Section:
    """Measure whole calls at equal steps, of the text encoder and the autoencoder too where ours has them."""
    ours = Generator.load("small", precision="fp32")
    calls: dict[str, Call] = {OURS: _ours(ours, STEPS), AGAIN: _ours(ours, STEPS)}
    notes = {OURS: f"{sum(map(parameters_of, ours.networks)) / 1e6:.1f} M parameters"}
    if multiplies_bfloat16(torch.device("cpu")):
        calls[f"{OURS} bf16"] = _ours(Generator.load("small", precision="bf16"), STEPS)
    if against:
        more, about = _pipelines(ours, STEPS)
        calls, notes = calls | more, notes | about
    case = f"{FRAMES} frames of {SIZE[0]}x{SIZE[1]}, {STEPS} steps"
    seconds, counts = seconds_and_flops(calls, rounds)
    lines = lines_of(case, seconds, notes, counts=counts)
    about_all = "prompt to pixels with guidance, fp32, equal parameters and steps"
    return Section("sampling", about_all, tuple(replace(line, aim=AIMS.get(line.who, "")) for line in lines))


def measure_matched(against: str, rounds: int, full: bool) -> Section:
    """Measure whole calls at matched success, as far as it is known without peers that were trained on our clips.

    Ours takes the fewest steps that keep its rate of success, in the precision of `--precision auto`. The others take
    the steps that their pipelines take by default, as if these gave the rate that ours has in 30.
    """
    about = f"prompt to pixels at matched success: ours in {FEW} steps, the others in the {THEIRS} of their pipelines"
    ours = Generator.load("small")
    calls: dict[str, Call] = {OURS: _ours(ours, FEW), AGAIN: _ours(ours, FEW)}
    calls[f"{OURS}, {ours.defaults.num_steps} steps"] = _ours(ours, ours.defaults.num_steps)
    if against:
        calls |= _pipelines(ours, THEIRS)[0]
    lines = lines_of("a clip", in_turns(calls, rounds), aim=">= 4" if against else "")
    rates = _success("small", (ours.defaults.num_steps, FEW), full)
    return Section("matched", about, (*lines, *rates))


def measure_student(model: str, rounds: int, full: bool) -> Section:
    """Measure a student of few steps beside its teacher; without a student, a pass as long as one would take.

    The time of a pass does not depend on the weights, so that of a student can be told before it is trained.
    """
    teacher = Generator.load(model)
    steps = teacher.defaults.num_steps
    calls: dict[str, Call] = {OURS: _ours(teacher, steps), AGAIN: _ours(teacher, steps)}
    calls[f"{FEW} steps with guidance"] = _ours(teacher, FEW, teacher.defaults.guidance_scale)
    student = teacher.student.steps if teacher.student and teacher.student.role == "beside" else 0
    if student:
        calls[f"the student, {student} steps"] = _ours(teacher, student)
    for few in () if student else STUDENTS:
        calls[f"{few} steps without guidance"] = _ours(teacher, few, guidance=1.0)
    lines = lines_of(f"a clip of {model}", in_turns(calls, rounds), {OURS: f"{steps} steps with guidance"})
    seconds = {line.who: line.value or 0.0 for line in lines}
    shown = []
    for line in lines:
        faster = f"{seconds[OURS] / seconds[line.who]:.1f} times as fast"
        aim = "<= 0.167" if line.who.endswith("without guidance") or line.who.startswith("the student") else ""
        shown.append(replace(line, aim=aim, note=line.note or faster))
    if not student:
        why = f"not measured here: {model} has no student (docs/train.md has the rates of two)"
        shown.append(Line("success", "the student", None, "%", None, "3 points", why))
    return Section("student", "few steps beside many", (*shown, *_success(model, (steps, student or FEW), full)))


def _success(model: str, steps: tuple[int, ...], full: bool) -> list[Line]:
    """Measure the share of videos of the standard suite that succeed, by the number of steps."""
    case = f"success, first {VIDEOS} of standard"
    if not full:
        return [Line(case, f"{each} steps", None, "%", note="measured with --full") for each in steps]
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for each in steps:
            out = Path(folder) / str(each)
            asked = ("--suite", "standard", "--first", str(VIDEOS), "--steps", str(each), "--out", str(out))
            run_python("-m", "chronotope", "--threads", "1", "evaluate", model, *asked)
            rate = read_json(out / "report.json")["summary"]["success"]
            low, high = (100 * bound for bound in rate["interval"])
            note = f"95 % interval {low:.0f} to {high:.0f} %"
            lines.append(Line(case, f"{each} steps", 100 * rate["share"], "%", note=note))
    return lines
