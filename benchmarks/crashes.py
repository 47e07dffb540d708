"""Kill training and generation at random moments and damage checkpoints; write what was lost to crashes.json.

python -m benchmarks.crashes --kills 200 --damages 1000

Every command is started again after each kill until it ends; the result must equal that of an undisturbed run, and
nothing half-written may be left.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chronotope import checkpoint
from chronotope.cli.commands import chronotope
from chronotope.errors import FileProblem
from chronotope.media import video
from chronotope.storage import is_partial, read_jsonl, write_json

__all__ = ["damage_checkpoints", "kill_commands", "main"]

# Loaded before processes are forked, so that kills strike the work and not the imports.
MODULES = (
    "chronotope.cli.train",
    "chronotope.cli.use",
    "chronotope.cli.inputs",
    "chronotope.data.encode",
    "rich.progress",
)
MAX_KILLS = 6  # of one folder; then the command may end
STEPS = ("train.steps=8", "train.save_every=2", "train.check_every=8", "train.log_every=3", "train.warmup=2")
AUTOENCODER = (
    *("model.widths=[16,32]", "model.encoder_blocks=[1,1]", "model.decoder_blocks=[1,1]", "pool.megabytes=5"),
    *("pool.shapes=[[4,32,32],[1,32,32]]", "pool.batch_pixels=8192", "train.freeze_encoder_from=4", *STEPS),
)
DIT = (
    *("model.width=64", "model.depth=1", "model.text_depth=1", "model.vocabulary_size=120", "train.batch_tokens=60"),
    *("defaults.height=32", "defaults.width=32", "defaults.num_frames=4", "defaults.num_steps=2", *STEPS),
)
TIMED = ("seconds", "clips/s", "tokens/s")  # what the clock determines


@dataclass(frozen=True)
class Command:
    """A command line, the folder that it fills, and what must be in that folder before."""

    name: str
    words: tuple[str, ...]
    folder: str
    needs: tuple[str, ...] = ()


COMMANDS = (
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
        ("generate", "a red ball", "--model", "model", "--seconds", "1", "--steps", "4", "-o", "made/ball.mp4"),
        "made",
    ),
)


# Commands in processes of their own


def start(words: Sequence[str], folder: Path) -> multiprocessing.process.BaseProcess:
    """Run a command line in a forked process, which has all modules loaded."""
    process = multiprocessing.get_context("fork").Process(target=_run, args=(tuple(words), folder))
    process.start()
    return process


def _run(words: tuple[str, ...], folder: Path) -> None:
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
        chronotope.main(list(words))
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


def prepare(folder: Path) -> None:
    """Write the clips, and train the model that the commands start from."""
    for name in MODULES:
        importlib.import_module(name)
    clips = folder / "clips"
    clips.mkdir(parents=True)
    for number in range(4):
        frames = np.full((9, 32, 32, 3), 40 * number, np.uint8)
        for moment, frame in enumerate(frames):
            frame[8:20, 2 * moment : 2 * moment + 12] = (250, 40, 40)
        video.write(clips / f"{number}.mp4", frames, 8.0)
        (clips / f"{number}.txt").write_text("a red ball moves to the right")
    (folder / "made").mkdir()
    encode = ("encode", "clips", "--model", "run", "--out", "latents")
    for words in (COMMANDS[0].words, encode, COMMANDS[1].words):
        if end_of(start(words, folder)) != 0:
            raise SystemExit(f"{' '.join(words)}: {(folder / 'stderr').read_text()}")
    shutil.move(folder / "run", folder / "model")


# Kills


def kill_commands(kills: int, seed: int, work: Path, commands: Sequence[Command] = COMMANDS) -> list[dict[str, Any]]:
    """Kill every command `kills` times at random moments, in the folder `work`; return one row a command."""
    if not (work / "start").exists():
        prepare(work / "start")
    return [_kill_command(command, kills, random.Random(f"{seed} {command.name}"), work) for command in commands]


def _kill_command(command: Command, kills: int, rng: random.Random, work: Path) -> dict[str, Any]:
    folder = _fresh(command, work / "start", work / "whole")
    begun = time.perf_counter()
    status = end_of(start(command.words, folder))
    seconds = time.perf_counter() - begun
    if status != 0:
        raise SystemExit(f"{command.name} failed: {(folder / 'stderr').read_text()}")
    expected = _content(folder / command.folder)
    row: Counter[str] = Counter(kills=0, ended=0, lost=0, doubled=0, differing=0, failed=0, litter=0)
    while row["kills"] < kills:
        folder, killed, best = _fresh(command, work / "start", work / "broken"), 0, 0
        while True:
            may_end = killed == MAX_KILLS or row["kills"] == kills
            status = end_of(start(command.words, folder), None if may_end else rng.uniform(0, 1.05 * seconds))
            step = _last_step(folder / command.folder)
            row["lost"] += step < best
            best = max(step, best)
            if status is not None:
                break
            killed += 1
            row["kills"] += 1
        row["ended"] += 1
        row["failed"] += status != 0
        row["litter"] += len(_litter(folder))
        row["doubled"] += _doubled(folder / command.folder)
        row["differing"] += _content(folder / command.folder) != expected
    return {"command": command.name, "seconds": round(seconds, 2), **row}


def _fresh(command: Command, source: Path, target: Path) -> Path:
    """Return a new folder in which the command can start."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in ("clips", "latents", "model"):
        (target / name).symlink_to(source / name)
    (target / "made").mkdir()
    for name in command.needs:
        shutil.copytree(source / name.replace("run", "model"), target / name)
    return target


def _last_step(run: Path) -> int:
    try:
        latest = checkpoint.latest_checkpoint(run)
    except FileProblem:
        return -1
    return int(latest.name) if latest else 0


def _litter(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if is_partial(path.name) or path.name.endswith(".lock")]


def _doubled(run: Path) -> int:
    """Count the rows of the log that stand there twice; a step is logged again with the PSNR."""
    log = run / "log.jsonl"
    rows = Counter((row["step"], "psnr" in row) for row in read_jsonl(log)) if log.is_file() else Counter()
    return sum(count - 1 for count in rows.values())


def _content(folder: Path) -> dict[str, str]:
    """Return a hash of every file below a folder, of JSON without what the clock determines."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_lasting_part(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _lasting_part(path: Path) -> bytes:
    if path.suffix not in (".json", ".jsonl"):
        return path.read_bytes()
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.suffix == ".jsonl" else None
    return json.dumps(_untimed(json.loads(path.read_text()) if rows is None else rows), sort_keys=True).encode()


def _untimed(value: Any) -> Any:
    if isinstance(value, list):
        return [_untimed(item) for item in value]
    if isinstance(value, dict):
        # checksums cover the times
        names = [name for name in value if name not in (*TIMED, "checksum", "files")]
        return {name: _untimed(value[name]) for name in names}
    return value


# Damage


def damage_checkpoints(count: int, seed: int, work: Path) -> dict[str, Any]:
    """Damage files of the newest checkpoint and of the model of a run, one at a time; count what came of it."""
    run, rng = work / "start" / "model" / "dit", random.Random(seed)
    newest = checkpoint.checkpoints(run)[-1].name
    names = [f"checkpoints/{newest}/{name}" for name in (*checkpoint.STATE_FILES, "state.json")]
    names += ["model.safetensors", "model.json"]
    expected, row = _read(run), Counter[str](cases=0, detected=0, harmless=0, silent=0, crashed=0)
    damages = tuple(_damages())
    for number in range(count):
        target = work / "damaged"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(run, target)
        name, damage = rng.choice(names), damages[number % len(damages)]
        damage(target / name, rng)
        row["cases"] += 1
        try:
            found = _read(target)
            row["harmless" if found == expected else "silent"] += 1
        except FileProblem:
            row["detected"] += 1
        except Exception as problem:
            print(f"{name} after {damage.__name__}: {type(problem).__name__}: {problem}", file=sys.stderr)
            row["crashed"] += 1
    return dict(row)


def _read(run: Path) -> str:
    """Load the newest checkpoint and the model as training and generation do; return a hash of what was read."""
    tensors, counters = checkpoint.load_state(checkpoint.checkpoints(run)[-1])
    description = checkpoint.verify_model(run)
    tensors |= {f"final {name}": tensor for name, tensor in checkpoint.load_tensors(run / "model.safetensors").items()}
    digest = hashlib.sha256(json.dumps([counters, description], sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def _damages() -> Iterator[Callable[[Path, random.Random], None]]:
    def flip_bit(path: Path, rng: random.Random) -> None:
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)

    def truncate(path: Path, rng: random.Random) -> None:
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])

    def zero_range(path: Path, rng: random.Random) -> None:
        data = bytearray(path.read_bytes())
        first = rng.randrange(len(data))
        length = min(rng.choice((1, 16, 512, 4096)), len(data) - first)
        data[first : first + length] = bytes(length)
        path.write_bytes(data)

    def swap(path: Path, rng: random.Random) -> None:
        others = [other for other in path.parents[1].rglob(path.name) if other != path]
        path.write_bytes(rng.choice(others).read_bytes() if others else b"")

    yield from (flip_bit, truncate, zero_range, swap)


def main(kills: int = 200, damages: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Kill every command `kills` times and damage `damages` files; write and return the counts."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rows = kill_commands(kills, seed, work)
        found = {"seed": seed, "kills": rows, "damages": damage_checkpoints(damages, seed, work)}
    write_json(Path(__file__).with_suffix(".json"), found)
    print(json.dumps(found, indent=1))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--damages", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
