"""Kill `world` and `encode` at random moments, start two at once, and damage what they wrote.

    python -m benchmarks.datasets --kills 100 --damages 500

A killed command is started again until it completes; the folder must then hold what an uninterrupted run wrote, and no
other file. Of two at once one must win, and the other be refused or find the work done. A damaged file must be detected
when it is read, or change nothing that is read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from chronotope import checkpoint
from chronotope.config import to_dict
from chronotope.data.audit import audit_dataset
from chronotope.data.latents import LatentDataset
from chronotope.errors import ChronotopeError
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.storage import write_json

CLIPS = 12
CONFIG = AutoencoderConfig(widths=(8, 12), encoder_blocks=(1, 1), decoder_blocks=(1, 1), channels=4)


@dataclass(frozen=True)
class Job:
    """A command that fills `out`, and a function that returns all that later commands read from it."""

    name: str
    words: tuple[str, ...]
    out: Path
    content: Callable[[Path], dict[str, str]]

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command in a process of its own."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-m", "chronotope", *self.words, "--out", str(self.out)]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)

    def complete(self) -> str:
        """Run the command to its end; return what it says. Raises RuntimeError where it fails."""
        process = self.start()
        said = process.communicate()[1].decode()
        if process.returncode != 0:
            raise RuntimeError(f"{self.name} failed with {process.returncode}: {said}")
        return said


def read_rendered(out: Path) -> dict[str, str]:
    """Return the hash of each file of a rendered dataset; videos by their pixels."""
    about = json.loads((out / "dataset.json").read_text())
    listed = [name for line in (out / "manifest.jsonl").read_text().splitlines() for name in json.loads(line)["files"]]
    there = sorted(path.relative_to(out).as_posix() for path in out.glob("0*/*") if path.suffix != ".lock")
    found = {name: _hash(out / name) for name in there}
    return {
        **found,
        "listed": repr(sorted(set(listed))),
        "doubled": repr(len(listed) - len(set(listed))),
        **{name: repr(about.get(name)) for name in ("count", "complete", "split")},
    }


def _hash(path: Path) -> str:
    data = video.read(path).frames.tobytes() if path.suffix == ".mp4" else path.read_bytes()
    return hashlib.sha256(data).hexdigest()


def read_encoded(out: Path) -> dict[str, str]:
    """Return the hash of each clip of a folder of latents as training reads it, in order."""
    dataset = LatentDataset([out])
    files = {path.name for path in out.iterdir() if path.name.startswith("latents-")}
    named = {f"latents-{clip.shard:05d}.safetensors" for clip in dataset.clips}
    found = {}
    for index, clip in enumerate(dataset.clips):
        latents = dataset.latents(index)
        facts = (clip.key, clip.slices, clip.width, clip.height, clip.fps, clip.captions, tuple(latents.shape))
        found[f"{index} {clip.key}"] = hashlib.sha256(repr(facts).encode() + latents.numpy().tobytes()).hexdigest()
    return {**found, "files": repr(files == named), "worlds": repr(dataset.about[0].get("worlds"))}


def kill_at_random(job: Job, count: int, rng: np.random.Generator) -> Counter[str]:
    """Kill a command `count` times at random moments; return how often it ended differently from an unkilled run."""
    started = time.perf_counter()
    job.complete()
    seconds = time.perf_counter() - started
    expected, names = job.content(job.out), _names(job.out)
    found = Counter[str]({"kills": 0, "runs": 0, "lost or doubled": 0, "different": 0, "litter": 0, "failed": 0})
    while found["kills"] < count:
        shutil.rmtree(job.out)
        for _ in range(min(count - found["kills"], int(rng.integers(1, 5)))):
            process = job.start()
            time.sleep(float(rng.uniform(0.2, 1.1)) * seconds)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            found["kills"] += 1
        found["runs"] += 1
        try:
            job.complete()
            content = job.content(job.out)
        except (RuntimeError, ChronotopeError) as problem:
            print(problem, file=sys.stderr)
            found["failed"] += 1
            continue
        found["lost or doubled"] += content.keys() != expected.keys()
        found["different"] += content != expected
        found["litter"] += bool(_names(job.out) - names - {name for name in _names(job.out) if "latents-" in name})
    return found


def start_two(job: Job, count: int) -> Counter[str]:
    """Start a command twice at once, `count` times; return how the second ended, and what was wrong."""
    job.complete()
    expected = job.content(job.out)
    found = Counter[str]({"pairs": 0, "one refused": 0, "both done": 0, "other ends": 0, "different": 0})
    for _ in range(count):
        shutil.rmtree(job.out)
        both = [job.start(), job.start()]
        said = [process.communicate()[1].decode() for process in both]
        ends = sorted(process.returncode for process in both)
        refused = ends == [0, 2] and any("is being written by process" in text for text in said)
        found["pairs"] += 1
        found["one refused" if refused else "both done" if ends == [0, 0] else "other ends"] += 1
        found["different"] += job.content(job.out) != expected
    return found


def _names(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*")}


def damage(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return the name of a random damage and the damaged bytes: a flipped bit, a cut, or a range of zeros."""
    place = int(rng.integers(len(data)))
    kind = ("flip", "cut", "zeros")[int(rng.integers(3))]
    if kind == "flip":
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        return kind, bytes(changed)
    if kind == "cut":
        return kind, data[:place]
    length = int(rng.integers(1, 65))
    return kind, (data[:place] + bytes(length) + data[place + length :])[: len(data)]


def damage_at_random(out: Path, read: Callable[[Path], object], count: int, rng: np.random.Generator) -> Counter[str]:
    """Damage one file at a time; return how often it was detected, harmless, silently different, or a traceback."""
    expected = read(out)
    files = sorted(path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))
    found = Counter[str]({"cases": 0, "detected": 0, "harmless": 0, "silently different": 0, "tracebacks": 0})
    while found["cases"] < count:
        path = files[int(rng.integers(len(files)))]
        whole = path.read_bytes()
        kind, data = damage(whole, rng)
        if rng.random() < 0.1:  # another file of the same kind in its place
            others = [other for other in files if other.suffix == path.suffix and other != path]
            if others:
                kind, data = "swap", others[int(rng.integers(len(others)))].read_bytes()
        if data == whole:
            continue
        found["cases"] += 1
        path.unlink()  # a new inode, as a copy or a restored backup has
        path.write_bytes(data)
        try:
            found["harmless" if read(out) == expected else "silently different"] += 1
            if read(out) != expected:
                print(f"silently different: {kind} of {path}", file=sys.stderr)
        except ChronotopeError:
            found["detected"] += 1
        except Exception as problem:
            print(f"{kind} of {path}: {problem!r}", file=sys.stderr)
            found["tracebacks"] += 1
        path.unlink()
        path.write_bytes(whole)
    return found


def read_checked(out: Path) -> object:
    """Read a rendered dataset as `chronotope check` does; raise ChronotopeError where it finds something wrong."""
    wrong = [str(finding) for finding in audit_dataset(out) if finding.serious]
    if wrong:
        raise ChronotopeError(wrong[0])
    return read_rendered(out)


def jobs(folder: Path) -> tuple[Job, Job]:
    """Return the two commands on small data below `folder`."""
    torch.manual_seed(0)
    model = folder / "model" / "autoencoder"
    checkpoint.save_model(model, Autoencoder(CONFIG), {"kind": "autoencoder", "config": to_dict(CONFIG)})
    words = ("world", "stage", "--count", str(CLIPS), "--scope", "shapes", "--workers", "2")
    world = Job("world", words, folder / "clips", read_rendered)
    encode = Job("encode", ("encode", str(world.out), "--model", str(model)), folder / "latents", read_encoded)
    return world, encode


def main() -> None:
    """Run the kills and the damages, and print and write a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="of each command")
    parser.add_argument("--damages", type=int, default=500, help="of each folder")
    parser.add_argument("--pairs", type=int, default=10, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as name:
        world, encode = jobs(Path(name))
        table = {"kill world (2 workers)": kill_at_random(world, options.kills, rng)}
        table["kill encode"] = kill_at_random(encode, options.kills, rng)
        table["two world"] = start_two(world, options.pairs)
        table["two encode"] = start_two(encode, options.pairs)
        table["damage latents"] = damage_at_random(encode.out, read_encoded, options.damages, rng)
        table["damage a dataset"] = damage_at_random(world.out, read_checked, options.damages, rng)
    for title, counts in table.items():
        print(f"{title}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    if options.out:
        write_json(options.out, {title: dict(counts) for title, counts in table.items()})


if __name__ == "__main__":
    main()
