"""`chronotope world table`: a dataset like the stage's, which encode and info understand; what is missing is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from chronotope.config import from_dict
from chronotope.data.captions import read_captions
from chronotope.data.clips import find_clips
from chronotope.media import video
from chronotope.worlds.splits import spec_key, split_of, split_of_record
from chronotope.worlds.table.spec import TableSpec
from tests.cli.models import answer, files_in, refused, run
from tests.worlds.table.tables import needs_pictures

WORDS = "world table --count 2 --size 48x32 --seed 4 --pictures 0.5 --split heldout --out".split()
OTHER_SEED = [*WORDS[: WORDS.index("4")], "5", *WORDS[WORDS.index("4") + 1 :]]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_dataset_of_tables() -> None:
    needs_pictures()
    result = run(*WORDS, "tables")
    assert (result.exit_code, result.stdout) == (0, "tables\n"), result.stderr
    first = {name: Path("tables", name).read_bytes() for name in files_in(Path("tables"))}
    records = sorted(Path("tables", "0000").glob("*.json"))
    assert len(records) == 2 and not any(".part" in name for name in first)
    for path in records:
        record = json.loads(path.read_text())
        spec = from_dict(TableSpec, record["spec"])
        assert path.stem == spec_key(spec)[:16] and split_of(spec) == "heldout"
        assert split_of_record(record["spec"]) == "heldout"
        frames = 1 if spec.num_frames == 1 else len(video.read(path.with_suffix(".mp4")).frames)
        masks = np.load(path.with_suffix(".masks.npz"))["masks"]
        depth = np.load(path.with_suffix(".depth.npz"))["millimetres"]
        assert frames == spec.num_frames and masks.shape == depth.shape == (frames, 32, 48)
        for t, present in enumerate(record["truth"]["visible_fraction"]):
            assert {i + 1 for i, share in enumerate(present) if share > 0} == set(np.unique(masks[t])) - {0}
        matrix, place = np.array(record["truth"]["camera"][0]), np.array([*record["truth"]["position"][0][0], 1])
        assert (matrix @ place)[:2] / (matrix @ place)[2] == pytest.approx(
            [record["truth"][a][0][0] for a in "xy"], abs=0.1
        )
    found = find_clips(Path("tables"))
    assert len(found) == 2 and all({"tags", "sentence", "paragraph"} <= set(read_captions(clip.path)) for clip in found)
    lost = records[0].read_bytes()
    records[0].unlink()
    assert run(*WORDS, "tables").exit_code == 0 and records[0].read_bytes() == lost
    assert answer("info", "tables")["dataset"]["world"] == "table"
    assert "already holds another dataset (seed 4, asked for 5)" in refused(*OTHER_SEED, "tables", status=2)
    assert "world table" in refused("world", "stage", "--count", "1", "--out", "tables", status=2)


def test_a_missing_engine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    assert "pip install 'chronotope[table]'" in refused(*WORDS, "tables", status=1)


def test_no_opengl_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_pictures()
    from chronotope.worlds.table import opengl

    def fail(*_: object) -> None:
        raise RuntimeError("no device")

    opengl._gl_context.cache_clear()
    monkeypatch.setattr(pytest.importorskip("mujoco.egl"), "GLContext", fail)
    assert "apt-get install libegl1" in refused(*WORDS, "tables", status=1)
