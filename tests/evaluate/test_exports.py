"""Exports in the layouts of other benchmarks: every defect of real files is listed, and running again continues."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from chronotope.errors import FileProblem, UsageError
from chronotope.evaluate.exports.export import export
from chronotope.evaluate.exports.layouts import FORMATS, plan
from chronotope.evaluate.exports.manifest import MANIFEST
from chronotope.evaluate.exports.requests import ExportRequest, LengthRule, VideoRequest
from chronotope.evaluate.exports.validation import validate
from chronotope.generate.pipeline import Generation
from chronotope.media import video
from tests.cli.models import answer, files_in, refused, run
from tests.evaluate.suites import FOX, NAMES, PHYSICS_VIDEOS, RED, maker, prompts_for, quiet, write

ALIKE = ("vbench-long", "vbench2")  # layouts like that of vbench: the fast tests take one of them
SHOWN = [pytest.param(name, marks=pytest.mark.slow) if name in ALIKE else name for name in FORMATS]


@pytest.fixture(scope="module", autouse=True)
def few_videos() -> Iterator[None]:
    """Exports for Physics-IQ have fewer videos than the benchmark asks for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FORMATS, "physics-iq", dataclasses.replace(FORMATS["physics-iq"], count=PHYSICS_VIDEOS))
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ExportRequest]:
    """An export in a format, made once."""
    made: dict[str, ExportRequest] = {}

    def give(name: str) -> ExportRequest:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = ExportRequest(name, prompts_for(name, folder), folder / "out")
            assert export(made[name], maker(), quiet) == len(NAMES[name])
        return made[name]

    return give


@pytest.fixture
def copied(exported: Callable[[str], ExportRequest], tmp_path: Path) -> Callable[[str], ExportRequest]:
    """A copy of it, to be spoilt."""

    def give(name: str) -> ExportRequest:
        request = exported(name)
        shutil.copytree(request.out, tmp_path / "copy")
        return dataclasses.replace(request, out=tmp_path / "copy")

    return give


def rows_of(request: ExportRequest) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (request.out / MANIFEST).read_text().splitlines()]


# Layouts


@pytest.mark.parametrize("name", SHOWN)
def test_an_export_passes_its_check_and_the_manifest_tells_the_truth(
    name: str, exported: Callable[[str], ExportRequest]
) -> None:
    request = exported(name)
    assert validate(request) == []
    rows = rows_of(request)
    assert [row["file"] for row in rows] == NAMES[name]
    if name != "worldscore":
        assert files_in(request.out) == {*NAMES[name], MANIFEST}
    for row in rows[:: max(1, len(rows) // 10)]:
        path = request.out / row["file"]
        content = video.read(path)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]
        assert (content.num_frames, f"{content.width}x{content.height}", content.fps) == (
            row["frames"],
            row["size"],
            row["fps"],
        )
        digest = hashlib.sha256(f"{name}|{row['prompt']}|{row['sample']}".encode()).digest()
        assert row["seed"] == int.from_bytes(digest[:4], "big")
        assert row["model"] == {"dit": "w"} and "told" not in row
        assert FORMATS[name].length.problem(content.seconds) == ""


def test_no_two_videos_share_a_seed_unless_they_are_one_sample(exported: Callable[[str], ExportRequest]) -> None:
    for name in FORMATS:
        seeds = Counter(clip.seed for clip in plan(exported(name)))
        several = [seed for seed, count in seeds.items() if count > 1]
        assert len(several) == (3 if name == "vbench2" else 0), name  # there a prompt stands in two folders
    one = exported("evalcrafter")
    later = plan(dataclasses.replace(one, seed=7))
    assert [clip.seed for clip in later] == [clip.seed + 7 for clip in plan(one)]


def test_lengths_that_formats_ask_for(tmp_path: Path, exported: Callable[[str], ExportRequest]) -> None:
    frames = {name: {row["frames"] for row in rows_of(exported(name))} for name in FORMATS}
    assert frames["vbench"] == {3} and frames["vbench-long"] == {10} == frames["physics-iq"]  # at 2 frames a second
    assert frames["worldscore"] == {3, 5}  # two scenes share a frame
    one = next((exported("physics-iq").out / "small-op-run_01").iterdir())
    with av.open(str(one)) as container:  # the length that ffprobe tells
        assert container.duration is not None and abs(container.duration / av.time_base - 5) <= 0.001
    assert (
        LengthRule(5.0).num_frames(3, 8.0) == 40
        and LengthRule(5.0).num_frames(50, 8.0) == 50
        and LengthRule().num_frames(1, 8.0) == 2
    )
    for length, default, fps, says in (
        (LengthRule(high=5.0), 40, 8.0, "less than 5 s"),
        (LengthRule(5.0, exactly=True), 9, 7.3, "0.001"),
    ):
        with pytest.raises(UsageError, match=says):
            length.num_frames(default, fps)
    with pytest.raises(UsageError, match="less than 5 s"):
        export(ExportRequest("vbench", prompts_for("vbench", tmp_path), tmp_path / "out"), maker(10), quiet)
    assert not (tmp_path / "out").exists()


# Defects


def test_spoilt_worldscore_instances_are_listed(copied: Callable[[str], ExportRequest]) -> None:
    request = copied("worldscore")
    still, moving = (request.out / file.removesuffix("/videos/output.mp4") for file in NAMES["worldscore"])
    (still / "frames/001.png").unlink()
    (still / "input_image.png").rename(still / "input.png")
    cameras = json.loads((still / "camera_data.json").read_text())
    (still / "camera_data.json").write_text(json.dumps({**cameras, "cameras_interp": cameras["cameras_interp"][:-1]}))
    told = json.loads((still / "image_data.json").read_text())
    (still / "image_data.json").write_text(
        json.dumps({**told, "style": "Dark.", "anchor_frame_idx": [0, 4], "num_scenes": 1})
    )
    (moving / "image_data.json").write_text("no table")
    (moving / "videos/second.mp4").write_bytes(b"")
    defects = "\n".join(validate(request))
    for words in (
        "000/frames holds 4 files, expected 000.png to 004.png",
        "000/input_image.png is missing",
        "000/input.png is not part of the format",
        "000/camera_data.json has no cameras_interp of 5 matrices",
        "000/image_data.json has another 'style'",
        "000/image_data.json has anchor_frame_idx [0, 4]",
        "000/image_data.json has num_scenes 1, expected 2",
        "007/image_data.json is no table",
        "007/videos/second.mp4 is not part of the format",
    ):
        assert words in defects, words
    assert len(defects.splitlines()) == 9
    assert export(request, maker(), quiet) == 2 and validate(request) == []  # made again


@pytest.mark.parametrize("name", SHOWN)
def test_every_defect_is_listed(name: str, copied: Callable[[str], ExportRequest]) -> None:
    request, files = copied(name), NAMES[name]
    last, first = request.out / files[-1], request.out / files[0]
    content = video.read(first)
    video.write(first, content.frames[: content.num_frames - 1].repeat(3, 0), 24.0)
    (first.parent / "holiday.mp4").write_bytes(b"mine")
    last.rename(last.with_name("renamed.mp4"))
    defects = validate(request)

    def listed(*words: str) -> bool:
        return any(all(word in defect for word in words) for defect in defects)

    assert listed(files[-1], "is missing") and listed("renamed.mp4 is not part") and listed("holiday.mp4 is not part")
    assert listed(files[0], "frames", str(3 * (content.num_frames - 1))) and listed(files[0], "is not the file that")
    assert listed(files[0], "fps 24.0", "says 2.0")
    assert listed(files[0], "lasts", "expected 5 s") == (name in ("vbench-long", "physics-iq"))
    assert listed(files[0], "24 frames a second, most have 2") == (name == "physics-iq")
    several = {"physics-iq": 8, "vbench-long": 7, "worldscore": 7}
    assert len(defects) == several.get(name, 6), defects


def test_a_strangers_folder_needs_no_manifest_but_its_lengths_and_kinds_are_checked(
    copied: Callable[[str], ExportRequest],
) -> None:
    request = copied("vbench")
    (request.out / MANIFEST).unlink()
    assert validate(request) == []
    long, still, broken, gif, *_ = (request.out / file for file in NAMES["vbench"])
    frames = video.read(long).frames
    video.write(long, frames.repeat(4, 0), 2.0)
    video.write(still, frames[:1], 2.0)
    broken.write_bytes(b"no video")
    video.write(request.out / "a.gif", frames, 2.0)
    (request.out / "a.gif").rename(gif)
    defects = validate(request)
    assert len(defects) == 4
    for path, says in (
        (long, "lasts 6 s, expected less than 5 s"),
        (still, "single frame"),
        (broken, "opened"),
        (gif, "gif, expected mp4"),
    ):
        assert any(path.name in defect and says in defect for defect in defects), says


def test_exchanged_videos_are_found_without_a_manifest(copied: Callable[[str], ExportRequest]) -> None:
    """Each says in its tags for which prompt it was made; another text than any of the benchmark's is no defect."""
    request = copied("evalcrafter")
    (request.out / MANIFEST).unlink()
    first, second, third = (request.out / file for file in NAMES["evalcrafter"])
    content, prompts = video.read(first), [row.prompt for row in plan(request)]
    for path, prompt in ((first, prompts[1]), (second, prompts[0]), (third, f"{prompts[2]}, cut")):
        video.write(path, content.frames, content.fps, metadata={"prompt": prompt})
        video.sidecar(path).unlink()
    assert validate(request) == [
        f"videos/{path.name} was made for another prompt, as its tags say: {prompt}"
        for path, prompt in ((first, prompts[1]), (second, prompts[0]))
    ]


def test_a_manifest_that_lies_is_found_out(copied: Callable[[str], ExportRequest]) -> None:
    request = copied("compbench")
    rows = rows_of(request)
    rows[0]["seed"] += 1
    rows[1]["file"] = "video/consistent_attr/0009.mp4"
    (request.out / MANIFEST).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert validate(request) == [
        f"{MANIFEST} names video/consistent_attr/0009.mp4, for which there is no prompt",
        f"video/consistent_attr/0001.mp4 has seed {rows[0]['seed']} in {MANIFEST}, expected {rows[0]['seed'] - 1}",
        f"video/consistent_attr/0002.mp4 has no line in {MANIFEST}",
    ]
    assert validate(dataclasses.replace(request, out=request.out / "nowhere")) == [
        f"{request.out / 'nowhere'} is no folder"
    ]
    (request.out / MANIFEST).write_text('{"file": "x"}\n')
    with pytest.raises(FileProblem, match="line 1, is no line of a manifest"):
        validate(request)


# Going on


def test_an_export_goes_on_where_it_stopped(tmp_path: Path, exported: Callable[[str], ExportRequest]) -> None:
    whole = exported("vbench2")
    request = dataclasses.replace(whole, out=tmp_path / "out")

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(request, maker(), stop)
    with (request.out / MANIFEST).open("a") as file:
        file.write('{"file": "cut o')
    (request.out / NAMES["vbench2"][0]).write_bytes(b"spoilt")
    (request.out / NAMES["vbench2"][1]).unlink()
    made = maker()
    assert export(request, made, quiet) == 26 - 2 == len(made.asked)  # type: ignore[attr-defined]
    assert validate(request) == []
    assert {file: (request.out / file).read_bytes() for file in NAMES["vbench2"]} == {
        file: (whole.out / file).read_bytes() for file in NAMES["vbench2"]
    }
    assert export(request, maker(), quiet) == 0


def test_a_maker_that_fails_leaves_nothing_half_written(tmp_path: Path) -> None:
    request = ExportRequest("worldscore", prompts_for("worldscore", tmp_path), tmp_path / "out")
    good = maker()

    def not_serialisable(request: VideoRequest) -> Generation:
        return dataclasses.replace(good.make(request), origin={"made_of": {1, 2}})  # no JSON

    def interrupted(request: VideoRequest) -> Generation:
        raise KeyboardInterrupt

    for make, error in ((not_serialisable, UsageError), (interrupted, KeyboardInterrupt)):
        with pytest.raises(error):
            export(request, dataclasses.replace(good, make=make), quiet)
        assert files_in(request.out) == {MANIFEST} and not rows_of(request)
    (tmp_path / "data/dynamic/stylized/rigid/007.png").write_bytes(b"no picture")
    with pytest.raises(FileProblem, match=r"007\.png"):  # before anything is made
        export(request, good, quiet)
    assert files_in(request.out) == {MANIFEST} and not rows_of(request)


def test_what_appears_during_an_export_is_not_replaced(tmp_path: Path) -> None:
    request = ExportRequest("vbench", prompts_for("vbench", tmp_path), tmp_path / "out")
    good, target = maker(), tmp_path / "out" / plan(ExportRequest("vbench", request.prompts, request.out))[0].file

    def make(asked: VideoRequest) -> Generation:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("a stranger's")
        return good.make(asked)

    with pytest.raises(FileProblem, match="appeared during the export"):
        export(request, dataclasses.replace(good, make=make), quiet)
    assert target.read_text() == "a stranger's" and not rows_of(request)


def test_a_folder_of_another_export_is_refused(copied: Callable[[str], ExportRequest], tmp_path: Path) -> None:
    request = copied("evalcrafter")
    other = write(tmp_path, "other.txt", f"{RED}\n{RED}\n{RED}\n")
    fewer = write(tmp_path, "fewer.txt", f"{RED}\n{FOX}\n")
    for change, by, says in (
        ({"seed": 1}, maker(), "was made with seed"),
        ({}, maker(weights="v"), r"was made with model \{'dit': 'w'\}, now \{'dit': 'v'\}"),
        ({"prompts": other}, maker(), "was made with prompt"),
        ({"prompts": fewer}, maker(), "belongs to no prompt"),
    ):
        with pytest.raises(FileProblem, match=says):
            export(dataclasses.replace(request, **change), by, quiet)
    (request.out / MANIFEST).unlink()
    with pytest.raises(FileProblem, match=r"no manifest.jsonl that says"):
        export(request, maker(), quiet)


def test_a_first_picture_that_was_exchanged_is_noticed(copied: Callable[[str], ExportRequest]) -> None:
    """Else videos of the old picture would be measured beside those of the new one."""
    request = copied("worldscore")
    pictures = {planned.image for planned in plan(request) if planned.image}
    assert len(pictures) > 1 and export(request, maker(), quiet) == 0
    picture = sorted(pictures)[0]
    kept = picture.read_bytes()
    try:
        picture.write_bytes(sorted(pictures)[1].read_bytes() + b"x")
        with pytest.raises(FileProblem, match="was made with image_sha256"):
            export(request, maker(), quiet)
    finally:
        picture.write_bytes(kept)


# The command, with a whole untrained model


def test_the_command_samples_a_model_checks_and_goes_on(model: str, tmp_path: Path) -> None:
    path = write(tmp_path, "prompt700.txt", f"a red circle\n{'a circle moves ' * 60}\n")
    out = tmp_path / "out"
    words = ("export-suite", "--format", "evalcrafter", "--prompts", path, "--out", out, "--model", model)
    planned = run(*words, "--dry-run")
    assert planned.exit_code == 0 and "0000.mp4" in planned.stdout and not out.exists(), planned.output
    made = run(*words)
    assert (made.exit_code, made.stdout) == (0, f"{out}\n"), made.output
    rows = [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]
    assert "told" not in rows[0] and rows[1]["prompt"].startswith(rows[1]["told"]) and len(rows[1]["told"]) > 20
    assert video.read_origin(out / rows[0]["file"])["seed"] == rows[0]["seed"]  # type: ignore[index]
    again = run(*words).stderr
    assert "0 videos made" in again and "1 of 2 prompts are longer than the model reads" in again
    assert "exclude each other" in refused(*words, "--dry-run", "--validate", status=2)
    assert "leave out --model" in refused(*words, "--validate", status=2)
    facts = answer("info", out)
    assert facts["kind"] == "export for another benchmark" and facts["missing_or_changed"] == []
    looked = run("check", out)
    assert looked.exit_code == 0 and "export for another benchmark, nothing is wrong" in looked.stdout
    assert f"run chronotope export-suite --format NAME --prompts FILE --model DIR --out {out}" in looked.stderr
    (out / "videos/0000.mp4").rename(out / "videos/0.mp4")
    assert answer("info", out)["missing_or_changed"] == ["videos/0000.mp4"]
    looked = run("check", out)
    assert looked.exit_code == 1 and "videos/0000.mp4 is missing, or is not as it was made" in looked.stderr
    checked = run(*words[:-2], "--validate")
    assert (
        checked.exit_code == 1
        and checked.stdout == "videos/0000.mp4 is missing\nvideos/0.mp4 is not part of the format\n"
    )
    assert "another export" in refused(*words, "--seed", 1, status=1)
    assert "Did you mean 'evalcrafter'" in refused("export-suite", "--format", "evalcraft", *words[3:], status=2)


def test_the_command_starts_from_pictures_and_tells_a_story(model: str, tmp_path: Path) -> None:
    path, out = prompts_for("worldscore", tmp_path), tmp_path / "out"
    made = run("export-suite", "--format", "worldscore", "--prompts", path, "--out", out, "--model", model)
    assert made.exit_code == 0, made.output
    still = out / "worldscore_output/static/photorealistic/indoor/rooms/000"
    assert len(list((still / "frames").iterdir())) == 7  # two scenes of four frames
    origin = video.read_origin(still / "videos/output.mp4")
    assert (
        origin is not None
        and origin["task"] == "animate a picture"
        and [beat[0] for beat in origin["prompt"]] == [0.0, 0.375]
    )
