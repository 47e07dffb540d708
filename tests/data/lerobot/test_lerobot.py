"""The layout of LeRobot v3: a round trip loses nothing, and a dataset as LeRobot itself writes it is read right.

The second one is written here by the documented layout: episodes of one camera share a video file, actions stand in the
row on which they are done, and `info.json` names neither choices nor bounds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope.actions import SUFFIX, Actions, ActionSchema, read_actions
from chronotope.config import from_dict, to_dict
from chronotope.data.audit import audit_dataset
from chronotope.data.captions import read_captions
from chronotope.data.clips import scan_folder
from chronotope.data.exports.dataset import read_dataset
from chronotope.data.exports.facts import facts_of, limitations_of, process_of
from chronotope.data.lerobot.layout import VIDEO
from chronotope.data.lerobot.read import import_lerobot
from chronotope.data.lerobot.write import export_lerobot
from chronotope.data.recaptions import Recaptions
from chronotope.data.rendered import changes_since_rendering, find_splits
from chronotope.errors import FileProblem, UsageError
from chronotope.jsonl import write_jsonl
from chronotope.manifest import manifest_hash, read_manifest
from chronotope.media import video
from chronotope.sealed import write_sealed
from chronotope.storage import file_sha256, write_json
from chronotope.worlds.world import Rendered
from chronotope.worlds.write import write_clip
from tests.cli.models import run
from tests.data.lerobot.robots import frames_of, robot_data

pyarrow = pytest.importorskip("pyarrow", reason="pip install 'chronotope[parquet]'")
from pyarrow import parquet  # noqa: E402

SCHEMAS = {
    "discrete": ActionSchema("discrete", ("action",), (("noop", "left", "right"),), neutral=(0.0,)),
    "multi": ActionSchema("multi-discrete", ("move", "jump"), (("no", "yes", "fast"), ("no", "yes"))),
    "continuous": ActionSchema("continuous", ("x", "y"), low=(-1.0, -2.0), high=(1.0, 2.0)),
}


def actions_of(schema: ActionSchema, count: int, seed: int) -> Actions:
    rng = np.random.default_rng(seed)
    if schema.kind == "continuous":
        values = rng.uniform(schema.low, schema.high, (count, schema.dims)).astype(np.float32)
    else:
        values = np.stack([rng.integers(len(names), size=count) for names in schema.choices], 1)
    return Actions(values, np.arange(count) > seed % 2, rng.normal(size=count).astype(np.float32))


def dataset(folder: Path, schema: ActionSchema, clips: int = 3) -> Path:
    folder.mkdir()
    rows = []
    for index in range(clips):
        count = 5 + index
        record = {"captions": {"sentence": [f"bar {index % 2}"], "tags": ["bar", "grey"]}}
        clip = Rendered(frames_of(count, index), record, actions=actions_of(schema, count, index))
        (folder / "0000").mkdir(exist_ok=True)
        rows.append(write_clip(folder, index, f"0000/clip-{index}", clip, 10.0, record, {"frames": count}))
    write_jsonl(folder / "manifest.jsonl", rows)
    about = {"world": "gymnasium", "split": "train", "actions": to_dict(schema), "complete": True}
    write_sealed(folder / "dataset.json", {**about, "manifest": manifest_hash(rows)})
    return folder


def clips(folder: Path) -> list[tuple[bytes, dict[str, Any], Actions]]:
    """The video file, the captions and the actions of every clip."""
    schema = from_dict(ActionSchema, json.loads((folder / "dataset.json").read_text())["actions"])
    found = []
    for row in read_manifest(folder / "manifest.jsonl"):
        film = folder / f"{row['key']}.mp4"
        actions = read_actions(film.with_name(film.stem + SUFFIX), schema, row["frames"])
        found.append((film.read_bytes(), dict(read_captions(film)), actions))
    return found


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_round_trip_loses_nothing(tmp_path: Path, name: str) -> None:
    source = dataset(tmp_path / "source", SCHEMAS[name])
    written = export_lerobot(read_dataset(source), tmp_path / "robot")
    assert (written.episodes, written.frames) == (3, 18)
    imported = import_lerobot(tmp_path / "robot", tmp_path / "back")
    assert (imported.clips, imported.new, imported.left_out) == (3, 3, ())
    assert json.loads((tmp_path / "back/dataset.json").read_text())["actions"] == to_dict(SCHEMAS[name])
    for before, after in zip(clips(source), clips(tmp_path / "back"), strict=True):
        assert after[:2] == before[:2]  # the bytes of the video, and all captions
        assert np.array_equal(after[2].values, before[2].values)
        assert np.array_equal(after[2].known, before[2].known)
        assert np.array_equal(after[2].rewards, before[2].rewards)
    assert not [finding for finding in audit_dataset(tmp_path / "back") if finding.serious]
    assert import_lerobot(tmp_path / "robot", tmp_path / "back").new == 0
    back = read_dataset(tmp_path / "back")  # a card that called these clips rendered would be false of a real robot
    assert process_of(back) == [
        "Every clip is an episode of the LeRobot dataset robot (unknown robot), with its actions."
    ]
    assert not [sentence for sentence in limitations_of(back, facts_of(back)) if "simulated" in sentence]


def edited(file: Path, **columns: Any) -> None:
    """Write a table anew, with functions of the lists of some columns, or without those of None."""
    table = parquet.read_table(file)
    for name, change in columns.items():
        index = table.schema.get_field_index(name.replace("_DOT_", "."))
        field, values = table.schema.field(index), table.column(index).to_pylist()
        table = table.remove_column(index)
        if change:
            table = table.add_column(index, field, pyarrow.array(change(values), field.type))
    parquet.write_table(table, file)


def test_actions_that_are_words_are_refused(tmp_path: Path) -> None:
    export_lerobot(read_dataset(dataset(tmp_path / "source", SCHEMAS["discrete"])), tmp_path / "robot")
    (table,) = (tmp_path / "robot/data").rglob("*.parquet")
    words = parquet.read_table(table)
    field = pyarrow.field("action", pyarrow.string())
    column = pyarrow.array(["left"] * len(words))
    parquet.write_table(words.set_column(words.schema.get_field_index("action"), field, column), table)
    with pytest.raises(FileProblem, match="holds 'left', expected numbers"):
        import_lerobot(tmp_path / "robot", tmp_path / "back")


def test_the_same_command_again_follows_the_dataset(tmp_path: Path) -> None:
    """An update gives what a new import gives: other actions, captions, videos, and episodes that are gone."""
    robot, out = tmp_path / "robot", tmp_path / "back"
    export_lerobot(read_dataset(dataset(tmp_path / "source", SCHEMAS["discrete"])), robot)
    import_lerobot(robot, out)
    data, episodes = next(robot.glob("data/*/*.parquet")), next(robot.glob("meta/episodes/*/*.parquet"))
    columns = ("previous.action", "previous.known", "previous.reward")

    edited(data, action=lambda values: [2 - value for value in values])
    contradicting = import_lerobot(robot, out)
    assert (contradicting.changed, len(contradicting.left_out), contradicting.clips) == (0, 3, 3)
    assert "is not the previous.action of the row after it" in contradicting.left_out[0].reason
    edited(data, action=lambda values: [2 - value for value in values])  # as they were
    assert import_lerobot(robot, out).left_out == ()
    edited(data, next_DOT_reward=lambda values: [value - 7 for value in values])
    assert "is not the previous.reward of the row after it" in import_lerobot(robot, out).left_out[0].reason
    edited(data, next_DOT_reward=lambda values: [value + 7 for value in values])
    edited(data, action=lambda values: [2 - value for value in values])

    edited(data, **{name.replace(".", "_DOT_"): None for name in columns})
    found = import_lerobot(robot, out)
    assert (found.new, found.changed, found.gone, found.left_out) == (0, 3, 0, ())

    edited(episodes, tasks=lambda values: [["a hand waves"], values[1], ["a hand waves"]])
    edited(robot / "meta/tasks.parquet", task=lambda values: ["a hand waves", values[1]])
    assert (
        "are not its main caption 'bar 0'; delete the column captions" in import_lerobot(robot, out).left_out[0].reason
    )
    edited(episodes, captions=None)
    assert import_lerobot(robot, out).changed >= 1

    parquet.write_table(parquet.read_table(episodes).slice(0, 2), episodes)
    found = import_lerobot(robot, out)
    assert (found.clips, found.changed, found.gone) == (2, 0, 1) and not list(out.rglob("episode-000002*"))
    import_lerobot(robot, tmp_path / "new")
    assert [path.read_bytes() for path in sorted(out.rglob("*episode*"))] == [
        path.read_bytes() for path in sorted((tmp_path / "new").rglob("*episode*"))
    ]
    assert not [finding for finding in audit_dataset(out) if finding.serious]


def test_an_export_has_the_documented_layout(tmp_path: Path) -> None:
    """Rows, paths, and the frame to which an action belongs: the one on which it is done."""
    schema = SCHEMAS["continuous"]
    source = dataset(tmp_path / "source", schema)
    export_lerobot(read_dataset(source), tmp_path / "robot")
    robot = tmp_path / "robot"
    info = json.loads((robot / "meta/info.json").read_text())
    assert (info["codebase_version"], info["total_episodes"], info["total_frames"], info["fps"]) == ("v3.0", 3, 18, 10)
    assert info["features"]["observation.image"]["shape"] == [48, 64, 3]
    assert info["features"]["action"] | {"info": None} == {
        "dtype": "float32", "shape": [2], "names": ["x", "y"], "info": None,
    }  # fmt: skip
    rows = parquet.read_table(robot / "data/chunk-000/file-000.parquet").to_pydict()
    assert set(rows) == set(info["features"]) - {"observation.image"}
    assert rows["index"] == list(range(18))
    assert rows["episode_index"] == [0] * 5 + [1] * 6 + [2] * 7
    assert rows["frame_index"][5:11] == list(range(6))
    assert rows["timestamp"][5:11] == pytest.approx(np.arange(6) / 10)
    assert [t for t, done in enumerate(rows["next.done"]) if done] == [4, 10, 17]
    actions = clips(source)[1][2]
    assert np.array_equal(np.float32(rows["action"][5:10]), actions.values[1:])
    assert np.array_equal(np.float32(rows["next.reward"][5:10]), actions.rewards[1:])
    episodes = parquet.read_table(robot / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["length"] for row in episodes] == [5, 6, 7]
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in episodes] == [(0, 5), (5, 11), (11, 18)]
    for row in episodes:
        place = {name: row[f"videos/observation.image/{name}"] for name in ("chunk_index", "file_index")}
        film = robot / VIDEO.format(video_key="observation.image", **place)
        assert video.probe(film).num_frames == row["length"]
        assert row["videos/observation.image/to_timestamp"] == pytest.approx(row["length"] / 10)
    stats = json.loads((robot / "meta/stats.json").read_text())["action"]
    done = np.concatenate([each.values[1:] for _, _, each in clips(source)])
    assert stats["mean"] == pytest.approx(done.mean(0).tolist(), abs=1e-6)
    assert stats["count"] == [len(done)]


def test_pandas_finds_tasks_by_their_index(tmp_path: Path) -> None:
    """LeRobot looks tasks up in the index of the table."""
    pandas = pytest.importorskip("pandas")
    export_lerobot(read_dataset(dataset(tmp_path / "source", SCHEMAS["discrete"])), tmp_path / "robot")
    tasks = pandas.read_parquet(tmp_path / "robot/meta/tasks.parquet")
    assert tasks.index.tolist() == ["bar 0", "bar 1"]
    assert tasks.iloc[1].name == "bar 1"
    assert tasks["task_index"].tolist() == [0, 1]


def test_a_dataset_of_lerobot_is_read(tmp_path: Path) -> None:
    robot = robot_data(tmp_path / "robot")
    done = run("import", str(robot), "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert "is read as lerobot" in done.stderr
    schema = from_dict(ActionSchema, json.loads((tmp_path / "out/dataset.json").read_text())["actions"])
    assert schema.names == ("pan", "lift")
    assert (schema.low, schema.high) == ((0.0, -8.0), (8.0, 0.0))
    first, second = clips(tmp_path / "out")
    assert first[1] == second[1] == {"sentence": ("push the bar",)}
    # The action of row t leads to frame t + 1; nothing is known of how an episode began.
    assert first[2].values[1:, 0].tolist() == [0, 1, 2, 3]
    assert second[2].values[1:, 0].tolist() == [5, 6, 7]
    assert second[2].known.tolist() == [False, True, True, True]
    shown = video.read(tmp_path / "out/0000/episode-000001.mp4").frames
    assert np.abs(shown.astype(int) - frames_of(9, 1)[5:]).mean() < 6  # compressed twice


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codebase_version": "v2.1"}, "of version v2.1, expected v3.0; convert it"),
        ({"features": {"action": {"dtype": "float32"}}}, "has no feature of videos"),
        ({"video_path": "../{video_key}.mp4"}, "expected videos/"),
        ({"features": 3}, "it has no features"),
        ({"features": {"action": "float32"}}, "the feature action is no object"),
        ({"fps": None}, "fps is None, expected the frames per second"),
        ({"fps": 0}, "fps is 0 .*, expected the frames per second"),
    ],
)
def test_what_cannot_be_imported_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, FileProblem), match=message):
        import_lerobot(robot_data(tmp_path / "robot", **changes), tmp_path / "out")


def without_column(file: Path, name: str) -> None:
    parquet.write_table(parquet.read_table(file).drop_columns([name]), file)


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    """Each ends the import with one sentence, before anything is written."""
    data, episodes = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"
    for number, (file, name, message) in enumerate(
        (
            (data, "action", "the tables have no column 'action' .they have index, timestamp"),
            (episodes, "length", "its tables are not those of LeRobot v3 .KeyError.'length'"),
            (episodes, "dataset_from_index", "KeyError.'dataset_from_index'"),
            (episodes, "videos/observation.images.top/from_timestamp", "from_timestamp"),
        )
    ):
        robot = robot_data(tmp_path / f"robot{number}")
        without_column(robot / file, name)
        with pytest.raises(FileProblem, match=message):
            import_lerobot(robot, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows", "kind", "message"),
    [
        ([[1, 2], [3, None]], pyarrow.int64(), r"row 1 of the column action holds \[3, None\], expected a number"),
        ([[1, 2], None], pyarrow.int64(), "row 1 of the column action holds None, expected a number"),
        ([[1.0, float("nan")], [1.0, 2.0]], pyarrow.float64(), r"row 0 of the column action holds \[1.0, nan\]"),
        ([[1, 2], [3]], pyarrow.int64(), "holds rows of 1 and of 2 numbers, expected equal lengths"),
    ],
)
def test_actions_that_are_no_numbers_are_named(tmp_path: Path, rows: list[Any], kind: Any, message: str) -> None:
    robot = robot_data(tmp_path / "robot")
    table = pyarrow.table({"action": pyarrow.array(rows, pyarrow.list_(kind)), "index": list(range(len(rows)))})
    parquet.write_table(table, robot / "data/chunk-000/file-000.parquet")
    with pytest.raises(FileProblem, match=message):
        import_lerobot(robot, tmp_path / "out")


def test_an_edited_import_names_the_command_that_made_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    import_lerobot(robot_data(tmp_path / "robot"), out)
    clip = next(out.rglob("*.mp4"))
    clip.with_suffix(".actions.npz").write_bytes(b"edited")
    told = "\n".join(map(str, audit_dataset(out)))
    assert "delete it and run the `chronotope import` command again" in told and "chronotope world" not in told
    with pytest.raises(FileProblem, match=r"is not as `chronotope import` wrote it"):
        read_dataset(out)


ROWS, LISTED = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"
FROM, TO = (f"videos/observation.images.top/{name}_timestamp" for name in ("from", "to"))
# What is changed, and at the end of its name which episodes are left out.
LEFT_OUT: dict[str, tuple[str, str, list[Any]]] = {
    "timestamps of half the rate: 0": (ROWS, "timestamp", [0.0, 0.2, 0.4, 0.6, 0.8, 0.0, 0.1, 0.2, 0.3]),
    "frames in reverse: 1": (ROWS, "frame_index", [0, 1, 2, 3, 4, 3, 2, 1, 0]),
    "rows of the other episode: 01": (ROWS, "episode_index", [1] * 4 + [0] * 5),
    "a row of another episode: 17": (ROWS, "episode_index", [0] * 5 + [1] * 3 + [7]),
    "a task that is not listed: 1": (ROWS, "task_index", [0] * 8 + [99]),
    "a task that the episode has not: 1": (LISTED, "tasks", [["push the bar"], ["lift the bar"]]),
    "fewer rows than the length: 1": (LISTED, "dataset_to_index", [5, 8]),
    "seconds of more frames: 1": (LISTED, TO, [0.5, 1.2]),
    "rows that are missing: 1": (ROWS, "index", [0, 1, 2, 3, 4, 5, 6, 8, 9]),
}
REFUSED: dict[str, tuple[str, str, list[Any]]] = {
    "lists episode 0 2 times": (LISTED, "episode_index", [0, 0]),
    "episodes 0 and 1 lie on the same rows": (LISTED, "dataset_from_index", [0, 4]),
    "episodes 0 and 1 lie on the same seconds": (LISTED, FROM, [0.0, 0.3]),
    "tells of 9 frames, the episodes have 8": (LISTED, "length", [5, 3]),
}


def replaced(file: Path, column: str, values: list[Any]) -> None:
    edited(file, **{column: lambda _: values})


def test_what_contradicts_itself_is_not_imported(tmp_path: Path) -> None:
    """Each thing that the layout states twice: an episode is left out, or the lists of episodes are refused."""
    robot, out = robot_data(tmp_path / "robot"), tmp_path / "out"
    assert import_lerobot(robot, out).left_out == ()
    for named, (file, column, values) in (REFUSED | LEFT_OUT).items():
        before = (robot / file).read_bytes()
        replaced(robot / file, column, values)
        if named in REFUSED:
            with pytest.raises(FileProblem, match=named):
                import_lerobot(robot, out)
        else:
            found = import_lerobot(robot, out)
            assert {item.key for item in found.left_out} == {f"episode {index}" for index in named.split()[-1]}, named
            assert (found.new, found.changed) == (0, 0), named
        (robot / file).write_bytes(before)


def test_totals_and_rates_are_compared(tmp_path: Path) -> None:
    short = import_lerobot(robot_data(tmp_path / "short", total_episodes=4), tmp_path / "out")
    assert [item.key for item in short.left_out] == ["2 episodes"] and short.clips == 2
    with pytest.raises(FileProblem, match="tells of 1 episodes, and meta/episodes lists 2"):
        import_lerobot(robot_data(tmp_path / "more", total_episodes=1), tmp_path / "none")
    slow = robot_data(tmp_path / "slow")
    video.write(next(slow.rglob("*.mp4")), frames_of(9, 1), 5.0)
    reason = import_lerobot(slow, tmp_path / "none").left_out[0].reason
    assert "has 5 frames a second, and meta/info.json says fps 10" in reason


def test_an_episode_begins_where_its_timestamp_says(tmp_path: Path) -> None:
    """Also where it has the file to itself, of which the first frames then belong to no action."""
    robot, out = robot_data(tmp_path / "robot"), tmp_path / "out"
    replaced(robot / LISTED, "videos/observation.images.top/file_index", [0, 1])
    replaced(robot / LISTED, FROM, [0.2, 0.0])
    replaced(robot / LISTED, TO, [0.7, 0.4])
    film = next(robot.rglob("*.mp4"))
    other = film.with_name("file-001.mp4")
    video.write(other, frames_of(4, 1), 10.0)
    assert import_lerobot(robot, out).left_out == ()
    shown = video.read(out / "0000/episode-000000.mp4").frames
    assert np.abs(shown.astype(int) - frames_of(9, 1)[2:7]).mean() < 6
    assert (out / "0000/episode-000001.mp4").read_bytes() == other.read_bytes()
    video.write(film, frames_of(5, 1), 10.0)
    assert "has 3 frames from 0.2 s on, expected 5" in import_lerobot(robot, out).left_out[0].reason


def test_episodes_of_another_split_are_held_out(tmp_path: Path) -> None:
    robot, out = robot_data(tmp_path / "robot"), tmp_path / "out"
    assert import_lerobot(robot, out).heldout == 0
    info = json.loads((robot / "meta/info.json").read_text())
    write_json(robot / "meta/info.json", info | {"splits": {"train": "0:1", "val": "1:2"}})
    found = import_lerobot(robot, out)
    assert (found.clips, found.heldout, found.changed) == (2, 1, 1)
    assert "1 episode is of split 'val' by meta/info.json, and held out" in found.notes
    taken = scan_folder(out).clips
    assert [clip.file for clip in taken] == ["0000/episode-000000.mp4"]
    assert [clip.file for clip in scan_folder(out / "heldout").clips] == ["0000/episode-000001.mp4"]
    encoded = [{"source": {"file": clip.file, "sha256": file_sha256(clip.path)}} for clip in taken]
    assert changes_since_rendering(out, encoded) == []
    assert find_splits(out / "heldout") == ["heldout", "train"]
    assert not [finding for finding in audit_dataset(out) if finding.serious]
    replaced(robot / ROWS, "frame_index", [4, 3, 2, 1, 0, 0, 1, 2, 3])  # and so episode 0 is left out
    write_json(robot / "meta/info.json", info | {"splits": {"test": "0:2"}})
    found = import_lerobot(robot, out)
    assert (found.clips, found.heldout, len(found.left_out)) == (1, 1, 1)  # what it was before is no training clip
    write_json(robot / "meta/info.json", info | {"splits": {"train": "all"}})
    with pytest.raises(FileProblem, match="the split 'train' is 'all', expected FIRST:END"):
        import_lerobot(robot, out)


def test_a_round_trip_keeps_split_licence_and_authors(tmp_path: Path) -> None:
    source = dataset(tmp_path / "source", SCHEMAS["discrete"])
    about = json.loads((source / "dataset.json").read_text()) | {"split": "heldout", "licence": "CC-BY-NC-4.0"}
    write_sealed(source / "dataset.json", {name: value for name, value in about.items() if name != "seal"})
    content = file_sha256(source / "0000/clip-1.mp4")
    Recaptions(source).add("0000/clip-1.mp4", content, "long", {"kind": "test", "model": "m"}, "a white bar moves")
    before = read_dataset(source)
    export_lerobot(before, tmp_path / "robot")
    assert json.loads((tmp_path / "robot/meta/info.json").read_text())["splits"] == {"heldout": "0:3"}
    for _ in range(2):
        import_lerobot(tmp_path / "robot", tmp_path / "back")
        after = read_dataset(tmp_path / "back")
        for name in ("split", "sha256", "captions", "rights", "written"):
            assert [getattr(item, name) for item in after.items] == [getattr(item, name) for item in before.items]
    assert len((tmp_path / "back/heldout/recaptions.jsonl").read_text().splitlines()) == 1
    edited(tmp_path / "robot" / LISTED, written=None, captions=None)
    import_lerobot(tmp_path / "robot", tmp_path / "back")
    assert not (tmp_path / "back/heldout/recaptions.jsonl").exists()


def test_an_episode_without_its_video_is_left_out(tmp_path: Path) -> None:
    source = dataset(tmp_path / "source", SCHEMAS["discrete"])
    export_lerobot(read_dataset(source), tmp_path / "robot")
    film = tmp_path / "robot" / VIDEO.format(video_key="observation.image", chunk_index=0, file_index=1)
    film.write_bytes(film.read_bytes()[:100])
    imported = import_lerobot(tmp_path / "robot", tmp_path / "out")
    assert imported.clips == 2
    assert [item.key for item in imported.left_out] == ["episode 1"]


def test_videos_that_exchanged_names_are_left_out(tmp_path: Path) -> None:
    """Each would be learned with the actions of the other."""
    export_lerobot(read_dataset(dataset(tmp_path / "source", SCHEMAS["discrete"])), tmp_path / "robot")
    one, two, _ = sorted((tmp_path / "robot").rglob("*.mp4"))
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)
    found = import_lerobot(tmp_path / "robot", tmp_path / "out")
    assert (found.clips, [item.key for item in found.left_out]) == (1, ["episode 0", "episode 1"])
    assert "is not the video that was exported with these actions" in found.left_out[0].reason
    write_json(tmp_path / "robot" / "meta/chronotope.json", {})  # changed on purpose
    found = import_lerobot(tmp_path / "robot", tmp_path / "out")
    assert not any("was exported with" in item.reason for item in found.left_out) and found.new >= 1


def test_clips_that_lerobot_cannot_hold_are_refused(tmp_path: Path) -> None:
    source = dataset(tmp_path / "source", SCHEMAS["discrete"])
    whole = read_dataset(source)
    export_lerobot(whole, tmp_path / "robot")
    with pytest.raises(UsageError, match="exists; give another --out"):
        export_lerobot(whole, tmp_path / "robot")
    (tmp_path / "plain").mkdir()
    video.write(tmp_path / "plain/a.mp4", frames_of(4, 1), 10.0)
    done = run("export", str(tmp_path / "plain"), "--format", "lerobot")
    assert done.exit_code == 2
    assert "holds no actions" in done.stderr
