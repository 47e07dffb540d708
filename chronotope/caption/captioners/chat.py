"""One question to an OpenAI-compatible endpoint: `/chat/completions`, asked again where a failure may pass.

vLLM, SGLang, Ollama, llama.cpp and most services speak this protocol. The key is read from the environment and never
written anywhere.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from chronotope.caption.captioners.captioner import Answer, CaptionerError, NoCaptionError
from chronotope.errors import UsageError

__all__ = ["KEY", "Chat"]

KEY = "CHRONOTOPE_API_KEY"  # the name of the variable that holds the key
MAX_TOKENS = 500  # of an answer
SECONDS = 120.0  # that one answer may take
TRIES = 5
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between tries, doubled each time
MAX_BYTES = 2**20  # of an answer
_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)  # statuses that may pass


class Chat:
    """Asks the model of `http://localhost:8000/v1#MODEL`; `pause` waits between tries.

    Raises UsageError for an address of another form, and CaptionerError where the endpoint cannot be asked at all.
    """

    def __init__(self, address: str, per_minute: float = 0, pause: Callable[[float], None] = time.sleep) -> None:
        url, _, self.model = address.partition("#")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or not self.model:
            raise UsageError(f"an endpoint's address is http://localhost:8000/v1#MODEL, got '{address}'")
        if parts.username or parts.password:
            raise UsageError(f"an address holds no password, because it is recorded; put the key into {KEY}")
        try:
            import httpx
        except ImportError as problem:
            raise CaptionerError("an endpoint needs httpx: pip install 'chronotope[caption]'") from problem
        key = os.environ.get(KEY, "").strip()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.url, self._key, self._pause = url.rstrip("/"), key, pause
        self._between = 60 / per_minute if per_minute else 0.0
        self._last, self._after = -self._between, 0.0
        # no proxies or keys of other programs from the environment
        self._client = httpx.Client(timeout=SECONDS, headers=headers, trust_env=False, follow_redirects=False)

    def ask(self, messages: Sequence[Mapping[str, Any]], temperature: float = 0, seed: int = 0) -> Answer:
        """Return the answer to the last of the messages; raise NoCaptionError where it holds none, or half of one."""
        request = {"model": self.model, "messages": list(messages), "max_tokens": MAX_TOKENS}
        request |= {"temperature": temperature, "seed": seed}
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
            choices = found["choices"]  # some servers send them in another order than they number them
            choice = next((choice for choice in choices if choice.get("index") == 0), choices[0])
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


def _limited(response: Any) -> bytes:
    """Return the body of a response, at most `MAX_BYTES` of it."""
    body = b""
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MAX_BYTES:
            raise CaptionerError(f"an answer has more than {MAX_BYTES} bytes")
    return body
