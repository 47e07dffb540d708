"""What one request and one owner may ask for, checked before anything is allocated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from chronotope.config import from_dict
from chronotope.errors import FileProblem, UsageError
from chronotope.generate.stored.folders import transformers_of
from chronotope.geometry import Geometry
from chronotope.request import Defaults, Request
from chronotope.serve.order import FieldError, Order
from chronotope.storage import read_json

__all__ = ["Limits", "ModelFacts", "QuotaError", "model_identity", "read_model_facts"]


class QuotaError(UsageError):
    """An owner asks for more than may wait or be stored; `after` is in how many seconds to try again."""

    def __init__(self, message: str, code: str, after: int) -> None:
        super().__init__(message)
        self.code, self.after = code, after


@dataclass(frozen=True)
class Limits:
    """The limits of a service. Sizes are in pixels, `stored_bytes` counts all inputs and outputs of all owners."""

    body_bytes: int = 32 << 20
    bodies_bytes: int = 128 << 20  # of all requests that are read at once
    body_seconds: float = 60.0  # for a body to arrive
    prompt_characters: int = 2000
    side: int = 2048
    num_frames: int = 960
    steps: int = 200
    tokens: int = 500_000
    images: int = 16
    file_frames: int = 4096
    file_side: int = 4096
    # Pixels of all frames, of a file whose length is known only when it is decoded; animated pictures take longest.
    animation_pixels: int = 2**28
    decoded_pixels: int = 2**32
    queued: int = 100  # jobs of an owner that wait
    stored_bytes: int = 10 << 30
    free_bytes: int = 256 << 20  # that the disk keeps
    keep_days: float = 30.0
    step_seconds: float = 3600.0  # for a step; a worker that takes longer hangs

    @property
    def of_file(self) -> dict[str, int]:
        """The limits of `MediaFile` within which a file is looked at."""
        return {
            "max_side": self.file_side,
            "max_animation": self.animation_pixels,
            "max_decoded": self.decoded_pixels,
        }

    def check_order(self, order: Order) -> None:
        """Raise `FieldError` where numbers of an order are beyond the limits; no file is looked at."""
        prompt = sum(len(text) for _, text in order.story)
        for name, length in (("prompt", prompt), ("negative_prompt", len(order.negative))):
            if length > self.prompt_characters:
                most = self.prompt_characters
                raise FieldError(name, f"{name} has {length} characters, at most {most} are read; shorten it")
        if order.size and max(order.size) > self.side:
            raise FieldError("size", f"this server makes at most {self.side} pixels a side, got {_shown(order.size)}")
        if (order.steps or 0) > self.steps:
            raise FieldError("num_inference_steps", f"this server makes at most {self.steps} steps, got {order.steps}")
        if len(order.images) > self.images:
            raise FieldError("image", f"this server takes at most {self.images} pictures, got {len(order.images)}")

    def check_request(self, request: Request, facts: ModelFacts) -> None:
        """Raise `FieldError` where a resolved request has too many frames, pixels or tokens."""
        width, height = facts.size_of(request)
        num_frames = request.inputs.canvas_frames(
            request.num_frames or facts.defaults.num_frames,
            request.fps or facts.defaults.fps,
            facts.defaults.num_frames,
        )
        if max(width, height) > self.side:
            raise FieldError("size", f"this server makes at most {self.side} pixels a side, got {width}x{height}")
        if num_frames > self.num_frames:
            raise FieldError("seconds", f"this server makes at most {self.num_frames} frames, got {num_frames}")
        rows, columns = facts.geometry.token_grid(height, width)
        tokens = -(-num_frames // facts.geometry.stride[0]) * rows * columns
        if tokens > self.tokens:
            raise FieldError(
                "size",
                f"{num_frames} frames of {width}x{height} are {tokens:,} tokens, and this server makes at most "
                f"{self.tokens:,}; ask for a smaller size or fewer seconds",
            )


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


@dataclass(frozen=True)
class ModelFacts:
    """What the service knows of its model without loading it."""

    name: str
    folder: Path
    defaults: Defaults
    geometry: Geometry
    identity: str  # see `model_identity`

    def size_of(self, request: Request) -> tuple[int, int]:
        """Return the width and height of a request, as its draft has them."""
        width, height = request.width or self.defaults.width, request.height or self.defaults.height
        if request.draft and request.inputs.task != "outpaint":
            shrink = self.defaults.enlargement(height, width)
            width, height = -(-width // shrink), -(-height // shrink)
        return width, height


def read_model_facts(folder: Path) -> ModelFacts:
    """Read the facts of the model in a folder, whose name is its own; raise FileProblem where it holds none."""
    path = folder / "dit" / "model.json"
    description = read_json(path)
    try:
        defaults, geometry = description["defaults"], description["geometry"]
        defaults, geometry = from_dict(Defaults, defaults), from_dict(Geometry, geometry)
    except (KeyError, TypeError, UsageError) as problem:
        raise FileProblem(f"{path} does not describe a model that generates videos ({problem})") from None
    return ModelFacts(folder.resolve().name, folder, defaults, geometry, model_identity(folder))


def model_identity(folder: Path) -> str:
    """Hash the descriptions of a model, which hold the hashes of its weights, to 16 hex digits."""
    digest = hashlib.sha256()
    for part in (*transformers_of(folder), folder / "autoencoder"):
        path = part / "model.json"
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as problem:
            raise FileProblem(f"{path} cannot be read: {problem.strerror}") from None
    return digest.hexdigest()[:16]
