"""The game: equal to Crafter where it must be, repeatable where Crafter is not, and drawn as Crafter draws."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope.actions import SUFFIX, ActionSchema, read_actions
from chronotope.config import from_dict
from chronotope.errors import FileProblem, UsageError
from chronotope.manifest import read_manifest
from chronotope.worlds.crafter import game, scene
from chronotope.worlds.crafter.draw import draw
from chronotope.worlds.crafter.simulate import scene_of, simulate, step_of
from chronotope.worlds.crafter.spec import CrafterSpec, view_of
from chronotope.worlds.crafter.world import CRAFTER
from tests.cli.models import refused, run
from tests.worlds.crafter.games import AREA, NEEDS_CRAFTER, spec_of

pytestmark = NEEDS_CRAFTER


def test_numbers_and_names_are_those_of_crafter() -> None:
    from crafter import constants

    def spaced(names: Any) -> tuple[str, ...]:
        return tuple(name.replace("_", " ") for name in names)

    assert spaced(constants.actions) == scene.ACTIONS
    assert spaced(constants.materials) == scene.MATERIALS[1:]
    assert spaced(constants.items) == scene.ITEMS
    assert spaced(constants.achievements) == scene.ACHIEVEMENTS
    assert spaced(constants.walkable) == scene.WALKABLE
    assert all((constants.root / "assets" / f"{name}.png").is_file() for name in scene.THINGS[1:])


@pytest.mark.parametrize("size", [(72, 72), (80, 72), (72, 104)], ids=str)
@pytest.mark.parametrize("daylight", [1.0, 0.8, 0.5, 0.2])
@pytest.mark.parametrize("asleep", [False, True])
def test_frames_equal_those_of_crafter(size: tuple[int, int], daylight: float, asleep: bool) -> None:
    """Also at night, with Crafter's own random numbers for the grain."""
    from crafter import engine

    played, view = game.Game(3, AREA), view_of(*size)
    env = played._env
    for action in ("move left", "move up", "do", "place table"):
        played.act(action)
    env._player.sleeping, env._world.daylight = asleep, daylight
    env._player.inventory |= {"wood": 3, "sapling": 1, "iron_sword": 1, "stone_pickaxe": 2}
    env._local_view = engine.LocalView(env._world, env._textures, [view.columns, view.rows])
    env._item_view = engine.ItemView(env._textures, [view.columns, view.item_rows])
    env._view, env._size = np.array([view.columns, view.rows + view.item_rows]), np.array(size)
    seen = dataclasses.replace(
        scene_of(step_of(played, "noop", 0.0), view, 0, 0), noise=np.array([[5, 6]]), daylight=np.array([daylight])
    )
    env._world.random.seed([5, 6])
    assert np.array_equal(env.render(), draw(seen, *size)[0])


def test_a_clip_is_the_same_in_another_process() -> None:
    """Crafter itself iterates over sets of objects in the order of their addresses."""
    code = (
        "import hashlib; from chronotope.worlds.crafter.world import CRAFTER; from tests.worlds.crafter.games import "
        "spec_of; print(hashlib.sha256(CRAFTER.render(spec_of(4, 100, 8)).frames.tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == hashlib.sha256(CRAFTER.render(spec_of(4, 100, 8)).frames.tobytes()).hexdigest()


def test_events_do_not_depend_on_the_size() -> None:
    small, large = (simulate(spec_of(4, 170, 16, size)) for size in ((64, 64), (128, 72)))
    assert small.actions == large.actions
    assert np.array_equal(small.positions, large.positions)
    assert np.array_equal(small.scenes.inventory, large.scenes.inventory)


def test_actions_replayed_by_hand_show_the_same_clip() -> None:
    spec = spec_of(4, 20, 12)
    clip = CRAFTER.render(spec)
    assert clip.actions is not None
    replayed = dataclasses.replace(spec, actions=tuple(scene.ACTIONS[int(a)] for a in clip.actions.values[1:, 0]))
    again = CRAFTER.render(replayed)
    assert np.array_equal(again.frames, clip.frames)
    assert again.actions is not None
    assert np.array_equal(again.actions.rewards[1:], clip.actions.rewards[1:])
    assert (clip.actions.known[0], again.actions.known[0]) == (True, False)
    started = CRAFTER.start(spec)
    frames = [started.look().frame, *(started.step(action).frame for action in clip.actions.values[1:])]
    assert np.array_equal(np.stack(frames), clip.frames)


def test_other_actions_show_another_clip() -> None:
    spec = spec_of(4, 0, 4)
    left, right = (
        simulate(dataclasses.replace(spec, actions=(f"move {way}",) * 3)).positions for way in ("left", "right")
    )
    assert (left[-1] - left[0]).tolist() == [-3, 0]
    assert (right[-1] - right[0]).tolist() == [3, 0]


def test_unknown_actions_are_refused() -> None:
    started = CRAFTER.start(spec_of(num_frames=1))
    with pytest.raises(UsageError, match=r"action = 17, expected 0 to 16"):
        started.step(np.array([17]))
    with pytest.raises(UsageError, match="whole number"):
        started.step(np.array([0.5]))
    with pytest.raises(UsageError, match="expected numbers of shape"):
        started.step(np.array([1, 2]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"actions": ("move left",)}, "1 actions for 24 frames"),
        ({"actions": ("mov left",) * 23}, "Did you mean 'move left'"),
        ({"policy": "foragr"}, "Did you mean 'forager'"),
        ({"width": 40}, "from 48 to 2048"),
        ({"width": 1024}, "4 times as long as wide"),
        ({"area": 8}, "24 to 256 cells"),
    ],
)
def test_wrong_specs_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(spec_of(), **changes)


def test_a_game_that_ended_has_no_later_clip() -> None:
    with pytest.raises(UsageError, match="ends before step 9000"):
        simulate(spec_of(start=9000))


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (64, 96), (128, 72), (128, 128), (48, 80), (100, 70)], ids=str)
def test_cells_are_square_and_fill_the_frame(size: tuple[int, int]) -> None:
    view = view_of(*size)
    assert view.unit % 8 == 0 or min(size) < 64
    assert size[0] - view.columns * view.unit < view.unit
    assert size[1] - (view.rows + view.item_rows) * view.unit < view.unit
    assert view.columns * view.item_rows >= len(scene.ITEMS)


def test_what_is_missing_is_said_with_its_install_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(game, "find_spec", lambda name: None)
    line = "pip install 'chronotope[crafter]'"
    assert line in refused("world", "crafter", "--count", "1", "--out", str(tmp_path / "out"), status=1)
    with pytest.raises(FileProblem, match=re.escape(line)):
        game.Game(1, AREA)


def test_the_command_writes_actions_beside_clips(tmp_path: Path) -> None:
    options = ("--size", "64x64", "--pictures", "0", "--policy", "random")
    done = run("world", "crafter", "--count", "2", "--out", str(tmp_path / "out"), *options)
    assert done.exit_code == 0, done.output
    about = json.loads((tmp_path / "out/dataset.json").read_text())
    schema = from_dict(ActionSchema, about["actions"])
    assert schema.choices == (scene.ACTIONS,)
    for row in read_manifest(tmp_path / "out/manifest.jsonl"):
        clip = tmp_path / "out" / f"{row['key']}.mp4"
        facts = json.loads(clip.with_suffix(".json").read_text())
        actions = read_actions(clip.with_name(clip.stem + SUFFIX), schema, facts["spec"]["num_frames"])
        rendered = CRAFTER.render(CRAFTER.read_spec(facts["spec"])).actions
        assert rendered is not None
        assert np.array_equal(actions.values, rendered.values)
        assert f"{row['key']}{SUFFIX}" in row["files"]


def test_a_spec_is_read_back() -> None:
    spec = CrafterSpec(64, 64, 8.0, 3, 1, actions=("do", "noop"))
    assert CRAFTER.read_spec(CRAFTER.render(spec).record["spec"]) == spec
