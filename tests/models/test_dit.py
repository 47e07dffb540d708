"""A large video passes a block's matrices a piece at a time: the same output, in less memory."""

import pytest
import torch
from torch import Tensor, nn

from chronotope.geometry import Geometry
from chronotope.models import dit
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.packing import Sample, pack, row_signals
from chronotope.models.refinement import Grid

GEOMETRY = Geometry()


def sample(frames: int, side: int) -> Sample:
    slices = GEOMETRY.slices(frames)
    count = GEOMETRY.num_tokens(frames, side, side)
    positions = torch.from_numpy(GEOMETRY.positions(slices, side, side, 8.0))
    row = torch.arange(len(slices)).repeat_interleave(count // len(slices))
    signals = row_signals(GEOMETRY, slices, side, side, 8.0)
    return Sample(
        torch.randn(count, 64),
        positions,
        row,
        torch.rand(len(slices)),
        signals,
        ((0.0, (0, 3, 5)),),
        Grid(len(slices), side // 16, side // 16),
    )


@pytest.fixture
def model() -> DiT:
    torch.manual_seed(0)
    made = DiT(DiTConfig(width=64, depth=2, head_dim=32, vocabulary_size=16))
    for module in (
        made.modulation,
        made.final_modulation,
        made.patch_out,
        made.seams.correct,
        made.seams.gather_in_time,
    ):
        nn.init.normal_(module.weight, std=0.1)
    return made


@pytest.mark.parametrize("piece", [1, 7, 50])
def test_a_piece_at_a_time_gives_the_same(model: DiT, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    tokens, _ = pack([sample(9, 64), sample(1, 48), sample(5, 32)])
    with torch.no_grad():
        whole = model(tokens)
        largest: list[int] = []
        project = model.blocks[0].up.register_forward_hook(
            lambda _module, inputs, _output: largest.append(len(inputs[0]))
        )
        monkeypatch.setattr(dit, "PIECE", piece)
        pieces = model(tokens)
        project.remove()
    assert max(largest) == piece  # nothing wider than a piece went through
    torch.testing.assert_close(pieces, whole, rtol=1e-5, atol=1e-5)


def test_training_takes_tokens_all_at_once(model: DiT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dit, "PIECE", 3)
    seen: list[Tensor] = []
    model.blocks[0].up.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    tokens, _ = pack([sample(5, 32)])
    model(tokens).sum().backward()
    assert [len(x) for x in seen] == [sum(tokens.lengths)]
