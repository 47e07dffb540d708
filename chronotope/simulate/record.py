"""The record of a session, one line of JSON each: how it began, then every frame with its action, and every way back.

The first line holds the start picture and the settings of the sampler, so the record is complete: the same model makes
the same frames from it on the same kind of processor.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from chronotope import PROGRAM
from chronotope.arguments import as_text, as_whole, described
from chronotope.config import to_dict
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import MAX_SIDE, Picture
from chronotope.parsing import parse_json, unique_keys
from chronotope.sealed import has_seal, seal

if TYPE_CHECKING:
    from chronotope.simulate.world import PlayedWorld

__all__ = ["Start", "decode_picture", "encode_picture", "frame_hash", "parse_record", "played_origin", "read_record"]

FORMAT = 1
MAX_SEED = 2**53  # whole numbers that JavaScript keeps exactly


@dataclass(frozen=True, eq=False)
class Start:
    """How a session begins: from a picture, or from a prompt alone; `consent` is stated of people in the picture."""

    seed: int = 0
    prompt: str = ""
    picture: Picture | None = None
    consent: str = ""

    def line(self, model: PlayedWorld) -> dict[str, Any]:
        """Return the first line of the record of a session in this world."""
        return _sealed(
            {
                "chronotope_session": FORMAT,
                "model": dict(model.names),
                "seed": self.seed,
                "prompt": self.prompt,
                "picture": None if self.picture is None else encode_picture(self.picture),
                "consent": self.consent,
                "actions": to_dict(model.schema),
                "fps": model.fps,
                "size": list(model.size),
                **model.sampling_facts(),
            }
        )

    @staticmethod
    def of(data: Mapping[str, Any]) -> Start:
        """Read a start from the first line of a record, or from a message; raise UsageError for other values."""
        seed = as_whole("seed", data.get("seed", 0))
        if not 0 <= seed < MAX_SEED:
            raise UsageError(f"a seed is a whole number from 0 to {MAX_SEED - 1}, got {seed}")
        picture = data.get("picture")
        prompt, consent = (as_text(name, data.get(name, "")) for name in ("prompt", "consent"))
        return Start(seed, prompt, None if picture is None else decode_picture(picture), consent)


def _sealed(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line with the seal of its values; the page writes 8.0 as 8, so both have one seal."""
    return {**line, "seal": seal(_with_whole_numbers(line))["seal"]}


def _with_whole_numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_whole_numbers(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_with_whole_numbers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def played_origin(line: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return what a file of frames of a session says of them, from the first line of its record."""
    facts = {name: line[name] for name in ("seed", "num_steps", "guidance_scale", "history", "model")}
    stated = {name: line[name] for name in ("prompt", "consent") if line[name]}
    if line["picture"] is not None:
        stated["start_picture"] = frame_hash(decode_picture(line["picture"]))
    return {"program": PROGRAM, "task": task, **stated, **facts, "generated_by_ai": True}


def encode_picture(picture: Picture) -> str:
    """Write a picture as PNG in base64."""
    packed = io.BytesIO()
    Image.fromarray(picture).save(packed, "PNG")
    return base64.b64encode(packed.getvalue()).decode()


def decode_picture(text: Any) -> Picture:
    """Read a picture of base64, upright as its EXIF says; raise UsageError for anything else."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG", "JPEG", "WEBP")) as picture:
            if max(picture.size) > MAX_SIDE:
                raise UsageError(f"a start picture has at most {MAX_SIDE} pixels a side, got {picture.size}")
            if (count := getattr(picture, "n_frames", 1)) > 1:
                raise UsageError(f"a start picture is one picture, got an animation of {count}")
            upright = ImageOps.exif_transpose(picture)
            if upright.has_transparency_data:  # over white, as everywhere
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
            return np.asarray(upright.convert("RGB"))
    except (TypeError, ValueError, OSError, UnidentifiedImageError, Image.DecompressionBombError) as problem:
        raise UsageError(f"the start picture is no PNG, JPEG or WebP picture in base64 ({problem})") from problem


def frame_hash(picture: Picture) -> str:
    """Return 16 hex digits that tell whether two frames are equal."""
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()[:16]


def read_record(path: Path, note: Callable[[str], None] = lambda sentence: None) -> list[dict[str, Any]]:
    """Read the lines of a record; raise FileProblem for a file that is none.

    A last line that was cut off is left out; `note` receives a sentence on that, and on a first line without a seal.
    """
    try:
        return parse_record(path.read_text(encoding="utf-8"), note)
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror}") from problem
    except (UsageError, UnicodeDecodeError) as problem:
        raise FileProblem(f"{path}: {problem}") from problem


def parse_record(text: str, note: Callable[[str], None] = lambda sentence: None) -> list[dict[str, Any]]:
    """Read a record as `read_record` does, from a text; raise UsageError for a text that is none."""
    lines, found = text.splitlines(), []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(parse_json(line, unique_keys))
        except ValueError as problem:
            if number == len(lines) > 1 and not text.endswith("\n"):  # the program was ended while it wrote
                note(f"the last line of the record, {number}, was cut off while it was written and is left out")
                break
            raise UsageError(f"line {number} is no JSON ({problem}); expected the record of a session") from problem
    if not found or not isinstance(found[0], dict) or found[0].get("chronotope_session") != FORMAT:
        raise UsageError(
            f"the first line is not that of a session of format {FORMAT}; record one with chronotope play --record FILE"
        )
    if not has_seal(found[0]):  # as earlier versions wrote it
        note("the first line has no seal, so nothing tells whether its prompt, picture and consent were edited")
    elif found[0].get("seal") != _sealed(found[0])["seal"]:
        raise UsageError("the first line does not fit its seal: it is damaged or was edited; restore it from a copy")
    _check_order(found[1:])
    return found


def _check_order(entries: Sequence[Any]) -> None:
    """Raise UsageError unless every line is the next frame with its action, or a way back to an earlier frame."""
    frame = 0
    for number, entry in enumerate(entries, start=2):
        if not isinstance(entry, dict) or not ({"frame", "action"} <= entry.keys() or "branch" in entry):
            raise UsageError(f"line {number} is neither a frame with its action nor a branch: {described(entry)}")
        if "branch" in entry:
            frame = as_whole(f"branch of line {number}", entry["branch"])
            continue
        if as_whole(f"frame of line {number}", entry["frame"]) != frame + 1:
            raise UsageError(
                f"line {number} is frame {entry['frame']}, and frame {frame + 1} comes next; the record was edited"
            )
        frame += 1
