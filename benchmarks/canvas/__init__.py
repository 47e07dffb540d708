"""How well each task of the canvas works: python -m benchmarks.canvas [--model DIR] [--only edit,story] [--specs 100]"""

from benchmarks.harness import Page

PAGE = Page(
    name="canvas",
    package="benchmarks.canvas",
    sections=("picture", "extend", "connect", "loops", "edit", "story", "minute", "sizes", "memory"),
    title="The canvas: what was measured of every task",
    about="Made by `python -m benchmarks.canvas` from `canvas.json`. Held-out specs in the order of their seeds, one seed each; what is "
    "not found counts as wrong. How: [docs/generate.md](../docs/generate.md). Intervals are Wilson, 95 %.",
    specs=100,
)
