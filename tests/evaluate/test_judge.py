"""From a model, or from anybody's videos, to a report: nothing missing, nothing chosen, failures
of the system counted.
"""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest

from chronotope.errors import FileProblem, UsageError
from chronotope.evaluate.judge import Judged, check_folder, judge_folder, sample_cases
from chronotope.evaluate.ledger import Ledger
from chronotope.evaluate.make import Workers, maker
from chronotope.evaluate.page.html import write_page
from chronotope.evaluate.report import compare, make_report, read_report, success_rate, write_report
from chronotope.evaluate.suite import Case, make_suite
from chronotope.generate.pipeline import Generator
from chronotope.media import video
from chronotope.worlds.stage.render import render

CASES = make_suite("smoke")[:12]
ABOUT = {"program": "chronotope", "model": "somebody", "suite": "smoke", "videos": len(CASES)}


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos by a perfect stranger: the stage itself."""
    folder = tmp_path_factory.mktemp("truth")
    for case in CASES:
        video.write(folder / case.file, render(case.spec).frames, case.spec.fps)
    return folder


@pytest.fixture(scope="module")
def verdicts(truth: Path) -> list[Judged]:
    return judge_folder(truth, CASES, None, quiet)


def test_a_perfect_strangers_videos_succeed_after_compression(truth: Path, verdicts: list[Judged]) -> None:
    check_folder(truth, CASES)
    assert success_rate(verdicts).successes >= len(CASES) - 1
    assert sum(verdict.graded for verdict in verdicts) / len(CASES) > 0.95


@pytest.mark.slow
def test_another_implementation_that_knows_nothing_fails_honestly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for case in CASES:
        spec = case.spec
        noise = rng.integers(0, 256, (spec.num_frames, spec.height, spec.width, 3), np.uint8)
        video.write(tmp_path / case.file, noise, spec.fps)
    check_folder(tmp_path, CASES)
    assert success_rate(judge_folder(tmp_path, CASES, None, quiet)).successes == 0


def test_videos_that_do_not_fit_are_listed(truth: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    shutil.copytree(truth, folder)
    moving = [case for case in CASES if case.spec.num_frames > 4]
    (folder / moving[0].file).unlink()
    shorter, other_size, other_rate, broken = moving[1:5]
    video.write(folder / shorter.file, render(shorter.spec).frames[:-1], 8.0)
    video.write(folder / other_size.file, render(other_size.spec).frames[:, :32], 8.0)
    video.write(folder / other_rate.file, render(other_rate.spec).frames, 24.0)
    (folder / broken.file).write_bytes(b"no video")
    (folder / "holiday.mp4").write_bytes(b"mine")
    with pytest.raises(FileProblem) as problem:
        check_folder(folder, CASES)
    for words in (
        f"{moving[0].file} is missing",
        "holiday.mp4 belongs to no case",
        f"{shorter.file} has frames",
        f"{other_size.file} has height 32",
        f"{other_rate.file} runs at 24 frames",
        broken.file,
        "6 problems",
    ):
        assert words in str(problem.value), words


def test_a_model_is_sampled_once_planned_first_and_goes_on_where_it_stopped(model: str, tmp_path: Path) -> None:
    generator = maker(Generator.load(Path(model)), "model")
    too_long = dataclasses.replace(CASES[1], prompt="a fox " * 200)
    cases: list[Case] = [CASES[0], too_long, CASES[2]]

    def stop(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_cases(generator, cases, tmp_path, stop, ABOUT)
    halfway = Ledger(tmp_path / "ledger.jsonl")
    assert len(halfway.of("planned")) == 3 and len(halfway.of("done")) == 1
    with pytest.raises(FileProblem, match="2 planned and missing"):
        judge_folder(tmp_path / "videos", cases, halfway, quiet)
    first = (tmp_path / "videos" / cases[0].file).read_bytes()
    ledger = sample_cases(generator, cases, tmp_path, quiet, ABOUT)
    assert (tmp_path / "videos" / cases[0].file).read_bytes() == first
    assert "prompt has" in ledger.of("failed")[too_long.id]["reason"]
    found = judge_folder(tmp_path / "videos", cases, ledger, quiet)
    assert found[1].codes == ("SYS-RUN",) and not found[1].success
    with pytest.raises(FileProblem, match="a plan is never changed"):
        sample_cases(generator, [cases[0], CASES[3]], tmp_path, quiet, ABOUT)
    reworded = dataclasses.replace(cases[2], prompt="other words")
    with pytest.raises(FileProblem, match="a plan is never changed"):
        sample_cases(generator, [*cases[:2], reworded], tmp_path, quiet, ABOUT)
    with pytest.raises(FileProblem, match="begun with model somebody, now another"):
        sample_cases(generator, cases, tmp_path, quiet, {**ABOUT, "model": "another"})
    video.write(tmp_path / "videos" / cases[2].file, render(cases[2].spec).frames, 8.0)
    with pytest.raises(FileProblem, match="not the video that the ledger names"):
        judge_folder(tmp_path / "videos", cases, ledger, quiet)


def test_layers_tell_whose_fault_it_is(model: str, tmp_path: Path) -> None:
    """Of the truth everything holds; through an untrained autoencoder nobody can be recognised."""
    generator, cases = Generator.load(Path(model)), [case for case in CASES if case.spec.actors][:3]
    rates = {}
    for layer in ("truth", "autoencoder"):
        ledger = sample_cases(maker(generator, layer), cases, tmp_path / layer, quiet, {**ABOUT, "layer": layer})
        rates[layer] = success_rate(judge_folder(tmp_path / layer / "videos", cases, ledger, quiet)).successes
    assert rates == {"truth": 3, "autoencoder": 0}
    with pytest.raises(UsageError, match="autoencoder"):
        maker(generator, "autoencodr")


def test_a_report_can_be_read_looked_at_and_compared(truth: Path, verdicts: list[Judged], tmp_path: Path) -> None:
    good = make_report(verdicts, ABOUT)
    write_report(good, tmp_path)
    assert read_report(tmp_path) == json.loads(json.dumps(good))
    summary = good["summary"]
    assert sum(rate["of"] for rate in summary["strata"]["length"].values()) == len(CASES) == summary["success"]["of"]
    write_page(good, truth, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert page.count("data:video/mp4;base64,") + page.count("data:image/png;base64,") == 2 * len(CASES)
    assert "http" not in page and page.count("<!doctype") == 1 and "width=device-width" in page
    # every number leads to its videos: levels, cells of two levels, failures, and the list they point into
    listed = page.partition("id=cases>")[2].partition("</script>")[0]
    told = json.loads(listed)
    assert [row[0] for row in told["rows"]] == [case.id for case in CASES] and "<" not in listed
    for address in re.findall(r'href="#([^"]*=[^"]*)"', page):
        for name, value in parse_qsl(html.unescape(address)):
            column = {"code": 5, "success": 4}.get(name)
            values = [row[column] if column else row[6][told["strata"].index(name)] for row in told["rows"]]
            assert (
                value in values
                if column is None
                else any(value in one for one in values)
                if name == "code"
                else value == "true"
            )
    missing = [
        {"code": "TXT-CNT", "check": check, "actor": "a", "frame": 0, "second": 0.0}
        for check in ("is there", "walk", "one")
    ]
    shaking = {"code": "MOT-SHK", "check": "is steady", "actor": "b", "frame": 4, "second": 0.5}
    write_page(
        {**good, "cases": [{**good["cases"][0], "failures": [*missing, shaking]}]}, truth, tmp_path / "failed.html"
    )
    assert ">TXT-CNT is there (0 s) x 3; MOT-SHK is steady (0.5 s)<" in (tmp_path / "failed.html").read_text()

    bad = json.loads(json.dumps(good))
    for case in bad["cases"]:
        case["success"] = False
    rows = compare(bad, good)
    lost = summary["success"]["right"]
    assert (rows[0].stratum, rows[0].only_first, rows[0].only_second) == ("all cases", 0, lost)
    assert rows[0].p_value == pytest.approx(2 * 0.5**lost) and all(row.adjusted >= row.p_value for row in rows)
    del bad["cases"][0]
    with pytest.raises(FileProblem, match="1 only in the second"):
        compare(bad, good)
    (tmp_path / "old.json").write_text('{"version": 0}')
    for path, says in (("old.json", "version 0"), ("none", "is missing")):
        with pytest.raises(FileProblem, match=says):
            read_report(tmp_path / path)


@pytest.mark.slow
def test_helpers_make_and_judge_the_same(model: str, tmp_path: Path) -> None:
    too_long = dataclasses.replace(CASES[1], prompt="a fox " * 200)
    cases, make = [CASES[0], too_long, *CASES[2:5]], maker(Generator.load(Path(model)), "model")
    alone = sample_cases(make, cases, tmp_path / "alone", quiet, ABOUT)
    with Workers(2, Path(model), "model") as helpers:
        together = sample_cases(make, cases, tmp_path / "together", quiet, ABOUT, helpers)
        found = judge_folder(tmp_path / "together" / "videos", cases, together, quiet, helpers)
    assert [row["case"] for row in together.rows if row["kind"] == "started"] == [case.id for case in cases]
    assert together.of("done").keys() == alone.of("done").keys()
    assert together.of("failed").keys() == alone.of("failed").keys() >= {too_long.id}
    for case in cases:
        if case.id in alone.of("done"):
            one, other = (video.read(tmp_path / name / "videos" / case.file).frames for name in ("alone", "together"))
            assert (one == other).all()
    assert found == judge_folder(tmp_path / "alone" / "videos", cases, alone, quiet)
