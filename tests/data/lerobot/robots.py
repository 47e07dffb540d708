"""Data of a robot, as LeRobot writes it, for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope.data.lerobot.layout import VIDEO
from chronotope.geometry import Frames
from chronotope.media import video
from chronotope.storage import write_json

pyarrow = pytest.importorskip("pyarrow", reason="pip install 'chronotope[parquet]'")
from pyarrow import parquet  # noqa: E402

__all__ = ["frames_of", "robot_data"]


def frames_of(count: int, seed: int) -> Frames:
    """A bar that moves one step of four pixels a frame, on a grey that tells the seed."""
    frames = np.full((count, 48, 64, 3), 40 * seed, np.uint8)
    for t in range(count):
        frames[t, :, 4 * (t % 16) : 4 * (t % 16) + 4] = 255
    return frames


def robot_data(folder: Path, **changes: Any) -> Path:
    """Two episodes of 5 and 4 frames in one video file, as LeRobot writes them."""
    camera = "observation.images.top"
    info = {
        "codebase_version": "v3.0",
        "robot_type": "so100",
        "fps": 10,
        "total_episodes": 2,
        "total_frames": 9,
        "video_path": VIDEO,
        "features": {
            camera: {"dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channels"]},
            "action": {"dtype": "float32", "shape": [2], "names": {"motors": ["pan", "lift"]}},
        },
    }
    write = {"meta/info.json": info | changes}
    rows = pyarrow.table(
        {
            "action": pyarrow.array([[float(t), -float(t)] for t in range(9)], pyarrow.list_(pyarrow.float32(), 2)),
            "index": list(range(9)),
            "timestamp": pyarrow.array(np.float32([0, 0.1, 0.2, 0.3, 0.4, 0, 0.1, 0.2, 0.3])),
            "frame_index": [0, 1, 2, 3, 4, 0, 1, 2, 3],
            "episode_index": [0] * 5 + [1] * 4,
            "task_index": [0] * 9,
        }
    )
    episodes = [
        {
            "episode_index": number,
            "tasks": ["push the bar"],
            "length": length,
            "dataset_from_index": first,
            "dataset_to_index": first + length,
            f"videos/{camera}/chunk_index": 0,
            f"videos/{camera}/file_index": 0,
            f"videos/{camera}/from_timestamp": first / 10,
            f"videos/{camera}/to_timestamp": (first + length) / 10,
        }
        for number, (first, length) in enumerate([(0, 5), (5, 4)])
    ]
    for name in ("meta/episodes/chunk-000", "data/chunk-000", f"videos/{camera}/chunk-000"):
        (folder / name).mkdir(parents=True)
    for name, content in write.items():
        write_json(folder / name, content)
    parquet.write_table(rows, folder / "data/chunk-000/file-000.parquet")
    parquet.write_table(pyarrow.table({"task_index": [0], "task": ["push the bar"]}), folder / "meta/tasks.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(episodes), folder / "meta/episodes/chunk-000/file-000.parquet")
    video.write(folder / f"videos/{camera}/chunk-000/file-000.mp4", frames_of(9, 1), 10.0)
    return folder
