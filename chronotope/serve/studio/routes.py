"""The routes of the page: its files, what it shows of model, prompt and costs, the order of the queue, and folders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from chronotope.generate.memory import available_bytes
from chronotope.media import video
from chronotope.serve.jobs.costs import Size, estimate, size_of
from chronotope.serve.jobs.store import Job, StoredFile
from chronotope.serve.order import FieldError
from chronotope.serve.service import MissingError, Service
from chronotope.serve.studio.folders import content_of, find_shown, media_of, shown_of
from chronotope.serve.studio.model import model_page, rates_of
from chronotope.serve.studio.prompt import read_prompt
from chronotope.serve.texts import vocabulary
from chronotope.serve.uploads import unchanged
from chronotope.serve.videos import FileAnswer, job_of, owner_of, service_of
from chronotope.serve.wire import RequestProblem, read_fields

__all__ = ["router"]

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
KINDS = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
PAST_JOBS, LOOKED_AT = 8, 100  # of the completed ones, those without a clip tell how fast this machine is
MAX_ROWS = 100

router = APIRouter()


# The page


@router.head("/", include_in_schema=False)
@router.get("/", include_in_schema=False)
async def page() -> Response:
    """Return the page."""
    return _built("index.html")


@router.get("/studio/{name}", include_in_schema=False)
async def built(name: str) -> Response:
    """Return a file that belongs to the page."""
    return _built(name)


def _built(name: str) -> Response:
    file = resources.files("chronotope.serve.studio").joinpath("built", name)
    if not re.fullmatch(r"[A-Za-z0-9_-]+\.(html|js|css)", name) or not file.is_file():
        raise RequestProblem(404, "the page has no such file", "not_found")
    headers = {"content-security-policy": POLICY, "cache-control": "no-cache"}
    return Response(file.read_bytes(), media_type=KINDS[name.rpartition(".")[2]], headers=headers)


# The model, prompts and costs


@router.get("/v1/studio/model", summary="What the page shows of the model")
async def studio_model(request: Request) -> JSONResponse:
    """Return the words that the model knows, the sizes of its training and its measured rate of success."""
    return JSONResponse(await run_in_threadpool(model_page, service_of(request).facts))


@router.get("/v1/studio/prompt", summary="What the model is told for a prompt")
async def studio_prompt(
    request: Request,
    text: str,
    num_frames: str = "",
    fps: str = "",
    prompt: Annotated[tuple[str, ...], Query()] = (),
    negative_prompt: str = "",
    guidance_scale: str = "",
    expand: str = "true",
) -> JSONResponse:
    """Return the caption for a prompt, what became of its words, how often its kind succeeded, and why it is refused.

    `text` is one prompt of a story, `prompt` all of them; `refusal` is empty where an order with them is accepted.
    """
    service = service_of(request)
    facts, most = service.facts, service.limits.prompt_characters
    for name, value in (("text", text), ("prompt", "".join(prompt)), ("negative_prompt", negative_prompt)):
        if len(value) > most:
            raise FieldError(name, f"{name} has {len(value)} characters, at most {most} are read; shorten it")
    frames = _count("num_frames", num_frames, facts.defaults.num_frames, 1_000_000)
    rate = max(0.01, _number("fps", fps, facts.defaults.fps))
    folder = facts.folder
    reading = await run_in_threadpool(lambda: read_prompt(text, vocabulary(folder), rates_of(folder), frames, rate))
    guidance = _number("guidance_scale", guidance_scale, facts.defaults.guidance_scale)
    texts = [one for one in prompt if one.strip()] or [text]
    refusal = await run_in_threadpool(service.refusal, texts, negative_prompt, guidance, expand != "false")
    return JSONResponse({**asdict(reading), "refusal": refusal})


@router.get("/v1/studio/estimate", summary="The time and memory of a video")
async def studio_estimate(
    request: Request, width: str = "", height: str = "", num_frames: str = "", steps: str = "", guidance: str = ""
) -> JSONResponse:
    """Estimate the seconds and bytes that a video will take; 503 as long as no worker has counted its model."""
    service = service_of(request)
    defaults = service.facts.defaults
    if not service.pool.costs:
        raise RequestProblem(503, "the model is being loaded; ask again soon", "not_ready", Retry_After="1")
    limits = service.limits
    size = Size(
        _count("width", width, defaults.width, limits.side),
        _count("height", height, defaults.height, limits.side),
        _count("num_frames", num_frames, defaults.num_frames, limits.num_frames),
        _count("steps", steps, defaults.num_steps, limits.steps),
        _number("guidance", guidance, defaults.guidance_scale) != 1,
    )
    jobs = await run_in_threadpool(service.store.last_completed, LOOKED_AT)
    past = [one for job in jobs if (one := _past(service, job))][:PAST_JOBS]
    found = estimate(size, service.pool.costs, past, (defaults, service.facts.geometry))
    active = await run_in_threadpool(service.store.active)
    waiting = sum(_left(service, job, past) for job in active) / max(1, len(service.devices))
    return JSONResponse({**asdict(found), "available": available_bytes(), "waiting_seconds": waiting})


def _left(service: Service, job: Job, past: Sequence[tuple[Size, dict[str, float]]]) -> float:
    """Estimate the seconds that a job of any owner will still take."""
    about = service.facts.defaults, service.facts.geometry
    seconds = estimate(_size(service, job, job.asked["expected"]), service.pool.costs, past, about).seconds
    return seconds * (1 - service.progress(job).percent / 100)


def _size(service: Service, job: Job, made: Mapping[str, Any]) -> Size:
    """Return the size of a job, and the evaluations of the model that it takes."""
    order, defaults = service.order_of(job), service.facts.defaults
    steps = order.steps or (max(1, defaults.num_steps // 3) if order.draft else defaults.num_steps)
    guidance = defaults.guidance_scale if order.guidance is None else order.guidance
    return size_of(made, steps * (2 if order.solver == "heun" else 1), guidance != 1)


def _past(service: Service, job: Job) -> tuple[Size, dict[str, float]] | None:
    result, order = job.result or {}, service.order_of(job)
    took = result.get("took") or {}
    if order.task is not None or min(took.get("sampling", 0), took.get("decoding", 0)) <= 0:
        return None
    return _size(service, job, result), took


def _count(name: str, text: str, default: int, most: int) -> int:
    """Return a whole number of a query, from 1 to `most`; the default where it is empty."""
    return max(1, round(_number(name, text, default, most)))


def _number(name: str, text: str, default: float, most: float = 1e6) -> float:
    """Return a number of a query, from 0 to `most`; the default where it is empty."""
    if not text:
        return default
    if not re.fullmatch(r"\d{1,7}(\.\d{1,9})?", text) or float(text) > most:
        raise FieldError(name, f"{name} must be a number from 0 to {most:g}")
    return float(text)


# The queue, and what jobs and files were made with


@router.get("/v1/studio/queue", summary="The order of the queue")
async def queue(request: Request) -> JSONResponse:
    """List your waiting jobs by their identifiers, the next first."""
    names = await run_in_threadpool(service_of(request).store.queue, owner_of(request))
    return JSONResponse({"object": "list", "data": names})


@router.post("/v1/generations/{name}/move", summary="Move a waiting job in the queue")
async def move(request: Request, name: str) -> JSONResponse:
    """Move a job to the place `place` among your waiting jobs, 0 for the next one."""
    job, fields = await job_of(request, name), await read_fields(request)
    place = fields.get("place")
    if not re.fullmatch(r"[0-9]{1,6}", str(place)) or isinstance(place, bool):
        raise FieldError("place", "place must be a whole number of at least 0")
    if not await run_in_threadpool(service_of(request).store.move, job.id, int(str(place))):
        raise RequestProblem(409, f"the {job.kind} does not wait any more, so it cannot be moved", "not_queued")
    return JSONResponse({"id": job.id, "place": int(str(place))})


@router.get("/v1/generations/{name}/order", summary="What was asked for")
async def order(request: Request, name: str) -> JSONResponse:
    """Return every field of the request for a video or picture; its files are named by their identifiers."""
    job = await job_of(request, name)
    service = service_of(request)
    asked = service.order_of(job)
    files = [file for file in map(service.store.file, asked.files) if file]
    return JSONResponse({**asdict(asked), "files": {file.id: await _about(service, file) for file in files}})


@router.get("/v1/files/{name}/about", summary="What a file holds")
async def file_about(request: Request, name: str) -> JSONResponse:
    """Return the size and length of a file, the settings it was made with, and the job whose output it is, if any."""
    service, owner = service_of(request), owner_of(request)
    file = _owned(service, owner, name)
    path = await run_in_threadpool(_unchanged, service, file)
    settings = await run_in_threadpool(video.read_tags, path)
    job = await run_in_threadpool(service.job_of_file, owner, path)
    return JSONResponse(
        {**await _about(service, file), "settings": settings, "job": job.id if job else None, "id": name}
    )


@router.get("/v1/files/{name}/content", summary="Download a file")
async def file_content(request: Request, name: str) -> Response:
    """Return an uploaded file; parts of it with Range."""
    service = service_of(request)
    file = _owned(service, owner_of(request), name)
    return FileAnswer(await run_in_threadpool(_unchanged, service, file), content_disposition_type="inline")


def _unchanged(service: Service, file: StoredFile) -> Path:
    """Return the path of a stored file as it was accepted; one that is gone is said where it is used."""
    path = service.input_path(file)
    return unchanged(path, file) if path.is_file() else path


def _owned(service: Service, owner: str, name: str) -> StoredFile:
    file = service.store.file(name)
    if file is None or file.owner != owner:
        raise MissingError(None, "there is no such file", "not_found")
    return file


async def _about(service: Service, file: StoredFile) -> dict[str, Any]:
    info = await run_in_threadpool(video.probe, service.input_path(file))
    return {
        "name": file.name,
        "width": info.width,
        "height": info.height,
        "num_frames": info.num_frames,
        "fps": info.fps,
        "seconds": info.seconds,
    }


# Folders that are shown


@router.get("/v1/shown", summary="List the folders that are shown")
async def shown_folders(request: Request) -> JSONResponse:
    """List datasets, training runs and reports in the folders of `chronotope serve --show`."""
    found = await run_in_threadpool(find_shown, service_of(request).shown)
    return JSONResponse(
        {"object": "list", "data": [{"id": one.id, "kind": one.kind, "name": one.name} for one in found]}
    )


@router.get("/v1/shown/content", summary="Look into a folder that is shown")
async def shown_content(request: Request, id: str, offset: str = "0", limit: str = "24") -> JSONResponse:
    """Return the manifest of a dataset, the log of a training run or the summary of a report."""
    start, count = round(_number("offset", offset, 0)), round(_number("limit", limit, 24, MAX_ROWS))
    one = await run_in_threadpool(shown_of, service_of(request).shown, id)
    return JSONResponse({**await run_in_threadpool(content_of, one, start, count), "name": one.name})


@router.get("/v1/shown/media", summary="A picture or video in a folder that is shown")
async def shown_media(request: Request, id: str, name: str) -> Response:
    """Return a clip of a dataset or a sample of a training run."""
    one = await run_in_threadpool(shown_of, service_of(request).shown, id)
    return FileAnswer(await run_in_threadpool(media_of, one, name), content_disposition_type="inline")
