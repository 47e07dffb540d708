"""Settings that trade time for memory, chosen where a training step would not fit this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from chronotope.cli.costs import dit_costs, memory_here, memory_problem
from chronotope.config import names_of
from chronotope.parallel import from_first, join_ranks
from chronotope.train.config import DiTRun
from chronotope.train.same_run import settings_of_run

__all__ = ["fitted_to_memory"]

CHOSEN = ("pass_tokens", "recompute")  # of `DiTTraining`


def fitted_to_memory(run: DiTRun, out: Path | None, settings: Sequence[str]) -> tuple[DiTRun, str]:
    """Return a run whose steps fit this machine, as far as that is possible, and a sentence on what was chosen.

    What `settings` set stays. A training in `out` that goes on keeps what it began with, so that it continues to the
    bit whatever memory is free. Of several processes the first chooses, because they pass the weights equally often.
    """
    return from_first(join_ranks(), lambda: _fitted(run, out, settings))


def _fitted(run: DiTRun, out: Path | None, settings: Sequence[str]) -> tuple[DiTRun, str]:
    if names_of(settings) & {f"train.{name}" for name in CHOSEN}:
        return run, ""
    if before := settings_of_run(out / "dit") if out else None:
        known = {name: before[f"train.{name}"] for name in CHOSEN if f"train.{name}" in before}
        return replace(run, train=replace(run.train, **known)), ""
    if memory_problem(dit_costs(run)) is None:
        return run, ""
    (has, owner), needed = memory_here(), dit_costs(run)["memory"]["at the peak"]
    for candidate in _candidates(run):
        if (less := dit_costs(candidate)["memory"]["at the peak"]) <= has:
            at_once = candidate.train.pass_tokens
            parts = f", {at_once:,} visual tokens at once (train.pass_tokens)" if at_once else ""
            return candidate, (
                f"a step needs up to {needed / 1e9:,.1f} GB, and {owner} {has / 1e9:,.1f} GB; so the backward pass "
                f"computes blocks again (train.recompute){parts}: {less / 1e9:,.1f} GB, up to a third more time"
            )
    return run, ""


def _candidates(run: DiTRun) -> Iterator[DiTRun]:
    """Yield runs of less and less memory, down to one sample at once."""
    yield replace(run, train=replace(run.train, recompute=True))
    most = run.train.batch_tokens
    while (most := most // 2) >= run.train.max_sample_tokens // 2:
        yield replace(run, train=replace(run.train, recompute=True, pass_tokens=most))
