from __future__ import annotations

import math

import pytest
import torch

from lh_mm.nn.rotary import Rotary, rotate


def of(clock: list[int], index: list[int], fraction: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    return Rotary(16, fraction, 75.0)(torch.tensor([clock]), torch.tensor([index]))


def test_half_the_pairs_turn_by_the_clock_and_half_by_the_index() -> None:
    cos, _ = of([0, 9, 9], [0, 0, 5])
    assert torch.equal(cos[0, 1, 0, 4:], cos[0, 0, 0, 4:])  # same index
    assert torch.equal(cos[0, 2, 0, :4], cos[0, 1, 0, :4])  # same clock
    assert not torch.equal(cos[0, 1, 0, :4], cos[0, 0, 0, :4])
    assert not torch.equal(cos[0, 2, 0, 4:], cos[0, 1, 0, 4:])


@pytest.mark.parametrize(("fraction", "num_clock"), [(0.0, 0), (1.0, 8), (0.5, 4)])
def test_the_fraction_is_a_setting(fraction: float, num_clock: int) -> None:
    cos, _ = of([0, 3], [0, 0], fraction)
    assert int((cos[0, 0, 0] != cos[0, 1, 0]).sum()) == num_clock


def test_clock_wavelengths_run_from_two_slots_to_a_minute() -> None:
    cos, sin = of([1, 60 * 75], [0, 0])
    assert cos[0, 0, 0, 0] == pytest.approx(-1.0)  # half a turn in one slot
    assert cos[0, 1, 0, 3] == pytest.approx(1.0)  # a whole turn in a minute
    assert sin[0, 1, 0, 3] == pytest.approx(0.0, abs=1e-6)


def test_angles_stay_exact_far_out() -> None:
    far = 75 * 60 * 60 * 24  # a day of slots, a multiple of every whole wavelength
    cos, sin = of([far, far + 1, 0, 1], [0, 0, 0, 0], 1.0)
    assert cos[0, 0, 0, [0, 7]] == pytest.approx(cos[0, 2, 0, [0, 7]].tolist(), abs=1e-6)
    step = torch.atan2(sin, cos)
    turned = torch.remainder(step[0, 1] - step[0, 0], 2 * math.pi)
    assert torch.allclose(turned, torch.remainder(step[0, 3] - step[0, 2], 2 * math.pi), atol=1e-4)


def test_products_depend_on_differences_alone() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def product(shift: int) -> float:
        cos, sin = of([5 + shift, 2 + shift], [7 + shift, 1 + shift])
        turned = rotate(q, cos[:, :1], sin[:, :1]), rotate(k, cos[:, 1:], sin[:, 1:])
        return float((turned[0] * turned[1]).sum())

    assert product(0) == pytest.approx(product(123_456), abs=1e-4)
