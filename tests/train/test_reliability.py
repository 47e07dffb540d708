"""Training that fails: numbers that are not finite, damaged checkpoints, full disks. The last good state is kept."""

from __future__ import annotations

import errno
import math
import multiprocessing
import os
import random
import re
import resource
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from chronotope import checkpoint, jsonl, storage
from chronotope.config import override
from chronotope.errors import ChronotopeError, FileProblem
from chronotope.train import dit
from chronotope.train.autoencoder import run as autoencoder
from chronotope.train.autoencoder import train_autoencoder
from chronotope.train.dit import train_dit
from chronotope.train.state import TrainState
from tests.cli.models import save_clips
from tests.train.small import AUTOENCODER
from tests.train.test_parallel import SETTINGS, write_latents

DIT = override(override(dit.DiTRun(), SETTINGS), ["train.steps=8", "train.save_every=2", "train.log_every=3"])


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "latents"
    write_latents(folder)
    return folder


@pytest.fixture(scope="module")
def whole(latents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    train_dit(DIT, [latents], folder, quiet=True)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clips(tmp_path_factory.mktemp("clips") / "clips")


def rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a log without what the clock determines."""
    timed = ("seconds", "clips/s", "tokens/s", "tflop/s")
    return [{name: row[name] for name in row if name not in timed} for row in jsonl.read_sealed_rows(path).rows]


def same_result(ours: Path, theirs: Path) -> bool:
    """Whether two run folders hold the same model, the same training state and the same log."""
    last = "checkpoints/0000008"
    states = [checkpoint.load_tensors(run / last / "state.safetensors") for run in (ours, theirs)]
    same = all(torch.equal(states[0][name], states[1][name]) for name in states[0].keys() | states[1].keys())
    files = ("model.safetensors", f"{last}/model.safetensors")
    same = same and all((ours / name).read_bytes() == (theirs / name).read_bytes() for name in files)
    return same and rows(ours / "log.jsonl") == rows(theirs / "log.jsonl")


# Numbers that are not finite


def spoil(steps: set[int], monkeypatch: pytest.MonkeyPatch, value: float = math.nan, part: Any = dit) -> None:
    """Make the loss of these steps not finite."""
    name = "flow_loss" if part is dit else "reconstruction_loss"
    original, count = getattr(part, name), iter(range(10**6))

    def spoilt(*arguments: Any) -> torch.Tensor:
        loss: torch.Tensor = original(*arguments)
        return loss * value if next(count) in steps else loss

    monkeypatch.setattr(part, name, spoilt)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_that_is_not_finite_changes_nothing_but_the_counters(
    latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    before: list[bytes] = []

    def remember(state: TrainState, *arguments: Any) -> bool:
        old = state_bytes(state)
        trained = step(state, *arguments)
        assert (state_bytes(state) == old) == (not trained)
        before.append(old)
        return trained

    step = TrainState.optimizer_step
    monkeypatch.setattr(TrainState, "optimizer_step", remember)
    spoil({2, 3, 5}, monkeypatch, value)
    train_dit(DIT, [latents], tmp_path, quiet=True)
    assert len(before) == 8
    skipped = jsonl.read_jsonl(tmp_path / "quarantine.jsonl")
    assert [row["step"] for row in skipped] == [3, 4, 6]
    assert all(row["clips"] and set(row["clips"]) <= {f"c/{i}" for i in range(6)} for row in skipped)
    assert all(math.isfinite(row["loss"]) for row in rows(tmp_path / "log.jsonl"))
    assert checkpoint.load_state(tmp_path / "checkpoints" / "0000008")[1]["skipped"] == 0


def state_bytes(state: TrainState) -> bytes:
    """All weights, averages and optimizer states."""
    tensors = [*state.model.state_dict().values(), *state.average.state_dict().values()]
    for optimizer in state.optimizers:
        tensors += [
            torch.as_tensor(value) for row in optimizer.state_dict()["state"].values() for value in row.values()
        ]
    return b"".join(tensor.numpy().tobytes() for tensor in tensors)


def test_a_run_with_skipped_steps_resumes_to_the_bit(
    latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between two skipped steps, so that their count is part of the state."""
    with monkeypatch.context() as patch:
        spoil({3, 4, 6}, patch)
        train_dit(DIT, [latents], tmp_path / "whole", quiet=True)
    stops = iter([False] * 3 + [True])
    with monkeypatch.context() as patch:
        spoil({3}, patch)
        train_dit(DIT, [latents], tmp_path / "broken", quiet=True, stopping=lambda: next(stops))
    assert checkpoint.load_state(tmp_path / "broken/checkpoints/0000004")[1]["skipped"] == 1
    with monkeypatch.context() as patch:
        spoil({0, 2}, patch)
        train_dit(DIT, [latents], tmp_path / "broken", quiet=True)
    assert same_result(tmp_path / "whole", tmp_path / "broken")
    assert rows(tmp_path / "whole/quarantine.jsonl") == rows(tmp_path / "broken/quarantine.jsonl")


def test_three_in_a_row_end_the_run_and_keep_the_last_good_state(
    latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        spoil({3, 4, 5}, patch)
        with pytest.raises(ChronotopeError, match="not finite in 3 steps in a row, up to step 6") as problem:
            train_dit(DIT, [latents], tmp_path, quiet=True)
    assert problem.value.exit_code == 1
    assert [row["step"] for row in rows(tmp_path / "quarantine.jsonl")] == [4, 5, 6]
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["0000002", "0000004"]
    train_dit(DIT, [latents], tmp_path, quiet=True)
    assert [row["step"] for row in rows(tmp_path / "quarantine.jsonl")] == [4]


def test_the_autoencoder_skips_such_steps_too(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        spoil({2}, patch, part=autoencoder)
        train_autoencoder(AUTOENCODER, [clips], tmp_path, quiet=True)
    (row,) = jsonl.read_jsonl(tmp_path / "quarantine.jsonl")
    assert (row["step"], row["loss"]) == (3, "nan")
    assert set(row["clips"]) <= {"clips/0", "clips/1", "clips/2", "clips/still"}


@pytest.mark.parametrize("where", ["weights", "average", "optimizer"])
def test_a_state_that_is_not_finite_is_never_saved(
    latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    average = TrainState.update_average

    def spoil_state(state: TrainState, decay: float) -> None:
        average(state, decay)
        if state.step == 3:
            some = state.average if where == "average" else state.model
            tensor = next(some.parameters()).data
            if where == "optimizer":
                tensor = next(iter(state.optimizers[1].state.values()))["exp_avg"]
            tensor.view(-1)[0] = math.inf

    monkeypatch.setattr(TrainState, "update_average", spoil_state)
    monkeypatch.setattr("chronotope.train.state.MAX_SKIPPED", 100)
    with pytest.raises(checkpoint.NotFiniteError, match=r"not finite, in .* and is not saved"):
        train_dit(DIT, [latents], tmp_path, quiet=True)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["0000002"]
    assert not [path for path in tmp_path.rglob("*") if storage.is_partial(path.name)]


def test_weights_that_overflow_half_precision_are_not_saved(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    model.weight.data[0, 0] = 1e6
    with pytest.raises(checkpoint.NotFiniteError, match="in weight"):
        checkpoint.save_model(tmp_path, model, {}, torch.float16)
    checkpoint.save_model(tmp_path, model, {})
    model.weight.data.fill_(3e38)  # whose sum overflows
    checkpoint.save_model(tmp_path, model, {})
    checkpoint.load_model(tmp_path, model)


# Damage


def flip_bit(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def truncate(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def zero_range(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data))
    length = min(rng.choice((1, 16, 512, 4096)), len(data) - start)
    data[start : start + length] = bytes(length)
    path.write_bytes(data)


def swap_with_the_other_checkpoint(path: Path, rng: random.Random) -> None:
    del rng
    other = path.parent.with_name("0000006") / path.name
    if path.parent.name == "0000008":
        data, others = path.read_bytes(), other.read_bytes()
        path.write_bytes(others)
        other.write_bytes(data)


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    flip_bit,
    truncate,
    zero_range,
    swap_with_the_other_checkpoint,
)
DAMAGED = (
    "checkpoints/0000008/state.safetensors",
    "checkpoints/0000008/state.json",
    "checkpoints/0000008/model.safetensors",
    "checkpoints/0000008/model.json",
)


def test_damage_is_detected_or_harmless(whole: Path, tmp_path: Path) -> None:
    """120 damaged checkpoints: each is refused in one sentence, or is read as what was saved."""
    saved = checkpoint.load_state(whole / "checkpoints/0000008")
    rng, harmless = random.Random(0), 0
    for name in DAMAGED:
        for number in range(30):
            shutil.copytree(whole / "checkpoints", tmp_path / "checkpoints", dirs_exist_ok=True)
            DAMAGES[number % len(DAMAGES)](tmp_path / name, rng)
            try:
                newest = checkpoint.latest_checkpoint(tmp_path)
            except FileProblem:
                continue  # both are damaged, after a swap
            assert newest is not None
            if newest.name == "0000008":
                harmless += 1
                tensors, counters = checkpoint.load_state(newest)
                assert all(counters[key] == saved[1][key] for key in saved[1] if key not in ("files", "checksum"))
                assert all(torch.equal(tensors[key], saved[0][key]) for key in saved[0])
    assert harmless < 15


@pytest.mark.parametrize("damage", DAMAGES[:3])
@pytest.mark.parametrize("name", DAMAGED)
def test_training_goes_on_from_the_newest_whole_checkpoint(
    whole: Path, latents: Path, tmp_path: Path, damage: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged one is named, kept until a good one is saved, and the result is that of an undisturbed training."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "model.json").unlink()
    damage(run / name, random.Random(1))
    train_dit(DIT, [latents], run, quiet=False)
    said = capsys.readouterr().err.replace("\n", " ")
    assert "checkpoint 0000008 is left out" in said or "0000008" not in said
    assert same_result(run, whole)
    assert [path.name for path in checkpoint.checkpoints(run)] == ["0000006", "0000008"]


def test_a_damaged_checkpoint_is_kept_until_a_good_one_is_saved(whole: Path, latents: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    flip_bit(run / DAMAGED[0], random.Random(2))
    stops = iter([True])
    train_dit(DIT, [latents], run, quiet=True, stopping=lambda: next(stops))
    assert [path.name for path in checkpoint.checkpoints(run)] == ["0000006", "0000007"]
    shutil.copytree(run / "checkpoints/0000006", run / "checkpoints/0000005")
    with pytest.raises(FileProblem, match=r"state\.json is of step 6; the checkpoint was damaged or renamed"):
        checkpoint.verify_checkpoint(run / "checkpoints/0000005")


def test_without_a_whole_checkpoint_training_stops(whole: Path, latents: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for folder in checkpoint.checkpoints(run):
        truncate(folder / "state.safetensors", random.Random(0))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(FileProblem, match=r"no checkpoint of .* is whole"):
        train_dit(DIT, [latents], run, quiet=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_checkpoints_of_earlier_versions_are_resumed(whole: Path, latents: Path, tmp_path: Path) -> None:
    """They have no checksums, no losses and no count of skipped steps; a truncated one is skipped nevertheless."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for file in (*run.rglob("model.json"), *run.rglob("state.json")):
        content = storage.read_json(file)
        storage.write_json(
            file, {key: content[key] for key in content if key not in ("files", "checksum", "skipped", "numbers")}
        )
    truncate(run / DAMAGED[2], random.Random(0))
    train_dit(DIT, [latents], run, quiet=True)
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert checkpoint.is_verified(checkpoint.read_description(run))


def test_the_log_of_a_resumed_run_is_that_of_an_uninterrupted_one(whole: Path, latents: Path, tmp_path: Path) -> None:
    """Stopped after every step; `log_every` is 3, so a logged mean spans several processes."""
    for step in range(1, 8):
        stops = iter([True])
        train_dit(DIT, [latents], tmp_path, quiet=True, stopping=lambda stops=stops: next(stops))  # type: ignore[misc]
        assert checkpoint.checkpoints(tmp_path)[-1].name == f"{step:07d}"
        assert not (tmp_path / "model.json").exists()
    train_dit(DIT, [latents], tmp_path, quiet=True)
    assert same_result(tmp_path, whole)


# Disks that fail


class FailingDisk:
    """Make the system call number `fails` fail, of those that create, write, flush and rename files."""

    def __init__(self, fails: int, error: int) -> None:
        self.fails, self.error, self.calls, self.failed = fails, error, 0, ""

    def __call__(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.fails:
                self.failed = original.__name__
                raise OSError(self.error, os.strerror(self.error))
            return original(*arguments, **named)

        return call

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("fsync", "rename", "replace", "mkdir"):
            monkeypatch.setattr(os, name, self(getattr(os, name)))
        for name in ("write_bytes", "write_text"):
            monkeypatch.setattr(Path, name, self(getattr(Path, name)))
        opened = os.open

        def create(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
            return (self(opened) if flags & os.O_CREAT else opened)(path, flags, *arguments, **named)

        monkeypatch.setattr(os, "open", create)


@pytest.fixture(scope="module")
def finished(latents: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainState, dict[str, Any]]:
    """The state of a training at its last save, and the description that is saved with it."""
    states: list[tuple[TrainState, dict[str, Any]]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainState, "save", lambda state, run, description: states.append((state, description)))
        train_dit(DIT, [latents], tmp_path_factory.mktemp("finished"), quiet=True)
    return states[-1]


def saved_or_refused(state: TrainState, run: Path, description: dict[str, Any]) -> str:
    """Save; of a refusal check the sentence."""
    try:
        state.save(run, description)
    except FileProblem as problem:
        assert re.search("0000009.* cannot be (written|created): (Input/output error|No space left)", str(problem))
        assert ".part" not in str(problem)
        return "refused"
    return "saved"


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_call_of_a_save_costs_nothing(
    finished: tuple[TrainState, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """Every call in turn: one sentence, a whole checkpoint, and nothing half-written after the next run."""
    state, description = finished
    calls, number = 1, 0
    while number < calls:
        number += 1
        run, disk = tmp_path / str(number), FailingDisk(number, error)
        state.step = 8
        state.save(run, description)
        before = checkpoint.load_state(run / "checkpoints/0000008")[1]
        state.step = 9
        with monkeypatch.context() as patch:
            disk.patch(patch)
            if saved_or_refused(state, run, description) == "saved":
                assert disk.failed == "mkdir"  # of a folder that exists already
        calls = max(calls, disk.calls)
        assert checkpoint.load_state(run / "checkpoints/0000008")[1] == before
        storage.remove_partials(run / "checkpoints")
        names = {path.name for path in (run / "checkpoints").iterdir()}
        assert names == {"0000008"} or (names == {"0000008", "0000009"} and disk.failed in ("fsync", "mkdir"))
        state.save(run, description)
        assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["0000008", "0000009"]
    assert calls > 15


def test_checkpoints_that_could_not_be_deleted_are_deleted_later(
    finished: tuple[TrainState, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, description = finished
    with monkeypatch.context() as patch:
        patch.setattr("chronotope.train.state.remove_folder", lambda folder: None)
        for state.step in (7, 8, 9):
            state.save(tmp_path, description)
    assert len(checkpoint.checkpoints(tmp_path)) == 3
    state.resume(tmp_path)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["0000008", "0000009"]


def test_a_checkpoint_that_was_out_of_reach_for_a_moment_is_not_deleted(
    finished: tuple[TrainState, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, description = finished
    for state.step in (7, 8):
        state.save(tmp_path, description)
    verify = checkpoint.verify_checkpoint

    def refuse(folder: Path) -> Any:
        if folder.name == "0000008":
            raise FileProblem("Too many open files")
        return verify(folder)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "verify_checkpoint", refuse)
        patch.setattr(checkpoint, "load_state", lambda folder: (state._tensors(), {"step": 7}))
        state.resume(tmp_path)
    state.step = 9
    state.save(tmp_path, description)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["0000008", "0000009"]


def test_a_file_that_may_not_grow_is_one_sentence(finished: tuple[TrainState, dict[str, Any]], tmp_path: Path) -> None:
    """A limit of the system in a real process, in the middle of the second checkpoint."""
    state, description = finished

    def child() -> None:
        state.step = 8
        state.save(tmp_path, description)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        state.step = 9
        with pytest.raises(FileProblem, match=r"0000009/.*safetensors cannot be written: File too large"):
            state.save(tmp_path, description)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["0000008"]
    assert checkpoint.latest_checkpoint(tmp_path) is not None


def test_a_full_disk_is_noticed_before_anything_is_written(
    latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 900, 100))  # type: ignore[attr-defined]
    with pytest.raises(FileProblem, match=r"needs .* MB and its disk has 0\.0 MB left"):
        train_dit(DIT, [latents], tmp_path, quiet=True)
    assert not (tmp_path / "checkpoints").exists()


def test_saved_files_have_the_usual_mode(whole: Path) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in whole.rglob("*") if path.is_file()}
    assert len(modes) == 1


def test_a_checkpoint_is_hashed_once_and_again_when_it_changed(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, hashed, real = tmp_path / "run", list[str](), checkpoint.file_sha256
    shutil.copytree(whole, run)
    monkeypatch.setattr(checkpoint, "file_sha256", lambda path: hashed.append(path.name) or real(path))
    monkeypatch.setattr(checkpoint, "_SETTLED_SECONDS", -10)  # as files that were written long ago
    for _ in range(2):
        newest = checkpoint.latest_checkpoint(run)
        assert newest is not None
        checkpoint.load_state(newest)
        checkpoint.load_tensors(newest / "state.safetensors")
    assert sorted(hashed) == sorted(checkpoint.STATE_FILES)
    weights = newest / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(FileProblem, match=rf"{newest.name}/model\.safetensors is damaged.*{newest.name}/state\.json"):
        checkpoint.verify_checkpoint(newest)
