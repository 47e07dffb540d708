"""The judging commands on the shipped model: the smoke suite from end to end, a stranger's folder, comparison, the
trial of the checks.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chronotope.cli.evaluate import trial_text
from chronotope.evaluate.attribution import attribution
from chronotope.evaluate.report import write_report
from chronotope.evaluate.suite import Case, make_suite, read_cases, write_cases
from chronotope.evaluate.trial import FEWEST, Trial
from chronotope.media import video
from chronotope.worlds.check import Check
from chronotope.worlds.stage.render import render
from tests.cli.models import files_in, refused, run
from tests.evaluate.suites import DYNAMIC, prompts_for
from tests.evaluate.test_attribution import BACK, CASES, MODEL, TRUTH
from tests.evaluate.test_report import validator

NO_VIDEO = "<p class=no>no video</p>"


FIRST = ("--suite", "smoke", "--first", "6")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the shipped model on the first cases of the smoke suite, in few steps."""
    folder = tmp_path_factory.mktemp("smoke")
    result = run("evaluate", "small", *FIRST, "--steps", "4", "--out", str(folder))
    assert result.exit_code == 0 and result.stdout.startswith("success "), result.output
    assert result.stdout.rstrip().endswith("index.html")
    return folder


def test_the_smoke_suite_of_the_shipped_model(smoke: Path) -> None:
    report = json.loads((smoke / "report.json").read_text())
    assert (
        len(report["cases"])
        == 6
        == len(list((smoke / "videos").glob("*.*"))) - len(list((smoke / "videos").glob("*.json")))
    )
    assert report["about"]["selection"].startswith("none") and len(report["about"]["ledger"]) == 64
    validator().validate(report)
    for line in (smoke / "ledger.jsonl").read_text().splitlines():
        validator("ledger_line").validate(json.loads(line))
    layers = attribution(report, report, report)
    write_report({**report, "layers": layers}, smoke)
    # everything is there: only judged
    again = run("evaluate", "small", *FIRST, "--steps", "4", "--out", str(smoke), "--json")
    assert json.loads(again.stdout) == report["summary"]
    assert json.loads((smoke / "report.json").read_text())["layers"] == layers  # what was added stays
    told = json.loads(run("info", str(smoke), "--json").stdout)
    assert (told["kind"], told["suite"], told["videos"]) == ("report", "the first 6 videos of smoke", 6)
    assert told["success"].startswith(f"{report['summary']['success']['share']:.1%} [")
    assert told["success"].endswith("] of 6")


def test_more_than_a_suite_holds_is_refused() -> None:
    assert "smoke has 24 videos" in refused("evaluate", "small", "--suite", "smoke", "--first", "25", status=2)
    assert "then name its folder" in refused("evaluate", "xyzzy", "--suite", "smoke", status=1)


def test_a_stranger_scores_a_folder_and_compares(smoke: Path, tmp_path: Path) -> None:
    plan = tmp_path / "specs.jsonl"
    assert run("evaluate", *FIRST, "--plan", str(plan)).stdout.strip() == str(plan)
    videos = tmp_path / "videos"
    videos.mkdir()
    for case in read_cases(plan):
        video.write(videos / case.file, render(case.spec).frames, case.spec.fps)
    out = tmp_path / "theirs"
    result = run("evaluate", "--videos", str(videos), "--specs", str(plan), "--out", str(out))
    assert result.exit_code == 0, result.output
    assert json.loads((out / "report.json").read_text())["summary"]["success"]["share"] > 0.85
    assert "are the same report" in run("compare", str(smoke), str(smoke)).stderr
    compared = run("compare", str(smoke), str(out))
    assert "same report" not in compared.stderr
    assert compared.exit_code == 0 and compared.stdout.splitlines()[1].startswith("all cases"), compared.output
    told = json.loads(run("compare", str(smoke), str(out), "--json").stdout)
    assert (told["first"]["report"], told["first"]["model"]) == (str(smoke), "small")
    assert (told["second"]["report"], told["second"]["model"]) == (str(out), "videos in videos")
    assert told["comparisons"][0]["stratum"] == "all cases" and told["comparisons"][0]["second"] > 0.85
    assert "give another --out" in refused(
        "evaluate", "--videos", str(videos), "--specs", str(plan), "--out", str(smoke), status=1
    )
    assert json.loads((out / "report.json").read_text())["about"]["suite"] == "the first 6 videos of smoke"
    assert json.loads(run("info", str(plan), "--json").stdout)["videos"] == 6
    assert json.loads(run("info", str(smoke / "ledger.jsonl"), "--json").stdout)["lines"]["done"] == 6
    (tmp_path / "cut.json").write_text('{"version": 1}')
    assert "lacks 'about'" in refused("compare", str(tmp_path / "cut.json"), str(out), status=1)
    next(videos.glob("*.mp4")).unlink()
    assert "is missing" in refused(
        "evaluate", "--videos", str(videos), "--specs", str(plan), "--out", str(out), status=1
    )


def test_videos_are_judged_for_what_their_tags_say(tmp_path: Path) -> None:
    """Of one's own making: another case is refused; selection, layer, words, seeds and settings are in the report."""
    fitting = [case for case in make_suite("smoke") if (case.spec.num_frames, case.spec.width) == (17, 64)]
    first, second = [case for case in fitting if case.spec.height == fitting[0].spec.height][:2]
    write_cases([first, second], tmp_path / "plan.jsonl")
    videos, model = tmp_path / "videos", {"dit": "0123456789abcdef"}
    tried = {"by": "the detector", "tries": [{"seed": 1, "confidence": 0.1}, {"seed": 2, "confidence": 0.2}], "kept": 1}

    def write(case: Case, **tags: Any) -> None:
        video.write(videos / case.file, render(case.spec).frames, case.spec.fps, metadata={"case": case.id, **tags})

    def judged(out: str) -> tuple[dict[str, Any], str]:
        words = ("--videos", videos, "--specs", tmp_path / "plan.jsonl", "--out", tmp_path / out)
        result = run("evaluate", *words)
        assert result.exit_code == 0, result.output
        return json.loads((tmp_path / out / "report.json").read_text())["about"], result.stderr

    videos.mkdir()
    for case, task in ((first, "text to video"), (second, "keyframes")):
        write(case, prompt=case.prompt, seed=case.seed, model=model, num_steps=30, task=task)
    about, said = judged("right")
    assert about["seeds"] == "those of the plan, by the videos' tags" and "by their tags" not in said
    assert about["made with"] == "dit 0123456789abcdef, steps 30 (2 of 2 videos)" and "selection" not in about

    write(first, prompt="something else", seed=first.seed + 1, model=model, num_steps=2)
    write(second, layer="truth")
    about, said = judged("others")
    assert about["prompts"] in said and f"first {first.file}: something else" in said
    assert about["seeds"] == "1 of 2 videos have other seeds than the plan, by their tags" and about["seeds"] in said
    assert about["layers by tags"] == "1 of 2 videos are of layer truth, by their tags" and "layer" not in about

    for case, steps in ((first, 30), (second, 3)):
        write(case, prompt=case.prompt, seed=case.seed, model=model, num_steps=steps)
    about, said = judged("mixed")
    assert "made in 2 ways: dit 0123456789abcdef, steps 30 (1 of 2 videos); dit" in said and "steps 3 (" in said

    write(first, prompt=first.prompt, seed=2, selected=tried)
    write(second, prompt=second.prompt, seed=second.seed)
    about, said = judged("selected")
    assert about["selection"].startswith("best of 2 by the detector") and "1 of 2 videos were selected" in said
    compared = run("compare", tmp_path / "right", tmp_path / "selected").stderr
    assert "selected were selected: best of 2" in compared and "right were selected" not in compared
    assert f"of {tmp_path / 'others'}, 1 of 2" in run("compare", tmp_path / "others", tmp_path / "right").stderr

    for case in (first, second):
        write(case, layer="truth")
    about, said = judged("truth")
    assert about["layer"] == "truth" and "2 of 2 videos are not of a model: their tags say layer truth" in said

    for name, other in ((first.file, videos / second.file), (second.file, videos / first.file)):
        shutil.copyfile(other, tmp_path / name)
    for path in videos.iterdir():
        path.unlink()
    for case in (first, second):
        shutil.move(tmp_path / case.file, videos)
    said = refused(
        "evaluate", "--videos", videos, "--specs", tmp_path / "plan.jsonl", "--out", tmp_path / "out", status=1
    )
    assert f"{first.file} was made for the case {second.id}" in said and not (tmp_path / "out/report.json").exists()


def test_layers_and_memorisation_become_part_of_the_report(tmp_path: Path) -> None:
    for name, report in (
        ("model", MODEL),
        ("autoencoder", BACK),
        ("truth", TRUTH),
        ("more", {**MODEL, "about": {**MODEL["about"], "steps": 60}}),
    ):
        write_report(report, tmp_path / name)
    folders = [str(tmp_path / name) for name in ("model", "autoencoder", "truth", "more")]
    said = run("layers", *folders).stdout
    assert (
        "OBJ-DIS       3            1        1       1" in said and "steps 60: success 40.0%; cured 0, broken 0" in said
    )
    assert "expected autoencoder" in refused("layers", folders[0], folders[2], folders[1], status=1)
    (tmp_path / "model" / "videos").mkdir()
    for case in CASES:
        video.write(tmp_path / "model" / "videos" / case.file, render(case.spec).frames, case.spec.fps)
    words = ("--data", "small:12:3", "--baseline", "small:8:4", "small:4:5:heldout")
    result = run("memorisation", folders[0], *words, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["training_clips"], found["baseline_clips"], found["videos"]) == (12, 12, len(CASES))
    assert "held-out clips" in run("memorisation", str(tmp_path / "model" / "videos"), *words).stdout
    report = json.loads((tmp_path / "model" / "report.json").read_text())
    validator().validate(report)
    assert report["memorisation"] == found and report["layers"]["classes"]["OBJ-DIS"]["decoder"] == 1
    page = (tmp_path / "model" / "index.html").read_text()
    assert all(
        f"<h2 id={name}>" in page
        for name in ("layers", "memorisation", "ends" if report["summary"]["long_range"] else "all")
    )
    assert "no folder" in refused("memorisation", folders[0], "--data", "nowhere", "--baseline", "small:2:1", status=2)
    assert "all 8 baseline clips are training clips, too" in refused(
        "memorisation", folders[0], "--data", "small:8:4", "--baseline", "small:8:4", status=2
    )


def test_videos_elsewhere_are_found_again(tmp_path: Path) -> None:
    """A stranger's folder stays where it is, and what is added to its report later shows its videos."""
    videos, out = tmp_path / "theirs" / "made", tmp_path / "out"
    videos.mkdir(parents=True)
    write_cases(CASES, tmp_path / "plan.jsonl")
    for case in CASES:
        video.write(videos / case.file, render(case.spec).frames, case.spec.fps)
    result = run("evaluate", "--videos", str(videos), "--specs", str(tmp_path / "plan.jsonl"), "--out", str(out))
    assert result.exit_code == 0, result.output
    before = (out / "index.html").read_text()
    assert (
        json.loads((out / "report.json").read_text())["about"]["folder"] == "../theirs/made" and NO_VIDEO not in before
    )
    clips = ("--data", "small:8:3", "--baseline", "small:8:4")
    assert "name the folder with --folder" in refused("memorisation", str(out), *clips, status=1)
    result = run("memorisation", str(out), *clips, "--folder", str(videos), "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["videos"] == len(CASES), result.output
    page = (out / "index.html").read_text()
    assert page.count("data:video") == before.count("data:video") > 0 and NO_VIDEO not in page
    validator().validate(json.loads((out / "report.json").read_text()))
    videos.rename(tmp_path / "gone")
    assert "should lie in" in refused("memorisation", str(out), *clips, "--folder", str(videos), status=1)


@pytest.mark.slow
def test_reconstruction_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for case in read_plan(tmp_path)[:3]:
        video.write(tmp_path / "clips" / case.file, render(case.spec).frames, case.spec.fps)
    result = run("evaluate", "--reconstruction", "small", "--data", str(tmp_path / "clips"), "--json")
    found = json.loads(result.stdout)
    assert len(found["clips"]) == 3 and 20 < found["means"]["psnr"] < 50
    assert found["means"]["psnr"] == pytest.approx(sum(row["psnr"] for row in found["clips"]) / 3, abs=1e-3)
    ceiling = found["ceiling"]
    assert (
        ceiling["succeed"]["of"] == 24
        and ceiling["succeed"]["right"] >= 22
        and ceiling["checks"]["right"] > 0.98 * ceiling["checks"]["of"]
    )


def read_plan(folder: Path) -> list[Case]:
    run("evaluate", "--plan", str(folder / "plan.jsonl"))
    return read_cases(folder / "plan.jsonl")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("evaluate", "small", "--suite", "smok"), "smoke"),
        (("evaluate", "--videos", "x", "--specs", "y", "--layer", "truth"), "leave it out"),
        (("evaluate", "--videos", "x"), "--specs"),
        (("evaluate", "small", "--layer", "truth", "--best-of", "2"), "leave them out"),
        (("evaluate", "small", "--videos", "x", "--specs", "y"), "not both"),
        (("evaluate", "--reconstruction", "small"), "--data"),
    ],
)
def test_requests_that_make_no_sense(words: tuple[str, ...], says: str) -> None:
    assert says in refused(*words, status=2)


@pytest.mark.slow
def test_the_trial_prints_what_is_not_as_promised() -> None:
    result = run("validate-checks", "--count", "2")
    assert "truth passes" in result.stdout and "frozen first frame" in result.stdout
    assert "too few clips to say anything about" in result.stdout and "every promise is kept" not in result.stdout
    assert (result.exit_code == 0) == ("every promise that could be tested is kept" in result.stdout)


def test_rows_that_could_not_be_tested_say_so() -> None:
    """No perfect score stands beside a fault that was injected three times."""
    trial = Trial(codes=("MOT-DIR", "ID-COL", "SEAM"))
    fails, holds = [Check("moves", "", "MOT-DIR", 0)], [Check("moves")]
    for number in range(FEWEST):
        trial.note_truth("all", holds)
        trial.note_injected("MOT-DIR", fails)
        if number < 3:
            trial.note_injected("ID-COL", [Check("keeps its colour", "", "ID-COL", 0)])
            trial.note_control("blank", fails)
    lines = {line.split()[0]: line for line in trial_text(trial).splitlines()}
    assert "100.0%" in lines["MOT-DIR"] and "not tested" not in lines["MOT-DIR"]
    assert "not tested: 3 of at least 10 clips" in lines["ID-COL"] and "100.0%" not in lines["ID-COL"]
    assert "not tested: 0 of at least 10 clips" in lines["SEAM"]
    assert "fails not tested: 3 of at least 10 clips" in lines["blank"]


def test_a_dry_run_refuses_what_the_export_refuses(tmp_path: Path) -> None:
    prompts = prompts_for("worldscore", tmp_path)
    words = ["export-suite", "--format", "worldscore", "--prompts", prompts, "--out", tmp_path / "out"]
    for damage in (b"no picture", None):
        picture = tmp_path / "data" / DYNAMIC["image"]
        if damage is None:
            picture.unlink()
        else:
            picture.write_bytes(damage)
        said = {refused(*words, *more, status=1) for more in (("--dry-run",), ())}
        assert len(said) == 1 and "007.png" in said.pop()
    assert not (tmp_path / "out").exists() or not files_in(tmp_path / "out")
    plain = ["export-suite", "--format", "evalcrafter", "--prompts", prompts_for("evalcrafter", tmp_path)]
    assert "no folder" in refused(*plain, "--out", prompts, "--dry-run", status=1)
    assert "seed is" in refused(*plain, "--out", tmp_path / "x", "--seed", str(2**63), "--dry-run", status=2)


def test_a_report_and_its_ledger_and_videos_are_checked(smoke: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copied"
    shutil.copytree(smoke, folder)
    assert "nothing is wrong" in run("check", folder).stdout
    first = json.loads((folder / "report.json").read_text())["cases"][0]["file"]
    (folder / "videos" / first).write_bytes(b"other bytes")
    result = run("check", folder)
    assert result.exit_code == 1 and "is not the video that the ledger names" in result.stderr
    compared = run("compare", smoke, folder / "report.json")
    assert compared.exit_code == 0 and compared.stderr.count("1 thing is wrong with the report") == 1
    assert f"chronotope check {folder}" in compared.stderr and compared.stdout == run("compare", smoke, smoke).stdout
    (folder / "index.html").write_text("another page")
    assert "was not written by this program" in run("check", folder).stderr
    (folder / "index.html").unlink()
    result = run("check", folder)
    assert "note: " in result.stderr and "index.html is missing" in result.stderr and "1 wrong" in result.stdout
    lines = (folder / "ledger.jsonl").read_text().splitlines(keepends=True)
    (folder / "ledger.jsonl").write_text("".join(lines[:-1]))
    assert "was cut" in run("check", folder).stderr
    assert "was cut" in refused("info", folder / "ledger.jsonl", status=1)
    assert "was cut" in refused("evaluate", "small", "--suite", "smoke", "--out", folder, status=1)


def test_two_evaluations_do_not_write_one_folder(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from chronotope.storage import locked\n"
    code += "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()"
    command = [sys.executable, "-c", code, tmp_path]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdin and holder.stdout and holder.stdout.readline() == "held\n"
    words = ("evaluate", "small", "--suite", "smoke", "--first", "1", "--out", tmp_path)
    assert "is being written by process" in refused(*words, status=2)
    holder.stdin.close()
    holder.stdout.close()
    assert holder.wait() == 0
