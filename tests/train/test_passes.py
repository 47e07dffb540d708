"""A step in several passes, and blocks that are computed again: less memory, the same gradients."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch

from chronotope.caption.subwords import Tokenizer, learn_vocabulary
from chronotope.cli.costs import dit_costs, memory_problem
from chronotope.cli.train.memory import fitted_to_memory
from chronotope.config import override
from chronotope.data.latents import LatentDataset
from chronotope.jsonl import read_jsonl
from chronotope.models.costs import SampleSize, dit_activations
from chronotope.models.dit import DiT, DiTConfig
from chronotope.presets import PRESETS
from chronotope.train.batches import make_batch, window_sizes
from chronotope.train.config import DiTRun
from chronotope.train.dit import train_dit
from chronotope.train.loss import flow_loss
from chronotope.train.order import plan_batches
from tests.models.test_costs import packed
from tests.train.small import DIT, weights

DEEP = override(DIT, ["model.depth=3"])


def gradients(run: DiTRun, latents: Path) -> tuple[list[torch.Tensor], list[int]]:
    """The gradients of the first step of a run, and the tokens of its passes."""
    dataset = LatentDataset([latents])
    tokenizer = Tokenizer(learn_vocabulary(dataset.captions(), 60))
    batch = make_batch(run, dataset, tokenizer, next(plan_batches(window_sizes(run, dataset), 150, run.seed)))
    torch.manual_seed(0)
    model = DiT(run.model)
    model.recompute = run.train.recompute
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # no output is zero
    for each in batch.packs:
        flow_loss(model(each.tokens), each, torch.tensor(batch.num_noised)).backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None], [
        len(each.residual) for each in batch.packs
    ]


def test_passes_sum_to_the_gradient_of_a_step(run: Path) -> None:
    whole, (tokens,) = gradients(DEEP, run / "latents")
    for most in (1, 40, 90):
        parts, passes = gradients(override(DEEP, [f"train.pass_tokens={most}"]), run / "latents")
        assert sum(passes) == tokens and len(passes) > 1 and (most == 1 or max(passes) <= most)
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)


def test_computed_again_the_gradient_is_the_same_to_the_bit(run: Path) -> None:
    kept, _ = gradients(DEEP, run / "latents")
    again, _ = gradients(override(DEEP, ["train.recompute=true"]), run / "latents")
    assert all(map(torch.equal, kept, again))


def test_a_training_in_passes_learns_the_same_and_resumes_to_the_bit(run: Path, tmp_path: Path) -> None:
    config = override(DIT, ["train.pass_tokens=60", "train.recompute=true", "train.log_every=1"])
    train_dit(config, [run / "latents"], tmp_path / "passes", quiet=True)
    train_dit(override(DIT, ["train.log_every=1"]), [run / "latents"], tmp_path / "whole", quiet=True)
    losses = [[row["loss"] for row in read_jsonl(tmp_path / name / "log.jsonl")] for name in ("passes", "whole")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    steps = iter([False, False, True])
    train_dit(config, [run / "latents"], tmp_path / "stopped", quiet=True, stopping=lambda: next(steps))
    train_dit(config, [run / "latents"], tmp_path / "stopped", quiet=True)
    assert weights(tmp_path / "stopped") == weights(tmp_path / "passes")


def test_memory_of_blocks_that_are_computed_again() -> None:
    """What is alive between the forward and the backward pass, and the inside of one block."""
    config = DiTConfig(width=128, depth=12)
    size = SampleSize(visual=384, text=32, slices=4)
    model, batch = DiT(config), packed(config, size, copies=1)
    model.recompute = True

    def alive() -> int:
        gc.collect()
        tensors = [each for each in gc.get_objects() if type(each) is torch.Tensor]
        return sum({each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}.values())

    before = alive()
    output = model(batch)
    inside = dit_activations(config, size) / config.depth
    assert dit_activations(config, size, recompute=True) == pytest.approx(alive() - before + inside, rel=0.25)
    assert dit_activations(config, size, recompute=True) < dit_activations(config, size) / 4
    output.sum().backward()


def test_what_does_not_fit_is_made_to_fit_and_stays_so(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    free = [2_000_000_000]
    monkeypatch.setattr("chronotope.cli.costs.available_bytes", lambda: free[0])
    small = PRESETS["small"].dit
    assert fitted_to_memory(small, None, []) == (small, "")
    large = override(small, ["train.batch_tokens=100000"])
    fitted, said = fitted_to_memory(large, None, [])
    assert fitted.train.recompute and 0 < fitted.train.pass_tokens < 100_000
    assert dit_costs(fitted)["memory"]["at the peak"] <= free[0] and "and this machine has free 2.0 GB" in said
    assert fitted_to_memory(large, None, ["train.pass_tokens=50000"]) == (large, "")
    free[0] = 10_000_000
    assert fitted_to_memory(large, None, []) == (large, "") and memory_problem(dit_costs(large))  # nothing helps

    begun = override(DIT, ["train.recompute=true", "train.pass_tokens=60"])
    train_dit(begun, [run / "latents"], tmp_path / "dit", quiet=True)
    free[0] = 10**12
    assert fitted_to_memory(DIT, tmp_path, []) == (begun, "")
