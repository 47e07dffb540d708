"""Tasks that a worker is given together: one pass of the network, the files of each alone, and an answer for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope import Generator
from chronotope.generate import together
from chronotope.generate.sampler import RoundingError
from chronotope.media import video
from chronotope.prompt import read_prompts
from chronotope.request import Request
from chronotope.safety import deliver
from chronotope.safety.policy.decide import RefusedError, read_policy
from chronotope.serve.jobs.worker import Answer, Task, _BrokenError, _failed, _Maker
from chronotope.serve.order import Order
from tests.cli.models import save_run

SEEDS = 3, 4, 5


class Line:
    """The end of a worker: what it tells is kept, and `told` may send the name of a job that is not wanted."""

    def __init__(self, told: Callable[[Answer], str | None] = lambda answer: None) -> None:
        self.answers: list[Answer] = []
        self.names: list[str] = []
        self.told = told

    def poll(self) -> bool:
        return bool(self.names)

    def recv(self) -> str:
        return self.names.pop()

    def send(self, answer: Answer) -> None:
        self.answers.append(answer)
        if name := self.told(answer):
            self.names.append(name)

    def of(self, name: str) -> list[Answer]:
        return [answer for answer in self.answers if answer.job == name]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return Generator.load(save_run(tmp_path_factory.mktemp("model")), precision="bf16")


def tasks(folder: Path, **more: Any) -> list[Task]:
    return [
        Task(
            f"video {seed}",
            Order(((0.0, "a fox walks" if seed % 2 else "a ball"),), seed=seed, steps=3, expand=False, **more),
            {},
            folder / f"{seed}.mp4",
            folder / f"{seed}.webp",
        )
        for seed in SEEDS
    ]


def done(generator: Generator, given: list[Task], line: Line) -> Line:
    _Maker(generator, line).make(given)  # type: ignore[arg-type]
    return line


def break_preview(monkeypatch: pytest.MonkeyPatch, broken: Task, problem: Exception) -> None:
    """Let the preview of one task fail."""
    whole = deliver.deliver

    def delivered(path: Path, *rest: Any, **more: Any) -> None:
        if path == broken.preview:
            raise problem
        whole(path, *rest, **more)

    monkeypatch.setattr(deliver, "deliver", delivered)


def frames(given: list[Task]) -> list[np.ndarray]:
    return [np.stack(list(video.stream(task.output))) for task in given]


def test_progress_does_not_go_back_where_one_window_follows_another(generator: Generator, tmp_path: Path) -> None:
    """Frames of a window are decoded before the next one is sampled, which is not yet the end of the steps."""
    (task,) = tasks(tmp_path, num_frames=32)[:1]
    line = done(generator, [task], Line())
    steps = [answer.step for answer in line.of(task.id) if answer.kind == "step"]
    assert steps == sorted(steps) and steps[-1] == line.of(task.id)[-2].total and len(set(steps)) > 3


@pytest.fixture(scope="module")
def alone(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    given = tasks(tmp_path_factory.mktemp("alone"))
    for task in given:
        done(generator, [task], Line())
    return frames(given)


def test_videos_of_one_pass_are_those_of_each_alone(generator: Generator, alone: Any, tmp_path: Path) -> None:
    given = tasks(tmp_path)
    line = done(generator, given, Line())
    assert all(np.array_equal(one, other) for one, other in zip(frames(given), alone, strict=True))
    steps = [(answer.job, answer.step) for answer in line.answers if answer.kind == "step"]
    assert steps[:6] == [(task.id, step) for step in (1, 2) for task in given], "a step of all, then the next one"
    for task in given:
        assert [answer.kind for answer in line.of(task.id)].count("preview") == 1
        assert line.of(task.id)[-1].kind == "done" and not task.preview.exists()


def test_what_rounds_differently_is_made_one_by_one(
    generator: Generator, alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refuse(*_: object) -> None:
        tried.append(1)
        raise RoundingError("it rounds differently")

    monkeypatch.setattr(together, "sample_plans", refuse)
    given, line = tasks(tmp_path), Line()
    maker = _Maker(generator, line)  # type: ignore[arg-type]
    for _ in range(2):
        maker.make(given)
    assert all(np.array_equal(one, other) for one, other in zip(frames(given), alone, strict=True))
    assert len(tried) == 1, "it is not tried again"


def test_a_memory_that_is_too_small_for_all_makes_one_by_one(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(together, "sample_plans", refuse)
    line = done(generator, tasks(tmp_path), Line())
    assert [answer.kind for answer in line.answers].count("done") == 3


def test_one_that_is_cancelled_ends_alone(generator: Generator, alone: Any, tmp_path: Path) -> None:
    given = tasks(tmp_path)
    line = done(generator, given, Line(lambda answer: given[1].id if answer.step == 1 else None))
    assert [line.of(task.id)[-1].kind for task in given] == ["done", "cancelled", "done"]
    assert not given[1].output.exists()
    assert all(np.array_equal(one, alone[at]) for one, at in zip(frames([given[0], given[2]]), (0, 2), strict=True))


def test_nothing_is_sampled_when_all_are_cancelled(generator: Generator, tmp_path: Path) -> None:
    given = tasks(tmp_path)
    line = done(generator, given, Line(lambda answer: answer.job if answer.step == 1 else None))
    assert [line.of(task.id)[-1].kind for task in given] == ["cancelled"] * 3
    assert max(answer.step for answer in line.answers) == 1


def test_one_that_cannot_be_made_fails_alone(generator: Generator, tmp_path: Path) -> None:
    given = tasks(tmp_path)
    long = Order(((0.0, "a fox walks " * 20),), steps=3, expand=False)
    given[1] = Task("long", long, {}, tmp_path / "long.mp4", tmp_path / "long.webp")
    line = done(generator, given, Line())
    assert [line.of(task.id)[-1].kind for task in given] == ["done", "failed", "done"]
    assert line.of("long")[-1].code == "invalid_request"


def test_an_error_that_was_not_foreseen_ends_the_process(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(together, "sample_plans", fail)
    line = Line()
    with pytest.raises(_BrokenError):
        done(generator, tasks(tmp_path), line)
    assert line.answers[-1].code == "internal_error"
    assert "done" not in {answer.kind for answer in line.answers}


def test_a_preview_that_fails_ends_its_task_alone(
    generator: Generator, alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tasks(tmp_path)
    break_preview(monkeypatch, given[2], deliver.NotDeliveredError("its watermark failed", "watermark"))
    for batch, kinds in ((given, ["done", "done", "failed"]), (given[2:], ["failed"])):
        line = done(generator, batch, Line())
        assert [line.of(task.id)[-1].kind for task in batch] == kinds
        ends = [answer for answer in line.of(given[2].id) if answer.kind in ("done", "failed", "cancelled")]
        assert [(answer.kind, answer.code) for answer in ends] == [("failed", "generation_failed")], "one answer"
        assert not given[2].output.exists()
    assert all(np.array_equal(one, other) for one, other in zip(frames(given[:2]), alone[:2], strict=True))


def test_an_unforeseen_error_of_a_preview_is_that_of_its_task(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, line = tasks(tmp_path), Line()
    break_preview(monkeypatch, given[1], RuntimeError("an illegal memory access"))
    with pytest.raises(_BrokenError):
        done(generator, given, line)
    assert [(answer.job, answer.code) for answer in line.answers if answer.kind == "failed"] == [
        (given[1].id, "internal_error")
    ]


def test_no_preview_stays_of_a_task_that_ends_without_a_file(generator: Generator, tmp_path: Path) -> None:
    given = tasks(tmp_path)[:2]
    line = Line(lambda answer: answer.job if (answer.job, answer.kind) == (given[1].id, "preview") else None)
    done(generator, given, line)
    assert "preview" in {answer.kind for answer in line.of(given[1].id)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3.mp4", "3.mp4.json"]


@pytest.mark.parametrize("count", [1, 2])
def test_frames_that_are_judged_have_no_preview(generator: Generator, tmp_path: Path, count: int) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[output.forbid]]\nevent = "an elephant is there, then a bus appears"\n')
    line = done(generator, [replace(task, policy=policy) for task in tasks(tmp_path)[:count]], Line())
    kinds = [answer.kind for answer in line.answers]
    assert kinds.count("done") == count and "preview" not in kinds


def test_a_comparison_that_cannot_be_made_costs_no_step(generator: Generator, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[near_copies]\naction = "refuse"\n')
    line = done(generator, [replace(task, policy=policy) for task in tasks(tmp_path)], Line())
    assert [(answer.kind, answer.code) for answer in line.answers] == [("failed", "content_policy_violation")] * 3
    generator.policy = read_policy(policy)
    plans = [generator.plan(Request(read_prompts("a ball"), num_steps=1))] * 2
    with pytest.raises(RefusedError, match="not at hand"):
        together.sample_plans(generator, plans, [0, 1], pytest.fail)


def test_no_message_names_a_folder_of_the_server(tmp_path: Path) -> None:
    (task, *_) = tasks(tmp_path)
    for path in (task.preview, task.output, tmp_path / ".3.mp4.partial"):
        answer = _failed(deliver.NotDeliveredError(f"{path} was not written", "watermark"), task)
        assert str(tmp_path) not in answer.message and "was not written" in answer.message
