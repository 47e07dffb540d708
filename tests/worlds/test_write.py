"""A dataset on disk: whole, resumable, and saying where it came from."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope.config import from_dict
from chronotope.data.clips import find_clips
from chronotope.errors import FileProblem, UsageError
from chronotope.manifest import manifest_hash
from chronotope.media import video
from chronotope.sealed import write_sealed
from chronotope.worlds.splits import spec_key
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.write import DatasetRequest, write_dataset


def test_a_dataset_holds_what_it_says(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_dataset(
        tmp_path,
        DatasetRequest("stage", "small", "train", 7, 12),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(i + 1, 12) for i in range(12)]
    about = json.loads((tmp_path / "dataset.json").read_text())
    assert (about["world"], about["scope"], about["split"], about["seed"], about["count"]) == (
        "stage",
        "small",
        "train",
        7,
        12,
    )
    assert "MIT" in about["licence"]
    records = sorted((tmp_path / "0000").glob("*.json"))
    assert len(records) == 12
    kinds = set()
    for path in records:
        record = json.loads(path.read_text())
        spec = from_dict(Spec, record["spec"])
        assert path.stem == spec_key(spec)[:16]
        assert record["captions"] == {level: list(texts) for level, texts in captions(spec).items()}
        clip = render(spec)
        assert (np.load(path.with_suffix(".masks.npz"))["masks"] == clip.masks).all()
        assert np.allclose(record["truth"]["x"], clip.truth.x, atol=1e-3)
        suffix = ".png" if spec.num_frames == 1 else ".mp4"
        kinds.add(suffix)
        frames = video.read(path.with_suffix(suffix)).frames if suffix == ".mp4" else _picture(path.with_suffix(suffix))
        assert frames.shape == clip.frames.shape
        error = np.abs(frames.astype(int) - clip.frames).mean()
        assert error == 0 if suffix == ".png" else error < 6
    assert kinds == {".png", ".mp4"}
    assert not list(tmp_path.rglob("*.part*"))


def _picture(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path))[None]


def test_writing_again_fills_the_gaps_only(tmp_path: Path) -> None:
    write_dataset(tmp_path, DatasetRequest("stage", "shapes", "train", 1, 4))
    records = sorted((tmp_path / "0000").glob("*.json"))
    lost, kept = records[0], records[1]
    stamp, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    write_dataset(tmp_path, DatasetRequest("stage", "shapes", "train", 1, 4))
    assert lost.read_bytes() == content and kept.stat().st_mtime_ns == stamp


def test_one_size_for_all(tmp_path: Path) -> None:
    write_dataset(tmp_path, DatasetRequest("stage", "shapes", "train", 1, 3, size=(40, 24)))
    for path in (tmp_path / "0000").glob("*.json"):
        spec = json.loads(path.read_text())["spec"]
        assert (spec["width"], spec["height"]) == (40, 24)


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'small'"):
        write_dataset(tmp_path, DatasetRequest("stage", "smal", "train", 0, 1))
    with pytest.raises(UsageError, match="count"):
        write_dataset(tmp_path, DatasetRequest("stage", "small", "train", 0, 0))
    (tmp_path / "file").write_text("")
    with pytest.raises(FileProblem, match="cannot be created"):
        write_dataset(tmp_path / "file", DatasetRequest("stage", "shapes", "train", 0, 1))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_the_manifest_lists_what_is_there(tmp_path: Path) -> None:
    assert write_dataset(tmp_path, DatasetRequest("stage", "shapes", "train", 1, 4)) == 4
    rows, about = rows_of(tmp_path), json.loads((tmp_path / "dataset.json").read_text())
    assert [row["index"] for row in rows] == [0, 1, 2, 3] and about["manifest"] == manifest_hash(rows)
    listed = {name: facts for row in rows for name, facts in row["files"].items()}
    there = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "0000").iterdir()}
    assert set(listed) == there
    for name, facts in listed.items():
        data = (tmp_path / name).read_bytes()
        assert (facts["bytes"], facts["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_larger_count_adds_clips_and_a_smaller_one_keeps_them(tmp_path: Path) -> None:
    write_dataset(tmp_path, DatasetRequest("stage", "shapes", "train", 1, 2))
    first = rows_of(tmp_path)
    assert write_dataset(tmp_path, DatasetRequest("stage", "shapes", "train", 1, 4)) == 4
    assert rows_of(tmp_path)[:2] == first
    assert write_dataset(tmp_path, DatasetRequest("stage", "shapes", "train", 1, 3)) == 4
    assert len(rows_of(tmp_path)) == json.loads((tmp_path / "dataset.json").read_text())["count"] == 4


@pytest.mark.parametrize(
    "other",
    [
        DatasetRequest("stage", "shapes", "heldout", 1, 2),
        DatasetRequest("stage", "shapes", "train", 2, 2),
        DatasetRequest("stage", "small", "train", 1, 2),
        DatasetRequest("stage", "shapes", "train", 1, 2, size=(40, 24)),
        DatasetRequest("stage", "shapes", "train", 1, 2, pictures=0.5),
    ],
)
def test_two_datasets_never_mix(tmp_path: Path, other: DatasetRequest) -> None:
    write_dataset(tmp_path, DatasetRequest("stage", "shapes", "train", 1, 2))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name[0] != "."}
    with pytest.raises(UsageError, match="already holds another dataset"):
        write_dataset(tmp_path, other)
    assert before == {path: path.read_bytes() for path in before}
    with pytest.raises(UsageError, match="already holds other files"):
        write_dataset(tmp_path / "0000", other)


def test_an_interrupted_dataset_says_so_until_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = DatasetRequest("stage", "shapes", "train", 1, 3)
    seen: list[int] = []

    def interrupt(done: int, total: int) -> None:
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "d", request, interrupt)
    assert json.loads((tmp_path / "d/dataset.json").read_text())["complete"] is False
    with pytest.raises(UsageError, match="interrupted"):
        find_clips(tmp_path / "d")
    with pytest.raises(UsageError, match=r"interrupted dataset of 3 clips.*--count 3"):
        write_dataset(tmp_path / "d", DatasetRequest("stage", "shapes", "train", 1, 2))
    write_dataset(tmp_path / "d", request, lambda done, _: seen.append(done))
    assert seen == [1, 2, 3]  # the two clips that were done are not rendered again
    write_dataset(tmp_path / "whole", request)
    assert rows_of(tmp_path / "d") == rows_of(tmp_path / "whole")
    about = tmp_path / "d/dataset.json"  # killed before the last file was written
    write_sealed(about, {**json.loads(about.read_text()), "complete": False})
    write_dataset(tmp_path / "d", request)
    assert json.loads(about.read_text())["complete"] is True
    assert len(find_clips(tmp_path / "d")) == 3


WRITER = """
import sys
import time
from pathlib import Path
from chronotope.worlds.write import DatasetRequest, write_dataset
report = lambda done, _: print(done, flush=True)
write_dataset(Path(sys.argv[1]), DatasetRequest("stage", "shapes", "train", 3, 12), report, 2)
"""


def running(pid: int) -> bool:
    """Tell whether a process exists and is more than an entry that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_killed_with_its_workers_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    request = DatasetRequest("stage", "shapes", "train", 3, 12)
    for stop_after in (1, 4):
        job = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "d"], stdout=subprocess.PIPE)
        assert job.stdout is not None
        while job.stdout.readline() not in (f"{stop_after}\n".encode(), b""):
            pass
        workers = [int(pid) for pid in Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()]
        os.kill(job.pid, signal.SIGKILL)
        job.communicate()
        while any(map(running, workers)):  # workers end with their parent, and do not write into the next run
            time.sleep(0.05)
    write_dataset(tmp_path / "d", request)
    write_dataset(tmp_path / "whole", request)
    pixels = {row["key"] for row in rows_of(tmp_path / "whole")}
    assert {row["key"] for row in rows_of(tmp_path / "d")} == pixels and len(find_clips(tmp_path / "d")) == len(pixels)
    assert not [path for path in (tmp_path / "d").rglob("*") if "part" in path.name]
