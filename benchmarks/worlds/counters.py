"""Are the numbers that the player is told consistent with the map, and with the real clip?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.worlds.clips import Clip
from benchmarks.worlds.rows import Row, share
from chronotope.geometry import Frames


def counters(name: str, clips: Sequence[Clip], sessions: Sequence[Frames]) -> Iterator[Row]:
    """Compare the counters of sessions with the map of the same session, and with those of the real clip.

    A gain is consistent where what the player faced, or a table in view, or sleep explains it. A counter that changes
    in the clip is right where the last frame of the session shows its last value; one that does not, where it is kept.
    """
    consistent: tuple[list[bool], list[int]] = ([], [])
    shown: tuple[list[bool], list[int]] = ([], [])
    right: dict[bool, tuple[list[bool], list[int]]] = {changes: ([], []) for changes in (True, False)}
    for number, (clip, made) in enumerate(zip(clips, sessions, strict=True)):
        real, found = (clip.world.sight(frames) for frames in (clip.frames, made))
        gains, explained = int(found.gains.sum()), int(found.explained.sum())
        consistent[0].extend([True] * explained + [False] * (gains - explained))
        consistent[1].extend([number] * gains)
        for t in real.gains.nonzero()[0]:
            for item in (real.counters[t].astype(int) > real.counters[t - 1]).nonzero()[0]:
                shown[0].append(bool(found.counters[t, item] > found.counters[t - 1, item]))
                shown[1].append(number)
        for item in range(len(real.names)):
            outcomes, of = right[bool((real.counters[:, item] != real.counters[0, item]).any())]
            outcomes.append(bool(found.counters[-1, item] == real.counters[-1, item]))
            of.append(number)
    yield share("gains of counters that the map explains, sessions", name, *consistent)
    yield share("gains of the clip that the session shows in the same frame", name, *shown)
    yield share("counters that change in the clip: right at the end", name, *right[True])
    yield share("counters that stay in the clip: right at the end", name, *right[False])
