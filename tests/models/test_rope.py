"""Rotary angles and rotations against the formula of the paper, with explicit numbers."""

import math

import pytest
import torch

from chronotope.models.rope import rotary_angles, rotate


def test_the_angles_of_one_position_by_hand():
    """Frequencies rise geometrically from 0.05 to 8 rad/s in time and from 0.5 to 32 rad per frame side in space."""
    cosines, sines = rotary_angles(torch.tensor([[2.0, -0.25, 0.5]]), 16)  # 8 pairs: 4 for time, 2 for y, 2 for x
    time = [2.0 * 0.05 * 160 ** (i / 3) for i in range(4)]
    assert time == pytest.approx([0.1, 0.542884, 2.947226, 16.0], rel=1e-5)
    angles = [*time, -0.25 * 0.5, -0.25 * 32, 0.5 * 0.5, 0.5 * 32]
    assert cosines.shape == sines.shape == (1, 1, 8)
    assert cosines.flatten().tolist() == pytest.approx([math.cos(angle) for angle in angles], abs=1e-5)
    assert sines.flatten().tolist() == pytest.approx([math.sin(angle) for angle in angles], abs=1e-5)


@pytest.mark.parametrize(("head_dim", "shares"), [(6, (1, 1, 1)), (10, (3, 1, 1)), (16, (4, 2, 2)), (64, (12, 10, 10))])
def test_each_axis_turns_its_share_of_the_pairs(head_dim, shares):
    turned = []
    for axis in range(3):
        position = torch.zeros(1, 3)
        position[0, axis] = 0.01
        turned.append(rotary_angles(position, head_dim)[1].flatten() != 0)
    assert [int(pairs.sum()) for pairs in turned] == list(shares)
    assert torch.equal(torch.stack(turned).sum(dim=0), torch.ones(head_dim // 2, dtype=torch.long))


def test_a_rotation_is_a_product_of_complex_numbers():
    """Pair (i, i + k / 2) is one complex number, multiplied by exp(i angle)."""
    x, angle = torch.randn(5, 2, 12, dtype=torch.float64), torch.randn(5, 1, 6, dtype=torch.float64)
    turned = rotate(x, angle.cos(), angle.sin())
    product = torch.complex(x[..., :6], x[..., 6:]) * torch.exp(1j * angle)
    torch.testing.assert_close(turned, torch.cat([product.real, product.imag], dim=-1))
