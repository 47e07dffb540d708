"""The same seed gives the same files in every process, with any number of threads and processors of one machine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chronotope import Generator
from chronotope.prompt import read_prompts
from chronotope.request import Request

SCRIPT = """
import hashlib, json, os, sys
from pathlib import Path
import numpy as np
import torch
from chronotope import Generator
from chronotope.media import video

threads, folder = int(sys.argv[1]), Path(sys.argv[2])
if threads == 1 and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # encoders count processors
torch.set_num_threads(threads)
generator = Generator.load("small", precision=sys.argv[3])
size = {"num_inference_steps": 1, "height": 64, "width": 96}
clip = np.random.default_rng(0).integers(0, 256, (8, 64, 96, 3), np.uint8)
made = {
    "long": generator.generate([(0.0, "a red ball rolls right"), (2.0, "it stops")], num_frames=20, seed=7, **size),
    "edit": generator.generate("a fox at night", video=clip, task="edit", seed=2**40, **size),
    "odd": generator.generate("a blue star", num_frames=5, height=50, width=70, num_inference_steps=1, solver="heun"),
    "picture": generator.generate("a fox", num_frames=1, height=16, width=16, num_inference_steps=1),
}
hashes = {name: hashlib.sha256(one.frames.tobytes()).hexdigest() for name, one in made.items()}
for suffix in ("mp4", "mov", "mkv", "webm", "gif"):
    video.write(folder / f"long.{suffix}", made["long"].frames, 8, metadata=made["long"].origin)
for suffix in ("mp4", "webm"):
    with video.VideoWriter(folder / f"odd.{suffix}", 8, metadata=made["odd"].origin, watchable=True) as writer:
        for frame in made["odd"].frames:
            writer.add(frame)
for suffix in ("png", "jpg", "webp"):
    video.write(folder / f"picture.{suffix}", made["picture"].frames, 8, metadata=made["picture"].origin)
files = [path for path in sorted(folder.iterdir()) if path.suffix != ".json"]
hashes |= {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
print(json.dumps(hashes))
"""


def hashes_with(threads: int, folder: Path, precision: str) -> dict[str, str]:
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(threads), str(folder), precision],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@contextlib.contextmanager
def default(set_to: Callable[[Any], None], value: Any, before: Any) -> Iterator[None]:
    set_to(value)
    try:
        yield
    finally:
        set_to(before)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_frames_do_not_depend_on_the_defaults_that_the_caller_chose(precision: Any) -> None:
    """Nor on the number of threads, where it does not divide the values of a layer; the defaults stay the caller's."""
    request = Request(read_prompts("a red ball"), height=64, width=96, num_frames=17, num_steps=1)

    def frames() -> np.ndarray:
        generator = Generator.load("small", precision=precision)
        state = torch.get_default_dtype(), torch.get_default_device(), torch.is_autocast_enabled("cpu")
        pieces = []
        for piece in generator.stream(generator.plan(request), 3).pieces:
            assert state == (torch.get_default_dtype(), torch.get_default_device(), torch.is_autocast_enabled("cpu"))
            pieces.append(piece)
        return np.concatenate(pieces)

    expected = frames()
    for chosen in (
        default(torch.set_num_threads, 3, 1),
        default(torch.set_default_dtype, torch.float64, torch.float32),
        default(torch.set_default_device, "meta", None),
        torch.autocast("cpu", torch.bfloat16),
    ):
        with chosen:
            assert np.array_equal(frames(), expected)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("threads", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_files_are_the_same_with_other_threads_at_another_time(threads: int, precision: str, tmp_path: Path) -> None:
    one, other = hashes_with(1, tmp_path / "one", precision), hashes_with(threads, tmp_path / "other", precision)
    assert len(one) == 4 + 10 and [name for name in one if one[name] != other[name]] == []
    times = [json.loads((tmp_path / name / "long.mp4.json").read_text())["seconds"] for name in ("one", "other")]
    assert times[0] != times[1]  # only the file beside it tells one run from another
