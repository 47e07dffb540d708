"""A captioner behind an OpenAI-compatible endpoint: `/chat/completions` with frames as pictures in the request.

vLLM, SGLang, Ollama, llama.cpp and most services speak this protocol. The key is read from the environment and never
written anywhere.
"""

from __future__ import annotations

import base64
import io
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from chronotope.caption.captioner import (
    DETAILS,
    MAX_SIDE,
    Answer,
    CaptionerError,
    NoCaptionError,
    question,
    shown_pictures,
)
from chronotope.errors import UsageError
from chronotope.geometry import Frames

__all__ = ["KEY", "Endpoint"]

KEY = "CHRONOTOPE_API_KEY"  # the name of the variable that holds the key
MAX_PICTURES = 8  # of one clip, evenly spaced
MAX_TOKENS = 500  # of an answer
SECONDS = 120.0  # that one answer may take
TRIES = 5
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between tries, doubled each time
MAX_BYTES = 2**20  # of an answer
_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)  # statuses that may pass


class Endpoint:
    """Asks `http://localhost:8000/v1#MODEL`; `pause` waits between tries."""

    def __init__(
        self, address: str, detail: str = "sentence", per_minute: float = 0, pause: Callable[[float], None] = time.sleep
    ) -> None:
        url, _, self.model = address.partition("#")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or not self.model:
            raise UsageError(f"a captioner's address is http://localhost:8000/v1#MODEL, got '{address}'")
        if parts.username or parts.password:
            raise UsageError(f"an address holds no password, because it is recorded; put the key into {KEY}")
        if detail not in DETAILS:
            raise UsageError(f"detail is one of {', '.join(DETAILS)}, got '{detail}'")
        try:
            import httpx
        except ImportError as problem:
            raise CaptionerError("an endpoint needs httpx: pip install 'chronotope[caption]'") from problem
        key = os.environ.get(KEY, "").strip()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.url, self.detail, self._key, self._pause = url.rstrip("/"), detail, key, pause
        self._between = 60 / per_minute if per_minute else 0.0
        self._last, self._after = -self._between, 0.0
        # no proxies or keys of other programs from the environment
        self._client = httpx.Client(timeout=SECONDS, headers=headers, trust_env=False, follow_redirects=False)

    @property
    def author(self) -> Mapping[str, Any]:
        """What writes these captions, without the key."""
        settings = {"temperature": 0, "pictures": MAX_PICTURES, "side": MAX_SIDE}
        return {"kind": "endpoint", "url": self.url, "model": self.model, "asked": DETAILS[self.detail], **settings}

    def ask(self, frames: Frames, fps: float) -> Answer:
        """Ask for the caption of a clip, again where a failure may pass."""
        request = self._request(frames, fps)
        reason = ""
        for number in range(TRIES):
            if number:
                self._pause(self._wait(number))
            found = self._post(request)
            if isinstance(found, Answer):
                return found
            reason = found
        raise CaptionerError(f"{self.url} did not answer after {TRIES} tries: {reason}")

    def _wait(self, number: int) -> float:
        after, self._after = self._after, 0.0
        return min(LONGEST_PAUSE, max(after, FIRST_PAUSE * 2 ** (number - 1)))

    def _post(self, request: Mapping[str, Any]) -> Answer | str:
        """Send one request; return the answer, or why it is worth another try."""
        import httpx

        now = time.monotonic()
        if now < self._last + self._between:
            self._pause(self._last + self._between - now)
        self._last = time.monotonic()
        try:
            with self._client.stream("POST", f"{self.url}/chat/completions", json=request) as response:
                body = _limited(response)
        except httpx.TimeoutException:
            return f"no answer within {SECONDS:g} s"
        except httpx.TransportError as problem:
            return f"it cannot be reached ({problem})"
        if response.status_code in _AGAIN:
            seconds = response.headers.get("Retry-After", "")
            self._after = float(seconds) if seconds.isdigit() else 0.0
            return f"status {response.status_code}: {self._shown(body)}"
        if response.status_code in (401, 403):
            state = f"the key in {KEY}" if self._key else f"no key ({KEY} is not set)"
            raise CaptionerError(f"{self.url} refused {state}: status {response.status_code}")
        if response.status_code != 200:
            raise CaptionerError(f"{self.url} answered with status {response.status_code}: {self._shown(body)}")
        return self._answer(body)

    def _answer(self, body: bytes) -> Answer:
        try:
            found = json.loads(body)
            choice = found["choices"][0]
            text, ended = choice["message"]["content"], choice.get("finish_reason")
            usage = found.get("usage") or {}
            tokens = int(usage.get("total_tokens") or 0)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as problem:
            raise CaptionerError(
                f"{self.url} is no OpenAI-compatible endpoint; its answer begins: {self._shown(body)}"
            ) from problem
        if not isinstance(text, str):
            raise NoCaptionError("the answer holds no text")
        if ended not in (None, "", "stop", "eos", "end_turn"):
            raise NoCaptionError(f"the answer did not come to its end ({ended!s:.40}): {' '.join(text.split())[:80]}")
        return Answer(text, tokens)

    def _shown(self, body: bytes) -> str:
        """Return the beginning of an answer for a message, without the key, which some servers repeat."""
        text = " ".join(body[:400].decode("utf-8", "replace").split())
        return (text.replace(self._key, "KEY") if self._key else text)[:160] or "nothing"

    def _request(self, frames: Frames, fps: float) -> dict[str, Any]:
        pictures = shown_pictures(frames, MAX_PICTURES)
        asked = question(len(pictures), len(frames) / fps, self.detail)
        content: list[dict[str, Any]] = [{"type": "text", "text": asked}]
        content += [{"type": "image_url", "image_url": {"url": _data_url(picture)}} for picture in pictures]
        messages = [{"role": "user", "content": content}]
        return {"model": self.model, "messages": messages, "max_tokens": MAX_TOKENS, "temperature": 0, "seed": 0}


def _limited(response: Any) -> bytes:
    """Return the body of a response, at most `MAX_BYTES` of it."""
    body = b""
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MAX_BYTES:
            raise CaptionerError(f"an answer of the captioner has more than {MAX_BYTES} bytes")
    return body


def _data_url(picture: np.ndarray) -> str:
    packed = io.BytesIO()
    Image.fromarray(picture).save(packed, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode()}"
