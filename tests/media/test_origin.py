"""A written file as others see it: which record of its making is believed, and when its first frame is shown."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from chronotope.media import video
from tests.media.test_video_write import scene


@pytest.mark.parametrize("suffix", ["mp4", "gif", "png"])
def test_a_sidecar_that_cannot_be_of_its_file_is_not_believed(suffix: str, tmp_path: Path) -> None:
    """A file without tags, beside the record of another one: its size, its rate or its length tell."""
    path, count = tmp_path / f"a.{suffix}", 1 if suffix == "png" else 8
    video.write(path, scene(count), 8)
    height, width = scene(1).shape[1:3]
    own = {
        "program": "chronotope 0",
        "prompt": "a fox",
        "width": width,
        "height": height,
        "num_frames": count,
        "fps": 8,
    }
    for other in ({}, {"width": width + 8}, {"height": 2 * height}, {"num_frames": count + 1}, {"fps": 16.0}):
        path.with_name(f"{path.name}.json").write_text(json.dumps({**own, **other}))
        believed = not other or (count == 1 and "fps" in other)
        assert (video.read_origin(path) is not None) == believed, other


@pytest.mark.parametrize("watchable", [False, True])
def test_the_first_frame_is_at_the_beginning(watchable: bool, tmp_path: Path) -> None:
    """For other players too, also of a file that grows, which has no edit list."""
    with video.VideoWriter(tmp_path / "a.mp4", 8, watchable=watchable) as writer:
        for frame in scene(30):
            writer.add(frame)
        writer.finish()
    with av.open(str(tmp_path / "a.mp4"), options={"ignore_editlist": "1"} if watchable else {}) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == [number / 8 for number in range(30)]
