"""What `check` and `info` say of a folder of an evaluation: interrupted, mixed up, or of selected videos."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from chronotope.evaluate.ledger import Ledger
from chronotope.storage import read_json
from tests.cli.models import answer, run


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
    one, other = sorted((copied / "videos").glob("*.mp4.json"))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    looked = run("check", copied)
    assert looked.exit_code == 1 and "2 wrong" in looked.stdout
    assert looked.stderr.count("tells of another video than") == 2


def test_the_page_of_another_report_is_found(copied: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert run(*words(other)).exit_code == 0  # of the same cases, so that the lists are alike
    shutil.copy(other / "index.html", copied / "index.html")
    looked = run("check", copied)
    assert looked.exit_code == 1 and "index.html is the page of another report" in looked.stderr
    page = copied / "index.html"
    page.write_text("".join(page.read_text().splitlines(keepends=True)[:-1]))  # as earlier versions wrote it
    lists = [[case["success"] for case in read_json(folder / "report.json")["cases"]] for folder in (copied, other)]
    assert ("page of another report" in run("check", copied).stderr) == (lists[0] != lists[1])


def test_numbers_of_selected_videos_say_so(selected: Path, tmp_path: Path) -> None:
    other = tmp_path / "first"
    assert run(*words(other)).exit_code == 0
    chosen = Ledger(selected / "ledger.jsonl").rows[0]["selection"]
    said = f"note: the videos of {selected} were selected: {chosen}"
    compared = run("compare", selected, other)
    assert compared.exit_code == 0 and said in compared.stderr and f"of {other} were selected" not in compared.stderr
    assert answer("compare", selected, other)["first"]["selection"] == chosen
    clips = other / "videos"
    measured = run("memorisation", selected, "--data", clips, "--baseline", "small:4:5")
    assert measured.exit_code == 0 and said in measured.stderr, measured.output
    assert "were selected" not in run("memorisation", other, "--data", clips, "--baseline", "small:4:5").stderr
