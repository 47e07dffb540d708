"""Suites that ask the same scenes at several levels of one thing: lengths, sizes, kinds of prompts, tasks of the
canvas.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections import Counter
from pathlib import Path

import click
import numpy as np
import pytest

from chronotope.cli.judge import evaluate
from chronotope.errors import FileProblem, UsageError
from chronotope.evaluate.make import maker
from chronotope.evaluate.suite import make_suite, name_of, read_cases, suite_names, write_cases
from chronotope.generate.pipeline import Generator
from chronotope.media import video
from chronotope.metrics.continuity import cuts
from chronotope.prompt import read_story
from chronotope.worlds.case import PROMPT_FORMS, Case, SuiteItem
from chronotope.worlds.check import Check, succeeds
from chronotope.worlds.splits import split_of
from chronotope.worlds.stage.checks.attributes import detect
from chronotope.worlds.stage.checks.detector import load_detector
from chronotope.worlds.stage.checks.relations import measure_camera_motion
from chronotope.worlds.stage.checks.tracking import track_actors, unsupported
from chronotope.worlds.stage.faults.tasks import TASK_FAULTS, inject_into_case
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Actor, Spec
from chronotope.worlds.stage.sprites import aspect
from chronotope.worlds.stage.suites.lengths import FRAMES, STORIES, long_specs, storyboard
from chronotope.worlds.stage.suites.prompts import PROMPT_KINDS, prompts_of, prompts_suite
from chronotope.worlds.stage.suites.sizes import SIZE_KINDS, SIZES, resized, sizes_suite
from chronotope.worlds.stage.suites.specs import names_place
from chronotope.worlds.stage.suites.tasks import CANVAS_TASKS, task_inputs_of, task_specs, tasks_suite
from chronotope.worlds.stage.suites.trial import task_cases
from chronotope.worlds.stage.world import STAGE
from tests.evaluate.suites import changed_line

FIRST = 7_300_000  # seeds that no suite takes


def case_of(spec: Spec, task: str = "", kind: str = "", prompt: str = "a fox", form: str = "sentence") -> Case:
    return Case("stage", spec, prompt, form, split_of(spec), 0, 0, 7, task, kind)


def as_case(draw: SuiteItem) -> Case:
    return Case("stage", draw.spec, draw.prompt, draw.form, split_of(draw.spec), 0, draw.index, 7, draw.task, draw.kind)


@functools.cache
def cases() -> list[Case]:
    """One case of every task, and one of everything that prompts ask for."""
    return list(task_cases(len(CANVAS_TASKS) + len(PROMPT_KINDS), FIRST))


def wrong(case: Case, frames: np.ndarray) -> list[Check]:
    return [one for one in STAGE.check(case, frames) if not one.holds]


# Lengths


@pytest.mark.parametrize("story", STORIES)
def test_a_scene_is_the_same_at_every_length(story: str) -> None:
    found = long_specs(FIRST, story)
    assert tuple(found) == FRAMES
    for frames, spec in found.items():
        assert spec.num_frames == frames and split_of(spec) == "heldout" and unsupported(spec) is None
        assert spec.actors == found[1].actors and spec.backdrop == found[1].backdrop
        told = storyboard(spec).splitlines()
        assert len(told) == 1 or read_story(told)[0][0] == 0
        assert len(told) <= 2 * len(spec.events) + 1 and all(names_place(line, spec.backdrop) for line in told)
    counts = [len(found[frames].events) for frames in FRAMES[1:]]
    assert counts == ([1, 2, 4, 8, 16, 60] if story == "to and fro" else [counts[0]] * 6)


def test_of_a_long_true_clip_everything_holds_and_a_late_loss_has_its_second() -> None:
    spec = long_specs(FIRST + 1, "goes, at the end comes back")[64]
    frames = render(spec).frames
    assert wrong(case_of(spec), frames) == []
    empty = render(dataclasses.replace(spec, actors=(), events=())).frames
    gone = next(one for one in wrong(case_of(spec), np.concatenate([frames[:40], empty[40:]])) if one.code == "OBJ-DIS")
    assert abs((gone.frame or 0) - 40) <= 1


# Sizes


def test_a_scene_is_the_same_in_every_size() -> None:
    draws = list(itertools.islice(sizes_suite(), 2 * len(SIZES)))
    for index, group in itertools.groupby(draws, lambda draw: draw.index):
        found = list(group)
        assert [(draw.spec.width, draw.spec.height) for draw in found] == list(SIZES)
        assert len({draw.prompt for draw in found}) == 1 and all(split_of(draw.spec) == "heldout" for draw in found)
        assert [draw.kind for draw in found] == [SIZE_KINDS[0]] * 3 + [SIZE_KINDS[1]] * 4
        assert all(wrong(as_case(draw), render(draw.spec).frames) == [] for draw in found[index::6])


def test_who_stands_on_the_ground_stands_on_it_in_every_frame() -> None:
    fox = Actor("fox", "fox", "emoji", 0.5, 0.94 - aspect("fox", None)[1] * 0.5 / 2, 0.5, depth=0.0)
    square = Spec(64, 64, 8.0, 1, 1, "hills", dataclasses.replace(case_of_any().spec.camera), (fox,), ())
    for width, height in SIZES:
        truth = render(resized(square, width, height)).truth
        assert truth.y[0, 0] + truth.height[0, 0] / 2 == pytest.approx(0.94 * height, abs=0.02 * height)


def case_of_any() -> Case:
    return cases()[0]


# Prompts


def test_each_kind_of_prompt_has_four_forms_that_name_the_place() -> None:
    draws = list(itertools.islice(prompts_suite(), 2 * len(PROMPT_KINDS) * len(PROMPT_FORMS)))
    assert Counter(draw.kind for draw in draws) == dict.fromkeys(PROMPT_KINDS, 2 * len(PROMPT_FORMS))
    for draw in draws:
        assert names_place(draw.prompt, draw.spec.backdrop) and split_of(draw.spec) == "heldout"
        for actor in draw.spec.actors:
            assert not actor.colour or actor.colour in draw.prompt
    for _, group in itertools.groupby(draws, lambda draw: draw.index):
        found = list(group)
        assert [draw.form for draw in found] == list(PROMPT_FORMS) and len({draw.prompt for draw in found}) == 4
        assert len({as_case(draw).id for draw in found}) == 4 and len({draw.spec for draw in found}) == 1
    with pytest.raises(UsageError, match="no prompts are written of 'smell'"):
        prompts_of("smell", draws[0].spec)


def test_a_moving_camera_is_seen_to_move() -> None:
    spec = next(case.spec for case in cases() if case.kind == "camera motion")
    for camera, wanted in ((("pan", "right"), (0.3 * 1.0, 0)), (("zoom", "in"), (0, np.log(1.6)))):
        actor = None if camera[0] == "pan" else spec.actors[0].id
        amount = 0.3 if camera[0] == "pan" else 1.6
        moved = dataclasses.replace(spec.camera, kind=camera[0], direction=camera[1], actor=actor, amount=amount)
        plain = dataclasses.replace(spec, camera=moved, width=96, height=96, backdrop="hills", events=())
        pan, zoom = measure_camera_motion(render(plain).frames)
        if camera[0] == "pan":
            assert 0.05 < pan < 0.45 and abs(zoom) < 0.1  # its layers move less, the farther away they are
        else:
            assert zoom == pytest.approx(wanted[1], rel=0.6) and zoom > 0.1
    still = dataclasses.replace(spec.camera, kind="still", direction=None, actor=None, amount=None)
    assert max(map(abs, measure_camera_motion(render(dataclasses.replace(spec, camera=still)).frames))) < 0.02


# Tasks


@pytest.mark.parametrize("place", range(len(CANVAS_TASKS) + len(PROMPT_KINDS)), ids=[*CANVAS_TASKS, *PROMPT_KINDS])
def test_of_true_clips_everything_holds(place: int) -> None:
    case = cases()[place]
    assert wrong(case, render(case.spec).frames) == []


@pytest.mark.parametrize("code", TASK_FAULTS)
def test_what_a_case_asks_can_fail_and_is_called_by_its_name(code: str) -> None:
    more = [
        case_of(next(PROMPT_KINDS["absence"](FIRST + n)), kind="absence") for n in range(16)
    ]  # not all have room for another
    clips = (
        (case, inject_into_case(code, dataclasses.replace(case, index=number)))
        for number, case in enumerate([*cases(), *more])
    )
    some = list(itertools.islice(((case, frames) for case, frames in clips if frames is not None), 3))
    assert some
    for case, frames in some:
        assert code in {one.code for one in wrong(case, frames)}


@pytest.mark.parametrize("task", ["edit the colour", "edit the place", "retake", "inpaint"])
def test_who_gives_back_what_was_given_fails(task: str) -> None:
    case = next(case for case in cases() if case.task == task)
    given = task_inputs_of(task, case.spec).inputs.video
    assert given is not None and not succeeds(STAGE.check(case, given))


def test_a_loop_of_words_may_begin_anywhere_but_must_close() -> None:
    case = next(case for case in cases() if case.task == "loop of words")
    frames = render(case.spec).frames
    for start in (0, 5, 11):
        assert wrong(case, np.roll(frames, start, axis=0)) == []
    assert succeeds(STAGE.check(case, frames[::-1]))  # there and back is the same backwards
    assert not succeeds(STAGE.check(case, np.repeat(frames[:1], len(frames), axis=0)))


def test_what_is_kept_is_what_was_given() -> None:
    for case in cases():
        if not case.task:
            continue
        asked, truth = task_inputs_of(case.task, case.spec), render(case.spec).frames
        if asked.kept is not None and asked.reference is not None:
            assert asked.kept.shape == truth.shape[:3] and 0 < asked.kept.mean() < 1
            assert all(0 < joint < len(truth) for joint in asked.boundaries)
            for seconds, picture in asked.inputs.images:
                assert np.array_equal(picture, asked.reference[round(seconds * case.spec.fps)])
    with pytest.raises(UsageError, match="retake"):
        task_inputs_of("retook", cases()[0].spec)


def test_a_model_is_asked_for_every_task(model: str) -> None:
    make = maker(Generator.load(Path(model)), "model")
    for case in cases():
        if case.task:
            spec = case.spec if case.task != "rollout" else long_specs(FIRST, "to and fro")[64]
            told = dataclasses.replace(
                case, spec=spec, prompt=storyboard(spec), form="story" if case.task == "rollout" else "sentence"
            )
            told = told if told.form == "story" else dataclasses.replace(told, prompt="a red circle moves to the left")
            frames, origin = make(told)
            assert frames.shape == (spec.num_frames, spec.height, spec.width, 3), case.task
            asked = task_inputs_of(case.task, spec)
            if (
                asked.kept is not None
                and asked.reference is not None
                and "frame" not in case.task
                and "picture" not in case.task
            ):
                assert np.array_equal(frames[asked.kept], asked.reference[asked.kept]), case.task  # to the bit
            assert origin["seed"] == told.seed


@pytest.mark.parametrize("way", [(0.0, -0.3), (0.0, 0.3), (0.3, 0.0), (-0.2, 0.2)])
def test_a_leap_at_a_joint_is_seen_whichever_way_it_goes(way: tuple[float, float]) -> None:
    seen = 0
    for spec in itertools.islice(task_specs("extend forward", FIRST), 12):
        (actor,), (joint,) = spec.actors, task_inputs_of("extend forward", spec).boundaries
        x = actor.x + way[0] * min(spec.width, spec.height) / spec.width
        moved = dataclasses.replace(spec, actors=(dataclasses.replace(actor, x=x, y=actor.y + way[1]),))
        frames = np.concatenate([render(spec).frames[:joint], render(moved).frames[joint:]])
        if cuts(frames) or not render(moved).truth.visible_fraction[joint:].min() > 0.9:
            continue  # told by its cut already; or half out of the frame
        assert "SEAM" in {one.code for one in wrong(case_of(spec, "extend forward"), frames)}, spec
        seen += 1
    assert seen


def test_leaps_are_planted_in_every_direction() -> None:
    case = next(case for case in cases() if case.task == "extend forward")
    true, ways = track_actors(detect(load_detector(), render(case.spec).frames), case.spec).actors[0], []
    for turn in range(3):
        planted = inject_into_case("SEAM", dataclasses.replace(case, index=turn))
        assert planted is not None
        one = track_actors(detect(load_detector(), planted), case.spec).actors[0]
        ways.append(np.abs(np.nanmean((one.trail.centres - true.trail.centres)[8:], axis=0)) > 0.1)
    assert [tuple(map(bool, way)) for way in ways] == [(True, False), (False, True), (True, True)]


def test_names_of_checks_are_the_same_for_whatever_a_case_is_about() -> None:
    own = {
        "spatial relation": "is left of the other",
        "absence": "what is ruled out is not there",
        "count": "as many are there",
    }
    for kind, name in own.items():
        case = next(case for case in cases() if case.kind == kind)
        found = STAGE.check(case, render(case.spec).frames)
        (one,) = (one for one in found if one.name == name)
        left = min(case.spec.actors, key=lambda actor: actor.x).id
        assert one.actor == (left if kind == "spatial relation" else "")
        told = [actor.id for actor in case.spec.actors] + [actor.noun for actor in case.spec.actors]
        assert not any(word in one.name or any(sign.isdigit() for sign in one.name) for one in found for word in told)


# Plans


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_a_plan_of_tasks_brings_what_is_given(tmp_path: Path, every: int) -> None:
    planned = [as_case(draw) for draw in itertools.islice(tasks_suite(), 0, len(CANVAS_TASKS), every)]
    planned = [dataclasses.replace(case, index=number) for number, case in enumerate(planned)]
    path = tmp_path / "plan" / "tasks.jsonl"
    write_cases(planned, path)
    assert read_cases(path) == planned
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for case, row in zip(planned, rows, strict=True):
        given, inputs = task_inputs_of(case.task, case.spec).inputs, row["inputs"]
        assert row["task"] == case.task == STAGE.strata(case)["task"] and inputs["new_frames"] >= 1
        for what, frames in (("video", given.video), ("into", given.into)):
            assert (what in inputs) == (frames is not None)
            if frames is not None:
                pictures = sorted((path.parent / inputs[what]).iterdir())
                assert np.array_equal(np.stack([video.read_image(picture) for picture in pictures]), frames)
        for number, (_, picture) in enumerate(given.images):
            assert np.array_equal(video.read_image(path.parent / inputs[f"image-{number}"]), picture)
        if given.mask is not None:
            assert np.array_equal(video.read_image(path.parent / inputs["mask"])[..., 0] > 127, given.mask[0])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task": "extend sideways"}, 'unknown task "extend sideways"'),
        ({"task": "connect"}, "contradicts itself: inputs"),
        ({"kind": "smell"}, 'unknown kind "smell"'),
        ({"kind": "a size never trained"}, "by its spec a trained size"),
        ({"form": "long"}, 'form is "long"'),
    ],
)
def test_a_plan_of_tasks_that_contradicts_itself_is_refused(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    case = case_of(next(task_specs("extend forward", FIRST)), "extend forward")
    with pytest.raises(FileProblem, match=says):
        read_cases(changed_line(tmp_path / "tasks.jsonl", case, change))


def test_every_suite_is_known_by_its_name() -> None:
    (suite,) = (option for option in evaluate.params if option.name == "suite")
    assert isinstance(suite, click.Option) and all(name in str(suite.help) for name in suite_names())
    found = make_suite("sizes")
    assert (
        name_of(found) == "sizes"
        and name_of(found[:5]) == "the first 5 videos of sizes"
        and name_of([dataclasses.replace(found[0], seed=1)]) is None
        and len({case.id for case in found}) == len(found) == 210
    )
    assert all(STAGE.strata(case).keys() == STAGE.strata(found[0]).keys() for case in found)
