"""Write the generated parts of the documentation again: help texts, presets, tables of results, the tree, the walks,
and the disclosure of the shipped model.

python tools/generate_docs.py            write them
python tools/generate_docs.py --check    exit with 1 and the difference if one is stale
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from docs_disclosure import FOLDER, disclosure  # noqa: E402
from docs_tables import bias, captions, doubts, headline, places, presets, results, standard, suites, worlds  # noqa: E402
from docs_tree import tree, walks  # noqa: E402

BEGIN, END = "<!-- begin {}, written by tools/generate_docs.py -->", "<!-- end {} -->"
WIDTH = 100


def helps(
    command: click.Command, parent: click.Context | None = None, name: str = "chronotope"
) -> Iterator[tuple[str, str]]:
    """Yield the full name and the help of every command, in the order of the pipeline."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, **command.context_settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.commands:
            yield from helps(command.commands[child], context, child)


def command_line() -> str:
    """Return the help of every command."""
    from chronotope.cli.commands import chronotope

    return "\n".join(f"## {path}\n\n```\n{text.rstrip()}\n```\n" for path, text in helps(chronotope))


def protocol() -> str:
    """Return the page that every sealed kit holds, without its title."""
    from chronotope.evaluate.sealed.kit import README

    return README.read_text(encoding="utf-8").partition("\n")[2].strip()


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"results": headline},
    "chronotope/weights/small/README.md": {"standard": standard},
    "docs/architecture.md": {"tree": tree, "walks": walks},
    "docs/command-line.md": {"commands": command_line},
    "docs/results.md": {
        "headline": headline,
        "standard": standard,
        "results": partial(results, "first_light", shown=2),
        "canvas": partial(results, "canvas"),
    },
    "docs/train.md": {"presets": presets},
    "docs/play.md": {"worlds": worlds, "places": places, "doom": partial(worlds, "doom.json")},
    "docs/captions.md": {"captions": captions, "doubts": doubts, "bias": bias},
    "docs/evaluation/results.md": {"suites": suites},
    "docs/evaluation/sealed.md": {"protocol": protocol},
}


def renewed(page: Path, parts: dict[str, Callable[[], str]]) -> str:
    """Return the page with the text between each pair of marks replaced."""
    text = page.read_text(encoding="utf-8")
    for name, generate in parts.items():
        begin, end = BEGIN.format(name), END.format(name)
        mark = re.search(rf"<!-- begin {name},[^>]*-->", text)
        before, rest = (text[: mark.start()], text[mark.end() :]) if mark else (text, "")
        _, closed, after = rest.partition(end)
        if not (mark and closed):
            sys.exit(f"{page} lacks the marks of its generated part:\n{begin}\n{end}")
        text = f"{before}{begin}\n\n{generate()}\n\n{end}{after}"
    return text


def generated() -> Iterator[tuple[Path, str]]:
    """Yield every page that is generated, or has generated parts, and its text; later ones quote earlier ones."""
    for name, parts in PAGES.items():
        yield ROOT / name, renewed(ROOT / name, parts)
    for file, text in disclosure().items():
        yield FOLDER / file, text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is stale")
    check = parser.parse_args(arguments).check
    stale = False
    for page, new in generated():
        old = page.read_text(encoding="utf-8") if page.exists() else ""
        if check:
            difference = difflib.unified_diff(
                old.splitlines(True), new.splitlines(True), f"{page} as it is", f"{page} as it should be"
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
