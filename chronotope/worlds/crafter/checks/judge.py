"""Judge a Crafter video: what the prompt asks for, and what Crafter's rules let happen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool

from chronotope.geometry import Frames
from chronotope.worlds.check import Check, Outcome
from chronotope.worlds.crafter.checks.reading import Reading, read
from chronotope.worlds.crafter.deeds import GATHERED, Deed, deeds, faced, place
from chronotope.worlds.crafter.draw import draw
from chronotope.worlds.crafter.scene import ITEMS, MATERIALS, PLAYERS, Scenes, material, thing
from chronotope.worlds.crafter.simulate import simulate
from chronotope.worlds.crafter.spec import CrafterSpec
from chronotope.worlds.language import OPPOSITE
from chronotope.worlds.persistence import first_run

__all__ = ["caused", "judge"]

SHARP = 0.5  # of the steepness of the true clip's edges
STEEP = 99  # percentile of the differences of neighbouring pixels that counts as the edges
CHANGED = 2  # cells that change together; a single one may be misread
MANY = 0.2  # share of the cells that come back into view changed
STEADY = 3  # frames for which a cell is read alike before it counts as known
DARK = 0.25  # daylight below which cells are not read reliably


def judge(spec: CrafterSpec, frames: Frames) -> tuple[Check, ...]:
    """Check a video of the size and length of its spec."""
    reading = read(spec, frames)
    return (
        *_player(spec, reading),
        *_setting(spec, frames, reading),
        *_requested(spec, reading),
        *_rules(spec, reading),
    )


# The player


def _player(spec: CrafterSpec, reading: Reading) -> Iterator[Check]:
    seen = reading.player_seen
    gone: Outcome = None
    if seen.mean() < 0.5:
        gone = "TXT-CNT", 0
    else:
        gone = first_run("OBJ-DIS", ~seen, spec.fps)
    yield Check.of("is seen", gone, "player")
    players = np.isin(reading.scenes.things, [thing(name) for name in PLAYERS]).sum((1, 2))
    several = (players > 1) & (reading.scenes.daylight >= DARK)
    yield Check.of("is one", first_run("OBJ-DUP", several, spec.fps), "player")


# What the prompt asks for


def _setting(spec: CrafterSpec, frames: Frames, reading: Reading) -> Iterator[Check]:
    """Check where the video begins; the first frames must agree on it."""
    wanted = place(simulate(spec).scenes, 0)
    shown = [place(reading.scenes, t) for t in range(min(STEADY, len(reading.scenes)))]
    yield Check.of("shows the place", None if wanted in shown else ("TXT-PLC", 0))
    true = draw(simulate(spec).scenes, spec.width, spec.height)
    ratio = _steepness(frames) / max(_steepness(true), 1.0)
    yield Check("is sharp", "", "VIS-BLR" if ratio < SHARP else None, 0, {"steepness of edges": ratio})


def _steepness(frames: Frames) -> float:
    return float(np.percentile(np.abs(np.diff(frames[::4].astype(np.int16), axis=2)), STEEP))


def _requested(spec: CrafterSpec, reading: Reading) -> Iterator[Check]:
    """Check that each deed is seen, and that they come in their order."""
    episode = simulate(spec)
    wanted = deeds(episode.scenes, episode.positions)
    shown = deeds(reading.scenes, reading.positions)
    kinds = [(deed.kind, deed.what) for deed in shown]
    for deed in dict.fromkeys((each.kind, each.what) for each in wanted):
        name = " ".join(deed).strip()
        yield Check.of(f"does: {name}", None if deed in kinds else _missing(deed, kinds, reading), "player")
    if len(wanted) > 1 and all((each.kind, each.what) in kinds for each in wanted):
        yield Check.of("keeps the order", _order(wanted, shown), "player")


def _missing(deed: tuple[str, str], shown: Sequence[tuple[str, str]], reading: Reading) -> Outcome:
    kind, what = deed
    last = len(reading.scenes) - 1
    if kind != "walk":
        return "TXT-ACT", last
    stays = not (reading.positions != reading.positions[0]).any()
    if stays:
        return "MOT-STA", last
    return ("MOT-DIR", last) if ("walk", OPPOSITE[what]) in shown else ("TXT-ACT", last)


def _order(wanted: Sequence[Deed], shown: Sequence[Deed]) -> Outcome:
    """Return a failure where the requested deeds are no subsequence of those seen."""
    rest = iter(shown)
    for deed in wanted:
        if not any((other.kind, other.what) == (deed.kind, deed.what) for other in rest):
            return "TXT-ORD", next(one.start for one in shown if (one.kind, one.what) == (deed.kind, deed.what))
    return None


# What Crafter's rules let happen


def _rules(spec: CrafterSpec, reading: Reading) -> Iterator[Check]:
    if len(reading.scenes) < 2:
        return
    yield Check.of("moves one cell at a time", _first("MOT-JMP", reading.jumps), "player")
    lit = reading.scenes.daylight >= DARK
    if lit.all():
        changed, returned = _map_faults(reading)
        yield Check.of("keeps the map", changed)
        yield Check.of("finds places as they were", returned)
        yield Check.of("does not undo what was done", _reverted(reading))
    yield Check.of("gathers from what it faces", _causeless(reading.scenes), "player")


def _first(code: str, flags: Bool[np.ndarray, " t"]) -> Outcome:
    return (code, int(flags.argmax())) if flags.any() else None


def _map_faults(reading: Reading) -> tuple[Outcome, Outcome]:
    """Return the first frame at which cells in view change by themselves, and at which they come back changed.

    The cell that the player faces may change.
    """
    known: dict[tuple[int, int], tuple[int, int]] = {}  # cell on the map -> material, frame at which it was last seen
    changed: Outcome = None
    returned: Outcome = None
    for t in range(len(reading.scenes)):
        cells = _on_the_map(reading, t)
        touched = _touched(reading, t)
        again = [cell for cell in cells if cell in known and cell not in touched]
        in_view = [cells[cell] != known[cell][0] for cell in again if known[cell][1] == t - 1]
        absent = [cells[cell] != known[cell][0] for cell in again if known[cell][1] < t - 1]
        if changed is None and sum(in_view) >= CHANGED and not reading.jumps[t]:
            changed = "ID-SHP", t
        if returned is None and sum(absent) >= CHANGED and np.mean(absent) >= MANY:
            returned = "PRM-RET", t
        known |= {cell: (number, t) for cell, number in cells.items()}
    return changed, returned


def _on_the_map(reading: Reading, t: int) -> dict[tuple[int, int], int]:
    """Return the material of every cell in view, by column and row on the map."""
    x, y = reading.positions[t]
    cells = np.ndenumerate(reading.scenes.materials[t])
    return {(int(x) + column, int(y) + row): int(number) for (row, column), number in cells}


def _touched(reading: Reading, t: int) -> set[tuple[int, int]]:
    """Return the cells on the map that the player faces in this frame or the one before."""
    found = set()
    for moment in (t - 1, t):
        cell = faced(reading.scenes, moment) if moment >= 0 else None
        if cell is not None:
            x, y = reading.positions[moment]
            found.add((int(x) + cell[1], int(y) + cell[0]))
    return found


def _reverted(reading: Reading) -> Outcome:
    """Return the first frame at which a cell that the player emptied is again what it was, by itself."""
    emptied: dict[tuple[int, int], int] = {}
    before: dict[tuple[int, int], int] = {}
    run: dict[tuple[int, int], int] = {}
    for t in range(len(reading.scenes)):
        cells, touched = _on_the_map(reading, t), _touched(reading, t)
        for cell in touched & cells.keys() & before.keys():
            if cells[cell] != before[cell] and before[cell] in _GATHERABLE:
                emptied[cell] = before[cell]
            elif cells[cell] == emptied.get(cell):
                emptied.pop(cell)
        for cell, was in emptied.items():
            back = cell in cells and cells[cell] == was and cell not in touched
            run[cell] = run.get(cell, 0) + 1 if back else 0
            if run[cell] >= 2:
                return "CAU-STA", t - 1
        before |= cells
    return None


_GATHERABLE = tuple(material(what) for _, what in GATHERED.values() if what in MATERIALS and what != "water")


def _causeless(scenes: Scenes) -> Outcome:
    """Return the first frame at which something is gathered that the player did not face."""
    return next((("CAU-ORD", t) for t in range(1, len(scenes)) if not all(caused(scenes, t).values())), None)


def caused(scenes: Scenes, t: int) -> dict[str, bool]:
    """Return the items of which something was gathered in frame t, and whether the player faced what it comes from."""
    cell = faced(scenes, t - 1)
    shown = MATERIALS[scenes.materials[t - 1][cell]] if cell is not None else ""
    grown = scenes.inventory[t].astype(int) - scenes.inventory[t - 1]
    sources = {item: "grass" if item == "sapling" else what for item, (_, what) in GATHERED.items()}
    return {item: shown == source for item, source in sources.items() if grown[ITEMS.index(item)] > 0}
