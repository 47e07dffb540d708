"""The transformer in compiled graphs: no graph break, few graphs for packs of any lengths and sizes, equal numbers."""

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import json, sys, torch
from chronotope.geometry import Geometry
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.packing import Sample, pack, row_signals
from chronotope.models.refinement import Grid


def sample(frames, height, width, words):
    slices = Geometry().slices(frames)
    count = Geometry().num_tokens(frames, height, width)
    return Sample(
        torch.randn(count, 64),
        torch.from_numpy(Geometry().positions(slices, height, width, 8.0)),
        torch.arange(len(slices)).repeat_interleave(count // len(slices)),
        torch.rand(len(slices)),
        row_signals(Geometry(), slices, height, width, 8.0),
        ((0.0, tuple(range(words))),),
        Grid(len(slices), height // 16, width // 16),
    )

torch.manual_seed(0)
model = DiT(DiTConfig(width=32, depth=2, head_dim=16, text_depth=2, vocabulary_size=16))
for weights in model.parameters():
    torch.nn.init.normal_(weights, std=0.1)
packs = [
    pack(samples)[0]
    for samples in (
        [sample(9, 32, 48, 3), sample(1, 48, 48, 4)],
        [sample(17, 32, 32, 5)],
        [sample(5, 64, 32, 2), sample(5, 64, 32, 2), sample(8, 48, 32, 7), sample(2, 16, 80, 9)],
    )
]


def gradients(output):
    model.zero_grad()
    output.square().sum().backward()
    return [weights.grad.clone() for weights in model.blocks.parameters()]


outputs = [model(each) for each in packs]
wanted = gradients(outputs[0])
facts = {"imported": [name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules]}

compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)  # raises where there is a break
found = compiled(packs[0])
facts["whole"] = torch.equal(found, outputs[0]) and all(map(torch.equal, gradients(found), wanted))

torch._dynamo.reset()
counter = torch._dynamo.testing.CompileCounter()
for block in (*model.text.blocks, *model.blocks):
    block.compile(dynamic=True, fullgraph=True, backend=counter)
facts["blocks"] = all(torch.equal(model(each), output) for each, output in zip(packs, outputs))
facts["graphs"] = counter.frame_count
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """A fresh interpreter, without the checks of shapes that the tests add to every function."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_passes_without_compilation_import_no_compiler(facts: dict[str, Any]) -> None:
    """Importing torch._dynamo takes 1.3 s; the optimizers of torch do so, generation does not need them."""
    assert facts["imported"] == []


def test_the_transformer_is_one_graph_and_computes_the_same_bits(facts: dict[str, Any]) -> None:
    """Blocks, attention, text encoder and refinement, forward and backward."""
    assert facts["whole"]


def test_training_compiles_two_graphs_for_packs_of_any_sizes(facts: dict[str, Any]) -> None:
    """Blocks are compiled as `train.compile` does: one graph for those of the transformer, one for those of texts."""
    assert facts["blocks"]
    assert facts["graphs"] == 2
