"""A session answers to what its player saw, keeps a record that gives the same frames again, and goes back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from chronotope.errors import FileProblem, UsageError
from chronotope.simulate.model import StepSettings, WorldModel
from chronotope.simulate.record import (
    Start,
    decode_picture,
    encode_picture,
    frame_hash,
    parse_record,
    played_origin,
    read_record,
)
from chronotope.simulate.session import Session, replay

PICTURE = np.random.default_rng(1).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def test_an_action_is_applied_at_the_next_frame_and_holds_while_its_key_is_down(world: WorldModel) -> None:
    session = Session(world, Start(4, "", PICTURE))
    session.act("left", 0, id=7)
    shown = session.advance()
    assert shown.frame == 1 and shown.action == (1.0,) and shown.milliseconds > 0
    (applied,) = shown.applied
    assert (applied.id, applied.seen, applied.applied_at_frame) == (7, 0, 1)
    session.act(2, 1, keep=True)
    actions = [session.advance().action for _ in range(3)]
    session.release()
    assert actions == [(2.0,)] * 3 and session.advance().action == (0.0,)
    session.act([1], 2)
    session.act([2], 2)  # two taps within a frame have a frame each
    assert [session.advance().action for _ in range(3)] == [(1.0,), (2.0,), (0.0,)]


def test_actions_that_make_no_sense_change_nothing(world: WorldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(world, Start(4, "", PICTURE))
    monkeypatch.setattr("chronotope.simulate.session.STALE_SECONDS", 0.25)
    for _ in range(4):
        session.advance()
    for action, seen, said in (
        (3, 4, "action"),
        ([1, 1], 4, "shape"),
        ("jump", 4, "unknown action"),
        (None, 4, "got"),
        ([[1]], 4, "got"),
        (True, 4, "got"),
        (10**400, 4, "number"),
        (float("nan"), 4, "action"),
        (1, 5, "was not made"),
        (1, "4", "was not made"),
        (1, 1, "the action is for frame 1, and frame 4 is made already"),
    ):
        with pytest.raises(UsageError, match=said):
            session.act(action, seen)
    assert session.seen == 0 and session.advance().action == (0.0,)


def test_the_lead_is_that_over_what_the_player_sees(world: WorldModel) -> None:
    session = Session(world, Start(4, "", PICTURE))
    for _ in range(3):
        session.advance()
    assert (session.lead, session.most_lead) == (3, 4)
    session.see(2)
    session.see(1)  # an older message that came late
    assert session.lead == 1
    session.branch(1)
    session.see(3)  # so is this one: it was left behind
    assert (session.frame, session.seen) == (1, 1)


def test_a_record_gives_the_same_frames_and_branches_again(world: WorldModel) -> None:
    lines: list[dict] = []
    session = Session(world, Start(4, "a cow", PICTURE), lambda line: lines.append(dict(line)))
    first = []
    for action in (1, 2, 2):
        session.act(action, session.frame)
        first.append(session.advance().picture)
    back = session.branch(1)
    assert np.array_equal(back.picture, first[0]) and session.frame == 1
    session.act(0, 1)
    other = session.advance().picture
    assert not np.array_equal(other, first[1])
    record = parse_record("".join(json.dumps(line) + "\n" for line in lines))
    played = list(replay(world, record))
    assert [number for number, *_ in played] == [0, 1, 2, 3, 2] and [equal for *_, equal in played] == [
        None,
        True,
        True,
        True,
        True,
    ]
    assert np.array_equal(played[-1][1], other)
    record[1]["hash"] = "0" * 16
    assert [equal for *_, equal in replay(world, record)][1] is False


def test_a_record_is_played_with_its_own_settings_and_by_its_model_alone(world: WorldModel) -> None:
    lines: list[dict] = []
    recorded = WorldModel(world.generator, StepSettings(4, 3.0, 0.2))
    session = Session(recorded, Start(4, "a cow", PICTURE), lambda line: lines.append(dict(line)))
    for action in (1, 2, 2):
        session.act(action, session.frame)
        session.advance()
    record = parse_record("".join(json.dumps(line) + "\n" for line in lines))
    assert [equal for *_, equal in replay(world, record)] == [None, True, True, True]
    named = record[0] | {"model": {"dit": "another"}}
    for first, said in (
        (named, "the record has model .*another.*play the record with the model that made it"),
        (record[0] | {"fps": 9}, "the record has fps 9"),
        (record[0] | {"num_steps": 0}, "num_steps must be between 1 and 1000, got 0"),
        (record[0] | {"num_steps": "4"}, "num_steps"),
        (record[0] | {"guidance_scale": None}, "guidance_scale of the record"),
        (record[0] | {"history": 1}, "history is a noise level"),
    ):
        with pytest.raises(UsageError, match=said):
            next(replay(world, [first, *record[1:]]))


def test_only_the_last_seconds_are_kept(world: WorldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronotope.simulate.session.BACK_SECONDS", 1.0)
    session = Session(world, Start(0, "", PICTURE))
    for _ in range(12):
        session.advance()
    assert len(session._kept) == 9  # a second at 8 frames a second
    with pytest.raises(UsageError, match="go back to a frame from 4 to 12"):
        session.branch(3)
    held = {id(one) for state, _ in session._kept for one in state.past.slices}
    assert len(held) == 11  # each slice once, however many states keep it
    assert not any("joined" in vars(state.past) for state, _ in session._kept)


def test_records_that_are_none_are_refused(tmp_path: Path, world: WorldModel) -> None:
    whole = json.dumps(Start().line(world))
    for text, said in (
        ("", "first line"),
        ("[]\n", "first line"),
        ('{"chronotope_session": 9}\n', "format 1"),
        ("no JSON\n", "line 1 is no JSON"),
        (f"{whole}\nno JSON\n{{}}\n", "line 2 is no JSON"),
        (f'{whole}\n{{"action": [1]}}\n', "line 2 is neither"),
        (f'{whole}\n{{"frame": 2, "action": [1]}}\n', "line 2 is frame 2, and frame 1 comes next"),
        (f'{whole}\n{{"branch": 4}}\n{{"frame": 1, "action": [1]}}\n', "line 3 is frame 1, and frame 5 comes next"),
        (f'{whole}\n{{"frame": 1, "action": [1], "action": [2]}}\n', '"action" stands twice'),
        (f'{whole}\n{{"frame": 1, "action": [1]}}\n{{"fra\n', "line 3 is no JSON"),  # whole lines are not cut off
    ):
        (tmp_path / "session.jsonl").write_text(text)
        with pytest.raises(FileProblem, match=said):
            read_record(tmp_path / "session.jsonl")
    (tmp_path / "session.jsonl").write_text(f'{whole}\n{{"frame": 1, "action": [1]}}\n{{"fra')  # it was killed
    said: list[str] = []
    assert len(read_record(tmp_path / "session.jsonl", said.append)) == 2
    assert said == ["the last line of the record, 3, was cut off while it was written and is left out"]
    with pytest.raises(FileProblem, match="cannot be read"):
        read_record(tmp_path / "missing.jsonl")


def test_the_start_of_a_record_is_sealed_and_said_of_its_frames(world: WorldModel) -> None:
    """A prompt or a consent that was edited changes no frame, so no hash of a frame tells."""
    line = Start(3, "a cow", PICTURE, "It shows me.").line(world)
    record = json.dumps(line) + "\n"
    said: list[str] = []
    (read,) = parse_record(record, said.append)
    page = json.dumps(line).replace(".0,", ",") + "\n"  # as the page writes whole numbers
    assert page != record and parse_record(page, said.append) and not said
    for change in ({"consent": "Everyone agreed."}, {"prompt": "a fox"}, {"picture": None}, {"seed": 4}):
        with pytest.raises(UsageError, match="does not fit its seal"):
            parse_record(json.dumps(line | change) + "\n")
    parse_record(json.dumps({name: value for name, value in line.items() if name != "seal"}) + "\n", said.append)
    assert len(said) == 1 and "has no seal" in said[0]
    origin = played_origin(read, "play")
    assert (origin["prompt"], origin["consent"]) == ("a cow", "It shows me.")
    assert origin["start_picture"] == frame_hash(PICTURE)


def test_a_start_picture_survives_its_way_through_json() -> None:
    assert np.array_equal(decode_picture(encode_picture(PICTURE)), PICTURE)
    assert frame_hash(PICTURE) != frame_hash(PICTURE[::-1])
    for text in ("no base64!", "aGVsbG8=", 5, None):
        with pytest.raises(UsageError, match="start picture"):
            decode_picture(text)
    for data in ({"seed": -1}, {"seed": 1.5}, {"seed": 2**60}, {"prompt": 3}):
        with pytest.raises(UsageError):
            Start.of(data)
