"""Build the MuJoCo model of a table spec, and project the outlines of its solids."""

from __future__ import annotations

import math
import os
import sys
from typing import Any

import numpy as np

from chronotope.errors import ChronotopeError
from chronotope.worlds.table.camera import FIELD_OF_VIEW, View
from chronotope.worlds.table.materials import GROUND, TOP_RADIUS, lights, rgba, sky, table_texture
from chronotope.worlds.table.spec import STICK, Actor, TableSpec, extent

__all__ = ["STEPS_PER_TICK", "build_model", "free_body", "import_mujoco", "opengl_error", "outline", "steps_per_frame"]

DENSITY = 400.0  # kg per cubic metre: light wood
STICK_DENSITY = 7850.0  # of steel
FRICTION = (0.35, 0.004, 0.002)  # sliding, twisting, rolling
# A contact is a stiff damped spring with a frequency of STIFFNESS: it ends after at most 6.3 ms, or 16 steps.
STIFFNESS = 500.0  # radians per second
STEP = 0.4e-3  # seconds
STEPS_PER_TICK = 3  # steps between two checks of contacts
_SEGMENTS = 64  # of the rim of a cone or cylinder
_BALL_SEGMENTS = 96


def import_mujoco() -> Any:
    """Import MuJoCo, set to draw without a screen."""
    if sys.platform == "linux":
        os.environ.setdefault("MUJOCO_GL", "egl")
        os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa draws small pictures faster with one thread
    try:
        import mujoco
    except ModuleNotFoundError as problem:
        raise ChronotopeError("the table needs MuJoCo: pip install 'chronotope[table]'") from problem
    except (AttributeError, ImportError, OSError, RuntimeError) as problem:  # its import loads OpenGL
        raise opengl_error(problem) from problem
    return mujoco


def opengl_error(problem: Exception) -> ChronotopeError:
    """Return the error to raise where OpenGL does not work."""
    return ChronotopeError(
        f"the table needs OpenGL, which does not start on this machine ({str(problem).split('. ')[0]}): "
        "install Mesa, on Debian with apt-get install libegl1 libgl1 libgl1-mesa-dri"
    )


def steps_per_frame(spec: TableSpec) -> int:
    """Return the number of physics steps between two frames, a multiple of STEPS_PER_TICK."""
    return math.ceil(1 / spec.fps / STEP / STEPS_PER_TICK) * STEPS_PER_TICK


def build_model(spec: TableSpec, drawable: bool = True) -> Any:
    """Build table, light, camera and a free body for each actor, in order; not drawable, it has no textures."""
    mujoco = import_mujoco()
    try:
        files = {"top.png": table_texture(spec)} if drawable else {}
        return mujoco.MjModel.from_xml_string(_xml(spec, drawable), files)
    except ValueError as problem:  # a bug, as the spec has been checked
        raise ChronotopeError(f"MuJoCo cannot build this table: {problem}") from problem


def free_body(model: Any, name: str) -> tuple[slice, slice]:
    """Return where an actor is in `qpos` (position and quaternion) and in `qvel` (velocity and angular velocity)."""
    joint = int(model.body(name).jntadr[0])
    pose, speed = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
    return slice(pose, pose + 7), slice(speed, speed + 6)


def _xml(spec: TableSpec, drawable: bool) -> str:
    short = min(spec.width, spec.height)
    # One cell of the shadow map has about the size of a pixel.
    shadow = min(2048, max(256, 2 ** math.ceil(math.log2(short * 3))))
    slices = 28 if short < 200 else 64
    above, below = sky(spec)
    meshes = "".join(_mesh(actor) for actor in spec.actors if actor.noun in ("cone", "pyramid"))
    bodies = "".join(_body(spec, actor) for actor in spec.actors)
    textures = '<material name="top"/>'
    if drawable:
        textures = (
            f'<texture name="sky" type="skybox" builtin="gradient" rgb1="{above}" rgb2="{below}" '
            'width="64" height="384"/>'
            '<texture name="top" type="2d" file="top.png"/>'
            '<material name="top" texture="top" specular=".15" shininess=".3"/>'
        )
    friction = " ".join(map(str, FRICTION))
    step = 1 / spec.fps / steps_per_frame(spec)
    return f"""<mujoco><option timestep="{step!r}" cone="elliptic" iterations="50" tolerance="1e-10"/>
<visual><global offwidth="{spec.width}" offheight="{spec.height}"/>
<quality shadowsize="{shadow}" offsamples="4" numslices="{slices}" numstacks="{slices // 2}"/>
<headlight ambient=".44 .44 .45" diffuse=".16 .16 .16" specular="0 0 0"/>
<map znear=".5" zfar="40" shadowclip="5" shadowscale="1"/></visual>
<statistic extent="1" center="0 0 0"/>
<default>
<geom condim="3" friction="{friction}" density="{DENSITY:g}" solimp=".99 .99 .001" solref="{_spring(0.95)}"/>
</default>
<asset>{textures}{meshes}</asset>
<worldbody>{lights(spec)}
<geom name="floor" type="plane" size="0 0 1" pos="0 0 {GROUND}" group="3"/>
<geom name="table" type="cylinder" size="{TOP_RADIUS} .1" pos="0 0 -.1" material="top"/>
<body name="eye" mocap="true"><camera name="eye" fovy="{FIELD_OF_VIEW:g}"/></body>{bodies}</worldbody></mujoco>"""


def _body(spec: TableSpec, actor: Actor) -> str:
    wide, deep, tall = extent(actor)
    box = f'type="box" size="{wide / 2} {deep / 2} {tall / 2}"'
    shapes = {
        "ball": f'type="sphere" size="{wide / 2}"',
        "cylinder": (round_box := f'type="cylinder" size="{wide / 2} {tall / 2}"'),
        STICK: f'{round_box} density="{STICK_DENSITY:g}"',
        "cube": box,
        "brick": box,
    }
    shape = shapes.get(actor.noun, f'type="mesh" mesh="{actor.id}"')
    turn = math.radians(actor.turn) / 2
    # Round solids need friction against rolling and twisting; flat faces resist both by themselves.
    dimensions = 6 if actor.noun in ("ball", "cylinder", "cone", STICK) else 3
    pose = f'pos="{actor.x!r} {actor.y!r} {actor.lift + tall / 2!r}" quat="{math.cos(turn)!r} 0 0 {math.sin(turn)!r}"'
    material = f'condim="{dimensions}" solref="{_spring(actor.restitution)}" rgba="{rgba(actor.colour)}"'
    return f'<body name="{actor.id}" {pose}><freejoint/><geom name="{actor.id}" {shape} {material}/></body>'


def _mesh(actor: Actor) -> str:
    points = " ".join(f"{part:.6f}" for part in _corners(actor).ravel())
    return f'<mesh name="{actor.id}" vertex="{points}"/>'


def _spring(restitution: float) -> str:
    """Return MuJoCo's stiffness and damping of a contact with this restitution.

    A damped spring that only pushes has the restitution exp(-tan(a) (pi - 2 a)), where sin(a) is its damping ratio
    (Schwager and Poeschel 2007).
    """
    low, high = 0.0, math.pi / 2 - 1e-6
    for _ in range(60):
        middle = (low + high) / 2
        if math.exp(-math.tan(middle) * (math.pi - 2 * middle)) > restitution:
            low = middle
        else:
            high = middle
    return f"{-(STIFFNESS**2):g} {-2 * STIFFNESS * math.sin(low):.6g}"


def _corners(actor: Actor) -> np.ndarray:
    """Return points [n, 3] whose convex hull is the solid, relative to the centre of its box."""
    wide, deep, tall = np.array(extent(actor)) / 2
    if actor.noun in ("cube", "brick"):
        return np.array([[x, y, z] for x in (-wide, wide) for y in (-deep, deep) for z in (-tall, tall)])
    if actor.noun == "pyramid":
        base = [[-wide, -deep, -tall], [wide, -deep, -tall], [wide, deep, -tall], [-wide, deep, -tall]]
        return np.array([*base, [0, 0, tall]])
    angles = np.arange(_SEGMENTS) * 2 * np.pi / _SEGMENTS
    ring = np.column_stack([wide * np.cos(angles), deep * np.sin(angles), np.full(_SEGMENTS, -tall)])
    return np.vstack([ring, [[0, 0, tall]] if actor.noun == "cone" else ring * [1, 1, -1]])


def outline(actor: Actor, place: np.ndarray, rotation: np.ndarray, view: View) -> np.ndarray:
    """Return the convex outline [n, 2] in pixels without occlusion; empty if a part is behind the camera."""
    import cv2

    if actor.noun == "ball":
        points = _ball_silhouette(actor.size / 2, place, view)
    else:
        points = place + _corners(actor) @ rotation.T
    projected = view.project(points)
    if not len(projected) or (projected[:, 2] <= 0.01).any():
        return np.zeros((0, 2))
    return cv2.convexHull(projected[:, :2].astype(np.float32))[:, 0].astype(float)


def _ball_silhouette(radius: float, place: np.ndarray, view: View) -> np.ndarray:
    """Return points [n, 3] of the circle on a ball that the camera sees as its edge."""
    gap = view.place - place
    away = float(np.linalg.norm(gap))
    if away <= radius:
        return np.zeros((0, 3))
    out = gap / away
    side = np.cross(out, view.axes[1])
    side /= np.linalg.norm(side)
    angles = np.arange(_BALL_SEGMENTS)[:, None] * 2 * np.pi / _BALL_SEGMENTS
    ring = np.cos(angles) * side + np.sin(angles) * np.cross(out, side)
    return place + out * radius**2 / away + ring * radius * math.sqrt(1 - (radius / away) ** 2)
