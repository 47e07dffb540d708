"""What the first model can and cannot do: python -m benchmarks.first_light [--model DIR] [--only words,speed] [--specs 200]

Each section measures one claim, writes what it found into first_light.json beside this file, and leaves the other sections as they
were; first_light.md is the table made from it. Nothing is picked: first seeds only, and every failure counts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
SECTIONS = ("words", "autoencoder", "speed", "memory", "packing", "sampling")


@dataclass(frozen=True)
class Options:
    """What every section may want to know."""

    model: str  # a run folder or the name of a model inside the package
    scope: str
    specs: int
    combination: int
    clips: int
    rounds: int
    keep: Path | None


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    claim: str
    measured: str
    aim: str = ""


def say(text: str) -> None:
    """Progress goes to stderr."""
    print(text, file=sys.stderr, flush=True)


def hardware() -> dict[str, Any]:
    """Where the numbers come from."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")), cpu)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    memory = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    return {"cpu": cpu, "cores": os.cpu_count(), "gigabytes": memory, "gpu": gpu, **versions}


def write(path: Path, text: str) -> None:
    """Write beside, then rename."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text)
    beside.replace(path)


def table(data: dict[str, Any]) -> str:
    """The page made from the JSON."""
    lines = [
        "# First light: what was measured",
        "",
        "Made by `python -m benchmarks.first_light` from `first_light.json`, which also holds every failure. How things are judged: "
        "[docs/evaluation.md](../docs/evaluation.md). Intervals are Wilson, 95 %.",
        "",
    ]
    for name in SECTIONS:
        section = data.get(name)
        if section is None:
            continue
        module = importlib.import_module(f"benchmarks.{name}")
        where = section["hardware"]
        lines += [f"## {module.TITLE}", "", "| claim | measured | aim |", "|---|---|---|"]
        lines += [f"| {row.claim} | {row.measured} | {row.aim} |" for row in module.rows(section)]
        setting = "; ".join(f"{key} {value}" for key, value in section["settings"].items())
        machine = f"{where['cores']} cores of {where['cpu']}" + (f", {where['gpu']}" if where["gpu"] else "")
        lines += ["", f"{setting}. {machine}, torch {where['torch']}, {section['threads']} thread(s), {section['seconds']:.0f} s.", ""]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the sections asked for and write both files after each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_light", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="small", help="run folder, or the name of a model inside the package")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections, by commas: {','.join(SECTIONS)}")
    parser.add_argument("--scope", default="small", help="scope of the stage that the model was trained on")
    parser.add_argument("--specs", type=int, default=200, help="held-out specs for words")
    parser.add_argument("--combination", type=int, default=0, help="specs of the combination split for words")
    parser.add_argument("--clips", type=int, default=60, help="stage clips for the autoencoder")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds of timed sections")
    parser.add_argument("--keep", type=Path, help="folder to keep the generated videos in")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of first_light.json and first_light.md")
    chosen = parser.parse_args(arguments)
    names = chosen.only.split(",")
    if unknown := set(names) - set(SECTIONS):
        parser.error(f"unknown section {', '.join(sorted(unknown))}; choose from {', '.join(SECTIONS)}")
    options = Options(chosen.model, chosen.scope, chosen.specs, chosen.combination, chosen.clips, chosen.rounds, chosen.keep)
    chosen.out.mkdir(parents=True, exist_ok=True)
    results = chosen.out / "first_light.json"
    for name in names:
        module = importlib.import_module(f"benchmarks.{name}")
        threads = min(module.THREADS, os.cpu_count() or 1)
        torch.set_num_threads(threads)
        say(f"{name} ...")
        began = time.perf_counter()
        found = module.measure(options)
        section = {**found, "hardware": hardware(), "threads": threads, "seconds": round(time.perf_counter() - began, 1)}
        # another run may have written meanwhile: read late, change one section, write at once
        data = json.loads(results.read_text()) if results.exists() else {}
        data[name] = section
        write(results, json.dumps({key: data[key] for key in SECTIONS if key in data}, indent=1) + "\n")
        write(chosen.out / "first_light.md", table(data))
        say(f"{name}: {section['seconds']:.0f} s")
    print(table(json.loads(results.read_text())))


if __name__ == "__main__":
    main()
