"""Recordings: what is written is what the environment showed, and whole after an interruption."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chronotope.actions import SUFFIX, Actions, ActionSchema, read_actions
from chronotope.cli.datasets.sources import raw_files
from chronotope.config import from_dict
from chronotope.curate.decide import Filters
from chronotope.curate.rights import own_footage
from chronotope.curate.run import curate
from chronotope.data.audit import audit_dataset
from chronotope.data.captions import read_captions
from chronotope.data.clips import scan_folder
from chronotope.data.exports.dataset import read_dataset
from chronotope.data.exports.facts import facts_of, limitations_of, process_of
from chronotope.data.layouts.write import import_dataset
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Frames, Picture
from chronotope.manifest import read_manifest
from chronotope.media import video
from tests.cli.models import run

pytest.importorskip("gymnasium", reason="pip install 'chronotope[record]'")

from chronotope.record.environment import opened
from chronotope.record.recorder import Recording
from chronotope.record.session import record

ENV = "tests.record.environments:Dot-{}-v0"


def recorded(out: Path, space: str = "discrete", steps: int = 36, **changes: object) -> int:
    request = Recording(ENV.format(space), steps, clip_frames=4, **changes)  # type: ignore[arg-type]
    with opened(request.environment, request.size) as env:
        return record(out, request, env)


def clips(out: Path) -> list[tuple[dict[str, object], Frames, Actions]]:
    schema = from_dict(ActionSchema, json.loads((out / "dataset.json").read_text())["actions"])
    found = []
    for row in read_manifest(out / "manifest.jsonl"):
        path = out / row["key"]
        frames = video.read(next(path.parent.glob(f"{path.name}.[mp][pn][4g]"))).frames
        actions = read_actions(path.parent / f"{path.name}{SUFFIX}", schema, len(frames))
        found.append((json.loads(path.with_suffix(".json").read_text()), frames, actions))
    return found


def test_frames_that_are_drawn_into_one_buffer_are_kept(tmp_path: Path) -> None:
    request = Recording("tests.record.environments:Buffered-v0", 8, clip_frames=4)
    with opened(request.environment) as env:
        record(tmp_path, request, env)
    light = np.concatenate([frames.mean(axis=(1, 2, 3)) for _, frames, _ in clips(tmp_path)])
    assert len(np.unique(light.round(-1))) >= 8, light


def test_frames_of_a_clip_have_one_size(tmp_path: Path) -> None:
    request = Recording("tests.record.environments:Growing-v0", 8, clip_frames=4)
    with opened(request.environment) as env, pytest.raises(UsageError, match=r"64x50 .* before it 64x48; .* --size"):
        record(tmp_path / "a", request, env)
    with opened(request.environment, (64, 48)) as env:
        record(tmp_path / "b", request, env)
    assert {frames.shape for _, frames, _ in clips(tmp_path / "b")} == {(4, 48, 64, 3)}


def test_choices_have_the_numbers_of_the_environment() -> None:
    with opened(ENV.format("numbered")) as env:
        assert env.schema.choices == (("10", "11"), ("-1", "0", "1"))


@pytest.mark.parametrize("space", ["discrete", "multi", "numbered", "binary", "box"])
def test_recorded_actions_lead_to_the_recorded_frames(tmp_path: Path, space: str) -> None:
    """The environment is played again with the actions of the files; `values[t]` must lead to frame t."""
    assert recorded(tmp_path, space) == 36
    written = clips(tmp_path)
    assert sum(len(frames) for _, frames, _ in written) == 36
    assert [about["episode"] for about, _, _ in written][-1] == 3  # of 11 frames each
    with opened(ENV.format(space)) as env:
        for about, frames, actions in written:
            assert actions.known.tolist() == [about["first_step"] != 0, *[True] * (len(frames) - 1)]
            for frame, values, known, reward in zip(
                frames, actions.values, actions.known, actions.rewards, strict=True
            ):
                if known:
                    shown, gain, _ = env.step(values)
                    assert gain == pytest.approx(reward)
                else:
                    shown = env.reset(int(about["episode"]))  # the seed of episode n of seed 0 is n
                assert np.abs(shown.astype(int) - frame).mean() < 6  # compression


def test_the_same_command_again_goes_on(tmp_path: Path) -> None:
    recorded(tmp_path, steps=11)
    before = {path: path.read_bytes() for path in tmp_path.rglob("episode-*")}
    assert recorded(tmp_path, steps=11) == 11
    assert {path: path.read_bytes() for path in tmp_path.rglob("episode-*")} == before
    assert recorded(tmp_path, steps=15) == 15
    assert recorded(tmp_path, steps=5) == 15  # of a smaller number nothing is removed
    assert json.loads((tmp_path / "dataset.json").read_text())["steps"] == 15
    assert all(path.read_bytes() == data for path, data in before.items())
    assert [about["episode"] for about, _, _ in clips(tmp_path)] == [0, 0, 0, 1]


def test_a_clip_that_is_gone_is_replaced_under_another_number(tmp_path: Path) -> None:
    recorded(tmp_path, steps=15)
    rows = {path.name: path.read_bytes() for path in tmp_path.rglob("episode-*.npz")}
    next(iter(sorted(tmp_path.rglob("*.mp4"))[1:2])).unlink()
    assert recorded(tmp_path, steps=15) >= 15
    kept = {path.name: path.read_bytes() for path in tmp_path.rglob("episode-*.npz")}
    assert all(kept[name] == data for name, data in rows.items() if name in kept)
    listed = [json.loads(line)["index"] for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert len(set(listed)) == len(listed)


def test_a_killed_recording_leaves_nothing_half_written(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, total: int | None) -> None:
        if done == 10:
            raise Killed

    request = Recording(ENV.format("discrete"), 16, clip_frames=4)
    with opened(request.environment) as env, pytest.raises(Killed):
        record(tmp_path, request, env, progress=kill)
    assert json.loads((tmp_path / "dataset.json").read_text())["complete"] is False
    with pytest.raises(UsageError, match=r"run the same `chronotope record` command again to complete its 16 frames"):
        scan_folder(tmp_path)
    orphan = tmp_path / "0000" / "episode-000000-0002.mp4"  # written, and not yet listed
    orphan.write_bytes(b"half")
    with opened(request.environment) as env:
        assert record(tmp_path, request, env) == 16
    assert not orphan.exists()
    assert not [finding for finding in audit_dataset(tmp_path) if finding.serious]


def test_a_player_acts_and_ends_the_recording(tmp_path: Path) -> None:
    """What a page in a browser does: it sees each frame, and answers with an action."""
    seen: list[Picture] = []

    class Person:
        def choose(self, frame: Picture) -> np.ndarray | None:
            seen.append(frame)
            return np.array([2]) if len(seen) <= 5 else None

    request = Recording(ENV.format("discrete"), 100, policy="play", clip_frames=4)
    with opened(request.environment) as env:
        assert record(tmp_path, request, env, player=lambda seed: Person()) == 6
    assert [actions.values.ravel().tolist() for _, _, actions in clips(tmp_path)] == [[0, 2, 2, 2], [2, 2]]
    assert json.loads((tmp_path / "dataset.json").read_text())["complete"] is True


def test_frames_are_resized_and_captioned(tmp_path: Path) -> None:
    recorded(tmp_path, steps=3, size=(32, 24), caption="a dot", fps=5.0)
    ((about, frames, _),) = clips(tmp_path)
    assert frames.shape == (3, 24, 32, 3)
    assert about["captions"] == {"sentence": ["a dot"]}


def test_another_recording_is_refused(tmp_path: Path) -> None:
    recorded(tmp_path, steps=3)
    with pytest.raises(UsageError, match=r"already holds another dataset \(seed 0, asked for 1\)"):
        recorded(tmp_path, steps=3, seed=1)
    for changes in ({"licence": "MIT"}, {"caption": "a dot"}, {"fps": 3.0}, {"space": "multi"}):
        with pytest.raises(UsageError, match=r"already holds another dataset"):
            recorded(tmp_path, steps=9, **changes)  # type: ignore[arg-type]
    request = Recording(ENV.format("discrete"), 9, clip_frames=4)
    with opened(request.environment) as env, pytest.raises(UsageError, match="holds clips of 10 frames/s"):
        env.fps = 30.0  # another version of the environment
        record(tmp_path, request, env)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match="already holds other files"):
        recorded(tmp_path / "other")


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf"), 1001.0])
def test_a_rate_that_is_none_is_refused(fps: float) -> None:
    with pytest.raises(UsageError, match="expected a rate above 0"):
        Recording("x", 3, fps=fps)


def test_no_clip_is_deleted_because_its_line_is_gone(tmp_path: Path) -> None:
    recorded(tmp_path, steps=15)
    manifest, before = tmp_path / "manifest.jsonl", {path.name for path in tmp_path.rglob("episode-*")}
    lines = manifest.read_text().splitlines(keepends=True)
    for changed in (lines[:-1], lines[1:], [lines[0].replace("episode", "episodf"), *lines[1:]], [*lines[:-1], "{"]):
        manifest.write_text("".join(changed))
        with pytest.raises(FileProblem, match=r"would be deleted|lines were lost"):
            recorded(tmp_path, steps=15)
        assert {path.name for path in tmp_path.rglob("episode-*")} == before
    manifest.write_text("".join(lines))
    assert recorded(tmp_path, steps=15) == 15


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (ENV.format("unbounded"), "finite bounds"),
        (ENV.format("whole"), "a Box of floating-point numbers"),
        (ENV.format("dict"), "expected Discrete, MultiDiscrete"),
        ("tests.record.environments:Blind-v0", "has no pictures: it renders human"),
        ("CartPole-v9", "Did you mean 'CartPole-v1'"),
        ("no.such.module:Game-v0", "cannot be made by Gymnasium"),
    ],
)
def test_environments_that_cannot_be_recorded_are_named(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message), opened(name):
        pass


def test_the_command_records(tmp_path: Path) -> None:
    done = run("record", ENV.format("box"), "--steps", "6", "--clip-frames", "4", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert "is complete: " in done.stderr and "holds 6 frames" in done.stderr
    assert len(clips(tmp_path / "out")) == 2


def test_a_port_without_a_page_is_refused(tmp_path: Path) -> None:
    done = run("record", ENV.format("box"), "--steps", "6", "--port", "9000", "--out", str(tmp_path / "out"))
    assert done.exit_code == 2 and "leave out --port" in done.stderr and not (tmp_path / "out").exists()


def test_what_holds_no_actions_says_that_it_leaves_them_behind(tmp_path: Path) -> None:
    data, notes = tmp_path / "data", list[str]()
    recorded(data, caption="a toy")
    told = re.compile("clips have actions, such as .*, which are not taken along")
    assert any(map(told.search, import_dataset(data, tmp_path / "imported").notes))
    with contextlib.suppress(FileProblem):  # its clips are too short
        files, policy = raw_files([data], tmp_path / "out"), own_footage("me")
        curate(files, tmp_path / "out", Filters(), policy, read_captions, "test", note=notes.append)
    assert any(map(told.search, notes))
    assert told.search(run("export", str(data), "--format", "webdataset").stderr)


def test_the_card_tells_how_a_recording_was_made(tmp_path: Path) -> None:
    recorded(tmp_path, caption="a toy")
    dataset = read_dataset(tmp_path)
    (step,) = process_of(dataset)
    assert step.startswith(
        "Every clip was recorded while actions were done in an environment (environment tests.record"
    )
    assert "The clips show a simulated world and nothing else." in limitations_of(dataset, facts_of(dataset))
    item = replace(dataset.items[0], generated_by="dit 12ab")
    made = replace(dataset, about={**dataset.about, "generated_by": "dit 12ab"}, items=(item,))
    told = limitations_of(made, facts_of(made))
    assert "1 of 1 clips were generated by a model (dit 12ab), with all its faults." in told
    assert not any("simulated world" in sentence for sentence in told)


def test_rewards_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    values, known = np.zeros((3, 1), int), np.ones(3, bool)
    with pytest.raises(UsageError, match="the reward of frame 1 is nan, expected a finite number"):
        Actions(values, known, np.array([0, np.nan, 1], np.float32))
    path = tmp_path / f"clip{SUFFIX}"
    np.savez(path, values=values, known=known, rewards=np.array([0, 0, np.inf], np.float32))
    with pytest.raises(FileProblem, match=r"clip.actions.npz: the reward of frame 2 is inf"):
        read_actions(path, ActionSchema("discrete", ("action",), (("a", "b"),)), 3)


def test_damaged_actions_are_refused(tmp_path: Path) -> None:
    schema = ActionSchema("continuous", ("x",), low=(-1.0,), high=(1.0,))
    path = tmp_path / f"a{SUFFIX}"
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(FileProblem, match="holds no actions"):
        read_actions(path, schema, 2)
    actions = Actions(np.array([[0.0], [2.0]], np.float32), np.array([False, True]), np.zeros(2, np.float32))
    np.savez(path, **actions.arrays())  # type: ignore[arg-type]
    with pytest.raises(FileProblem, match=r"x = 2, expected -1 to 1"):
        read_actions(path, schema, 2)
    with pytest.raises(FileProblem, match="the clip has 3"):
        read_actions(path, schema, 3)
