"""Run sections that each measure one claim; write every number to a JSON file and a Markdown page.

Running one section keeps the results of the others. Seeds are the first ones, without selection, and every failure
counts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from chronotope.bench.measure import hardware, peak_megabytes
from chronotope.generate.stored.folders import find_model, weights_of
from chronotope.storage import write_atomically, write_json

__all__ = ["Options", "Page", "Row", "hardware", "in_own_process", "peak_megabytes", "run", "say", "table"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """One page: the name of its files, the package of its sections, and its introduction."""

    name: str
    package: str
    sections: tuple[str, ...]
    title: str
    about: str
    specs: int  # default number of held-out specs


@dataclass(frozen=True)
class Options:
    """The command-line options, which every section receives."""

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
    """Print progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def in_own_process(module: str, *words: object) -> dict[str, Any]:
    """Run `python -m module words...` in a new process and parse its stdout as JSON; its stderr is shown."""
    answer = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True, cwd=HERE.parent
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def table(page: Page, data: dict[str, Any]) -> str:
    """Make the Markdown page from the content of the JSON file."""
    lines = [f"# {page.title}", "", page.about, ""]
    for name in page.sections:
        section = data.get(name)
        if section is None:
            continue
        module = importlib.import_module(f"{page.package}.{name}")
        where = section["hardware"]
        lines += [f"## {module.TITLE}", "", "| claim | measured | aim |", "|---|---|---|"]
        lines += [f"| {row.claim} | {row.measured} | {row.aim} |" for row in module.rows(section)]
        setting = "; ".join(f"{key} {value}" for key, value in section["settings"].items())
        machine = f"{where['cores']} cores of {where['cpu']}" + (f", {where['gpu']}" if where["gpu"] else "")
        lines += [
            "",
            f"{setting}. {machine}, torch {where['torch']}, "
            f"{section['threads']} thread(s), {section['seconds']:.0f} s.",
            "",
        ]
    return "\n".join(lines)


def run(page: Page, arguments: list[str] | None = None) -> None:
    """Run the requested sections and write both files after each section."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{page.name}", description=page.title)
    parser.add_argument("--model", default="small", help="run folder, or the name of a model inside the package")
    parser.add_argument(
        "--only", default=",".join(page.sections), help=f"sections, by commas: {','.join(page.sections)}"
    )
    parser.add_argument("--scope", default="small", help="scope of the stage that the model was trained on")
    parser.add_argument("--specs", type=int, default=page.specs, help="held-out specs to measure on")
    parser.add_argument("--combination", type=int, default=0, help="specs of the combination split, for words")
    parser.add_argument("--clips", type=int, default=60, help="stage clips for the autoencoder; half of it a scope")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds of timed sections")
    parser.add_argument("--threads", type=int, help="threads of each section, instead of its own number")
    parser.add_argument("--keep", type=Path, help="folder to keep the generated videos in")
    parser.add_argument("--out", type=Path, default=HERE, help=f"folder of {page.name}.json and {page.name}.md")
    chosen = parser.parse_args(arguments)
    names = chosen.only.split(",")
    if unknown := set(names) - set(page.sections):
        parser.error(f"unknown section {', '.join(sorted(unknown))}; choose from {', '.join(page.sections)}")
    options = Options(
        chosen.model, chosen.scope, chosen.specs, chosen.combination, chosen.clips, chosen.rounds, chosen.keep
    )
    chosen.out.mkdir(parents=True, exist_ok=True)
    results = chosen.out / f"{page.name}.json"
    for name in names:
        module = importlib.import_module(f"{page.package}.{name}")
        threads = min(chosen.threads or module.THREADS, os.cpu_count() or 1)
        torch.set_num_threads(threads)
        say(f"{name} ...")
        began = time.perf_counter()
        found = module.measure(options)
        if found["settings"].get("model") == options.model:
            found["settings"]["weights"] = weights_of(find_model(options.model))
        section = {
            **found,
            "hardware": hardware(),
            "threads": threads,
            "seconds": round(time.perf_counter() - began, 1),
        }
        # another run may have changed the file since: read it late, replace one section, write at once
        data = json.loads(results.read_text()) if results.exists() else {}
        data[name] = section
        write_json(results, {key: data[key] for key in page.sections if key in data})
        write_atomically(chosen.out / f"{page.name}.md", table(page, data))
        say(f"{name}: {section['seconds']:.0f} s")
    print(table(page, json.loads(results.read_text())))
