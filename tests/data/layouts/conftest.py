"""One small clip, which all layouts of these tests use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chronotope.media import video


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    video.write(path, np.full((4, 32, 32, 3), 120, np.uint8), 8.0)
    return path


@pytest.fixture
def place(clip: Path) -> Callable[..., Path]:
    """`place(folder, names..., files={name: text})`: clips, each of other bytes, and files of these contents."""

    def fill(folder: Path, *names: str, files: dict[str, str | bytes] | None = None) -> Path:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            data = name.encode()  # in a box that players skip, so that no two clips have the same content
            box = (8 + len(data)).to_bytes(4, "big") + b"free" + data
            (folder / name).write_bytes(clip.read_bytes() + (box if name.endswith(".mp4") else b""))
        for name, text in (files or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder

    return fill
