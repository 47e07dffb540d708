"""Training in two processes, started by torchrun on gloo, equals training in one."""

import json
import os
import subprocess
import sys

import pytest
import torch

from chronotope.checkpoint import checkpoints, load_tensors
from chronotope.config import override
from chronotope.data.latents import latents_hash
from chronotope.jsonl import read_jsonl, write_jsonl
from chronotope.manifest import manifest_hash, seal
from chronotope.storage import write_json
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
]
SCRIPT = f"""
import sys, torch
from pathlib import Path
from chronotope.config import override
from chronotope.train.config import DiTRun
from chronotope.train.dit import train_dit
torch.set_num_threads(1)
train_dit(override(DiTRun(), {SETTINGS!r} + sys.argv[3:]), [Path(sys.argv[1])], Path(sys.argv[2]), quiet=True)
"""

# The loss of the second process is NaN in its second step, and only the first process is asked to stop, after step 4.
SPOILT = """
import os
from chronotope.train import dit
rank, calls, loss = int(os.environ["RANK"]), iter(range(100)), dit.flow_loss
dit.flow_loss = lambda *arguments: loss(*arguments) * (float("nan") if next(calls) == 1 and rank == 1 else 1.0)
polls = iter(range(1, 100))
def train_dit(*arguments, **named):
    dit.train_dit(*arguments, **named, stopping=lambda: next(polls) == 4 and rank == 0)
    print(f"rank {rank} ended after step {next(polls) - 1}", flush=True)
"""


def torchrun(script, *arguments):
    """Run a script in two processes."""
    command = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", script)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    words = [str(part) for part in (*command, *arguments)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done


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


def test_two_processes_equal_one(tmp_path):
    data, one, two = tmp_path / "latents", tmp_path / "one", tmp_path / "two"
    write_latents(data)
    train_dit(override(DiTRun(), SETTINGS), [data], one, quiet=True)
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    torchrun(script, data, two)
    ours, theirs = (load_tensors(folder / "checkpoints" / "0000005" / "model.safetensors") for folder in (one, two))
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, atol=2e-4, rtol=2e-3)
    losses = [
        [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()] for folder in (one, two)
    ]
    assert len(losses[0]) == 5
    torch.testing.assert_close(torch.tensor(losses[0]), torch.tensor(losses[1]), atol=1e-4, rtol=1e-4)


def test_two_processes_share_the_captions_of_a_text_encoder(tmp_path):
    pytest.importorskip("transformers")
    data, one, two = tmp_path / "latents", tmp_path / "one" / "dit", tmp_path / "two" / "dit"
    write_latents(data)
    encoder = ["model.text_width=32", "model.max_text_tokens=20", f"text_encoder=hf:{save_bert(tmp_path / 'bert')}"]
    train_dit(override(DiTRun(), [*SETTINGS, *encoder]), [data], one, quiet=True)
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    torchrun(script, data, two, *encoder)
    shards = [sorted(run.parent.glob("states/*/*.safetensors")) for run in (one, two)]
    ours, theirs = ({key: states for shard in each for key, states in load_tensors(shard).items()} for each in shards)
    assert len(ours) == 6 and ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert len(shards[1]) == 2  # one of each process
    losses = [[row["loss"] for row in read_jsonl(run / "log.jsonl")] for run in (one, two)]
    torch.testing.assert_close(torch.tensor(losses[0]), torch.tensor(losses[1]), atol=1e-4, rtol=1e-4)


def test_all_processes_skip_the_same_step_and_stop_after_the_same_step(tmp_path):
    data, script, run = tmp_path / "latents", tmp_path / "train.py", tmp_path / "run"
    write_latents(data)
    script.write_text(SCRIPT.replace("from chronotope.train.dit import train_dit\n", SPOILT))
    done = torchrun(script, data, run)
    assert sorted(done.stdout.split("\n"))[-2:] == ["rank 0 ended after step 4", "rank 1 ended after step 4"]
    (row,) = read_jsonl(run / "quarantine.jsonl")
    assert (row["step"], row["loss"]) == (2, "nan") and len(row["clips"]) == len(set(row["clips"])) > 1
    assert [path.name for path in checkpoints(run)] == ["0000004"]
    assert [("loss" in row) for row in read_jsonl(run / "log.jsonl")] == [True, False, True, True]


def test_batches_from_worker_processes_are_the_same(tmp_path):
    data, script = tmp_path / "latents", tmp_path / "train.py"
    write_latents(data)
    script.write_text(SCRIPT)
    for name, workers in (("none", 0), ("two", 2)):
        command = [sys.executable, script, data, tmp_path / name, f"train.workers={workers}"]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert (tmp_path / "none" / "model.safetensors").read_bytes() == (
        tmp_path / "two" / "model.safetensors"
    ).read_bytes()
