"""Ways in which a video can fail, each with a code, a severity and the rule by which it is detected.

Severity 4 and 3 block success; 2 degrades, 1 is cosmetic: both are reported and counted, and block nothing. Rules are functions of
the modules from which `evaluate.checks`, `evaluate.verdict` and `evaluate.table_checks` compile what they ask. Every class but SYS-RUN
has an injector that plants it in true clips: in `evaluate.inject`, with `inject_deeds` and `inject_identity`, in `inject_cases` (what
prompts and tasks ask), or in `table_inject` (the table).
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


_ROWS = (
    Failure(
        "TXT-CNT",
        "somebody asked for is missing",
        3,
        "found in less than half of the frames in which the truth shows it",
    ),
    Failure(
        "TXT-EXT",
        "somebody nobody asked for",
        3,
        "a thing of another kind that touches no actor, from the beginning and lasting",
    ),
    Failure("TXT-ATT", "wrong colour", 3, "most pixels of the actor are nearest to another colour of the palette"),
    Failure(
        "TXT-ACT",
        "the deed is not done",
        3,
        "no growing, entering, leaving, stopping, bouncing, turning or touching where asked for",
    ),
    Failure("TXT-ORD", "deeds in the wrong order", 3, "each deed is seen, but in the time of the other"),
    Failure(
        "TXT-REL",
        "on the wrong side",
        3,
        "it is not left (right) of the other, as it was said, by a tenth of the short side",
    ),
    Failure("TXT-NEG", "what was said not to be", 3, "what the prompt rules out is seen, or comes back"),
    Failure("TXT-PLC", "wrong place", 3, "the backdrop is nearer to another one of the stage"),
    Failure("TXT-NUM", "wrong number", 3, "not exactly as many alike as asked for, in most frames"),
    Failure(
        "CAM-DIR",
        "wrong camera",
        3,
        "what rests moves otherwise in the picture than the asked camera would show it, or not at all",
    ),
    Failure("OBJ-DIS", "disappearance", 4, "unseen for a quarter of a second or more, not hidden, not leaving"),
    Failure("OBJ-APP", "appearance from nothing", 4, "first seen long after the clip began, and not entering"),
    Failure("OBJ-DUP", "double", 4, "two patches of one kind for a quarter of a second or more"),
    Failure("ID-COL", "colour drift", 3, "the colours of the first and the last quarter differ visibly"),
    Failure(
        "ID-SHP",
        "changed into another thing",
        3,
        "where it was seen last, a thing of another kind stands in the next three frames",
    ),
    Failure(
        "ID-SWP", "exchanged with another", 4, "after two have passed each other, each goes on where the other should"
    ),
    Failure(
        "PRM-OCC", "lost out of sight", 4, "went behind a thing or out of the frame as asked, and does not come back"
    ),
    Failure(
        "PRM-RET",
        "comes back wrong",
        4,
        "at another place, half a second off, or in another kind, colour or size than it should",
    ),
    Failure("ID-SIZ", "size drift", 2, "the areas of the first and the last quarter differ by more than 1.6 times"),
    Failure("MOT-STA", "frozen", 3, "does not move where it is asked to"),
    Failure("MOT-DIR", "wrong direction", 3, "moves another way than it is asked to"),
    Failure(
        "MOT-SPD", "wrong speed", 2, "slow things go 1.3 times faster than the stage's, fast ones 0.7 times slower"
    ),
    Failure("MOT-JMP", "teleport", 3, "one step is far larger than the others"),
    Failure("MOT-SHK", "shaking", 3, "goes to and fro, or grows and shrinks in turns, far more than its deeds need"),
    Failure("PHY-INR", "unsteady motion", 3, "stops, runs back or speeds up where the stage moves evenly"),
    Failure(
        "PHY-GRV",
        "does not fall",
        3,
        "between contacts no parabola, or one bent 2.5 (table: 1.5) times more or less than it should",
    ),
    Failure("PHY-NRG", "energy from nothing", 3, "comes higher after a contact with the floor than it was before"),
    Failure("PHY-COL", "no exchange of momentum", 3, "struck, it stays, or the one who struck it goes on beside it"),
    Failure(
        "PHY-PEN",
        "one through the other",
        3,
        "the centres come nearer than half their distance when touching, or change sides",
    ),
    Failure("CAU-ORD", "effect before its cause", 4, "struck or eaten before the other touches it"),
    Failure("CAU-STA", "the change does not last", 4, "the eaten is seen after the meal"),
    Failure("VIS-FLK", "flicker", 2, "the brightness of the backdrop jumps from frame to frame"),
    Failure("VIS-NSE", "noise", 1, "the pixels of a resting backdrop change from frame to frame"),
    Failure("VIS-BLR", "blur", 1, "the sharpest edges are less than half as steep as the truth's"),
    Failure(
        "LNG-DRF",
        "late degradation",
        3,
        "after 4 s or more the picture is darker, paler, softer or noisier than it was",
    ),
    Failure(
        "GIV-CHG", "what was given is changed", 3, "frames or a region that were given come back at less than 24 dB"
    ),
    Failure(
        "SEAM",
        "a joint shows",
        2,
        "where made follows on given, or the end on the beginning, a cut or a leap of more than two steps",
    ),
    Failure(
        "PHY-SLF",
        "moves by itself",
        3,
        "of the table: rests untouched before a standing camera, and its picture goes elsewhere",
    ),
    Failure(
        "PHY-RST",
        "bounces too much or too little",
        2,
        "of the table: speed after over speed before is off by more than 0.17",
    ),
    Failure(
        "GEO-INC",
        "no one camera",
        3,
        "of the table: what rests fits no place on the table for any camera that goes around it",
    ),
    Failure(
        "GEO-LOOP",
        "does not come round",
        3,
        "of the table: after once round, the last picture is not one step before the first",
    ),
    Failure("SYS-RUN", "no video", 4, "the system failed, ran out of memory or time, or refused: counted as a failure"),
)
FAILURES: dict[str, Failure] = {row.code: row for row in _ROWS}


def blocks(code: str) -> bool:
    """Whether this failure makes a video count as failed."""
    if code not in FAILURES:
        raise UsageError(f"unknown failure '{code}'. {suggest(code, FAILURES)}")
    return FAILURES[code].severity >= BLOCKING
