"""The examples of the page docs/service.md run, as they are printed, against a service with the shipped model."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chronotope.storage import read_json
from tests.serve.servers import Program, call, program

PAGE = Path(__file__).resolve().parents[2] / "docs" / "service.md"
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("service") / "jobs", "small") as found:
        yield found


def examples(language: str, server: Program) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks
    return [block.replace(ADDRESS, server.url) for block in blocks]


def all_completed(server: Program) -> int:
    names = [job["id"] for job in call(server.url, "GET", "/v1/generations?limit=100")[2]["data"]]
    assert all(server.wait(name)["status"] == "completed" for name in names)
    return len(names)


@pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the file that an example leaves open
def test_python_examples_run(server: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, block in enumerate(examples("python", server), 1):
        exec(compile(block, f"{PAGE.name}, example {number}", "exec"), {})
    assert (tmp_path / "circle.mp4").stat().st_size > 1000 and (tmp_path / "circle.jpg").stat().st_size > 1000
    assert all_completed(server) >= 5


def test_curl_examples_run(server: Program, tmp_path: Path) -> None:
    before = all_completed(server)
    for block in examples("bash", server):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert '"error":{' not in done.stdout, done.stdout
    assert (tmp_path / "fox.mp4").stat().st_size > 1000
    assert all_completed(server) == before + 7


def test_the_numbers_of_the_page_are_those_of_the_benchmark() -> None:
    text, found = PAGE.read_text(encoding="utf-8"), read_json(PAGE.parents[1] / "benchmarks" / "service.json")
    speed, kills, load, batch = found["speed"], found["kills"], found["load"], found["batch"]
    single, together = batch["batch_1"], batch["batch_4"]
    assert kills["lost"] == kills["doubled"] == kills["completed_without_a_whole_file"] == 0
    assert set(load["statuses"]) == {"200", "429"}
    for words in (
        f"{speed['acknowledged_ms']['median']:g} ms (median; p99 {speed['acknowledged_ms']['p99']:g} ms)",
        f"{speed['first_step_seconds']:g} s |",
        f"{speed['ratio']:g} times",
        f"{batch['equal_videos']} of {batch['jobs']} videos equal; {together['cpu_seconds_a_job']:g} s against "
        f"{single['cpu_seconds_a_job']:g} s of processor time",
        f"{together['jobs_per_second']:g} against {single['jobs_per_second']:g} jobs a second",
        f"{sum(kills['kills'].values())} kills of server, worker or both, {kills['acknowledged']} jobs acknowledged",
        f"{kills['set_aside_after_two_deaths']} set aside",
        f"{kills['restart_seconds']['median']:g} s (median; at most {kills['restart_seconds']['most']:g} s)",
        f"{load['submit_ms']['median']:g} ms (median; p99 {load['submit_ms']['p99']:g} ms)",
        f"{load['server_megabytes']['first']} MB at the beginning, {load['server_megabytes']['last']} MB at the end",
    ):
        assert words in text, words


def test_what_the_page_says_of_limits_is_true(server: Program) -> None:
    from chronotope.serve.limits import Limits

    text, limits = " ".join(PAGE.read_text(encoding="utf-8").split()), Limits()
    assert (
        f"a body of {limits.body_bytes >> 20} MiB within {limits.body_seconds:g} s and "
        f"{limits.bodies_bytes >> 20} MiB of bodies at once (else 429), prompts of "
        f"{limits.prompt_characters:,} characters, {limits.side:,} pixels a side, {limits.num_frames} frames, "
        f"{limits.steps} steps, {limits.tokens:,} tokens, {limits.images} pictures, files of "
        f"{limits.file_frames:,} frames"
    ) in text
    assert f"at most {limits.animation_pixels / 1e6:.0f} million pixels in all its frames" in text
    assert f"a video without an index has at most {limits.decoded_pixels / 1e6:,.0f} million" in text
    paths = call(server.url, "GET", "/openapi.json")[2]["paths"]
    for path in re.findall(r"`?(?:GET|POST|DELETE) (/[\w/{}]+)", text):
        assert path.replace("{id}", "{name}") in paths, path
