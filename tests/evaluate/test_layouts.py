"""Layouts of other benchmarks: the videos and names that a prompt file plans, cameras, and malformed prompt files."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from chronotope.errors import ChronotopeError, FileProblem
from chronotope.evaluate.exports.export import export
from chronotope.evaluate.exports.layouts import FORMATS, plan
from chronotope.evaluate.exports.requests import ExportRequest
from chronotope.evaluate.exports.validation import validate
from chronotope.evaluate.exports.worldscore import camera_path
from chronotope.media import video
from tests.cli.models import files_in, run
from tests.evaluate.suites import DYNAMIC, NAMES, RED, STATIC, list_of, maker, physics_table, prompts_for, quiet, write


def test_samples_and_groups_are_read_from_the_names_of_text_files(tmp_path: Path) -> None:
    for stem in ("color", "temporal_flickering"):
        write(tmp_path, f"per_dimension/{stem}.txt", f"{stem} one\r\n {stem} two \r\n\r\n")
    counts = Counter(clip.prompt for clip in plan(ExportRequest("vbench", tmp_path / "per_dimension", tmp_path)))
    assert counts == {"color one": 5, "color two": 5, "temporal_flickering one": 25, "temporal_flickering two": 25}
    write(tmp_path, "prompt/Diversity.txt", RED)
    assert len(plan(ExportRequest("vbench2", tmp_path / "prompt", tmp_path))) == 20
    path = write(tmp_path, "object_interactions.json", list_of({"prompt": RED}))
    assert [clip.file for clip in plan(ExportRequest("compbench", path, tmp_path))] == ["video/interaction/0001.mp4"]


def test_help_says_what_each_format_reads(tmp_path: Path) -> None:
    """Every format has its line, and a file with just the keys and columns named there is read."""
    lines, named = dict[str, str](), list[str]()
    for line in (
        run("export-suite", "--help").stdout.partition("folder means")[2].partition("\noptions")[0].splitlines()
    ):
        names, _, text = line[2:].partition("  ")
        named = names.split(", ") if set(names.split(", ")) <= set(FORMATS) else named
        lines |= {name: lines.get(name, "") + text for name in named}
    assert set(lines) == set(FORMATS)
    for name in ("vbench", "vbench-long", "evalcrafter"):
        keys = re.findall(r'"(\w+)":', lines[name])
        entry = {key: ["color"] if key == "dimension" else RED for key in keys}
        assert (
            next(clip.prompt for clip in plan(ExportRequest(name, write(tmp_path, "p.json", list_of(entry)), tmp_path)))
            == RED
        )
    columns = re.findall(r"columns ([\w, ]+);", lines["physics-iq"])[0].split(", ")
    values = {
        "scenario": "0001_take-1_x",
        "description": RED.replace(",", ""),
        "generated_video_name": "0001_perspective-left_x.mp4",
    }
    table = write(tmp_path, "p.csv", ",".join(columns) + "\n" + ",".join(values[column] for column in columns) + "\n")
    assert len(plan(ExportRequest("physics-iq", table, tmp_path))) == 1
    assert (
        {"image", "visual_movement"}
        == set(re.findall(r'"(\w+)":', lines["worldscore"]))
        <= STATIC.keys() & DYNAMIC.keys()
    )


def test_physics_iq_runs_are_named_after_model_prompts_and_seed_and_start_from_pictures(tmp_path: Path) -> None:
    path = write(tmp_path, "descriptions_base.csv", physics_table(3))
    request = ExportRequest("physics-iq", path, tmp_path / "out", "runs/mine", seed=3)
    assert (
        plan(request)[0].file == "mine-bpp-run_04/0001_perspective-left_trimmed-scene-0.mp4"
        and plan(request)[0].image is None
    )
    assert [clip.sample for clip in plan(request)] == [0, 1, 2]  # three views of one description
    (tmp_path / "switch-frames").mkdir()
    with pytest.raises(
        FileProblem,
        match=r"3 pictures .* missing, first .*0001_switch-frames_anyFPS_perspective-left_trimmed-scene-0.jpg",
    ):
        export(request, maker(), quiet)
    for clip in plan(request):
        assert clip.image is not None
        video.write_image(clip.image, np.zeros((8, 8, 3), np.uint8))
    made = maker()
    export(request, made, quiet)
    assert [shot.image for shot in made.asked] == [clip.image for clip in plan(request)]  # type: ignore[attr-defined]
    assert validate(request) == ["descriptions_base.csv asks for 3 videos, physics-iq takes exactly 198"]


# WorldScore


def test_worldscore_instances(tmp_path: Path) -> None:
    request, made = ExportRequest("worldscore", prompts_for("worldscore", tmp_path), tmp_path / "out"), maker()
    export(request, made, quiet)
    still, moving = (request.out / file.removesuffix("/videos/output.mp4") for file in NAMES["worldscore"])
    frames = {f"frames/{number:03d}.png" for number in range(5)}
    assert files_in(still) == frames | {"videos/output.mp4", "input_image.png", "image_data.json", "camera_data.json"}
    assert files_in(moving) == set(sorted(frames)[:3]) | {"videos/output.mp4", "input_image.png", "image_data.json"}
    told = json.loads((still / "image_data.json").read_text())
    assert told == {**STATIC, "num_scenes": 2, "total_frames": 5, "anchor_frame_idx": [0, 2, 4]}
    assert json.loads((moving / "image_data.json").read_text()) == {**DYNAMIC, "num_scenes": 1, "total_frames": 3}
    assert video.read_image(still / "input_image.png").shape == (16, 16, 3)
    assert np.array_equal(video.read_image(still / "frames/004.png")[0, 0], [4, 4, 4])  # before the encoder
    first, second = made.asked  # type: ignore[attr-defined]
    assert [seconds for seconds, _ in first.prompt] == [0.0, 1.0] and first.image.name == "000.png"
    assert (
        first.prompt[0][1] == "Camera pan left. a door. Bright.. Everything in the scene remains completely motionless."
    )
    assert second.prompt == ((0.0, "Camera fixed. a ball rolls. Ink."),)


def test_cameras_move_as_their_names_say() -> None:
    def where(*moves: str) -> np.ndarray:
        return np.array(camera_path(moves, 5)["cameras_interp"])

    assert where("pan_left", "orbit_right", "push_in").shape == (13, 4, 4)
    start = where("push_in")[0]
    ahead = -start[:3, 2]  # Blender's camera looks along its own -z
    assert np.allclose(where("push_in")[-1][:3, 3] @ ahead, 1) and np.allclose(where("pull_out")[-1][:3, 3] @ ahead, -1)
    assert where("move_right")[-1][:3, 3] @ start[:3, 0] == pytest.approx(-where("move_left")[-1][:3, 3] @ start[:3, 0])
    for there, back in (
        ("push_in", "pull_out"),
        ("move_left", "move_right"),
        ("pan_left", "pan_right"),
        ("orbit_left", "orbit_right"),
    ):
        assert np.allclose(where(there, back)[-1], start)
    assert np.allclose(where(*["pan_left"] * 12)[-1], start)  # all the way round
    for step in where("orbit_left", "orbit_left")[[4, 8]]:  # as far from the point ahead as before, and looking at it
        assert np.allclose(step[:3, 3] - step[:3, 2], start[:3, 3] + ahead)
    turned = [
        np.degrees(np.arccos(np.clip((np.trace(start[:3, :3].T @ m[:3, :3]) - 1) / 2, -1, 1)))
        for m in where("pan_right")
    ]
    assert np.allclose(turned, [0, 7.5, 15, 22.5, 30], atol=1e-5)


# Prompt files


@pytest.mark.parametrize(
    ("name", "file", "text", "says"),
    [
        ("vbench", "color.txt", "a fox\n\na cat", r"color.txt, line 2, is empty; a prompt is expected"),
        ("vbench", "color.txt", "a fox\na/b", r"line 2, has a '/' in its prompt .* take the '/' out"),
        ("vbench", "color.txt", "a" * 250, r"line 1, would name a video of 256 bytes, at most 255"),
        (
            "vbench",
            "p.json",
            '[{"prompt": "a"}]',
            r"entry 1, has no 'prompt_en' \(it has: prompt\); a text is expected",
        ),
        ("vbench", "p.json", '[{"prompt_en": "a", "dimension": 3}]', r"entry 1, has 3 under 'dimension'; a list"),
        ("vbench", "p.json", '["a"]', r"entry 1, is a text; an object with 'prompt_en'"),
        ("vbench", "p.json", '{"a": 1}', r"holds an object; a list of objects is expected"),
        ("vbench", "p.json", "[{", r"is not readable JSON: .*line 1"),
        ("vbench", "p.csv", "a", r"ends in '.csv'; prompts are read from .txt"),
        ("vbench2", "VBench2_full_text.txt", "a", r"line 1, stands under 'VBench2_full_text', which is no dimension"),
        ("vbench2", "Mechanics.txt", "a" * 180 + "b\n" + "a" * 180 + "c", r"names 3 videos twice, first .*; take one"),
        (
            "physics-iq",
            "d.csv",
            "scenario,description\na,b",
            r"line 1, has the columns scenario, description; generated_video_name is missing",
        ),
        (
            "physics-iq",
            "d.csv",
            physics_table(2).replace("_trimmed-scene-0.mp4,", ".mp4,", 0) + "x,,y,z\n",
            r"line 6, has '' under 'description'",
        ),
        (
            "physics-iq",
            "d.csv",
            physics_table(2).replace(",0002_", ",2_"),
            r"line 3, has '2_perspective.*' under generated_video_name",
        ),
        (
            "physics-iq",
            "d.csv",
            physics_table(2).replace(",0002_", ",0003_"),
            r"line 3, has number 0003, expected 0002",
        ),
        ("physics-iq", "d.csv", physics_table(0), r"holds no prompt for physics-iq"),
        (
            "worldscore",
            "s.json",
            list_of({**STATIC, "visual_movement": "slow"}),
            r"entry 1, has 'slow' under 'visual_movement'",
        ),
        (
            "worldscore",
            "s.json",
            list_of({**STATIC, "camera_path": ["pan_lft"]}),
            r"movement 'pan_lft'.* Did you mean 'pan_left'",
        ),
        (
            "worldscore",
            "s.json",
            list_of({**STATIC, "prompt_list": ["a"]}),
            r"under 'prompt_list'; 3 texts are expected",
        ),
        ("worldscore", "s.json", list_of({**STATIC, "scene_type": ".."}), r"names a folder '..'"),
        ("worldscore", "s.json", list_of(STATIC), r"1 pictures from which videos start are missing"),
        ("compbench", "9_colours.txt", "a", r"stands in a file '9_colours', which is no category"),
        ("evalcrafter", "none/prompt700.txt", "", r"line 1, is empty"),
        ("vbnch", "color.txt", "a", r"unknown format 'vbnch'. Did you mean 'vbench'"),
    ],
)
def test_prompt_files_that_make_no_sense(tmp_path: Path, name: str, file: str, text: str, says: str) -> None:
    with pytest.raises(ChronotopeError, match=says):
        export(ExportRequest(name, write(tmp_path, file, text), tmp_path / "out"), maker(), quiet)
    assert not (tmp_path / "out").exists()


def test_missing_and_unreadable_prompt_files(tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").mkdir()
    for file, says in (
        ("none.txt", "is missing"),
        ("bytes.txt", "no text in UTF-8"),
        ("empty", "folder without prompt files"),
    ):
        with pytest.raises(FileProblem, match=says):
            plan(ExportRequest("vbench", tmp_path / file, tmp_path))
