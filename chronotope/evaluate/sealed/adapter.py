"""A model behind a folder of files or an HTTP API: a request goes in, the bytes of one output come out.

The folder is shared with whoever runs the model: a request appears as requests/ID.json, its output is awaited as
outputs/ID.mp4. The API is that of POST /v1/videos, and of POST /v1/images/generations for a prompt of one frame, which
`chronotope serve` and others speak.
"""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from chronotope.errors import ChronotopeError, FileProblem, UsageError
from chronotope.parsing import parse_json
from chronotope.storage import read_json, write_json

__all__ = ["TOKEN", "Adapter", "FolderAdapter", "NoOutputError", "ServiceAdapter", "find_adapter"]

TOKEN = "CHRONOTOPE_ADAPTER_TOKEN"  # an environment variable
POLL_SECONDS = 0.2
ANSWER_SECONDS = 120.0
MOST_BYTES = 2**30  # of one output


class NoOutputError(ChronotopeError):
    """The model was asked and made no output; it counts as failed."""


class Adapter(Protocol):
    """A model that is asked for one output at a time."""

    name: str

    def make(self, request: Mapping[str, Any]) -> bytes:
        """Return the bytes of the output; raise `NoOutputError` where the model has none, FileProblem where it is
        unreachable, which is no verdict.
        """
        ...

    def receipt(self, receipt: Mapping[str, Any]) -> None:
        """Tell whoever runs the model what was committed."""
        ...


def find_adapter(where: str, timeout: float) -> Adapter:
    """Return the adapter for an address that begins with http: or https:, or for a folder.

    `timeout` is in seconds, of one output. Raises UsageError for anything else.
    """
    if where.startswith(("http:", "https:")):
        return ServiceAdapter(where, timeout, os.environ.get(TOKEN))
    folder = Path(where)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--adapter takes a folder or an address such as http://127.0.0.1:8000, got the file {where}")
    return FolderAdapter(folder, timeout)


class FolderAdapter:
    """A model whose maker reads requests/ID.json and writes outputs/ID.mp4, .png, or ID.failed with a reason."""

    def __init__(self, folder: Path, timeout: float) -> None:
        self.name, self.folder, self.timeout = f"folder {folder.resolve().name}", folder, timeout

    def make(self, request: Mapping[str, Any]) -> bytes:
        """Write the request, and wait until the output is there."""
        wanted, output = self.folder / f"requests/{request['id']}.json", self.folder / "outputs" / request["file"]
        failed = output.with_suffix(".failed")
        if wanted.exists() and read_json(wanted) != request:
            raise FileProblem(f"{wanted} is a request of another run; give an empty --adapter folder")
        if not wanted.exists() and (output.exists() or failed.exists()):
            raise FileProblem(f"{output} was there before its prompt was revealed; give an empty --adapter folder")
        output.parent.mkdir(parents=True, exist_ok=True)
        wanted.parent.mkdir(exist_ok=True)
        write_json(wanted, request)
        until = time.monotonic() + self.timeout
        while True:
            if output.is_file():
                return self._read(output)
            if failed.is_file():
                reason = failed.read_bytes()[:500].decode("utf-8", "replace").strip()
                raise NoOutputError(f"its maker says: {reason or 'no reason'}")
            if time.monotonic() > until:
                raise NoOutputError(f"no output within {self.timeout:g} s")
            time.sleep(POLL_SECONDS)

    def _read(self, output: Path) -> bytes:
        if output.is_symlink() or output.stat().st_size > MOST_BYTES:
            raise NoOutputError(f"{output.name} is a link, or has more than {MOST_BYTES >> 20} MiB")
        return output.read_bytes()

    def receipt(self, receipt: Mapping[str, Any]) -> None:
        """Write receipts/ID.json."""
        folder = self.folder / "receipts"
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{receipt['case']}.json", receipt)


class ServiceAdapter:
    """A model behind the calls of /v1/videos and /v1/images; what it refuses with a status of 4xx counts as failed."""

    def __init__(self, url: str, timeout: float, token: str | None = None) -> None:
        if not urlsplit(url).hostname:
            raise UsageError(f"an address looks like http://127.0.0.1:8000, got {url[:100]}")
        self.name, self.url, self.timeout = f"service {urlsplit(url).netloc.rpartition('@')[2]}", url, timeout
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def make(self, request: Mapping[str, Any]) -> bytes:
        """Order a video, wait for it, and download it."""
        if request["file"].endswith(".png"):
            return self._picture(request)
        until = time.monotonic() + self.timeout
        job = self._json("POST", "/v1/videos", _fields(request))
        name = job.get("id")
        if not isinstance(name, str):
            raise NoOutputError("the service answered without the id of a video")
        path = f"/v1/videos/{quote(name, safe='')}"
        while job.get("status") != "completed":
            if job.get("status") in ("failed", "cancelled"):
                raise NoOutputError(f"the service failed: {str(job.get('error'))[:300]}")
            if time.monotonic() > until:
                raise NoOutputError(f"no output within {self.timeout:g} s")
            time.sleep(POLL_SECONDS)
            job = self._json("GET", path)
        return self._call("GET", f"{path}/content")

    def _picture(self, request: Mapping[str, Any]) -> bytes:
        """Ask for one picture, which comes in the answer."""
        wanted = {name: value for name, value in _fields(request).items() if name in ("prompt", "size", "seed")}
        found = self._json("POST", "/v1/images/generations", wanted, self.timeout)
        try:
            return base64.b64decode(found["data"][0]["b64_json"], validate=True)
        except (KeyError, IndexError, TypeError, ValueError):
            raise NoOutputError("the service answered without a picture in data[0].b64_json") from None

    def receipt(self, receipt: Mapping[str, Any]) -> None:
        """Send nothing: the calls of /v1/videos have no place for it."""

    def _json(
        self, method: str, path: str, fields: Mapping[str, Any] | None = None, seconds: float = ANSWER_SECONDS
    ) -> dict[str, Any]:
        try:
            found = parse_json(self._call(method, path, fields, seconds))
        except ValueError as problem:
            raise NoOutputError(f"the service answered with what is no JSON ({problem})") from problem
        return found if isinstance(found, dict) else {}

    def _call(
        self, method: str, path: str, fields: Mapping[str, Any] | None = None, seconds: float = ANSWER_SECONDS
    ) -> bytes:
        body = None if fields is None else json.dumps(fields).encode()
        headers = {**self._headers, **({"Content-Type": "application/json"} if body else {})}
        request = urllib.request.Request(self.url.rstrip("/") + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                content: bytes = answer.read(MOST_BYTES + 1)
        except urllib.error.HTTPError as problem:
            with problem:
                said = problem.read(500).decode("utf-8", "replace")
            if problem.code in (401, 403, 404, 429) or problem.code >= 500:
                raise FileProblem(
                    f"{self.url}{path} answers with status {problem.code}: {said}; run the same command to continue"
                ) from problem
            raise NoOutputError(f"refused with status {problem.code}: {said}") from problem
        except OSError as problem:
            reason = getattr(problem, "reason", problem)
            raise FileProblem(f"no service answers at {self.url} ({reason}); start it, and run again") from problem
        if len(content) > MOST_BYTES:
            raise NoOutputError(f"the output has more than {MOST_BYTES >> 20} MiB")
        return content


def _fields(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what POST /v1/videos takes; seconds need frames and their rate, so frames alone are told as they are."""
    found = {"prompt": request["prompt"]}
    if "num_frames" in request and "fps" in request:
        found["seconds"] = f"{request['num_frames'] / request['fps']:g}"
    elif "num_frames" in request:
        found["num_frames"] = request["num_frames"]
    if "width" in request and "height" in request:
        found["size"] = f"{request['width']}x{request['height']}"
    return found | {name: request[name] for name in ("fps", "seed") if name in request}
