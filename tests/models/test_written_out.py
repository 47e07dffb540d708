"""The transformer, its rows and its packs, written out by hand with plain loops and explicit numbers."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from chronotope.errors import UsageError
from chronotope.geometry import Geometry, Slice
from chronotope.models import dit
from chronotope.models.attention import Segments, packed_attention
from chronotope.models.dit import Block, DiT, DiTConfig, by_piece
from chronotope.models.packing import Sample, pack, row_signals, rows_of, unpack
from chronotope.models.refinement import Grid

CONFIG = DiTConfig(width=24, depth=2, head_dim=12, text_depth=1, vocabulary_size=10, channels=2, seam_width=5)


def randomised(model):
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval().requires_grad_(False)


def sample(visual, words, times=(0.0,), start=0.0, rows=1):
    """A sample of one slice of `visual` tokens, numbered from `start` on, and texts of `words` tokens each."""
    noisy = start + torch.arange(visual)[:, None].expand(visual, 8).float()
    ids = [tuple(range(1, count + 1)) for count in words]
    return Sample(
        noisy=noisy,
        positions=100 + noisy[:, :3],
        row=torch.arange(visual) % rows,
        level=(start + 1 + torch.arange(rows).float()) / 100,
        signals=torch.tensor([[1.0, 0.0, 3.0, 4.0, start]]).repeat(rows, 1),
        texts=tuple(zip(times, ids, strict=True)),
        grid=Grid(1, 1, visual),
    )


def test_a_pack_by_hand():
    """Shorter samples first, then those with less text; in a sample its texts, then its visual tokens."""
    long = sample(2, (1, 2), (0.25, 0.75), start=10.0)
    middle = sample(3, (2,), start=20.0, rows=2)
    short = sample(1, (1,), (0.5,), start=30.0)
    batch, arranged = pack([long, middle, short])
    assert arranged == (2, 1, 0) and batch.lengths == (2, 5, 5)
    assert batch.noisy[:, 0].tolist() == [30, 20, 21, 22, 10, 11]
    assert batch.text_tokens.tolist() == [1, 1, 2, 1, 1, 2] and batch.text_lengths == (1, 2, 1, 2)
    assert batch.place.tolist() == [1, 4, 5, 6, 10, 11]  # of the visual tokens in the sequence
    # texts are entries 0 to 5 and visual tokens 6 to 11 of what `order` picks from
    assert batch.order.tolist() == [0, 6, 1, 2, 7, 8, 9, 3, 4, 5, 10, 11]
    seconds = [0.5, 130, 0, 0, 120, 121, 122, 0.25, 0.75, 0.75, 110, 111]
    assert batch.positions[:, 0].tolist() == seconds
    assert [row[1:] for row in batch.positions.tolist()] == [[s, s] if s > 99 else [0, 0] for s in seconds]
    # each sample's own rows, then one for its text, which has no noise
    assert batch.level.tolist() == pytest.approx([0.31, 0, 0.21, 0.22, 0, 0.11, 0])
    assert batch.row.tolist() == [1, 0, 4, 4, 2, 3, 2, 6, 6, 6, 5, 5]
    assert batch.signals.tolist() == [
        [float(visual), float(not visual), 3.0, 4.0, start]
        for visual, start in zip((1, 0, 1, 1, 0, 1, 0), (30, 30, 20, 20, 20, 10, 10), strict=True)
    ]
    assert batch.grids == (Grid(1, 1, 1), Grid(1, 1, 3), Grid(1, 1, 2))
    pieces = unpack(batch.noisy, [long, middle, short], arranged)
    assert [piece[:, 0].tolist() for piece in pieces] == [[10, 11], [20, 21, 22], [30]]
    assert long.signals[0].tolist() == [1, 0, 3, 4, 10]  # packing leaves a sample as it was


def test_signals_by_hand():
    signals = row_signals(Geometry(), (Slice(0, 1), Slice(1, 4)), 64, 256, 16.0)
    # log2 of 16 / 8 frames per second, of a side of 128 / 64 pixels, of an aspect ratio of 4
    assert signals.tolist() == [[1, 0, 1, 1, 2], [0, 0, 1, 1, 2]]


def test_tokens_of_one_slice_and_level_share_a_row():
    level = torch.tensor([[[0.0, 1.0, 0.0]], [[1.0, 1.0, 0.5]]])
    rest = torch.tensor([[[0.0, 0.0, 0.0]], [[0.0, 0.25, 0.0]]])
    rows, row = rows_of(level, rest)
    wanted = [(0, 0, 0), (0, 1, 0), (0, 0, 0), (1, 1, 0), (1, 1, 0.25), (1, 0.5, 0)]
    assert [tuple(rows[i].tolist()) for i in row] == wanted and len(rows) == 5
    assert rows_of(level)[0].shape == (4, 2)


def test_segments_by_hand():
    segments = Segments((2, 3, 3, 1))
    assert segments.ends.tolist() == [0, 2, 5, 8, 9] and segments.ends.dtype == torch.int32
    assert segments.places.tolist() == [0, 1, 0, 1, 2, 0, 1, 2, 0] and segments.longest == 3
    assert segments.to(torch.device("cpu")) is segments
    moved = segments.to(torch.device("meta"))
    assert moved.ends.is_meta and moved.places.is_meta and moved.host_ends is segments.host_ends
    empty = Segments(())
    assert (empty.ends.tolist(), empty.places.tolist(), empty.longest) == ([0], [], 0)
    assert segments.runs() == [(1, 2), (2, 3), (1, 1)]
    assert repr(segments) == "Segments(lengths=(2, 3, 3, 1))"  # what was computed from the lengths is not shown
    with pytest.raises(TypeError):
        Segments((2, 3), {})  # nor can it be given


def test_attention_is_in_single_precision_and_leaves_in_its_values_precision():
    q, k, v = torch.randn(3, 7, 2, 4).bfloat16()
    exact = packed_attention(q.float(), k.float(), v.float(), Segments((3, 4)))
    with torch.autocast("cpu", torch.bfloat16):
        again = packed_attention(q.float(), k.float(), v.float(), Segments((3, 4)))
    assert torch.equal(again, exact) and exact.dtype == torch.float32
    assert torch.equal(packed_attention(q, k, v, Segments((3, 4))), exact.bfloat16())


def rms(x, scale=1.0):
    return x / (x.square().mean(dim=-1, keepdim=True) + torch.finfo(x.dtype).eps).sqrt() * scale


def turned(x, position):
    """Rotate queries or keys [heads, 12] of one token at (seconds, y, x): two frequencies for each axis."""
    frequencies = torch.tensor([0.05, 8.0, 0.5, 32.0, 0.5, 32.0])
    angle = position.repeat_interleave(2) * frequencies
    product = torch.complex(x[:, :6], x[:, 6:]) * torch.polar(torch.ones(6), angle)
    return torch.cat([product.real, product.imag], dim=1)


def block_by_hand(block, x, modulation, positions):
    """One sample: attention and SwiGLU, each with y = rms(x) (1 + scale) + shift before and a gate after."""
    shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (modulation + block.offset).chunk(6, dim=-1)
    q, k, v = ((rms(x) * (1 + scale_a) + shift_a) @ block.qkv.weight.T).view(len(x), 3, 2, 12).unbind(1)
    q = torch.stack([turned(rms(one, block.q_scale), p) for one, p in zip(q, positions, strict=True)])
    k = torch.stack([turned(rms(one, block.k_scale), p) for one, p in zip(k, positions, strict=True)])
    weights = torch.einsum("nhk,mhk->hnm", q, k).div(math.sqrt(12)).softmax(dim=-1)
    x = x + gate_a * (torch.einsum("hnm,mhk->nhk", weights, v).flatten(1) @ block.out.weight.T)
    gate, value = ((rms(x) * (1 + scale_m) + shift_m) @ block.up.weight.T).chunk(2, dim=-1)
    return x + gate_m * ((gate * torch.sigmoid(gate) * value) @ block.down.weight.T)


def test_a_forward_pass_written_out():
    model = randomised(DiT(CONFIG))
    one = sample(3, (2,), (0.5,), rows=2)
    one = Sample(**{**vars(one), "noisy": torch.randn(3, 8), "positions": torch.rand(3, 3)})
    batch, _ = pack([one])
    text = model.encode_text(batch.text_tokens, batch.texts)
    x = torch.cat([text, one.noisy @ model.patch_in.weight.T + model.patch_in.bias])
    frequencies = torch.tensor([1000 ** (i / 127) for i in range(128)])
    rows = []
    for level, signals in zip(batch.level, batch.signals, strict=True):
        waves = torch.cat([(level * frequencies).cos(), (level * frequencies).sin()])
        rows.append(F.silu(model.row_out(F.silu(model.level_in(waves) + model.signals_in(signals)))))
    rows = torch.stack(rows)[batch.row]
    for block in model.blocks:
        x = block_by_hand(block, x, model.modulation(rows), batch.positions)
    shift, scale = model.final_modulation(rows).chunk(2, dim=-1)
    tokens = (rms(x) * (1 + scale) + shift)[2:]
    wanted = model.patch_out(tokens) + model.seams(tokens, one.noisy, batch.grids)
    torch.testing.assert_close(model(batch), wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model(batch, text), wanted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(model(batch, text + 1), wanted, atol=1e-2)


def test_modulation_by_zero_and_by_one():
    """A scale of 0 leaves the normed tokens as they are, a scale of 1 doubles them; the queries show it."""
    block = randomised(Block(CONFIG))
    nn.init.zeros_(block.qkv.weight)
    block.qkv.weight[48:] = torch.eye(24)  # the values are what enters the matrix
    x, still = torch.randn(4, 24), (torch.ones(4, 1, 6), torch.zeros(4, 1, 6))
    for scale, shift, wanted in ((0.0, 0.0, rms(x)), (1.0, 0.0, 2 * rms(x)), (0.0, 3.0, rms(x) + 3)):
        modulation = torch.cat([torch.full((4, 24), shift), torch.full((4, 24), scale)], dim=1)
        torch.testing.assert_close(block.queries_keys_values(x, modulation, still)[2].flatten(1), wanted)


def test_a_transformer_begins_with_nothing_to_say():
    model = DiT(DiTConfig(width=96, depth=1, head_dim=32, text_depth=1, vocabulary_size=200, channels=8))
    model.requires_grad_(False)
    for layer in (
        model.patch_in,
        model.level_in,
        model.signals_in,
        model.row_out,
        model.blocks[0].up,
        model.blocks[0].out,
    ):
        assert float(layer.weight.std()) == pytest.approx(layer.in_features**-0.5, rel=0.1)
        assert layer.bias is None or not layer.bias.any()
    assert float(model.text.embedding.weight.std()) == pytest.approx(1, rel=0.1)
    silent = (
        model.modulation,
        model.final_modulation,
        model.patch_out,
        model.seams.gather_in_time,
        model.seams.correct,
    )
    assert not any(parameter.any() for layer in silent for parameter in layer.parameters())
    block = model.blocks[0]
    assert not block.offset.any() and bool((block.q_scale == 1).all()) and bool((block.k_scale == 1).all())
    assert block.offset.shape == (6 * 96,) and block.q_scale.shape == block.k_scale.shape == (32,)
    assert [layer.bias for layer in (block.qkv, block.out, block.up, block.down)] == [None] * 4
    assert len(model.blocks) == 1


def test_sizes_of_the_transformer_by_hand():
    """The hidden width is the nearest multiple of 32 to 8 / 3 of the width."""
    assert [DiTConfig(width=width, head_dim=16).hidden for width in (64, 80, 256)] == [160, 224, 672]
    assert DiTConfig(channels=4, patch_size=(1, 2, 3)).token_size == 24
    for width, head_dim in ((66, 32), (33, 33)):
        with pytest.raises(UsageError, match="must be a multiple of head_dim"):
            DiTConfig(width=width, head_dim=head_dim)


def test_pieces_are_larger_on_an_accelerator(monkeypatch):
    monkeypatch.setattr(dit, "PIECE", 2)
    for device, largest in (("cpu", 2), ("meta", 32)):
        x, seen = torch.zeros(70, 1, device=device), []

        def twice(piece, x=x, seen=seen):
            seen.append(len(x[piece]))
            return x[piece], x[piece, 0]

        with torch.no_grad():
            wide, narrow = by_piece(x, twice)
            assert sum(seen) == 70 and max(seen) == largest and wide.shape == (70, 1) and narrow.shape == (70,)
            seen.clear()
            by_piece(x[:largest], twice)
            assert seen == [70]  # it asks for everything at once
