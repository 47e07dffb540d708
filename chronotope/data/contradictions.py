"""A clip and the files beside it -> where they contradict each other, and clips that are meant for evaluation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chronotope.data.captions import CaptionNote, Captions
from chronotope.errors import FileProblem, UsageError
from chronotope.media import video
from chronotope.prompt import read_story
from chronotope.storage import read_json
from chronotope.worlds.splits import key_of_record, split_of_record

__all__ = ["contradictions", "contradictions_beside", "is_our_record", "split_beside"]

_EXCHANGED = "it may be of another clip, so compare it with the clip and put the right one there"


def contradictions(path: Path, captions: Captions, num_frames: int, fps: float, size: str) -> Iterator[CaptionNote]:
    """Yield what the clip at `path` and the files beside it tell differently; `size` is such as "64x48".

    A clip of a world that was copied out of its dataset is said to be of a split that is not for training.
    """
    beside = video.sidecar(path)
    yield from contradictions_beside(path)
    if is_our_record(beside) and video.read_origin(path) is None:
        yield CaptionNote(beside, f"tells of another size, rate or number of frames than its clip; {_EXCHANGED}", True)
    record = path.with_suffix(".json")
    spec = _table(_object(record).get("spec"))
    told = spec.get("num_frames", num_frames), f"{spec.get('width')}x{spec.get('height')}"
    if spec and (told[0] != num_frames or ("width" in spec and "height" in spec and told[1] != size)):
        yield CaptionNote(record, f"its spec has another number of frames, or size, than its clip; {_EXCHANGED}", True)
    seconds = num_frames / fps
    if any(_last_beat(text) >= seconds for text in captions.get("story", ())):
        reason = (
            "a story has beats after the end of its clip, which are never shown, but for a first beat, which holds "
        )
        reason += "from the beginning; correct their seconds"
        yield CaptionNote(path, reason, True)


def contradictions_beside(path: Path) -> Iterator[CaptionNote]:
    """Yield those of `contradictions` for which no frame is read: of its tags and its record."""
    beside, record = video.sidecar(path), path.with_suffix(".json")
    if is_our_record(beside) and video.has_other_sidecar(path):
        yield CaptionNote(beside, f"tells of other settings than the tags of its video; {_EXCHANGED}", True)
    if (split := split_beside(path)) != "train" and not _in_dataset(path):
        reason = f"its spec is of split {split}, whose clips are meant for evaluation, not for training"
        yield CaptionNote(record, reason, True)


def split_beside(path: Path) -> str:
    """Return the split of the spec beside a clip that is named as worlds name clips; "train" where there is none."""
    spec = _table(_object(path.with_suffix(".json")).get("spec"))
    return split_of_record(spec) if spec and path.stem == key_of_record(spec)[:16] else "train"


def _in_dataset(path: Path) -> bool:
    """Return whether a clip lies in the dataset of a world, whose description names the split."""
    return any((folder / "dataset.json").is_file() for folder in path.absolute().parents[:2])


def _object(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file; {} where there is none."""
    with contextlib.suppress(FileProblem):
        return _table(read_json(file)) if file.is_file() else {}
    return {}


def _table(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}


def is_our_record(file: Path) -> bool:
    """Return whether a file is the record that this program writes beside what it makes."""
    return str(_object(file).get("program", "")).startswith("chronotope")


def _last_beat(text: str) -> float:
    """Return the second of the last beat of a story; 0 for a text without beats."""
    try:
        return read_story(text.splitlines())[-1][0]
    except (UsageError, IndexError):
        return 0.0
