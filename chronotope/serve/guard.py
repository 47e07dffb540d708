"""What every request passes before any other code sees it: hosts, tokens, origins, limits of bodies, the log.

A page of another site must not use a service on this machine through the browser of its user: a request must name a
host that is allowed (which stops DNS rebinding), and one that changes anything must not come from another origin.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
import time
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chronotope.serve.counters import Counters
from chronotope.serve.limits import Limits
from chronotope.serve.wire import RequestProblem, error_of
from chronotope.simulate.listening import LOOPBACK, allowed_hosts, host_name

__all__ = ["Guard", "Security"]

OPEN_PATHS = frozenset({"/", "/health", "/ready"})  # without a token: nothing of any owner
PAGE_FILES = "/studio/"  # likewise
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_REQUESTS = 256  # at once
LOCAL = "local"  # the owner of everything where there are no tokens
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
log = logging.getLogger("chronotope.serve")


@dataclass(frozen=True)
class Security:
    """Hosts that requests may name, and SHA-256 digests of tokens; without tokens, whoever connects may ask."""

    hosts: frozenset[str] = LOOPBACK
    tokens: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, tokens: tuple[str, ...] = (), hosts: tuple[str, ...] = ()) -> Security:
        """Return the security of these tokens and of further allowed hosts."""
        digests = tuple(hashlib.sha256(token.encode()).digest() for token in tokens)
        return cls(allowed_hosts(*hosts), digests)

    def owner_of(self, authorization: str) -> str | None:
        """Return who sends an Authorization header; None for a stranger. Every token is compared, in equal time."""
        if not self.tokens:
            return LOCAL
        scheme, _, token = authorization.partition(" ")
        digest = hashlib.sha256(token.strip().encode("latin-1", "replace")).digest()
        found = [known for known in self.tokens if hmac.compare_digest(known, digest)]
        return found[0].hex()[:16] if found and scheme.lower() == "bearer" else None


def too_large(limits: Limits) -> RequestProblem:
    """Return the refusal of a large body."""
    message = f"the body has more than {limits.body_bytes >> 20} MiB, which is the limit of this server"
    return RequestProblem(413, message, "body_too_large", Connection="close")


class Guard:
    """The outermost layer of the application; puts the owner of a request into its scope."""

    def __init__(self, app: ASGIApp, security: Security, limits: Limits, counters: Counters) -> None:
        self.app, self.security, self.limits, self.counters = app, security, limits, counters
        self.active = 0
        self.held = _Held()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = _Answer(send, secrets.token_hex(8))
        self.active += 1
        started = time.perf_counter()
        try:
            await self._guarded(scope, receive, answer)
        finally:
            self.active -= 1
            seconds = (answer.began or time.perf_counter()) - started
            self.counters.add(scope["method"] if scope["method"] in _METHODS else "other", answer.status, seconds)
            _note(scope, answer, seconds)

    async def _guarded(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            self._check(scope, headers)
            body = _Body(receive, self.limits, self.held)
            try:
                await self.app(scope, body.receive, answer.send)
            finally:
                body.release()
        except Exception as problem:
            if not isinstance(problem, RequestProblem):
                log.exception("%s %s", scope["method"], answer.request)
            if answer.status and not answer.complete:
                raise  # the answer has begun: the server closes the connection
            if not answer.status:
                await error_of(problem)(scope, receive, answer.send)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        """Put the owner of an acceptable request into its scope; raise `RequestProblem` for any other."""
        if self.active > MAX_REQUESTS:
            raise RequestProblem(
                429, "too many requests at once; try again soon", "rate_limit_exceeded", Retry_After="1"
            )
        host = host_name(headers.get("host", ""))
        if host not in self.security.hosts:
            raise RequestProblem(
                403, "this server does not answer to that host name; see --allow-host", "host_not_allowed"
            )
        if scope["method"] not in SAFE_METHODS:
            self._check_origin(headers)
        length = headers.get("content-length", "0")
        if len(length) > 15 or (length.isdecimal() and int(length) > self.limits.body_bytes):
            raise too_large(self.limits)  # before any of it is read
        owner = self.security.owner_of(headers.get("authorization", ""))
        is_open = scope["path"] in OPEN_PATHS or scope["path"].startswith(PAGE_FILES)
        if owner is None and not is_open:
            raise RequestProblem(
                401,
                "the token is missing or wrong; send the header Authorization: Bearer TOKEN",
                "invalid_api_key",
                WWW_Authenticate="Bearer",
            )
        scope["owner"] = owner or ""

    def _check_origin(self, headers: dict[str, str]) -> None:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        same = origin is None or origin.partition("://")[2] == headers.get("host")
        if not same or site not in ("same-origin", "none"):
            raise RequestProblem(403, "pages of other sites may not use this server", "origin_not_allowed")


_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


@dataclass
class _Held:
    """The bytes of the bodies of all requests that are not answered yet; they are in memory."""

    bytes: int = 0


class _Body:
    """Counts the bytes of a body while they arrive, and the seconds that it takes."""

    def __init__(self, receive: Receive, limits: Limits, held: _Held) -> None:
        self._receive, self._limits, self._held = receive, limits, held
        self._bytes, self._complete = 0, False
        self._until = asyncio.get_running_loop().time() + limits.body_seconds

    async def receive(self) -> Message:
        if self._complete:  # what is awaited now is the end of the connection
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise RequestProblem(
                408,
                f"the body did not arrive within {self._limits.body_seconds:g} s",
                "body_too_slow",
                Connection="close",
            ) from None
        self._bytes += (arrived := len(message.get("body", b"")))
        self._held.bytes += arrived
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        if self._bytes > self._limits.body_bytes:
            raise too_large(self._limits)
        if self._held.bytes > self._limits.bodies_bytes:
            words = "too many large bodies at once; try again soon"
            raise RequestProblem(429, words, "rate_limit_exceeded", Retry_After="1", Connection="close")
        return message

    def release(self) -> None:
        """Note that the body is in memory no more."""
        self._held.bytes -= self._bytes
        self._bytes = 0


class _Answer:
    """Passes an answer on, with the headers that all have; remembers its status and when it began."""

    def __init__(self, send: Send, request: str) -> None:
        self._send, self.request = send, request
        self.status, self.began, self.complete = 0, 0.0, False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.began = message["status"], time.perf_counter()
            present = {name.lower() for name, _ in message.get("headers", [])}
            more = {**HEADERS, "x-request-id": self.request, "cache-control": "no-store"}
            more |= {"content-security-policy": "default-src 'none'; frame-ancestors 'none'"}
            added = [(name.encode(), value.encode()) for name, value in more.items() if name.encode() not in present]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await self._send(message)
        self.complete = message["type"] == "http.response.body" and not message.get("more_body", False)


def _note(scope: Scope, answer: _Answer, seconds: float) -> None:
    """Log a request as a line of JSON; of prompts and tokens nothing."""
    record: dict[str, Any] = {
        "time": round(time.time(), 3),
        "request": answer.request,
        "method": scope["method"][:10],
        "path": scope["path"][:120],
        "status": answer.status,
        "ms": round(1000 * seconds, 1),
        "owner": scope.get("owner", ""),
    }
    log.info(json.dumps(record))
