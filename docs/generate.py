"""Write the generated parts of pages again: help texts, the table of presets, the tree, the table of results.

python docs/generate.py            write them
python docs/generate.py --check    exit with 1 and the difference if one is stale
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
BEGIN, END = "<!-- begin {}, written by docs/generate.py -->", "<!-- end {} -->"
WIDTH = 100
# folders in the order of the pipeline, as the design, the package docstring and the help say it
ORDER = "media metrics models flow worlds data generate train evaluate cli".split()


def helps(
    command: click.Command, parent: click.Context | None = None, name: str = "chronotope"
) -> Iterator[tuple[str, str]]:
    """Every command's full name and help, in the order of the pipeline."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, **command.context_settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.commands:
            yield from helps(command.commands[child], context, child)


def command_line() -> str:
    """The help of every command."""
    from chronotope.cli.commands import chronotope

    return "\n".join(f"## {path}\n\n```\n{text.rstrip()}\n```\n" for path, text in helps(chronotope))


def presets() -> str:
    """One row a preset, parameters counted on modules without memory."""
    import torch

    from chronotope.models.autoencoder import Autoencoder
    from chronotope.models.dit import DiT
    from chronotope.presets import PRESETS

    lines = [
        "| preset | autoencoder | transformer | width x depth | steps | tokens a step | generates | what it takes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, preset in PRESETS.items():
        with torch.device("meta"):
            sizes = [
                sum(p.numel() for p in model.parameters())
                for model in (Autoencoder(preset.autoencoder.model), DiT(preset.dit.model))
            ]
        train, made, model = preset.dit.train, preset.dit.defaults, preset.dit.model
        counts = " | ".join(f"{size / 1e6:,.1f} M" for size in sizes)
        shape = f"{made.width}x{made.height}, {made.num_frames} frames at {made.fps:g}"
        lines.append(
            f"| `{name}` | {counts} | {model.width} x {model.depth} | {train.steps:,} | {train.batch_tokens:,} | {shape} | {preset.about} |"
        )
    return "\n".join(lines)


def first_sentence(path: Path) -> str:
    """What a module says of itself, up to its first full stop or colon, on one line."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    return re.split(r"(?<!et al)\. ", text)[0].rstrip(".")


def folded(title: str, body: str) -> str:
    """Shown when its title is clicked."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def tree() -> str:
    """The package, one phrase a file, in the order of the pipeline."""
    lines = ["```", "chronotope/", *branch(ROOT / "chronotope", 1), "```"]
    return folded("Every file in one phrase, in the order of the pipeline", "\n".join(lines))


def branch(folder: Path, depth: int) -> Iterator[str]:
    """The lines of one folder: its modules, then its packages."""
    space = "  " * depth
    for file in sorted(folder.glob("*.py")):
        if file.name not in ("__init__.py", "__main__.py"):
            yield f"{space}{file.name:<20} {first_sentence(file)}"
    packages = (child for child in folder.iterdir() if (child / "__init__.py").exists())
    for package in sorted(packages, key=lambda child: ([*ORDER, child.name].index(child.name), child.name)):
        yield f"{space}{package.name}/"
        yield from branch(package, depth + 1)


def results(name: str, shown: int | None = None) -> str:
    """The tables of a benchmark, without its headline: the first ones `shown`, the others folded."""
    found = ROOT / "benchmarks" / f"{name}.json"
    if not found.exists():
        return "Not measured yet: `make bench`."
    from benchmarks.harness import table

    page = importlib.import_module(f"benchmarks.{name}").PAGE
    sections = table(page, json.loads(found.read_text(encoding="utf-8"))).strip().split("\n## ")[1:]
    titled = [section.split("\n", 1) for section in sections]
    whole = [f"### {title}\n{body.rstrip()}" for title, body in titled[:shown]]
    return "\n\n".join([*whole, *(folded(title, body.strip()) for title, body in titled[len(whole) :])])


def standard() -> str:
    """What the standard suite says of the shipped model: success, by kind of case, and how it fails."""
    found = ROOT / "benchmarks" / "standard.json"
    if not found.exists():
        return (
            "Not measured yet: `chronotope evaluate small --suite standard --workers 2 --out out/standard`, "
            "then `python docs/standard.py`."
        )
    from chronotope.worlds.taxonomy import FAILURES

    reports = json.loads(found.read_text(encoding="utf-8"))
    about, summary = reports["model"]["about"], reports["model"]["summary"]
    low, high = summary["success"]["interval_over_specs"]
    runs = summary["runs"]
    rate, each = summary["success"], ", ".join(f"{share:.1%}" for share in runs["shares"])
    lines = [
        f"**{rate['share']:.1%}** [{low:.1%}, {high:.1%}] of {rate['of']:,} videos pass every check that matters "
        f"({runs['count']} runs: {each}); {summary['graded']:.1%} of all checks hold."
    ]
    for layer, words in (
        ("autoencoder", "The ceiling, true clips after the autoencoder"),
        ("truth", "What the checks lose on true clips"),
    ):
        if layer in reports:
            rate = reports[layer]["summary"]["success"]
            lines.append(
                f"{words}: {rate['share']:.1%} of {rate['of']:,} (four alike of each spec) succeed, "
                f"{reports[layer]['summary']['graded']:.2%} of checks hold."
            )
    strata = ["| kind of case | level | succeed |", "|---|---|---|"]
    for name, levels in summary["strata"].items():
        for level, rate in levels.items():
            bounds = f"[{rate['interval'][0]:.1%}, {rate['interval'][1]:.1%}]"
            strata.append(f"| {name} | {level} | {rate['share']:.1%} {bounds} of {rate['of']:,} |")
    failures = ["| failure | | videos |", "|---|---|---|"]
    for code, rate in sorted(summary["failures"].items(), key=lambda item: -item[1]["share"]):
        if rate["right"]:
            failures.append(
                f"| {code} | {FAILURES[code].name} (severity {FAILURES[code].severity}) | {rate['share']:.1%} |"
            )
    lines += ["", folded("By kind of case", "\n".join(strata)), "", folded("How they fail", "\n".join(failures))]
    return "\n".join(
        [
            *lines,
            "",
            f"Weights {about['weights']}; {about['selection']}; ledger {about['ledger'][:16]}; intervals over specs, 95 %.",
        ]
    )


ABOUT = {
    "lengths": ("Lengths", "the clip lasts"),
    "sizes": ("Sizes", "the frame"),
    "prompts": ("What prompts ask for", "asked for"),
    "tasks": ("Tasks of the canvas", "task"),
    "table": ("The table", "physics"),
}


def share(rate: dict[str, Any], words: bool = True) -> str:
    """'78.2 % [70.1, 85.0] of 120', or the share alone with its count."""
    low, high = (f"{100 * bound:.0f}" for bound in rate["interval"])
    right = 100 * rate["right"] / rate["of"]
    return f"{right:.0f} % [{low}, {high}] of {rate['of']}" if words else f"{right:.0f} % of {rate['of']}"


def suites() -> str:
    """What the suites by length, size, prompt and task say of the shipped model, beside the truth."""
    found = ROOT / "benchmarks" / "suites.json"
    if not found.exists():
        return "Not measured yet: see docs/suites.py."
    data = json.loads(found.read_text(encoding="utf-8"))
    lines: list[str] = []
    for name, (title, level) in ABOUT.items():
        layers = data.get(name, {})
        if not layers:
            continue
        lines += [f"### {title}", ""]
        for layer, words in (("model", "The model"), ("truth", "The truth")):
            if layer in layers:
                kept = layers[layer]
                checks, about = kept["checks"], kept["about"]
                held = f"{checks['right']:,} of {checks['of']:,} checks hold ({checks['right'] / checks['of']:.2%})"
                lines.append(f"{words}, {about['suite']}: {share(kept['all'])} succeed; {held}.")
        lines += ["", *suite_table(layers, level), ""]
    return "\n".join(lines).rstrip()


FEW_SCENES = 10  # fewer are a direction, whatever the number of clips


def suite_table(layers: dict[str, Any], level: str) -> list[str]:
    """A row a level: the model with its most common failures, the truth; then the model by a second stratum."""
    model, truth = (layers.get(layer, {}) for layer in ("model", "truth"))
    names = list(dict.fromkeys([*truth.get("levels", {}), *model.get("levels", {})]))
    lines = [f"| {level} | the model succeeds | most common failures | the truth |", "|---|---|---|---|"]
    for name in names:
        one, other = model.get("levels", {}).get(name), truth.get("levels", {}).get(name)
        failures = ", ".join(f"{code} {count}" for code, count in one["failures"].items()) if one else ""
        lines.append(
            f"| {name} | {share(one) if one else '-'} | {failures} | {share(other, words=False) if other else '-'} |"
        )
    if "table" in model:
        columns = list(model["beside"])
        lines += ["", f"| {level} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for name, row in model["table"].items():
            lines.append(f"| {name} | {' | '.join(share(row[c], words=False) if c in row else '-' for c in columns)} |")
        lines.append(f"| all | {' | '.join(share(model['beside'][c]) for c in columns)} |")
    if "lasting" in model:
        lines += [
            "",
            "| nothing vanished, appeared, doubled, changed, jumped or shook until | share of clips (Kaplan-Meier) | still watched |",
        ]
        lines += ["|---|---|---|"]
        for second, (alive, low, high, at_risk) in model["lasting"].items():
            lines.append(f"| {second} s | {100 * alive:.0f} % [{100 * low:.0f}, {100 * high:.0f}] | {at_risk:.0f} |")
        scenes = max(rate["of"] for rate in model["levels"].values())  # each is there once a level
        if scenes < FEW_SCENES:
            lines += [
                "",
                f"These clips are of {scenes} scenes only, and the intervals take each clip for itself: a direction, no more.",
            ]
    return lines


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {
        "presets": presets,
        "results": partial(results, "first_light", shown=2),
        "standard": standard,
        "tree": tree,
    },
    "chronotope/weights/small/README.md": {"standard": standard},
    "docs/command-line.md": {"commands": command_line},
    "docs/evaluation/results.md": {"suites": suites},
    "docs/generate.md": {"canvas": partial(results, "canvas")},
}


def renewed(page: Path, parts: dict[str, Callable[[], str]]) -> str:
    """The page with what stands between each pair of marks replaced."""
    text = page.read_text(encoding="utf-8")
    for name, generate in parts.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            sys.exit(f"{page} lacks the marks between which its generated part stands:\n{begin}\n{end}")
        text = f"{before}{begin}\n\n{generate()}\n\n{end}{after}"
    return text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is stale")
    check = parser.parse_args(arguments).check
    stale = False
    for name, parts in PAGES.items():
        page = ROOT / name
        old, new = page.read_text(encoding="utf-8"), renewed(page, parts)
        if check:
            difference = difflib.unified_diff(
                old.splitlines(True), new.splitlines(True), f"{name} as it is", f"{name} as it should be"
            )
            sys.stdout.writelines(difference)
        elif old != new:
            page.write_text(new, encoding="utf-8")
            print(f"wrote {page}")
        stale |= old != new
    if check and stale:
        print("stale: run `make docs`")
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main())
