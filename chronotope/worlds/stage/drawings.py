"""SVG drawings of our own: the coloured shapes, and nouns that the emoji set lacks or shows only as a face."""

from __future__ import annotations

import math

from chronotope.worlds.palette import COLOURS

__all__ = ["OWN", "shape_body"]


def _star(points: int, inner: float) -> str:
    corners = []
    for i in range(2 * points):
        radius, angle = (50 if i % 2 == 0 else 50 * inner), math.radians(180 * i / points - 90)
        corners.append(f"{50 + radius * math.cos(angle):.3f},{50 + radius * math.sin(angle):.3f}")
    return f'<polygon points="{" ".join(corners)}"/>'


def _polygon(sides: int) -> str:
    angles = (math.radians(360 * i / sides) for i in range(sides))
    return f'<polygon points="{" ".join(f"{50 + 50 * math.cos(a):.3f},{50 + 50 * math.sin(a):.3f}" for a in angles)}"/>'


# In a square of 100 units.
_OUTLINES = {
    "circle": '<circle cx="50" cy="50" r="50"/>',
    "square": '<rect width="100" height="100"/>',
    "triangle": '<polygon points="50,4 100,92 0,92"/>',
    "star": _star(5, 0.42),
    "heart": '<path d="M50 95C20 70 0 52 0 30C0 14 12 5 26 5C37 5 46 11 50 20'
    'C54 11 63 5 74 5C88 5 100 14 100 30C100 52 80 70 50 95Z"/>',
    "diamond": '<polygon points="50,0 88,50 50,100 12,50"/>',
    "hexagon": _polygon(6),
    "cross": '<path d="M33 0H67V33H100V67H67V100H33V67H0V33H33Z"/>',
}


def shape_body(noun: str, colour: str) -> str:
    """Return the SVG of a shape in a square of 100 units; its shading from the upper left makes rotation visible."""
    rgb = COLOURS[colour]
    light = tuple(min(255, int(c + (255 - c) * 0.28)) for c in rgb)
    dark = tuple(int(c * 0.82) for c in rgb)
    stops = f'<stop offset="0" stop-color="rgb{light}"/><stop offset=".5" stop-color="rgb{rgb}"/>'
    stops += f'<stop offset="1" stop-color="rgb{dark}"/>'
    shade = f'<defs><linearGradient id="g" x1="0" y1="0" x2="0.7" y2="1">{stops}</linearGradient></defs>'
    return f'{shade}<g fill="url(#g)">{_OUTLINES[noun]}</g>'


_CANINE = """<defs>
<linearGradient id="c" gradientUnits="userSpaceOnUse" x1="0" y1="3" x2="0" y2="26">
<stop offset="0" stop-color="{coat}"/><stop offset="1" stop-color="{dark}"/></linearGradient>
<linearGradient id="t" x1="1" y1="1" x2="0" y2="0"><stop offset="0" stop-color="{dark}"/>
<stop offset=".55" stop-color="{coat}"/><stop offset=".62" stop-color="{pale}"/></linearGradient></defs>
<path fill="url(#t)" d="M9.6 21.6C5.6 22.6 1.6 19.4 1 14.6C.7 12 1.5 9.4 3 8.2C3.6 7.7 4.4 8.1 4.5 8.9C4.8 11.6 6.2 13.4
8.4 14.6C10.6 15.8 11.6 17.6 11.4 19.4Z"/>
<g fill="{dark}"><path d="M10.6 20h3.2l-.4 8.2c0 .5-.4.8-.9.8h-1.6c-.5 0-.8-.4-.8-.9Z"/>
<path d="M20.2 20h3l-.5 8.2c0 .5-.4.8-.9.8h-1.4c-.5 0-.8-.4-.8-.9Z"/></g>
<path fill="url(#c)" d="M7.4 18.6C7.4 15.6 9.8 14 12.8 14H20.5C23 14 24.6 15.4 24.6 18C24.6 21.6 22.6 23.8 19 23.8H13
C9.6 23.8 7.4 21.8 7.4 18.6Z"/>
<g fill="url(#c)"><path d="M7.6 19h4.4l-.6 9.4c0 .4-.4.8-.8.8H9.1c-.5 0-.8-.4-.9-.8Z"/>
<path d="M17.4 19h4l-.5 9.4c0 .4-.4.8-.8.8h-1.6c-.4 0-.8-.4-.8-.8Z"/></g>
<g fill="{sock}"><path d="M8 25.6h3.6l-.2 2.8c0 .4-.4.8-.8.8H9.1c-.5 0-.8-.4-.9-.8Z"/>
<path d="M17.6 25.6h3.5l-.2 2.8c0 .4-.4.8-.8.8h-1.6c-.4 0-.8-.4-.8-.8Z"/>
<path d="M10.9 25.9h2.7l-.2 2.3c0 .5-.4.8-.9.8h-1.6c-.3 0-.5-.1-.6-.3ZM20.6 25.9h2.3l-.2 2.3c0 .5-.4.8-.9.8h-1.2Z"/></g>
<path fill="{pale}" d="M25.2 15.6C25.6 19.4 24.2 22 21.8 22.8C20.8 20.8 20.6 18.4 21.4 16Z"/>
<path fill="{dark}" d="M23.4 8.2L25.4 2.6C25.6 2.1 26.2 2.1 26.5 2.6L28 8.6Z"/>
<path fill="url(#c)" d="M18.6 3.4C18.6 2.8 19.3 2.5 19.8 2.9L23.4 6.4C26.2 6.5 28 8 28.8 10.4L31.3 13.2
C31.9 14 31.6 15 30.7 15.3L26 17.2C22 18.4 18.2 16 18 11.8C17.9 9.4 18.5 6.4 18.6 3.4Z"/>
<path fill="{ear}" d="M19.8 5.2L22 7.4C21 7.8 20.2 8.4 19.6 9.2Z"/>
<path fill="{pale}" d="M31.4 13.9C31.6 14.5 31.3 15.1 30.7 15.3L26 17.2C22.8 18.2 19.6 16.8 18.5 14.2C20.8 15 23.6 14.8
25.8 13.6C27.6 12.8 29.8 12.9 31.4 13.9Z"/>
<circle cx="30.8" cy="13.4" r="1.05" fill="#2b2024"/><ellipse cx="25.2" cy="11.2" rx=".95" ry="1.1" fill="#2b2024"/>
<circle cx="25.5" cy="10.8" r=".32" fill="#fff"/>"""

_LAMP = """<defs><linearGradient id="s" x1="0" y1="0" x2="1" y2="0"><stop offset="0" stop-color="#ffd873"/>
<stop offset="1" stop-color="#f3a93c"/></linearGradient>
<linearGradient id="f" x1="0" y1="0" x2="1" y2="0"><stop offset="0" stop-color="#8d6e5f"/>
<stop offset="1" stop-color="#5c4238"/></linearGradient></defs>
<rect x="15" y="13" width="2" height="14" fill="url(#f)"/>
<path fill="url(#f)" d="M9.5 30C9.5 27.6 12 26.2 16 26.2S22.5 27.6 22.5 30Z"/>
<path fill="url(#s)" d="M11.4 2H20.6C21.2 2 21.6 2.3 21.8 2.9L25.4 14.6C25.7 15.4 25.2 16 24.4 16H7.6
C6.8 16 6.3 15.4 6.6 14.6L10.2 2.9C10.4 2.3 10.8 2 11.4 2Z"/>
<path fill="#fff3c4" opacity=".7" d="M12.4 3.4H15L13 14.6H9Z"/>
<path stroke="#5c4238" stroke-width=".7" d="M21 16V20.5"/><circle cx="21" cy="21" r=".8" fill="#f3a93c"/>"""

# Drawings in a square of 32 units, seen from the side and facing right.
OWN = {
    "own-fox": _CANINE.format(coat="#ff9a3d", dark="#e8681c", pale="#fff4e6", sock="#5b2f22", ear="#4a2a22"),
    "own-wolf": _CANINE.format(coat="#9aa4b2", dark="#6d7787", pale="#eef1f4", sock="#565f6e", ear="#4b4f5c"),
    "own-lamp": _LAMP,
}
