"""What a GPU makes of it: python -m benchmarks.gpu, on a machine that has one."""

from benchmarks.harness import Page, run

PAGE = Page(
    name="gpu",
    package="benchmarks",
    sections=("accelerator",),
    title="On a GPU: what was measured",
    about="Made by `python -m benchmarks.gpu` from `gpu.json`. A model as small as the shipped one is bound by the launching of kernels: "
    "a GPU is used by batches of thousands of tokens, as in training (docs/train.md), and hardly by one small clip.",
    specs=0,
)

if __name__ == "__main__":
    run(PAGE)
