"""Several processes encode what one does, and the end of one of them loses nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import chronotope
from chronotope.data.limits import Limits
from tests.data.test_encode import clips, content, encode, save_clip

__all__ = ["clips"]


def test_workers_write_what_one_process_writes(tmp_path: Path) -> None:
    """Also of a clip that cannot be read, and of films that are cut into parts."""
    clips = tmp_path / "d"
    for number in range(7):
        save_clip(clips / f"{number}.mp4", frames=5 + 4 * number, colour=30 * number, caption=f"clip {number}")
    (clips / "3.mp4").write_bytes(b"damaged")
    limits = Limits(max_seconds=1.0)
    found, notes = [], []
    for workers in (1, 2):
        shutil.rmtree(tmp_path / "lat", ignore_errors=True)
        notes.append(list[str]())
        told = encode(clips, notes[-1], limits=limits, workers=workers)
        files = sorted(path.read_bytes() for path in (tmp_path / "lat").glob("latents*"))
        found.append((told, content(clips), files))
    assert found[0] == found[1] and sorted(notes[0]) == sorted(notes[1])
    assert found[0][0].items > 6 and [item.key for item in found[0][0].left_out] == ["d/3"]


HERE = Path(chronotope.__file__).parents[1]
WORKER_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from data.test_encode import GEOMETRY, autoencoder
from chronotope import processes
from chronotope.data import encode
received = processes._received
def killed(connection):
    os.kill(list(sys.modules["multiprocessing"].active_children())[0].pid, signal.SIGKILL)
    return received(connection)
if __name__ == "__main__":
    processes._received = killed
    encode.encode_dataset(Path(sys.argv[1]), Path(sys.argv[2]), autoencoder(), GEOMETRY, workers=2)
"""


@pytest.mark.slow  # test_processes.py has the end of a worker, test_encode.py a killed encoding
def test_a_killed_worker_is_one_sentence_and_the_run_goes_on(clips: Path, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(WORKER_KILLED.format(tests=str(Path(__file__).parents[1])))
    command = [sys.executable, script, clips, clips.parent / "lat"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(HERE)})
    assert done.returncode == 1 and "with fewer --workers" in done.stderr, done.stderr
    encode(clips)
    assert list(content(clips)) == ["d/a", "d/b", "d/c"]
