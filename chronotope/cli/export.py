"""What `chronotope export-suite` does: plan, sample and check the folder that somebody else's benchmark wants."""

from __future__ import annotations

from typing import Any

from chronotope.cli.terminal import progress, say
from chronotope.cli.use import device
from chronotope.evaluate.exports.export import MANIFEST, Maker, Shot, export, kept, num_frames, validate
from chronotope.evaluate.exports.layouts import Request, find_format, plan
from chronotope.generate.pipeline import Generation, Generator
from chronotope.media import video

__all__ = ["check_suite", "export_suite", "plan_suite"]


def plan_suite(request: Request) -> dict[str, Any]:
    """What would be made, how much of it is there, and what there is to know before it starts."""
    clips, maker = plan(request), _maker(request.model)
    lengths = sorted({num_frames(request, clip, maker) for clip in clips})
    there = sum(1 for _ in kept(request, clips, maker))
    pictures = sum(clip.image is not None for clip in clips)
    rules = find_format(request.format)
    return {
        "format": rules.about,
        "videos": len(clips),
        "already_there": there,
        "frames": lengths if len(lengths) < 9 else f"{lengths[0]} to {lengths[-1]}",
        "fps": maker.fps,
        "from": "words" if not pictures else "words and the first picture",
        "model": dict(maker.names),
        "first": [str(request.out / clip.file) for clip in clips[:3]],
        "notes": [f"the benchmark takes exactly {rules.count} videos"] if rules.count not in (None, len(clips)) else [],
    }


def export_suite(request: Request) -> list[str]:
    """Make what is not there yet, then check everything; returns the defects."""
    maker = _maker(request.model)
    with progress(request.format, "videos") as report:
        made = export(request, maker, report)
    say(f"{request.out}: {made} videos made, whole ones that were there kept")
    return check_suite(request)


def check_suite(request: Request) -> list[str]:
    """Check what is there; returns the defects."""
    defects = validate(request)
    if not (request.out / MANIFEST).is_file():
        say(f"note: {request.out} has no {MANIFEST}: from which seeds and weights its videos are is unknown")
    say(f"{request.out}: {len(defects) or 'no'} {'defect' if len(defects) == 1 else 'defects'}")
    return defects


def _maker(model: str) -> Maker:
    generator = Generator.load(model).to(device())

    def make(shot: Shot) -> Generation:
        told = [(seconds, _as_much_as_is_read(generator, text)) for seconds, text in shot.told]
        image = video.read_image(shot.image) if shot.image else None
        made = generator.generate(told, image=image, num_frames=shot.num_frames, seed=shot.seed)
        return Generation(
            made.frames[: shot.num_frames], made.fps, made.origin
        )  # after a picture come whole slices: maybe too many

    return Maker(generator.names, generator.defaults.num_frames, generator.defaults.fps, make)


def _as_much_as_is_read(generator: Generator, text: str) -> str:
    """A text without its last words where it is longer than the model reads; the manifest says what was told."""
    words, limit = text.split(), generator.dit.config.max_text_tokens
    if len(generator.tokenizer.encode(text)) <= limit:
        return text
    while len(words) > 1 and len(generator.tokenizer.encode(" ".join(words))) > limit:
        words.pop()
    return " ".join(words)
