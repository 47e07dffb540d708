"""Rights: who says what may be used, and who asks that it is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chronotope.curate.rights import OWN, Policy, opt_out_signals, own_footage, read_policy
from chronotope.errors import FileProblem, UsageError
from chronotope.media.rights import check_licence


def policy(folder: Path, text: str, **options: object) -> Policy:
    (folder / "rights.toml").write_text(text)
    return read_policy(folder / "rights.toml", **options)  # type: ignore[arg-type]


def test_rules_by_name_and_what_is_allowed(tmp_path: Path) -> None:
    found = policy(
        tmp_path,
        'allow = ["cc-by-4.0", "LicenseRef-own"]\n'
        '[[files]]\nmatch = "holiday/*.mp4"\nlicence = "CC-BY-4.0"\nholder = "Jane"\n'
        '[[files]]\nmatch = "film.mkv"\nlicence = "CC-BY-NC-4.0"\n'
        '[[files]]\nmatch = "both.mkv"\nlicence = "CC-BY-NC-4.0 OR CC-BY-4.0"\n',
        holder="My Lab",
    )
    assert found.rights("holiday/a.mp4").licence == "CC-BY-4.0" and found.rights("holiday/a.mp4").holder == "Jane"
    assert found.rights("bench/1.mp4").licence == OWN and found.rights("bench/1.mp4").holder == "My Lab"
    assert found.refusal(found.rights("holiday/a.mp4")) == found.refusal(found.rights("both.mkv")) == ""
    assert "CC-BY-NC-4.0 is not among the allowed" in found.refusal(found.rights("film.mkv"))
    assert "asks not to train on it" in found.refusal(found.rights("bench/1.mp4", ("robots.txt disallows it",)))


def test_a_rule_holds_whether_an_accent_is_a_character_of_its_own_or_not(tmp_path: Path) -> None:
    rules = '[[files]]\nmatch = "caf\u00e9*"\nlicence = "CC-BY-NC-4.0"\n'
    found = policy(tmp_path, rules, holder="My Lab")
    for file in ("caf\u00e9.mp4", "cafe\u0301.mp4"):
        assert found.rights(file).licence == "CC-BY-NC-4.0" and not found.unmatched([file])
    assert found.rights("cafe.mp4").licence == OWN


def test_an_unknown_licence_is_refused_unless_it_is_allowed() -> None:
    assert own_footage("").refusal(own_footage("").rights("a.mp4")) == "its licence is unknown"
    assert own_footage("", allow_unknown=True).refusal(own_footage("").rights("a.mp4")) == ""
    assert own_footage("Me").refusal(own_footage("Me").rights("a.mp4")) == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("allow = 3", "allow must be a list"),
        ("allows = []", "unknown entry 'allows'. Did you mean 'allow'"),
        ('[[files]]\nmatch = "*"', "number 1 has no licence"),
        ('[[files]]\nmatch = "*"\nlicence = 4', "licence must be a text"),
        ('[[files]]\nmatch = "*"\nlicence = "CC-BY4"', "did you mean CC-BY-4.0"),
        ('[[files]]\nmatch = "*"\nlicence = "public domain"', "no licence of the SPDX list"),
        ('[[files]]\nmatch = "*"\nlicence = "All rights reserved!"', "no licence of the SPDX list"),
        ("allow = [", "no TOML file"),
    ],
)
def test_a_rights_file_that_says_it_wrong(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises((UsageError, FileProblem), match=sentence.replace("[", r"\[")):
        policy(tmp_path, text)


def test_a_rights_file_that_contradicts_itself(tmp_path: Path) -> None:
    rules = '[[files]]\nmatch = "*.mp4"\nlicence = "MIT"\n[[files]]\nmatch = "a*"\nlicence = "CC0-1.0"\n'
    found = policy(tmp_path, rules)
    assert found.rights("b.mp4").licence == "MIT" and found.rights("a.mkv").licence == "CC0-1.0"
    with pytest.raises(UsageError, match=r"contradicts itself: a.mp4 has the licence 'MIT' .* and 'CC0-1.0'"):
        found.rights("a.mp4")


def test_licences_are_spelled_as_in_the_list() -> None:
    assert check_licence("cc-by-4.0", "here") == "CC-BY-4.0"
    assert check_licence("LicenseRef-Lab.2", "here") == "LicenseRef-Lab.2"


@pytest.mark.parametrize(
    ("name", "text", "path", "signals"),
    [
        ("tdmrep.json", json.dumps([{"location": "/films/*", "tdm-reservation": 1}]), "films/a.mp4", 1),
        ("tdmrep.json", json.dumps([{"location": "/films/*", "tdm-reservation": 1}]), "other/a.mp4", 0),
        (
            "tdmrep.json",
            json.dumps([{"location": "/", "tdm-reservation": 1}, {"location": "/films/", "tdm-reservation": 0}]),
            "films/a.mp4",
            0,
        ),
        ("tdmrep.json", "{", "films/a.mp4", 1),  # not to be parsed: somebody meant to say something
        ("tdmrep.json", "\ufeff" + json.dumps([{"tdm-reservation": 1}]), "films/a.mp4", 1),
        ("robots.txt", "User-agent: *\nAllow: /\n\nUser-agent: GPTBot\nDisallow: /", "films/a.mp4", 1),
        ("robots.txt", "User-agent: Baiduspider\nDisallow: /", "films/a.mp4", 0),
        ("robots.txt", "\ufeffUser-agent: CCBot\nDisallow: /", "films/a.mp4", 1),
        ("robots.txt", "User-agent: GPTBot\nDisallow: /films/", "films/a.mp4", 1),
        ("robots.txt", "User-agent: *\nDisallow: /\nAllow: /films/*.mp4$", "films/a.mp4", 0),
        ("robots.txt", "User-agent: Yahoo\nDisallow: /", "films/a.mp4", 0),
        ("robots.txt", "User-agent: *\nDisallow:", "films/a.mp4", 0),
        ("robots.txt", "Disallow: /", "films/a.mp4", 1),  # of no agent, so of all
        ("robots.txt", "Disallow: /x\nUser-agent: Yahoo\nDisallow: /", "films/a.mp4", 0),
        ("ai.txt", "#" * 2**22 + "\nUser-agent: *\nDisallow: /", "films/a.mp4", 1),  # too long to read
        ("ai.txt", "User-Agent: *\nDisallow: *.mp4 # all", "films/a.mp4", 1),
        # addresses name spaces and letters beyond ASCII by their bytes, and accents may be characters of their own
        ("robots.txt", "User-agent: *\nDisallow: /my%20films/", "my films/a.mp4", 1),
        ("robots.txt", "User-agent: *\nDisallow: /my%20films/", "myfilms/a.mp4", 0),
        ("robots.txt", "User-agent: *\nDisallow: /caf%C3%A9/*.mp4$", "cafe\u0301/a.mp4", 1),
        ("robots.txt", "User-agent: *\nDisallow: /a%2A", "films/a.mp4", 0),  # a star by its byte is a star
        ("tdmrep.json", json.dumps({"location": "/caf%C3%A9", "tdm-reservation": 1}), "caf\u00e9/a.mp4", 1),
        ("tdmrep.json", json.dumps({"Location": "/films/", "TDM-Reservation": "1"}), "films/a.mp4", 1),
        ("tdmrep.json", json.dumps({"location": "/films/", "tdm-reservation": "yes"}), "films/a.mp4", 1),
        ("tdmrep.json", json.dumps({"location": "/films/", "tdm-reservation": "0"}), "films/a.mp4", 0),
        ("tdmrep.json", '{"tdm-reservation": 1, "tdm-reservation": 0}', "films/a.mp4", 1),
        ("tdmrep.json", '["/films/"]', "films/a.mp4", 1),
        ("TDMRep.json", json.dumps({"tdm-reservation": 1}), "films/a.mp4", 1),
        ("ROBOTS.TXT", "User-agent: *\nDisallow: /", "films/a.mp4", 1),
        (".well-known/tdmrep.json", json.dumps({"tdm-reservation": 1}), "films/a.mp4", 1),
    ],
)
def test_signals_beside_a_file(name: str, text: str, path: str, signals: int, tmp_path: Path) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(b"")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert len(opt_out_signals(tmp_path, path, {})) == signals


def test_signals_in_a_file_and_in_its_tags(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"\0" * 500 + b"c2pa.training-mining....cawg.ai_training\x00use\x00notAllowed" + b"\0" * 500)
    assert opt_out_signals(tmp_path, "a.mp4", {}) == ["a C2PA assertion in the file"]
    file.write_bytes(b"c2pa.training-mining allowed" + b"\0" * 500)
    assert opt_out_signals(tmp_path, "a.mp4", {}) == []
    assert opt_out_signals(tmp_path, "a.mp4", {"comment": "NoAI, please"}) == ["tag comment: NoAI, please"]
    assert opt_out_signals(tmp_path, "a.mp4", {"tdm-reservation": "1"}) == ["tag tdm-reservation: 1"]
    assert opt_out_signals(tmp_path, "a.mp4", {"comment": "a volcano in no airport"}) == []


@pytest.mark.parametrize(
    ("licence", "used"),
    [
        ("CC0-1.0", True),
        ("MIT OR CC0-1.0", True),
        ("MIT AND CC0-1.0", False),
        ("GPL-3.0-only AND (MIT OR CC0-1.0)", False),
        ("(GPL-3.0-only AND MIT) OR CC0-1.0", True),
        ("CC0-1.0 AND (CC0-1.0 OR MIT)", True),
    ],
)
def test_an_expression_is_met_by_allowed_licences_alone(licence: str, used: bool, tmp_path: Path) -> None:
    found = policy(tmp_path, f'allow = ["CC0-1.0"]\n[[files]]\nmatch = "*"\nlicence = "{licence}"\n')
    assert (found.refusal(found.rights("a.mp4")) == "") == used
    assert found.unmatched(["a.mp4"]) == [] and found.unmatched([]) == ["*"]


def test_rules_that_cannot_be_read_are_an_objection(tmp_path: Path) -> None:
    for name in ("robots.txt", "ai.txt", "tdmrep.json"):
        (tmp_path / name).symlink_to("gone")
        assert opt_out_signals(tmp_path, "a.mp4", {}) == [f"{name} cannot be read, which may say so"]
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()  # a folder is none
        assert not opt_out_signals(tmp_path, "a.mp4", {})
        (tmp_path / name).rmdir()
