"""Changes to the mathematics are noticed: a seeded sample of mutants, see `tools/mutate.py`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)  # against a runner that hangs: 100 mutants take about 5 minutes on one idle core
def test_mutants_are_killed() -> None:
    pytest.importorskip("mutmut", reason="pip install 'chronotope[mutation]'")
    options = ["--count", "100", "--seed", "0", "--at-least", "0.95"]
    command = [sys.executable, "-m", "tools.mutate", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
