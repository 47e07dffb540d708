"""The application: routes, the guard around them, and the loop that serves it."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from chronotope import __version__
from chronotope.errors import ChronotopeError
from chronotope.serve import native, videos
from chronotope.serve.counters import Counters
from chronotope.serve.guard import Guard, Security
from chronotope.serve.service import Service
from chronotope.serve.studio import routes as studio
from chronotope.serve.wire import ErrorResponse, check_query, error_of
from chronotope.simulate.listening import TellingServer, address_of, listening

__all__ = ["make_app", "run"]

GRACE_SECONDS = 5  # for answers that are being sent when the server stops
LOG_BYTES, LOG_FILES = 10 << 20, 3


def make_app(service: Service, security: Security | None = None) -> Guard:
    """Return the application of a service that has been entered."""
    app = FastAPI(
        title="Chronotope",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(check_query)],
    )
    app.state.service, app.state.counters = service, Counters()
    app.include_router(videos.router)
    app.include_router(native.router)
    app.include_router(studio.router)

    async def problem(request: Request, raised: Exception) -> Response:
        del request
        return error_of(raised)

    async def invalid(request: Request, raised: Exception) -> Response:
        del request
        assert isinstance(raised, RequestValidationError)
        first = raised.errors()[0]
        where = [str(part) for part in first.get("loc", ())][1:]
        return ErrorResponse(
            400, str(first.get("msg", "the request is not valid")), "invalid_value", ".".join(where) or None
        )

    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        ChronotopeError: problem,
        HTTPException: problem,
        RequestValidationError: invalid,
        Exception: problem,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    return Guard(app, security or Security(), service.limits, app.state.counters)


def run(service: Service, security: Security, host: str, port: int, started: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; call `started` with the address when requests are accepted.

    A job that is in progress at the end is queued again, and starts over when the service does.
    """
    os.umask(0o077)  # of all that this process and its workers write, other users read nothing
    with service, listening(host, port) as listener, _logging(service.folder / "log.jsonl"):
        config = uvicorn.Config(
            make_app(service, security),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            timeout_keep_alive=20,
            ws="none",
            lifespan="off",
        )
        address = address_of(host, listener)
        server = TellingServer(config, lambda: started(address), service.pool.stop_soon)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again that has stopped it
            server.run(sockets=[listener])


class _JsonLines(logging.Formatter):
    """Formats a record as one line: a request is JSON already, and an error becomes JSON with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.name == "chronotope.serve" and record.levelno == logging.INFO:
            return message
        line = {"time": round(record.created, 3), "level": record.levelname.lower(), "message": message}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


@contextlib.contextmanager
def _logging(path: Path) -> Iterator[None]:
    """Write the log of requests and of errors into a file, a line of JSON each, the oldest lines removed."""
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    handler.setFormatter(_JsonLines())
    loggers = [logging.getLogger(name) for name in ("chronotope.serve", "uvicorn.error")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    loggers[0].setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()
