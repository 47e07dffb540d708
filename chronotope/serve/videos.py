"""The calls of the OpenAI video API, and of its files and pictures: the wire that existing clients speak."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Receive, Scope, Send

from chronotope.errors import FileProblem
from chronotope.serve.jobs.store import Job
from chronotope.serve.order import (
    FIELDS,
    MAX_SEED,
    FieldError,
    Order,
    Upload,
    named_fields,
    read_order,
    shown_name,
    text_of,
)
from chronotope.serve.previews import VARIANTS, preview_file
from chronotope.serve.service import DAY, Service
from chronotope.serve.wire import ErrorResponse, RequestProblem, file_object, read_fields, video_object

__all__ = [
    "ALIASES",
    "FileAnswer",
    "body_of",
    "content",
    "create",
    "job_of",
    "listed",
    "ordered",
    "owner_of",
    "router",
    "service_of",
    "shown",
]

ALIASES = ("sora-2", "sora-2-pro")  # models that clients name by themselves
MAX_LISTED = 100
MAX_KEY = 200
MAX_PICTURES = 4
POLL_MS = "500"  # how long the client waits before it looks again
# Fields of the pictures call that existing clients send, each with the one value of which nothing else is asked.
FIXED = {"quality": "auto", "background": "auto", "moderation": "auto", "output_format": "png"}
PICTURE_SECONDS = 300.0  # for which a call for pictures waits

router = APIRouter()


# What the calls share


def body_of(*names: str) -> dict[str, Any]:
    """Return the part of the OpenAPI schema that describes a body with these fields, or with all of them."""
    fields = {name: FIELDS[name] for name in names or FIELDS}
    properties = {
        other: {**field.schema, "description": field.about}
        for name, field in fields.items()
        for other in (name, *field.names)
    }
    schema = {"type": "object", "properties": properties}
    kinds = {kind: {"schema": schema} for kind in ("application/json", "multipart/form-data")}
    return {"requestBody": {"content": kinds, "required": True}}


def service_of(request: Request) -> Service:
    """Return the service behind a request."""
    service: Service = request.app.state.service
    return service


def owner_of(request: Request) -> str:
    """Return whose request it is, as the guard found."""
    owner: str = request.scope["owner"]
    return owner


async def job_of(request: Request, name: str) -> Job:
    """Return a job of the owner of a request."""
    return await run_in_threadpool(service_of(request).job, owner_of(request), name)


def shown(request: Request, job: Job) -> dict[str, Any]:
    """Return a job as the wire shows it."""
    service = service_of(request)
    return video_object(job, service.facts.name, service.progress(job), service.limits.keep_days * DAY)


def _answer(request: Request, job: Job) -> JSONResponse:
    return JSONResponse(shown(request, job), headers={"openai-poll-after-ms": POLL_MS})


def ordered(request: Request, raw: Mapping[str, Any], **fixed: Any) -> tuple[Order, dict[str, Any]]:
    """Return the order and the media of a request, as `read_order`; its model is checked."""
    model, served = raw.get("model"), service_of(request).facts.name
    if model is not None and model not in (served, *ALIASES):
        raise FieldError("model", f"this server has the model '{served}' alone", "model_not_found")
    return read_order(raw, **fixed)


async def create(
    request: Request,
    order: Order,
    media: Mapping[str, Any],
    remixed_from: str | None = None,
    key: str | None = None,
) -> Job:
    """Make a job of an order; without `key` it has the idempotency key of the request."""
    if order.seconds == 0 and not order.picture:
        raise FieldError("seconds", "a video is longer than 0 s; POST /v1/images/generations makes pictures")
    kind: Literal["video", "picture"] = "picture" if order.picture else "video"
    make = partial(
        service_of(request).create, owner_of(request), order, media, kind, key or _key(request), remixed_from
    )
    return await run_in_threadpool(make)


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_KEY:
        raise RequestProblem(400, f"an idempotency key has 1 to {MAX_KEY} characters", "invalid_idempotency_key")
    return key


async def listed(request: Request, kind: str | None) -> dict[str, Any]:
    """Return a page of the jobs of an owner, as `after`, `limit` and `order` of the query say."""
    query, service, owner = request.query_params, service_of(request), owner_of(request)
    limit, order, after = query.get("limit", "20"), query.get("order", "desc"), query.get("after") or None
    if not re.fullmatch(r"[0-9]{1,4}", limit) or not 1 <= int(limit) <= MAX_LISTED:
        raise FieldError("limit", f"limit must be a whole number from 1 to {MAX_LISTED}")
    if order not in ("asc", "desc"):
        raise FieldError("order", "order must be asc or desc")
    number = None if after is None else (await job_of(request, after)).number
    jobs = await run_in_threadpool(service.store.jobs, owner, kind, number, int(limit) + 1, order == "desc")
    data = [shown(request, job) for job in jobs[: int(limit)]]
    return {
        "object": "list",
        "data": data,
        "has_more": len(jobs) > int(limit),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


class _RangeError(Exception):
    """A header Range that names no bytes of the file."""

    def __init__(self, status: int, possible: str) -> None:
        super().__init__(status)
        self.status, self.possible = status, possible


class FileAnswer(FileResponse):
    """A file, of which parts can be asked for; a wrong part, and a file that is gone, are errors of the wire."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not Path(self.path).is_file():
            await ErrorResponse(404, "the file is gone", "not_found")(scope, receive, send)
            return

        begun = False

        async def checked(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and message["status"] >= 400:
                raise _RangeError(message["status"], dict(message["headers"]).get(b"content-range", b"").decode())
            begun = True
            await send(message)

        try:
            await super().__call__(scope, receive, checked)
        except _RangeError as refused:
            headers = {"Content-Range": refused.possible} if refused.possible else {}
            words = "the header Range must name bytes of the file, such as bytes=0-99"
            await ErrorResponse(refused.status, words, "invalid_range", headers=headers)(scope, receive, send)
        except (RuntimeError, FileNotFoundError):
            if begun or Path(self.path).is_file():
                raise
            await ErrorResponse(404, "the file is gone", "not_found")(scope, receive, send)


async def content(request: Request, job: Job) -> Response:
    """Return the file of a finished job, or a preview of it, as `variant` of the query says."""
    service, variant = service_of(request), request.query_params.get("variant", "video")
    if variant not in ("video", *VARIANTS):
        raise FieldError("variant", f"variant must be video, {' or '.join(VARIANTS)}")
    if job.state != "completed":
        raise RequestProblem(
            409, f"the {job.kind} is {job.state}; its content is there when it is completed", "not_ready"
        )
    path = service.output_path(job)
    if path.is_file():
        await run_in_threadpool(service.check_output, job)
    kind = "image/png" if job.kind == "picture" else "video/mp4"
    if variant != "video":
        kind = VARIANTS[variant][1]
        if path.is_file():
            try:
                path = await run_in_threadpool(preview_file, path, variant, service.rules)
            except (FileProblem, OSError):
                await job_of(request, job.id)  # it raises where the video was deleted meanwhile
                raise
    return FileAnswer(path, media_type=kind, filename=path.name, content_disposition_type="inline")


# Videos


@router.post("/v1/videos", summary="Make a video", openapi_extra=body_of())
async def create_video(request: Request) -> JSONResponse:
    """Make a video from a prompt, and from pictures or clips where a task names them."""
    return _answer(request, await create(request, *ordered(request, await read_fields(request))))


@router.get("/v1/videos", summary="List videos")
async def list_videos(request: Request, after: str = "", limit: str = "20", order: str = "desc") -> JSONResponse:
    """List your videos, the newest first."""
    del after, limit, order  # for the schema; `listed` reads the query itself
    return JSONResponse(await listed(request, "video"))


@router.post("/v1/videos/extensions", summary="Extend a video", openapi_extra=body_of())
async def extend_video(request: Request) -> JSONResponse:
    """Continue a video by `seconds`; `task` extend_backward makes what precedes it."""
    raw = await read_fields(request)
    _need(raw, "video", "seconds")
    if raw.get("task") not in (None, "extend", "extend_backward"):
        raise FieldError("task", "an extension has the task extend or extend_backward")
    order, media = ordered(request, {**raw, "task": raw.get("task") or "extend"})
    return _answer(request, await create(request, order, media))


@router.post("/v1/videos/edits", summary="Edit a video", openapi_extra=body_of())
async def edit_video(request: Request) -> JSONResponse:
    """Change a video to what the prompt says, by `strength`; its length stays."""
    raw = await read_fields(request)
    _need(raw, "video")
    if raw.get("seconds") is not None:
        raise FieldError("seconds", "an edit keeps the length of its video; leave seconds out")
    return _answer(request, await create(request, *ordered(request, raw, task="edit")))


@router.post("/v1/videos/characters", summary="Not supported")
async def create_character(request: Request) -> ErrorResponse:
    """Characters are not supported by the models of this program."""
    del request
    return ErrorResponse(400, "characters are not supported; describe the character in the prompt", "unsupported")


@router.get("/v1/videos/{name}", summary="Look at a video")
async def retrieve_video(request: Request, name: str) -> JSONResponse:
    """Return the state and the progress of a video."""
    return _answer(request, await job_of(request, name))


@router.delete("/v1/videos/{name}", summary="Delete a video")
async def delete_video(request: Request, name: str) -> JSONResponse:
    """Delete a video and its files; one in progress is stopped."""
    await run_in_threadpool(service_of(request).delete, owner_of(request), name)
    return JSONResponse({"id": name, "object": "video.deleted", "deleted": True})


@router.head("/v1/videos/{name}/content", include_in_schema=False)
@router.get("/v1/videos/{name}/content", summary="Download a video")
async def video_content(request: Request, name: str, variant: str = "video") -> Response:
    """Return the video, its thumbnail (WebP) or a sheet of its frames (JPEG); parts of it with Range."""
    del variant  # for the schema
    return await content(request, await job_of(request, name))


@router.post("/v1/videos/{name}/remix", summary="Remix a video", openapi_extra=body_of())
async def remix_video(request: Request, name: str) -> JSONResponse:
    """Make a video again with another prompt, and with the same settings, inputs and seed unless they are given."""
    raw, source = await read_fields(request), await job_of(request, name)
    _need(raw, "prompt")
    changed, media = ordered(request, raw)
    before = service_of(request).order_of(source)
    named: dict[str, Any] = {name: getattr(changed, name) for name in named_fields(raw)}
    if "seconds" in named or "num_frames" in named:
        named = {"seconds": None, "num_frames": None, **named}
    if media:
        named = {"consent": "", **named}  # it was stated of the other files
    if "image" in media:
        named = {"at": (), **named}  # the times were those of the other pictures
    kept: dict[str, Any] = {"image": before.images} if before.images and "image" not in media else {}
    for part in ("video", "into", "mask"):
        if (file := getattr(before, part)) and part not in media:
            kept[part] = file
    files = {"images": (), "video": None, "into": None, "mask": None}
    unchanged = changed.story == ((0.0, text_of(before.story)),)  # a story is shown as one text
    story = before.story if unchanged else changed.story
    order = replace(before, **{**files, **named, "story": story})
    return _answer(request, await create(request, order, {**kept, **media}, source.id))


def _without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _need(raw: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if raw.get(name) is None:
            raise FieldError(name, f"{name} is missing; this call needs it", "missing_required_parameter")


# Files


@router.post("/v1/files", summary="Upload a picture or clip")
async def upload_file(request: Request) -> JSONResponse:
    """Store a picture or clip, for requests that name it by its id."""
    fields = await read_fields(request)
    if unknown := fields.keys() - {"file", "purpose"}:
        raise FieldError(
            min(unknown), f"unknown field '{shown_name(min(unknown))}'; a file is all", "unknown_parameter"
        )
    upload = fields.get("file")
    if not isinstance(upload, Upload):
        raise FieldError("file", "file is missing; send it in a multipart form", "missing_required_parameter")
    service = service_of(request)
    return JSONResponse(file_object(await run_in_threadpool(service.add_file, owner_of(request), upload)))


@router.get("/v1/files", summary="List files")
async def list_files(request: Request) -> JSONResponse:
    """List your uploaded files."""
    files = await run_in_threadpool(service_of(request).store.files, owner_of(request))
    return JSONResponse({"object": "list", "data": [file_object(file) for file in files], "has_more": False})


@router.get("/v1/files/{name}", summary="Look at a file")
async def retrieve_file(request: Request, name: str) -> JSONResponse:
    """Return the facts of an uploaded file."""
    return JSONResponse(file_object(await run_in_threadpool(service_of(request).file, owner_of(request), name)))


@router.delete("/v1/files/{name}", summary="Delete a file")
async def delete_file(request: Request, name: str) -> JSONResponse:
    """Delete an uploaded file; what was made from it stays."""
    await run_in_threadpool(service_of(request).delete_file, owner_of(request), name)
    return JSONResponse({"id": name, "object": "file", "deleted": True})


# Pictures


@router.post("/v1/images/generations", summary="Make pictures", openapi_extra=body_of())
async def create_pictures(request: Request) -> JSONResponse:
    """Make `n` pictures of rising seeds and wait for them; they come as base64 of PNG files."""
    raw = await read_fields(request)
    count, style = raw.get("n", 1), raw.get("response_format", "b64_json")
    if not re.fullmatch(r"[0-9]{1,3}", str(count)) or not 1 <= int(count) <= MAX_PICTURES:
        raise FieldError("n", f"n must be a whole number from 1 to {MAX_PICTURES}")
    if style != "b64_json":
        raise FieldError("response_format", "pictures come as b64_json alone")
    for name, value in FIXED.items():
        if raw.get(name) not in (None, value):
            raise FieldError(name, f"{name} can only be {value}, which has no effect; leave it out")
    raw = _without(raw, "n", "response_format", "user", *FIXED)
    order, media = ordered(request, raw)
    if order.seed + int(count) > MAX_SEED:
        raise FieldError("seed", f"{count} pictures need as many seeds below 2^63")
    key = _key(request)
    jobs = []
    for number in range(int(count)):
        one = replace(order, picture=True, seed=order.seed + number)
        jobs.append(await create(request, one, media, key=f"{key}/{number}" if key else None))
    done = [await _finished(request, job) for job in jobs]
    data = []
    for job in done:
        path = await run_in_threadpool(service_of(request).check_output, job)
        encoded = await run_in_threadpool(path.read_bytes)
        told = (job.result or {}).get("told")
        data.append({"b64_json": base64.b64encode(encoded).decode(), "revised_prompt": told})
    return JSONResponse({"created": int(done[0].created), "data": data})


async def _finished(request: Request, job: Job) -> Job:
    """Wait until a job has ended well."""
    until = asyncio.get_running_loop().time() + PICTURE_SECONDS
    while asyncio.get_running_loop().time() < until:
        job = await job_of(request, job.id)
        if job.state == "completed":
            return job
        if job.error is not None:
            status = 400 if job.error["code"] == "invalid_request" else 503
            raise RequestProblem(status, job.error["message"], job.error["code"])
        await asyncio.sleep(0.1)
    raise RequestProblem(
        503, f"the picture waits for others; it is {job.id}, look at it later", "timeout", Retry_After="30"
    )
