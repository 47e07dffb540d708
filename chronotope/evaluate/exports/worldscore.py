"""WorldScore: the folder of each instance, with frames, video, first picture, tables, and camera paths as matrices.

After Duan et al. 2025, arXiv 2504.00983, and the reader in its repository (worldscore/benchmark/helpers), which reads
`frames`, `image_data.json`, `input_image.png` and, where the camera moves through a static world, `camera_data.json`
with one matrix for each frame.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float64

from chronotope.errors import FileProblem, suggest
from chronotope.evaluate.documents import parse_json, read_file
from chronotope.evaluate.exports.prompts import BenchmarkPrompt, text_of
from chronotope.generate.pipeline import Generation
from chronotope.media import video
from chronotope.storage import write_json

__all__ = ["MOVES", "camera_path", "first_picture", "instance_folder", "problems", "texts", "write_instance"]

FOCAL_LENGTH, SPEED = 500.0, 1.0  # the benchmark's defaults for models that do not choose their own
PHRASES = {
    "pull_left": "move left, pull out, then pan left",
    "pull_right": "move right, pull out, then pan right",
    "fixed": "fixed",
}


def _translation(x: float, z: float) -> Float64[np.ndarray, "4 4"]:
    matrix = np.eye(4)
    matrix[0, 3], matrix[2, 3] = x, z
    return matrix


def _rotation(degrees: float) -> Float64[np.ndarray, "4 4"]:
    """A rotation about the vertical axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4)
    matrix[0, 0], matrix[0, 2], matrix[2, 0], matrix[2, 2] = cos, -sin, sin, cos
    return matrix


# What one movement does to the world in camera coordinates. An orbit is about the point one step ahead.
MOVES = {
    "push_in": _translation(0.0, -SPEED),
    "pull_out": _translation(0.0, SPEED),
    "move_left": _translation(-0.5 * SPEED, 0.0),
    "move_right": _translation(0.5 * SPEED, 0.0),
    "pan_left": _rotation(30.0),
    "pan_right": _rotation(-30.0),
    "orbit_left": _translation(0.0, SPEED) @ _rotation(-30.0) @ _translation(0.0, -SPEED),
    "orbit_right": _translation(0.0, SPEED) @ _rotation(30.0) @ _translation(0.0, -SPEED),
}


def camera_path(moves: Sequence[str], frames: int) -> dict[str, Any]:
    """The content of camera_data.json: the camera after each movement, and at each frame.

    A movement takes `frames` frames; its last frame is the first of the next movement.
    """
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
    """Interpolate the rotation and the translation. All rotations are about the vertical axis: one angle suffices."""
    angles = [np.degrees(np.arctan2(view[2, 0], view[0, 0])) for view in (before, after)]
    angle = angles[0] + share * ((angles[1] - angles[0] + 180) % 360 - 180)
    matrix = _rotation(angle)
    matrix[:3, 3] = before[:3, 3] + share * (after[:3, 3] - before[:3, 3])
    return matrix


def _to_world(view: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """Camera to world in Blender's axes, where x and z point the other way."""
    matrix: np.ndarray = np.linalg.inv(np.diag([-1.0, 1.0, -1.0, 1.0]) @ view)
    return matrix


# The entries of the prompt file


def instance_folder(prompt: BenchmarkPrompt) -> PurePosixPath:
    """The folder of an entry: static/STYLE/SCENE/CATEGORY/NUMBER or dynamic/STYLE/MOTION/NUMBER."""
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


def texts(prompt: BenchmarkPrompt) -> tuple[str, ...]:
    """The model's texts, one for each scene, as the benchmark words them: camera movement, scene, style."""
    where, entry = prompt.where, prompt.entry
    moves, static = entry.get("camera_path"), entry.get("visual_movement") == "static"
    known = [*MOVES] if static else [*MOVES, *PHRASES]
    if not isinstance(moves, list) or not moves or not all(isinstance(move, str) for move in moves):
        raise FileProblem(f"{where}, has {moves!r} under 'camera_path'; a list of movements is expected")
    for move in moves:
        if move not in known:
            raise FileProblem(f"{where}, has the movement '{move}' under 'camera_path'. {suggest(move, known)}")
    style = text_of(where, entry, "style")
    if not static:
        return (_scene_text(moves[0], text_of(where, entry, "prompt"), style),)
    scenes = entry.get("prompt_list")
    count = len(moves) + 1
    if not isinstance(scenes, list) or len(scenes) != count or not all(isinstance(scene, str) for scene in scenes):
        raise FileProblem(
            f"{where}, has {scenes!r} under 'prompt_list'; {count} texts are expected, one more than movements"
        )
    return tuple(
        _scene_text(move, scene, style) + ". Everything in the scene remains completely motionless."
        for move, scene in zip(moves, scenes[1:], strict=True)
    )


def _scene_text(move: str, scene: str, style: str) -> str:
    movement = PHRASES.get(move, move.replace("_", " "))
    return f"Camera {movement}. {scene}{'' if scene.endswith('.') else '.'} {style}"


def first_picture(prompt: BenchmarkPrompt, file: Path) -> Path:
    """The path of an entry's picture: below the folder of the prompt file or, as in the dataset, below its parent."""
    relative = text_of(prompt.where, prompt.entry, "image")
    places = [file.parent / relative, file.parent.parent / relative]
    return next((place for place in places if place.is_file()), places[-1])


# The folder of an instance


def write_instance(entry: Mapping[str, Any], image: Path, made: Generation, frames: int, folder: Path) -> None:
    """Write the frames, the first picture as the model saw it, and the two tables; a scene has `frames` frames."""
    height, width = made.frames.shape[1:3]
    scenes = (len(made.frames) - 1) // (frames - 1)
    (folder / "frames").mkdir(parents=True)
    for number, frame in enumerate(made.frames):
        video.write_image(folder / f"frames/{number:03d}.png", frame)
    video.write_image(folder / "input_image.png", video.fit(video.read_image(image), height, width)[0])
    table = {**entry, "num_scenes": scenes, "total_frames": len(made.frames)}
    if entry["visual_movement"] == "static":
        table["anchor_frame_idx"] = [scene * (frames - 1) for scene in range(scenes + 1)]
        write_json(folder / "camera_data.json", camera_path(entry["camera_path"], frames))
    write_json(folder / "image_data.json", table)


def problems(entry: Mapping[str, Any], folder: Path, num_frames: int | None) -> Iterator[str]:
    """List what is missing, superfluous or wrong in an instance; `num_frames` is that of its video, if readable."""
    static = entry["visual_movement"] == "static"
    expected = {"frames", "videos", "input_image.png", "image_data.json"}
    if static:
        expected.add("camera_data.json")
    present = {path.name for path in folder.iterdir()}
    yield from (f"{name} is missing" for name in sorted(expected - present))
    yield from (f"{name} is not part of the format" for name in sorted(present - expected))
    for path in (folder / "videos").iterdir() if (folder / "videos").is_dir() else ():
        if path.name != "output.mp4":
            yield f"videos/{path.name} is not part of the format"
    table = _load(folder / "image_data.json")
    if not isinstance(table, dict) or not isinstance(table.get("total_frames"), int):
        if "image_data.json" in present:
            yield "image_data.json is no table with total_frames"
        return
    total = table["total_frames"]
    yield from _table_problems(table, entry, total, len(entry["camera_path"]) if static else 1, static)
    found = sorted(path.name for path in (folder / "frames").iterdir()) if (folder / "frames").is_dir() else []
    if found != [f"{number:03d}.png" for number in range(total)]:
        yield f"frames holds {len(found)} files, expected 000.png to {total - 1:03d}.png"
    if num_frames not in (None, total):
        yield f"videos/output.mp4 has {num_frames} frames, image_data.json says {total}"
    if static and "camera_data.json" in present and not _has_cameras(_load(folder / "camera_data.json"), total):
        yield f"camera_data.json has no cameras_interp of {total} matrices of 4 x 4, one a frame"


def _has_cameras(table: Any, total: int) -> bool:
    """Whether a table holds a 4 x 4 matrix for each frame."""
    path = table.get("cameras_interp") if isinstance(table, dict) else None
    if not isinstance(path, list) or len(path) != total:
        return False
    return all(isinstance(matrix, list) and list(map(_length, matrix)) == [4] * 4 for matrix in path)


def _length(row: Any) -> int:
    return len(row) if isinstance(row, list) else 0


def _table_problems(
    table: Mapping[str, Any], entry: Mapping[str, Any], total: int, scenes: int, static: bool
) -> Iterator[str]:
    """Say where image_data.json disagrees with the prompt file or with itself."""
    for name in entry:
        if table.get(name) != entry[name]:
            yield f"image_data.json has another '{name}' than the prompt file"
    if table.get("num_scenes") != scenes:
        yield f"image_data.json has num_scenes {table.get('num_scenes')}, expected {scenes}"
    anchors = table.get("anchor_frame_idx")
    if static and anchors != [scene * (total - 1) // scenes for scene in range(scenes + 1)]:
        yield f"image_data.json has anchor_frame_idx {anchors}, expected {scenes + 1} evenly from 0 to {total - 1}"


def _load(path: Path) -> Any:
    """Read a JSON file; None if it is missing or malformed."""
    try:
        return parse_json(read_file(path), str(path))
    except FileProblem:
        return None
