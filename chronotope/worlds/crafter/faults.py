"""Inject faults: the scenes of a true clip are edited, or other actions played, and drawn again."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping

import cv2
import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.case import Case
from chronotope.worlds.controls import moment_of, pick
from chronotope.worlds.crafter.checks.reading import read
from chronotope.worlds.crafter.deeds import GATHERED, Deed, deeds, faced, place
from chronotope.worlds.crafter.draw import draw
from chronotope.worlds.crafter.scene import ITEMS, MATERIALS, WALKABLE, Scenes, material, thing
from chronotope.worlds.crafter.simulate import Episode, simulate
from chronotope.worlds.crafter.spec import CrafterSpec
from chronotope.worlds.language import OPPOSITE
from chronotope.worlds.persistence import persistent_frames

__all__ = ["FAULTS", "inject", "moves"]

Injector = Callable[[CrafterSpec, Episode, np.random.Generator], Frames | None]
Cell = tuple[int, int]  # column and row on the map
DARK = 0.5  # daylight below which grain hides the faults of cells
VARIED = 0.5  # share of one material up to which a jump of the view can be told from a change of the map


def inject(code: str, case: Case) -> Frames | None:
    """Return the true clip of a case with this fault, or None where its spec cannot have it."""
    return FAULTS[code](case.spec, simulate(case.spec), np.random.default_rng([case.index, 23]))


def moves(spec: CrafterSpec) -> bool:
    """Tell whether the player does something that shows."""
    return bool(_deeds(simulate(spec)))


def _drawn(spec: CrafterSpec, scenes: Scenes) -> Frames:
    return draw(scenes, spec.width, spec.height)


def _deeds(episode: Episode) -> tuple[Deed, ...]:
    return deeds(episode.scenes, episode.positions)


def _middle(scenes: Scenes) -> Cell:
    _, rows, columns = scenes.things.shape
    return rows // 2, columns // 2


def _without_player(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    scenes = episode.scenes.copy()
    scenes.things[:, *_middle(scenes)] = 0
    return _drawn(spec, scenes)


def _player_vanishes(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    moment = moment_of(spec, rng)
    if moment is None or spec.num_frames - moment < persistent_frames(spec.fps):
        return None
    moment = max(moment, spec.num_frames // 2)
    scenes = episode.scenes.copy()
    scenes.things[moment:, *_middle(scenes)] = 0
    return _drawn(spec, scenes)


def _second_player(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Let another player appear on a free cell beside, and stay in that place of the picture."""
    moment = moment_of(spec, rng)
    scenes = episode.scenes.copy()
    if moment is None or scenes.daylight.min() < DARK:
        return None
    ground = np.isin(scenes.materials[moment:], [material(name) for name in WALKABLE]).all(0)
    free = ground & (scenes.things[moment:] == 0).all(0)
    where = pick([(int(row), int(column)) for row, column in np.argwhere(free)], rng)
    if where is None:
        return None
    scenes.things[moment:, *where] = thing("player-down")
    return _drawn(spec, scenes)


def _counter_stays(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Keep the counter of what is gathered as it was at first."""
    gathered = {pair: item for item, pair in GATHERED.items()}
    chosen = pick([deed for deed in _deeds(episode) if (deed.kind, deed.what) in gathered], rng)
    if chosen is None:
        return None
    scenes = episode.scenes.copy()
    item = ITEMS.index(gathered[chosen.kind, chosen.what])
    scenes.inventory[:, item] = np.minimum.accumulate(scenes.inventory[:, item])
    return _drawn(spec, scenes)


def _replayed(spec: CrafterSpec, actions: tuple[str, ...]) -> Episode:
    return simulate(dataclasses.replace(spec, actions=actions))


def _other_way(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Play the moves the other way; only where that leads there and not the requested way."""
    walks = {deed.what for deed in _deeds(episode) if deed.kind == "walk"}
    if not walks:
        return None
    moves = {f"move {way}": f"move {OPPOSITE[way]}" for way in OPPOSITE}
    other = _replayed(spec, tuple(moves.get(action, action) for action in episode.actions[1:]))
    found = {deed.what for deed in _deeds(other) if deed.kind == "walk"}
    if other.over is not None or not any(way not in found and OPPOSITE[way] in found for way in walks):
        return None
    return _drawn(spec, other.scenes)


def _stands(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    if not any(deed.kind == "walk" for deed in _deeds(episode)):
        return None
    return _drawn(
        spec, dataclasses.replace(episode.scenes.at(np.zeros(spec.num_frames, int)), noise=episode.scenes.noise)
    )


def _swapped(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Show the second half of two different deeds first."""
    found = _deeds(episode)
    if len(found) < 2 or len({(deed.kind, deed.what) for deed in found}) < len(found):
        return None
    frames = _drawn(spec, episode.scenes)
    moment = found[-2].end
    if moment + 1 >= spec.num_frames or found[-1].start < moment:
        return None
    later = np.concatenate([frames[moment:], frames[: moment + 1]])[: spec.num_frames]
    read_back = read(spec, later)
    kinds = [(deed.kind, deed.what) for deed in deeds(read_back.scenes, read_back.positions)]
    return later if all((deed.kind, deed.what) in kinds for deed in found) else None


def _cells_seen(episode: Episode) -> dict[Cell, list[tuple[int, int, int]]]:
    """Return for each cell on the map the frames in which it is in view, each with its row and column there."""
    _, rows, columns = episode.scenes.things.shape
    seen: dict[Cell, list[tuple[int, int, int]]] = {}
    for t, (x, y) in enumerate(episode.positions):
        for row, column in np.ndindex(rows, columns):
            seen.setdefault((int(x) + column, int(y) + row), []).append((t, row, column))
    return seen


def _changed_from(spec: CrafterSpec, episode: Episode, moments: Mapping[Cell, int]) -> Frames:
    """Draw the clip with these cells of another material from a frame on: sand, or stone where there was sand."""
    scenes, seen = episode.scenes.copy(), _cells_seen(episode)
    for cell, moment in moments.items():
        for t, row, column in seen[cell]:
            if t >= moment:
                before = MATERIALS[episode.scenes.materials[t, row, column]]
                scenes.materials[t, row, column] = material("stone" if before == "sand" else "sand")
    return _drawn(spec, scenes)


def _never_touched(episode: Episode) -> set[Cell]:
    """Return the cells on the map that the player never faces, and on which nothing ever is."""
    cells = set(_cells_seen(episode))
    for t, (x, y) in enumerate(episode.positions):
        ahead = faced(episode.scenes, t)
        busy = [tuple(cell) for cell in np.argwhere(episode.scenes.things[t] > 0)] + ([ahead] if ahead else [])
        cells -= {(int(x) + int(column), int(y) + int(row)) for row, column in busy}
    outside = material("outside")
    seen = _cells_seen(episode)
    return {cell for cell in cells if episode.scenes.materials[seen[cell][0]] != outside}


def _changes_in_view(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Change four cells that stay in view from one frame to the next."""
    moment = moment_of(spec, rng)
    if moment is None or episode.scenes.daylight.min() < DARK:
        return None
    seen = {cell: {t for t, _, _ in frames} for cell, frames in _cells_seen(episode).items()}
    possible = sorted(cell for cell in _never_touched(episode) if {moment - 1, moment, moment + 1} <= seen[cell])
    if len(possible) < 8:
        return None
    chosen = rng.choice(len(possible), 4, replace=False)
    return _changed_from(spec, episode, {possible[int(i)]: moment for i in chosen})


def _changes_out_of_view(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Change the cells that go out of view and come back together."""
    if episode.scenes.daylight.min() < DARK:
        return None
    back: dict[int, list[Cell]] = {}
    untouched = _never_touched(episode)
    for cell, frames in _cells_seen(episode).items():
        times = [t for t, _, _ in frames]
        gaps = [after for before, after in itertools.pairwise(times) if after > before + 1]
        if gaps and cell in untouched:
            back.setdefault(gaps[0], []).append(cell)
    moment = pick(sorted(t for t, cells in back.items() if len(cells) >= 3), rng)
    return None if moment is None else _changed_from(spec, episode, dict.fromkeys(back[moment], moment))


def _undone(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Let what was gathered stand in its place again after the player turned away."""
    if episode.scenes.daylight.min() < DARK:
        return None
    kinds = {pair for pair in GATHERED.values() if pair[1] in MATERIALS and pair[1] != "water"}
    seen = _cells_seen(episode)
    for t in range(1, spec.num_frames):
        ahead = faced(episode.scenes, t - 1)
        if ahead is None:
            continue
        was, now = (int(episode.scenes.materials[moment][ahead]) for moment in (t - 1, t))
        if was == now or MATERIALS[was] not in {what for _, what in kinds} or faced(episode.scenes, t) != ahead:
            continue
        x, y = episode.positions[t]
        cell = (int(x) + ahead[1], int(y) + ahead[0])
        later = [each for each in seen[cell] if each[0] > t + 1 and _apart(episode, cell, each[0])]
        if len(later) < 4:
            continue
        scenes = episode.scenes.copy()
        for moment, row, column in later:
            scenes.materials[moment, row, column] = was
        return _drawn(spec, scenes)
    return None


def _apart(episode: Episode, cell: Cell, t: int) -> bool:
    """Tell whether the player neither faces a cell at frame t and before, nor stands on it."""
    for moment in (t - 1, t):
        x, y = episode.positions[moment]
        ahead, (row, column) = faced(episode.scenes, moment), _middle(episode.scenes)
        if (int(x) + column, int(y) + row) == cell:
            return False
        if ahead is not None and (int(x) + ahead[1], int(y) + ahead[0]) == cell:
            return False
    return True


def _gathered_from_nothing(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Let the counter of wood rise while the player faces no tree."""
    scenes, wood = episode.scenes.copy(), ITEMS.index("wood")
    ahead = [faced(scenes, t) for t in range(len(scenes))]
    moments = [
        t
        for t in range(1, len(scenes))
        if (cell := ahead[t - 1]) is not None
        and scenes.materials[t - 1][cell] != material("tree")
        and scenes.inventory[t - 1, wood] <= 8
        and scenes.inventory[t, wood] == scenes.inventory[t - 1, wood]
    ]
    moment = pick(moments, rng)
    if moment is None:
        return None
    scenes.inventory[moment:, wood] = np.minimum(scenes.inventory[moment:, wood] + 1, 9)
    return _drawn(spec, scenes)


def _jumped(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Leave out frames, so that the view jumps by two to four cells."""
    if episode.scenes.daylight.min() < DARK:
        return None
    steps = np.abs(np.diff(episode.positions, axis=0)).sum(1)
    for start in range(2, spec.num_frames - 4):
        for end in range(start + 2, min(start + 5, spec.num_frames - 1)):
            cells = np.abs(episode.positions[end] - episode.positions[start]).sum()
            varied = max(_commonest(episode, start), _commonest(episode, end)) <= VARIED
            if 2 <= cells <= 4 and varied and steps[start:end].sum() == cells:
                kept = np.minimum(np.r_[: start + 1, end : spec.num_frames + end], spec.num_frames - 1)
                return _drawn(spec, episode.scenes.at(kept[: spec.num_frames]))
    return None


def _commonest(episode: Episode, t: int) -> float:
    """Return the share of the cells in view that show the commonest material."""
    cells = episode.scenes.materials[t]
    return float(np.bincount(cells.ravel()).max() / cells.size)


def _other_place(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Replace grass and trees by stone, or rocks and water by grass."""
    scenes = episode.scenes.copy()
    new = "stone" if place(scenes, 0) in ("grassland", "forest") else "grass"
    scenes.materials[scenes.materials != material("outside")] = material(new)
    return _drawn(spec, scenes)


def _blurred(spec: CrafterSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    if episode.scenes.daylight.min() < DARK:
        return None
    frames = _drawn(spec, episode.scenes)
    return np.stack([cv2.GaussianBlur(frame, (0, 0), spec.view.unit / 3) for frame in frames])


FAULTS: dict[str, Injector] = {
    "TXT-CNT": _without_player,
    "TXT-ACT": _counter_stays,
    "TXT-ORD": _swapped,
    "TXT-PLC": _other_place,
    "OBJ-DIS": _player_vanishes,
    "OBJ-DUP": _second_player,
    "ID-SHP": _changes_in_view,
    "PRM-RET": _changes_out_of_view,
    "MOT-STA": _stands,
    "MOT-DIR": _other_way,
    "MOT-JMP": _jumped,
    "CAU-ORD": _gathered_from_nothing,
    "CAU-STA": _undone,
    "VIS-BLR": _blurred,
}
