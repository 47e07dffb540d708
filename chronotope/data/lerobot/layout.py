"""What LeRobotDataset v3.0 consists of: paths, columns, and how a schema of actions is described there.

A row holds an observation and the action that is done on it, and so leads to the next row; a clip of ours holds the
action that led to a frame. `next.reward` comes with the next row. Rows of our exports also have `previous.action`,
`previous.known` and `previous.reward`, which are ours as they are.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from chronotope.actions import ActionSchema
from chronotope.config import from_dict, to_dict
from chronotope.errors import FileProblem, UsageError
from chronotope.media.rights import RIGHTS_OF_LEROBOT
from chronotope.storage import read_json

__all__ = [
    "ABOUT",
    "ACTION",
    "CAMERA",
    "CHUNK",
    "DATA",
    "EPISODES",
    "INFO",
    "STATS",
    "TASKS",
    "VERSION",
    "VIDEO",
    "VIDEOS",
    "action_feature",
    "is_lerobot",
    "pandas_metadata",
    "parquet",
    "read_info",
    "schema_of",
]

VERSION = "v3.0"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
ABOUT = RIGHTS_OF_LEROBOT  # of our exports: licence and holder, which LeRobot has no place for
VIDEOS = "videos"  # in ABOUT: the SHA-256 of each video, by which one that was exchanged is known
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CHUNK = 1000  # files of a folder
CAMERA, ACTION = "observation.image", "action"


def parquet() -> tuple[Any, Any]:
    """Return pyarrow and its module of Parquet; raise UsageError where they are not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError("the layout of LeRobot needs pyarrow: pip install 'chronotope[parquet]'")
    return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")


def is_lerobot(folder: Path) -> bool:
    """Tell whether a folder is a dataset of LeRobot, of any version."""
    return (folder / INFO).is_file() and "codebase_version" in (folder / INFO).read_text(errors="replace")


def read_info(folder: Path) -> dict[str, Any]:
    """Read what describes a dataset; raise FileProblem where it is damaged, UsageError for another version."""
    info = read_json(folder / INFO)
    if not isinstance(info, dict) or not isinstance(info.get("features"), dict):
        raise FileProblem(f"{folder / INFO} is no description of a LeRobot dataset: it has no features")
    for name in (name for name, feature in info["features"].items() if not isinstance(feature, dict)):
        raise FileProblem(f"{folder / INFO}: the feature {name} is no object with a dtype")
    version = str(info.get("codebase_version"))
    if not version.startswith("v3."):
        raise UsageError(
            f"{folder} is a LeRobot dataset of version {version}, expected {VERSION}; convert it with "
            "`python -m lerobot.scripts.convert_dataset_v21_to_v30`"
        )
    return info


def action_feature(schema: ActionSchema) -> dict[str, Any]:
    """Return how the feature `action` is described; our schema, with the names of choices, stands in its `info`."""
    return {
        "dtype": np.dtype(schema.dtype).name,
        "shape": [schema.dims],
        "names": list(schema.names),
        "info": {"schema": to_dict(schema)},
    }


def schema_of(info: Mapping[str, Any], values: Shaped[np.ndarray, "t d"]) -> ActionSchema:
    """Return the schema of a dataset's actions: as we exported it, else with the bounds that `values` reach."""
    feature = info["features"][ACTION]
    described = (feature.get("info") or {}).get("schema")
    if described:
        return from_dict(ActionSchema, described)
    names = _names(feature.get("names"), values.shape[1])
    if np.issubdtype(values.dtype, np.integer):
        if values.min() < 0:
            raise UsageError(f"whole-numbered actions down to {values.min()}: expected numbers of choices, from 0")
        choices = tuple(tuple(str(number) for number in range(int(most) + 1)) for most in values.max(0))
        return ActionSchema("discrete" if len(names) == 1 else "multi-discrete", names, choices)
    low, high = values.min(0).astype(float), values.max(0).astype(float)
    high = np.where(high > low, high, low + 1.0)  # a joint that never moves
    neutral = (0.0,) * len(names) if ((low <= 0) & (high >= 0)).all() else ()
    return ActionSchema("continuous", names, low=tuple(low.tolist()), high=tuple(high.tolist()), neutral=neutral)


def _names(found: Any, dims: int) -> tuple[str, ...]:
    """Return the names of the dimensions, from a list or an object with one list; numbers where there are none."""
    if isinstance(found, Mapping) and len(found) == 1:
        found = next(iter(found.values()))
    if isinstance(found, list) and len(found) == dims:
        return tuple(str(name) for name in found)
    return tuple(f"action {number}" for number in range(dims))


def pandas_metadata() -> dict[bytes, bytes]:
    """Return the metadata by which pandas takes the column `task` of the tasks as their index."""
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
        for name, kind, numpy in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ]
    about = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    return {b"pandas": json.dumps(about).encode()}
