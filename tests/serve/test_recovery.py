"""Crashes: of workers and of the server at random moments, of a model folder, of a job that kills its workers."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.models import save_run
from tests.serve.servers import Program, call, program

PROMPT = "a red ball moves to the right"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


def order(seed: int, steps: int = 3) -> dict[str, object]:
    return {"prompt": PROMPT, "seed": seed, "steps": steps, "num_frames": 8, "expand": False}


def until_in_progress(server: Program, name: str) -> None:
    until = time.monotonic() + 120
    while call(server.url, "GET", f"/v1/generations/{name}")[2]["step"] == 0:
        assert time.monotonic() < until
        time.sleep(0.05)


def have_ended(processes: list[int], seconds: float = 20) -> bool:
    """Whether none of the processes exists after some time."""
    until = time.monotonic() + seconds
    while any(Path(f"/proc/{number}").exists() for number in processes):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def test_nothing_that_was_acknowledged_is_lost_or_made_twice(tmp_path: Path, model: Path) -> None:
    """A small version of `python -m benchmarks.service kills`."""
    chance = random.Random(0)
    server = Program(tmp_path / "jobs", model)
    acknowledged: dict[str, int] = {}
    try:
        for kill in range(2):
            for _ in range(3):
                seed = len(acknowledged)
                key = {"Idempotency-Key": f"seed {seed}"}
                first, again = (call(server.url, "POST", "/v1/generations", order(seed), key)[2] for _ in range(2))
                assert first["id"] == again["id"]
                acknowledged[first["id"]] = seed
            time.sleep(chance.uniform(0, 2))
            workers = server.workers()
            if kill == 1 and workers:
                os.kill(workers[0], signal.SIGKILL)
                continue
            server.kill()
            assert have_ended(workers), "workers end with the server"
            server = Program(tmp_path / "jobs", model)
        jobs = {name: server.wait(name) for name in acknowledged}
        listed = call(server.url, "GET", "/v1/videos?limit=100")[2]["data"]
        assert sorted(job["id"] for job in listed) == sorted(acknowledged)
        for name, seed in acknowledged.items():
            assert (jobs[name]["status"], jobs[name]["seed"]) == ("completed", seed)
        hashes = [
            hashlib.sha256(call(server.url, "GET", f"/v1/videos/{name}/content")[2]).digest() for name in acknowledged
        ]
        assert len(set(hashes)) == len(hashes), "every seed has its own video"
        outputs = {path.name for path in (tmp_path / "jobs" / "outputs").glob("*.mp4")}
        assert outputs == {f"{name}.mp4" for name in acknowledged}
    finally:
        if server.process.poll() is None:
            server.stop()


@pytest.mark.slow
def test_a_job_that_is_interrupted_by_the_end_of_the_server_starts_over(tmp_path: Path, model: Path) -> None:
    with program(tmp_path / "jobs", model) as server:
        name = call(server.url, "POST", "/v1/generations", {**order(1, 200), "num_frames": 64})[2]["id"]
        until_in_progress(server, name)
        said = server.stop()
        assert server.process.returncode == 0 and "goes on with what waits" in said
    with program(tmp_path / "jobs", model) as server:
        assert server.wait(name)["status"] == "completed"


@pytest.mark.slow
def test_a_job_that_kills_its_workers_is_set_aside_and_the_next_one_is_made(tmp_path: Path, model: Path) -> None:
    with program(tmp_path / "jobs", model) as server:
        poison = call(server.url, "POST", "/v1/generations", {**order(1, 200), "num_frames": 400})[2]["id"]
        after = call(server.url, "POST", "/v1/generations", order(2))[2]["id"]
        for _ in range(2):
            until_in_progress(server, poison)
            os.kill(server.workers()[0], signal.SIGKILL)
            time.sleep(0.5)
        failed = server.wait(poison)
        assert (failed["status"], failed["error"]["code"]) == ("failed", "worker_died")
        assert server.wait(after)["status"] == "completed"


@pytest.mark.slow
def test_a_model_that_disappears_is_said_and_jobs_wait_for_it(tmp_path: Path) -> None:
    model = save_run(tmp_path / "model")
    with program(tmp_path / "jobs", model) as server:
        server.wait(call(server.url, "POST", "/v1/generations", order(1))[2]["id"])
        moved = model.rename(tmp_path / "moved")
        os.kill(server.workers()[0], signal.SIGKILL)
        name = call(server.url, "POST", "/v1/generations", order(2))[2]["id"]
        until = time.monotonic() + 120
        while (answer := call(server.url, "GET", "/ready"))[0] == 200 or "loaded" in answer[2]["error"]["message"]:
            assert time.monotonic() < until
            time.sleep(0.2)
        assert str(tmp_path) not in str(answer[2])
        assert call(server.url, "GET", f"/v1/generations/{name}")[2]["status"] == "queued"
        save_run(model, seed=1)  # another model takes its place
        while "was exchanged" not in str(call(server.url, "GET", "/ready")[2]):
            assert time.monotonic() < until
            time.sleep(0.2)
        assert call(server.url, "GET", f"/v1/generations/{name}")[2]["status"] == "queued"
        shutil.rmtree(model)
        shutil.move(moved, model)
        assert server.wait(name)["status"] == "completed"


def test_two_services_in_one_folder_and_on_one_port_are_refused(tmp_path: Path, model: Path) -> None:
    with program(tmp_path / "jobs", model) as server:
        words = [sys.executable, "-m", "chronotope", "serve", "--model", str(model)]
        port = server.url.rpartition(":")[2]
        for more, said in (
            (["--folder", str(tmp_path / "jobs"), "--port", "0"], "is being written by process"),
            (["--folder", str(tmp_path / "other"), "--port", port], "give another --port"),
        ):
            second = subprocess.run([*words, *more], capture_output=True, text=True, check=False)
            assert second.returncode == 2 and said in second.stderr, second.stderr
        assert call(server.url, "GET", "/health")[0] == 200
