"""Requests to the application of a service in this process, without a socket."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import httpx
from PIL import Image

from chronotope.serve.app import make_app
from chronotope.serve.guard import Security
from chronotope.serve.service import Service

Ask = Callable[..., httpx.Response]
ORDER = {"prompt": "a fox walks"}


def asked(service: Service, security: Security | None = None) -> Ask:
    """A function that sends one request to the application of a service."""
    app = make_app(service, security)

    def ask(method: str, path: str, **named: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
                return await client.request(method, path, **named)

        return asyncio.run(send())

    return ask


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error of an answer, whose shape is that of the wire."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["code"] == code
    assert "Traceback" not in answer.text
    return dict(body["error"])


def picture(kind: str = "PNG") -> bytes:
    """A small picture file."""
    packed = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(packed, kind)
    return packed.getvalue()
