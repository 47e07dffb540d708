"""A second look at verdicts: the sample, and agreement in closed form."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from benchmarks.second_look import LABELS, OF_EACH, drawn, kappa


def labels(*pairs: tuple[bool, bool]) -> list[dict[str, Any]]:
    return [{"passes": passes, "good": good} for passes, good in pairs]


def test_kappa_is_one_where_all_agree_and_zero_where_answers_are_independent() -> None:
    assert kappa(labels((True, True), (False, False))) == 1.0
    assert kappa(labels((True, True), (True, False), (False, True), (False, False))) == 0.0
    assert kappa(labels((True, False), (False, True))) == -1.0


def test_as_many_that_fail_as_pass_are_drawn_and_one_of_a_spec() -> None:
    cases = [{"index": number // 4, "success": number % 3 != 0, "id": number} for number in range(400)]
    found = drawn(cases)
    assert Counter(case["success"] for case in found) == {True: OF_EACH, False: OF_EACH}
    assert len({case["index"] for case in found}) == 2 * OF_EACH and found == drawn(cases)


def test_the_labels_give_the_published_agreement() -> None:
    rows = json.loads(LABELS.read_text())
    assert len(rows) == 60 and kappa(rows) == pytest.approx(0.40, abs=0.005)
