"""A table spec as MuJoCo's model, and the outlines of its solids."""

from __future__ import annotations

import math
import os
import sys
from typing import Any

import numpy as np

from chronotope.errors import ChronotopeError
from chronotope.worlds.table.camera import View
from chronotope.worlds.table.materials import GROUND, TOP_RADIUS, colour, lights, sky, top_picture
from chronotope.worlds.table.spec import Actor, TableSpec, extent

__all__ = ["build", "engine", "no_picture", "outline", "time_steps"]

DENSITY = 400.0  # kg a cubic metre: light wood
FRICTION = (0.35, 0.004, 0.002)  # sliding, twisting, rolling
# A contact is a stiff damped spring that swings at STIFFNESS radians a second: it ends after at most 6.3 ms, in 16 steps.
STIFFNESS, STEP, TICK = 500.0, 0.4e-3, 3  # ... seconds a step; steps between two looks at what touches what


def engine() -> Any:
    """MuJoCo, told to draw without a screen."""
    if sys.platform == "linux":
        os.environ.setdefault("MUJOCO_GL", "egl")
        os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa draws small pictures faster with one thread
    try:
        import mujoco
    except ModuleNotFoundError as problem:
        raise ChronotopeError("the table needs MuJoCo: pip install 'chronotope[table]'") from problem
    except (AttributeError, ImportError, OSError, RuntimeError) as problem:  # it looks for OpenGL when it is imported
        raise no_picture(problem) from problem
    return mujoco


def no_picture(problem: Exception) -> ChronotopeError:
    """The error to raise where OpenGL cannot draw."""
    return ChronotopeError(
        f"the table is drawn by OpenGL without a screen, which cannot start here ({str(problem).split('. ')[0]}): "
        "install Mesa's, on Debian apt-get install libegl1 libgl1 libgl1-mesa-dri"
    )


def time_steps(spec: TableSpec) -> int:
    """Steps of physics from one frame to the next, in whole ticks."""
    return math.ceil(1 / spec.fps / STEP / TICK) * TICK


def build(spec: TableSpec, looks: bool = True) -> Any:
    """The model: table, light, camera, and a free body for each actor, in order; without looks it moves the same, but cannot be drawn."""
    mujoco = engine()
    try:
        return mujoco.MjModel.from_xml_string(_xml(spec, looks), {"top.png": top_picture(spec)} if looks else {})
    except ValueError as problem:  # only a mistake of ours gets here: the spec has been checked
        raise ChronotopeError(f"MuJoCo cannot build this table: {problem}") from problem


def _xml(spec: TableSpec, looks: bool) -> str:
    short = min(spec.width, spec.height)
    # One cell of the shadow map is about as large as a pixel.
    shadow = min(2048, max(256, 2 ** math.ceil(math.log2(short * 3))))
    slices = 28 if short < 200 else 64
    above, below = sky(spec)
    meshes = "".join(_mesh(actor) for actor in spec.actors if actor.noun in ("cone", "pyramid"))
    bodies = "".join(_body(spec, actor) for actor in spec.actors)
    grain = (
        f'<texture name="sky" type="skybox" builtin="gradient" rgb1="{above}" rgb2="{below}" width="64" height="384"/>'
        '<texture name="top" type="2d" file="top.png"/><material name="top" texture="top" specular=".15" shininess=".3"/>'
    )
    grain = grain if looks else '<material name="top"/>'
    rub, top = " ".join(map(str, FRICTION)), TOP_RADIUS
    return f"""<mujoco><option timestep="{1 / spec.fps / time_steps(spec)!r}" cone="elliptic" iterations="50" tolerance="1e-10"/>
<visual><global offwidth="{spec.width}" offheight="{spec.height}"/>
<quality shadowsize="{shadow}" offsamples="4" numslices="{slices}" numstacks="{slices // 2}"/>
<headlight ambient=".44 .44 .45" diffuse=".16 .16 .16" specular="0 0 0"/>
<map znear=".5" zfar="40" shadowclip="5" shadowscale="1"/></visual>
<statistic extent="1" center="0 0 0"/>
<default><geom condim="3" friction="{rub}" density="{DENSITY:g}" solimp=".99 .99 .001" solref="{_spring(0.95)}"/></default>
<asset>{grain}{meshes}</asset>
<worldbody>{lights(spec)}
<geom name="floor" type="plane" size="0 0 1" pos="0 0 {GROUND}" group="3"/>
<geom name="table" type="cylinder" size="{top} .1" pos="0 0 -.1" material="top"/>
<body name="eye" mocap="true"><camera name="eye" fovy="36"/></body>{bodies}</worldbody></mujoco>"""


def _body(spec: TableSpec, actor: Actor) -> str:
    wide, deep, tall = extent(actor)
    kind, size = {
        "ball": ("sphere", f"{wide / 2}"),
        "cylinder": ("cylinder", f"{wide / 2} {tall / 2}"),
        "cube": ("box", f"{wide / 2} {deep / 2} {tall / 2}"),
        "brick": ("box", f"{wide / 2} {deep / 2} {tall / 2}"),
    }.get(actor.noun, ("mesh", ""))
    form = f'type="{kind}" size="{size}"' if size else f'type="mesh" mesh="{actor.id}"'
    turn = math.radians(actor.turn) / 2
    round_ = actor.noun in (
        "ball",
        "cylinder",
        "cone",
    )  # rubs against rolling and twisting too, which flat faces do by themselves
    pose = f'pos="{actor.x!r} {actor.y!r} {actor.lift + tall / 2!r}" quat="{math.cos(turn)!r} 0 0 {math.sin(turn)!r}"'
    matter = f'condim="{6 if round_ else 3}" solref="{_spring(actor.restitution)}" rgba="{colour(actor.colour)}"'
    return f'<body name="{actor.id}" {pose}><freejoint/><geom name="{actor.id}" {form} {matter}/></body>'


def _mesh(actor: Actor) -> str:
    points = " ".join(f"{part:.6f}" for part in _corners(actor).ravel())
    return f'<mesh name="{actor.id}" vertex="{points}"/>'


def _spring(restitution: float) -> str:
    """MuJoCo's stiffness and damping of a contact that gives back this share of the speed.

    A damped spring that only pushes gives back exp(-tan(a) (pi - 2 a)), where sin(a) is its damping ratio (Schwager and Poeschel 2007).
    """
    low, high = 0.0, math.pi / 2 - 1e-6
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if math.exp(-math.tan(middle) * (math.pi - 2 * middle)) > restitution else (low, middle)
        )
    return f"{-(STIFFNESS**2):g} {-2 * STIFFNESS * math.sin(low):.6g}"


def _corners(actor: Actor) -> np.ndarray:
    """Points [n, 3] whose convex hull is the solid, around the middle of its box."""
    wide, deep, tall = np.array(extent(actor)) / 2
    if actor.noun in ("cube", "brick"):
        return np.array([[x, y, z] for x in (-wide, wide) for y in (-deep, deep) for z in (-tall, tall)])
    if actor.noun == "pyramid":
        return np.array(
            [[-wide, -deep, -tall], [wide, -deep, -tall], [wide, deep, -tall], [-wide, deep, -tall], [0, 0, tall]]
        )
    angles = np.arange(64) * 2 * np.pi / 64
    ring = np.column_stack([wide * np.cos(angles), deep * np.sin(angles), np.full(64, -tall)])
    return np.vstack([ring, [[0, 0, tall]] if actor.noun == "cone" else ring * [1, 1, -1]])


def outline(actor: Actor, place: np.ndarray, rotation: np.ndarray, view: View) -> np.ndarray:
    """The convex outline [n, 2] in pixels as if nothing hid the solid; empty if part of it is behind the camera."""
    import cv2

    if actor.noun == "ball":
        points = _rim(actor.size / 2, place, view)
    else:
        points = place + _corners(actor) @ rotation.T
    seen = view.project(points)
    if not len(seen) or (seen[:, 2] <= 0.01).any():
        return np.zeros((0, 2))
    return cv2.convexHull(seen[:, :2].astype(np.float32))[:, 0].astype(float)


def _rim(radius: float, place: np.ndarray, view: View) -> np.ndarray:
    """The circle on a ball that the camera sees as its edge."""
    gap = view.place - place
    away = float(np.linalg.norm(gap))
    if away <= radius:
        return np.zeros((0, 3))
    out = gap / away
    side = np.cross(out, view.axes[1])
    side /= np.linalg.norm(side)
    angles = np.arange(96)[:, None] * 2 * np.pi / 96
    ring = np.cos(angles) * side + np.sin(angles) * np.cross(out, side)
    return place + out * radius**2 / away + ring * radius * math.sqrt(1 - (radius / away) ** 2)
