"""Attribution of failures to layers, on reports for which it is known."""

from __future__ import annotations

from typing import Any

import pytest

from chronotope.cli.analysis import attribution_text
from chronotope.errors import FileProblem
from chronotope.evaluate.attribution import (
    attribution,
    changed_settings,
    check_comparable,
    compare_setting,
    named,
)
from chronotope.evaluate.judge import Judged
from chronotope.evaluate.report import make_report
from chronotope.evaluate.suite import make_suite
from chronotope.worlds.check import Check
from tests.evaluate.test_report import validator

CASES = make_suite("smoke")[:5]


def report(layer: str, *codes: str | None, **about: Any) -> dict[str, Any]:
    """A report in which each case has this one failure, or none."""
    verdicts = [
        Judged(case, (Check("is sharp"), Check("is right", "", code, 0 if code else None)))
        for case, code in zip(CASES, codes, strict=True)
    ]
    return make_report(
        verdicts, {"program": "chronotope", "model": "m", "suite": "s", "videos": 5, "layer": layer, **about}
    )


MODEL = report("model", "OBJ-DIS", "OBJ-DIS", "VIS-BLR", "OBJ-DIS", None)
BACK = report("autoencoder", None, "OBJ-DIS", "VIS-BLR", "OBJ-DIS", "VIS-BLR")
TRUTH = report("truth", None, None, None, "OBJ-DIS", None)


def test_each_failure_is_laid_to_the_layer_that_brought_it() -> None:
    found = attribution(MODEL, BACK, TRUTH)
    assert found["classes"] == {
        "OBJ-DIS": {"videos": 3, "checks": 1, "decoder": 1, "transformer": 1},
        "VIS-BLR": {"videos": 1, "checks": 0, "decoder": 1, "transformer": 0},
    }
    assert (
        found["decoder_artefacts"]["right"] == 3
    )  # the second, the third and the last: absent in truth, there after the decoder
    assert found["failed"] == {"model": 3, "autoencoder": 2, "truth": 1}  # blur alone blocks nothing
    assert "OBJ-DIS" in attribution_text(found) and "DEC-ART" in attribution_text(found)


def test_a_switch_is_compared_on_the_cases_it_has() -> None:
    other = report("model", None, "OBJ-DIS", None, None, "MOT-STA", steps=60)
    found = compare_setting(changed_settings(MODEL, other), MODEL, other)
    assert found["name"] == "steps 60" and (found["only_first"], found["only_second"]) == (1, 2)
    assert found["classes"]["OBJ-DIS"] == {"model": 3, "both": 1, "switched": 1}
    assert found["classes"]["MOT-STA"] == {"model": 0, "both": 0, "switched": 1}
    part = compare_setting("part", MODEL, {**other, "cases": other["cases"][:2]})
    assert part["success"]["of"] == 2 and part["classes"]["OBJ-DIS"] == {"model": 2, "both": 1, "switched": 1}
    validator().validate({**MODEL, "layers": attribution(MODEL, BACK, TRUTH, {"steps 60": other})})
    with pytest.raises(FileProblem, match="other cases"):
        attribution(MODEL, {**BACK, "cases": BACK["cases"][1:]}, TRUTH)


def test_what_differs_is_named_on_either_side_and_names_are_unique() -> None:
    slow, plain = (report("model", *[None] * 5, **about) for about in ({"steps": 60, "folder": "elsewhere"}, {}))
    assert changed_settings(MODEL, slow) == "steps 60" and changed_settings(slow, plain) == "steps by default, not 60"
    assert changed_settings(plain, MODEL) == "the same again"
    again = named(MODEL, [slow, plain, slow, slow])
    assert (
        list(again) == ["steps 60", "the same again", "steps 60 (2)", "steps 60 (3)"] and again["steps 60 (3)"] is slow
    )
    assert len(attribution(MODEL, BACK, TRUTH, again)["switched"]) == 4


def test_reports_of_other_weights_layers_or_cases_are_refused() -> None:
    def of(layer: str, weights: str) -> dict[str, Any]:
        return report(layer, *[None] * 5, weights=weights)

    model, back, true = (
        of("model", "autoencoder a, dit b"),
        of("autoencoder", "autoencoder a, dit other"),
        of("truth", "none of it"),
    )
    check_comparable(model, back, true, [of("model", "autoencoder a, dit b")])
    for reports, others, says in (
        ((model, of("autoencoder", "autoencoder c, dit b"), true), [], "expected the same"),
        ((model, back, true), [of("model", "autoencoder a, dit c")], "expected the same"),
        ((true, back, true), [], "expected model"),
        ((model, back, true), [back], "expected model"),
        ((model, true, back), [], "expected autoencoder"),
    ):
        with pytest.raises(FileProblem, match=says):
            check_comparable(*reports, others)
    other = {**BACK, "cases": [{**row, "seed": row["seed"] + 1} for row in BACK["cases"]]}
    with pytest.raises(FileProblem, match="another seed"):
        attribution(MODEL, other, TRUTH)
