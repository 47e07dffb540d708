"""What `check` and `info` say of a folder of an evaluation: interrupted, mixed up, or of selected videos."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from chronotope.evaluate.ledger import Ledger
from chronotope.storage import read_json
from tests.cli.models import answer, refused, run


def words(out: Path, *more: str) -> list[str]:
    how = ["--suite", "smoke", "--first", "2", "--steps", "2", *more]
    return ["evaluate", "small", *how, "--out", str(out)]


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the best of two videos, of two cases."""
    out = tmp_path_factory.mktemp("selected") / "report"
    result = run(*words(out, "--best-of", "2"))
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the first videos of the same cases, so that the lists are alike."""
    out = tmp_path_factory.mktemp("other") / "first"
    result = run(*words(out))
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def copied(selected: Path, tmp_path: Path) -> Path:
    shutil.copytree(selected, tmp_path / "copied")
    assert "nothing is wrong" in run("check", tmp_path / "copied").stdout
    return tmp_path / "copied"


def test_an_interrupted_evaluation_is_named_with_the_command_that_goes_on(selected: Path) -> None:
    began = words(selected, "--best-of", "2")
    report = selected / "report.json"
    kept = report.read_bytes()
    report.unlink()  # the last file that is written
    try:
        facts = answer("info", selected)
        assert facts["kind"] == "evaluation without a report yet"
        assert (facts["planned"], facts["made"], facts["missing"]) == (2, 2, 0)
        looked = run("check", selected)
        assert looked.exit_code == 1 and "evaluation without a report yet, 1 wrong" in looked.stdout
        assert f"the same command goes on: {facts['go_on']}" in looked.stderr
        again = shlex.split(facts["go_on"])
        assert again[0] == "chronotope" and again[1:] == began
        assert run(*again[1:]).exit_code == 0  # it is the same: another one is refused
        assert report.read_bytes() == kept
    finally:
        report.write_bytes(kept)


def test_exchanged_sidecars_are_found(copied: Path) -> None:
    one, other = sorted((copied / "videos").glob("*.json"))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    looked = run("check", copied)
    assert looked.exit_code == 1 and "2 wrong" in looked.stdout
    assert looked.stderr.count("tells of another video than") == 2


def test_the_page_of_another_report_is_found(copied: Path, selected: Path, other: Path) -> None:
    shutil.copy(other / "index.html", copied / "index.html")
    looked = run("check", copied)
    assert looked.exit_code == 1 and "index.html is the page of another report" in looked.stderr
    page = copied / "index.html"
    page.write_text("".join(page.read_text().splitlines(keepends=True)[:-1]))  # as earlier versions wrote it
    codes = [
        [[failure["code"] for failure in case["failures"]] for case in read_json(folder / "report.json")["cases"]]
        for folder in (copied, other)
    ]
    assert codes[0] != codes[1]  # so that the lists of the pages differ
    assert "page of another report" in run("check", copied).stderr
    own = (selected / "index.html").read_text()
    page.write_text("".join(own.splitlines(keepends=True)[:-1]))
    assert "nothing is wrong" in run("check", copied).stdout


def test_numbers_of_selected_videos_say_so(selected: Path, copied: Path, other: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(other, tmp_path / "first"))  # measurements are added to it
    chosen = Ledger(selected / "ledger.jsonl").rows[0]["selection"]
    said = f"note: the videos of {selected} were selected: {chosen}"
    compared = run("compare", selected, other)
    assert compared.exit_code == 0 and said in compared.stderr and f"of {other} were selected" not in compared.stderr
    assert answer("compare", selected, other)["first"]["selection"] == chosen
    clips = ("--data", "small:2:10", "--baseline", "small:2:7:heldout")
    measured = run("memorisation", copied, *clips)  # which adds to the report
    assert measured.exit_code == 0 and said.replace(str(selected), str(copied)) in measured.stderr, measured.output
    assert "were selected" not in run("memorisation", other, *clips).stderr


def test_datasets_below_a_folder_are_checked_as_on_their_own(tmp_path: Path) -> None:
    """As `encode` does, which takes the clips of all of them."""
    for name, seed in (("one", 1), ("two", 2)):
        made = run("world", "stage", "--scope", "small", "--count", 2, "--seed", seed, "--out", tmp_path / name)
        assert made.exit_code == 0, made.output
    assert "nothing is wrong" in run("check", tmp_path).stdout
    first, second = sorted((tmp_path / "two").rglob("*.mp4"))
    first.unlink()
    shutil.copyfile(next((tmp_path / "one").rglob("*.mp4")), second)
    found = run("check", tmp_path)
    assert found.exit_code == 1 and f"{first} is missing" in found.stderr
    assert f"{second} is not as it was rendered" in found.stderr
    part = run("check", second.parent)  # a part of a dataset is compared with the manifest above it
    assert part.exit_code == 1 and f"{second} is not as it was rendered" in part.stderr
    whole = next(path.parent for path in (tmp_path / "one").rglob("*.mp4"))
    assert "nothing is wrong" in run("check", whole).stdout
    (tmp_path / "one" / "dataset.json").unlink()
    found = run("check", tmp_path)
    assert f"{tmp_path / 'one' / 'dataset.json'} is missing" in found.stderr


def test_a_report_of_other_videos_is_not_measured(copied: Path) -> None:
    """`memorisation` adds its numbers to the report, so they must be of the videos that were judged."""
    measure = ("memorisation", copied, "--data", "small:2:1", "--baseline", "small:2:1:heldout")
    one = next((copied / "videos").glob("*.mp4"))
    kept = one.read_bytes()
    one.write_bytes(kept + b"more")
    assert f"{one} is not the video that the ledger names; restore the folder" in refused(*measure, status=1)
    one.unlink()
    assert str(one) in refused(*measure, status=1)
    one.write_bytes(kept)
    assert "memorisation" not in read_json(copied / "report.json")
    (copied / "videos" / "strange.mp4").write_bytes(kept)  # was not judged, and is not counted
    done = run(*measure)
    assert done.exit_code == 0, done.output
    report = read_json(copied / "report.json")
    assert report["memorisation"]["videos"] == len(report["cases"])
