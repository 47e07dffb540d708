"""Clips that change while they are encoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chronotope.media import video
from tests.data.test_encode import counts, encode, listed, save_clip


def test_a_clip_that_is_replaced_and_put_back_while_it_is_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the frames of one content would be listed under the hash of another, which nothing could tell later."""
    clips = tmp_path / "d"
    for number, name in enumerate("abc"):
        save_clip(clips / f"{name}.mp4", frames=4 + number, colour=60 * number)
    kept, real = (clips / "a.mp4").read_bytes(), video.read

    def read(path: Path, **options: Any) -> video.Video:
        if path.name != "a.mp4":
            return real(path, **options)
        path.write_bytes((clips / "b.mp4").read_bytes())
        found = real(path, **options)
        path.write_bytes(kept)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(video, "read", read)
        found = encode(clips)
    (left_out,) = found.left_out
    assert left_out.key == "d/a" and "was changed while it was read" in left_out.reason
    assert list(listed(clips)) == ["d/b", "d/c"]
    assert counts(encode(clips)) == (3, 1, 0, 0, 0)  # the same command again
