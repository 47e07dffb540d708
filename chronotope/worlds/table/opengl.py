"""Draw a table with OpenGL and without a screen: colours, masks of the actors, and depth."""

from __future__ import annotations

import atexit
import functools
import os
import sys
from typing import Any

import numpy as np

from chronotope.errors import ChronotopeError
from chronotope.worlds.table.camera import View
from chronotope.worlds.table.mujoco_model import import_mujoco, opengl_error
from chronotope.worlds.table.spec import TableSpec

__all__ = ["Renderer", "rendering_problem"]


def rendering_problem() -> str:
    """Return why tables cannot be rendered on this machine, or an empty string."""
    try:
        _gl_context(os.getpid())
    except ChronotopeError as problem:
        return str(problem)
    return ""


@functools.lru_cache(maxsize=1)
def _gl_context(process: int) -> Any:
    """Return the OpenGL context of a process: clips share its compiled shaders; a forked worker needs its own."""
    mujoco = import_mujoco()
    try:
        if sys.platform == "linux" and os.environ.get("MUJOCO_GL") == "egl":
            # MuJoCo chose its context when it was first imported, perhaps before MUJOCO_GL was set.
            from mujoco.egl import GLContext
        else:
            GLContext = mujoco.GLContext
        context = GLContext(64, 64)
        context.make_current()
    except Exception as problem:  # EGL, OSMesa and GLFW raise different types
        raise opengl_error(problem) from problem
    atexit.register(context.free)
    return context


class Renderer:
    """Draw the frames of one model; close it before the next one is made."""

    def __init__(self, spec: TableSpec, model: Any) -> None:
        mujoco = self.mujoco = import_mujoco()
        self.model, self.data = model, mujoco.MjData(model)
        self.shape = (spec.height, spec.width)
        _gl_context(os.getpid()).make_current()
        self.scene = mujoco.MjvScene(model, maxgeom=len(spec.actors) + 16)
        try:
            self.context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        except mujoco.FatalError as problem:
            raise opengl_error(problem) from problem
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self.context)
        # Floats are finest near 0, so zero stands for the far plane.
        self.context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self.camera = mujoco.MjvCamera()
        self.camera.type, self.camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        self.option, self.rect = mujoco.MjvOption(), mujoco.MjrRect(0, 0, spec.width, spec.height)
        # The value in masks of each geom; the last one is for pixels without a geom.
        self.labels = np.zeros(model.ngeom + 1, np.uint8)
        for i, actor in enumerate(spec.actors):
            self.labels[model.geom(actor.id).id] = i + 1

    def draw(
        self, position: np.ndarray, orientation: np.ndarray, view: View
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw one frame: uint8 [h, w, 3], mask [h, w], and depth [h, w] in metres along the camera's axis."""
        mujoco, model, data = self.mujoco, self.model, self.data
        data.qpos[:] = np.hstack([position, orientation]).ravel()
        data.mocap_pos[0] = view.place
        # MuJoCo's cameras look along their -z, with y up.
        mujoco.mju_mat2Quat(data.mocap_quat[0], (view.axes * [[1], [-1], [-1]]).T.ravel())
        model.cam_fovy[0] = view.vertical_field_of_view
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        mujoco.mjv_updateScene(model, data, self.option, None, self.camera, mujoco.mjtCatBit.mjCAT_ALL, self.scene)
        frame = np.empty((*self.shape, 3), np.uint8)
        mujoco.mjr_render(self.rect, self.scene, self.context)
        mujoco.mjr_readPixels(frame, None, self.rect, self.context)
        mask, depth = self._mask_and_depth()
        return frame[::-1], mask[::-1], depth[::-1]

    def _mask_and_depth(self) -> tuple[np.ndarray, np.ndarray]:
        """Draw the scene again in colours that encode the numbers of its geoms."""
        mujoco, scene = self.mujoco, self.scene
        flags = (mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR)
        for flag in flags:
            scene.flags[flag] = True
        codes, depth = np.empty((*self.shape, 3), np.uint8), np.empty(self.shape, np.float32)
        mujoco.mjr_render(self.rect, scene, self.context)
        mujoco.mjr_readPixels(codes, depth, self.rect, self.context)
        for flag in flags:
            scene.flags[flag] = False
        geom_of_code = np.full(scene.ngeom + 1, self.model.ngeom)
        for geom in scene.geoms[: scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                geom_of_code[geom.segid + 1] = geom.objid
        mask = self.labels[geom_of_code[codes @ np.array([1, 256, 65536])]]
        scale, planes = float(self.model.stat.extent), self.model.vis.map
        near, far = float(planes.znear) * scale, float(planes.zfar) * scale
        metres = near * far / (near + depth.astype(np.float64) * (far - near))
        return mask, metres.astype(np.float32)

    def close(self) -> None:
        """Free the memory."""
        self.context.free()
