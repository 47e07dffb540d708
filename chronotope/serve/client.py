"""A client of the service with the arguments of `Generator.generate`; it needs no package of the service."""

from __future__ import annotations

import base64
import io
import json
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import numpy as np

from chronotope.arguments import as_pixels, as_text, described
from chronotope.errors import ChronotopeError, UsageError
from chronotope.geometry import AnyFrames, Picture
from chronotope.prompt import read_prompts
from chronotope.request import Mask, Task

if TYPE_CHECKING:
    from chronotope.generate.pipeline import Generation

__all__ = ["Client", "ServiceError"]

POLL_SECONDS = 0.3
ANSWER_SECONDS = 60.0
MAX_FPS = 90  # of a clip that is sent: animated pictures with shorter frames are played slowly


class ServiceError(ChronotopeError):
    """The service refused a request, or a job failed; `status` is that of HTTP, 0 for a job."""

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Client:
    """A service at an address, such as http://127.0.0.1:8000; `token` is one of those that it was started with."""

    def __init__(self, url: str, token: str | None = None) -> None:
        as_text("url", url)
        if not url.startswith(("http:", "https:")):
            raise UsageError(f"the address of a service begins with http: or https:, got {url[:100]}")
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        # no proxy of the environment: the service is this machine's, or one of the user's own
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def generate(
        self,
        prompt: str | Sequence[tuple[float, str]],
        *,
        image: Picture | Sequence[tuple[float, Picture]] | None = None,
        video: AnyFrames | None = None,
        task: Task | None = None,
        into: AnyFrames | None = None,
        strength: float | None = None,
        context: float | None = None,
        span: tuple[float, float] | None = None,
        mask: Mask | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        fps: float | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str = "",
        solver: Literal["euler", "heun"] = "euler",
        draft: bool = False,
        consent: str = "",
        seed: int = 0,
        expand: bool = False,
        report: Callable[[int], None] = lambda step: None,
    ) -> Generation:
        """Have a video made, wait for it, and hold its frames; see `Generator.generate`.

        The frames are those of the file, so they are marked, and those of a video are compressed. `expand` writes the
        prompt as a caption first, as `chronotope generate` does. Raises `UsageError` and `ServiceError`.
        """
        read_prompts(prompt)  # raises UsageError for what is no prompt
        rate = fps or self._model()["fps"]
        images = [] if image is None else list(image) if isinstance(image, list | tuple) else [(0.0, image)]
        fields = {
            "story": [list(beat) for beat in prompt] if not isinstance(prompt, str) else None,
            "prompt": prompt if isinstance(prompt, str) else None,
            "image": [_picture_url(picture) for _, picture in images] or None,
            "at": [seconds for seconds, _ in images] or None,
            "video": None if video is None else _clip_url("video", video, rate),
            "into": None if into is None else _clip_url("into", into, rate),
            "mask": None if mask is None else _clip_url("mask", _shown_mask(mask), rate),
            "task": task,
            "strength": strength,
            "context": context,
            "span": None if span is None else list(span),
            "height": height,
            "width": width,
            "num_frames": num_frames,
            "fps": fps,
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "negative_prompt": negative_prompt,
            "solver": solver,
            "draft": draft,
            "consent": consent or None,
            "seed": seed,
            "expand": expand,
        }
        return self._result(self._wait(self.submit(fields), report))

    def submit(self, fields: dict[str, Any], key: str | None = None) -> str:
        """Send the fields of POST /v1/generations and return the identifier of the job.

        With an idempotency `key` the same request can be sent again, and is one job.
        """
        left = {name: value for name, value in fields.items() if value is not None}
        headers = {"Idempotency-Key": key} if key else {}
        return str(self._json("POST", "/v1/generations", left, headers)["id"])

    def job(self, name: str) -> dict[str, Any]:
        """Return the state of a job."""
        return self._json("GET", f"/v1/generations/{quote(name, safe='')}")

    def content(self, name: str, variant: Literal["video", "thumbnail", "spritesheet"] = "video") -> bytes:
        """Return the file of a finished job, or a preview of it."""
        return self._call("GET", f"/v1/generations/{quote(name, safe='')}/content?variant={variant}")

    def delete(self, name: str) -> None:
        """Delete a job and its files."""
        self._call("DELETE", f"/v1/generations/{quote(name, safe='')}")

    def _wait(self, name: str, report: Callable[[int], None]) -> dict[str, Any]:
        last = 0
        while True:
            job = self.job(name)
            for step in range(last, job["step"]):
                report(step)
            last = max(last, job["step"])
            if job["status"] == "failed":
                raise ServiceError(job["error"]["message"], code=job["error"]["code"])
            if job["status"] == "completed":
                return job
            time.sleep(POLL_SECONDS)

    def _result(self, job: dict[str, Any]) -> Generation:
        from chronotope.generate.pipeline import Generation
        from chronotope.media import video

        origin = self._json("GET", f"/v1/generations/{job['id']}/settings")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("made.png" if job["object"] == "picture" else "made.mp4")
            path.write_bytes(self.content(job["id"]))
            frames = video.read(path, max_bytes=video.MAX_READ_BYTES).frames
        return Generation(frames, job["fps"], origin)

    def _model(self) -> dict[str, Any]:
        found: dict[str, Any] = self._json("GET", "/v1/models")["data"][0]
        return found

    def _json(
        self, method: str, path: str, fields: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        body = None if fields is None else json.dumps(fields, default=_plain).encode()
        found = json.loads(self._call(method, path, body, headers or {}))
        assert isinstance(found, dict)
        return found

    def _call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        kind = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(
            self.url + path, data=body, headers={**self._headers, **kind, **(headers or {})}, method=method
        )
        try:
            with self._opener.open(request, timeout=ANSWER_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as problem:
            with problem:
                raise _refusal(problem.code, problem.read()) from None
        except (OSError, urllib.error.URLError) as problem:
            reason = getattr(problem, "reason", problem)
            raise ServiceError(
                f"no service answers at {self.url} ({reason}); start it with `chronotope serve`"
            ) from None


def _plain(value: Any) -> Any:
    """Return a number of numpy as one of Python, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise UsageError(f"{described(value)} cannot be sent to a service; give a text, a number or a list")


def _refusal(status: int, body: bytes) -> ServiceError:
    try:
        error = json.loads(body)["error"]
        return ServiceError(str(error["message"]), status, str(error["code"]))
    except (ValueError, KeyError, TypeError):
        return ServiceError(f"the service answered with status {status}", status)


# Pixels are sent without loss


def _picture_url(picture: Any) -> str:
    from PIL import Image

    packed = io.BytesIO()
    Image.fromarray(as_pixels("image", picture, "height, width")).save(packed, "PNG")
    return _data_url(packed)


def _clip_url(name: str, frames: Any, fps: float) -> str:
    """Pack frames as an animated PNG. Frame n begins at the whole millisecond before n / fps, so it is read there."""
    from PIL import Image

    frames = as_pixels(name, frames, "frames, height, width")
    if fps > MAX_FPS:
        raise UsageError(
            f"{name} at {fps:g} frames a second cannot be sent without loss, at most {MAX_FPS}; upload a file"
        )
    starts = [int(1000 * number / fps) for number in range(len(frames) + 1)]
    lengths = [stop - start for start, stop in pairwise(starts)]
    first, *others = map(Image.fromarray, frames)
    packed = io.BytesIO()
    # neighbours of different blending are never merged into one frame; without alpha both kinds show the same pixels
    blends = [number % 2 for number in range(len(frames))]
    durations = lengths if others else lengths[0]
    first.save(packed, "PNG", save_all=True, append_images=others, duration=durations, blend=blends)
    return _data_url(packed)


def _shown_mask(mask: Any) -> np.ndarray:
    found = np.asarray(mask)
    if found.dtype != np.bool_ or found.ndim != 3:
        raise UsageError(
            f"mask must be a numpy array, bool [frames, height, width], got {described(mask)}; one frame for the whole "
            "clip is mask[None]"
        )
    return np.repeat(255 * found.astype(np.uint8)[..., None], 3, axis=-1)


def _data_url(packed: io.BytesIO) -> str:
    return f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}"
