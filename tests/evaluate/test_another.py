"""Somebody else's model, end to end: plan a suite, let a diffusers pipeline with random weights make its videos, score
the folder.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chronotope.cli.evaluate import EvaluateRequest, evaluate, plan_suite
from tests.cli.models import run

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_a_diffusers_pipeline_is_scored_as_any_other(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="pip install 'chronotope[bench]'")
    specs, theirs = tmp_path / "specs.jsonl", tmp_path / "theirs"
    asked = EvaluateRequest(None, "smoke", "model", 6, tmp_path / "report", None, None)
    assert plan_suite(asked, specs) == 6
    subprocess.run([sys.executable, ROOT / "runs" / "score_another.py", specs, "--out", theirs], check=True, cwd=ROOT)
    report = evaluate(EvaluateRequest(None, "smoke", "model", None, tmp_path / "report", theirs, specs))
    assert (
        report["summary"]["success"]["right"] == 0 and report["summary"]["success"]["of"] == 6
    )  # noise: it fails, as it should
    assert all(case["failures"] for case in report["cases"])
    (theirs / sorted(path.name for path in theirs.iterdir())[0]).unlink()
    answer = run("evaluate", "--videos", theirs, "--specs", specs, "--out", tmp_path / "again")
    assert answer.exit_code == 1 and "is missing" in answer.output
