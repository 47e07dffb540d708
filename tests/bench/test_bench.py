"""What `chronotope bench` measures, at sizes that take a moment; no number of this machine is expected."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from chronotope.bench import ROWS, Line, Section, autoencoder, gpu, memory, peers, training
from chronotope.bench.lines import AGAIN, OURS, lines_of
from chronotope.bench.measure import in_turns, ratios_to
from chronotope.cli.bench import commands
from chronotope.cli.bench.table import table_of
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.costs import orthogonal_flops
from chronotope.models.dit import DiT
from chronotope.train.optimizers import make_optimizers
from tests.cli.models import refused, run

CPU = torch.device("cpu")


def test_calls_take_turns_and_the_first_round_is_left_out() -> None:
    called: list[str] = []

    def call(name: str) -> Callable[[], None]:
        return lambda: called.append(name)

    seconds = in_turns({name: call(name) for name in "abc"}, rounds=3)
    assert "".join(called) == "abcbcacababc"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    seconds = {OURS: [1.0, 2.0, 10.0], "Wan": [3.0, 2.0, 20.0]}
    assert ratios_to(seconds, OURS) == {OURS: 1.0, "Wan": 2.0}


def test_the_aim_stands_beside_the_fastest_of_the_others() -> None:
    seconds = {OURS: [1.0], AGAIN: [1.01], "Wan": [3.0], "LTX": [1.5]}
    lines = lines_of("a step", seconds, {"LTX": "5 M"}, ">= 2")
    assert [(line.who, line.aim) for line in lines] == [(OURS, ""), (AGAIN, ""), ("Wan", ""), ("LTX", ">= 2")]
    assert lines[-1] == Line("a step", "LTX", 1.5, "s", 1.5, ">= 2", "5 M")
    apart = lines_of("a step", seconds, aim=">= 2", apart=("LTX",))
    assert [line.who for line in apart if line.aim] == ["Wan"]


def test_a_table_by_hand() -> None:
    missing = Line("MFU", OURS, None, "%", aim=">= 12 %", note="not measured here: no GPU")
    table = table_of(Section("gpu", "share", (missing, Line("a", "b", 1234.5, "MB", 2.0))))
    assert table.splitlines() == [
        "gpu: share",
        "",
        "| what | who        | measured     | x Chronotope's | aim     |                           |",
        "|------|------------|--------------|----------------|---------|---------------------------|",
        "| MFU  | chronotope | not measured |                | >= 12 % | not measured here: no GPU |",
        "| a    | b          | 1,234 MB     | 2.00           |         |                           |",
    ]


def test_the_command_measures_steps_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CASES", ((16, 1, ">= 1"), (16, 2, ">= 1")))
    monkeypatch.setattr(training, "STEP_TOKENS", ((240, "<= 8 %"), (960, "<= 4 %")))
    monkeypatch.setattr(training, "DEPTH", 1)
    result = run("bench", "--rows", "training,optimiser,gpu", "--rounds", "1", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    steps, shares, gpus = (section["lines"] for section in found["sections"])
    assert {line["who"] for line in steps} == {OURS, AGAIN} and all(line["value"] > 0 for line in steps)
    small, large = (line["value"] for line in shares if "of the FLOPs" not in line["case"] and "fp32" in line["case"])
    assert 0 < large < small < 100  # four times the passes, one update
    if not torch.cuda.is_available():
        assert all(line["value"] is None and "no GPU" in line["note"] for line in gpus)
    assert found["hardware"]["torch"] == torch.__version__


def test_the_arithmetic_of_an_update_is_that_of_its_matrices() -> None:
    run_ = training.run_of(16)
    model = DiT(run_.model)
    width, hidden, depth, texts = 192, run_.model.hidden, run_.model.depth, run_.model.text_depth
    square = orthogonal_flops(4 * (depth + texts), width, width)  # q, k, v and the output
    wide = orthogonal_flops(3 * depth, width, hidden) + orthogonal_flops(3 * texts, width, 2 * width)
    assert training.update_flops(make_optimizers(model, run_.train)[0]) == square + wide


def test_the_step_of_the_gpu_table_runs_on_any_device() -> None:
    seconds, flops = gpu.step_of(64, 1, 1, CPU, side=32)
    _, deeper = gpu.step_of(64, 2, 1, CPU, side=32)
    assert seconds > 0 and flops < deeper < 2 * flops


def test_encoders_and_decoders_are_given_the_same_clip() -> None:
    ours = Autoencoder(AutoencoderConfig(widths=(8, 16))).eval()
    clip = torch.randint(0, 256, (autoencoder.FRAMES, 32, 32, 3), dtype=torch.uint8)
    calls = autoencoder.calls_of(ours, {}, clip)
    assert calls["decode"][OURS]().shape == clip.shape
    assert len(calls["encode"][AGAIN]()) == 3  # slices: a still one and two of four frames


def test_the_memory_of_a_step_grows_with_its_tokens() -> None:
    assert memory.peak_of_step(OURS, 16) < memory.peak_of_step(OURS, 1024)


def test_bad_options_are_refused() -> None:
    assert commands.ROWS == ROWS
    assert "no table is named 'speed'; choose from training" in refused("bench", "--rows", "training,speed", status=2)


def test_a_missing_library_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert "pip install 'chronotope[bench]'" in refused("bench", "--against", "diffusers", "--rows", "gpu", status=2)


@pytest.mark.skipif(peers.find_spec("diffusers") is None, reason="needs chronotope[bench]")
@pytest.mark.parametrize("name", [peer.name for peer in peers.PEERS])
def test_a_peer_has_our_number_of_parameters_and_takes_a_step(name: str) -> None:
    step, parameters = training.peer_step(name, 16, 2, "fp32", CPU)
    ours = peers.parameters_of(DiT(training.run_of(16).model))
    assert 0.85 < parameters / ours < 1.15
    step()
