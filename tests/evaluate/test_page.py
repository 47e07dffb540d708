"""The page of a report: no text of the report becomes markup or script, and plots are where the numbers say."""

from __future__ import annotations

import base64
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from chronotope.evaluate.attribution import attribution
from chronotope.evaluate.page.html import TEMPLATES, write_page
from chronotope.evaluate.page.plots import distribution_plot, drift_rows, survival_plot
from tests.evaluate.test_attribution import BACK, MODEL, TRUTH

ATTACK = (
    """</script><script>alert(1)</script><img src=x onerror=alert(2)> "onload=alert(3) 'onclick=alert(4) {{ 7*7 }}"""
)
RATE = {"right": 1, "of": 2, "share": 0.5, "interval": [0.1, 0.9]}
NAMES = {"strata", "cube", "checks", "about"}  # what stands in these is named by worlds, models and users


def whole_report() -> dict[str, Any]:
    """A report that has every section of the page."""
    report = json.loads(json.dumps(MODEL))
    measure = {"spread": 5.0, "median": 0.2, "slope": 0.1, "within": RATE}
    report["summary"]["long_range"] = {"videos": 1, "drifting": RATE, "measures": {"brightness": measure}}
    report["cases"][0]["measured"] = {"looks alike": {"brightness": -9.0}, "another check": {"count": 2.0}}
    report["summary"]["permanence"] = dict.fromkeys(("gate", "success_given_gate", "success_and_gate"), RATE)
    report["layers"] = attribution(MODEL, BACK, TRUTH, {"steps 60": MODEL})
    nearest = [{"video": "of no case", "clip": "c", "distance": 1.0, "percentile": 0.1}]
    counts = {"training_clips": 3, "baseline_clips": 3, "below": RATE, "copies": RATE, "space": "pixels"}
    curves = {"threshold": 1.0, "baseline": [0.0, 2.0], "distances": [1.0, 4.0], "nearest": nearest}
    return {**report, "memorisation": {**counts, **curves}}


def poisoned(value: Any, key: str = "", named: bool = False) -> Any:
    """The same with the attack at the end of every text, and of every key that names something."""
    if isinstance(value, str):
        if key == "file":
            return value + ATTACK.replace("/", "")  # with a slash it would be left out
        return value if key == "code" else value + ATTACK
    if isinstance(value, list):
        return [poisoned(one, key, named) for one in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, one in value.items():
        fixed = not named or name in ("length", "selection", "ledger", "layer", *RATE)
        found[name if fixed else name + ATTACK] = poisoned(one, name, named or name in NAMES)
    return found


class Structure(HTMLParser):
    """The tags of a page with the names of their attributes, its addresses, texts and scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.addresses: list[str] = []
        self.styles: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]
        self.styles += [value or "" for name, value in attrs if name == "style"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_hostile_report_is_shown_as_text(tmp_path: Path) -> None:
    clean, hostile = whole_report(), poisoned(whole_report())
    pages = []
    for name, report in (("clean", clean), ("hostile", hostile)):
        write_page(report, tmp_path / 'vi"deos<b>', tmp_path / name)
        pages.append(Structure((tmp_path / name).read_text()))
    good, bad = pages
    assert bad.tags == good.tags  # not one element or attribute more
    assert sum(tag[0] == "script" for tag in bad.tags) == 2
    folder = "vi%22deos%3Cb%3E"
    assert all(address.startswith(("#", folder)) for address in bad.addresses)
    listing = next(json.loads(text) for text in bad.texts if text.startswith('{"folder"'))
    prompt = clean["cases"][0]["prompt"] + ATTACK
    assert listing["rows"][0][3] == prompt and listing["strata"][0].startswith("length")
    assert any(text.endswith(prompt) for text in bad.texts)
    for text in ("steps 60", "pixels", "OBJ-DIS is right", "c", clean["about"]["model"]):
        assert any(text + ATTACK in shown for shown in bad.texts), text


URLS = (
    "javascript:alert(1)",
    "data:text/html,<script>alert(2)</script>",
    "//evil.example/x.mp4",
    "https://evil.example",
)
STYLES = ("50%;background:url(//evil.example)", "</style><script>alert(3)</script>", "expression(alert(4))")
SCRIPTS = ("]]><script>", "<!--<script>", "\u2028alert(5)//", "\\u003c/script>", "\0<svg/onload=alert(6)>")


@pytest.mark.parametrize("attack", [*URLS, *STYLES, *SCRIPTS])
def test_no_element_attribute_or_address_comes_from_any_text_of_a_report(tmp_path: Path, attack: str) -> None:
    """Every text, every name and every file is exchanged for the attack, in all sections."""

    def exchanged(value: Any, key: str = "", named: bool = False) -> Any:
        if isinstance(value, dict):
            return {
                attack + name if named and name not in RATE else name: exchanged(one, name, named or name in NAMES)
                for name, one in value.items()
            }
        if isinstance(value, list):
            return [exchanged(one, key) for one in value]
        return attack if isinstance(value, str) and key != "code" else value

    pages = []
    for name, report in (("clean", whole_report()), ("hostile", exchanged(whole_report()))):
        write_page(report, tmp_path, tmp_path / name)
        pages.append(Structure((tmp_path / name).read_text()))
    good, bad = pages
    allowed = {tag for tag in good.tags if tag[0] not in ("a", "option")}
    assert set(bad.tags) <= {*allowed, ("a", "href"), ("p", "class"), ("td", "class")}
    assert sum(tag[0] == "script" for tag in bad.tags) == sum(tag[0] == "style" for tag in bad.tags) + 1 == 2
    assert all(address.startswith(("#", "./")) or address == "." for address in bad.addresses)
    assert all("url(" not in style and "expression" not in style for style in bad.styles)


def test_a_video_that_has_a_hostile_name_is_played(tmp_path: Path) -> None:
    report, name = whole_report(), "\"onerror='alert(1)'<b>.mp4"
    report["cases"][0]["file"] = name
    report["memorisation"]["nearest"][0]["video"] = f"folder/{report['cases'][0]['id']}"
    (tmp_path / name).write_bytes(b"a video")
    write_page(report, tmp_path, tmp_path / "index.html")
    page = Structure((tmp_path / "index.html").read_text())
    assert ("video", "src", "autoplay", "loop", "muted", "playsinline") in page.tags
    linked = [address for address in page.addresses if address == "./%22onerror%3D%27alert%281%29%27%3Cb%3E.mp4"]
    assert len(linked) == 2  # the dot of its drift, and its line among those nearest to training clips


@pytest.mark.parametrize("way", ["up", "absolute", "link", "loop", "nothing"])
def test_files_outside_of_the_folder_are_neither_embedded_nor_linked(tmp_path: Path, way: str) -> None:
    report, folder, secret = whole_report(), tmp_path / "report" / "videos", tmp_path / "secret.mp4"
    folder.mkdir(parents=True)
    secret.write_bytes(b"a secret of this machine")
    case = report["cases"][0]
    names = {"up": "../../secret.mp4", "absolute": str(secret), "link": "link.mp4", "loop": "loop.mp4", "nothing": ""}
    case["file"] = names[way]
    report["memorisation"]["nearest"][0]["video"] = case["id"]
    (folder / "link.mp4").symlink_to(secret)
    (folder / "loop.mp4").symlink_to("loop.mp4")
    left_out = write_page(report, folder, tmp_path / "report" / "index.html")
    assert left_out == [case["file"]]
    text = (tmp_path / "report" / "index.html").read_text()
    assert (
        "secret" not in text and "data:video" not in text and base64.b64encode(secret.read_bytes()).decode() not in text
    )
    page = Structure(text)
    assert not any(".." in address or address.endswith("link.mp4") for address in page.addresses)
    listing = next(json.loads(shown) for shown in page.texts if shown.startswith('{"folder"'))
    assert listing["rows"][0][2] == ""


def test_joined_plans_have_all_their_strata(tmp_path: Path) -> None:
    report = whole_report()
    del report["summary"]["strata"]["length"]
    report["cases"][0]["strata"] = {"story": "chase"}
    write_page(report, tmp_path, tmp_path / "index.html")
    page = Structure((tmp_path / "index.html").read_text())
    listing = next(json.loads(text) for text in page.texts if text.startswith('{"folder"'))
    assert listing["strata"][0] == "story" and "length" in listing["strata"]
    assert listing["rows"][0][6] == ["chase", *[""] * (len(listing["strata"]) - 1)] and listing["rows"][1][6][0] == ""


def test_lengths_stand_in_the_order_of_the_report() -> None:
    rate = {"right": 1, "of": 2, "share": 0.5}
    table = {"C0": {"2 weeks": rate}, "C1": {"an hour": rate, "2 weeks": rate}}
    page = TEMPLATES.get_template("plots.jinja").module.heat_map(table, ["an hour", "2 weeks"])  # type: ignore[attr-defined]
    assert 0 < page.index("<th>an hour</th>") < page.index("<th>2 weeks</th>")
    assert page.count('href="#deeds=C1&amp;length=an+hour"') == 1 and page.count("<td class=muted>") == 1
    lengths = {length for row in MODEL["summary"]["cube"].values() for length in row}
    assert lengths <= set(MODEL["summary"]["strata"]["length"])


def test_plots_are_where_the_numbers_say() -> None:
    survival = {"times": [1.0], "alive": [0.5], "low": [0.25], "high": [0.75], "longest": 2.0}
    plot = survival_plot(survival)
    assert plot.curves["dark"] == "52.0,10.0 352.0,10.0 352.0,130.0 652.0,130.0"  # down by half at half of the time
    assert plot.x_ticks[2] == (352.0, "1.0 s") and plot.y_ticks[2] == (130.0, "50 %")
    assert plot.band.startswith("52.0,10.0 352.0,10.0 352.0,190.0") and plot.band.endswith("352.0,10.0 52.0,10.0")
    plot = distribution_plot([0.0, 2.0], [1.0, 4.0], 1.0)
    assert plot.curves == {"grey": "52.0,250.0 352.0,10.0", "dark": "202.0,250.0 652.0,10.0"} and plot.marker == 202.0
    row, narrow = drift_rows(
        {"noise": {"spread": 2.0}, "hue": {"spread": 2.0}}, {"noise": [(4.0, "a"), (-1.0, "b")], "hue": []}
    )
    assert (row.reach, row.band_left, row.band_width) == (4.0, 245.0, 250.0)
    assert row.dots == [(620.0, "a", True), (307.5, "b", False)]
    assert narrow.reach == 3.0 and narrow.y > row.y


def test_a_missing_number_is_an_error_and_not_an_empty_cell(tmp_path: Path) -> None:
    report = whole_report()
    del report["layers"]["cases"]
    with pytest.raises(UndefinedError, match="cases"):
        write_page(report, tmp_path, tmp_path / "index.html")
    assert not (tmp_path / "index.html").exists()
