"""Draw the specs of the suite `crafter` again, in minutes: `python -m tools.draw_crafter_suite`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from chronotope.config import to_dict
from chronotope.worlds.crafter.captions import prompt
from chronotope.worlds.crafter.suite import DRAWN, crafter_specs

PAIRS = 30  # of a clip from a held-out map and one with a new combination


def draw_again(count: int = PAIRS) -> Iterator[dict[str, object]]:
    """Yield the rows of the cases, held-out maps and new combinations in turn."""
    for pair in zip(crafter_specs(count, "heldout"), crafter_specs(count, "combination"), strict=True):
        for spec in pair:
            yield {"prompt": prompt(spec), "spec": to_dict(spec)}


if __name__ == "__main__":
    DRAWN.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in draw_again()))
