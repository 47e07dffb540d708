"""The success rates that the page shows are those that were measured of the model."""

from __future__ import annotations

from pathlib import Path

from chronotope.cli.check import find_problems
from chronotope.generate.stored.folders import weights_of
from chronotope.sealed import seal
from chronotope.serve.studio.model import rates_of
from chronotope.storage import read_json, write_json
from tests.cli.models import save_run
from tests.serve.test_studio import SMALL


def test_rates_of_other_weights_or_edited_ones_are_none(tmp_path: Path) -> None:
    model = save_run(tmp_path / "model")
    kept = read_json(SMALL / "rates.json")
    own = seal(kept | {"about": {**kept["about"], "weights": weights_of(model)}})
    for found, is_shown in ((own, True), (own | {"success": {"share": 1.0}}, False), (kept, False)):
        write_json(model / "rates.json", found)
        rates_of.cache_clear()
        assert bool(rates_of(model)) == is_shown
        assert any("rates.json" in str(one) for one in find_problems(model)[1] if one.serious) != is_shown
