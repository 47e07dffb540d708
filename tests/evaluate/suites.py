"""Prompt files in the formats of benchmarks, the videos that they plan, and a maker that needs no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from chronotope.evaluate.exports.requests import VideoMaker, VideoRequest
from chronotope.evaluate.suite import Case, write_cases
from chronotope.generate.pipeline import Generation
from chronotope.media import video

RED, FOX, LONG = "a red ball, rolling", "a fox. It walks to the left", "a boat " * 26 + "at sea"  # 188 characters
VIEWS = ("left", "center", "right")
PHYSICS_VIDEOS = 12  # the benchmark itself has 198


def changed_line(path: Path, case: Case, change: dict[str, Any]) -> Path:
    """The plan of one case, with something else said in its line."""
    write_cases([case], path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change) + "\n")
    return path


def quiet(done: int, total: int) -> None:
    pass


def maker(num_frames: int = 3, fps: float = 2.0, size: int = 16, weights: str = "w") -> VideoMaker:
    """A model that fills frames with noise by its seed; the requests that it got are in `asked`."""

    def make(request: VideoRequest) -> Generation:
        asked.append(request)
        noise = np.random.default_rng(request.seed).integers(0, 256, (1, 2, 2, 3), np.uint8)
        frames = np.tile(noise.repeat(size // 2, 1).repeat(size // 2, 2), (request.num_frames, 1, 1, 1))
        frames[:, 0, 0] = np.arange(request.num_frames, dtype=np.uint8)[:, None]
        texts = request.prompt
        read: Any = texts[0][1] if len(texts) == 1 else [list(beat) for beat in texts]
        return Generation(frames, fps, {"prompt": read})

    asked: list[VideoRequest] = []
    made = VideoMaker({"dit": weights}, num_frames, fps, make)
    object.__setattr__(made, "asked", asked)
    return made


def list_of(*entries: dict[str, Any]) -> str:
    return json.dumps(entries)


def physics_table(count: int = PHYSICS_VIDEOS) -> str:
    lines = ["scenario,description,category,generated_video_name"]
    for take in (1, 2):
        for number in range(count):
            view, index = VIEWS[number % 3], number + 1 + (take - 1) * count
            name = f"{index:04d}_perspective-{view}_take-{take}_trimmed-scene-{number // 3}.mp4"
            generated = f"{index:04d}_perspective-{view}_trimmed-scene-{number // 3}.mp4"
            lines.append(f'{name},"a ball, number {number // 3}",Solids,{generated}')
    return "\n".join(lines) + "\n"


STATIC = {
    "visual_movement": "static",
    "visual_style": "photorealistic",
    "scene_type": "indoor",
    "camera_path": ["pan_left", "push_in"],
    "image": "static/photorealistic/indoor/rooms/000.png",
    "prompt_list": ["a room", "a door", "a window."],
    "content_list": [["bed"], ["door"], ["window"]],
    "style": "Bright.",
}
DYNAMIC = {
    "visual_movement": "dynamic",
    "visual_style": "stylized",
    "motion_type": "rigid",
    "camera_path": ["fixed"],
    "image": "dynamic/stylized/rigid/007.png",
    "prompt": "a ball rolls",
    "style": "Ink.",
    "masks": ["m.png"],
    "objects": ["ball"],
}


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def prompts_for(name: str, folder: Path) -> Path:
    """A prompt file for a format."""
    if name == "vbench2":
        entries = (
            {"prompt_en": LONG, "dimension": ["Camera_Motion", "Mechanics"]},
            {"prompt_en": RED, "dimension": ["Diversity"]},
        )
        return write(folder, "VBench2_full_info.json", list_of(*entries))
    if name.startswith("vbench"):
        entries = (
            {"prompt_en": RED, "dimension": ["color"]},
            {"prompt_en": FOX, "dimension": ["scene", "temporal_flickering"]},
        )
        return write(folder, "VBench_full_info.json", list_of(*entries, {"prompt_en": RED, "dimension": ["scene"]}))
    if name == "physics-iq":
        return write(folder, "descriptions_original.csv", physics_table())
    if name == "worldscore":
        for entry in (STATIC, DYNAMIC):
            path = folder / "data" / str(entry["image"])
            path.parent.mkdir(parents=True, exist_ok=True)
            video.write_image(path, np.full((20, 40, 3), 90, np.uint8))
        return write(folder, "data/static/both.json", list_of(STATIC, DYNAMIC))
    if name == "evalcrafter":
        return write(folder, "prompt700.txt", f"{RED}\n{FOX}\n{RED}\n")
    write(folder, "prompts/1_consistent_attr.txt", f"{RED}\n{FOX}")
    return write(folder, "prompts/7_numeracy.txt", f"{FOX}\n").parent


NAMES = {
    "vbench": [*(f"videos/{RED}-{n}.mp4" for n in range(5)), *(f"videos/{FOX}-{n}.mp4" for n in range(25))],
    "vbench2": [
        *(f"vbench2_videos/{group}/{LONG[:180]}-{n}.mp4" for group in ("Camera_Motion", "Mechanics") for n in range(3)),
        *(f"vbench2_videos/Diversity/{RED}-{n}.mp4" for n in range(20)),
    ],
    "physics-iq": [
        f"small-op-run_01/{number + 1:04d}_perspective-{VIEWS[number % 3]}_trimmed-scene-{number // 3}.mp4"
        for number in range(PHYSICS_VIDEOS)
    ],
    "worldscore": [
        "worldscore_output/static/photorealistic/indoor/rooms/000/videos/output.mp4",
        "worldscore_output/dynamic/stylized/rigid/007/videos/output.mp4",
    ],
    "evalcrafter": ["videos/0000.mp4", "videos/0001.mp4", "videos/0002.mp4"],
    "compbench": [
        "video/consistent_attr/0001.mp4",
        "video/consistent_attr/0002.mp4",
        "video/generative_numeracy/0001.mp4",
    ],
}
NAMES["vbench-long"] = NAMES["vbench"]
