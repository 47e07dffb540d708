"""What a training logs beside its loss, and the guard against gradients that are far too large."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from chronotope.cli.train.track import track
from chronotope.config import override
from chronotope.errors import ChronotopeError, FileProblem, UsageError
from chronotope.jsonl import append_jsonl, read_jsonl, read_sealed_rows, write_jsonl
from chronotope.models.costs import GPUS, SampleSize, dit_flops, text_flops
from chronotope.models.dit import DiT
from chronotope.models.refinement import Grid
from chronotope.train.batches import TrainingPack, forward_flops
from chronotope.train.config import DiTRun
from chronotope.train.dit import speed_and_norms, train_dit
from chronotope.train.loss import HeldOut, HeldOutPack, _changes, _memberships
from chronotope.train.state import NORMS, TrainState
from tests.cli.models import refused, run
from tests.models.test_costs import SIZE, packed
from tests.train.small import DIT, train_on
from tests.train.test_parallel import SETTINGS, write_latents

PARTS = (
    *(f"heldout_by_level/latents/{part}" for part in ("0-0.25", "0.25-0.5", "0.5-0.75", "0.75-1")),
    *(f"heldout_by_kind/latents/{part}" for part in ("still", "moving")),
    *(f"heldout_by_motion/latents/{part}" for part in ("low", "high")),
)


def state_of(weight: float = 0.0) -> TrainState:
    """A state of two weights that plain gradient descent trains."""
    model = nn.Linear(2, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return TrainState(model, [torch.optim.SGD(model.parameters(), lr=0.5)])


def step(state: TrainState, gradient: tuple[float, float], spike_factor: float = 0.0, clip_norm: float = 1e9) -> bool:
    """One step with a gradient of our own."""
    (weight,) = state.model.parameters()
    weight.grad = torch.tensor([gradient])
    return state.optimizer_step(torch.tensor(1.0), 1.0, clip_norm, "fp32", spike_factor, measured=True)


def test_norms_of_gradients_and_updates() -> None:
    state = state_of()
    assert step(state, (3.0, 4.0)) and state.gradient_norm == 5.0 and state.update_norm == 2.5
    assert step(state, (3.0, 4.0), clip_norm=1.0) and state.gradient_norm == 5.0  # before it is clipped
    assert state.update_norm == pytest.approx(0.5, rel=1e-5)


def test_a_spike_is_skipped_and_a_new_level_is_learnt() -> None:
    state = state_of()
    assert step(state, (1e9, 0.0), spike_factor=10.0)  # nothing to compare it with yet
    for _ in range(NORMS):
        assert step(state, (0.0, 1.0), spike_factor=10.0)
    before = [weight.clone() for weight in state.model.parameters()]
    assert not step(state, (0.0, 10.1), spike_factor=10.0) and state.skipped == 1
    assert all(map(torch.equal, before, state.model.parameters()))
    assert step(state, (0.0, 9.9), spike_factor=10.0) and state.skipped == 0
    for _ in range(3):
        assert not step(state, (0.0, 11.0), spike_factor=10.0)
    with pytest.raises(ChronotopeError, match="its gradient was far too large in 3 steps in a row"):
        state.check_skipped()
    for _ in range(NORMS):
        step(state, (0.0, 11.0), spike_factor=10.0)
    assert step(state, (0.0, 11.0), spike_factor=10.0)
    assert len(state.norms) == NORMS


def test_a_training_says_which_step_was_a_spike_and_its_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_latents(tmp_path / "latents")
    monkeypatch.setattr("chronotope.train.state.NORMS", 2)
    settings = ["train.spike_factor=1e-6", *(setting for setting in SETTINGS if "steps" not in setting)]
    train_dit(override(DiTRun(), ["train.steps=4", *settings]), [tmp_path / "latents"], tmp_path / "run")
    quarantined = read_jsonl(tmp_path / "run" / "quarantine.jsonl")
    assert [row["step"] for row in quarantined] == [3, 4]
    assert all(row["clips"] and 0 < row["gradient_norm"] < math.inf for row in quarantined)
    assert "step 3 is skipped: its gradient norm (" in capsys.readouterr().err


def test_the_flops_of_a_batch_are_those_of_its_samples() -> None:
    config = override(DiTRun(), ["model.width=64", "model.depth=2", "model.channels=16"])
    sizes = SIZE, SampleSize(visual=12, text=5, slices=2)
    one, other = (packed(config.model, size, copies=1) for size in sizes)
    expected = [3 * (dit_flops(config.model, size) + text_flops(config.model, size.text)) for size in sizes]
    assert [3 * forward_flops(config, tokens) for tokens in (one, other)] == expected


def test_the_share_of_the_peak_of_a_known_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of()
    state.flops, state.seconds, state.clips, state.tokens = 0.25 * GPUS["H200"].flops * 8, 8.0, 1, 1
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert speed_and_norms(state, torch.device("cuda"))["mfu"] == 0.25
    assert speed_and_norms(state, torch.device("cpu"))["tflop/s"] == pytest.approx(0.25 * 989)
    assert "mfu" not in speed_and_norms(state, torch.device("cpu"))


def test_motion_is_the_change_from_slice_to_slice() -> None:
    clip = torch.tensor([[0.0, 0.0], [1.0, 1.0], [3.0, 4.0], [1.0, 1.0]])  # two slices of two tokens
    found = _changes(torch.cat([clip, torch.ones(1, 2)]), [Grid(2, 1, 2), Grid(1, 1, 1)])
    moved = math.sqrt((3**2 + 4**2) / 2)
    assert torch.equal(found[:4], torch.tensor([moved, 0.0, moved, 0.0])) and math.isnan(found[4])


def test_parts_of_the_heldout_loss_add_up_to_all_of_it() -> None:
    """Of a model whose output is known: the error of a token is the square of its residual."""
    config = override(DiTRun(), ["model.width=32", "model.head_dim=16", "model.depth=1", "train.precision=fp32"])
    tokens = packed(config.model, SIZE, copies=2)
    visual = len(tokens.noisy)
    torch.manual_seed(0)
    residual = torch.randn(visual, config.model.token_size)
    scale = torch.zeros_like(residual).index_fill_(0, torch.arange(0, visual, 2), 1.0)  # every second token is noised
    changes = torch.rand(visual)
    members = _memberships(tokens, changes, 0.5)
    assert torch.equal(members[:, :4].sum(1), torch.ones(visual)) and torch.equal(
        members[:, 4:6].sum(1), torch.ones(visual)
    )
    heldout = HeldOut("latents", (HeldOutPack(TrainingPack(tokens, residual * scale, scale), members),), PARTS)
    model = DiT(config.model)  # whose output is zero before it is trained
    found = heldout.losses(model, config, torch.device("cpu"), TrainState(model, []).ranks)
    errors = residual.square().mean(dim=1)[::2]
    assert found["heldout/latents"] == pytest.approx(float(errors.mean()))
    for name, chosen in (("high", changes[::2] > 0.5), ("low", changes[::2] <= 0.5)):
        assert found[f"heldout_by_motion/latents/{name}"] == pytest.approx(float(errors[chosen].mean()))
    assert "heldout_by_kind/latents/still" not in found  # these samples have none


def test_a_log_goes_to_tensorboard_and_only_its_new_lines_follow(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = tmp_path / "dit" / "log.jsonl"
    log.parent.mkdir()
    write_jsonl(log, [{"step": 0, "heldout/a": 2.0}, {"step": 20, "loss": 1.5, "seconds": 3.0}])
    waits = iter(range(2))

    def rest(seconds: float) -> None:
        if next(waits):
            raise KeyboardInterrupt
        append_jsonl(log, {"step": 40, "loss": 1.25, "seconds": 6.0})

    assert track(tmp_path / "dit", "tensorboard", True, rest) == 3
    events = EventAccumulator(str(tmp_path / "dit" / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(20, 1.5), (40, 1.25)]
    assert [(event.step, event.value) for event in events.Scalars("heldout/a")] == [(0, 2.0)]


@pytest.fixture
def run_of_both(clips: Path, tmp_path: Path) -> Path:
    """A run of both networks whose log has a line a step."""
    folder = train_on(clips, tmp_path / "run")
    shutil.rmtree(folder / "dit")
    train_dit(override(DIT, ["train.log_every=1"]), [folder / "latents"], folder / "dit", quiet=True)
    return folder


def test_a_log_that_was_edited_or_cut_is_noticed(run_of_both: Path) -> None:
    """An edited line by its seal; lines without seals, fewer lines and no file by the seal in the newest checkpoint."""
    log, check = run_of_both / "dit" / "log.jsonl", ("check", run_of_both)
    first, *others = lines = log.read_text().splitlines(keepends=True)
    assert len(lines) > 2 and run(*check).exit_code == 0, run(*check).stderr
    assert all("seal" not in row for row in read_sealed_rows(log).rows)
    row = read_jsonl(log)[0]
    lower = json.dumps({**row, "loss": 0.5 * row["loss"]}) + "\n"
    unsealed = "".join(json.dumps(row) + "\n" for row in read_sealed_rows(log).rows).replace(str(row["loss"]), "0.001")
    bad_seal, others_written = "its seal is another one", "has other lines than those that were written up to step 6"

    def longer() -> dict[str, float]:
        return train_dit(override(DIT, ["train.steps=7"]), [run_of_both / "latents"], run_of_both / "dit")

    for content, said in (
        (lower + "".join(others), bad_seal),
        (first + "".join(others[1:]), bad_seal),
        ("".join(lines) + json.dumps({"step": 7, "loss": 0.1}) + "\n", bad_seal),
        (unsealed, others_written),
        (first, others_written),
        ("", "is gone, with the lines up to step 6"),
    ):
        log.write_text(content)
        assert said in (told := run(*check)).stderr and told.exit_code == 1, (content, told.stderr)
        if said == bad_seal:
            assert said in refused("info", run_of_both / "dit", status=1)
            with pytest.raises(FileProblem, match=said):
                longer()
    assert longer()["loss"]
    assert run(*check).exit_code == 0  # said when it went on, and the new checkpoint knows the new log


def test_a_missing_log_or_sink_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileProblem, match=r"log.jsonl is missing; name the folder of a training"):
        track(tmp_path, "tensorboard", False)
    write_jsonl(tmp_path / "log.jsonl", [{"step": 1, "loss": 1.0}])
    monkeypatch.setitem(__import__("sys").modules, "trackio", None)
    with pytest.raises(UsageError, match=r"trackio is not installed; pip install 'chronotope\[track\]'"):
        track(tmp_path, "trackio", False)
    assert refused("train", "track", tmp_path / "none", status=1).startswith(f"{tmp_path / 'none' / 'log.jsonl'} is")
    done = run("train", "track", tmp_path)
    assert done.exit_code == 0 and "1 lines of" in done.stderr
