"""Measure a model on a GPU: python -m benchmarks.gpu"""

from benchmarks.harness import Page, run

PAGE = Page(
    name="gpu",
    package="benchmarks",
    sections=("accelerator",),
    title="Measurements on a GPU",
    about="Made by `python -m benchmarks.gpu` from `gpu.json`. For a model as small as the shipped one, the launching "
    "of kernels limits the speed: batches of thousands of tokens, as in training (docs/train.md), use a GPU well, "
    "one small clip does not.",
    specs=0,
)

if __name__ == "__main__":
    run(PAGE)
