"""The fields of a request, from JSON or from a form -> an order: every value typed, files by their identifiers.

A form holds texts only and JSON holds numbers, so every field reads both. One table lists the fields of all calls.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope.arguments import described
from chronotope.config import from_dict, to_dict
from chronotope.errors import UsageError, suggest
from chronotope.generate.files import FileRequest
from chronotope.parsing import parse_json, unique_keys
from chronotope.prompt import Prompt, read_prompts, read_story
from chronotope.request import SOLVERS, TASKS, Choices, Task

__all__ = [
    "FIELDS",
    "MAX_SEED",
    "Field",
    "FieldError",
    "Order",
    "Upload",
    "check_characters",
    "digest_of",
    "named_fields",
    "read_order",
    "shown_name",
    "text_of",
]

MAX_SEED = 2**63
_SURROGATE = re.compile("[\ud800-\udfff]")


class FieldError(UsageError):
    """A field of a request is wrong; `param` names it, `code` is for programs."""

    def __init__(self, param: str | None, message: str, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.param, self.code = param, code


@dataclass(frozen=True)
class Upload:
    """A file of a form, in memory: a request is refused before it grows large."""

    name: str
    content: bytes


def shown_name(name: str) -> str:
    """Return the beginning of a name that a stranger chose, in ASCII, to be part of a message."""
    return name[:60].encode("ascii", "backslashreplace").decode()


def _got(value: Any) -> str:
    """Describe a value that is wrong; files are not shown."""
    return "a file" if isinstance(value, Upload) else described(value)


def check_characters(param: str, value: Any) -> None:
    """Raise `FieldError` where a text in a value holds half of a character (a surrogate): UTF-8 cannot store it."""
    pending = [value]
    while pending:  # no recursion: a body may be nested deeply
        match pending.pop():
            case str() as text if _SURROGATE.search(text):
                raise FieldError(
                    shown_name(param),
                    f"{shown_name(param)} holds half of a character, got {_got(text)}; send whole characters",
                    "invalid_characters",
                )
            case Upload(name):
                pending.append(name)
            case dict() as table:
                pending += [*table.keys(), *table.values()]
            case list() as items:
                pending += items


def text_of(story: Sequence[Sequence[Any]]) -> str:
    """Return (seconds, text) pairs as one text: that of a prompt, or the beats of a story, a line each."""
    if len(story) == 1:
        return str(story[0][1])
    return "\n".join(f"{seconds:g}: {text}" for seconds, text in story)


Media = str | Upload  # an identifier, a data URL or a file


@dataclass(frozen=True)
class Order(Choices):
    """A video or picture to make, as it is stored; `None` stands for the model's default.

    `story` holds (seconds, text); `images`, `video`, `into` and `mask` are identifiers of stored files. The other
    fields are those of `Choices` and `FileRequest`. With `expand` the prompt is written as a caption first.
    """

    story: tuple[tuple[float, str], ...]
    task: Task | None = None
    images: tuple[str, ...] = ()
    video: str | None = None
    into: str | None = None
    mask: str | None = None
    num_frames: int | None = None
    seed: int = 0
    expand: bool = True
    picture: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """The identifiers of all stored files."""
        return (*self.images, *(name for name in (self.video, self.into, self.mask) if name))

    def request(self, paths: Mapping[str, Path], fps: float) -> FileRequest:
        """Return the request of files; `fps` is the model's rate, for a number of frames without one."""
        seconds = self.seconds if self.num_frames is None else self.num_frames / (self.fps or fps)
        return FileRequest(
            prompts=tuple(Prompt(text, seconds) for seconds, text in self.story),
            task=self.task,
            images=tuple(paths[name] for name in self.images),
            clip=paths[self.video] if self.video else None,
            into=paths[self.into] if self.into else None,
            mask=paths[self.mask] if self.mask else None,
            to_picture=self.picture,
            **{**self.choices, "seconds": seconds},
        )

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        stored: dict[str, Any] = to_dict(self)
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Order:
        """Read an order that was stored."""
        return from_dict(cls, stored)


# The values of fields


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    raise FieldError(name, f"{name} must be a text, got {_got(value)}", "invalid_type")


def _number(name: str, value: Any) -> float:
    found = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value) if abs(value) < 1e18 else math.nan
    elif isinstance(value, str) and re.fullmatch(
        r"\s*[-+]?(\d{1,18}(\.\d{0,18})?|\.\d{1,18})(e[-+]?\d{1,2})?\s*", value
    ):
        found = float(value)
    if not math.isfinite(found):
        raise FieldError(name, f"{name} must be a number, got {_got(value)}", "invalid_type")
    return found


def _whole(name: str, value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d{1,19}\s*", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**19:
        return value
    raise FieldError(name, f"{name} must be a whole number, got {_got(value)}", "invalid_type")


def _flag(name: str, value: Any) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise FieldError(name, f"{name} must be true or false, got {_got(value)}", "invalid_type")


def _size(name: str, value: Any) -> tuple[int, int]:
    found = re.fullmatch(r"\s*(\d{1,5})\s*[xX]\s*(\d{1,5})\s*", value) if isinstance(value, str) else None
    if not found or "0" in (found[1].lstrip("0") or "0", found[2].lstrip("0") or "0"):
        raise FieldError(name, f"{name} must be WIDTHxHEIGHT in pixels, such as 96x64, got {_got(value)}")
    return int(found[1]), int(found[2])


def _parsed(name: str, text: str) -> Any:
    """Parse JSON that a text field holds; its escapes can name characters that the text itself did not have."""
    try:
        found = parse_json(text, unique_keys)
    except ValueError as problem:
        raise FieldError(name, f"{name} is not readable JSON: {problem}") from None
    check_characters(name, found)
    return found


def _listed(name: str, value: Any) -> list[Any]:
    """Return the items of a list, also of one in JSON; a single value is a list of one."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _parsed(name, value)
    return list(value) if isinstance(value, list | tuple) else [value]


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    items = value.split(",") if isinstance(value, str) and not value.lstrip().startswith("[") else _listed(name, value)
    return tuple(_number(name, item) for item in items)


def _span(name: str, value: Any) -> tuple[float, float]:
    found = _numbers(name, value)
    if len(found) != 2:
        raise FieldError(name, f"{name} must be two numbers of seconds, such as [1, 2], got {_got(value)}")
    return found[0], found[1]


def _story(name: str, value: Any) -> tuple[tuple[float, str], ...]:
    """Read a text, (seconds, text) pairs, or texts such as "2: it eats the berry"."""
    if not isinstance(value, str | list):
        raise FieldError(name, f"{name} must be a text, or a list of beats, got {_got(value)}", "invalid_type")
    if isinstance(value, str) and not (name == "story" and value.lstrip().startswith("[")):
        found = read_prompts(value)
    else:
        items = _listed(name, value)
        if all(isinstance(item, str) for item in items):
            found = read_prompts(read_story(items))
        else:
            pairs = [tuple(item) if isinstance(item, list) else item for item in items]
            found = read_prompts(tuple(pairs))
    return tuple((prompt.seconds, prompt.text) for prompt in found)


def _choice(*choices: str) -> Callable[[str, Any], str]:
    def read(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise FieldError(name, f"unknown {name} {_got(value)}. {suggest(str(value)[:100], choices)}")
        return value

    return read


def _media(name: str, value: Any) -> Media:
    """Read an identifier, a data URL or a file; objects of the OpenAI calls name one of them."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _parsed(name, value)
    if isinstance(value, dict):
        named = [value[key] for key in ("id", "file_id", "image_url", "video_url", "url") if value.get(key) is not None]
        if len(named) != 1:
            raise FieldError(name, f"{name} must have one of id, file_id and image_url, got {_got(value)}")
        value = named[0].get("url") if isinstance(named[0], dict) else named[0]
    if isinstance(value, str) and re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", value):
        raise FieldError(
            name, f"{name} is an address, and this server fetches nothing; upload the file, or give a data URL"
        )
    if isinstance(value, str | Upload):
        return value
    raise FieldError(name, f"{name} must be a file, an identifier or a data URL, got {_got(value)}", "invalid_type")


def _medias(name: str, value: Any) -> tuple[Media, ...]:
    return tuple(_media(name, item) for item in (value if isinstance(value, list) else [value]))


# The table of fields


@dataclass(frozen=True)
class Field:
    """A field of a request: how it is read, its JSON schema, its other names, and a line about it."""

    read: Callable[[str, Any], Any]
    schema: Mapping[str, Any]
    about: str
    names: tuple[str, ...] = ()


_NUMBER = {"anyOf": [{"type": "number"}, {"type": "string"}]}
_WHOLE = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
_FLAG = {"anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["true", "false"]}]}
_MEDIA = {"anyOf": [{"type": "string"}, {"type": "object"}]}
_TEXT = {"type": "string"}

FIELDS: dict[str, Field] = {
    "prompt": Field(_story, _TEXT, "What should be seen."),
    "story": Field(
        _story, {"type": "array"}, 'Several prompts with the second each begins at: ["0: a fox walks", "2: it runs"].'
    ),
    "model": Field(_text, _TEXT, "The served model; the names sora-2 and sora-2-pro mean it too."),
    "task": Field(_choice(*TASKS), {"type": "string", "enum": list(TASKS)}, "What to do with the clip."),
    "image": Field(
        _medias,
        _MEDIA,
        "A first picture, or pictures at their times (at).",
        ("images", "input_reference", "image_reference"),
    ),
    "at": Field(_numbers, {"type": "array"}, "Time in seconds of each picture."),
    "video": Field(
        _media,
        _MEDIA,
        "The clip that the task works on; a video that is still being made is waited for.",
        ("video_reference", "first_video"),
    ),
    "into": Field(_media, _MEDIA, "The second clip of connect.", ("second_video",)),
    "mask": Field(_media, _MEDIA, "Where a retake remakes: white in a picture or clip."),
    "strength": Field(_number, _NUMBER, "How much of a clip may change, 0 to 1."),
    "context": Field(_number, _NUMBER, "Seconds of a clip that the model sees."),
    "span": Field(_span, {"type": "array"}, "What a retake remakes, in seconds: [1, 2]."),
    "size": Field(_size, _TEXT, "WIDTHxHEIGHT in pixels, any."),
    "width": Field(_whole, _WHOLE, "Width in pixels, with height, instead of size."),
    "height": Field(_whole, _WHOLE, "Height in pixels."),
    "seconds": Field(_number, _NUMBER, "Length, or what is added to a clip."),
    "num_frames": Field(_whole, _WHOLE, "Length in frames, instead of seconds."),
    "fps": Field(_number, _NUMBER, "Frames a second."),
    "num_inference_steps": Field(_whole, _WHOLE, "Sampling steps.", ("steps", "num_steps")),
    "guidance_scale": Field(_number, _NUMBER, "How closely the prompt is followed; 1 is no guidance.", ("guidance",)),
    "negative_prompt": Field(_text, _TEXT, "What should not be seen.", ("negative",)),
    "solver": Field(_choice(*SOLVERS), {"type": "string", "enum": list(SOLVERS)}, "euler, or heun of twice the time."),
    "draft": Field(_flag, _FLAG, "A quick preview: the model's own size, a third of the steps."),
    "consent": Field(_text, _TEXT, "What you state of the people in pictures and clips, where the policy needs it."),
    "seed": Field(_whole, _WHOLE, "The same seed gives the same video."),
    "expand": Field(_flag, _FLAG, "Write the prompt as a caption of the model's training first; true by default."),
}
_NAMES = {other: name for name, field in FIELDS.items() for other in (name, *field.names)}
_TAKEN = {"num_inference_steps": "steps", "guidance_scale": "guidance", "negative_prompt": "negative"}


def read_order(raw: Mapping[str, Any], **fixed: Any) -> tuple[Order, dict[str, Any]]:
    """Return the order of a request whose media are still to be stored, and these: fields of the order -> media.

    `fixed` are fields of the order that the call decides, such as its task. Raises `FieldError`, which names the field.
    """
    values = _read_fields(raw)
    media: dict[str, Any] = {name: values.pop(name) for name in ("image", "video", "into", "mask") if name in values}
    values.pop("model", None)
    story = _read_story(values)
    if ("width" in values) != ("height" in values) or ("width" in values and "size" in values):
        raise FieldError("width", "give width and height together, or size alone")
    if "width" in values:
        values["size"] = (values.pop("width"), values.pop("height"))
    if min(values.get("size", (1, 1))) < 1:
        raise FieldError("size", "a frame has at least one pixel a side")
    if "seconds" in values and "num_frames" in values:
        raise FieldError("num_frames", "seconds and num_frames exclude each other; give one of them")
    if values.get("seconds", 0) < 0:
        raise FieldError("seconds", "the length of a video is above 0")
    if values.get("num_frames", 1) < 1:
        raise FieldError("num_frames", "a video has at least one frame")
    if values.get("fps", 1) <= 0:
        raise FieldError("fps", f"fps must be above 0, got {values['fps']:g}; leave it out for the rate of the model")
    if "span" in values:
        values["start"], values["stop"] = values.pop("span")
    for name in fixed.keys() & values.keys():
        raise FieldError(name, f"{name} is decided by this call; leave it out, or use POST /v1/generations")
    if not 0 <= values.get("seed", 0) < MAX_SEED:
        raise FieldError("seed", "a seed is a whole number from 0 to 2^63 - 1")
    values = {_TAKEN.get(name, name): value for name, value in values.items()}
    return Order(story=story, **values, **fixed), media


def named_fields(raw: Mapping[str, Any]) -> set[str]:
    """Return the fields of the order that a request names, whatever their values."""
    names = set(_read_fields(raw)) - {"model", "prompt", "story", "image", "video", "into", "mask"}
    parts = {"width": ("size",), "height": ("size",), "span": ("start", "stop")}
    return {part for name in names for part in parts.get(name, (_TAKEN.get(name, name),))}


def _read_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Read every field of a request; unknown ones are refused, and those that are null count as left out."""
    more = raw.get("extra_params")
    if isinstance(more, str):
        more = _parsed("extra_params", more)
    if more is not None and not isinstance(more, dict):
        raise FieldError("extra_params", f"extra_params must be an object, got {_got(more)}", "invalid_type")
    values: dict[str, Any] = {}
    for found, value in [*raw.items(), *(more or {}).items()]:
        if found == "extra_params" or value is None:
            continue
        name = _NAMES.get(found)
        if name is None:
            shown = shown_name(found)
            raise FieldError(shown, f"unknown field '{shown}'. {suggest(found[:60], _NAMES)}", "unknown_parameter")
        if name in values:
            raise FieldError(found, f"{found} is there twice, perhaps under another name; give it once")
        check_characters(found, value)
        try:
            values[name] = FIELDS[name].read(found, value)
        except FieldError:
            raise
        except UsageError as problem:
            raise FieldError(found, str(problem)) from None
    return values


def _read_story(values: dict[str, Any]) -> tuple[tuple[float, str], ...]:
    prompt, story = values.pop("prompt", None), values.pop("story", None)
    if prompt and story:
        raise FieldError("story", "prompt and story exclude each other; give one of them")
    if not (found := prompt or story):
        raise FieldError(
            "prompt",
            'the prompt is missing; say what should be seen, for example "a red ball rolls right"',
            "missing_required_parameter",
        )
    return tuple(found)


def digest_of(order: Order, media: Mapping[str, Any], kind: str, remixed_from: str | None) -> str:
    """Return a hash of a request, by which a repetition is told from another request with the same key."""
    digest = hashlib.sha256(json.dumps([order.to_json(), kind, remixed_from], sort_keys=True).encode())
    for name, value in sorted(media.items()):
        for one in value if isinstance(value, tuple) else (value,):
            digest.update(name.encode() + (one.content if isinstance(one, Upload) else one.encode("utf-8", "replace")))
    return digest.hexdigest()
