"""A curated dataset of small clips, with names and captions that other programs stumble over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from chronotope.cli.datasets.sources import raw_files
from chronotope.curate.decide import Filters
from chronotope.curate.rights import read_policy
from chronotope.curate.run import curate
from chronotope.data.captions import read_captions
from chronotope.media import video
from tests.curate.films import film, scene

HOSTILE = {
    "plain": "a red disc crosses a carpet",
    'quote"d': 'he said "stop" and\n| left | the | room |',
    "red.car.v2": "</script><script>alert(1)</script> & <img src=x onerror=alert(2)>",
    "\u65e5\u672c\u8a9e \u05e2\u05d1\u05e8": "\u4e00\u53ea\u72d0\u72f8 [link](javascript:alert(3)) `code` **bold**",
    "line\nbreak": "=1+1, 'quoted', \\n and a comma, C:\\temp",
    "model": "123",
}
RIGHTS = """
[[files]]
match = "plain.mp4"
licence = "CC-BY-4.0"
holder = "Jane <b>Doe</b>"
source = "https://example.org/holiday"
consent = "all persons shown have agreed | in writing"
[[files]]
match = "film.mp4"
licence = "LicenseRef-house"
holder = "The House"
"""


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of three shots, clips of hostile names, a still one, a picture, and a wreck."""
    folder = tmp_path_factory.mktemp("footage")
    rng = np.random.default_rng(0)
    video.write(folder / "film.mp4", np.stack(film(0, 3)[0]), 12)
    for name, text in HOSTILE.items():
        video.write(folder / f"{name}.mp4", np.stack(scene(rng, 12)), 12)
        (folder / f"{name}.txt").write_text(text)
    levels = {"sentence": ["one", "two"], "tags": ["a, b"], "story": ["0: a disc\n0.5: a carpet"], "mood": ["calm"]}
    (folder / "plain.txt").unlink()
    (folder / "plain.json").write_text(json.dumps({"captions": {**levels, "paragraph": [HOSTILE["plain"]]}}))
    video.write(folder / "still.mp4", np.stack([scene(rng, 1)[0]] * 20), 12)
    video.write_image(folder / "photo.png", scene(rng, 1)[0])
    (folder / "wreck.mp4").write_bytes((folder / "film.mp4").read_bytes()[:600])
    return folder


@pytest.fixture(scope="session")
def curated_once(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("curated") / "mine"
    rights = out.parent / "rights.toml"
    rights.write_text(RIGHTS)
    filters = Filters(heldout=0.3)
    policy = read_policy(rights, allow_unknown=True)
    curate(raw_files([footage], out), out, filters, policy, read_captions, "chronotope test", copy=True)
    return out


@pytest.fixture
def curated(curated_once: Path, tmp_path: Path) -> Path:
    """A dataset of nine and more clips in two splits, which a test may change."""
    shutil.copytree(curated_once, tmp_path / "mine")
    return tmp_path / "mine"
