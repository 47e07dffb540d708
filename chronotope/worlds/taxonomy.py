"""The ways in which a video can fail, each with a code, a severity and the rule by which it is detected.

Severities 4 and 3 block success; 2 degrades and 1 is cosmetic: both are reported and block nothing. The checks of each
world implement the rules. Every class except SYS-RUN has an injector in the `faults` of a world.
"""

from __future__ import annotations

from dataclasses import dataclass

from chronotope.errors import UsageError, suggest

__all__ = ["BLOCKING", "FAILURES", "Failure", "blocks"]

BLOCKING = 3


@dataclass(frozen=True)
class Failure:
    """One row of the taxonomy."""

    code: str
    name: str
    severity: int
    rule: str


# fmt: off
_ROWS = (
    Failure("TXT-CNT", "missing actor", 3, "found in less than half of the frames in which the truth shows it"),
    Failure("TXT-EXT", "extra actor", 3, "a thing of another kind that touches no actor persists from the beginning"),
    Failure("TXT-ATT", "wrong colour", 3, "most pixels of the actor are nearest to another colour of the palette"),
    Failure("TXT-ACT", "missing action", 3, "does not grow, enter, leave, stop, bounce, turn or touch as requested"),
    Failure("TXT-ORD", "wrong order of actions", 3, "each action is seen, but in the time of the other"),
    Failure("TXT-REL", "wrong side", 3, "not left (right) of the other by a tenth of the short side, as requested"),
    Failure("TXT-NEG", "excluded thing present", 3, "a thing that the prompt rules out is seen, or comes back"),
    Failure("TXT-PLC", "wrong place", 3, "the backdrop is nearer to another one of the stage"),
    Failure("TXT-NUM", "wrong number", 3, "another number of equal actors than requested in most frames"),
    Failure("CAM-DIR", "wrong camera motion", 3, "resting things do not move as under the requested camera motion"),
    Failure("OBJ-DIS", "disappearance", 4, "unseen for a quarter of a second or more, neither hidden nor leaving"),
    Failure("OBJ-APP", "appearance from nothing", 4, "first seen long after the start of the clip without entering"),
    Failure("OBJ-DUP", "duplicate", 4, "two patches of one kind for a quarter of a second or more"),
    Failure("ID-COL", "colour drift", 3, "the colours of the first and the last quarter differ visibly"),
    Failure("ID-SHP", "changed into another thing", 3, "a thing of another kind replaces it for the next three frames"),
    Failure("ID-FRM", "malformed", 3, "lacks a part, has one twice or is a lump in a quarter of its frames"),
    Failure("ID-SWP", "identity swap", 4, "after two actors cross, each continues where the other should"),
    Failure("PRM-OCC", "lost out of sight", 4, "does not come back from behind a thing or from outside the frame"),
    Failure("PRM-RET", "wrong return", 4, "comes back in another place, kind, colour or size, or half a second off"),
    Failure("ID-SIZ", "size drift", 2, "the areas of the first and the last quarter differ by more than 1.6 times"),
    Failure("MOT-STA", "frozen", 3, "does not move as requested"),
    Failure("MOT-DIR", "wrong direction", 3, "moves in another direction than requested"),
    Failure("MOT-SPD", "wrong speed", 2, "slow actors exceed 1.3 times the true range, fast ones stay under 0.7 times"),
    Failure("MOT-JMP", "teleport", 3, "one step is far larger than the others"),
    Failure("MOT-SHK", "shaking", 3, "reverses its motion or its change of size far more often than its actions do"),
    Failure("PHY-INR", "unsteady motion", 3, "stops, reverses or accelerates where the stage moves evenly"),
    Failure("PHY-GRV", "wrong fall", 3, "an arc is no parabola, or its curvature is off by 2.5 times (table: 1.5)"),
    Failure("PHY-NRG", "energy gain", 3, "rises higher after a contact with the floor than before it"),
    Failure("PHY-COL", "no exchange of momentum", 3, "a struck actor stays, or the striker continues next to it"),
    Failure("PHY-PEN", "interpenetration", 3, "centres are within half their distance at contact, or exchange sides"),
    Failure("CAU-ORD", "effect before cause", 4, "is struck or eaten before the other touches it"),
    Failure("CAU-STA", "effect reverts", 4, "an eaten actor is seen after the meal"),
    Failure("VIS-FLK", "flicker", 2, "the brightness of the backdrop jumps from frame to frame"),
    Failure("VIS-NSE", "noise", 1, "the pixels of a resting backdrop change from frame to frame"),
    Failure("VIS-BLR", "blur", 1, "the sharpest edges are less than half as steep as those of the truth"),
    Failure("LNG-DRF", "late degradation", 3, "after 4 s the picture is darker, paler, blurred or noisier than before"),
    Failure("GIV-CHG", "changed input", 3, "input frames or an input region come back at less than 24 dB"),
    Failure("SEAM", "visible boundary", 2, "a cut or leap of over two steps from input to output, or end to start"),
    Failure("PHY-SLF", "moves by itself", 3, "of the table: should rest before a still camera, but moves"),
    Failure("PHY-RST", "wrong restitution", 2, "of the table: the ratio of speeds at a bounce is off by over 0.17"),
    Failure("GEO-INC", "inconsistent camera", 3, "of the table: no camera orbit fits the pictures of resting things"),
    Failure("GEO-LOOP", "open circle", 3, "of the table: a full circle does not end one step before its start"),
    Failure("SYS-RUN", "no video", 4, "the system failed, refused, or ran out of memory or time"),
)
# fmt: on
FAILURES: dict[str, Failure] = {row.code: row for row in _ROWS}


def blocks(code: str) -> bool:
    """Tell whether this failure makes a video fail.

    Raises UsageError for an unknown code.
    """
    if code not in FAILURES:
        raise UsageError(f"unknown failure '{code}'. {suggest(code, FAILURES)}")
    return FAILURES[code].severity >= BLOCKING
