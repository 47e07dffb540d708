"""The session of one player: actions in, numbered frames out, a record of both, and the way back to an earlier frame.

Every action says which frame its player saw. A frame is made only while the player is at most `LEAD_SECONDS` behind, so
a slow connection or a hidden page waits instead of answering to old keys. States of the last `BACK_SECONDS` are kept.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chronotope.arguments import as_number, as_whole, described
from chronotope.errors import UsageError
from chronotope.geometry import Picture
from chronotope.simulate.model import StepSettings, WorldModel
from chronotope.simulate.record import Start, frame_hash
from chronotope.simulate.world import PlayedWorld

__all__ = ["Applied", "Session", "Shown", "recorded_model", "replay"]

LEAD_SECONDS, BACK_SECONDS, STALE_SECONDS = 0.5, 10.0, 2.0
MAX_WAITING = 8  # key presses that wait for a frame of their own


@dataclass(frozen=True)
class Applied:
    """An action that a player sent when it saw frame `seen`, the frame that it led to, and how long that took."""

    id: int
    seen: int
    applied_at_frame: int
    milliseconds: float


@dataclass(frozen=True)
class Shown:
    """A frame with its number, the action that led to it, the actions that it answers, and the time that it took."""

    frame: int
    picture: Picture
    action: tuple[float, ...]
    applied: tuple[Applied, ...] = ()
    milliseconds: float = 0.0


@dataclass(frozen=True)
class _Press:
    id: int
    seen: int
    action: np.ndarray
    received: float


class Session:
    """A timeline that one player steps; `write` receives the lines of its record, see `simulate/record.py`."""

    def __init__(
        self, model: PlayedWorld, start: Start, write: Callable[[Mapping[str, Any]], None] = lambda line: None
    ) -> None:
        self.model, self.start, self._write = model, start, write
        state, picture = model.begin(start.seed, start.prompt, start.picture, start.consent)
        self.frame, self.seen, self._highest = 0, 0, 0
        self._kept: deque[tuple[Any, Shown]] = deque(maxlen=max(2, round(BACK_SECONDS * model.fps) + 1))
        self._kept.append((state, Shown(0, picture, self.neutral)))
        self._waiting: deque[_Press] = deque(maxlen=MAX_WAITING)
        self._held = np.array(self.neutral)
        write(start.line(model))

    @property
    def neutral(self) -> tuple[float, ...]:
        """The action while no key is pressed: the neutral one of the schema, else zeros, within the bounds."""
        schema = self.model.schema
        if schema.neutral:
            return schema.neutral
        if schema.kind == "continuous":
            return tuple(float(np.clip(0, low, high)) for low, high in zip(schema.low, schema.high, strict=True))
        return (0.0,) * schema.dims

    @property
    def current(self) -> Shown:
        """The newest frame."""
        return self._kept[-1][1]

    @property
    def lead(self) -> int:
        """How many frames the session is ahead of its player."""
        return self.frame - self.seen

    @property
    def most_lead(self) -> int:
        """The largest number of frames by which the session goes ahead of its player."""
        return max(1, round(LEAD_SECONDS * self.model.fps))

    def see(self, frame: Any) -> None:
        """Take the number of the frame that the player sees; raise UsageError for one that was not made.

        A frame that was left behind by going back may still be reported, and changes nothing.
        """
        if not isinstance(frame, int) or isinstance(frame, bool) or not 0 <= frame <= self._highest:
            raise UsageError(f"frame {described(frame)} was not made; the newest one is {self.frame}")
        if frame <= self.frame:
            self.seen = max(self.seen, frame)

    def act(self, action: Any, seen: Any, id: int = 0, keep: bool = False) -> None:
        """Take an action for the next frame, and with `keep` for those after it until another one comes.

        Raises UsageError for another action than the schema's, and for one whose player sees a frame so old that the
        action would come as a surprise; nothing is changed then.
        """
        values = self._values(action)
        if isinstance(seen, int) and seen < self.frame - round(STALE_SECONDS * self.model.fps):
            raise UsageError(
                f"the action is for frame {seen}, and frame {self.frame} is made already, more than "
                f"{STALE_SECONDS:g} s later; it was not applied"
            )
        self.see(seen)
        self._held = values if keep else np.array(self.neutral)
        self._waiting.append(_Press(id, seen, values, time.perf_counter()))

    def release(self) -> None:
        """End a held action."""
        self._held = np.array(self.neutral)

    def advance(self) -> Shown:
        """Make the next frame from the action that waits longest, else from the one that is held."""
        started = time.perf_counter()
        press = self._waiting.popleft() if self._waiting else None
        action = press.action if press else self._held
        repeated = np.repeat(action[None], self.model.slice_frames, axis=0)
        state, pictures = self.model.step(self._kept[-1][0], repeated)
        self.frame += 1
        self._highest = max(self._highest, self.frame)
        now = time.perf_counter()
        applied = (Applied(press.id, press.seen, self.frame, 1000 * (now - press.received)),) if press else ()
        values = tuple(float(value) for value in action)
        shown = Shown(self.frame, pictures[-1], values, applied, 1000 * (now - started))
        self._kept.append((state, shown))
        seen = press.seen if press else None
        self._write({"frame": self.frame, "action": list(values), "seen": seen, "hash": frame_hash(shown.picture)})
        return shown

    def branch(self, frame: Any) -> Shown:
        """Go back to an earlier frame, from which other actions may follow; raise UsageError where it is not kept."""
        if not self.model.goes_back:
            raise UsageError("what is recorded does not go back; begin again")
        kept = [shown.frame for _, shown in self._kept]
        if frame not in kept or isinstance(frame, bool):
            raise UsageError(f"frame {described(frame)} is not kept; go back to a frame from {kept[0]} to {kept[-1]}")
        while self._kept[-1][1].frame != frame:
            self._kept.pop()
        self.frame = self.seen = frame
        self._waiting.clear()
        self.release()
        self._write({"branch": frame})
        return self.current

    def _values(self, action: Any) -> np.ndarray:
        """Read an action: a number, a list of numbers, or the name of a choice."""
        if isinstance(action, str):
            action = [self.model.schema.number(action)]
        values = [action] if isinstance(action, int | float) else action
        if not isinstance(values, Sequence) or not all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in values
        ):
            raise UsageError(f"an action is a number, a list of numbers or a name, got {described(action)}")
        try:
            return self.model.schema.check(np.array([values], float))[0]
        except OverflowError:
            raise UsageError(f"an action has no number as large as {described(action)}") from None


def recorded_model(model: PlayedWorld, first: Mapping[str, Any]) -> WorldModel:
    """Return the model with the settings of the first line of a record.

    Raises UsageError where the record is of another model, or has no settings, and where frames are not of a model.
    """
    if not isinstance(model, WorldModel):
        raise UsageError("what is recorded plays no record; play it with the model that made it")
    for name, own in Start().line(model).items():
        if name in ("model", "actions", "fps", "size") and json.loads(json.dumps(own)) != first.get(name):
            raise UsageError(
                f"the record has {name} {described(first.get(name))}, and this model {described(own)}; "
                "play the record with the model that made it"
            )
    settings = StepSettings(
        as_whole("num_steps of the record", first.get("num_steps")),
        as_number("guidance_scale of the record", first.get("guidance_scale")),
        as_number("history of the record", first.get("history")),
        as_whole("map_side of the record", first.get("map_side", 0)),  # earlier versions had no map
    )
    return WorldModel(model.generator, settings)


def is_as_recorded(shown: Shown, entry: Mapping[str, Any]) -> bool | None:
    """Tell whether a frame equals that of a line of a record; None where the line has no hash."""
    return frame_hash(shown.picture) == entry["hash"] if "hash" in entry else None


def replay(model: WorldModel, record: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Picture, bool | None]]:
    """Play a record again with its own settings; yield the number of every frame, its picture, and `is_as_recorded`.

    Raises UsageError for the record of another model.
    """
    session = Session(recorded_model(model, record[0]), Start.of(record[0]))
    yield 0, session.current.picture, None
    for entry in record[1:]:
        if "branch" in entry:
            session.branch(entry["branch"])
            continue
        session.act(entry["action"], session.frame)
        shown = session.advance()
        yield shown.frame, shown.picture, is_as_recorded(shown, entry)
