"""`chronotope bench`: what this program takes on this machine, beside what others take."""

from __future__ import annotations

import json
from typing import Any

import click

from chronotope.cli.terminal import JSON, Command, echo, option, say

__all__ = ["bench"]

# as `bench.ROWS`; the last one is measured where it is named, or with --compiled
ROWS = (
    *("training", "optimiser", "memory", "sampling", "matched", "student", "autoencoder", "startup", "ranks", "gpu"),
    "compiled",
)


class Rows(click.ParamType):
    """Names of tables, by commas."""

    name = "rows"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names in the order in which they were given."""
        names = value if isinstance(value, tuple) else tuple(value.split(","))
        if unknown := [name for name in names if name not in ROWS]:
            self.fail(f"no table is named {unknown[0]!r}; choose from {', '.join(ROWS)}, by commas", param, ctx)
        if twice := [name for name in ROWS if names.count(name) > 1]:
            self.fail(f"it names the table {twice[0]!r} twice; name it once", param, ctx)
        return names


@click.command(
    cls=Command,
    examples="""
    chronotope bench
    chronotope bench --against diffusers
    chronotope bench --against diffusers --rows training,memory --json
    chronotope bench --against diffusers --rows autoencoder --full --rounds 9
    chronotope bench --rows student --model runs/mine --full
    """,
)
@option("--against", type=click.Choice(["diffusers"]), help="Measure the models of this library in turns with ours.")
@option(
    "--rows", type=Rows(), default=",".join(ROWS[:-1]), show_default=True, metavar="NAMES", help="Tables, by commas."
)
@option("--rounds", type=click.IntRange(1, 99), default=5, show_default=True, help="Measurements, of which medians.")
@option("--compiled", is_flag=True, help="Also measure compiled training steps; needs a C++ compiler, and minutes.")
@option("--full", is_flag=True, help="Also measure rates of success, and the autoencoder at 256 pixels; minutes more.")
@option("--model", default="small", show_default=True, metavar="NAME", help="The model whose student is measured.")
@JSON
def bench(
    against: str | None,
    rows: tuple[str, ...],
    rounds: int,
    compiled: bool,
    full: bool,
    model: str,
    as_json: bool,
) -> None:
    """Measure this program on this machine: medians, side by side in one run.

    All that is compared runs in turns, on one thread of the CPU, in processor time. "chronotope again" is the same
    call a second time: how far its ratio is from 1 is noise. Other models have random weights and our number of
    parameters. "x counted" is the same ratio of the FLOPs, or bytes, that are counted: where both agree, arithmetic
    is the limit. The table gpu needs a GPU.
    """
    from dataclasses import asdict

    asked = click.get_current_context().get_parameter_source
    if asked("model") is click.core.ParameterSource.COMMANDLINE and "student" not in rows:
        raise click.UsageError("--model is that of the table student; leave it out, or name that table in --rows")
    if full and not {"student", "matched", "autoencoder"} & set(rows):
        raise click.UsageError("--full adds to the tables matched, student and autoencoder; leave it out")
    from chronotope.bench import hardware, run_bench
    from chronotope.cli.bench.table import table_of

    found = []
    rows = (*rows, "compiled") if compiled and "compiled" not in rows else rows
    for section in run_bench(rows, against or "", rounds, full, model, lambda name: say(f"measuring {name} ...")):
        found.append(asdict(section))
        if not as_json:
            echo(table_of(section) + "\n")
    machine = hardware()
    if as_json:
        echo(json.dumps({"hardware": machine, "rounds": rounds, "against": against, "sections": found}, indent=1))
    else:
        echo(", ".join(f"{name} {value}" for name, value in machine.items() if value is not None))
