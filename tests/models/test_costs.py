"""The costs that --dry-run prints, against the real modules: parameters, FLOPs, what autograd keeps."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.costs import BOUND, CASES, RESULTS, Case, measure
from chronotope.cli.costs import TEXT_TOKENS, autoencoder_costs, check_memory, dit_costs, memory_problem, sample_of
from chronotope.cli.train.devices import estimate
from chronotope.cli.train.hours import SIZES, TOKENS_PER_PARAMETER, chosen_for_hours, seconds_per_step
from chronotope.config import override
from chronotope.errors import UsageError
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.costs import (
    GPUS,
    SampleSize,
    autoencoder_flops,
    dit_activations,
    dit_flops,
    kept_bytes,
    text_flops,
)
from chronotope.models.dit import DiT, DiTConfig, PackedTokens
from chronotope.models.packing import Sample, pack, row_signals
from chronotope.models.refinement import Grid
from chronotope.presets import PRESETS
from chronotope.train.autoencoder import reconstruct_windows
from chronotope.train.config import DiTRun
from chronotope.train.optimizers import make_optimizers
from tests.cli.models import AUTOENCODER, SMALL_AUTOENCODER, answer, refused
from tests.cli.models import run as run_command

SIZE = SampleSize(visual=24, text=5, slices=4)
LONG, LARGE = ("batch_tokens", "max_sample_tokens"), ["defaults.num_frames=1000000", "defaults.width=2048"]


def packed(config: DiTConfig, size: SampleSize, copies: int) -> PackedTokens:
    """Samples of the size, all alike."""
    geometry = Geometry()
    slices = geometry.slices(4 * size.slices)
    height, width = 16, 16 * size.visual // size.slices
    positions = torch.from_numpy(geometry.positions(slices, height, width, 8.0))
    row = torch.arange(size.slices).repeat_interleave(size.visual // size.slices)
    noisy, signals = torch.randn(size.visual, config.token_size), row_signals(geometry, slices, height, width, 8.0)
    grid = Grid(size.slices, 1, size.visual // size.slices)
    text = torch.randn(size.text, config.text_width) if config.text_width else tuple(range(size.text))
    sample = Sample(noisy, positions, row, torch.rand(size.slices), signals, ((0.0, text),), grid)
    return pack([sample] * copies)[0]


def counted(run: object) -> int:
    """Operations of a call, attention written out as two matrix products, which the counter knows on every device."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()  # type: ignore[operator]
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "config",
    [
        DiTConfig(width=64, depth=1, text_depth=1),
        DiTConfig(width=128, depth=3, mlp_ratio=2.0, channels=8),
        DiTConfig(width=64, depth=1, text_depth=1, text_width=96),
        DiTConfig(width=64, depth=1, text_depth=1, seam_width=40, seam_depth=2),
    ],
    ids=str,
)
def test_operations_of_the_transformer(config: DiTConfig) -> None:
    model = DiT(config)
    batch = packed(config, SIZE, copies=2)
    text = model.encode_text(batch.text_tokens, batch.texts)
    assert counted(lambda: model(batch, text)) == 2 * dit_flops(config, SIZE)
    assert counted(lambda: model.encode_text(batch.text_tokens, batch.texts)) == 2 * text_flops(config, SIZE.text)


@pytest.mark.parametrize(
    "config",
    [
        DiTConfig(width=64, depth=1, mlp_ratio=2.5),
        DiTConfig(width=64, depth=6),
        DiTConfig(width=128, depth=3, mlp_ratio=4.0),
        DiTConfig(width=64, depth=1, mlp_ratio=3.0, text_width=768),
        DiTConfig(width=64, depth=3, seam_width=64, seam_depth=4),
    ],
    ids=str,
)
def test_memory_of_the_transformer(config: DiTConfig) -> None:
    size = SampleSize(visual=96, text=TEXT_TOKENS, slices=4)
    model = DiT(config)
    batch = packed(config, size, copies=1)
    assert dit_activations(config, size) == pytest.approx(kept_bytes(model, lambda: model(batch)), rel=0.1)


def test_operations_and_memory_of_the_autoencoder() -> None:
    model = Autoencoder(AUTOENCODER)
    frames = torch.rand(2, 8, 32, 48, 3)
    encoding, decoding = autoencoder_flops(AUTOENCODER)
    seen = counted(lambda: reconstruct_windows(model, frames, None))
    assert seen == pytest.approx((encoding + decoding) * frames.numel() / 3, rel=1e-6)
    run = replace(PRESETS["tiny"].autoencoder, model=AUTOENCODER)
    run = override(run, ["pool.batch_pixels=24576", "pool.shapes=[[8,32,48]]"])
    kept = kept_bytes(model, lambda: reconstruct_windows(model, frames, None))
    assert autoencoder_costs(run)["memory"]["activations"] == pytest.approx(kept, rel=0.05)
    assert autoencoder_costs(run)["parameters"] == sum(p.numel() for p in model.parameters())


def test_parameters_and_optimizer_of_a_run() -> None:
    run = PRESETS["tiny"].dit
    model = DiT(run.model)
    costs = dit_costs(run)
    assert costs["parameters"] == sum(p.numel() for p in model.parameters())
    optimizers = make_optimizers(model, run.train)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    for optimizer in optimizers:
        optimizer.step()
    remembered = [tensor for optimizer in optimizers for state in optimizer.state.values() for tensor in state.values()]
    assert costs["memory"]["optimizer"] == sum(
        tensor.nbytes for tensor in remembered if torch.is_tensor(tensor) and tensor.ndim
    )
    visual = costs["tokens_per_step"] - costs["samples_per_step"] * TEXT_TOKENS
    assert run.train.batch_tokens - visual // costs["samples_per_step"] < visual <= run.train.batch_tokens


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_counted(preset: str) -> None:
    dit = answer("train", "dit", "--preset", preset, "--dry-run")
    assert dit["settings"]["model"]["width"] == PRESETS[preset].dit.model.width
    assert dit["costs"]["flops_per_step"] > 6 * dit["costs"]["parameters"]
    autoencoder = answer("train", "autoencoder", "--preset", preset, "--dry-run")
    assert autoencoder["costs"]["parameters"] < 1e9
    assert all(
        costs["memory"]["at the peak"] > 4 * costs["parameters"] for costs in (dit["costs"], autoencoder["costs"])
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_trained_on_what_it_generates_and_fits_its_device(name: str) -> None:
    preset = PRESETS[name]
    run = preset.dit
    rows, columns = run.geometry.token_grid(run.defaults.height, run.defaults.width)
    tokens = len(run.geometry.slices(run.defaults.num_frames)) * rows * columns
    assert tokens <= run.train.max_sample_tokens
    assert not run.train.pass_tokens or tokens <= run.train.pass_tokens <= run.train.batch_tokens
    costs = dit_costs(run)
    if preset.gigabytes is None:
        assert preset.about.startswith("shape only") and costs["memory"]["at the peak"] > 141e9  # of one H200
    else:
        assert costs["memory"]["at the peak"] <= preset.gigabytes * 1e9
        assert autoencoder_costs(preset.autoencoder)["memory"]["at the peak"] <= preset.gigabytes * 1e9
    if operations := re.search(r"([\d.e]+) operations", preset.about):
        assert costs["flops_in_all"] == pytest.approx(float(operations[1]), rel=0.05)


@pytest.mark.parametrize("case", [CASES[1], CASES[7], CASES[14]], ids=str)
def test_counts_agree_with_measured_steps(case: Case) -> None:
    """Pictures; blocks that are computed again; weights that outweigh activations. benchmarks/costs.json has all 20."""
    (row,) = measure((case,))
    assert row["ratio"]["flops"] == pytest.approx(1, abs=0.01)
    assert row["ratio"]["bytes"] == pytest.approx(1, abs=BOUND)


def test_all_measured_configurations_are_within_the_bound() -> None:
    found = json.loads(RESULTS.read_text())
    assert [row["case"] for row in found["rows"]] == [json.loads(json.dumps(vars(case))) for case in CASES]
    for row in found["rows"]:
        run = Case(**{**row["case"], "more": tuple(row["case"]["more"])}).run()
        costs = dit_costs(run, processes=1)  # of now, beside what was measured then
        assert costs["flops_per_step"] == pytest.approx(row["measured"]["flops"], rel=BOUND)
        assert costs["memory"]["at the peak"] == pytest.approx(row["measured"]["bytes"], rel=BOUND)


def test_several_devices_share_the_state_and_hide_communication() -> None:
    run = PRESETS["medium"].dit
    one, eight = (estimate(run, GPUS["H100"], devices) for devices in (1, 8))
    costs = dit_costs(run), dit_costs(run, 8)
    for what in ("weights, gradients, average", "optimizer"):
        assert costs[1]["memory"][what] == pytest.approx(costs[0]["memory"][what] / 8, rel=1e-6)
    assert one.fits and eight.gigabytes < one.gigabytes
    assert 6 * one.tokens_per_second < eight.tokens_per_second <= 8 * one.tokens_per_second
    assert one.days * one.mfu == pytest.approx(eight.days * 8 * eight.mfu, rel=1e-6)  # the same useful work
    slow = replace(GPUS["H100"], near=1e9)
    assert estimate(run, slow, 8).tokens_per_second < 0.5 * eight.tokens_per_second
    many = estimate(run, GPUS["H100"], 512)
    assert many.steps * many.batch_tokens == pytest.approx(run.train.steps * run.train.batch_tokens, rel=1e-3)
    assert many.batch_tokens == 512 * sample_of(run).visual


def test_a_step_of_one_device_takes_no_communication() -> None:
    device = replace(GPUS["H100"], near=1.0, far=1.0)
    assert estimate(PRESETS["base"].dit, device, 1) == estimate(PRESETS["base"].dit, GPUS["H100"], 1)


def test_a_dry_run_says_what_would_fit() -> None:
    said = run_command("train", "dit", "--preset", "large", "--dry-run").stdout
    assert re.search(r"8 x NVIDIA H\w+ .* GB each", said)
    tokens = int(re.search(r"what would fit +512 devices with train.max_sample_tokens=(\d+)", said)[1])  # type: ignore[index]
    smaller = override(PRESETS["large"].dit, [f"train.max_sample_tokens={tokens}", f"train.pass_tokens={tokens}"])
    assert estimate(smaller, GPUS["H100"], 512).fits and not estimate(PRESETS["large"].dit, GPUS["H100"], 512).fits
    found = answer("train", "dit", "--preset", "base", "--dry-run")["costs"]["devices"]["estimates"]
    assert [row["devices"] for row in found] == [1, 8, 64, 512] and all(row["fits"] for row in found)


def test_hours_choose_the_largest_size_that_sees_enough() -> None:
    run = PRESETS["small"].dit

    def seconds_of(candidate: DiTRun) -> float:
        return dit_costs(candidate)["flops_per_step"] / 1e11  # a machine of 100 GFLOP/s

    chosen, said = chosen_for_hours(run, 8.0, (), seconds_of)
    parameters = dit_costs(chosen)["parameters"]
    seen = chosen.train.steps * run.train.batch_tokens / parameters
    assert seconds_of(chosen) * chosen.train.steps == pytest.approx(0.9 * 8 * 3600, rel=1e-3)
    assert seen >= TOKENS_PER_PARAMETER and f"{chosen.train.steps:,} steps" in said
    larger = SIZES[SIZES.index((chosen.model.width, chosen.model.depth)) + 1]
    other = override(run, [f"model.width={larger[0]}", f"model.depth={larger[1]}"])
    assert 0.9 * 8 * 3600 / seconds_of(other) * run.train.batch_tokens < 9 * dit_costs(other)["parameters"]
    longer, _ = chosen_for_hours(run, 800.0, (), seconds_of)
    assert longer.model.width > chosen.model.width
    with pytest.raises(UsageError, match="hours are 1 steps, and a training needs 100 or more"):
        chosen_for_hours(run, 0.01, (), lambda candidate: 30.0)
    with pytest.raises(UsageError, match=r"leave out --hours, or --set model.width"):
        chosen_for_hours(run, 8.0, ("model.width=64",), seconds_of)


def test_hours_measure_a_real_step() -> None:
    tiny = override(PRESETS["tiny"].dit, ["model.width=64", "model.depth=1", "train.batch_tokens=160"])
    assert 0 < seconds_per_step(tiny) < seconds_per_step(override(tiny, ["train.batch_tokens=16000"]))


def test_settings_change_the_count() -> None:
    small = answer("train", "autoencoder", "--preset", "tiny", "--dry-run", "--set", *SMALL_AUTOENCODER, "--seed", "5")
    assert small["costs"]["parameters"] == sum(p.numel() for p in Autoencoder(AUTOENCODER).parameters())
    assert small["settings"]["seed"] == 5
    assert "multiple of head_dim" in refused(
        "train", "dit", "--preset", "tiny", "--dry-run", "--set", "model.width=100", status=2
    )


def test_a_model_that_no_machine_holds_is_a_problem() -> None:
    assert memory_problem(dit_costs(PRESETS["tiny"].dit)) is None
    costs = dit_costs(override(PRESETS["tiny"].dit, ["model.width=1000000", "model.head_dim=64"]))
    with pytest.raises(UsageError, match=r"need [0-9,]{7,}\.[0-9] GB .* this (machine|GPU) has"):
        check_memory(costs)


def test_a_step_that_no_machine_holds_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no preset that trains is refused with 3 GB, which a machine of 4 GiB has free."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("chronotope.cli.costs.available_bytes", lambda: 3_000_000_000)
    trained = [preset for preset in PRESETS.values() if preset.is_trained]
    assert len(trained) == 3
    for preset in trained:
        assert memory_problem(dit_costs(preset.dit)) is None
        assert memory_problem(autoencoder_costs(preset.autoencoder)) is None
    tiny = PRESETS["tiny"]
    for costs, setting in (
        (dit_costs(override(tiny.dit, ["train.batch_tokens=100000000"])), "train.batch_tokens"),
        (dit_costs(override(tiny.dit, [f"train.{name}=100000000" for name in LONG] + LARGE)), "max_sample"),
        (autoencoder_costs(override(tiny.autoencoder, ["pool.batch_pixels=100000000"])), "pool.batch_pixels"),
    ):
        with pytest.raises(UsageError, match=f"activations of a step, and this machine has free 3.0 GB.*{setting}"):
            check_memory(costs)
    large = override(PRESETS["tiny"].dit, ["train.batch_tokens=100000"])
    assert memory_problem(dit_costs(large))
    assert memory_problem(dit_costs(override(large, ["train.pass_tokens=25000"]))) is None
    monkeypatch.setenv("WORLD_SIZE", "4")  # each process has a quarter of a step
    assert memory_problem(dit_costs(large)) is None


COUNT = """
import sys
import torch
before = set(sys.modules)
from chronotope.models.autoencoder import AutoencoderConfig
from chronotope.models.costs import autoencoder_flops, count_parameters
from chronotope.models.dit import DiTConfig
count_parameters(DiTConfig()), count_parameters(AutoencoderConfig()), autoencoder_flops(AutoencoderConfig())
print(*sorted({"sympy", "torch._dynamo", "torch._prims", "torch._refs"} & (set(sys.modules) - before)))
"""


def test_counting_imports_no_compiler() -> None:
    """As drawing weights, or a convolution, on the meta device does."""
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
