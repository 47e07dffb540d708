"""WorldScore's instances: a folder each, with frames, the video, the given picture and what was asked; cameras as paths of matrices.

After Duan et al. 2025, arXiv 2504.00983, and the reader in its repository (worldscore/benchmark/helpers), which wants `frames`,
`image_data.json`, `input_image.png` and, where the camera moves through a static world, `camera_data.json` with one matrix a frame.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float64

from chronotope.errors import FileProblem, suggest
from chronotope.evaluate.exports.prompts import Prompt, text_of
from chronotope.generate.pipeline import Generation
from chronotope.media import video

__all__ = ["MOVES", "camera_path", "faults", "furnish", "instance_folder", "picture", "texts"]

FOCAL_LENGTH, SPEED = 500.0, 1.0  # what the benchmark's settings say where a model does not choose
WORDS = {
    "pull_left": "move left, pull out, then pan left",
    "pull_right": "move right, pull out, then pan right",
    "fixed": "fixed",
}


def _shifted(x: float, z: float) -> Float64[np.ndarray, "4 4"]:
    matrix = np.eye(4)
    matrix[0, 3], matrix[2, 3] = x, z
    return matrix


def _turned(degrees: float) -> Float64[np.ndarray, "4 4"]:
    """About the vertical axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4)
    matrix[0, 0], matrix[0, 2], matrix[2, 0], matrix[2, 2] = cos, -sin, sin, cos
    return matrix


# What one movement does to the world as the camera sees it. An orbit is about the point one step ahead.
MOVES = {
    "push_in": _shifted(0.0, -SPEED),
    "pull_out": _shifted(0.0, SPEED),
    "move_left": _shifted(-0.5 * SPEED, 0.0),
    "move_right": _shifted(0.5 * SPEED, 0.0),
    "pan_left": _turned(30.0),
    "pan_right": _turned(-30.0),
    "orbit_left": _shifted(0.0, SPEED) @ _turned(-30.0) @ _shifted(0.0, -SPEED),
    "orbit_right": _shifted(0.0, SPEED) @ _turned(30.0) @ _shifted(0.0, -SPEED),
}


def camera_path(moves: Sequence[str], frames: int) -> dict[str, Any]:
    """What camera_data.json holds: where the camera stands after each movement, and at each of `frames` frames a movement (shared ends)."""
    stations = [np.eye(4)]
    for move in moves:
        stations.append(MOVES[move] @ stations[-1])
    path = [stations[0]]
    for before, after in itertools.pairwise(stations):
        path += [_between(before, after, step / (frames - 1)) for step in range(1, frames)]
    return {
        "focal_length": FOCAL_LENGTH,
        "scale": SPEED,
        "cameras": [_to_world(view).tolist() for view in stations],
        "cameras_interp": [_to_world(view).tolist() for view in path],
    }


def _between(
    before: Float64[np.ndarray, "4 4"], after: Float64[np.ndarray, "4 4"], share: float
) -> Float64[np.ndarray, "4 4"]:
    """Evenly turned and shifted: every turn is about the vertical axis, so the shortest way between two is along their angle."""
    angles = [np.degrees(np.arctan2(view[2, 0], view[0, 0])) for view in (before, after)]
    angle = angles[0] + share * ((angles[1] - angles[0] + 180) % 360 - 180)
    matrix = _turned(angle)
    matrix[:3, 3] = before[:3, 3] + share * (after[:3, 3] - before[:3, 3])
    return matrix


def _to_world(view: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """From camera to world, in Blender's axes: x and z point the other way."""
    matrix: np.ndarray = np.linalg.inv(np.diag([-1.0, 1.0, -1.0, 1.0]) @ view)
    return matrix


# What an entry asks for


def instance_folder(prompt: Prompt) -> PurePosixPath:
    """The folder of an entry: movement, style, then kind of scene and category, or kind of motion; and the number of its picture."""
    where, entry = prompt.where, prompt.entry
    movement = text_of(where, entry, "visual_movement")
    picture_path = PurePosixPath(text_of(where, entry, "image"))
    if movement not in ("static", "dynamic"):
        raise FileProblem(f"{where}, has '{movement}' under 'visual_movement'; static or dynamic is expected")
    kinds = ["visual_style", "scene_type"] if movement == "static" else ["visual_style", "motion_type"]
    parts = [movement, *(text_of(where, entry, kind) for kind in kinds)]
    if movement == "static":
        parts.append(picture_path.parent.name)
    odd = [part for part in [*parts, picture_path.stem] if part in ("", ".", "..") or "/" in part]
    if odd:
        raise FileProblem(
            f"{where}, names a folder '{odd[0]}', which cannot be one; copy the file again from the benchmark"
        )
    return PurePosixPath("worldscore_output", *parts, picture_path.stem)


def texts(prompt: Prompt) -> tuple[str, ...]:
    """What a model is told, a text a scene, worded as the benchmark words it: the camera's movement, the scene, the style."""
    where, entry = prompt.where, prompt.entry
    moves, static = entry.get("camera_path"), entry.get("visual_movement") == "static"
    known = [*MOVES] if static else [*MOVES, *WORDS]
    if not isinstance(moves, list) or not moves or not all(isinstance(move, str) for move in moves):
        raise FileProblem(f"{where}, has {moves!r} under 'camera_path'; a list of movements is expected")
    for move in moves:
        if move not in known:
            raise FileProblem(f"{where}, has the movement '{move}' under 'camera_path'. {suggest(move, known)}")
    style = text_of(where, entry, "style")
    if not static:
        return (_told(moves[0], text_of(where, entry, "prompt"), style),)
    scenes = entry.get("prompt_list")
    if (
        not isinstance(scenes, list)
        or len(scenes) != len(moves) + 1
        or not all(isinstance(scene, str) for scene in scenes)
    ):
        raise FileProblem(
            f"{where}, has {scenes!r} under 'prompt_list'; {len(moves) + 1} texts are expected, one more than movements"
        )
    return tuple(
        _told(move, scene, style) + ". Everything in the scene remains completely motionless."
        for move, scene in zip(moves, scenes[1:], strict=True)
    )


def _told(move: str, scene: str, style: str) -> str:
    return f"Camera {WORDS.get(move, move.replace('_', ' '))}. {scene}{'' if scene.endswith('.') else '.'} {style}"


def picture(prompt: Prompt, file: Path) -> Path:
    """Where the given picture of an entry lies: below the folder of the prompt file, or below the one around it, as in the dataset."""
    relative = text_of(prompt.where, prompt.entry, "image")
    places = [file.parent / relative, file.parent.parent / relative]
    return next((place for place in places if place.is_file()), places[-1])


# What belongs to an instance beside its video


def furnish(entry: dict[str, Any], image: Path, made: Generation, frames: int, folder: Path) -> None:
    """Write the frames, the given picture as the model saw it, and the two tables into the folder."""
    height, width = made.frames.shape[1:3]
    scenes = (len(made.frames) - 1) // (frames - 1)
    (folder / "frames").mkdir(parents=True)
    for number, frame in enumerate(made.frames):
        video.write_image(folder / f"frames/{number:03d}.png", frame)
    video.write_image(folder / "input_image.png", video.fit(video.read_image(image), height, width)[0])
    told = {**entry, "num_scenes": scenes, "total_frames": len(made.frames)}
    if entry["visual_movement"] == "static":
        told["anchor_frame_idx"] = [scene * (frames - 1) for scene in range(scenes + 1)]
        (folder / "camera_data.json").write_text(json.dumps(camera_path(entry["camera_path"], frames), indent=1) + "\n")
    (folder / "image_data.json").write_text(json.dumps(told, indent=1) + "\n")


def faults(entry: dict[str, Any], folder: Path, num_frames: int | None) -> Iterator[str]:
    """What an instance lacks, has too much of, or says of itself wrongly; `num_frames` are those of its video, if it can be read."""
    static = entry["visual_movement"] == "static"
    wanted = {"frames", "videos", "input_image.png", "image_data.json"} | ({"camera_data.json"} if static else set())
    present = {path.name for path in folder.iterdir()}
    yield from (f"{name} is missing" for name in sorted(wanted - present))
    yield from (f"{name} is not part of the format" for name in sorted(present - wanted))
    if (folder / "videos").is_dir():
        yield from (
            f"videos/{path.name} is not part of the format"
            for path in (folder / "videos").iterdir()
            if path.name != "output.mp4"
        )
    told = _load(folder / "image_data.json")
    if not isinstance(told, dict) or not isinstance(told.get("total_frames"), int):
        if "image_data.json" in present:
            yield "image_data.json is no table with total_frames"
        return
    total, scenes = told["total_frames"], len(entry["camera_path"]) if static else 1
    yield from _different(told, entry, total, scenes, static)
    found = sorted(path.name for path in (folder / "frames").iterdir()) if (folder / "frames").is_dir() else []
    expected = [f"{number:03d}.png" for number in range(total)]
    if found != expected:
        yield f"frames holds {len(found)} files, expected 000.png to {total - 1:03d}.png"
    if num_frames not in (None, total):
        yield f"videos/output.mp4 has {num_frames} frames, image_data.json says {total}"
    if static and "camera_data.json" in present and not _has_cameras(_load(folder / "camera_data.json"), total):
        yield f"camera_data.json has no cameras_interp of {total} matrices of 4 x 4, one a frame"


def _has_cameras(told: Any, total: int) -> bool:
    """Whether a table holds a matrix a frame."""
    path = told.get("cameras_interp") if isinstance(told, dict) else None
    if not isinstance(path, list) or len(path) != total:
        return False
    return all(
        isinstance(matrix, list) and [len(row) for row in matrix if isinstance(row, list)] == [4] * 4 for matrix in path
    )


def _different(told: dict[str, Any], entry: dict[str, Any], total: int, scenes: int, static: bool) -> Iterator[str]:
    """Where image_data.json does not say what the prompt file says, or contradicts itself."""
    yield from (
        f"image_data.json has another '{name}' than the prompt file" for name in entry if told.get(name) != entry[name]
    )
    if told.get("num_scenes") != scenes:
        yield f"image_data.json has num_scenes {told.get('num_scenes')}, expected {scenes}"
    if static and told.get("anchor_frame_idx") != [scene * (total - 1) // scenes for scene in range(scenes + 1)]:
        yield f"image_data.json has anchor_frame_idx {told.get('anchor_frame_idx')}, expected {scenes + 1} evenly from 0 to {total - 1}"


def _load(path: Path) -> Any:
    """What a JSON file holds; None where it is missing or is none."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
