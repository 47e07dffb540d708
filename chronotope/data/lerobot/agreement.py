"""Whether a dataset of LeRobot agrees with itself: what its tables and `meta/info.json` state twice is compared.

A contradiction within an episode leaves it out; one about which episodes there are, and where, ends the import.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chronotope.data.lerobot.layout import INFO, TASKS
from chronotope.errors import FileProblem
from chronotope.manifest import LeftOut

__all__ = ["check_dataset", "check_episode", "rows_by_episode", "rows_of"]

Rows = Mapping[str, np.ndarray]  # columns of the rows of data, in the order of their index
_COPY = "get a complete copy, or mend the tables"
_CLOSE = 0.5  # of a frame: LeRobot takes the frame whose time is nearest


def check_dataset(
    info: Mapping[str, Any], episodes: Sequence[Mapping[str, Any]], camera: str, rows: Rows
) -> list[LeftOut]:
    """Compare the lists of episodes; return what they name that is not there.

    Raises FileProblem for an episode that is listed twice, for two that share rows or frames, and for other totals than
    `info` states.
    """
    counts = Counter(int(episode["episode_index"]) for episode in episodes)
    if twice := [index for index, count in counts.items() if count > 1]:
        raise FileProblem(
            f"meta/episodes lists episode {twice[0]} {counts[twice[0]]} times, expected once; number the episodes anew"
        )
    if (least := min(counts, default=0)) < 0:
        raise FileProblem(f"meta/episodes lists episode {least}, expected numbers from 0; number the episodes anew")
    _refuse_shared("rows", [(("",), *_rows_span(episode), episode["episode_index"]) for episode in episodes], 0)
    films = [(_film(camera, episode), *_seconds(camera, episode), episode["episode_index"]) for episode in episodes]
    _refuse_shared("seconds of a video", films, _CLOSE / float(info["fps"]))
    total = info.get("total_episodes", len(episodes))
    if total != len(episodes) and not (isinstance(total, int) and total > len(episodes)):
        raise FileProblem(f"{INFO} tells of {total} episodes, and meta/episodes lists {len(episodes)}; {_COPY}")
    frames = sum(int(episode["length"]) for episode in episodes)
    if total == len(episodes) and info.get("total_frames", frames) != frames:
        raise FileProblem(f"{INFO} tells of {info['total_frames']} frames, the episodes have {frames}; {_COPY}")
    missing = []
    if total != len(episodes):
        told = f"{INFO} tells of {total} episodes, and meta/episodes lists {len(episodes)}; get a complete copy"
        missing.append(LeftOut(f"{total - len(episodes)} episodes", told))
    strange = sorted(set(rows["episode_index"].tolist()) - counts.keys()) if "episode_index" in rows else []
    reason = "the rows of data name it, and meta/episodes does not list it; get a complete copy"
    return missing + [LeftOut(f"episode {index}", reason) for index in strange]


def check_episode(
    episode: Mapping[str, Any],
    camera: str,
    fps: float,
    rows: Rows,
    tasks: Mapping[int, str] | None,
    named: Mapping[int, int],
) -> None:
    """Raise FileProblem where the length, rows, times or tasks of an episode contradict each other.

    `named` says how many rows of data name each episode, see `rows_by_episode`.
    """
    index, length = int(episode["episode_index"]), int(episode["length"])
    (first, end), (start, stop) = _rows_span(episode), _seconds(camera, episode)
    if length < 1 or end - first != length:
        raise FileProblem(
            f"its length is {length}, and its rows are {first} to {end} (dataset_from_index, dataset_to_index), "
            f"{end - first} rows; {_COPY}"
        )
    if not abs((stop - start) * fps - length) <= _CLOSE:  # also of times that are no numbers
        raise FileProblem(
            f"its video lasts from {start:g} to {stop:g} s (from_timestamp, to_timestamp), expected {length / fps:g} s "
            f"for its length of {length} frames at fps {fps:g}; {_COPY}"
        )
    own = rows_of(rows, first, length)
    counted = np.arange(length)
    if "timestamp" in own:
        _compare("timestamp", own["timestamp"], counted / fps, first, _CLOSE / fps)
    if "frame_index" in own:
        _compare("frame_index", own["frame_index"], counted, first)
    if "episode_index" in own:
        _compare("episode_index", own["episode_index"], np.full(length, index), first)
        if (count := named.get(index, 0)) != length:
            raise FileProblem(
                f"{count} rows of data name it as their episode_index, and its length is {length}; {_COPY}"
            )
    if tasks is not None and "task_index" in own:
        _check_tasks(episode, own["task_index"], tasks)


def rows_by_episode(rows: Rows) -> dict[int, int]:
    """Return how many rows of data name each episode; {} where the tables do not say."""
    found, counts = np.unique(rows.get("episode_index", np.zeros(0, int)), return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def rows_of(rows: Rows, first: int, length: int) -> dict[str, np.ndarray]:
    """Return the rows of an episode, by their `index`; raise FileProblem where they are not all there, once each."""
    at = int(np.searchsorted(rows["index"], first))
    own = {name: column[at : at + length] for name, column in rows.items()}
    if not np.array_equal(own["index"], np.arange(first, first + length)):
        raise FileProblem(f"rows {first} to {first + length} are not all there, once each; {_COPY}")
    return own


def _check_tasks(episode: Mapping[str, Any], used: np.ndarray, tasks: Mapping[int, str]) -> None:
    numbers = sorted(set(used.tolist()))
    if unknown := [number for number in numbers if number not in tasks]:
        raise FileProblem(f"its rows name the task_index {unknown[0]}, which {TASKS} does not have; {_COPY}")
    named, listed = {tasks[number] for number in numbers}, set(map(str, episode.get("tasks") or ()))
    if listed and named != listed:
        raise FileProblem(
            f"its tasks are {sorted(listed)} in meta/episodes, and {sorted(named)} by the task_index of its rows; "
            f"{_COPY}"
        )


def _compare(name: str, found: np.ndarray, expected: np.ndarray, first: int, close: float = 0.0) -> None:
    wrong = ~(np.abs(found - expected) <= close)  # also of times that are no numbers
    if wrong.any():
        at = int(wrong.argmax())
        raise FileProblem(f"row {first + at}: its {name} is {found[at]:g}, expected {expected[at]:g}; {_COPY}")


def _refuse_shared(what: str, spans: Sequence[tuple[tuple[Any, ...], float, float, Any]], close: float) -> None:
    """Raise FileProblem where two of some (place, from, to, episode) overlap by more than `close`."""
    for before, after in itertools.pairwise(sorted(spans)):
        if before[0] == after[0] and after[1] < before[2] - close:
            raise FileProblem(
                f"the episodes {before[3]} and {after[3]} lie on the same {what} ({before[1]:g} to {before[2]:g} and "
                f"{after[1]:g} to {after[2]:g}); {_COPY}"
            )


def _rows_span(episode: Mapping[str, Any]) -> tuple[int, int]:
    first = int(episode["dataset_from_index"])
    return first, int(episode.get("dataset_to_index", first + int(episode["length"])))


def _seconds(camera: str, episode: Mapping[str, Any]) -> tuple[float, float]:
    return float(episode[f"videos/{camera}/from_timestamp"]), float(episode[f"videos/{camera}/to_timestamp"])


def _film(camera: str, episode: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(episode[f"videos/{camera}/{name}"] for name in ("chunk_index", "file_index"))
