"""Requests that no client sends: every answer is below 500, in the shape of the wire, and names no path of the server.

`CHRONOTOPE_FUZZ=10000` sends as many of each kind.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chronotope.serve.app import make_app
from chronotope.serve.limits import Limits
from chronotope.serve.order import FIELDS
from chronotope.serve.service import Service

EXAMPLES = int(os.environ.get("CHRONOTOPE_FUZZ", "60"))
NAMES = [
    *FIELDS,
    *(other for field in FIELDS.values() for other in field.names),
    "n",
    "extra_params",
    "file",
    "x",
    "a[]",
]
PATHS = (
    "/v1/videos",
    "/v1/generations",
    "/v1/videos/extensions",
    "/v1/videos/edits",
    "/v1/videos/characters",
    "/v1/videos/{name}/remix",
    "/v1/files",
)
HALVES = st.text(st.characters(categories=["Cs", "Ll"]), max_size=4)  # with lone surrogates, as JSON can name them
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    HALVES,
    st.sampled_from(
        ["a fox", "96x64", "1e309", "extend", "loop", "[1, 2]", '{"id": "x"}', "data:image/png;base64,AAAA"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | HALVES, inner, max_size=2),
    max_leaves=5,
)
BODIES = st.dictionaries(st.sampled_from(NAMES) | HALVES, VALUES, max_size=5)
FORMS = st.dictionaries(
    st.sampled_from([*NAMES, "video[id]", "at[]", "story[]", "]["]),
    SCALARS.map(str).filter(str.isprintable) | VALUES.map(json.dumps) | st.binary(max_size=30),
    max_size=5,
)
# one loop and one application for all examples: a thousand of each would take minutes to make
fuzzed = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Application:
    """An application that is asked again and again."""

    def __init__(self, service: Service) -> None:
        self.service, self.app = service, make_app(service)
        self.name = self.ask("POST", "/v1/videos", json={"prompt": "a fox"}).json()["id"]

    def ask(self, method: str, path: str, **named: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, **named)

        return asyncio.run(send())

    def check(self, answer: httpx.Response) -> None:
        """Fail for an answer that is no answer of the wire."""
        assert answer.status_code < 500, answer.text
        assert str(self.service.folder) not in answer.text
        if answer.status_code >= 400:
            error = answer.json()["error"]
            assert set(error) == {"message", "type", "param", "code"} and error["message"]


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    limits = Limits(queued=10**9)
    with Service(tmp_path_factory.mktemp("fuzz") / "service", devices=(), limits=limits) as service:
        yield Application(service)


@fuzzed
@given(path=st.sampled_from(PATHS), body=BODIES, prompt=st.booleans())
def test_json_bodies(application: Application, path: str, body: dict[str, Any], prompt: bool) -> None:
    text = json.dumps({"prompt": "a fox", **body} if prompt else body)  # with NaN and Infinity, which clients send too
    headers = {"content-type": "application/json"}
    path = path.format(name=application.name)
    application.check(application.ask("POST", path, content=text, headers=headers))
    application.check(application.ask("GET", "/v1/generations"))


@fuzzed
@given(path=st.sampled_from(PATHS), form=FORMS)
def test_forms(application: Application, path: str, form: dict[str, str | bytes]) -> None:
    data = {name: value for name, value in form.items() if isinstance(value, str)}
    files = {name: ("a.png", value) for name, value in form.items() if isinstance(value, bytes)}
    path = path.format(name=application.name)
    application.check(application.ask("POST", path, data={"prompt": "a fox", **data}, files=files or None))


@fuzzed
@given(
    content=st.binary(max_size=200), kind=st.sampled_from(["application/json", "multipart/form-data; boundary=x", "x"])
)
def test_bodies_that_are_no_bodies(application: Application, content: bytes, kind: str) -> None:
    for body in (content, b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n' + content + b"\r\n--x--\r\n"):
        application.check(application.ask("POST", "/v1/videos", content=body, headers={"content-type": kind}))


@fuzzed
@given(
    place=st.sampled_from(["videos", "generations", "files", "models"]),
    name=st.text(max_size=20),
    end=st.sampled_from(["", "/content", "/settings", "/events", "/remix"]),
    query=st.dictionaries(st.sampled_from(["after", "limit", "order", "variant"]), st.text(max_size=8), max_size=3),
    method=st.sampled_from(["GET", "DELETE", "HEAD", "PATCH"]),
)
def test_addresses(application: Application, place: str, name: str, end: str, query: Any, method: str) -> None:
    from urllib.parse import quote

    answer = application.ask(method, f"/v1/{place}/{quote(name, safe='', errors='replace')}{end}", params=query)
    if method != "HEAD":
        application.check(answer)
    assert answer.status_code < 500
