"""Pictures of a table by OpenGL, without a screen: colours, which actor is where, and depth."""

from __future__ import annotations

import atexit
import functools
import os
import sys
from typing import Any

import numpy as np

from chronotope.worlds.table.camera import View
from chronotope.worlds.table.mujoco_model import engine, no_picture
from chronotope.worlds.table.spec import TableSpec

__all__ = ["Drawer", "can_draw"]


def can_draw() -> str:
    """Why tables cannot be drawn here, or nothing if they can."""
    from chronotope.errors import ChronotopeError

    try:
        _canvas(os.getpid())
    except ChronotopeError as problem:
        return str(problem)
    return ""


@functools.lru_cache(maxsize=1)
def _canvas(process: int) -> Any:
    """OpenGL's context, one a process: its compiled shaders serve every clip, and a forked worker must not use its parent's."""
    mujoco = engine()
    try:
        if sys.platform == "linux" and os.environ.get("MUJOCO_GL") == "egl":
            # MuJoCo's own choice was made when it was first imported, perhaps by somebody with a screen in mind.
            from mujoco.egl import GLContext
        else:
            GLContext = mujoco.GLContext
        canvas = GLContext(64, 64)
        canvas.make_current()
    except Exception as problem:  # each of EGL, OSMesa and GLFW has its own
        raise no_picture(problem) from problem
    atexit.register(canvas.free)
    return canvas


class Drawer:
    """Draws one model; close it before the next one is made."""

    def __init__(self, spec: TableSpec, model: Any) -> None:
        mujoco = self.mujoco = engine()
        self.model, self.data = model, mujoco.MjData(model)
        self.shape = (spec.height, spec.width)
        _canvas(os.getpid()).make_current()
        self.scene = mujoco.MjvScene(model, maxgeom=len(spec.actors) + 16)
        try:
            self.context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        except mujoco.FatalError as problem:
            raise no_picture(problem) from problem
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self.context)
        self.context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR  # floats are finest near 0: the far gains by it
        self.camera = mujoco.MjvCamera()
        self.camera.type, self.camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        self.option, self.rect = mujoco.MjvOption(), mujoco.MjrRect(0, 0, spec.width, spec.height)
        # Number of the actor in masks, by number of the geom.
        self.labels = np.zeros(model.ngeom + 1, np.uint8)
        for i, actor in enumerate(spec.actors):
            self.labels[model.geom(actor.id).id] = i + 1

    def draw(self, place: np.ndarray, turn: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One frame: uint8 [h, w, 3], mask [h, w] and depth [h, w] in metres along the line of sight's axis."""
        mujoco, model, data = self.mujoco, self.model, self.data
        data.qpos[:] = np.hstack([place, turn]).ravel()
        data.mocap_pos[0] = view.place
        # MuJoCo's cameras look along their -z, with y up.
        mujoco.mju_mat2Quat(data.mocap_quat[0], (view.axes * [[1], [-1], [-1]]).T.ravel())
        model.cam_fovy[0] = view.field
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        mujoco.mjv_updateScene(model, data, self.option, None, self.camera, mujoco.mjtCatBit.mjCAT_ALL, self.scene)
        frame = np.empty((*self.shape, 3), np.uint8)
        mujoco.mjr_render(self.rect, self.scene, self.context)
        mujoco.mjr_readPixels(frame, None, self.rect, self.context)
        mask, depth = self._measure()
        return frame[::-1], mask[::-1], depth[::-1]

    def _measure(self) -> tuple[np.ndarray, np.ndarray]:
        """The scene once more, in colours that number its geoms."""
        mujoco, scene = self.mujoco, self.scene
        flags = (mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR)
        for flag in flags:
            scene.flags[flag] = True
        codes, depth = np.empty((*self.shape, 3), np.uint8), np.empty(self.shape, np.float32)
        mujoco.mjr_render(self.rect, scene, self.context)
        mujoco.mjr_readPixels(codes, depth, self.rect, self.context)
        for flag in flags:
            scene.flags[flag] = False
        owner = np.full(scene.ngeom + 1, self.model.ngeom)  # the last label: nobody
        for geom in scene.geoms[: scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                owner[geom.segid + 1] = geom.objid
        number = codes @ np.array([1, 256, 65536])
        near, far = (
            float(part) * float(self.model.stat.extent) for part in (self.model.vis.map.znear, self.model.vis.map.zfar)
        )
        return self.labels[owner[number]], (near * far / (near + depth.astype(np.float64) * (far - near))).astype(
            np.float32
        )

    def close(self) -> None:
        """Give the memory back."""
        self.context.free()
