"""Services for tests: one in this process without workers, and one that is a program of its own."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_SECONDS = 120.0


class Program:
    """`chronotope serve` on a free port; `kill` ends it as a crash does."""

    def __init__(self, folder: Path, model: Path | str, *options: str) -> None:
        words = ["serve", "--folder", str(folder), "--model", str(model), "--port", "0", *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chronotope", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.folder = folder
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        self.url = self.process.stdout.readline().strip() if ready else ""
        if not self.url:
            self.process.kill()
            raise AssertionError(f"the service did not start: {self.process.communicate()[1]}")

    def workers(self) -> list[int]:
        """The processes that hold a model."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        found = [int(number) for path in children for number in path.read_text().split()]
        return [number for number in found if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes()]

    def kill(self) -> None:
        """End the server at once, as kill -9 does."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> str:
        """End the server as Ctrl-C does; return what it said."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            said = self.process.communicate(timeout=60)[1]
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return said

    def wait(self, name: str, seconds: float = 180) -> dict[str, Any]:
        """Wait until a job has ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            job = call(self.url, "GET", f"/v1/generations/{name}")[2]
            if job["status"] in ("completed", "failed"):
                return job
            time.sleep(0.2)
        raise AssertionError(f"{job} has not ended; log: {(self.folder / 'log.jsonl').read_text()[-2000:]}")


@contextmanager
def program(folder: Path, model: Path | str, *options: str) -> Iterator[Program]:
    """A running service that is stopped at the end."""
    found = Program(folder, model, *options)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.stop()


def call(
    url: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body of an answer; a dict or list is sent and read as JSON."""
    data = json.dumps(body).encode() if isinstance(body, dict | list) else body
    sent = {"Content-Type": "application/json"} if data is not None else {}
    request = urllib.request.Request(url + path, data=data, headers={**sent, **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            status, found, content = answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as problem:
        with problem:
            status, found, content = problem.code, dict(problem.headers), problem.read()
    kind = next((value for name, value in found.items() if name.lower() == "content-type"), "")
    return status, found, json.loads(content) if re.match("application/json", kind) else content
