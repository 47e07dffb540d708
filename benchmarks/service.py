"""The service under measure: python -m benchmarks.service {speed,batch,kills,load}; writes benchmarks/service.json

speed   how fast a request is acknowledged while sampling runs, when the first step is shown, and jobs a second against
        one `chronotope generate` process a job: the shipped model
batch   jobs a second, and processor seconds a job, where a worker samples four jobs at once: the shipped model
kills   kill -9 of the server, of its worker or of both at random moments, with eight clients: a random model
load    clients that ask for more than the service can do: a random model
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import say
from chronotope.media import video
from chronotope.storage import read_json, write_json
from tests.cli.models import save_run
from tests.serve.servers import Program, call

OUT = Path(__file__).with_name("service.json")
PROMPT = "a red ball moves to the right"
CLIENTS = 8
SMALL = {"steps": 2, "num_frames": 8}
ROUNDS, JOBS = 4, 4  # of the comparison with processes
BATCH = 4
OUTSTANDING = 3  # jobs of a client that have not ended
GONE = (OSError, urllib.error.URLError, http.client.HTTPException, json.JSONDecodeError)


def order(seed: int, **more: Any) -> dict[str, Any]:
    """Return the fields of a small job."""
    return {"prompt": PROMPT, "seed": seed, "expand": False, **more}


# Speed


def speed(folder: Path) -> dict[str, Any]:
    """Measure acknowledging, the first step and jobs a second."""
    server = Program(folder / "jobs", "small")
    try:
        server.wait(call(server.url, "POST", "/v1/generations", order(0))[2]["id"])
        first = [_first_step(server, seed) for seed in range(5)]
        say(f"first step after {statistics.median(first):.2f} s")
        served, alone = _jobs_a_second(server, folder)
        say(f"the service makes {served:.3f} jobs a second, processes {alone:.3f}")
        long = call(server.url, "POST", "/v1/generations", order(1, num_frames=900))[2]["id"]
        while call(server.url, "GET", f"/v1/generations/{long}")[2]["step"] == 0:
            time.sleep(0.1)
        taken = []
        for seed in range(90):
            asked = time.perf_counter()
            assert call(server.url, "POST", "/v1/generations", order(seed, num_frames=1))[0] == 200
            taken.append(1000 * (time.perf_counter() - asked))
            time.sleep(0.05)
        assert call(server.url, "GET", f"/v1/generations/{long}")[2]["status"] == "in_progress"
    finally:
        server.kill()
    say(f"acknowledged in {statistics.median(taken):.1f} ms")
    return {
        "acknowledged_ms": {
            "requests": len(taken),
            "median": round(statistics.median(taken), 1),
            "p99": round(sorted(taken)[int(0.99 * len(taken))], 1),
        },
        "first_step_seconds": round(statistics.median(first), 2),
        "jobs_per_second": round(served, 4),
        "jobs_per_second_of_processes": round(alone, 4),
        "ratio": round(served / alone, 2),
    }


def _jobs_a_second(server: Program, folder: Path) -> tuple[float, float]:
    """Return what the service does, and one process a job; in turns, since other work comes and goes."""
    served = alone = 0.0
    for turn in range(ROUNDS):
        began = time.perf_counter()
        seeds = range(JOBS * turn, JOBS * (turn + 1))
        names = [call(server.url, "POST", "/v1/generations", order(seed))[2]["id"] for seed in seeds]
        for name in names:
            assert server.wait(name, 600)["status"] == "completed"
        served += time.perf_counter() - began
        began = time.perf_counter()
        command = [sys.executable, "-m", "chronotope", "generate", PROMPT, "--no-expand", "--no-compare"]
        command += ["--seed", str(turn), "-o", str(folder / f"{turn}.mp4")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        alone += time.perf_counter() - began
    return ROUNDS * JOBS / served, ROUNDS / alone


def _first_step(server: Program, seed: int) -> float:
    """Return the seconds from a request to the first event of a step, of a worker that waits."""
    began = time.perf_counter()
    name = call(server.url, "POST", "/v1/generations", order(seed))[2]["id"]
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=120)
    with contextlib.closing(connection):
        connection.request("GET", f"/v1/generations/{name}/events")
        for line in connection.getresponse():
            if line.startswith(b"data: ") and json.loads(line[6:])["step"] > 0:
                break
    seconds = time.perf_counter() - began
    server.wait(name)
    return seconds


# Batches


def batch(folder: Path) -> dict[str, Any]:
    """Compare a service that samples jobs one by one with one that samples four at once, in turns."""
    servers = {size: Program(folder / f"jobs{size}", "small", "--batch", str(size)) for size in (1, BATCH)}
    seconds = {size: list[float]() for size in servers}
    cpu = {size: list[float]() for size in servers}
    first = {size: list[float]() for size in servers}
    try:
        for server in servers.values():
            server.wait(call(server.url, "POST", "/v1/generations", order(0))[2]["id"])
        for turn in range(ROUNDS):
            for size, server in servers.items():
                spent, began = _spent(server.workers()), time.perf_counter()
                seeds = range(BATCH * turn, BATCH * (turn + 1))
                names = [call(server.url, "POST", "/v1/generations", order(seed))[2]["id"] for seed in seeds]
                for name in names:
                    assert server.wait(name, 600)["status"] == "completed"
                    first[size] += [time.perf_counter() - began] if name == names[0] else []
                seconds[size].append(time.perf_counter() - began)
                cpu[size].append(_spent(server.workers()) - spent)
                say(f"batch {size}: {BATCH / seconds[size][-1]:.3f} jobs a second, {cpu[size][-1] / BATCH:.2f} s a job")
        hashes = [_hashes(folder / f"jobs{size}") for size in servers]
    finally:
        for server in servers.values():
            server.kill()
    return {
        "jobs": ROUNDS * BATCH,
        "equal_videos": len(hashes[0] & hashes[1]),
        **{
            f"batch_{size}": {
                "jobs_per_second": round(BATCH / statistics.median(seconds[size]), 3),
                "cpu_seconds_a_job": round(statistics.median(cpu[size]) / BATCH, 2),
                "first_video_seconds": round(statistics.median(first[size]), 1),
            }
            for size in servers
        },
    }


def _spent(processes: Sequence[int]) -> float:
    """Return the processor seconds of some processes."""
    ticks = 0
    for number in processes:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _hashes(folder: Path) -> set[str]:
    """Return the hashes of the frames of all videos of a service."""
    return {
        hashlib.sha256(b"".join(frame.tobytes() for frame in video.stream(path))).hexdigest()
        for path in (folder / "outputs").glob("*.mp4")
    }


# Kills


class Clients:
    """Threads that submit jobs, each with its key until it is acknowledged, and note what was acknowledged."""

    def __init__(self, count: int) -> None:
        self.url = ""
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.acknowledged: dict[str, int] = {}
        self.repeated = 0
        self.statuses: Counter[int] = Counter()
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]

    def _run(self, number: int) -> None:
        mine: list[str] = []
        for count in range(10**6):
            while len(mine) >= OUTSTANDING and not self.stopped.is_set():
                mine = [name for name in mine if not self._ended(name)]
                time.sleep(0.2)
            if self.stopped.is_set():
                return
            seed = number * 10**6 + count
            if name := self._submit(seed):
                mine.append(name)

    def _submit(self, seed: int) -> str | None:
        while not self.stopped.is_set():
            with contextlib.suppress(*GONE):
                headers = {"Idempotency-Key": f"seed {seed}"}
                status, _, job = call(self.url, "POST", "/v1/generations", order(seed, steps=2, num_frames=8), headers)
                with self.lock:
                    self.statuses[status] += 1
                    if status == 200:
                        if job["id"] in self.acknowledged:
                            self.repeated += 1
                        self.acknowledged[job["id"]] = seed
                        return str(job["id"])
            time.sleep(0.2)
        return None

    def _ended(self, name: str) -> bool:
        with contextlib.suppress(*GONE):
            status, _, job = call(self.url, "GET", f"/v1/generations/{name}")
            return status == 404 or (status == 200 and job["status"] in ("completed", "failed"))
        return False


def kills(folder: Path, minutes: float, aim: int) -> dict[str, Any]:
    """Kill what runs at random moments; then count what was lost or doubled."""
    chance, model, clients = random.Random(0), save_run(folder / "model"), Clients(CLIENTS)
    server = Program(folder / "jobs", model)
    clients.url = server.url
    for thread in clients.threads:
        thread.start()
    done: Counter[str] = Counter()
    restarts: list[float] = []
    until = time.monotonic() + 60 * minutes
    while done.total() < aim and time.monotonic() < until:
        time.sleep(chance.choice((chance.uniform(0, 1.5), chance.uniform(0, 10))))
        what = chance.choice(("server", "worker", "both"))
        workers = server.workers()
        if what != "server":
            for number in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
        if what != "worker":
            server.kill()
            began = time.perf_counter()
            server = Program(folder / "jobs", model)
            clients.url = server.url
            restarts.append(time.perf_counter() - began)
        done[what] += 1
        if done.total() % 10 == 0:
            say(f"{done.total()} kills, {len(clients.acknowledged)} jobs acknowledged")
    clients.stopped.set()
    for thread in clients.threads:
        thread.join()
    states = Counter(server.wait(name, 1800)["status"] for name in clients.acknowledged)
    server.stop()
    return {
        "kills": dict(done),
        "clients": CLIENTS,
        "acknowledged": len(clients.acknowledged),
        "acknowledged_again_by_key": clients.repeated,
        "states": dict(states),
        "restart_seconds": {"median": round(statistics.median(restarts), 1), "most": round(max(restarts), 1)},
        **_counted(folder / "jobs", clients.acknowledged),
    }


def _counted(folder: Path, acknowledged: dict[str, int]) -> dict[str, Any]:
    """Compare what was acknowledged with the rows and the files."""
    with contextlib.closing(sqlite3.connect(folder / "jobs.sqlite3")) as connection:
        rows = connection.execute("SELECT id, state, json_extract(asked, '$.seed'), key, error FROM jobs").fetchall()
    found = {name: (state, seed) for name, state, seed, _, _ in rows}
    keys = Counter(key for _, _, _, key, _ in rows)
    files = {path.stem for path in (folder / "outputs").glob("*.mp4")}
    completed = {name for name, (state, _) in found.items() if state == "completed"}
    wrong = 0
    for name in completed:
        path = folder / "outputs" / f"{name}.mp4"
        settings = video.read_tags(path) if path.exists() else None
        wrong += settings is None or settings["seed"] != found[name][1] or video.probe(path).num_frames != 8
    return {
        "lost": sum(name not in found or found[name][1] != seed for name, seed in acknowledged.items()),
        "doubled": sum(count > 1 for count in keys.values()),
        "completed_without_a_whole_file": wrong,
        "files_of_no_completed_job": len(files - completed),
        "set_aside_after_two_deaths": sum("worker_died" in (error or "") for *_, error in rows),
    }


# Load


def load(folder: Path, minutes: float, count: int = 64) -> dict[str, Any]:
    """Let many clients ask for more than can be done; return how requests were answered."""
    model = save_run(folder / "model")
    server = Program(folder / "jobs", model)
    statuses: Counter[int] = Counter()
    taken: list[float] = []
    began = time.perf_counter()
    names = [call(server.url, "POST", "/v1/generations", order(seed, **SMALL))[2]["id"] for seed in range(60)]
    for name in names:
        server.wait(name)
    capacity = len(names) / (time.perf_counter() - began)
    pause = count / (2 * capacity)  # together the clients ask for twice what is done
    say(f"{capacity:.1f} jobs a second; every client asks once in {pause:.1f} s")
    lock, until = threading.Lock(), time.monotonic() + 60 * minutes

    def ask(number: int) -> None:
        seed, chance = number * 10**6, random.Random(number)
        time.sleep(chance.uniform(0, pause))
        while time.monotonic() < until:
            seed += 1
            began = time.perf_counter()
            try:
                status = call(server.url, "POST", "/v1/generations", order(seed, **SMALL))[0]
            except GONE:
                status = 0
            with lock:
                statuses[status] += 1
                taken.append(1000 * (time.perf_counter() - began))
            time.sleep(chance.uniform(0, 2 * pause))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    memory, spent = [_memory(server)], _spent([server.process.pid])
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(5)
        memory.append(_memory(server))
    spent = _spent([server.process.pid]) - spent
    server.stop()
    taken.sort()
    return {
        "clients": count,
        "jobs_per_second": round(capacity, 1),
        "minutes": minutes,
        "statuses": {str(status): number for status, number in sorted(statuses.items())},
        "submit_ms": {"median": round(taken[len(taken) // 2], 1), "p99": round(taken[int(0.99 * len(taken))], 1)},
        "server_cpu_ms_a_request": round(1000 * spent / len(taken), 1),  # with its part in the jobs that are done
        "server_megabytes": {"first": memory[0], "after_a_quarter": memory[len(memory) // 4], "last": memory[-1]},
    }


def _memory(server: Program) -> int:
    """Return the megabytes of the server process, without its worker."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def main() -> None:
    """Run one part and store its numbers beside those of the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("speed", "batch", "kills", "load"))
    parser.add_argument("--minutes", type=float, default=20, help="the longest time of kills and load")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        parts = {
            "speed": lambda: speed(Path(name)),
            "batch": lambda: batch(Path(name)),
            "kills": lambda: kills(Path(name), chosen.minutes, chosen.kills),
            "load": lambda: load(Path(name), chosen.minutes),
        }
        found = parts[chosen.part]()
    found["load_average"] = [round(value, 1) for value in os.getloadavg()]
    written = read_json(chosen.out) if chosen.out.exists() else {}
    write_json(chosen.out, {**written, chosen.part: found})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
