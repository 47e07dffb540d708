"""The Python interface refuses wrong values in one sentence and takes unusual ones, without the runtime type check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from chronotope.generate.pipeline import Generator
from tests.cli.models import save_run
from tests.generate.api_cases import unusual_fields

CASES = Path(__file__).with_name("api_cases.py")
# What a message must say, by the beginning of the name of a case; all name what was got or what is expected.
SAID = {
    "height: 0e+00": "1 to 8192 pixels a side, got 0",
    "width: -3e+00": "1 to 8192 pixels a side, got -3",
    "width: text": "width must be a whole number, got '8'",
    "width: float": "width must be a whole number, got 16.0 (float)",
    "width: truth value": "width must be a whole number, got True (bool)",
    "width: array": "width must be a whole number, got ndarray of int64 with shape [2]",
    "num_frames: 1e+06": "1 to 1000000 frames, got 1000001",
    "num_frames: of an edit": "'edit' keeps the 8 frames of its video, and num_frames asks for 4; leave num_frames out",
    "seed: 9e+18": "a seed is a whole number from 0 to 2^63 - 1",
    "fps: NaN": "fps must be a finite number, got nan",
    "fps: 1e-300": "fps must be between 0.01 and 240, got 1e-300",
    "guidance_scale: 1e+30": "between 0 and 1000",
    "strength: 1.1": "strength lies between 0 (keep everything) and 1 (keep nothing), got 1.1",
    "image: tensor": "give x.cpu().numpy()",
    "image: Pillow image": 'numpy.asarray(image.convert("RGB"))',
    "image: floats": "convert it first",
    "image: channels first": "uint8 [height, width, 3], got shape [3, 32, 48]",
    "image: path": "got 'photo.png'",
    "mask: bytes": "bool [frames, height, width], got ndarray of uint8",
    "span: backward": "ends after it begins",
    "task: unknown": "Did you mean 'extend'?",
    "solver: unknown": "Did you mean 'euler'?",
    "prompt: texts": "a list of (seconds, text) pairs, got 'a' in it",
    "prompt: list": "the prompt is empty",
    "prompt: too many bytes": "30,000,000 bytes",
    "prompt: too many tokens": "reads at most 24",
    "negative_prompt: too long": "the negative prompt has",
    "large: outpainting": "GB are needed to generate 8192x8192",
    "load: missing": "there is no model 'no/such/folder'",
    "load: nearly": "Did you mean 'small'?",
    "load: empty": "got ''",
    "plan: prompt": "plan takes a Request, got 'a red ball'",
    "device: unknown": "device 'gpu' cannot be used",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    environment = {**os.environ, "PYTHONPATH": str(CASES.parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(CASES), str(save_run(tmp_path_factory.mktemp("model")))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr  # nor a warning
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def test_every_wrong_value_is_refused_in_one_sentence(outcomes: dict[str, dict[str, Any]]) -> None:
    wrong = {name: found for name, found in outcomes.items() if name not in unusual_fields()}
    assert len(wrong) > 300
    assert {name: found for name, found in wrong.items() if found["kind"] != "refused"} == {}
    for name, found in wrong.items():
        text = found["text"]
        assert text.isascii() and text.isprintable() and 10 < len(text) < 400, (name, text)


def test_every_unusual_value_is_taken(outcomes: dict[str, dict[str, Any]]) -> None:
    assert {name: outcomes[name] for name in unusual_fields() if outcomes[name]["kind"] != "made"} == {}


@pytest.mark.parametrize("name", SAID)
def test_a_message_says_what_was_got_and_what_is_expected(name: str, outcomes: dict[str, dict[str, Any]]) -> None:
    assert SAID[name] in outcomes[name]["text"]


def test_a_refusal_takes_neither_memory_nor_time(outcomes: dict[str, dict[str, Any]]) -> None:
    """What is refused is refused before anything is allocated for it."""
    wrong = {name: found for name, found in outcomes.items() if name not in unusual_fields()}
    assert {name: found for name, found in wrong.items() if found["kilobytes"] > 200_000} == {}


def test_loading_draws_no_random_numbers() -> None:
    """The weights are read from files, and the numbers that the caller draws later are those of its seed."""
    before = torch.random.get_rng_state()
    Generator.load("small")
    assert torch.equal(torch.random.get_rng_state(), before)
