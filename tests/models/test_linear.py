"""Products and 1 x 1 convolutions agree with those of torch, and their bits do not depend on the number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from chronotope.models import linear as module
from chronotope.models.linear import ROWS_PER_THREAD, Linear, PointwiseConv2d, linear, silu


@pytest.fixture(autouse=True)
def one_thread_afterwards() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


def with_threads(count: int, function: object, *values: torch.Tensor) -> torch.Tensor:
    torch.set_num_threads(count)
    with torch.no_grad():
        made: torch.Tensor = function(*values)  # type: ignore[operator]
    assert torch.get_num_threads() == count  # as before
    return made


@pytest.mark.parametrize("rows", [1, 4, 5, 6, 7, 9, 10, 11, 17, 27, 50, 51, 64, 122, 170, 257])
def test_a_product_has_the_same_bits_with_any_number_of_threads(rows: int) -> None:
    layer, x = Linear(96, 160), torch.randn(rows, 96)
    made = [with_threads(threads, layer, x) for threads in (1, 2, 3, 8)]
    assert all(torch.equal(one, made[0]) for one in made)
    assert torch.equal(made[0], with_threads(1, F.linear, x, layer.weight, layer.bias))  # those of one thread


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 12), (16, 24), (17, 33)])
def test_a_pointwise_convolution_has_the_same_bits_with_any_number_of_threads(size: tuple[int, int]) -> None:
    layer = PointwiseConv2d(256, 512)
    x = torch.randn(2, 256, *size).contiguous(memory_format=torch.channels_last)
    made = [with_threads(threads, layer, x) for threads in (1, 2, 3, 8)]
    assert all(torch.equal(one, made[0]) for one in made)
    wanted = F.conv2d(x, layer.weight, layer.bias)
    torch.testing.assert_close(made[0], wanted, atol=1e-5, rtol=1e-5)
    assert made[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(148, 512), (1, 128, 32, 32), (301, 170), (33000,), (7, 3, 5, 777), (3, 0)])
@pytest.mark.parametrize("layout", ["dense", "half of each row", "channels last"])
def test_silu_has_the_same_bits_with_any_number_of_threads(shape: tuple[int, ...], layout: str) -> None:
    x = torch.randn(*shape[:-1], 2 * shape[-1]).chunk(2, dim=-1)[0]
    if layout != "half of each row":
        last = layout == "channels last" and len(shape) == 4
        x = x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    wanted = with_threads(1, F.silu, x)
    for threads in (1, 2, 3, 5, 8, 12):
        assert torch.equal(with_threads(threads, silu, x), wanted), threads


def test_only_few_rows_run_in_one_thread_and_training_never_does(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    product = F.linear

    def watched(*values: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return product(*values)

    monkeypatch.setattr(module.F, "linear", watched)
    torch.set_num_threads(2)
    weight, few = torch.randn(3, 5), 2 * ROWS_PER_THREAD
    with torch.no_grad():
        for shape in ((few, 5), (2, few // 2, 5), (few + 1, 5), (5,)):
            assert linear(torch.randn(shape), weight).shape == (*shape[:-1], 3)
        linear(torch.randn(4, 5, device="meta"), weight.to("meta"))
    linear(torch.randn(4, 5), weight.requires_grad_()).sum().backward()
    assert seen == [1, 1, 2, 1, 2, 2] and weight.grad is not None


def test_threads_are_given_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*values: torch.Tensor) -> torch.Tensor:
        raise RuntimeError

    monkeypatch.setattr(module.F, "linear", fails)
    torch.set_num_threads(2)
    with torch.no_grad(), pytest.raises(RuntimeError):
        Linear(5, 3)(torch.randn(4, 5))
    assert torch.get_num_threads() == 2


def test_weights_have_the_names_and_shapes_of_torch() -> None:
    layer, convolution = Linear(5, 3), PointwiseConv2d(4, 6)
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {"weight": (3, 5), "bias": (3,)}
    assert Linear(5, 3, bias=False).bias is None and isinstance(layer, torch.nn.Linear)
    assert convolution.weight.shape == (6, 4, 1, 1) and convolution.bias is not None
    assert (convolution.kernel_size, convolution.stride, convolution.padding) == ((1, 1), (1, 1), (0, 0))
