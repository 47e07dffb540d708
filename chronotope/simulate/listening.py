"""Servers of this machine: the names by which they are reached, the socket on which they listen, and when they do."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable, Iterator

import uvicorn

from chronotope.errors import UsageError

__all__ = ["LOOPBACK", "TellingServer", "address_of", "allowed_hosts", "host_name", "listening"]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
BACKLOG = 256  # connections that wait to be accepted


def allowed_hosts(*names: str) -> frozenset[str]:
    """Return the names that requests may give: those of this machine, and further ones."""
    return LOOPBACK | {host_name(name) or name.lower() for name in names}


def host_name(text: str) -> str:
    """Return the name in a Host header or an origin, without its port; nothing where there is none."""
    found = re.fullmatch(r"\[([0-9a-fA-F:.]+)\](?::\d+)?|([^:\[\]/@]+)(?::\d+)?", text.strip())
    return (found[1] or found[2]).lower().rstrip(".") if found else ""


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens; raise UsageError where the port cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as problem:
            raise UsageError(
                f"{host}:{port} cannot be used ({problem.strerror}); another program may have it: give another --port"
            ) from problem
        listener.listen(BACKLOG)
        yield listener


def address_of(host: str, listener: socket.socket) -> str:
    """Return the address that a browser opens."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


class TellingServer(uvicorn.Server):
    """Tells when it accepts requests, and when it begins to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        started: Callable[[], None],
        stopping: Callable[[], None] = lambda: None,
        finished: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(config)
        self._told, self._stopping, self._finished = started, stopping, finished

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop, ten times a second: when there is nothing more to do, too."""
        return await super().on_tick(counter) or self._finished()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept requests, and say so."""
        await super().startup(sockets)
        self._told()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that the end begins, then answer what is being answered and close."""
        self._stopping()
        await super().shutdown(sockets)
