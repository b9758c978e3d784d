"""Packed weights: what they round, when they are used, and when they are given up."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lh_mm.nn.linear import PACKED_ROWS, Linear, pack_for_steps


def packed(bias: bool = False, parts: int = 1) -> Linear:
    torch.manual_seed(0)
    layer = Linear(48, 64, bias, parts).requires_grad_(False).half().float()  # as a bundle holds its weights
    if not layer.pack():
        pytest.skip("this build of torch has no FBGEMM")
    return layer


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("parts", [1, 4])
def test_packed_weights_compute_the_same(bias: bool, parts: int) -> None:
    layer, x = packed(bias, parts), torch.randn(2, 3, 48)
    with torch.no_grad():
        exact = nn.functional.linear(x, layer.weight, layer.bias)
        assert torch.allclose(layer(x), exact, atol=1e-6)
        for index in range(parts):
            assert torch.equal(layer.part(x, index), layer(x).chunk(parts, dim=-1)[index])


def test_weights_that_would_be_rounded_are_left_alone() -> None:
    layer = Linear(48, 64).requires_grad_(False)
    assert not layer.pack()
    assert layer.packed is None


def test_a_row_does_not_depend_on_the_others() -> None:
    layer, x = packed(), torch.randn(5, 48)
    with torch.no_grad():
        assert torch.equal(layer(x)[3:4], layer(x[3:4]))


def test_many_rows_and_gradients_use_the_weights_themselves() -> None:
    layer, x = packed(), torch.randn(PACKED_ROWS + 1, 48)
    few = x[:2].clone().requires_grad_(True)
    assert torch.equal(layer(few), nn.functional.linear(few, layer.weight))
    with torch.no_grad():
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight))
        assert torch.equal(layer.part(x, 0), layer(x))


def test_weights_that_change_are_not_kept_packed() -> None:
    model = nn.Sequential(Linear(8, 16), Linear(16, 8)).requires_grad_(False).half().float()
    model[1].requires_grad_(True)  # still learns
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert pack_for_steps(model) == int(model[0].packed is not None)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[1].packed is None
    assert copy.deepcopy(model)[0].packed is None
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})
    assert model[0].packed is None
    pack_for_steps(model)
    assert model.double()[0].packed is None


def test_parts_are_equal() -> None:
    with pytest.raises(ValueError, match="divide the outputs 10, got 4"):
        Linear(4, 10, parts=4)
