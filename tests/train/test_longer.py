"""Training the decoder of a finished autoencoder further, and the clips of each step of the transformer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chronotope.caption.subwords import Tokenizer, learn_vocabulary
from chronotope.checkpoint import load_tensors
from chronotope.config import override
from chronotope.data.encode import encode_dataset
from chronotope.data.latents import LatentDataset, fingerprint
from chronotope.errors import UsageError
from chronotope.generate.pipeline import load_autoencoder
from chronotope.geometry import Geometry
from chronotope.parallel import Ranks
from chronotope.train.autoencoder import AutoencoderTraining, is_frozen, reconstruction_loss, train_autoencoder
from chronotope.train.batches import check_batch_tokens, make_batch, window_sizes
from chronotope.train.order import plan_batches
from chronotope.train.state import TrainState
from tests.train.small import AUTOENCODER, DIT, weights


def test_training_a_decoder_further_keeps_latents_valid(run: Path, clips: Path, tmp_path: Path) -> None:
    start, longer = run / "autoencoder", override(AUTOENCODER, ["train.seams=1", "train.steps=4", "train.save_every=2"])
    train_autoencoder(longer, [clips], tmp_path / "on" / "autoencoder", start, quiet=True)
    before, after = load_autoencoder(run), load_autoencoder(tmp_path / "on")
    assert fingerprint(before) == fingerprint(after)  # encoder and statistics, to the bit
    old, new = (load_tensors(folder / "model.safetensors") for folder in (start, tmp_path / "on" / "autoencoder"))
    assert {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])} == {"decoder"}
    with pytest.raises(
        UsageError, match="begun with a model to train on"
    ):  # otherwise the encoder would be trained again
        train_autoencoder(
            replace(longer, train=replace(longer.train, steps=8)), [clips], tmp_path / "on" / "autoencoder", quiet=True
        )
    # a run that was interrupted at step 2 gives the same weights
    half = replace(longer, train=replace(longer.train, steps=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainState, "optimizer_step", _interrupted_after(2))
        with pytest.raises(KeyboardInterrupt):
            train_autoencoder(half, [clips], tmp_path / "again", start, quiet=True)
    train_autoencoder(half, [clips], tmp_path / "again", start, quiet=True)
    assert weights(tmp_path / "again") == weights(tmp_path / "on" / "autoencoder")


def _interrupted_after(steps: int) -> Callable[..., bool]:
    """Return `TrainState.optimizer_step` that raises KeyboardInterrupt after some steps."""
    original = TrainState.optimizer_step

    def step(state: TrainState, *arguments: Any) -> bool:
        if state.step == steps:
            raise KeyboardInterrupt
        return original(state, *arguments)

    return step


def frozen(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What determines latents."""
    return {name: tensor for name, tensor in weights.items() if not name.startswith("decoder.")}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("first", [pytest.param(4, marks=pytest.mark.slow), 600])  # in the midst, or at the end
def test_a_frozen_encoder_is_never_trained_again(
    clips: Path, tmp_path: Path, first: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "autoencoder"
    begun = override(AUTOENCODER, [f"train.freeze_encoder_from={first}"])
    train_autoencoder(begun, [clips], out, quiet=True)
    before = load_tensors(out / "model.safetensors")
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    thawed = override(begun, ["train.steps=9", f"train.freeze_encoder_from={first + 4}"])
    with pytest.raises(UsageError, match=f"freeze_encoder_from was {first} and is now {first + 4}, but the encoder of"):
        train_autoencoder(thawed, [clips], out, quiet=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files
    train_autoencoder(override(begun, ["train.steps=9"]), [clips], out)
    assert ("the encoder was frozen before and stays so" in capsys.readouterr().err) == (first == 600)
    after = load_tensors(out / "model.safetensors")
    assert same(frozen(before), frozen(after)) and not same(before, after)
    assert float(after["decoder.trained_noise"]) > 0


SLOW = pytest.mark.slow


@pytest.mark.parametrize("asked", [pytest.param(1, marks=SLOW), 3, pytest.param(5, marks=SLOW)])  # the checkpoint: 3
def test_the_step_of_freezing_may_be_changed_until_it_is_done(clips: Path, tmp_path: Path, asked: int) -> None:
    out = tmp_path / "autoencoder"
    steps = iter([False, False, True])
    begun = override(AUTOENCODER, ["train.freeze_encoder_from=6"])
    train_autoencoder(begun, [clips], out, quiet=True, stopping=lambda: next(steps))
    assert not is_frozen(load_tensors(out / "checkpoints" / "0000003" / "model.safetensors"))
    on = override(begun, [f"train.freeze_encoder_from={asked}", "train.save_every=1"])
    train_autoencoder(on, [clips], out, quiet=True)
    saved = [load_tensors(out / "checkpoints" / name / "model.safetensors") for name in ("0000005", "0000006")]
    assert is_frozen(saved[1]) and same(frozen(saved[0]), frozen(saved[1])) and not same(*saved)


def test_seams_weigh_frame_differences_across_slices() -> None:
    target = torch.zeros(1, 12, 8, 8, 3)
    output = torch.zeros_like(target)
    output[:, 4:] += 0.5  # a change between the first slice and the second
    nothing = torch.zeros(3, 4, 1, 1)
    plain, weighted = (
        reconstruction_loss(
            AutoencoderTraining(mse=0.0, motion=0.0, kl=0.0, seams=seams), output, target, nothing, nothing, 4
        )
        for seams in (0.0, 2.0)
    )
    assert float(weighted - plain) == pytest.approx(
        2.0 * 0.5 / 2
    )  # one of two differences across slices is wrong by 0.5
    output = torch.zeros_like(target)
    output[:, 2:4] += 0.5  # a change inside the first slice and one at its end
    inside = reconstruction_loss(
        AutoencoderTraining(mse=0.0, motion=0.0, kl=0.0, seams=2.0), output, target, nothing, nothing, 4
    )
    assert float(inside) == pytest.approx(0.5 * 2 / 12 + 2.0 * 0.5 / 2)


@pytest.fixture
def latents(run: Path, clips: Path, tmp_path: Path) -> LatentDataset:
    encode_dataset(clips, tmp_path / "latents", load_autoencoder(run), Geometry())
    return LatentDataset([tmp_path / "latents"])


def test_plans_continue_from_any_step(latents: LatentDataset) -> None:
    plans = plan_batches(window_sizes(DIT, latents), DIT.train.batch_tokens, DIT.seed)
    first = [next(plans) for _ in range(5)]
    again = plan_batches(window_sizes(DIT, latents), DIT.train.batch_tokens, DIT.seed, first[3].step, first[3].first)
    assert [next(again), next(again)] == first[3:]
    everything = [place for plan in first for place in plan.clips]
    assert sorted(everything[: len(latents)]) == list(range(len(latents)))  # an epoch shows every clip once
    assert all(sum(plan.sizes) <= DIT.train.batch_tokens or len(plan.clips) == 1 for plan in first)


def test_shares_of_all_processes_make_the_batch(latents: LatentDataset) -> None:
    tokenizer = Tokenizer(learn_vocabulary(latents.captions(), 60))
    plan = next(plan_batches(window_sizes(DIT, latents), 60, DIT.seed))
    whole = make_batch(DIT, latents, tokenizer, plan)
    shares = [make_batch(DIT, latents, tokenizer, plan, Ranks(rank, 2)) for rank in range(2)]
    assert sum(share.num_noised for share in shares) == whole.num_noised
    assert torch.cat([share.packs[0].residual for share in shares]).square().sum() == pytest.approx(
        float(whole.packs[0].residual.square().sum()), rel=1e-5
    )
    check_batch_tokens(DIT, latents, Ranks(0, 2))
    with pytest.raises(UsageError, match="fewer clips than there are processes"):
        check_batch_tokens(DIT, latents, Ranks(0, 100))
