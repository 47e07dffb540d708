"""What the first model can and cannot do: python -m benchmarks.first_light [--model DIR] [--only words,speed] [--specs 200]

first_light.json beside this file holds every number and every failure; first_light.md is the table made from it.
"""

from benchmarks.harness import Page, run

PAGE = Page(
    name="first_light",
    package="benchmarks",
    sections=("words", "autoencoder", "speed", "memory", "packing", "sampling"),
    title="First light: what was measured",
    about="Made by `python -m benchmarks.first_light` from `first_light.json`, which also holds every failure. How things are judged: "
    "[docs/evaluation.md](../docs/evaluation.md). Intervals are Wilson, 95 %.",
    specs=200,
)

if __name__ == "__main__":
    run(PAGE)
