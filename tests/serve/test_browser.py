"""The page in a browser: it lists jobs, shows their progress and plays what is finished."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.models import save_run
from tests.serve.servers import call, program

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.e2e, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]


def test_the_page_shows_what_was_made_and_what_failed(tmp_path: Path) -> None:
    with program(tmp_path / "jobs", save_run(tmp_path / "model")) as server:
        order = {"prompt": "a red ball moves <b>right</b>", "num_frames": 8, "num_inference_steps": 1}
        made = call(server.url, "POST", "/v1/generations", order)[2]["id"]
        failed = call(server.url, "POST", "/v1/generations", {**order, "prompt": "red ball " * 60})[2]["id"]
        assert (server.wait(made)["status"], server.wait(failed)["status"]) == ("completed", "failed")
        assert CHROMIUM is not None
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--dump-dom"]
        shown = subprocess.run([*words, server.url], capture_output=True, text=True, timeout=120, check=True).stdout
    assert "a red ball moves &lt;b&gt;right&lt;/b&gt;" in shown, "a prompt is text and never markup"
    assert '<video src="blob:' in shown and shown.count("<li>") == 2
    assert "this model reads at most 24" in shown
    assert '<span id="state" role="status">ready</span>' in shown
