"""What `chronotope review` does: a page of this machine alone on which a person judges the captions of a folder."""

from __future__ import annotations

import functools
import io
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from chronotope.caption.captioners.agreement import DOUBT
from chronotope.caption.captioners.builtin import BuiltIn
from chronotope.caption.captioners.captioner import shown_pictures
from chronotope.cli.language.score import Doubts, claims_checked
from chronotope.cli.terminal import say
from chronotope.data.captions import read_captions
from chronotope.data.clips import scan_folder
from chronotope.data.recaptions import Recaptions
from chronotope.errors import ChronotopeError, UsageError
from chronotope.manifest import identify
from chronotope.media import video
from chronotope.metrics.statistics import Rate, sample_for

__all__ = ["Page", "Reviewed", "open_page", "reviewed"]

MAX_BODY = 2**16  # bytes of a verdict
FRAMES, SIDE, SECONDS = 24, 320, 60.0  # of a clip that are shown
WITHIN = 0.05  # the share of captions that are right shall be known within this


@dataclass(frozen=True)
class Reviewed:
    """How many captions of a folder were judged, and how."""

    captions: int
    older: int  # verdicts on captions that are no longer there, which are not counted
    verdicts: Mapping[str, int]
    agreements: Mapping[str, tuple[int, float]]

    def facts(self) -> dict[str, Any]:
        """Return what is printed."""
        judged = sum(self.verdicts.values())
        agreed = {names: f"kappa {kappa:.2f} on {count} captions" for names, (count, kappa) in self.agreements.items()}
        return {
            "captions": self.captions,
            "judged": judged,
            **self.verdicts,
            **({f"judged, of {_OLDER}": self.older} if self.older else {}),
            "kept as they are": str(Rate(self.verdicts["keep"], judged)),
            "to judge, to know that share within 5 points": sample_for(WITHIN, self.captions),
            "reviewers": agreed or (f"{'one' if judged else 'none yet'}; {_SECOND}"),
        }


_OLDER = "captions that were written anew, or whose clips were changed"
_SECOND = "a second one, who does not see the first one's verdicts, shows what they mean"


def reviewed(data: Path) -> Reviewed:
    """Count the last verdicts on the captions of a folder."""
    written = Recaptions(data, lambda sentence: say(f"note: {sentence}"))
    verdicts = {"keep": 0, "mend": 0, "reject": 0}
    current = {_key(row) for row in _current(data, written)[0]}
    for key, found in written.reviews.by_text.items():
        if key in current:
            verdicts[list(found.values())[-1]["verdict"]] += 1
    older = len(written.reviews.by_text) - sum(verdicts.values())
    return Reviewed(len(current), older, verdicts, written.reviews.agreements())


class Page(ThreadingHTTPServer):
    """Serves the captions of a folder to one reviewer, on this machine and to whoever knows the address."""

    daemon_threads = True

    def __init__(
        self,
        data: Path,
        reviewer: str,
        sample: int | None,
        seed: int,
        port: int,
        captioner: Callable[[], BuiltIn],
    ) -> None:
        self.written, self.writing = Recaptions(data, lambda sentence: say(f"note: {sentence}")), Lock()
        self.reviewer = self.written.reviews.name_of(reviewer)
        if self.reviewer != reviewer:
            say(f"note: verdicts bear the name {self.reviewer}")
        if self.written.reviews.damaged:
            copy = self.written.reviews.mend()
            say(f"note: damaged lines were removed; judge those captions again; the file as it was is {copy}")
        self.rows, self.clips, self.items = _items(data, self.written, reviewer, sample, seed)
        self.files = [clip.path for clip in scan_folder(data).clips]
        self.doubts, self.comparing = Doubts(self.files, captioner), Lock()
        self.token, self.nonce = secrets.token_urlsafe(16), secrets.token_urlsafe(12)
        loader = Environment(
            loader=PackageLoader("chronotope.cli.language", "."), autoescape=True, undefined=StrictUndefined
        )
        self.template = loader.get_template("review.html.jinja")
        self.name = data.resolve().name
        self.hashes = {item["clip"]: row["sha256"] for item, row in zip(self.items, self.rows, strict=True)}
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{self.token}/"

    def html(self) -> bytes:
        """Return the page, with all captions and the reviewer's own verdicts."""
        return self.template.render(name=self.name, nonce=self.nonce, items=self.items).encode()

    @functools.lru_cache(maxsize=32)  # noqa: B019 - the server lives as long as the program
    def animation(self, number: int) -> bytes:
        """Return a clip as an animated picture, which every browser shows, whatever the file is."""
        content = video.read(self.clips[number], seconds=SECONDS, square_pixels=True)
        self._check_unchanged(number)
        chosen = shown_pictures(content.frames, FRAMES)
        pictures = [Image.fromarray(frame) for frame in chosen]
        for picture in pictures:
            picture.thumbnail((SIDE, SIDE))
        milliseconds = round(1000 * len(content.frames) / content.fps / len(pictures))
        packed = io.BytesIO()
        pictures[0].save(packed, "WEBP", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0)
        return packed.getvalue()

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - the server lives as long as the program
    def doubt(self, number: int) -> str:
        """Return in words what the captioner doubts in a caption of which no truth is known; "" where it is known."""
        item = self.items[number]
        if item["checked"] or len(self.files) == 1:
            return ""
        with self.comparing:
            place = self.files.index(self.clips[item["clip"]])
            how = self.doubts(place, item["detail"], item["text"])
        if how.worst >= DOUBT:
            return "the captioner doubts no word; it knows only what it was trained on"
        return f"the captioner doubts '{how.word}' and expected '{how.instead}'; it knows only what it was trained on"

    def _check_unchanged(self, number: int) -> None:
        """Raise UsageError where a clip is not the one that its caption was written for."""
        path = self.clips[number]
        if identify(path, path.name).sha256 != self.hashes[number]:
            raise UsageError(f"{path.name} was replaced since this page was opened; run `chronotope review` again")

    def judge(self, body: bytes) -> None:
        """Take a verdict, {"item": number, "verdict": word, "mended": text}; raise UsageError for anything else."""
        try:
            found = json.loads(body)
            number, verdict, mended = found["item"], found["verdict"], found.get("mended", "")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            raise UsageError('expected {"item": 0, "verdict": "keep", "mended": ""}') from problem
        if type(number) is not int or not 0 <= number < len(self.rows) or not isinstance(mended, str):
            raise UsageError(f"there is no caption {number!r:.40}")
        if not mended.replace("\n", " ").isprintable():
            raise UsageError("a mended caption holds no control characters")
        self._check_unchanged(self.items[number]["clip"])
        with self.writing:
            self.written.reviews.add(self.rows[number], verdict, self.reviewer, mended)
            self.items[number] |= {"verdict": verdict, "mended": mended}


def open_page(
    data: Path,
    reviewer: str,
    captioner: Callable[[], BuiltIn],
    sample: int | None = None,
    seed: int = 0,
    port: int = 0,
) -> Page:
    """Return the server of the review page; raise UsageError for a folder without captions to judge.

    The captioner is loaded when it is first asked which words it doubts, of a clip whose truth no world knows.
    """
    return Page(data, reviewer, sample, seed, port, captioner)


def _items(
    data: Path, written: Recaptions, reviewer: str, sample: int | None, seed: int
) -> tuple[list[dict[str, Any]], list[Path], list[dict[str, Any]]]:
    """Return the rows to judge in a random order, the clips, and what the page is told about each row.

    Verdicts of others are not told, so that reviewers judge independently.
    """
    rows, files = _current(data, written)
    if not rows:
        raise UsageError(f"{data} holds no captions to judge; write some: chronotope caption {data}")
    order = np.random.default_rng(seed).permutation(len(rows))[:sample]
    rows = [rows[int(place)] for place in order]
    clips = list(dict.fromkeys(row["file"] for row in rows))
    checked = claims_checked(data)
    items = []
    for row in rows:
        own = written.reviews.by_text.get(_key(row), {}).get(reviewer, {})
        beside = [text for texts in read_captions(files[row["file"]]).values() for text in texts]
        author = row["author"].get("model") or row["author"].get("kind") or "unknown"
        claims = checked(files[row["file"]], row["text"])
        items.append(
            {
                "file": row["file"],
                "detail": row["detail"],
                "text": row["text"],
                "clip": clips.index(row["file"]),
                "beside": beside[:6],
                "author": str(author),
                "checked": bool(claims),
                "facts": "; ".join(filter(None, (claims, _measured(row)))),
                "verdict": own.get("verdict", ""),
                "mended": own.get("mended", ""),
            }
        )
    return rows, [files[file] for file in clips], items


def _key(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return row["file"], row["sha256"], row["detail"], row["text"]


def _measured(row: Mapping[str, Any]) -> str:
    """Return in words what was measured of the clip of a row."""
    found = row.get("measured")
    if not isinstance(found, dict) or not isinstance(found.get("motion"), float | int):
        return ""
    return f"measured: motion {found['motion']:.2g} widths a second, camera {found.get('camera')}"


def _current(data: Path, written: Recaptions) -> tuple[list[dict[str, Any]], dict[str, Path]]:
    """Return the rows whose clip is still the one that they were written for, and the path of every clip."""
    files = {clip.file: clip.path for clip in scan_folder(data).clips}
    rows = [row for row in written.rows.values() if row["text"] and row["file"] in files]
    return [row for row in rows if identify(files[row["file"]], row["file"]).sha256 == row["sha256"]], files


class _Handler(BaseHTTPRequestHandler):
    server: Page
    timeout = 30  # seconds that a connection may say nothing

    def do_GET(self) -> None:
        path = self._path()
        if path is None:
            return
        if path == "":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.html())
            return
        asked = path.removeprefix("doubt/")
        if path == f"doubt/{asked}" and asked.isdecimal() and int(asked) < len(self.server.items):
            self._answer("text/plain; charset=utf-8", lambda: self.server.doubt(int(asked)).encode())
            return
        number = path.removeprefix("clip/").removesuffix(".webp")
        if not (path == f"clip/{number}.webp" and number.isdecimal() and int(number) < len(self.server.clips)):
            self._send(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"there is no such page")
            return
        self._answer("image/webp", lambda: self.server.animation(int(number)))

    def _answer(self, kind: str, make: Callable[[], bytes]) -> None:
        """Send what is made of a clip, or the problem with it."""
        try:
            self._send(HTTPStatus.OK, kind, make())
        except ChronotopeError as problem:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", str(problem).encode())

    def do_POST(self) -> None:
        path = self._path()
        if path is None:
            return
        length = self.headers.get("Content-Length", "")
        if path != "verdict" or not length.isdecimal() or int(length) > MAX_BODY:
            self._send(HTTPStatus.BAD_REQUEST, "text/plain; charset=utf-8", b"expected a verdict")
            return
        try:
            self.server.judge(self.rfile.read(int(length)))
        except UsageError as problem:
            self._send(HTTPStatus.BAD_REQUEST, "text/plain; charset=utf-8", str(problem).encode())
        except ChronotopeError as problem:  # the disk is full
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", str(problem).encode())
        else:
            self._send(HTTPStatus.OK, "text/plain; charset=utf-8", b"saved")

    def _path(self) -> str | None:
        """Return the path below the token, or answer a request from elsewhere and return None.

        A page of another site knows no token, and its browser names another host or origin.
        """
        port = self.server.server_address[1]
        hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        origin = self.headers.get("Origin")
        start = f"/{self.server.token}/"
        allowed = self.headers.get("Host") in hosts and origin in (None, *(f"http://{host}" for host in hosts))
        if not (allowed and self.path.startswith(start)):
            self._send(HTTPStatus.FORBIDDEN, "text/plain; charset=utf-8", b"open the address that the program printed")
            return None
        return self.path.removeprefix(start)

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        nonce = f"'nonce-{self.server.nonce}'"
        policy = f"default-src 'none'; img-src 'self'; connect-src 'self'; script-src {nonce}; style-src {nonce}"
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing for a request."""
