"""The play server: a page, and a WebSocket on which actions come in and numbered frames go out.

Messages are JSON texts, `{"type": ...}`; a frame is a binary message: the length of a JSON header (4 bytes, big
endian), the header, and the picture as WebP. Whatever a message says that makes no sense is answered with
`{"type": "error"}`, and the session goes on. All sessions share one model, which makes one frame at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, Response
from PIL import Image
from starlette.requests import Request
from starlette.websockets import WebSocketDisconnect

from chronotope.arguments import described
from chronotope.config import to_dict
from chronotope.errors import ChronotopeError, FileProblem, UsageError
from chronotope.geometry import Picture
from chronotope.jsonl import append_jsonl
from chronotope.simulate.listening import LOOPBACK, TellingServer, address_of, host_name, listening
from chronotope.simulate.record import Start, frame_hash, parse_record
from chronotope.simulate.session import Session, Shown, recorded_model
from chronotope.simulate.world import PlayedWorld

__all__ = ["PlayOptions", "make_app", "run"]

MAX_PLAYERS = 32
MESSAGE_BYTES = 8 << 20  # a start picture or a record
QUALITY = 90  # of WebP
WAIT_SECONDS = 0.01  # between two looks whether a player has caught up
log = logging.getLogger("chronotope.play")


@dataclass(frozen=True)
class PlayOptions:
    """How sessions begin where the player does not say, the file that records them, and the allowed host names."""

    prompt: str = ""
    picture: Picture | None = None
    consent: str = ""
    record: Path | None = None
    hosts: frozenset[str] = LOOPBACK


class _Players:
    """The sessions of a server: one thread makes the frames of all, in the order in which they are asked for."""

    def __init__(self, model: PlayedWorld, options: PlayOptions) -> None:
        self.model, self.options = model, options
        self.count, self._numbers = 0, itertools.count(1)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="frames")

    async def compute(self, function: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.thread, function)

    def writer(self) -> Callable[[Any], None]:
        """Return what records one session: the first in the named file, later ones in files with a number.

        A session has no file before its first line: it may not begin at all.
        """
        record = self.options.record
        path: Path | None = None

        def write(line: Any) -> None:
            nonlocal path
            if record is not None:
                path = path or self._new_file(record)
                append_jsonl(path, dict(line))

        return write

    def _new_file(self, record: Path) -> Path:
        """Create the next file that no session has, of this server or of another one; return its path."""
        while True:
            number = next(self._numbers)
            path = record if number == 1 else record.with_stem(f"{record.stem}-{number}")
            try:
                path.open("xb").close()
                return path
            except FileExistsError:
                continue
            except OSError as problem:
                raise FileProblem(f"{path} cannot be written: {problem.strerror or problem}") from problem

    def start(self, message: dict[str, Any]) -> Start:
        """Read how a session begins; what the message leaves out is as the server was started."""
        start = Start.of(message)
        prompt = start.prompt if "prompt" in message else self.options.prompt
        picture = start.picture if start.picture is not None else self.options.picture
        if picture is None and not prompt.strip():
            picture = self.model.start_picture(start.seed)
        own = picture is self.options.picture and picture is not None  # of which the server's consent was stated
        return Start(start.seed, prompt, picture, start.consent or (self.options.consent if own else ""))


class _Connection:
    """One player: reads messages, and sends frames at the rate of the model while the player keeps up."""

    def __init__(self, players: _Players, socket: WebSocket) -> None:
        self.players, self.socket = players, socket
        self.session: Session | None = None
        self.paused = False
        self.waits = False  # for the first action of a recording
        self.replayed: list[dict[str, Any]] = []
        self.sending = asyncio.Lock()

    async def serve(self) -> None:
        model = self.players.model
        height, width = await self.players.compute(lambda: model.size)  # an environment is used by one thread alone
        hello = {
            "type": "hello",
            "model": dict(model.names),
            "actions": to_dict(model.schema),
            "fps": model.fps,
            "width": width,
            "height": height,
            "prompt": self.players.options.prompt,
            "goes_back": model.goes_back,
            "recorded": self._recorded(),
        }
        await self.socket.send_json(hello)
        frames = asyncio.create_task(self._frames())
        try:
            while True:
                message = await self.socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                await self._answer(message.get("text"))
        finally:
            frames.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await frames

    async def _answer(self, text: str | None) -> None:
        """Do what a message says, or say what is wrong with it; a binary message has no text."""
        message: Any = None
        try:
            if text is None:
                raise UsageError("a message is a JSON text, got a binary message")
            message = json.loads(text)
            kind = message.get("type") if isinstance(message, dict) else None
            handlers = {
                "start": self._start,
                "action": self._action,
                "release": self._release,
                "seen": self._seen,
                "branch": self._branch,
                "pause": self._pause,
                "replay": self._replay,
                "end": self._end,
            }
            if not isinstance(kind, str) or kind not in handlers:
                raise UsageError(f"a message has one of the types {', '.join(handlers)}, got {described(kind)}")
            await handlers[kind](message)
        except WebSocketDisconnect:
            raise
        except Exception as problem:
            if not isinstance(problem, ChronotopeError | ValueError | RecursionError):
                log.exception("a message could not be answered")
            about = message.get("id") if isinstance(message, dict) else None
            frame = self.session.frame if self.session else None
            await self._tell_problem(str(problem), about if isinstance(about, int) else None, frame)

    async def _start(self, message: dict[str, Any]) -> None:
        if unknown := message.keys() - {"type", "id", "seed", "prompt", "picture", "consent"}:
            raise UsageError(f"a start has a seed, a prompt, a picture and a consent, got {described(min(unknown))}")
        await self._begin(self.players.model, self.players.start(message))

    async def _begin(self, model: PlayedWorld, start: Start) -> None:
        write = self.players.writer()
        self.session = None
        session = await self.players.compute(lambda: Session(model, start, write))
        self.replayed, self.paused = [], False
        self.waits = model.recorded is not None
        await self._tell({"type": "started", "record": start.line(model), "waits": self.waits})
        await self._show(session, session.current)
        self.session = session

    async def _action(self, message: dict[str, Any]) -> None:
        session = self._running()
        number = message.get("id", 0)
        if not isinstance(number, int):
            raise UsageError("the id of an action is a whole number")
        session.act(message.get("action"), message.get("frame"), number, message.get("keep") is True)
        self.waits = False

    async def _release(self, message: dict[str, Any]) -> None:
        del message
        self._running().release()

    async def _seen(self, message: dict[str, Any]) -> None:
        self._running().see(message.get("frame"))

    async def _branch(self, message: dict[str, Any]) -> None:
        session = self._running()

        def go_back() -> Shown:  # in the thread of `_next`, which reads `replayed`
            shown = session.branch(message.get("frame"))
            self.replayed = []
            return shown

        shown = await self.players.compute(go_back)
        await self._tell({"type": "branched", "frame": shown.frame})
        await self._show(session, shown)

    async def _pause(self, message: dict[str, Any]) -> None:
        self.paused = message.get("on") is True
        self.waits = self.waits and self.paused

    async def _replay(self, message: dict[str, Any]) -> None:
        record = parse_record(str(message.get("record")))
        await self._begin(recorded_model(self.players.model, record[0]), Start.of(record[0]))
        self.replayed = record[1:]

    async def _end(self, message: dict[str, Any]) -> None:
        """End the recording, and tell the player what it holds."""
        del message
        if self.players.model.recorded is None:
            raise UsageError("nothing is recorded here, so there is nothing to end; close the page")
        self.paused = True
        await self.players.compute(self.players.model.end)
        await self._tell({"type": "ended", "recorded": self._recorded()})

    def _recorded(self) -> dict[str, int] | None:
        recorded = self.players.model.recorded
        return None if recorded is None else asdict(recorded)

    def _running(self) -> Session:
        if self.session is None:
            raise UsageError('no session has begun; send {"type": "start"} first')
        return self.session

    async def _frames(self) -> None:
        """Send frames for ever: at most `fps` a second, and not further ahead of the player than the session allows."""
        due = time.perf_counter()
        while True:
            session = self.session
            if session is None or self.paused or self.waits or session.lead >= session.most_lead:
                await asyncio.sleep(WAIT_SECONDS)
                due = time.perf_counter()
                continue
            due += 1 / self.players.model.fps
            try:
                shown = await self.players.compute(partial(self._next, session))
            except Exception as problem:  # a record that does not fit, a full disk, memory
                if not isinstance(problem, ChronotopeError):
                    log.exception("a frame could not be made")
                self.replayed, self.paused = [], True
                about = str(problem) or type(problem).__name__
                await self._tell_problem(f"paused, because no frame could be made: {about}", None, session.frame)
                continue
            if session is self.session:  # else another one was begun meanwhile
                await self._show(session, shown)
                if (recorded := self.players.model.recorded) and recorded.held >= recorded.wanted:
                    await self._end({})
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due = max(due, time.perf_counter() - 1 / self.players.model.fps)

    def _next(self, session: Session) -> Shown:
        while self.replayed and "branch" in self.replayed[0]:
            session.branch(self.replayed.pop(0)["branch"])
        if self.replayed:
            session.act(self.replayed.pop(0)["action"], session.frame)
        return session.advance()

    async def _show(self, session: Session, shown: Shown) -> None:
        header = {
            "frame": shown.frame,
            "action": shown.action,
            "hash": frame_hash(shown.picture),
            "applied": [asdict(one) for one in shown.applied],
            "milliseconds": round(shown.milliseconds, 1),
            "lead": session.lead,
            "replaying": bool(self.replayed),
            "recorded": self._recorded(),
        }
        packed = io.BytesIO()
        Image.fromarray(shown.picture).save(packed, "WEBP", quality=QUALITY)
        text = json.dumps(header).encode()
        async with self.sending:
            await self.socket.send_bytes(len(text).to_bytes(4, "big") + text + packed.getvalue())

    async def _tell(self, message: dict[str, Any]) -> None:
        text = json.dumps(message)  # ASCII: halves of characters, which JSON may hold, have no UTF-8
        async with self.sending:
            await self.socket.send_text(text)

    async def _tell_problem(self, message: str, id: int | None, frame: int | None) -> None:
        await self._tell({"type": "error", "message": message, "id": id, "frame": frame})


def make_app(model: PlayedWorld, options: PlayOptions) -> FastAPI:
    """Return the application: the page at `/`, the state of the server at `/health`, the socket at `/play`."""
    players = _Players(model, options)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        yield
        players.thread.shutdown(cancel_futures=True)

    app = FastAPI(title="Chronotope", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    page = resources.files("chronotope.simulate").joinpath("play.html").read_text(encoding="utf-8")

    @app.middleware("http")
    async def check_host(request: Request, call_next: Any) -> Response:
        if host_name(request.headers.get("host", "")) not in options.hosts:
            return JSONResponse({"error": "this server does not answer to that host name"}, 403)
        answer: Response = await call_next(request)
        return answer

    @app.get("/")
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page, headers={"x-content-type-options": "nosniff", "x-frame-options": "DENY"})

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"players": players.count}

    @app.websocket("/play")
    async def play(websocket: WebSocket) -> None:
        host = websocket.headers.get("host", "")
        origin = websocket.headers.get("origin")
        if host_name(host) not in options.hosts or (origin and origin.partition("://")[2] != host):
            await websocket.close(1008)  # a page of another site
            return
        await websocket.accept()
        if players.count >= MAX_PLAYERS:
            await websocket.close(1013, f"{MAX_PLAYERS} players are here; try again later")
            return
        players.count += 1
        try:
            with contextlib.suppress(WebSocketDisconnect):  # a closed tab ends its session, and no other one
                await _Connection(players, websocket).serve()
        finally:
            players.count -= 1

    return app


def run(
    model: PlayedWorld,
    options: PlayOptions,
    host: str,
    port: int,
    started: Callable[[str], None],
    finished: Callable[[], bool] = lambda: False,
) -> None:
    """Serve until SIGINT or SIGTERM, or until `finished`; call `started` with the address when the page is there."""
    with listening(host, port) as listener:
        config = uvicorn.Config(
            make_app(model, options),
            log_config=None,
            access_log=False,
            ws="websockets-sansio",
            ws_max_size=MESSAGE_BYTES,
            timeout_graceful_shutdown=2,
        )
        address = address_of(host, listener)
        server = TellingServer(config, lambda: started(address), finished=finished)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again that has stopped it
            server.run(sockets=[listener])
