"""A captioner behind an OpenAI-compatible endpoint, which is shown frames as pictures in the request."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from chronotope.caption.captioners.captioner import DETAILS, MAX_SIDE, Answer, question, shown_pictures
from chronotope.caption.captioners.chat import Chat
from chronotope.errors import UsageError
from chronotope.geometry import Frames

__all__ = ["Endpoint"]

MAX_PICTURES = 8  # of one clip, evenly spaced


class Endpoint:
    """Asks `http://localhost:8000/v1#MODEL`; `pause` waits between tries."""

    def __init__(
        self, address: str, detail: str = "sentence", per_minute: float = 0, pause: Callable[[float], None] = time.sleep
    ) -> None:
        if detail not in DETAILS:
            raise UsageError(f"detail is one of {', '.join(DETAILS)}, got '{detail}'")
        self.detail, self._chat = detail, Chat(address, per_minute, pause)

    @property
    def author(self) -> Mapping[str, Any]:
        """What writes these captions, without the key."""
        settings = {"temperature": 0, "pictures": MAX_PICTURES, "side": MAX_SIDE}
        about = {"kind": "endpoint", "url": self._chat.url, "model": self._chat.model}
        return {**about, "asked": DETAILS[self.detail], **settings}

    def ask(self, frames: Frames, fps: float) -> Answer:
        """Ask for the caption of a clip, again where a failure may pass."""
        pictures = shown_pictures(frames, MAX_PICTURES)
        asked = question(len(pictures), len(frames) / fps, self.detail)
        content: list[dict[str, Any]] = [{"type": "text", "text": asked}]
        content += [{"type": "image_url", "image_url": {"url": _data_url(picture)}} for picture in pictures]
        return self._chat.ask([{"role": "user", "content": content}])


def _data_url(picture: np.ndarray) -> str:
    packed = io.BytesIO()
    Image.fromarray(picture).save(packed, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode()}"
