"""The commands that write, on small data, each in a process of its own that can be killed or refused its disk.

`COMMANDS` names them. `prepare` writes what they start from, `fresh` a folder to run one in, and the content of a
command is all that later commands read from what it wrote.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chronotope.cli.commands import chronotope
from chronotope.data.latents import LatentDataset
from chronotope.errors import ChronotopeError
from chronotope.media import video
from chronotope.serve.jobs.store import Store, StoreProblem
from chronotope.serve.order import Order
from chronotope.serve.service import Service
from chronotope.storage import is_partial

__all__ = [
    "COMMANDS",
    "Command",
    "end_of",
    "fresh",
    "litter",
    "prepare",
    "read_encoded",
    "read_rendered",
    "read_served",
    "start",
    "whole_content",
]

# Loaded before processes are forked, so that what happens to them strikes the work and not the imports.
MODULES = (
    *("chronotope.cli.train.networks", "chronotope.cli.use", "chronotope.generate.files", "chronotope.cli.evaluate"),
    *("chronotope.cli.datasets.export", "chronotope.serve.service"),
    *("chronotope.data.encode", "chronotope.worlds.write", "chronotope.worlds.stage.world", "rich.progress"),
)
STEPS = ("train.steps=8", "train.save_every=2", "train.check_every=8", "train.log_every=3", "train.warmup=2")
AUTOENCODER = (
    *("model.widths=[16,32]", "model.encoder_blocks=[1,1]", "model.decoder_blocks=[1,1]", "pool.megabytes=5"),
    *("pool.shapes=[[4,32,32],[1,32,32]]", "pool.batch_pixels=8192", "train.freeze_encoder_from=4", *STEPS),
)
DIT = (
    *("model.width=64", "model.depth=1", "model.text_depth=1", "model.vocabulary_size=120", "train.batch_tokens=60"),
    *("defaults.height=32", "defaults.width=32", "defaults.num_frames=4", "defaults.num_steps=2", *STEPS),
)
SERVE, OWNER = "serve", "somebody"
TIMED = ("seconds", "clips/s", "tokens/s", "tflop/s", "mfu")  # what the clock determines


# What a command wrote


def read_files(folder: Path) -> dict[str, str]:
    """Return a hash of every file below a folder, of JSON without what the clock determines."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content_without_times(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _content_without_times(path: Path) -> bytes:
    if path.suffix not in (".json", ".jsonl"):
        return path.read_bytes()
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.suffix == ".jsonl" else None
    return json.dumps(_without_times(json.loads(path.read_text()) if rows is None else rows), sort_keys=True).encode()


def _without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    if isinstance(value, dict):
        # seals and checksums cover the times, and a checkpoint keeps the seal of its log
        names = [name for name in value if name not in (*TIMED, "checksum", "seal", "files", "log")]
        return {name: _without_times(value[name]) for name in names}
    return value


def read_rendered(folder: Path) -> dict[str, str]:
    """Return the hash of each file of a rendered dataset; videos by their pixels."""
    about = json.loads((folder / "dataset.json").read_text())
    listed = [
        name for line in (folder / "manifest.jsonl").read_text().splitlines() for name in json.loads(line)["files"]
    ]
    there = sorted(path.relative_to(folder).as_posix() for path in folder.glob("0*/*") if path.suffix != ".lock")
    found = {name: _pixel_hash(folder / name) for name in there}
    return {
        **found,
        "listed": repr(sorted(set(listed))),
        "doubled": repr(len(listed) - len(set(listed))),
        **{name: repr(about.get(name)) for name in ("count", "complete", "split")},
    }


def _pixel_hash(path: Path) -> str:
    data = video.read(path).frames.tobytes() if path.suffix == ".mp4" else path.read_bytes()
    return hashlib.sha256(data).hexdigest()


def read_encoded(folder: Path) -> dict[str, str]:
    """Return the hash of each clip of a folder of latents as training reads it, in order."""
    dataset = LatentDataset([folder])
    files = {path.name for path in folder.iterdir() if path.name.startswith("latents-")}
    named = {f"latents-{clip.shard:05d}.safetensors" for clip in dataset.clips}
    found = {}
    for index, clip in enumerate(dataset.clips):
        latents = dataset.latents(index)
        facts = (clip.key, clip.slices, clip.width, clip.height, clip.fps, clip.captions, tuple(latents.shape))
        found[f"{index} {clip.key}"] = hashlib.sha256(repr(facts).encode() + latents.numpy().tobytes()).hexdigest()
    return {**found, "files": repr(files == named), "worlds": repr(dataset.about[0].get("worlds"))}


def read_judged(folder: Path) -> dict[str, str]:
    """Return the report of an evaluation without the hash of its ledger, which holds times, and its videos' hashes."""
    report = json.loads((folder / "report.json").read_text())
    report["about"].pop("ledger")
    rows = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    done = [row["case"] for row in rows if row["kind"] == "done"]
    return {
        **{path.name: _pixel_hash(path) for path in sorted((folder / "videos").iterdir())},
        "files": repr(sorted(path.name for path in folder.iterdir())),
        "report": json.dumps(_without_times(report), sort_keys=True),
        "doubled": repr(len(done) - len(set(done))),
    }


def read_served(folder: Path) -> dict[str, str]:
    """Return the state of every job of a service, and the hash of its video, by its seed."""
    with contextlib.closing(Store(folder / "jobs.sqlite3")) as store:
        jobs = store.jobs(OWNER, None, limit=100)
    outputs = {path.name for path in (folder / "outputs").iterdir()}
    expected = {f"{job.id}.mp4{end}" for job in jobs for end in ("", ".json")}
    videos = {f"{job.asked['seed']}": _pixel_hash(folder / "outputs" / f"{job.id}.mp4") for job in jobs}
    states = {f"{job.asked['seed']} is": job.state for job in jobs}
    return {**videos, **states, "jobs": repr(len(jobs)), "files": repr(outputs == expected)}


# The commands


@dataclass(frozen=True)
class Command:
    """A command line, the folder that it fills, what it reads from the start and must find, and how it is compared.

    `max_kills` are the most kills of one folder.
    """

    name: str
    words: tuple[str, ...]
    folder: str
    needs: tuple[str, ...] = ()
    content: Callable[[Path], dict[str, str]] = read_files
    max_kills: int = 6


COMMANDS = (
    Command(
        "world",
        ("world", "stage", "--count", "12", "--scope", "shapes", "--workers", "2", "--out", "rendered"),
        "rendered",
        content=read_rendered,
    ),
    Command(
        "export",
        ("export", "many", "--format", "webdataset", "--shard-size", "0.05", "--out", "exported"),
        "exported",
    ),
    Command(
        "encode",
        ("encode", "many", "--model", "model", "--out", "encoded"),
        "encoded",
        content=read_encoded,
    ),
    Command(
        "train autoencoder",
        ("train", "autoencoder", "--preset", "tiny", "--data", "clips", "--out", "run", "--set", *AUTOENCODER),
        "run/autoencoder",
    ),
    Command(
        "train dit",
        ("train", "dit", "--preset", "tiny", "--data", "latents", "--out", "run", "--set", *DIT),
        "run/dit",
        ("run/autoencoder",),
    ),
    Command(
        "generate",
        (
            "generate",
            "a red ball",
            "--model",
            "model",
            "--seconds",
            "1",
            "--steps",
            "4",
            "--no-credentials",
            "-o",
            "made/ball.mp4",
        ),  # a signature holds random numbers
        "made",
    ),
    Command(
        "evaluate",
        ("evaluate", "--layer", "truth", "--first", "3", "--out", "judged"),
        "judged",
        content=read_judged,
        max_kills=2,  # a case that was started three times counts as a crash
    ),
    Command(SERVE, (SERVE, "served", "model"), "served", content=read_served),
)


def prepare(folder: Path) -> None:
    """Write the clips, and train the model that the commands start from."""
    for name in MODULES:
        importlib.import_module(name)
    _write_clips(folder / "clips", 4)
    _write_clips(folder / "many", 40)
    (folder / "made").mkdir()
    autoencoder, dit = (command for command in COMMANDS if command.name.startswith("train"))
    encode = ("encode", "clips", "--model", "run", "--out", "latents")
    for words in (autoencoder.words, encode, dit.words):
        if end_of(start(words, folder)) != 0:
            raise SystemExit(f"{' '.join(words)}: {(folder / 'stderr').read_text()}")
    shutil.move(folder / "run", folder / "model")


def _write_clips(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        frames = np.full((9, 32, 32, 3), 40 * number % 251, np.uint8)
        for moment, frame in enumerate(frames):
            frame[8:20, 2 * moment : 2 * moment + 12] = (250, 40, 40)
        video.write(folder / f"{number}.mp4", frames, 8.0)
        (folder / f"{number}.txt").write_text("a red ball moves to the right")


def fresh(command: Command, source: Path, target: Path) -> Path:
    """Return a new folder in which the command can start."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in ("clips", "latents", "many", "model"):
        (target / name).symlink_to(source / name)
    (target / "made").mkdir()
    for name in command.needs:
        shutil.copytree(source / name.replace("run", "model"), target / name)
    return target


def whole_content(command: Command, work: Path) -> dict[str, str]:
    """Run a command to its end in a new folder below `work`, and return what it wrote."""
    folder = fresh(command, work / "start", work / "whole")
    if end_of(start(command.words, folder)) != 0:
        raise SystemExit(f"{command.name} failed: {(folder / 'stderr').read_text()}")
    return command.content(folder / command.folder)


def litter(folder: Path) -> list[Path]:
    """Return the partial files and the locks below a folder."""
    return [path for path in folder.rglob("*") if is_partial(path.name) or path.name.endswith(".lock")]


# Commands in processes of their own


def serve_jobs(folder: Path, model: str) -> None:
    """Start a service, order three videos under keys of their own, and end it when all are made.

    An order that the disk refused is repeated with its key, as a client does.
    """
    with Service(folder, model) as service:
        for seed in range(3):
            order = Order(((0.0, "a red ball"),), size=(32, 32), num_frames=4, steps=2, seed=seed, expand=False)
            for attempt in range(3):
                try:
                    service.create(OWNER, order, {}, key=f"{seed}")
                    break
                except StoreProblem:
                    if attempt == 2:
                        raise
        while any(service.store.counts()[state] for state in ("queued", "in_progress")):
            time.sleep(0.02)


def start(words: Sequence[str], folder: Path, stopped: bool = False) -> multiprocessing.process.BaseProcess:
    """Run a command line in a forked process, which has all modules loaded; `stopped`, it waits for SIGCONT first."""
    process = multiprocessing.get_context("fork").Process(target=_run, args=(tuple(words), folder, stopped))
    process.start()
    return process


def _run(words: tuple[str, ...], folder: Path, stopped: bool) -> None:
    if stopped:
        os.kill(os.getpid(), signal.SIGSTOP)
    os.chdir(folder)
    with Path(os.devnull).open("w") as nowhere, (folder / "stderr").open("a") as errors:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(errors.fileno(), 2)
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", closefd=False) for number in (1, 2)
    )  # not those that a test captures
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if words[0] == SERVE:
            serve_jobs(Path(words[1]), words[2])
            os._exit(0)
        chronotope.main(list(words))
    except ChronotopeError as problem:
        print(f"chronotope: {problem}", file=sys.stderr, flush=True)
        os._exit(problem.exit_code)
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


def end_of(process: multiprocessing.process.BaseProcess, seconds: float | None = None) -> int | None:
    """Wait for a process; kill it after `seconds` and return None, else return its exit status."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return process.exitcode
