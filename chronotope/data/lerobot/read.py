"""A dataset in the layout of LeRobot -> clips with actions, an episode a clip.

An episode whose frames are a whole video file keeps it as it is; those that are a part of one are decoded and encoded
again. An episode of another split than that of training is held out, in `heldout/`. The same command again goes on
where it was interrupted, and brings the folder up to date: episodes that were changed in the dataset are written anew,
and those that are gone are removed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from chronotope.actions import Actions, ActionSchema
from chronotope.arguments import described
from chronotope.config import to_dict
from chronotope.data.clips import SUFFIXES
from chronotope.data.exports.dataset import main_caption
from chronotope.data.layouts.authors import Line, lines_of, without_written, write_lines
from chronotope.data.lerobot.agreement import check_dataset, check_episode, rows_by_episode, rows_of
from chronotope.data.lerobot.layout import (
    ABOUT,
    ACTION,
    EPISODES,
    INFO,
    TASKS,
    VIDEO,
    VIDEOS,
    parquet,
    read_info,
    schema_of,
)
from chronotope.data.lerobot.splits import held_out_episodes
from chronotope.data.recaptions import Written, written_from_json
from chronotope.errors import ChronotopeError, FileProblem, UsageError
from chronotope.geometry import Frames
from chronotope.jsonl import append_jsonl, write_jsonl
from chronotope.manifest import LeftOut
from chronotope.media import video
from chronotope.progress import Progress
from chronotope.storage import file_sha256, read_json
from chronotope.worlds.world import Rendered
from chronotope.worlds.write import filled_folder, put_copy, write_clip

__all__ = ["Imported", "import_lerobot"]

OURS = ("previous.action", "previous.known", "previous.reward")
COLUMNS = (ACTION, "next.reward", *OURS, "index", "timestamp", "frame_index", "episode_index", "task_index")
_COPY = "get a complete copy"
RIGHTS = ("licence", "holder")  # of an export, in ABOUT


@dataclass(frozen=True)
class Imported:
    """How many clips the folder holds, and how many of them are new, were changed or are gone; notes; what is left out.

    A clip was changed where the video, the captions, the actions or the split of its episode were. Of all `clips`,
    `heldout` ones are held out.
    """

    clips: int
    heldout: int
    new: int
    changed: int
    gone: int
    notes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class _Source:
    folder: Path
    info: Mapping[str, Any]
    camera: str
    episodes: Sequence[Mapping[str, Any]]
    rows: Mapping[str, np.ndarray]  # columns of all rows, in the order of their index
    named: Mapping[int, int]  # how many rows name each episode
    tasks: Mapping[int, str] | None  # by task_index
    schema: ActionSchema
    heldout: frozenset[int]  # episodes
    notes: tuple[str, ...]
    missing: tuple[LeftOut, ...]  # what is named, and not there
    exported: Mapping[str, str]  # the hashes of the videos of an export of ours, by their names
    hashes: dict[Path, str] = field(default_factory=dict)  # of the video files so far

    @property
    def fps(self) -> float:
        return float(self.info["fps"])

    def sha256(self, film: Path) -> str:
        """Return the hash of a video file, which several episodes may share; FileProblem for one of another export."""
        if film not in self.hashes:
            try:
                self.hashes[film] = file_sha256(film)
            except OSError as problem:
                raise FileProblem(f"{film} cannot be read: {problem.strerror}; get a complete copy") from problem
        if self.exported.get(film.relative_to(self.folder).as_posix(), self.hashes[film]) != self.hashes[film]:
            raise FileProblem(
                f"{film} is not the video that was exported with these actions (SHA-256); {_COPY}, or delete "
                f"'{VIDEOS}' from {ABOUT} if it was changed on purpose"
            )
        return self.hashes[film]


def import_lerobot(folder: Path, out: Path, progress: Progress | None = None) -> Imported:
    """Read a dataset of LeRobot v3 and fill a folder with its episodes.

    Raises UsageError for other versions, for one without videos or actions, and for an `out` that holds something else;
    FileProblem where its tables are damaged or contradict each other. An episode whose video cannot be read, or whose
    rows contradict what is told of it, is left out.
    """
    source = _read(folder)
    about = {
        "world": "lerobot",
        "scope": str(source.info.get("robot_type") or "unknown robot"),
        "split": "train",
        "folder": str(folder.resolve()),
        "camera": source.camera,
        "actions": to_dict(source.schema),
        **_rights(folder),
    }
    left_out = list(source.missing)
    with filled_folder(out, about, ("world", "folder", "actions")) as rows:
        before = dict(rows)
        if source.heldout and not (out / "imported.jsonl").is_file():
            write_jsonl(out / "imported.jsonl", ())  # by which `heldout/` is known from the first clip on
        contents, problems = _contents(source)
        left_out += problems
        gone = _remove(out, rows, rows.keys() - {int(episode["episode_index"]) for episode in source.episodes})
        _remove(out, rows, _outdated(source, rows, contents))
        for number, episode in enumerate(source.episodes, start=1):
            index = int(episode["episode_index"])
            try:
                if index in contents and index not in rows:
                    rows[index] = _write(out, source, episode, contents[index])
                    append_jsonl(out / "manifest.jsonl", rows[index])
            except ChronotopeError as problem:
                left_out.append(LeftOut(f"episode {index}", str(problem)))
            if progress:
                progress(number, len(source.episodes))
        write_lines(out, _lines(rows.values()), [line.seal for line in _lines(before.values())])
    changed = sum(rows[index] != row for index, row in before.items() if index in rows)
    new = len(rows.keys() - before.keys())
    heldout = sum(map(_is_held_out, rows.values()))
    return Imported(len(rows), heldout, new, changed, gone, (*source.notes, *_notes(source)), tuple(left_out))


def _contents(source: _Source) -> tuple[dict[int, str], list[LeftOut]]:
    """Return the hash of what the clip of each episode is made of, and the episodes that cannot be imported."""
    contents, problems = {}, []
    for episode in source.episodes:
        index = int(episode["episode_index"])
        try:
            contents[index] = _content(source, episode)
        except ChronotopeError as problem:
            problems.append(LeftOut(f"episode {index}", str(problem)))
    return contents, problems


def _outdated(source: _Source, rows: Mapping[int, Mapping[str, Any]], contents: Mapping[int, str]) -> set[int]:
    """Return the clips of which something was changed, and those whose episode is of another split and unreadable."""
    changed = {index for index, wanted in contents.items() if index in rows and rows[index].get("content") != wanted}
    unread = rows.keys() - contents.keys()
    return changed | {index for index in unread if _is_held_out(rows[index]) != (index in source.heldout)}


def _is_held_out(row: Mapping[str, Any]) -> bool:
    return str(row["key"]).startswith("heldout/")


def _lines(rows: Iterable[Mapping[str, Any]]) -> list[Line]:
    """Return the lines on the captions of clips that programs wrote, as the rows of the manifest tell of them."""
    found = []
    for row in rows:
        clip = next(name for name in row["files"] if Path(name).suffix in SUFFIXES)
        found += lines_of(clip, row["files"][clip]["sha256"], written_from_json(row.get("written", [])) or ())
    return found


def _rights(folder: Path) -> dict[str, str]:
    """Return what an export of ours says of licence and holder; {} for a dataset of another program."""
    found = read_json(folder / ABOUT) if (folder / ABOUT).is_file() else {}
    rights = {name: found[name] for name in RIGHTS if name in found} if isinstance(found, dict) else None
    if rights is None or not all(isinstance(text, str) for text in rights.values()):
        raise FileProblem(
            f"{folder / ABOUT} holds {described(found)}, expected texts of {' and '.join(RIGHTS)}; {_COPY}"
        )
    return rights


def _exported(folder: Path) -> dict[str, str]:
    """Return the hashes of the videos of an export of ours by their names; {} for other datasets."""
    found = read_json(folder / ABOUT) if (folder / ABOUT).is_file() else {}
    videos = found.get(VIDEOS, {}) if isinstance(found, dict) else {}
    if not isinstance(videos, dict):
        raise FileProblem(f"{folder / ABOUT}: {VIDEOS} is {described(videos)}, expected hashes by file; {_COPY}")
    return videos


def _remove(out: Path, rows: dict[int, dict[str, Any]], indices: Collection[int]) -> int:
    """Remove the clips of some episodes, first from the manifest, then their files; return how many."""
    removed = [rows.pop(index) for index in sorted(indices)]
    if removed:
        write_jsonl(out / "manifest.jsonl", [rows[index] for index in sorted(rows)])
    for name in (name for row in removed for name in row["files"]):
        (out / name).unlink(missing_ok=True)
    return len(removed)


def _content(source: _Source, episode: Mapping[str, Any]) -> str:
    """Return the hash of all a clip is made of: video file, where it begins there, rate, split, captions, actions.

    Raises FileProblem where a part of it is missing or does not fit the rest.
    """
    index, length, first, start = _span(source.camera, episode)
    check_episode(episode, source.camera, source.fps, source.rows, source.tasks, source.named)
    film, actions = _film(source.folder, source.camera, episode), _actions(source, first, length)
    facts = [source.sha256(film), length, start, source.fps, index in source.heldout, *_captions(episode)]
    arrays = actions.values, np.where(actions.known, 1, 0), actions.rewards
    return hashlib.sha256(repr([*facts, *(values.tolist() for values in arrays)]).encode()).hexdigest()


def _read(folder: Path) -> _Source:
    _, tables = parquet()
    info = read_info(folder)
    features = info["features"]
    cameras = [name for name, feature in features.items() if feature.get("dtype") == "video"]
    if not cameras:
        raise UsageError(f"{folder} has no feature of videos (it has {', '.join(features)}), so there are no clips")
    if info.get("video_path") != VIDEO or {"", ".", ".."} & set(cameras[0].split("/")):
        raise UsageError(f"{folder}: videos at {info.get('video_path')} of {cameras[0]}, expected {VIDEO}")
    if ACTION not in features:
        raise UsageError(f"{folder} has no feature '{ACTION}' (it has {', '.join(features)})")
    fps = info.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < math.inf:
        raise FileProblem(f"{folder / INFO}: fps is {described(fps)}, expected the frames per second, a number above 0")
    try:
        episodes = _all_rows(tables, folder, Path(EPISODES).parts[:2]).to_pylist()
        table = _all_rows(tables, folder, ("data",)).sort_by("index")
        columns = {name: _column(table, name) for name in COLUMNS if name in table.column_names}
        episodes.sort(key=lambda row: row["episode_index"])
        for row in episodes:
            _span(cameras[0], row)
            _film(folder, cameras[0], row)
        tasks = _tasks(tables, folder)
        missing = check_dataset(info, episodes, cameras[0], columns)
    except (OSError, KeyError, ValueError, TypeError) as problem:
        raise FileProblem(f"{folder}: its tables are not those of LeRobot v3 ({problem!r})") from problem
    if ACTION not in columns:
        raise FileProblem(
            f"{folder / 'data'}: the tables have no column '{ACTION}' (they have {', '.join(table.column_names)}), "
            f"which {folder / INFO} names"
        )
    heldout, notes = held_out_episodes(info, [int(row["episode_index"]) for row in episodes])
    schema = schema_of(info, columns[ACTION])
    named, exported = rows_by_episode(columns), _exported(folder)
    return _Source(
        folder, info, cameras[0], episodes, columns, named, tasks, schema, heldout, notes, tuple(missing), exported
    )


def _tasks(tables: Any, folder: Path) -> dict[int, str] | None:
    """Return the tasks by their number; None where there is no table of them."""
    if not (folder / TASKS).is_file():
        return None
    table = tables.read_table(folder / TASKS)
    (texts,) = (name for name in table.column_names if name in ("task", "__index_level_0__"))
    return dict(zip(table["task_index"].to_pylist(), map(str, table[texts].to_pylist()), strict=True))


def _span(camera: str, episode: Mapping[str, Any]) -> tuple[int, int, int, float]:
    """Return the index of an episode, its number of rows, the first of them, and its start in its video in seconds."""
    index, length, first = (int(episode[name]) for name in ("episode_index", "length", "dataset_from_index"))
    return index, length, first, float(episode[f"videos/{camera}/from_timestamp"])


def _film(folder: Path, camera: str, episode: Mapping[str, Any]) -> Path:
    """Return the video file in which an episode lies."""
    place = {name: int(episode[f"videos/{camera}/{name}"]) for name in ("chunk_index", "file_index")}
    return folder / VIDEO.format(video_key=camera, **place)


def _all_rows(tables: Any, folder: Path, below: Sequence[str]) -> Any:
    pyarrow, _ = parquet()
    files = sorted(folder.joinpath(*below).glob("*/*.parquet"))
    if not files:
        raise FileProblem(f"{folder.joinpath(*below)} holds no tables")
    return pyarrow.concat_tables([tables.read_table(file) for file in files], promote_options="default")


def _column(table: Any, name: str) -> Shaped[np.ndarray, "t *d"]:
    """Return a column as an array; vectors of one dimension may be stored as numbers."""
    rows = table.column(name).to_pylist()
    for number, row in enumerate(rows):
        if any(one is None or one != one for one in (row if isinstance(row, list) else (row,))):
            raise FileProblem(
                f"row {number} of the column {name} holds {row}, expected a number in every place; complete the table"
            )
    lengths = sorted({len(row) for row in rows if isinstance(row, list)})
    if len(lengths) > 1:
        raise FileProblem(f"the column {name} holds rows of {lengths[0]} and of {lengths[-1]} numbers, expected equal "
                          "lengths; complete the table")  # fmt: skip
    values = np.array(rows)
    if values.dtype.kind not in "biuf":
        raise FileProblem(f"the column {name} holds {rows[0]!r}, expected numbers; write it as numbers")
    is_vector = name.endswith("action")
    return values.reshape(len(values), -1) if is_vector else values.reshape(len(values))


def _write(out: Path, source: _Source, episode: Mapping[str, Any], content: str) -> dict[str, Any]:
    """Write the clip of an episode and return its row of the manifest."""
    index, length, first, start = _span(source.camera, episode)
    fps, film = source.fps, _film(source.folder, source.camera, episode)
    info = video.probe(film)
    if abs(info.fps - fps) > 0.01 * fps:
        raise FileProblem(
            f"{film} has {info.fps:g} frames a second, and {INFO} says fps {fps:g}, so nothing tells which frames "
            f"belong to the actions; {_COPY}"
        )
    whole = info.num_frames == length and start < 0.5 / fps
    frames = np.zeros((0, 1, 1, 3), np.uint8) if whole else _frames(film, start, length, fps)
    captions, written = _captions(episode)
    record = {"captions": captions, "episode": index, "source": str(film.relative_to(source.folder))}
    key = f"{'heldout/' if index in source.heldout else ''}{index // 1000:04d}/episode-{index:06d}"
    (out / key).parent.mkdir(parents=True, exist_ok=True)
    actions = _actions(source, first, length)
    more = {"episode": index, "frames": length, "content": content}
    if written:
        more["written"] = [one.as_json() for one in written]
    put = partial(put_copy, film) if whole else None
    return write_clip(out, index, key, Rendered(frames, record, actions=actions), fps, record, more, put)


def _frames(film: Path, start: float, length: int, fps: float) -> Frames:
    """Return the frames of an episode that are a part of a file."""
    early = max(0.0, start - 0.25 / fps)  # times are rounded
    found = video.read(film, start=early, seconds=length / fps).frames
    if len(found) != length:
        raise FileProblem(f"{film} has {len(found)} frames from {start:g} s on, expected {length}")
    return found


def _captions(episode: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], tuple[Written, ...]]:
    """Return the captions of an episode but for those that programs wrote, and these."""
    try:
        written = written_from_json(json.loads(episode.get("written") or "[]"))
    except (ValueError, TypeError):
        written = None
    if written is None:
        raise FileProblem("the column written holds no captions with their authors, as `chronotope export` writes them")
    found = {level: tuple(texts) for level, texts in _all_captions(episode).items()}
    return without_written(found, written), written


def _all_captions(episode: Mapping[str, Any]) -> dict[str, list[str]]:
    tasks = [str(task) for task in episode.get("tasks") or () if str(task).strip()]
    if not episode.get("captions"):  # those of our own exports
        return {"sentence": tasks} if tasks else {}
    try:
        found = {str(level): list(map(str, texts)) for level, texts in json.loads(episode["captions"]).items()}
    except (ValueError, TypeError, AttributeError) as problem:
        raise FileProblem(f"the column captions holds no lists of texts by their level ({problem})") from problem
    main = main_caption({level: tuple(texts) for level, texts in found.items()})
    if tasks != [text for text in (main,) if text.strip()]:
        raise FileProblem(
            f"its tasks {tasks} are not its main caption '{main}'; delete the column captions of the episodes if tasks "
            "were edited"
        )
    return found


def _actions(source: _Source, first: int, length: int) -> Actions:
    """Return the actions that led to the frames of an episode: as we exported them, else each of the row before."""
    rows = rows_of(source.rows, first, length)
    if all(name in rows for name in OURS):
        values, known, rewards = (rows[name] for name in OURS)
        contradicts = (rows[ACTION][:-1] != values[1:]).any(axis=1) & known[1:].astype(bool)
        if contradicts.any():
            at = int(contradicts.argmax())
            raise FileProblem(
                f"row {first + at}: its {ACTION} {rows[ACTION][at].tolist()} is not the {OURS[0]} of the row after it, "
                f"{values[at + 1].tolist()}; delete the columns {', '.join(OURS)} if {ACTION} was edited"
            )
        if "next.reward" in rows and (differs := rows["next.reward"][:-1] != rewards[1:]).any():
            at = int(differs.argmax())
            raise FileProblem(
                f"row {first + at}: its next.reward {rows['next.reward'][at]:g} is not the {OURS[2]} of the row after "
                f"it, {rewards[at + 1]:g}; delete the columns {', '.join(OURS)} if next.reward was edited"
            )
        return Actions(source.schema.check(values), known.astype(bool), rewards.astype(np.float32))
    values = np.concatenate([rows[ACTION][:1], rows[ACTION][:-1]])
    rewards = np.concatenate([[0.0], rows["next.reward"][:-1]]) if "next.reward" in rows else np.zeros(length)
    return Actions(source.schema.check(values), np.arange(length) > 0, rewards.astype(np.float32))


def _notes(source: _Source) -> tuple[str, ...]:
    features = source.info["features"]
    others = [name for name, one in features.items() if one.get("dtype") == "video" and name != source.camera]
    return (f"the camera {source.camera} is read, not {', '.join(others)}",) if others else ()
