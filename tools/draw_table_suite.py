"""Draw the specs of the suite `table` again, in minutes: `python -m tools.draw_table_suite`.

A spec must be simulated before it is known to go as its story tells, so the specs of the suite were drawn once and lie
in the package.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from chronotope.config import to_dict
from chronotope.errors import UsageError
from chronotope.worlds.case import form_of
from chronotope.worlds.table.camera import angles
from chronotope.worlds.table.captions import captions
from chronotope.worlds.table.simulate import simulate
from chronotope.worlds.table.spec import TableSpec
from chronotope.worlds.table.suite import DRAWN, table_specs

SPECS, FIRST_SEED = 64, 6_000_000
FORM = {"paragraph": "sentence"}  # paragraphs of the table can be longer than a model reads


def draw_again(count: int = SPECS) -> Iterator[dict[str, object]]:
    """Yield the rows of the first `count` cases: held-out specs that can be checked, in words that say all they are
    checked by.
    """
    for index, spec in enumerate(table_specs(count, FIRST_SEED, picture_share=0.0)):
        form = FORM.get(form_of(index), form_of(index))
        yield {"form": form, "prompt": worded(spec, form), "spec": to_dict(spec)}


def worded(spec: TableSpec, form: str) -> str:
    """Return the first wording that names the table; captions never say how far a camera goes, so that is added."""
    wordings = captions(spec, simulate(spec), 12)[form]
    text = next((text for text in wordings if f"{spec.table} table" in text), None)
    if text is None:
        raise UsageError(f"no wording of twelve names the {spec.table} table")
    if spec.camera.kind != "orbit":
        return text
    return f"{text.rstrip('.')}, by {abs(float(angles(spec)[-1])):.0f} degrees"


if __name__ == "__main__":
    DRAWN.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in draw_again()))
