"""The selector reads what a prompt asks for and denies, keeps the video that is the truth, and passes over tries that
fail.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from chronotope.errors import UsageError
from chronotope.evaluate.selection import Sampled, best_of, candidate_seeds
from chronotope.evaluate.suite import make_suite
from chronotope.worlds.case import Case
from chronotope.worlds.stage.checks.detector import KINDS
from chronotope.worlds.stage.checks.relations import absent_of
from chronotope.worlds.stage.checks.selector import confidence, named_kinds
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.suites.prompts import PROMPT_KINDS, prompts_of

CASES = make_suite("smoke")[:5]
CASE = next(case for case in CASES if named_kinds(case.prompt))


@pytest.mark.parametrize(
    ("prompt", "kinds"),
    [
        ("three red hearts, in the sky", ["heart"]),
        ("Two foxes and five butterflies.", ["fox", "butterfly"]),
        ("a blue ball beside an orange ball", ["circle"]),
        ("A football rolls to the left.", ["soccer ball"]),
        ("two soccer balls", ["soccer ball"]),
        ("fox, no house, at sea", ["fox"]),
        ("There aren't any cars or trees. A duck swims.", ["duck"]),
        ("a cat, not a dog", ["cat"]),
        ("a hot dog", []),
        ("A red circle, no blue circle.", ["circle"]),
        ("The fox does not move.", ["fox"]),
    ],
)
def test_nouns_are_read_in_all_their_forms_and_denials_heard(prompt: str, kinds: list[str]) -> None:
    assert named_kinds(prompt) == kinds


@pytest.mark.parametrize("kind", ["absence", "count", "attribute binding", "single attribute"])
def test_every_form_of_a_prompt_names_who_shall_be_there_and_nobody_else(kind: str) -> None:
    for seed in range(6):
        spec = next(PROMPT_KINDS[kind](77_000 + seed))
        for prompt in prompts_of(kind, spec).values():
            assert set(named_kinds(prompt)) == {actor.noun for actor in spec.actors} & set(KINDS), prompt
            assert kind != "absence" or absent_of(spec) not in named_kinds(prompt)


def test_the_selector_reads_words_and_keeps_the_video_that_shows_them() -> None:
    assert named_kinds("A red circle moves to the left past a fox.") == ["circle", "fox"]
    assert named_kinds("green hills") == [] and confidence("green hills", np.zeros((2, 64, 64, 3), np.uint8)) == 0.0
    seeds = candidate_seeds(CASE.seed, 3)
    assert seeds[0] == CASE.seed and len(set(seeds)) == 3 and seeds[:2] == candidate_seeds(CASE.seed, 2)

    def make(one: Case) -> tuple[np.ndarray, dict[str, Any]]:
        spec = one.spec if one.seed == seeds[1] else dataclasses.replace(one.spec, actors=(), events=())
        return render(spec).frames, {"seed": one.seed}

    frames, origin = best_of(make, 3)(CASE)
    assert origin["selected"]["kept"] == 1 and origin["seed"] == seeds[1] and (frames == render(CASE.spec).frames).all()
    assert origin["selected"]["tries"][1]["confidence"] > 0.5 > origin["selected"]["tries"][0]["confidence"]


def failing(*seeds: int) -> Any:
    """Makes the truth, but not with these seeds."""

    def make(one: Case) -> tuple[np.ndarray, dict[str, Any]]:
        if one.seed in seeds:
            raise MemoryError(f"no room for {one.seed}")
        return render(one.spec).frames, {"seed": one.seed}

    return make


def test_a_try_that_fails_is_passed_over_and_told() -> None:
    seeds = candidate_seeds(CASE.seed, 3)
    _, origin = best_of(failing(seeds[0], seeds[2]), 3)(CASE)
    tries = origin["selected"]["tries"]
    assert origin["seed"] == seeds[1] and origin["selected"]["kept"] == 1 and [one["seed"] for one in tries] == seeds
    assert (
        tries[0]["failed"] == f"MemoryError: no room for {seeds[0]}"
        and "failed" in tries[2]
        and "failed" not in tries[1]
    )
    with pytest.raises(MemoryError, match=f"no room for {seeds[0]}"):
        best_of(failing(*seeds), 3)(CASE)


def test_where_nothing_is_named_the_first_try_stands_and_says_so() -> None:
    case = dataclasses.replace(CASE, prompt="green hills without a house")
    _, origin = best_of(failing(), 3)(case)
    assert origin["seed"] == case.seed and origin["selected"]["kept"] == 0
    assert "first try stands" in origin["selected"]["by"] and origin["selected"]["tries"] == [{"seed": case.seed}]


def test_what_is_switched_is_said() -> None:
    assert Sampled().described("the detector") == {}
    said = Sampled(steps=60, solver="heun", tries=4).described("the detector")
    assert (
        said["steps"] == 60 and said["solver"] == "heun" and said["selection"].startswith("best of 4 by the detector")
    )
    with pytest.raises(UsageError, match="at least 1"):
        Sampled(tries=0)
    for asked in ({"steps": 0}, {"steps": 1001}, {"guidance": -1.0}, {"guidance": 1001.0}):
        with pytest.raises(UsageError, match=f"{next(iter(asked))} must be between"):
            Sampled(**asked)  # type: ignore[arg-type]
