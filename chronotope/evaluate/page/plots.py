"""Plots of a report as HTML and SVG that fit any width; what stands for videos is a link to them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

__all__ = ["bars", "heat_map", "link", "quantiles", "shares", "strips", "survival_curve"]

BLUE, DARK, ORANGE, GREY = "#3d78d8", "#1d4a94", "#e08a3c", "#b9bec7"
LOW, HIGH = (250, 200, 160), (150, 200, 245)  # of a heat map: told apart by whoever does not see red and green too


def link(text: str, **wanted: str) -> str:
    """A link to the videos of these levels, or with this failure (`code`)."""
    return f'<a href="#{html.escape(urlencode(wanted))}">{text}</a>'


def bars(levels: Mapping[str, Any], stratum: str = "") -> str:
    """A bar a level with its 95 % interval; levels of a stratum are links."""
    rows = []
    for name, rate in levels.items():
        low, high = (100 * bound for bound in rate["interval"])
        label = link(html.escape(name), **{stratum: name}) if stratum else html.escape(name)
        rows.append(
            f'<div class=row><span class=label>{label}</span><span class=track title="95 %: {low:.1f} to {high:.1f} %">'
            f'<i style="width:{100 * rate["share"]:.1f}%"></i><b style="left:{low:.1f}%;width:{max(high - low, 0.3):.1f}%"></b></span>'
            f"<span class=value>{rate['share']:.1%} <span class=grey>of {rate['of']}</span></span></div>"
        )
    return f"<div class=bars>{''.join(rows)}</div>"


def heat_map(cube: Mapping[str, Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Deeds down, lengths across in this order; every cell links to its videos."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    lines = []
    for deeds, row in cube.items():
        cells = "".join(_cell(row.get(length), deeds, length) for length in columns)
        lines.append(f"<tr><th>{html.escape(deeds)}</th>{cells}</tr>")
    return f"<div class=wide><table class=heat><tr><th></th>{head}</tr>{''.join(lines)}</table></div>"


def _cell(rate: Mapping[str, Any] | None, deeds: str, length: str) -> str:
    if rate is None:
        return "<td class=grey>-</td>"
    colour = ",".join(f"{low + rate['share'] * (high - low):.0f}" for low, high in zip(LOW, HIGH, strict=True))
    text = f"<strong>{rate['share']:.0%}</strong><br><small>{rate['right']} of {rate['of']}</small>"
    return f'<td style="background:rgb({colour})">{link(text, deeds=deeds, length=length)}</td>'


def survival_curve(data: Mapping[str, Any]) -> str:
    """Kaplan-Meier: steps down where videos fail, the band is 95 %."""
    last = data["longest"]
    frame = Frame(
        last,
        1.0,
        [(last * k / 4, f"{last * k / 4:.1f} s") for k in range(5)],
        [(k / 4, f"{25 * k} %") for k in range(5)],
    )

    def steps(values: Sequence[float]) -> list[str]:
        points, before = [], 1.0
        for time, value in zip(data["times"], values, strict=True):
            points += [frame.at(time, before), frame.at(time, value)]
            before = value
        return [*points, frame.at(last, before)]

    band = " ".join(steps(data["low"]) + steps(data["high"])[::-1])
    return frame.drawn(
        f'<polygon points="{band}" fill="{BLUE}" opacity="0.2"/>'
        f'<polyline points="{" ".join(steps(data["alive"]))}" fill="none" stroke="{DARK}" stroke-width="2.5"/>'
    )


class Frame:
    """A plane for curves, with ticks along both sides."""

    left, top, width, height = 52.0, 10.0, 600.0, 240.0

    def __init__(
        self, x: float, y: float, across: Sequence[tuple[float, str]], up: Sequence[tuple[float, str]]
    ) -> None:
        self.x, self.y, self.across, self.up = x or 1.0, y or 1.0, across, up

    def at(self, x: float, y: float) -> str:
        """A place of the plane on the page."""
        return f"{self.left + self.width * min(x / self.x, 1.0):.1f},{self.top + self.height * (1 - min(y / self.y, 1.0)):.1f}"

    def drawn(self, curves: str) -> str:
        """The whole plot."""
        bottom, right = self.top + self.height, self.left + self.width
        ticks = "".join(_text(self.left + self.width * x / self.x, bottom, 18, name) for x, name in self.across)
        for y, name in self.up:
            place = self.top + self.height * (1 - y / self.y)
            ticks += f'<path d="M{self.left} {place}H{right}" stroke="#e3e6eb"/>' + _text(
                self.left - 6, place, 4, name, "end"
            )
        return f'<svg class=plot viewBox="0 0 {right + 44} {bottom + 26}" role="img">{ticks}{curves}</svg>'


def _text(x: float, y: float, below: int, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y + below:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def quantiles(curves: Mapping[str, Sequence[float]], mark: float, unit: str) -> str:
    """Distributions, each given by its values at 0, 1, ... 100 %; a line marks one value."""
    most = max(values[-1] for values in curves.values())
    frame = Frame(
        most,
        1.0,
        [(most * k / 4, f"{most * k / 4:.0f} {unit}") for k in range(5)],
        [(k / 4, f"{25 * k} %") for k in range(5)],
    )
    drawn, names = "", []
    for (name, values), colour in zip(curves.items(), (GREY, DARK), strict=False):
        points = " ".join(frame.at(value, place / (len(values) - 1)) for place, value in enumerate(values))
        drawn += f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        names.append(f'<span style="color:{colour}">&#9632;</span> {html.escape(name)}')
    (x, top), (_, bottom) = frame.at(mark, 1.0).split(","), frame.at(mark, 0.0).split(",")
    drawn += f'<path d="M{x} {top}V{bottom}" stroke="{ORANGE}" stroke-dasharray="5 4" stroke-width="2"/>'
    return f"<p class=legend>{' '.join(names)}</p>{frame.drawn(drawn)}"


def strips(rows: Mapping[str, tuple[float, Sequence[tuple[float, str]]]]) -> str:
    """A line a measure: the band that true clips stay within, and a dot a video (its change, and its address)."""
    drawn, left, width, step = "", 120.0, 500.0, 46.0
    for place, (name, (spread, dots)) in enumerate(rows.items()):
        y = 26.0 + place * step
        reach = max([1.5 * spread, *(abs(change) for change, _ in dots)])
        half = width / 2 * spread / reach
        drawn += f'<rect x="{left + width / 2 - half:.1f}" y="{y - 14}" width="{2 * half:.1f}" height="28" fill="{BLUE}" opacity="0.15"/>'
        drawn += f'<path d="M{left} {y}H{left + width}" stroke="#ccd1d8"/>' + _text(left - 10, y, 4, name, "end")
        drawn += _text(left + width, y, -8, f"+{reach:.3g}", "end") + _text(left, y, -8, f"-{reach:.3g}", "start")
        for change, address in dots:
            x, colour = left + width / 2 * (1 + change / reach), ORANGE if abs(change) > spread else DARK
            drawn += f'<a href="{html.escape(address)}"><circle cx="{x:.1f}" cy="{y}" r="4.5" fill="{colour}" opacity="0.6"/></a>'
    return f'<svg class=plot viewBox="0 0 {left + width + 30} {len(rows) * step + 10}" role="img">{drawn}</svg>'


def shares(classes: Mapping[str, Mapping[str, int]], parts: Mapping[str, str]) -> str:
    """A bar a class, divided among `parts` (name: colour)."""
    most = max(row["videos"] for row in classes.values())
    rows = []
    for code, row in classes.items():
        inner = "".join(
            f'<i style="width:{100 * row[name] / most:.1f}%;background:{colour}" title="{name}: {row[name]}"></i>'
            for name, colour in parts.items()
        )
        value = ", ".join(f"{row[name]} {name}" for name in parts if row[name])
        rows.append(f"<div class=row><span class=label>{link(code, code=code)}</span><span class='track split'>{inner}</span>"
                    f"<span class=value>{value}</span></div>")  # fmt: skip
    names = " ".join(f'<span style="color:{colour}">&#9632;</span> {name}' for name, colour in parts.items())
    return f"<p class=legend>{names}</p><div class=bars>{''.join(rows)}</div>"
