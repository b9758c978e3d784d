from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lh_mm.nn.conv import CausalConv, next_window
from lh_mm.nn.positions import Positions

TAPS = 4


def layer() -> CausalConv:
    torch.manual_seed(0)
    made = CausalConv(6, TAPS)
    torch.nn.init.normal_(made.conv_bias)
    return made


def positions(length: int, real: torch.Tensor | None = None, document: torch.Tensor | None = None) -> Positions:
    return Positions(torch.arange(length).expand(2, length), real, document)


def test_is_a_causal_depthwise_convolution() -> None:
    conv, x = layer(), torch.randn(2, 11, 6)
    weight = conv.conv_weight.t().unsqueeze(1)  # (D, 1, k), the oldest tap first
    expected = F.conv1d(F.pad(x.transpose(1, 2), (TAPS - 1, 0)), weight, conv.conv_bias, groups=6).transpose(1, 2)
    assert torch.allclose(conv(x, None, None), expected, atol=1e-6)


@pytest.mark.parametrize("reach", [0, TAPS - 1])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_has_the_gradients_of_its_formula(reach: int, length: int) -> None:
    conv = layer().double()
    x = torch.randn(2, length, 6, dtype=torch.float64, requires_grad=True)
    window = torch.randn(2, reach, 6, dtype=torch.float64, requires_grad=True) if reach else None

    def convolved(x: torch.Tensor, window: torch.Tensor | None, *weights: torch.Tensor) -> torch.Tensor:
        named = dict(zip(("conv_weight", "conv_bias"), weights, strict=True))
        return torch.func.functional_call(conv, named, (x, window, None))  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(convolved, (x, window, conv.conv_weight, conv.conv_bias))


@pytest.mark.parametrize("cuts", [(1,), (2,), (5, 6), (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)])
def test_parts_are_the_whole(cuts: tuple[int, ...]) -> None:
    conv, x = layer(), torch.randn(2, 11, 6)
    window, parts = torch.zeros(2, TAPS - 1, 6), []
    for start, end in zip((0, *cuts), (*cuts, 11), strict=True):
        part = x[:, start:end]
        parts.append(conv(part, window, None))
        stepped, after = conv.step(part[:, :1], window)
        assert torch.allclose(stepped, parts[-1][:, :1], atol=1e-6)
        window = next_window(part, window, positions(end - start))
        if end - start == 1:
            assert torch.equal(after, window)
    assert torch.allclose(torch.cat(parts, 1), conv(x, None, None), atol=1e-6)


def test_documents_do_not_meet() -> None:
    conv, x = layer(), torch.randn(2, 9, 6)
    document = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 2], [3, 4, 4, 4, 4, 4, 4, 4, 4]])
    out = conv(x, None, document)
    for row in range(2):
        for d in document[row].unique():
            alone = x[row : row + 1, document[row] == d]
            assert torch.allclose(out[row, document[row] == d], conv(alone, None, None)[0], atol=1e-6)


def test_the_window_forgets_documents_and_never_sees_padding() -> None:
    x, window = torch.randn(2, 5, 6), torch.randn(2, TAPS - 1, 6)
    document = torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]])
    after = next_window(x, window, positions(5, document=document))
    assert torch.equal(after[0], torch.cat([torch.zeros(2, 6), x[0, 4:]]))
    assert torch.equal(after[1], x[1, 2:])
    real = torch.tensor([[True, True, False, False, False], [False] * 5])
    after = next_window(x, window, positions(5, real=real))
    assert torch.equal(after[0], torch.cat([window[0, 2:], x[0, :2]]))
    assert torch.equal(after[1], window[1])
