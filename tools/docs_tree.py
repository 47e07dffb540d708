"""The tree of the package, one phrase a file, and the three walks through it, a box a file."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WALKS = ROOT / "benchmarks" / "walks.json"
# Folders in the order of the pipeline, as the design, the package docstring and `chronotope --help` have it.
ORDER = "media metrics models flow worlds data generate train evaluate cli".split()
ABBREVIATIONS = ("et al", "e.g", "i.e", "vs", "cf", "Sec", "Eq")  # a full stop after these ends no sentence
COLUMN, WIDTH = 24, 116


def first_sentence(path: Path) -> str:
    """Return the first sentence of a module's docstring, on one line, without its full stop."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    spared = "".join(f"(?<!{re.escape(word)})" for word in ABBREVIATIONS)
    return re.split(rf"{spared}\.(?: |$)", text)[0]


def tree() -> str:
    """Return the package as a tree in the order of the pipeline: one phrase a file."""
    return "\n".join(["```text", "chronotope/", *branch(ROOT / "chronotope", 1), "```"])


def branch(folder: Path, depth: int) -> Iterator[str]:
    """Yield the lines of one folder: its modules, then its packages."""
    space = "  " * depth
    for file in sorted(folder.glob("*.py")):
        if file.name not in ("__init__.py", "__main__.py"):
            head = f"{space}{file.name}".ljust(COLUMN) + " "
            yield textwrap.fill(first_sentence(file), WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
    for file in sorted(folder.glob("*.jinja")):
        words = re.search(r"\{#-?\s*(.*?)\s*-?#\}", file.read_text(encoding="utf-8"), re.DOTALL)
        head = f"{space}{file.name}".ljust(COLUMN) + " "
        phrase = " ".join(words[1].split()).split(". ")[0].rstrip(".") if words else "?"
        yield textwrap.fill(phrase, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
    packages = (child for child in folder.iterdir() if (child / "__init__.py").exists())
    for package in sorted(packages, key=lambda child: ([*ORDER, child.name].index(child.name), child.name)):
        yield f"{space}{package.name}/"
        yield from branch(package, depth + 1)


def walks() -> str:
    """Return the three walks as columns of boxes, a box a file, with the functions that the value enters."""
    if not WALKS.exists():
        return "Not measured yet: `python tools/walks.py --json benchmarks/walks.json`."
    parts = []
    for name, walk in json.loads(WALKS.read_text(encoding="utf-8")).items():
        parts += [f"### {name[0].upper()}{name[1:]}", "", total(walk), "", "```text", *boxes(walk["hops"]), "```", ""]
    return "\n".join(parts).rstrip()


def total(walk: dict[str, list[list[str]]]) -> str:
    """Return the count of a walk in one sentence."""
    hops = walk["hops"]
    calls = sum(kind == "call" for kind, *_ in hops)
    between = sum(start.split(":")[0] != end.split(":")[0] for _, start, end in hops)
    return (
        f"{len(hops)} hops ({calls} calls, {len(hops) - calls} returns; {between} from file to file) "
        f"through {len(walk['files'])} files."
    )


def boxes(hops: list[list[str]]) -> Iterator[str]:
    """Yield a column of boxes in the order in which the value first enters each file."""
    functions: dict[str, list[str]] = {}
    callers: dict[str, str] = {}
    for kind, start, end in hops:
        for place in (start, end):
            file, function = place.split(":")
            if function not in functions.setdefault(file, []):
                functions[file].append(function)
        first, last = start.split(":")[0], end.split(":")[0]
        if kind == "call" and first != last:
            callers.setdefault(last, first)
    inner = 74
    for number, (file, names) in enumerate(functions.items()):
        if number:
            yield f"    |  from {callers[file]}" if file in callers else "    |"
            yield "    v"
        yield f"+-- {file} " + "-" * (inner - len(file) - 5) + "+"
        for line in textwrap.wrap(", ".join(names), inner - 2, break_long_words=False):
            yield f"| {line.ljust(inner - 2)} |"
        yield "+" + "-" * inner + "+"
