"""What `chronotope bench` measures, at sizes that take a moment; no number of this machine is expected."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from chronotope.bench import ROWS, Line, Section, autoencoder, gpu, memory, peers, pipelines, ranks, sampling, training
from chronotope.bench.lines import AGAIN, OURS, lines_of
from chronotope.bench.measure import in_turns, ratios_to
from chronotope.bench.work import flops_of, seconds_and_flops
from chronotope.cli.bench import commands
from chronotope.cli.bench.table import table_of
from chronotope.generate.pipeline import Generator
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.costs import SampleSize, dit_activations, orthogonal_flops
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


def test_flops_are_counted_in_the_first_round_alone() -> None:
    layer, x = torch.nn.Linear(6, 5), torch.randn(4, 6)
    q = torch.randn(1, 1, 8, 16)
    calls = {
        OURS: lambda: layer(x),
        "and back": lambda: layer(x).sum().backward(),  # of the weights: the input has no gradient
        "attention": lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q),
    }
    seconds, flops = seconds_and_flops(calls, 2)
    product = 2 * 4 * 6 * 5
    assert flops == {OURS: product, "and back": 2 * product, "attention": 2 * 2 * 8 * 8 * 16}
    assert {len(times) for times in seconds.values()} == {2}
    counted = {line.who: line.counted for line in lines_of("a call", seconds, counts=flops)}
    assert counted == {OURS: 1.0, "and back": 2.0, "attention": flops["attention"] / product}


def test_a_table_by_hand() -> None:
    missing = Line("MFU", OURS, None, "%", aim=">= 12 %", note="not measured here: no GPU")
    table = table_of(Section("gpu", "share", (missing, Line("a", "b", 1234.5, "MB", 2.0, counted=1.9))))
    assert table.splitlines() == [
        "gpu: share",
        "",
        "| what | who        | measured     | x Chronotope's | x counted | aim     |                           |",
        "|------|------------|--------------|----------------|-----------|---------|---------------------------|",
        "| MFU  | chronotope | not measured |                |           | >= 12 % | not measured here: no GPU |",
        "| a    | b          | 1,234 MB     | 2.00           | 1.90      |         |                           |",
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
    of_all, least, small, large = (line["value"] for line in shares if "fp32" in line["case"])
    assert 0 < large < small < 100 and 0 < least < 100 and 0 < of_all < 100  # four times the passes, one update
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


def test_the_other_rows_of_the_gpu_table_run_on_any_device() -> None:
    generator = Generator.load("small", precision="fp32")
    speeds = gpu.speeds_of(generator, 5, (32, 32), 1, CPU)
    video = gpu.video_of(generator, 4, (32, 32), 1, CPU)
    largest = gpu.largest_of(("tiny",), CPU)
    values = [line.value for line in (*speeds, video, largest)]
    assert all(value is not None and value > 0 for value in values) and video.note.startswith("4 frames of 32x32")
    assert largest.note == "tiny, on a CPU"
    measured = [line.case for line in (*speeds, video, largest)]
    assert measured == [line.case for line in gpu._missing("no GPU") if not line.case.startswith("MFU")]


def test_without_a_compiler_the_compiled_table_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(training.shutil, "which", lambda name: None)
    lines = json.loads(run("bench", "--rows", "compiled", "--json").stdout)["sections"][0]["lines"]
    assert len(lines) == len(training.CASES) and all(line["value"] is None for line in lines)
    assert {line["note"] for line in lines} == {
        "not measured here: torch.compile needs a C++ compiler, and there is no g++"
    }


def test_differences_are_those_of_the_newest_checkpoints(tmp_path: Path) -> None:
    for name, values in {"ours": [1.0, 2.0], "theirs": [1.0, 2.5]}.items():
        for step, weights in (("0000002", [9.0, 9.0]), ("0000010", values)):
            folder = tmp_path / name / "dit" / "checkpoints" / step
            folder.mkdir(parents=True)
            save_file({"w": torch.tensor(weights)}, folder / "model.safetensors")
    assert ranks.largest_difference(tmp_path / "ours", tmp_path / "theirs") == 0.5
    assert ranks.largest_difference(tmp_path / "ours", tmp_path / "ours") == 0


@pytest.mark.slow
def test_trainings_that_are_killed_stopped_or_divided_anew_end_alike() -> None:
    killed, resumed, *others = (line.value for line in ranks.measure_ranks().lines)
    assert killed == resumed == 0
    assert all(value is not None and 0 <= value <= 1e-5 for value in others)


def test_a_student_is_compared_with_the_many_guided_steps_of_its_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
        asked = [call.keywords for call in calls.values()]  # type: ignore[attr-defined]
        guided = [2 if (each.get("guidance_scale") or 3.0) > 1 else 1 for each in asked]
        taken = [guided * each["num_inference_steps"] for guided, each in zip(guided, asked, strict=True)]
        return {name: [float(time)] * rounds for name, time in zip(calls, taken, strict=True)}

    monkeypatch.setattr(sampling, "in_turns", take)
    lines = {line.who: line for line in sampling.measure_student("small", 1, full=False).lines}
    assert lines["4 steps without guidance"].note == "15.0 times as fast"
    assert lines["8 steps with guidance"].note == "3.8 times as fast" and not lines["8 steps with guidance"].aim
    assert lines["the student"].value is None and "has no student" in lines["the student"].note


def test_encoders_and_decoders_are_given_the_same_clip() -> None:
    ours = Autoencoder(AutoencoderConfig(widths=(8, 16))).eval()
    clip = torch.randint(0, 256, (autoencoder.FRAMES, 32, 32, 3), dtype=torch.uint8)
    calls = autoencoder.calls_of(ours, {}, clip)
    assert calls["decode"][OURS]().shape == clip.shape
    assert len(calls["encode"][AGAIN]()) == 3  # slices: a still one and two of four frames


def test_speeds_are_of_pixels_and_the_aims_of_their_own_kind() -> None:
    clip = torch.zeros(2, 500, 1000, 3, dtype=torch.uint8)
    seconds = {OURS: [0.5], AGAIN: [0.5], "Cosmos": [4.0], "Cosmos, equal size": [1.0]}
    flops = {OURS: 1e9, AGAIN: 1e9, "Cosmos": 7e9, "Cosmos, equal size": 5e8}
    lines = autoencoder._speeds("encode", seconds, flops, clip, {OURS: "1 M"})
    assert [(line.who, line.value, line.ratio, line.counted, line.aim) for line in lines] == [
        (OURS, 2.0, 1.0, 1.0, ""),
        (AGAIN, 2.0, 1.0, 1.0, ""),
        ("Cosmos", 0.25, 8.0, 7.0, ">= 15"),
        ("Cosmos, equal size", 1.0, 2.0, 0.5, ">= 2.5"),
    ]
    assert lines[0].note == "1 M, 2 GFLOP/s" and {line.unit for line in lines} == {"Mpixel/s"}


def test_the_memory_of_a_step_grows_with_its_tokens() -> None:
    assert memory.peak_of_step(OURS, 16) < memory.peak_of_step(OURS, 1024)


def test_the_memory_that_is_counted_is_that_of_the_formula() -> None:
    config = training.run_of(1024).model
    kept = dit_activations(config, SampleSize(1024, peers.TEXT, peers.FRAMES))
    weights = 12 * peers.parameters_of(DiT(config))
    assert memory.counted_of_step(OURS, 1024) * 2**20 == pytest.approx(kept + weights, rel=0.05)


def test_bad_options_are_refused() -> None:
    assert commands.ROWS == ROWS
    assert "no table is named 'speed'; choose from training" in refused("bench", "--rows", "training,speed", status=2)


def test_a_missing_library_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert "pip install 'chronotope[bench]'" in refused("bench", "--against", "diffusers", "--rows", "gpu", status=2)


@pytest.mark.skipif(peers.find_spec("diffusers") is None, reason="needs chronotope[bench]")
def test_an_autoencoder_can_be_run_after_models_were_only_counted() -> None:
    code = (
        "from chronotope.bench import autoencoder, peers\n"
        "peers.PEERS[0].of_size(64, 100_000)\n"
        "print(autoencoder._cosmos(16).encoder.patch_embed.wavelets.device.type)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "cpu"  # diffusers imports modules late: once it did so while the device was meta


@pytest.mark.skipif(peers.find_spec("diffusers") is None, reason="needs chronotope[bench]")
@pytest.mark.parametrize("name", [peer.name for peer in peers.PEERS])
def test_a_peer_has_our_number_of_parameters_and_takes_a_step(name: str) -> None:
    step = training.peer_step(name, 16, 2, "fp32", CPU)
    ours = peers.parameters_of(DiT(training.run_of(16).model))
    assert 0.85 < peers.parameters_of(step.model) / ours < 1.15
    assert flops_of(step) > 0


@pytest.mark.skipif(peers.find_spec("diffusers") is None, reason="needs chronotope[bench]")
def test_the_pipeline_of_ltx_has_our_token_size_or_its_own() -> None:
    for ours, (pixels, frames) in {True: (16, 4), False: (32, 8)}.items():
        network = pipelines._ltx_autoencoder(ours, 8)
        assert (network.spatial_compression_ratio, network.temporal_compression_ratio) == (pixels, frames)
