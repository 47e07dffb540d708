"""The simulator: ViZDoom with Freedoom, without a window. Events depend on map, seed and actions alone."""

from __future__ import annotations

import contextlib
import tempfile
import weakref
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from chronotope.errors import FileProblem
from chronotope.geometry import Picture
from chronotope.worlds.doom.spec import ACTIONS

__all__ = ["Game", "Lens", "Seen", "State", "Thing", "install_line", "lens"]

# The resolutions in which ViZDoom draws, by aspect; a frame is the middle of the smallest that is large enough.
RESOLUTIONS = (
    (160, 120), (200, 125), (256, 144), (256, 160), (320, 180), (320, 240), (400, 225), (512, 288), (512, 384),
    (640, 360), (640, 480), (800, 450), (800, 600), (1024, 576), (1024, 768), (1280, 720), (1600, 1200),
)  # fmt: skip
BUTTONS = ("MOVE_FORWARD", "MOVE_BACKWARD", "TURN_LEFT", "TURN_RIGHT", "ATTACK", "USE")  # those of ACTIONS after noop
VARIABLES = (
    "POSITION_X", "POSITION_Y", "POSITION_Z", "ANGLE", "CAMERA_POSITION_Z", "HEALTH", "AMMO2", "KILLCOUNT", "ITEMCOUNT",
)  # fmt: skip
TALL = 1.2  # how much higher than wide Doom draws a square of the world: its pixels were 1.2 times as high as wide
LATE = 5  # tics at the beginning of a game in which actions have no effect
PLAYER = "DoomPlayer"  # under this name ViZDoom labels the weapon in the player's hands


def install_line() -> str:
    """Say how to install ViZDoom; empty where it is installed."""
    if find_spec("vizdoom") is None:
        return "the world 'doom' needs the package vizdoom: pip install 'chronotope[doom]'"
    return ""


@dataclass(frozen=True)
class Lens:
    """The pinhole of a frame, in pixels: focal lengths to the side and up, and the point to which the eye looks."""

    focal_x: float
    focal_y: float
    centre_x: float
    centre_y: float


def lens(width: int, height: int) -> Lens:
    """Return the pinhole of frames of a size: 90 degrees in a picture of 4:3, and as high in wider ones."""
    columns, rows = _resolution(width, height)
    left, top, right, bottom = _middle(columns, rows, width / height)
    across, down = width / (right - left), height / (bottom - top)  # a pixel of the frame is so many of the game
    focal = rows * 4 / 3 / 2
    return Lens(focal * across, TALL * focal * down, (columns / 2 - left) * across, (rows / 2 - top) * down)


@dataclass(frozen=True)
class Thing:
    """Something in view: its kind as Doom names it, its number in the game, and its box in the frame as shares."""

    name: str
    id: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class State:
    """The player: place in map units, angle in degrees against the clock, height of the eye, which bobs in a walk,
    health, bullets, monsters defeated, items.
    """

    x: float
    y: float
    z: float
    angle: float
    eye: float
    health: float
    bullets: float
    kills: float
    items: float


@dataclass(frozen=True)
class Seen:
    """What is seen: the picture, depth (0 near, 255 far), and for each pixel the number of a thing in `things`, from 1;
    0 where there is none, 255 where the player's own weapon is.
    """

    picture: Picture
    depth: UInt8[np.ndarray, "h w"]
    labels: UInt8[np.ndarray, "h w"]
    things: tuple[Thing, ...]


class Game:
    """One game on a map, drawn for frames of one size; `armed` shows the weapon in the player's hands."""

    def __init__(self, map: str, seed: int, width: int, height: int, armed: bool = True) -> None:
        if why := install_line():
            raise FileProblem(why)
        import vizdoom

        self.width, self.height, self.over = width, height, False
        game: Any = vizdoom.DoomGame()
        game.set_doom_game_path(str(Path(vizdoom.__file__).with_name("freedoom2.wad")))
        game.set_doom_map(map)
        columns, rows = _resolution(width, height)
        game.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{columns}X{rows}"))
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_depth_buffer_enabled(True)
        game.set_labels_buffer_enabled(True)
        for show in ("hud", "crosshair", "decals", "particles", "messages", "corpses", "screen_flashes"):
            getattr(game, f"set_render_{show}")(False)
        game.set_render_weapon(armed)
        game.set_available_buttons([getattr(vizdoom.Button, name) for name in BUTTONS])
        game.set_available_game_variables([getattr(vizdoom.GameVariable, name) for name in VARIABLES])
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_seed(seed)
        # it writes its settings, and what it computes of a map, to the directory in which it is started
        scratch = tempfile.TemporaryDirectory(prefix="chronotope-doom-")
        with contextlib.chdir(scratch.name):
            game.init()
        weakref.finalize(self, _close, game, scratch)
        game.make_action([0.0] * len(BUTTONS), LATE)
        self._game = game
        self._last = game.get_state()

    def act(self, action: str, tics: int) -> float:
        """Do one action for so many tics and return its reward: 1 for each monster defeated."""
        if self.over:
            return 0.0
        before = self.state.kills
        self._game.make_action([float(action == name) for name in ACTIONS[1:]], tics)
        self.over = bool(self._game.is_episode_finished())
        if not self.over:
            self._last = self._game.get_state()
        return self.state.kills - before

    @property
    def state(self) -> State:
        """Return the state of the player; of a game that is over, the last one before."""
        return State(*map(float, self._last.game_variables))

    def look(self) -> Seen:
        """Return what is seen."""
        last = self._last
        rows, columns = last.depth_buffer.shape
        box = _middle(columns, rows, self.width / self.height)
        left, top, right, bottom = box
        size = (self.width, self.height)
        pixels = last.screen_buffer[top:bottom, left:right]
        picture = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        numbers, things = np.zeros(256, np.uint8), list[Thing]()
        for label in last.labels:
            if label.object_name == PLAYER:
                numbers[label.value] = 255
            elif len(things) < 254:
                things.append(_thing(label, box))
                numbers[label.value] = len(things)
        depth, labels = (
            cv2.resize(each[top:bottom, left:right], size, interpolation=cv2.INTER_NEAREST)
            for each in (last.depth_buffer, numbers[last.labels_buffer])
        )
        return Seen(picture.astype(np.uint8), depth.astype(np.uint8), labels.astype(np.uint8), tuple(things))


def _close(game: Any, scratch: tempfile.TemporaryDirectory[str]) -> None:
    game.close()
    scratch.cleanup()


def _thing(label: Any, box: tuple[int, int, int, int]) -> Thing:
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    return Thing(
        label.object_name,
        label.object_id,
        round((label.x - left) / width, 4),
        round((label.y - top) / height, 4),
        round(label.width / width, 4),
        round(label.height / height, 4),
    )


def _resolution(width: int, height: int) -> tuple[int, int]:
    """Return the smallest resolution whose middle has as many pixels as the frame, the largest where none has."""
    for columns, rows in RESOLUTIONS:
        left, top, right, bottom = _middle(columns, rows, width / height)
        if right - left >= width and bottom - top >= height:
            return columns, rows
    return RESOLUTIONS[-1]


def _middle(columns: int, rows: int, aspect: float) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the largest box of an aspect; it ends where the picture ends, below."""
    width, height = min(columns, round(rows * aspect)), min(rows, round(columns / aspect))
    left = (columns - width) // 2
    return left, rows - height, left + width, rows
