"""Connections of clients that misbehave: huge, half and slow ones. The service stays there for the others."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from chronotope.serve.app import make_app
from chronotope.serve.service import Service
from tests.serve.servers import call

POST = b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A service without workers behind a real socket."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    with Service(tmp_path_factory.mktemp("sockets") / "service", devices=()) as service, listener:
        server = uvicorn.Server(uvicorn.Config(make_app(service), log_config=None, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()
        server.should_exit = True
        thread.join()


def sent(address: tuple[str, int], data: bytes, close: bool = False) -> bytes:
    """What comes back to these bytes, until the service closes or two seconds are quiet."""
    with socket.create_connection(address, timeout=2) as connection:
        connection.sendall(data)
        if close:
            return b""
        found = b""
        try:
            while part := connection.recv(65536):
                found += part
        except TimeoutError:
            pass
        return found


def alive(address: tuple[str, int]) -> bool:
    return call(f"http://127.0.0.1:{address[1]}", "GET", "/health")[0] == 200


def test_ten_gigabytes_are_refused_before_they_are_sent(address: tuple[str, int]) -> None:
    answer = sent(address, POST + b"Content-Length: 10000000000\r\n\r\n" + b"x" * 1000)
    assert b" 413 " in answer.split(b"\r\n")[0] and b"body_too_large" in answer
    assert alive(address)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n{}",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["tls", "version", "headers", "no host", "address", "negative", "two lengths", "chunks"],
)
def test_what_is_no_request_is_no_error_of_the_server(address: tuple[str, int], data: bytes) -> None:
    try:
        answer = sent(address, data)
    except ConnectionError:
        answer = b""
    assert not answer or answer.split(b" ")[1][:1] in (b"2", b"4"), answer[:100]
    assert alive(address)


def test_half_uploads_leave_nothing(address: tuple[str, int]) -> None:
    url = f"http://127.0.0.1:{address[1]}"
    before = call(url, "GET", "/v1/videos?limit=100")[2]["data"]
    for _ in range(20):
        sent(address, POST + b'Content-Length: 5000\r\n\r\n{"prompt": "a fox"', close=True)
    time.sleep(0.3)
    assert call(url, "GET", "/v1/videos?limit=100")[2]["data"] == before
    assert alive(address)


def test_clients_that_read_nothing_block_no_other(address: tuple[str, int]) -> None:
    connections = [socket.create_connection(address) for _ in range(50)]
    try:
        for connection in connections:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        assert alive(address)
    finally:
        for connection in connections:
            connection.close()
