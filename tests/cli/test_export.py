"""`export` as a user types it: what it says, what it refuses, and that what it writes is read by other commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from chronotope.media import video
from tests.cli.models import answer, files_in, refused, run
from tests.curate.films import scene


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    (folder / "films").mkdir()
    for name in ("dog", "cat", "fox", "hen"):
        video.write(folder / "films" / f"{name}.mp4", np.stack(scene(rng, 12)), 12)
        (folder / "films" / f"{name}.txt").write_text(f"a {name} crosses the yard")
    done = run("curate", folder / "films", "--out", folder / "mine", "--holder", "My Lab", "--heldout", "0.3", "--copy")
    assert done.exit_code == 0, done.stderr
    return folder / "mine"


@pytest.fixture
def data(once: Path, tmp_path: Path) -> Path:
    shutil.copytree(once, tmp_path / "mine")
    return tmp_path / "mine"


def test_shards_are_checked_described_and_imported(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    result = run("export", data, "--format", "webdataset", "--out", out, "--shard-size", "0.02")
    assert result.exit_code == 0 and result.stdout == f"{out}\n"
    assert "4 clips in " in result.stderr
    about = answer("info", out)
    assert (about["kind"], about["clips"]) == ("shards of a dataset", 4) and set(about["splits"]) == {
        "train",
        "heldout",
    }
    assert run("check", out).stdout == f"{out}: shards of a dataset, nothing is wrong\n"
    back = run("import", out, "--out", tmp_path / "back")
    assert back.exit_code == 0 and "4 clips, 2 of them held out: 4 new" in back.stderr
    assert answer("info", tmp_path / "back")["clips"] == about["splits"]["train"]
    checked = run("check", tmp_path / "back")
    assert checked.exit_code == 0, checked.output
    inspected = run("inspect", tmp_path / "back")
    assert inspected.exit_code == 0, inspected.stderr
    (out / "train-000000.tar").write_bytes(b"lost")
    wrong = run("check", out)
    assert wrong.exit_code == 1 and "train-000000.tar is missing or changed" in wrong.stderr


def test_descriptions_lie_in_the_dataset_and_are_noticed_when_they_are_old(data: Path, once: Path) -> None:
    shutil.copytree(once.parent / "films", data.parent / "films")
    (data.parent / "about.toml").write_text('description = "Animals."\nbiases = ["yards alone"]\n')
    about = "--about", data.parent / "about.toml"
    for name, file, options in (
        ("card", "card.md", about),
        ("croissant", "croissant.json", about),
        ("parquet", "curation.parquet", ()),
    ):
        result = run("export", data, "--format", name, *options)
        assert result.exit_code == 0 and result.stdout == f"{data / file}\n", result.stderr
        expects = "note: Croissant expects more, which --about can say: creators, published, url, version, citation"
        assert (expects in result.stderr) == (name == "croissant")
    assert "Animals." in (data / "card.md").read_text() and "yards alone" in (data / "card.md").read_text()
    assert json.loads((data / "croissant.json").read_text())["rai:dataBiases"] == ["yards alone"]
    clean = run("check", data)
    assert clean.exit_code == 0 and "`chronotope export` again" not in clean.stderr
    assert clean.stderr.count("left out") == clean.stderr.count("left out, held out for tests")
    again = run("curate", data.parent / "films", "--out", data, "--holder", "Another", "--heldout", "0.3", "--copy")
    assert again.exit_code == 0, again.stderr
    assert run("check", data).stderr.count("describes other clips, captions or rights") == 4  # croissant.jsonl, too
    for theirs in (data.parent / "mine.md", data.parent / "notes.toml"):
        theirs.write_text("of somebody else")
        refusal = run("export", data, "--format", "card", "--out", theirs)
        assert refusal.exit_code == 2 and theirs.read_text() == "of somebody else"
    written = run("export", data, "--format", "card", "--out", data.parent / "other.md")
    assert written.exit_code == 0 and (data.parent / "other.md").is_file()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--format", "vbench", "--out", "x"], 2, "make it with `chronotope export-suite`"),
        (["--format", "webdatset", "--out", "x"], 2, "Did you mean 'webdataset'?"),
        (["--format", "webdataset", "--out", "{data}/shards"], 2, "give another --out"),
        (["--format", "croissant", "--out", "x.json"], 2, "leave out --out"),
        (["--format", "card", "--out", "missing/card.md"], 2, "in a folder that exists"),
        (["--format", "card", "--out", "{data}"], 2, "in a folder that exists"),
        (["--format", "parquet", "--about", "about.toml"], 2, "leave it out"),
        (["--format", "card", "--about", "missing.toml"], 1, "missing.toml cannot be read"),
        (["--format", "webdataset", "--out", "x", "--shard-size", "0"], 2, "0.01<=x<=100000"),
        ([], 2, "Missing option '--format'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_make_sense_is_refused(
    data: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], status: int, message: str
) -> None:
    monkeypatch.chdir(data.parent)
    before = files_in(data.parent)
    assert message in refused("export", data, *(word.format(data=data) for word in words), status=status)
    assert files_in(data.parent) == before


def test_each_of_the_two_exports_names_the_other(data: Path) -> None:
    said = refused("export-suite", "--format", "croissant", "--prompts", "p.txt", "--out", "x", status=2)
    assert said == "croissant is a format of datasets; write it with `chronotope export DATA --format croissant`"
    assert "chronotope export`" in run("export-suite", "--help").stdout
    assert "export-suite" in run("export", "--help").stdout
