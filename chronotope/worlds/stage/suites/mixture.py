"""The mixture suites `smoke`, `standard` and `full`: one and two actions, new combinations and all interactions."""

from __future__ import annotations

from collections.abc import Iterator

from chronotope.worlds.case import SuiteItem, form_of
from chronotope.worlds.splits import Split
from chronotope.worlds.stage.checks.tracking import ACTIONS
from chronotope.worlds.stage.scope import SCOPES, single_event_scope
from chronotope.worlds.stage.suites.specs import specs_of, worded

__all__ = ["MIXTURES", "mixture_suite"]

MIXTURES = {"smoke": (24, 1), "standard": (1200, 4), "full": (4800, 4)}  # specs, and runs of each
ACTION_PERIOD = 5  # one case in five is of the scope `deeds`
TWO_ACTIONS_SHARE = 0.25  # of the other cases
COMBINATION_SHARE = 0.2  # of the other cases
FIRST_SEED = 1_000_000


def mixture_suite(name: str) -> Iterator[SuiteItem]:
    """Yield the specs of a mixture suite in their order; kinds of cases are spread evenly over the suite."""
    count, runs = MIXTURES[name]
    for index in range(count):
        form, turn = form_of(index), index // ACTION_PERIOD
        split: Split = "heldout"
        if index % ACTION_PERIOD == turn % ACTION_PERIOD:
            # Some actions have no pair of attributes that training excludes, so these cases are held out by hash.
            action = ACTIONS[turn % len(ACTIONS)]
            specs = specs_of(FIRST_SEED + index, single_event_scope(action), split, action)
        else:
            scope = SCOPES["acts" if _is_due(index, TWO_ACTIONS_SHARE) else "small"]
            split = "combination" if _is_due(index + 1, COMBINATION_SHARE) else "heldout"
            specs = specs_of(FIRST_SEED + index, scope, split)
        spec, prompt = worded(specs, form)
        yield SuiteItem(index, spec, prompt, form, runs=runs)


def _is_due(index: int, share: float) -> bool:
    """Tell for a share of the indices, evenly spread, that they are due."""
    return int((index + 1) * share) > int(index * share)
