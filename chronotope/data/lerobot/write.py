"""Clips with actions -> a dataset in the layout of LeRobot: an episode a clip, its video file as it is."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chronotope.actions import SUFFIX, Actions, ActionSchema, read_actions
from chronotope.config import from_dict
from chronotope.data.exports.dataset import Dataset, Item, main_caption
from chronotope.data.lerobot.layout import (
    ABOUT,
    ACTION,
    CAMERA,
    CHUNK,
    DATA,
    EPISODES,
    INFO,
    STATS,
    TASKS,
    VERSION,
    VIDEO,
    VIDEOS,
    action_feature,
    pandas_metadata,
    parquet,
)
from chronotope.errors import UsageError
from chronotope.media import video
from chronotope.progress import Progress
from chronotope.storage import file_sha256, write_folder, write_json

__all__ = ["Exported", "export_lerobot"]

ROWS = 200_000  # of a file of data
SAMPLED = 32  # clips from which the statistics of pixels are taken


@dataclass(frozen=True)
class Exported:
    """How many episodes and frames were written, and how many pictures were left out."""

    episodes: int
    frames: int
    pictures: int


@dataclass(frozen=True)
class _Episode:
    item: Item
    actions: Actions
    index: int
    first: int  # row in the dataset
    file: int  # of data
    task: int


def export_lerobot(dataset: Dataset, out: Path, progress: Progress | None = None) -> Exported:
    """Write a folder that LeRobot reads; it is there complete or not at all.

    Raises UsageError where clips have no actions, or differ in size or frame rate, which LeRobot cannot hold.
    """
    parquet()
    schema = _schema(dataset)
    films = [item for split in dataset.splits for item in dataset.in_split(split) if not item.picture]
    _check_alike(films)
    if out.exists():
        raise UsageError(f"{out} exists; give another --out, or delete it")
    tasks = list(dict.fromkeys(main_caption(item.captions) for item in films))
    episodes, first = [], 0
    for index, item in enumerate(films):
        actions = read_actions(_beside(item.path), schema, item.frames)
        task = tasks.index(main_caption(item.captions))
        episodes.append(_Episode(item, actions, index, first, first // ROWS, task))
        first += item.frames

    def fill(folder: Path) -> None:
        _write_data(folder, schema, episodes)
        _write_meta(folder, schema, episodes, tasks)
        videos = {}
        for number, episode in enumerate(episodes, start=1):
            file = VIDEO.format(video_key=CAMERA, **_place(episode.index))
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(episode.item.path, target)
            videos[file] = file_sha256(target)
            if progress:
                progress(number, len(episodes))
        # the rights are those of a rendered or recorded dataset, which all clips share
        write_json(folder / ABOUT, {**(films[0].rights or {}), VIDEOS: videos})

    write_folder(out, fill)
    return Exported(len(episodes), first, len(dataset.items) - len(films))


def _beside(path: Path) -> Path:
    return path.with_name(path.stem + SUFFIX)


def _schema(dataset: Dataset) -> ActionSchema:
    if "actions" not in dataset.about:
        raise UsageError(
            f"{dataset.folder} holds no actions, which LeRobot is made for; export a dataset of `chronotope world "
            "crafter` or `chronotope record`"
        )
    return from_dict(ActionSchema, dataset.about["actions"])


def _check_alike(films: Sequence[Item]) -> None:
    if not films:
        raise UsageError("there are no videos, and an episode of LeRobot is one")
    for what, found in {
        "sizes": {f"{item.width}x{item.height}" for item in films},
        "frame rates": {f"{item.fps:g}" for item in films},
    }.items():
        if len(found) > 1:
            raise UsageError(
                f"clips of {len(found)} {what} ({', '.join(sorted(found))}), and a dataset of LeRobot has one; render "
                "or record with one size and rate"
            )
    if films[0].fps != round(films[0].fps):
        raise UsageError(f"clips of {films[0].fps:g} frames/s: LeRobot counts a whole number a second")


def _place(index: int) -> dict[str, int]:
    return {"chunk_index": index // CHUNK, "file_index": index % CHUNK}


def _write_data(folder: Path, schema: ActionSchema, episodes: Sequence[_Episode]) -> None:
    pyarrow, tables = parquet()
    for number, group in itertools.groupby(episodes, lambda episode: episode.file):
        rows = pyarrow.concat_tables([_rows(pyarrow, schema, episode) for episode in group])
        tables.write_table(rows, _made(folder / DATA.format(**_place(number))))


def _rows(pyarrow: Any, schema: ActionSchema, episode: _Episode) -> Any:
    """Return the rows of an episode: the action that is done on a frame is the one that leads to the next."""
    actions, count = episode.actions, len(episode.actions.values)
    end = np.array([schema.neutral or actions.values[-1]], schema.dtype)  # nothing is done on the last frame
    done = np.concatenate([actions.values[1:], end])
    frame = np.arange(count)
    columns = {
        ACTION: _vectors(pyarrow, done),
        "previous.action": _vectors(pyarrow, actions.values),
        "previous.known": pyarrow.array(actions.known),
        "previous.reward": pyarrow.array(actions.rewards),
        "next.reward": pyarrow.array(np.append(actions.rewards[1:], np.float32(0)).astype(np.float32)),
        "next.done": pyarrow.array(frame == count - 1),
        "timestamp": pyarrow.array((frame / episode.item.fps).astype(np.float32)),
        "frame_index": pyarrow.array(frame),
        "episode_index": pyarrow.array(np.full(count, episode.index)),
        "index": pyarrow.array(episode.first + frame),
        "task_index": pyarrow.array(np.full(count, episode.task)),
    }
    return pyarrow.table(columns)


def _vectors(pyarrow: Any, values: np.ndarray) -> Any:
    """Return a column of vectors; LeRobot holds those of one dimension as numbers."""
    flat = pyarrow.array(values.reshape(-1))
    return flat if values.shape[1] == 1 else pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _write_meta(folder: Path, schema: ActionSchema, episodes: Sequence[_Episode], tasks: Sequence[str]) -> None:
    pyarrow, tables = parquet()
    write_json(_made(folder / INFO), _info(schema, episodes, tasks))
    write_json(_made(folder / STATS), _statistics(episodes))
    listed = pyarrow.table({"task_index": pyarrow.array(range(len(tasks)), pyarrow.int64()), "task": list(tasks)})
    tables.write_table(listed.replace_schema_metadata(pandas_metadata()), _made(folder / TASKS))
    rows = [_episode_row(episode, tasks) for episode in episodes]
    tables.write_table(pyarrow.Table.from_pylist(rows), _made(folder / EPISODES.format(**_place(0))))


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _info(schema: ActionSchema, episodes: Sequence[_Episode], tasks: Sequence[str]) -> dict[str, Any]:
    item, rows = episodes[0].item, sum(episode.item.frames for episode in episodes)
    info = video.probe(item.path)
    camera = {
        "video.height": item.height,
        "video.width": item.width,
        "video.codec": info.codec,
        "video.pix_fmt": info.pixel_format,
        "video.is_depth_map": False,
        "video.fps": round(item.fps),
        "video.channels": 3,
        "has_audio": False,
    }
    names = ["height", "width", "channels"]
    action = action_feature(schema)
    numbers = {
        "previous.known": "bool",
        "previous.reward": "float32",
        "next.reward": "float32",
        "next.done": "bool",
        "timestamp": "float32",
        **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64"),
    }
    return {
        "codebase_version": VERSION,
        "robot_type": None,
        "total_episodes": len(episodes),
        "total_frames": rows,
        "total_tasks": len(tasks),
        "chunks_size": CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": round(item.fps),
        "splits": _splits(episodes),
        "data_path": DATA,
        "video_path": VIDEO,
        "features": {
            CAMERA: {"dtype": "video", "shape": [item.height, item.width, 3], "names": names, "info": camera},
            ACTION: action,
            "previous.action": action,
            **{name: {"dtype": kind, "shape": [1], "names": None} for name, kind in numbers.items()},
        },
    }


def _splits(episodes: Sequence[_Episode]) -> dict[str, str]:
    """Return the range of the episodes of each split, which follow each other."""
    groups = [(split, list(group)) for split, group in itertools.groupby(episodes, lambda one: one.item.split)]
    return {split: f"{group[0].index}:{group[-1].index + 1}" for split, group in groups}


def _episode_row(episode: _Episode, tasks: Sequence[str]) -> dict[str, Any]:
    item, place, data = episode.item, _place(episode.index), _place(episode.file)
    return {
        "episode_index": episode.index,
        "tasks": [tasks[episode.task]],
        "length": item.frames,
        "data/chunk_index": data["chunk_index"],
        "data/file_index": data["file_index"],
        "dataset_from_index": episode.first,
        "dataset_to_index": episode.first + item.frames,
        f"videos/{CAMERA}/chunk_index": place["chunk_index"],
        f"videos/{CAMERA}/file_index": place["file_index"],
        f"videos/{CAMERA}/from_timestamp": 0.0,
        f"videos/{CAMERA}/to_timestamp": item.frames / item.fps,
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
        "captions": json.dumps({level: list(texts) for level, texts in sorted(item.captions.items())}),
        "written": json.dumps([one.as_json() for one in item.written]),
    }


def _statistics(episodes: Sequence[_Episode]) -> dict[str, Any]:
    """Return minimum, maximum, mean and deviation of actions, rewards and pixels, by which LeRobot scales them."""
    actions = np.concatenate([episode.actions.values[1:] for episode in episodes]).astype(float)
    rewards = np.concatenate([episode.actions.rewards[1:] for episode in episodes]).astype(float)[:, None]
    chosen = episodes[:: max(1, len(episodes) // SAMPLED)]
    frames = np.concatenate([video.read(episode.item.path).frames[::4] for episode in chosen])
    pixels = _summary(frames.reshape(-1, 3) / 255, [3, 1, 1])
    return {ACTION: _summary(actions), "next.reward": _summary(rewards), CAMERA: pixels}


def _summary(values: np.ndarray, shape: Sequence[int] = (-1,)) -> dict[str, Any]:
    """Return the statistics of each column of values."""
    found = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    return {name: each.reshape(shape).tolist() for name, each in found.items()} | {"count": [len(values)]}
