"""Write the generated pages again: docs/command-line.md holds the real `--help` of every command.

python docs/generate.py            write them
python docs/generate.py --check    exit with 1 and the difference if one is stale
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from chronotope.cli import chronotope

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- from here on written by docs/generate.py -->", "<!-- end of what docs/generate.py writes -->"
WIDTH = 100


def helps(command: click.Command, parent: click.Context | None = None, name: str = "chronotope") -> Iterator[tuple[str, str]]:
    """Every command's full name and help, in the order of the pipeline."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, **command.context_settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.commands:
            yield from helps(command.commands[child], context, child)


def command_line() -> str:
    """The generated part of docs/command-line.md."""
    parts = [f"## {path}\n\n```\n{text.rstrip()}\n```\n" for path, text in helps(chronotope)]
    return "\n".join(parts)


PAGES = {"command-line.md": command_line}


def renewed(page: Path, generated: str) -> str:
    """The page with what stands between the two marks replaced."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{page} lacks the marks between which its generated part stands:\n{BEGIN}\n{END}")
    return f"{before}{BEGIN}\n\n{generated}\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is stale")
    check = parser.parse_args(arguments).check
    stale = False
    for name, generate in PAGES.items():
        page = HERE / name
        old, new = page.read_text(encoding="utf-8"), renewed(page, generate())
        if check:
            sys.stdout.writelines(
                difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"{name} as it is", f"{name} as it should be")
            )
        elif old != new:
            page.write_text(new, encoding="utf-8")
            print(f"wrote {page}")
        stale |= old != new
    if check and stale:
        print("stale: run `make docs`")
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main())
