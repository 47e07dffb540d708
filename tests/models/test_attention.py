import pytest
import torch
import torch.nn.functional as F

from chronotope.models import attention
from chronotope.models.attention import BFLOAT16_FROM, Segments, packed_attention
from chronotope.models.rope import rotary_angles, rotate

LENGTHS = (1, 5, 5, 5, 17, 32, 3, 3)


def random_qkv(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(sum(LENGTHS), 3, 16, generator=generator, dtype=dtype, requires_grad=True) for _ in range(3)]


def test_packed_attention_equals_a_dense_mask_forward_and_backward():
    q, k, v = random_qkv()
    sample = torch.arange(len(LENGTHS)).repeat_interleave(torch.tensor(LENGTHS))
    mask = sample[:, None] == sample[None, :]
    dense = F.scaled_dot_product_attention(*(x.transpose(0, 1) for x in (q, k, v)), attn_mask=mask).transpose(0, 1)
    packed = packed_attention(q, k, v, Segments(LENGTHS))
    torch.testing.assert_close(packed, dense, atol=1e-5, rtol=1e-5)
    weight = torch.randn_like(dense)
    for ours, theirs in zip(
        torch.autograd.grad((packed * weight).sum(), (q, k, v)),
        torch.autograd.grad((dense * weight).sum(), (q, k, v)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_sample_never_sees_another():
    q, k, v = (x.detach().clone() for x in random_qkv())
    before = packed_attention(q, k, v, Segments(LENGTHS))
    v[16:33] += 100.0  # the sample of 17 tokens
    after = packed_attention(q, k, v, Segments(LENGTHS))
    changed = (before != after).any(dim=2).any(dim=1)
    assert changed[16:33].all() and not changed[:16].any() and not changed[33:].any()


def test_the_operator_of_compiled_graphs_has_the_bits_of_the_reference_forward_and_backward():
    q, k, v = random_qkv()
    reference = packed_attention(q, k, v, Segments(LENGTHS))
    attended, logsumexp = torch.ops.chronotope.attend(q, k, v, Segments(LENGTHS).ends, False)
    assert torch.equal(attended, reference) and logsumexp.shape == (sum(LENGTHS), 3)
    weight = torch.randn_like(reference)
    pairs = [torch.autograd.grad((found * weight).sum(), (q, k, v)) for found in (attended, reference)]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*pairs, strict=True))


def test_the_operator_is_registered_as_torch_expects():
    q, k, v = (x.detach()[:17, :, :8].clone().requires_grad_() for x in random_qkv())
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.chronotope.attend, (q, k, v, Segments((1, 8, 8)).ends, False), test_utils=tests)


@pytest.fixture
def cpu_with_bfloat16(monkeypatch):
    monkeypatch.setattr(attention, "multiplies_bfloat16", lambda device: True)  # the kernels compute it everywhere


def bfloat16_values(lengths):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(sum(lengths), 2, 16, generator=generator) for _ in range(3))
    return q.requires_grad_(), k.requires_grad_(), v.bfloat16().requires_grad_()


def gradients(attended, weight, inputs):
    return torch.autograd.grad((attended.float() * weight).sum(), inputs)


@pytest.mark.usefixtures("cpu_with_bfloat16")
def test_training_in_bfloat16_rounds_the_attention_of_long_samples_alone():
    short, long = 40, BFLOAT16_FROM
    q, k, v = bfloat16_values((short, long, short))
    segments = Segments((short, long, short))
    exact = packed_attention(q.detach(), k.detach(), v.float().detach(), segments)
    with torch.no_grad():
        sampled = packed_attention(q, k, v, segments)
    assert torch.equal(sampled, exact.bfloat16())  # without gradients: single precision, rounded once at the end
    trained = packed_attention(q, k, v, segments)
    same = (trained == sampled).flatten(1).all(dim=1)
    assert same[:short].all() and same[-short:].all() and not same[short:-short].all()
    inside = slice(short, short + long)
    rounded = (x[inside].bfloat16().transpose(0, 1)[None] for x in (q, k, v))
    assert torch.equal(trained[inside], F.scaled_dot_product_attention(*rounded)[0].transpose(0, 1))
    torch.testing.assert_close(trained.float(), exact, atol=1e-2, rtol=2e-2)


@pytest.mark.usefixtures("cpu_with_bfloat16")
def test_the_operator_rounds_where_the_reference_does():
    lengths = (BFLOAT16_FROM, 40, BFLOAT16_FROM + 1)
    q, k, v = bfloat16_values(lengths)
    reference = packed_attention(q, k, v, Segments(lengths))
    attended, _ = torch.ops.chronotope.attend(q, k, v.float(), Segments(lengths).ends, True)
    assert torch.equal(attended.bfloat16(), reference)
    weight = torch.randn(reference.shape, generator=torch.Generator().manual_seed(1))
    ours, theirs = (gradients(each, weight, (q, k, v)) for each in (attended.bfloat16(), reference))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_cpu_without_bfloat16_keeps_single_precision(monkeypatch):
    monkeypatch.setattr(attention, "multiplies_bfloat16", lambda device: False)
    q, k, v = bfloat16_values((BFLOAT16_FROM,))
    trained = packed_attention(q, k, v, Segments((BFLOAT16_FROM,)))
    with torch.no_grad():
        assert torch.equal(trained, packed_attention(q, k, v, Segments((BFLOAT16_FROM,))))


@pytest.mark.gpu
def test_the_fast_path_agrees_with_the_reference():
    q, k, v = (x.detach() for x in random_qkv())
    reference = packed_attention(q, k, v, Segments(LENGTHS))
    fast = packed_attention(*(x.cuda().bfloat16() for x in (q, k, v)), Segments(LENGTHS))
    torch.testing.assert_close(fast.float().cpu(), reference, atol=2e-2, rtol=2e-2)


def test_rotation_depends_on_differences_of_positions_only():
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(6, 2, 48, generator=generator), torch.randn(6, 2, 48, generator=generator)
    positions = torch.rand(6, 3, generator=generator)
    shift = torch.tensor([1.7, -0.3, 0.2])
    products = []
    for p in (positions, positions + shift):
        angles = rotary_angles(p, 48)
        products.append(torch.einsum("nhk,mhk->hnm", rotate(x, *angles), rotate(y, *angles)))
    torch.testing.assert_close(products[0], products[1], atol=1e-4, rtol=1e-4)


def test_rotation_keeps_lengths_and_every_axis_matters():
    x = torch.randn(1, 1, 48)
    still = rotate(x, *rotary_angles(torch.zeros(1, 3), 48))
    assert torch.equal(still, x)
    for axis in range(3):
        position = torch.zeros(1, 3)
        position[0, axis] = 0.5
        turned = rotate(x, *rotary_angles(position, 48))
        assert not torch.allclose(turned, x)
        torch.testing.assert_close(turned.norm(), x.norm())
