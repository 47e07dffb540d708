"""Kill the commands that write at random moments and damage checkpoints; write what was lost to crashes.json.

python -m benchmarks.crashes --kills 35 --damages 1000

Every command is started again after each kill until it ends; the result must equal that of an undisturbed run, and
nothing half-written may be left.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.jobs import COMMANDS, Command, end_of, fresh, litter, prepare, start, whole_content
from chronotope import checkpoint
from chronotope.errors import FileProblem
from chronotope.jsonl import read_jsonl
from chronotope.storage import read_json, write_json

__all__ = ["damage_checkpoints", "kill_commands", "main"]


# Kills


def kill_commands(kills: int, seed: int, work: Path, commands: Sequence[Command] = COMMANDS) -> list[dict[str, Any]]:
    """Kill every command `kills` times at random moments, in the folder `work`; return one row a command."""
    if not (work / "start").exists():
        prepare(work / "start")
    return [_kill_command(command, kills, random.Random(f"{seed} {command.name}"), work) for command in commands]


def _kill_command(command: Command, kills: int, rng: random.Random, work: Path) -> dict[str, Any]:
    begun = time.perf_counter()
    expected = whole_content(command, work)
    seconds = time.perf_counter() - begun
    row: Counter[str] = Counter(kills=0, ended=0, lost=0, doubled=0, differing=0, failed=0, litter=0)
    while row["kills"] < kills:
        folder, killed, best = fresh(command, work / "start", work / "broken"), 0, 0
        while True:
            may_end = killed == command.max_kills or row["kills"] == kills
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
        row["litter"] += len(litter(folder))
        row["doubled"] += _doubled(folder / command.folder)
        row["differing"] += command.content(folder / command.folder) != expected
    return {"command": command.name, "seconds": round(seconds, 2), **row}


def _last_step(run: Path) -> int:
    try:
        latest = checkpoint.latest_checkpoint(run)
    except FileProblem:
        return -1
    return int(latest.name) if latest else 0


def _doubled(run: Path) -> int:
    """Count the rows of the log that stand there twice; a step is logged again with the PSNR."""
    log = run / "log.jsonl"
    rows = Counter((row["step"], "psnr" in row) for row in read_jsonl(log)) if log.is_file() else Counter()
    return sum(count - 1 for count in rows.values())


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


def main(
    kills: int = 35, damages: int = 1000, seed: int = 0, only: Sequence[str] = (), out: Path | None = None
) -> dict[str, Any]:
    """Kill every command `kills` times and damage `damages` files; write and return the counts.

    With `only`, the other rows of the file stay as they are.
    """
    target = out or Path(__file__).with_suffix(".json")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        chosen = [command for command in COMMANDS if not only or command.name in only]
        rows = kill_commands(kills, seed, work, chosen)
        if only:
            found = read_json(target)
            by_name = {row["command"]: row for row in (*found["kills"], *rows)}
            found["kills"] = [by_name[command.name] for command in COMMANDS if command.name in by_name]
        else:
            found = {"seed": seed, "kills": rows, "damages": damage_checkpoints(damages, seed, work)}
    write_json(target, found)
    print(json.dumps(found, indent=1))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=35, help="of each command")
    parser.add_argument("--damages", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=(), help="names of commands")
    parser.add_argument("--out", type=Path)
    main(**vars(parser.parse_args()))
