"""Our own calls: every task as one request, progress as events, the settings of a video; and what operators look at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from chronotope.serve.counters import Counters
from chronotope.serve.jobs.store import Job
from chronotope.serve.service import MissingError
from chronotope.serve.videos import (
    body_of,
    content,
    create,
    delete_video,
    job_of,
    listed,
    ordered,
    service_of,
    shown,
)
from chronotope.serve.wire import ErrorResponse, RequestProblem, read_fields

__all__ = ["router"]

LOOK_SECONDS = 0.2  # between two looks at a job whose events are sent
ALIVE_SECONDS = 15.0  # between two lines that keep a quiet connection open

router = APIRouter()


# Generations: videos and pictures of every task


@router.post("/v1/generations", summary="Make a video or picture of any task", openapi_extra=body_of())
async def create_generation(request: Request) -> JSONResponse:
    """Make a video, or with `seconds` 0 or one frame a picture; the fields are those of `Generator.generate`."""
    order, media = ordered(request, await read_fields(request))
    picture = (order.seconds == 0 or order.num_frames == 1) and not media and order.task is None
    return JSONResponse(shown(request, await create(request, replace(order, picture=picture), media)))


@router.get("/v1/generations", summary="List videos and pictures")
async def list_generations(request: Request, after: str = "", limit: str = "20", order: str = "desc") -> JSONResponse:
    """List your videos and pictures, the newest first."""
    del after, limit, order  # for the schema; `listed` reads the query itself
    return JSONResponse(await listed(request, None))


@router.get("/v1/generations/{name}", summary="Look at a video or picture")
async def retrieve_generation(request: Request, name: str) -> JSONResponse:
    """Return the state and the progress of a video or picture, and how many wait before it."""
    job = await job_of(request, name)
    waiting = await run_in_threadpool(service_of(request).store.position, job) if job.state == "queued" else 0
    return JSONResponse({**shown(request, job), "position": waiting})


@router.delete("/v1/generations/{name}", summary="Delete a video or picture")
async def delete_generation(request: Request, name: str) -> JSONResponse:
    """Delete a video or picture and its files; one in progress is stopped."""
    return await delete_video(request, name)


@router.post("/v1/generations/{name}/cancel", summary="Cancel a video or picture")
async def cancel_generation(request: Request, name: str) -> JSONResponse:
    """Stop a job that waits or is in progress; it stays as failed with the code `cancelled`, and can be remixed."""
    job, service = await job_of(request, name), service_of(request)
    if not await run_in_threadpool(service.store.cancel, job.id):
        raise RequestProblem(409, f"the {job.kind} is {job.state}, so it cannot be cancelled", "not_cancellable")
    service.pool.cancel(job.id)
    return JSONResponse(shown(request, await job_of(request, name)))


@router.head("/v1/generations/{name}/content", include_in_schema=False)
@router.get("/v1/generations/{name}/content", summary="Download a video or picture")
async def generation_content(request: Request, name: str, variant: str = "video") -> Response:
    """Return the file, its thumbnail or a sheet of its frames."""
    del variant  # for the schema
    return await content(request, await job_of(request, name))


@router.get("/v1/generations/{name}/settings", summary="The settings of a video or picture")
@router.get("/v1/videos/{name}/settings", summary="The settings of a video")
async def settings(request: Request, name: str) -> Response:
    """Return every setting that a file was made with, and the fingerprints of the model.

    These are the bytes of its sidecar, whose signature is of them.
    """
    job = await job_of(request, name)
    if job.state != "completed":
        raise RequestProblem(
            409, f"the {job.kind} is {job.state}; its settings are there when it is completed", "not_ready"
        )
    found = await run_in_threadpool(service_of(request).settings, job)
    return Response(json.dumps(found) + "\n", media_type="application/json")


@router.get("/v1/generations/{name}/preview", summary="How a video or picture looks so far")
@router.get("/v1/videos/{name}/preview", summary="How a video looks so far")
async def preview(request: Request, name: str, n: str = "") -> Response:
    """Return a frame from the middle as a WebP picture, about once a second a new one; `previews` counts them."""
    del n  # which of them; by it a browser asks again
    job, service = await job_of(request, name), service_of(request)
    try:
        if service.progress(job).previews:
            content = await run_in_threadpool(service.preview_path(job).read_bytes)
            return Response(content, media_type="image/webp")
    except FileNotFoundError:  # it was finished meanwhile
        pass
    job = await job_of(request, name)  # it raises where the video was deleted meanwhile
    raise RequestProblem(409, f"the {job.kind} is {job.state}, and there is no preview of it now", "not_ready")


# Events


@router.get("/v1/generations/{name}/events", summary="The progress of a video or picture, as it comes")
@router.get("/v1/videos/{name}/events", summary="The progress of a video, as it comes")
async def events(request: Request, name: str) -> Response:
    """Send an event at every change, and end with the job. A connection with Last-Event-ID goes on after that event."""
    job = await job_of(request, name)
    last = request.headers.get("last-event-id", "")
    if job.ended and last == _event_id(request, job):
        return Response(status_code=204)  # by which a browser knows that it need not connect again
    stream = _events(request, job, last)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-cache"})


def _event_id(request: Request, job: Job) -> str:
    """Name a state of a job; equal names are equal states."""
    progress = service_of(request).progress(job)
    parts = (job.state, progress.step, int(bool(progress.told)), progress.previews)
    return f"{job.deaths}-{job.started or 0:.3f}-" + "-".join(map(str, parts))


async def _events(request: Request, job: Job, last: str) -> AsyncIterator[str]:
    quiet = 0.0
    while service_of(request).pool.running:
        current = _event_id(request, job)
        if current != last:
            last, quiet = current, 0.0
            yield f"id: {current}\nevent: {job.state}\ndata: {json.dumps(shown(request, job))}\n\n"
        if job.ended:
            return
        if quiet >= ALIVE_SECONDS:
            quiet = 0.0
            yield ": alive\n\n"
        await asyncio.sleep(LOOK_SECONDS)
        quiet += LOOK_SECONDS
        try:
            job = await job_of(request, job.id)
        except MissingError:
            yield f"id: deleted\nevent: deleted\ndata: {json.dumps({'id': job.id})}\n\n"
            return


# The model


@router.get("/v1/models", summary="List models")
async def models(request: Request) -> JSONResponse:
    """List the one model of this server."""
    return JSONResponse({"object": "list", "data": [_model(request)]})


@router.get("/v1/models/{name}", summary="Look at a model")
async def model(request: Request, name: str) -> JSONResponse:
    """Return the size, length and rate that the model makes where a request does not say."""
    if name != service_of(request).facts.name:
        raise MissingError(
            None, f"this server has the model '{service_of(request).facts.name}' alone", "model_not_found"
        )
    return JSONResponse(_model(request))


def _model(request: Request) -> dict[str, Any]:
    facts = service_of(request).facts
    defaults = facts.defaults
    return {
        "id": facts.name,
        "object": "model",
        "created": 0,
        "owned_by": "chronotope",
        "size": f"{defaults.width}x{defaults.height}",
        "num_frames": defaults.num_frames,
        "fps": defaults.fps,
        "num_inference_steps": defaults.num_steps,
        "guidance_scale": defaults.guidance_scale,
    }


# For operators


@router.head("/health", include_in_schema=False)
@router.get("/health", summary="Is the server there?")
async def health() -> JSONResponse:
    """Answer as long as the process lives."""
    return JSONResponse({"status": "ok"})


@router.head("/ready", include_in_schema=False)
@router.get("/ready", summary="Can a job begin?")
async def ready(request: Request) -> Response:
    """Answer 200 where a worker can take a job, else 503 and why; jobs are accepted in either case."""
    service = service_of(request)
    if problem := service.pool.problem:
        return ErrorResponse(503, problem.replace(str(service.facts.folder), service.facts.name), "not_ready")
    return JSONResponse({"status": "ready"})


@router.get("/metrics", summary="Numbers for Prometheus")
async def metrics(request: Request) -> PlainTextResponse:
    """Return what the server counts."""
    counters: Counters = request.app.state.counters
    text = await run_in_threadpool(counters.text, service_of(request))
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


@router.get("/favicon.ico", include_in_schema=False)
async def icon() -> Response:
    """Answer browsers that ask for an icon by themselves."""
    return Response(status_code=204)
