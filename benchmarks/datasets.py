"""Start every command that writes twice at once, and damage rendered datasets and latents.

    python -m benchmarks.datasets --pairs 20 --damages 500

Of two at once one must win, and the other be refused or find the work done. A damaged file must be detected when it is
read, or change nothing that is read. `benchmarks.crashes` damages checkpoints and weights.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.jobs import (
    COMMANDS,
    Command,
    end_of,
    fresh,
    litter,
    prepare,
    read_encoded,
    read_rendered,
    start,
    whole_content,
)
from chronotope.data.audit import audit_dataset
from chronotope.errors import ChronotopeError
from chronotope.storage import read_json, write_json

__all__ = ["damage_at_random", "main", "read_checked", "start_two"]


def start_two(command: Command, count: int, work: Path) -> Counter[str]:
    """Start a command twice at once, `count` times; return how the second ended, and what was wrong."""
    expected = whole_content(command, work)
    found = Counter[str]({"pairs": 0, "one refused": 0, "both done": 0, "other ends": 0, "different": 0, "litter": 0})
    for _ in range(count):
        folder = fresh(command, work / "start", work / "two")
        both = [start(command.words, folder) for _ in range(2)]
        ends = sorted(str(end_of(process)) for process in both)
        refused = ends == ["0", "2"] and "is being written by process" in (folder / "stderr").read_text()
        found["pairs"] += 1
        found["one refused" if refused else "both done" if ends == ["0", "0"] else "other ends"] += 1
        found["different"] += command.content(folder / command.folder) != expected
        found["litter"] += len(litter(folder))
    return found


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


def damage_folders(count: int, rng: np.random.Generator, work: Path) -> dict[str, Counter[str]]:
    """Damage `count` times what `world` and `encode` wrote; return the counts of each."""
    found = {}
    for name, title, read in (("world", "a dataset", read_checked), ("encode", "latents", read_encoded)):
        command = next(command for command in COMMANDS if command.name == name)
        whole_content(command, work)
        found[f"damage {title}"] = damage_at_random(work / "whole" / command.folder, read, count, rng)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the pairs and the damages, and print and write a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--damages", type=int, default=500, help="of each folder")
    parser.add_argument("--pairs", type=int, default=10, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=(), help="commands that are started twice; the other rows stay")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        prepare(work / "start")
        chosen = [command for command in COMMANDS if not options.only or command.name in options.only]
        table = {f"two {command.name}": start_two(command, options.pairs, work) for command in chosen}
        if not options.only:
            table |= damage_folders(options.damages, np.random.default_rng(options.seed), work)
    for title, counts in table.items():
        print(f"{title}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    kept = read_json(options.out) if options.only else {}
    write_json(options.out, kept | {title: dict(counts) for title, counts in table.items()})


if __name__ == "__main__":
    main()
