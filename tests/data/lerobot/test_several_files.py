"""LeRobot data in several files, chunks and cameras, which are compared in one pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope.actions import SUFFIX, ActionSchema, read_actions
from chronotope.config import from_dict
from chronotope.data.lerobot.agreement import check_episode, rows_by_episode
from chronotope.data.lerobot.layout import VIDEO
from chronotope.geometry import Frames
from chronotope.media import video
from chronotope.storage import write_json
from tests.cli.models import run
from tests.data.lerobot.robots import frames_of, robot_data

pyarrow = pytest.importorskip("pyarrow", reason="pip install 'chronotope[parquet]'")
from pyarrow import parquet  # noqa: E402


def several_files(folder: Path, counts: list[int]) -> Path:
    """Episodes of two cameras, whose films, rows and lists lie in several files and chunks, of other bounds each."""
    robot_data(folder)
    cameras = ("observation.images.top", "observation.images.wrist")
    info = json.loads((folder / "meta/info.json").read_text())
    info["features"][cameras[1]] = info["features"][cameras[0]]
    info |= {"total_episodes": len(counts), "total_frames": sum(counts)}
    write_json(folder / "meta/info.json", info)
    places = [(0, 0), (0, 0), (0, 1), (1, 0), (1, 0), (1000, 2)]  # of the films of the first camera
    episodes, films, first = [], dict[Path, list[Frames]](), 0
    for index, count in enumerate(counts):
        row = {"episode_index": index, "tasks": ["push the bar"], "length": count}
        row |= {"dataset_from_index": first, "dataset_to_index": first + count}
        for number, camera in enumerate(cameras):
            chunk, file = places[index] if number == 0 else (0, index // 3)
            parts = films.setdefault(folder / VIDEO.format(video_key=camera, chunk_index=chunk, file_index=file), [])
            start = sum(map(len, parts)) / 10
            row |= {f"videos/{camera}/chunk_index": chunk, f"videos/{camera}/file_index": file}
            row |= {f"videos/{camera}/from_timestamp": start, f"videos/{camera}/to_timestamp": start + count / 10}
            parts.append(frames_of(count, index) if number == 0 else 255 - frames_of(count, index))
        episodes.append(row)
        first += count
    for path, parts in films.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        video.write(path, np.concatenate(parts), 10.0)
    frame = np.concatenate([np.arange(count) for count in counts])
    table = pyarrow.table(
        {
            "action": pyarrow.array([[float(t), -float(t)] for t in range(first)], pyarrow.list_(pyarrow.float32(), 2)),
            "index": np.arange(first),
            "timestamp": (frame / 10).astype(np.float32),
            "frame_index": frame,
            "episode_index": np.repeat(np.arange(len(counts)), counts),
            "task_index": np.zeros(first, int),
        }
    )
    for where, found in (("data", table), ("meta/episodes", pyarrow.Table.from_pylist(episodes))):
        third = len(found) // 3
        for place, start, end in (("chunk-000/file-000", 0, third), ("chunk-000/file-001", third, 2 * third),
                                  ("chunk-001/file-000", 2 * third, len(found))):  # fmt: skip
            path = folder / where / f"{place}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(found.slice(start, end - start), path)
    return folder


def test_several_cameras_files_and_chunks_are_read(tmp_path: Path) -> None:
    """Every clip has the frames and the actions of its own episode, and of the camera that is named."""
    counts = [5, 7, 6, 5, 8, 9]
    robot = several_files(tmp_path / "robot", counts)
    done = run("import", str(robot), "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert "observation.images.top is read, not observation.images.wrist" in done.stderr
    first = 0
    for index, count in enumerate(counts):
        clip = tmp_path / f"out/0000/episode-{index:06d}.mp4"
        shown = video.read(clip).frames
        assert shown.shape == (count, 48, 64, 3)
        assert np.abs(shown.astype(int) - frames_of(count, index)).mean() < 8, index
        schema = from_dict(ActionSchema, json.loads((tmp_path / "out/dataset.json").read_text())["actions"])
        values = read_actions(clip.with_name(clip.stem + SUFFIX), schema, count).values
        assert values[1:, 0].tolist() == list(range(first, first + count - 1))
        first += count
    (robot / VIDEO.format(video_key="observation.images.top", chunk_index=1, file_index=0)).unlink()
    again = run("import", str(robot), "--out", str(tmp_path / "out"))
    assert again.exit_code == 3 and "left out: episode 3" in again.stderr and "left out: episode 4" in again.stderr


def test_episodes_are_compared_in_one_pass() -> None:
    """The rows of all are counted once: the work grows with the rows, not with rows times episodes."""

    class Counted(np.ndarray):
        compared = 0

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
            plain = [one.view(np.ndarray) if isinstance(one, Counted) else one for one in inputs]
            Counted.compared += max(np.size(one) for one in plain)
            return getattr(ufunc, method)(*plain, **named)

    count, length = 400, 5
    each = np.arange(count * length)
    rows = {"index": each, "episode_index": np.repeat(np.arange(count), length).view(Counted)}
    named = rows_by_episode(rows)
    for index in range(count):
        row = {"episode_index": index, "length": length, "dataset_from_index": index * length}
        row |= {"videos/c/from_timestamp": 0.0, "videos/c/to_timestamp": length / 10}
        check_episode(row, "c", 10.0, rows, None, named)
    assert 0 < Counted.compared < 10 * count * length


def test_options_that_an_import_of_lerobot_does_not_heed_are_refused(tmp_path: Path) -> None:
    robot = robot_data(tmp_path / "robot")
    done = run("import", str(robot), "--out", str(tmp_path / "out"), "--copy", "--follow-paths")
    assert done.exit_code == 2 and "leave out --copy, --follow-paths" in done.stderr and not (tmp_path / "out").exists()
