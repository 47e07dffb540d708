"""Measure the tasks of the canvas: python -m benchmarks.canvas [--model DIR] [--only edit,story] [--specs 100]"""

from benchmarks.harness import Page

PAGE = Page(
    name="canvas",
    package="benchmarks.canvas",
    sections=("picture", "extend", "connect", "loops", "edit", "story", "minute", "sizes", "memory"),
    title="Measurements of the canvas tasks",
    about="Made by `python -m benchmarks.canvas` from `canvas.json`. Held-out specs in the order of their seeds, "
    "one seed each; an actor that is not detected counts as wrong. The tasks are described in "
    "[docs/generate.md](../docs/generate.md). Intervals are Wilson, 95 %.",
    specs=100,
)
