"""Refuse what a command line says and would have no effect, or would count twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from chronotope.errors import UsageError

__all__ = ["refuse_beside", "refuse_twice"]


def refuse_beside(why: str, *used: str) -> None:
    """Refuse the parameters of this command line that are not `used`: they would have no effect; `why` says so."""
    ctx, given = click.get_current_context(), click.core.ParameterSource.COMMANDLINE
    others = [
        param.opts[0] if isinstance(param, click.Option) else param.make_metavar(ctx).strip("[]")
        for param in ctx.command.params
        if param.name not in used and ctx.get_parameter_source(str(param.name)) is given
    ]
    if others:
        raise click.UsageError(f"{why}; leave out {', '.join(others)}", ctx)


def refuse_twice(what: str, sources: Sequence[str | Path]) -> None:
    """Refuse a folder or file that is named twice, under whatever path: it would count twice."""
    seen: dict[str, str | Path] = {}
    for source in sources:
        place = str(Path(source).resolve()) if Path(source).exists() else str(source)
        if place in seen:
            raise UsageError(f"{what} names {seen[place]} twice, the second time as {source}; name it once")
        seen[place] = source
