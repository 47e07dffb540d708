"""What was measured -> Markdown tables."""

from __future__ import annotations

from chronotope.bench import Line, Section

__all__ = ["table_of"]

HEADER = ("what", "who", "measured", "x Chronotope's", "x counted", "aim", "")


def table_of(section: Section) -> str:
    """Return a section as a table; the ratio is that to Chronotope, so above 1 Chronotope takes less."""
    rows = [HEADER, *(_cells(line) for line in section.lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([f"{section.name}: {section.about}", "", *lines])


def _cells(line: Line) -> tuple[str, ...]:
    value = "not measured" if line.value is None else f"{_rounded(line.value)} {line.unit}".rstrip()
    ratios = ("" if ratio is None else f"{ratio:.2f}" for ratio in (line.ratio, line.counted))
    return line.case, line.who, value, *ratios, line.aim, line.note


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
