"""Measure a model: python -m benchmarks.first_light [--model DIR] [--only words,speed] [--specs 200]

first_light.json holds every number and every failure; first_light.md is the page made from it.
"""

from benchmarks.harness import Page, run

PAGE = Page(
    name="first_light",
    package="benchmarks",
    sections=("words", "autoencoder", "speed", "memory", "packing", "sampling"),
    title="Measurements of the shipped model",
    about="Made by `python -m benchmarks.first_light` from `first_light.json`, which also holds every failure. "
    "The checks are described in [docs/evaluation/checks.md](../docs/evaluation/checks.md). Intervals are Wilson, 95 %.",
    specs=200,
)

if __name__ == "__main__":
    run(PAGE)
