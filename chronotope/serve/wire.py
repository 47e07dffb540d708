"""The shapes of the OpenAI video wire: bodies -> fields, jobs -> objects, problems -> errors.

Its client sends every request as a multipart form of texts, other clients send JSON; the same fields come out of both.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Mapping
from typing import Any, get_origin

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from chronotope.errors import ChronotopeError, DecoderUnavailableError, FileProblem, UsageError
from chronotope.parsing import parse_json, unique_keys
from chronotope.safety.deliver import NotDeliveredError
from chronotope.safety.policy.decide import RefusedError
from chronotope.serve.jobs.pool import Progress
from chronotope.serve.jobs.store import ConflictError, Job, StoredFile, StoreProblem
from chronotope.serve.limits import QuotaError
from chronotope.serve.order import FieldError, Upload, check_characters, shown_name, text_of
from chronotope.serve.service import MissingError

__all__ = [
    "ErrorResponse",
    "RequestProblem",
    "check_query",
    "error_of",
    "file_object",
    "read_fields",
    "video_object",
]

log = logging.getLogger("chronotope.serve")
MAX_FIELDS = 200
MAX_NAMED = 5  # unknown parameters in one sentence
PAGE_ROUTES = frozenset({"/", "/studio/{name}", "/favicon.ico"})  # browsers may add to their addresses
KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


class RequestProblem(ChronotopeError):
    """A request that is refused for what it is, with the HTTP status that says so."""

    def __init__(self, status: int, message: str, code: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


# Queries and bodies


async def check_query(request: Request) -> None:
    """Refuse parameters of the address that the route of a request would ignore: not declared, or given twice."""
    route = request.scope["route"]
    if route.path in PAGE_ROUTES:
        return
    known = [parameter.alias for parameter in route.dependant.query_params]
    if unknown := sorted(request.query_params.keys() - set(known)):
        named = ", ".join(f"'{shown_name(name)}'" for name in unknown[:MAX_NAMED])
        possible = f"this call knows {', '.join(known)}" if known else "this call has none"
        body = "; fields of a request go into its body" if request.method == "POST" else ""
        message = f"unknown query parameter {named} in the address; {possible}{body}"
        raise FieldError(shown_name(unknown[0]), message, "unknown_parameter")
    names = [name for name, _ in request.query_params.multi_items()]
    lists = {one.alias for one in route.dependant.query_params if get_origin(one.field_info.annotation) is tuple}
    if twice := [name for name in known if names.count(name) > 1 and name not in lists]:
        message = f"the query parameter '{twice[0]}' is in the address {names.count(twice[0])} times; give it once"
        raise FieldError(twice[0], message, "invalid_value")


async def read_fields(request: Request) -> dict[str, Any]:
    """Return the fields of a JSON body or of a form, with `Upload` for its files; raises `RequestProblem`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    fields = _json_fields(await request.body()) if kind == "application/json" else await _form_fields(request, kind)
    for name, value in fields.items():
        check_characters(name, [name, value])
    return fields


async def _form_fields(request: Request, kind: str) -> dict[str, Any]:
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        got = f"got {kind[:60]!r}" if kind else "got none"
        raise RequestProblem(
            415, f"the content type must be application/json or multipart/form-data, {got}", "unsupported_media_type"
        )
    fields: dict[str, Any] = {}
    largest = request.app.state.service.limits.body_bytes  # the guard counts the bytes of the whole body
    try:
        async with request.form(max_files=MAX_FIELDS, max_fields=MAX_FIELDS, max_part_size=largest) as form:
            for name, value in form.multi_items():
                found = Upload(value.filename or "", await value.read()) if isinstance(value, UploadFile) else value
                _add(fields, name, found)
    except (MultiPartException, HTTPException, UnicodeError) as problem:
        reason = getattr(problem, "detail", None) or getattr(problem, "message", "its charset does not fit")
        raise RequestProblem(400, f"the form cannot be read: {reason}", "invalid_form") from None
    return fields


def _json_fields(body: bytes) -> dict[str, Any]:
    try:
        found = parse_json(body, unique_keys)
    except ValueError as problem:
        raise RequestProblem(400, f"the body is not readable JSON: {problem}", "invalid_json") from None
    if not isinstance(found, dict):
        raise RequestProblem(400, "the body must be a JSON object with the fields of the request", "invalid_json")
    return found


def _add(fields: dict[str, Any], name: str, value: Any) -> None:
    """Add a field of a form, whose name may say that it is part of a list, a[], or of an object, a[key]."""
    found = KEY.fullmatch(name)
    first, rest = (found[1], re.findall(r"\[([^\[\]]*)\]", found[2])) if found else (name, [])
    if rest and rest[-1] == "":
        listed = fields.setdefault(first, [])
        if isinstance(listed, list):
            listed.append(value)
            return
    elif rest:
        table = fields.setdefault(first, {})
        if isinstance(table, dict) and rest[0] not in table:
            table[rest[0]] = value
            return
    elif first not in fields:
        fields[first] = value
        return
    elif isinstance(fields[first], Upload) or (isinstance(fields[first], list) and isinstance(value, Upload)):
        fields[first] = [*(fields[first] if isinstance(fields[first], list) else [fields[first]]), value]
        return
    raise FieldError(first[:60], f"the field {first[:60]!a} is there twice; give it once")


# Objects


def video_object(job: Job, model: str, progress: Progress, keep_seconds: float) -> dict[str, Any]:
    """Return a job as the wire shows a video; what it has beyond that is at the end."""
    asked, result = job.asked, job.result or {}
    shown = {**asked["expected"], **result}
    done = job.state == "completed"
    prompt = text_of(asked["story"])
    told = result.get("told") or progress.told
    return {
        "id": job.id,
        "object": job.kind,
        "model": asked.get("model", {}).get("name", model),
        "status": job.state,
        "progress": 100 if done else progress.percent,
        "created_at": int(job.created),
        "completed_at": int(job.ended) if done and job.ended else None,
        "expires_at": int(job.ended + keep_seconds) if job.ended else None,
        "prompt": prompt,
        "seconds": f"{shown['num_frames'] / shown['fps']:g}",
        "size": f"{shown['width']}x{shown['height']}",
        "remixed_from_video_id": job.remixed_from,
        "error": _job_error(job),
        "revised_prompt": told if told and told != prompt else None,
        "seed": asked["seed"],
        "draft": bool(asked.get("draft")),
        "task": asked.get("task"),
        "waits_for": [] if job.ended else [name for name in map(asked.get, ("video", "into")) if _is_job(name)],
        "num_frames": shown["num_frames"],
        "fps": shown["fps"],
        "step": progress.step,
        "total_steps": progress.total,
        "previews": progress.previews,
        "notes": result.get("notes", []),
    }


def _is_job(name: Any) -> bool:
    """Whether an input is the output of a job that has not ended, which becomes a file when it has."""
    return isinstance(name, str) and name.startswith("video_")


def _job_error(job: Job) -> dict[str, Any] | None:
    if job.error is None:
        return None
    kind = "invalid_request_error" if job.error["code"] in ("invalid_request", "cancelled") else "server_error"
    return {"code": job.error["code"], "message": job.error["message"], "type": kind, "param": None}


def file_object(file: StoredFile) -> dict[str, Any]:
    """Return an uploaded file as the files call of the wire shows it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created),
        "filename": file.name,
        "purpose": "vision",
        "status": "processed",
    }


# Errors

RETRY = {"Retry-After": "5"}
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ErrorResponse(JSONResponse):
    """An error in the shape of the wire: {"error": {"message", "type", "param", "code"}}."""

    def __init__(
        self, status: int, message: str, code: str, param: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        error = {"message": message, "type": kind, "param": param, "code": code}
        super().__init__({"error": error}, status, dict(headers or {}))


def error_of(problem: Exception) -> ErrorResponse:
    """Return the answer to a request that raised a problem; what nobody foresaw is shown without its words."""
    message = str(problem)
    match problem:
        case RequestProblem():
            return ErrorResponse(problem.status, message, problem.code, headers=problem.headers)
        case MissingError():
            return ErrorResponse(404, message, problem.code, problem.param)
        case FieldError():
            return ErrorResponse(400, message, problem.code, problem.param)
        case QuotaError():
            return ErrorResponse(429, message, problem.code, headers={"Retry-After": str(problem.after)})
        case ConflictError():
            return ErrorResponse(409, message, "idempotency_conflict", headers={"x-should-retry": "false"})
        case StoreProblem() | DecoderUnavailableError():
            return ErrorResponse(503, message, "unavailable", headers=RETRY)
        case FileProblem() | NotDeliveredError():
            log.error("a file of the service", exc_info=problem)  # the words name a path, so they are for the log
            return ErrorResponse(
                503, "a file cannot be written or read now; try again later", "unavailable", None, RETRY
            )
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return ErrorResponse(503, "the disk of this server is full; try again later", "unavailable", None, RETRY)
        case UsageError() | RefusedError():
            refused = isinstance(problem, RefusedError)
            return ErrorResponse(400, message, "content_policy_violation" if refused else "invalid_request")
        case HTTPException():
            return _http_error(problem)
        case ChronotopeError():
            log.error("an answer of 500", exc_info=problem)  # the guard logs all others
    return ErrorResponse(500, "the server failed at this request; its log says why", "internal_error")


def _http_error(problem: HTTPException) -> ErrorResponse:
    words = {
        404: "there is no such call; /openapi.json lists them all",
        405: "this call has another method; /openapi.json lists them all",
        413: "the body is too large for this server",
    }
    message = words.get(problem.status_code, str(problem.detail))
    code = {404: "unknown_url", 405: "method_not_allowed", 413: "body_too_large"}.get(
        problem.status_code, "invalid_request"
    )
    return ErrorResponse(problem.status_code, message, code, headers=problem.headers)
