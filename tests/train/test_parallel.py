"""Training in two processes, started by torchrun on gloo, equals training in one."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from chronotope import checkpoint
from chronotope.checkpoint import checkpoints, load_tensors
from chronotope.config import override
from chronotope.data.latents import latents_hash
from chronotope.errors import UsageError
from chronotope.jsonl import read_jsonl, write_jsonl
from chronotope.manifest import manifest_hash, seal
from chronotope.storage import is_partial, write_json
from chronotope.train.config import DiTRun
from chronotope.train.dit import train_dit
from tests.caption.encoders import save_bert

SETTINGS = [
    "model.channels=4",
    "model.head_dim=16",
    "model.width=32",
    "model.depth=1",
    "model.text_depth=1",
    "model.vocabulary_size=80",
    "train.precision=fp32",
    "train.steps=5",
    "train.warmup=1",
    "train.batch_tokens=300",
    "train.log_every=1",
    "train.save_every=2",
]
OTHERS = [setting for setting in SETTINGS if not setting.startswith("model.width=")]
CONFIG = override(DiTRun(), SETTINGS)
WEIGHTS = [1.0, 0.25]
WORKERS = f"""
import sys, torch
from pathlib import Path
from chronotope.config import override
from chronotope.train.config import DiTRun
from chronotope.train.dit import train_dit
torch.set_num_threads(1)
if __name__ == "__main__":
    for name, workers in (("none", 0), ("two", 2)):
        config = override(DiTRun(), [*{SETTINGS!r}, f"train.workers={{workers}}"])
        train_dit(config, [Path(sys.argv[1])], Path(sys.argv[2]) / name, quiet=True)
"""

# What two processes do, one after the other, because starting them takes longer than all of it. `train(name)` trains
# in a folder; `stop` is the step after which the first process is asked to stop.
SCRIPT = f"""
import errno, itertools, os, signal, sys, torch
from pathlib import Path
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from chronotope.config import override
from chronotope.errors import FileProblem, UsageError
from chronotope.parallel import end_process
from chronotope.train import dit
from chronotope.train.config import DiTRun
torch.set_num_threads(1)
leave, dit.leave_ranks = dit.leave_ranks, lambda: None  # to stay together until the end
folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])

SETTINGS = {SETTINGS!r}

def train(name, *settings, data=("latents",), stop=0, **more):
    polls = itertools.count(1)
    names = [setting.partition("=")[0] for setting in settings]
    config = override(DiTRun(), [each for each in SETTINGS if each.partition("=")[0] not in names] + list(settings))
    def stopping():
        return next(polls) == stop and rank == 0
    dit.train_dit(config, [folder / each for each in data], folder / name, quiet=True, stopping=stopping, **more)
    print(f"{{name}}: rank {{rank}} ended after step {{next(polls) - 1}}", flush=True)

def after(calls, then):
    loss, count = dit.flow_loss, itertools.count(1)
    dit.flow_loss = lambda *arguments: loss(*arguments) * (then() if next(count) == calls and rank == 1 else 1.0)
    return loss

if sys.argv[2] == "otherwise":
    train("weighted/two", data=("latents", "others"), weights={WEIGHTS})
    train("passes", "train.pass_tokens=40", "train.recompute=true")
    if (folder / "bert").exists():
        about = ["model.text_width=32", "model.max_text_tokens=20", f"text_encoder=hf:{{folder / 'bert'}}"]
        train("texts/two", *about)
    leave()
    end_process(0)
done = folder / "done"
if not done.exists():
    train("two", heldout=[folder / "latents"])
    train("parts", stop=3)
    train("parts")
    train("around", stop=2)
    try:
        train("two", "model.width=64", "model.head_dim=32")
    except UsageError as problem:
        print(f"refused: rank {{rank}}: {{problem.said}}: {{problem}}", flush=True)
    for settings, data in (([f"seed={{rank}}"], ("latents",)), ([], ("latents",) * (1 + rank))):
        try:
            train("apart", *settings, data=data)
        except UsageError as problem:
            print(f"apart: rank {{rank}}: {{problem.said}}: {{problem}}", flush=True)
    write, saves = HuggingFaceStorageWriter.write_data, itertools.count(1)
    def full(*arguments):
        if rank == 1 and next(saves) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)
    HuggingFaceStorageWriter.write_data = full
    try:
        train("full")
    except FileProblem as problem:
        print(f"full: rank {{rank}}: {{problem.said}}: {{problem}}", flush=True)
    HuggingFaceStorageWriter.write_data = write
    sound = after(2, lambda: float("nan"))
    train("spoilt", stop=4)
    dit.flow_loss = sound
    torch.distributed.barrier()
    done.touch()
    after(4, lambda: os.kill(os.getpid(), signal.SIGKILL))
train("killed")
leave()
end_process(0)
"""


@dataclass(frozen=True)
class Trained:
    """The folder of all runs, and what two processes wrote to the terminal."""

    folder: Path
    said: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train once in one process, and in many ways in two, of which one is killed and started again by torchrun."""
    folder = tmp_path_factory.mktemp("trained")
    write_latents(folder / "latents")
    train_dit(CONFIG, [folder / "latents"], folder / "one", quiet=True, heldout=[folder / "latents"])
    polls = itertools.count(1)
    train_dit(CONFIG, [folder / "latents"], folder / "around", quiet=True, stopping=lambda: next(polls) == 1)
    return Trained(folder, in_two_processes(folder, "first"))


@pytest.fixture(scope="module")
def trained_otherwise(trained: Trained) -> Trained:
    """In the same folder, two processes with weights of clips, with steps in parts, and with a text encoder."""
    folder = trained.folder
    write_latents(folder / "others")
    if importlib.util.find_spec("transformers"):
        save_bert(folder / "bert")
    return Trained(folder, in_two_processes(folder, "otherwise"))


def in_two_processes(folder: Path, part: str) -> str:
    """Run a part of the script in two processes, and return what they wrote to the terminal."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    launcher = "-m torch.distributed.run --nproc-per-node 2 --standalone --max-restarts 1".split()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, *launcher, str(script), str(folder), part]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_latents(folder):
    """Write a latents folder of random clips of several sizes, in the format of `encode_dataset`."""
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    folder.mkdir()
    tensors, rows = {}, []
    for i, (frames, height, width) in enumerate(
        [(9, 32, 48), (8, 32, 32), (1, 48, 48), (12, 32, 32), (4, 64, 32), (9, 32, 32)]
    ):
        slices = [4] * (frames // 4) + [1] * (frames % 4)
        tensors[f"c/{i}"] = torch.randn(len(slices), 4, height // 8, width // 8, generator=generator).half()
        about = {"key": f"c/{i}", "shard": 0, "slices": slices, "height": height, "width": width, "fps": 8.0}
        about |= {"source": {}, "sha256": latents_hash(tensors[f"c/{i}"])}
        rows.append(seal({**about, "captions": {"sentence": [f"clip {i}"]}}))
    save_file(tensors, folder / "latents-00000.safetensors")
    write_jsonl(folder / "index.jsonl", rows)
    about = {"autoencoder": "none", "stride": [4, 8, 8], "channels": 4}
    write_json(folder / "latents.json", {**about, "clips": len(rows), "manifest": manifest_hash(rows)})


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(checkpoints(run)[-1] / "model.safetensors")


def assert_close(run: Path, other: Path) -> None:
    ours, theirs = weights(run), weights(other)
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, atol=1e-5, rtol=0)


def test_two_processes_equal_one(trained):
    assert_close(trained.folder / "one", trained.folder / "two")
    rows = [read_jsonl(trained.folder / name / "log.jsonl") for name in ("one", "two")]
    assert [sorted(row) for row in rows[0]] == [sorted(row) for row in rows[1]]
    for name in ("loss", "heldout/latents", "heldout_by_kind/latents/still", "heldout_by_motion/latents/high"):
        ours, theirs = ([row[name] for row in those if name in row] for those in rows)
        assert len(ours) == (5 if name == "loss" else 2)
        assert theirs == pytest.approx(ours, rel=1e-4)


@pytest.mark.slow  # test_passes.py has it in one process
def test_a_step_in_parts_equals_a_step_at_once(trained_otherwise):
    assert_close(trained_otherwise.folder / "one", trained_otherwise.folder / "passes")


@pytest.mark.slow  # test_order.py draws the same clips for any number of processes
def test_two_processes_show_weighted_clips_as_one_does(trained_otherwise):
    trained = trained_otherwise
    runs = trained.folder / "weighted" / "one", trained.folder / "weighted" / "two"
    train_dit(CONFIG, [trained.folder / name for name in ("latents", "others")], runs[0], quiet=True, weights=WEIGHTS)
    assert_close(*runs)


def test_two_processes_hold_half_of_the_state_each(trained):
    run = trained.folder / "two"
    files = sorted((checkpoints(run)[-1] / "state").iterdir())
    sizes = [sum(tensor.numel() for tensor in load_tensors(file).values()) for file in files]
    whole = load_tensors(checkpoints(trained.folder / "one")[-1] / "state.safetensors")
    assert len(files) == 2 and sum(sizes) == sum(tensor.numel() for tensor in whole.values())
    assert max(sizes) < 0.51 * sum(sizes)


def test_a_run_that_is_resumed_is_the_same_to_the_bit(trained):
    ours, theirs = ((trained.folder / name / "model.safetensors").read_bytes() for name in ("two", "parts"))
    assert ours == theirs


def test_a_killed_process_starts_again_from_the_last_checkpoint(trained):
    assert "killed: rank 1 ended after step 3" in trained.said  # the last three of five steps
    ours, theirs = ((trained.folder / name / "model.safetensors").read_bytes() for name in ("two", "killed"))
    assert ours == theirs


def test_a_checkpoint_of_one_process_goes_on_in_two_and_again_in_one(trained, capsys):
    run = trained.folder / "around"
    assert checkpoint.read_counters(checkpoints(run)[-1])["processes"] == 2
    train_dit(CONFIG, [trained.folder / "latents"], run)
    said = capsys.readouterr().err
    assert "checkpoint 0000003 is of 2 processes, and this run has 1: it goes on within rounding" in said
    assert [row["step"] for row in read_jsonl(run / "log.jsonl")] == [1, 2, 3, 4, 5]
    assert_close(trained.folder / "one", run)


def test_an_error_of_one_process_is_one_of_all_and_said_once(trained):
    refused = "refused: rank {}: {}: {}"
    run, full = trained.folder / "two", trained.folder / "full"
    for rank, said in ((0, False), (1, True)):
        assert refused.format(rank, said, f"{checkpoints(run)[-1]} is of a run with model.width 32 and") in trained.said
        for what in ("settings", "data"):
            sentence = f"process 1 of this training has other {what} than process 0; start all processes"
            assert f"apart: rank {rank}: {said}: {sentence}" in trained.said
    for rank, said in ((0, True), (1, False)):
        where = full / "checkpoints" / "0000004" / "state"
        assert f"full: rank {rank}: {said}: {where} cannot be written: No space left on device" in trained.said
    assert [path.name for path in checkpoints(full)] == ["0000002"]
    assert checkpoint.verify_checkpoint(checkpoints(full)[0])["step"] == 2
    assert not [path for path in full.rglob("*") if is_partial(path.name)]


def test_half_a_checkpoint_is_left_out_and_another_model_is_refused(trained, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained.folder / "two", run)
    newest = checkpoints(run)[-1]
    (newest / "state" / "shard-00002-model-00001-of-00001.safetensors").unlink()
    with pytest.raises(UsageError, match=r"is of a run with model.width 32 and not 64"):
        train_dit(override(DiTRun(), [*OTHERS, "model.width=64"]), [trained.folder / "latents"], run, quiet=True)
    train_dit(CONFIG, [trained.folder / "latents"], run)
    said = capsys.readouterr().err
    assert "note: checkpoint 0000005 is left out: " in said and "shard-00002" in said and "is missing" in said
    assert_close(trained.folder / "one", run)
    assert not (newest / "state").exists()  # one process has written it again


@pytest.mark.slow  # cli/test_text_encoder.py trains with one in one process
def test_two_processes_share_the_captions_of_a_text_encoder(trained_otherwise):
    pytest.importorskip("transformers")
    folder = trained_otherwise.folder
    encoder = ["model.text_width=32", "model.max_text_tokens=20", f"text_encoder=hf:{folder / 'bert'}"]
    train_dit(override(DiTRun(), [*SETTINGS, *encoder]), [folder / "latents"], folder / "alone" / "one", quiet=True)
    runs = folder / "alone" / "one", folder / "texts" / "two"
    shards = [sorted(run.parent.glob("states/*/*.safetensors")) for run in runs]
    ours, theirs = ({key: states for shard in each for key, states in load_tensors(shard).items()} for each in shards)
    assert len(ours) == 6 and ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert len(shards[1]) == 2  # one of each process
    assert_close(*runs)


def test_all_processes_skip_the_same_step_and_stop_after_the_same_step(trained):
    run = trained.folder / "spoilt"
    assert all(f"spoilt: rank {rank} ended after step 4" in trained.said for rank in (0, 1))
    (row,) = read_jsonl(run / "quarantine.jsonl")
    assert (row["step"], row["loss"]) == (2, "nan") and len(row["clips"]) == len(set(row["clips"])) > 1
    assert [path.name for path in checkpoints(run)] == ["0000002", "0000004"]
    assert [("loss" in row) for row in read_jsonl(run / "log.jsonl")] == [True, False, True, True]


def test_batches_from_worker_processes_are_the_same(tmp_path):
    data, script = tmp_path / "latents", tmp_path / "train.py"
    write_latents(data)
    script.write_text(WORKERS)
    subprocess.run([sys.executable, script, data, tmp_path], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert (tmp_path / "none" / "model.safetensors").read_bytes() == (
        tmp_path / "two" / "model.safetensors"
    ).read_bytes()
