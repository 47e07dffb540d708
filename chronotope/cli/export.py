"""Implement `chronotope export-suite`: plan, sample and check the folder that another benchmark reads."""

from __future__ import annotations

from typing import Any

from chronotope.cli.inputs import read_image
from chronotope.cli.terminal import progress, say
from chronotope.cli.use import device, say_unsealed
from chronotope.evaluate.exports.export import check_before, export, num_frames
from chronotope.evaluate.exports.layouts import find_format, plan
from chronotope.evaluate.exports.manifest import MANIFEST, read_manifest
from chronotope.evaluate.exports.requests import ExportRequest, VideoMaker, VideoRequest
from chronotope.evaluate.exports.validation import validate
from chronotope.generate.pipeline import Generation, Generator, find_model
from chronotope.storage import locked

__all__ = ["check_suite", "export_suite", "plan_suite"]


def plan_suite(request: ExportRequest) -> dict[str, Any]:
    """Describe what would be made, and how much of it is there already."""
    videos, maker = plan(request), _maker(request.model)
    there = check_before(request, videos, maker)
    lengths = sorted({num_frames(request, planned, maker) for planned in videos})
    from_pictures = any(planned.image is not None for planned in videos)
    rules = find_format(request.format)
    notes = []
    if rules.count not in (None, len(videos)):
        notes.append(f"the benchmark takes exactly {rules.count} videos")
    return {
        "format": rules.about,
        "videos": len(videos),
        "already_there": len(there),
        "frames": lengths if len(lengths) < 9 else f"{lengths[0]} to {lengths[-1]}",
        "fps": maker.fps,
        "from": "words and the first picture" if from_pictures else "words",
        "model": dict(maker.weights),
        "first": [str(request.out / planned.file) for planned in videos[:3]],
        "notes": notes,
    }


def export_suite(request: ExportRequest) -> list[str]:
    """Make the videos that are not there yet, then check all; return the defects."""
    maker = _maker(request.model)
    with locked(request.out), progress(request.format, "videos") as report:
        made = export(request, maker, report)
    say(f"{request.out}: {made} videos made; those that were already there and whole are kept")
    return check_suite(request)


def check_suite(request: ExportRequest) -> list[str]:
    """Check what is there; return the defects."""
    defects = validate(request)
    rows = read_manifest(request.out) or {}
    if cut := [file for file, row in rows.items() if "told" in row]:
        say(
            f"note: {len(cut)} of {len(rows)} prompts are longer than the model reads, so that their last words were "
            f"left out, first of {cut[0]}; {MANIFEST} has what was told"
        )
    if not (request.out / MANIFEST).is_file():
        say(f"note: {request.out} has no {MANIFEST}: the seeds and weights of its videos are unknown")
    say(f"{request.out}: {len(defects) or 'no'} {'defect' if len(defects) == 1 else 'defects'}")
    return defects


def _maker(model: str) -> VideoMaker:
    generator = Generator.load(model).to(device())
    say_unsealed(find_model(model))

    def make(request: VideoRequest) -> Generation:
        prompt = [(seconds, _shortened(generator, text)) for seconds, text in request.prompt]
        image = read_image(request.image) if request.image else None
        made = generator.generate(prompt, image=image, num_frames=request.num_frames, seed=request.seed)
        # a picture is followed by whole slices, which can be more frames than requested
        return Generation(made.frames[: request.num_frames], made.fps, made.origin)

    return VideoMaker(generator.names, generator.defaults.num_frames, generator.defaults.fps, make)


def _shortened(generator: Generator, text: str) -> str:
    """Drop the last words of a text that is longer than the model reads; the manifest states the text that was used."""
    return generator.tokenizer.shortened(text, generator.dit.config.max_text_tokens)
