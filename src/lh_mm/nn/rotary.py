"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864) by the clock and by the index at once.

A fraction of each head's pairs turns with the clock of a position (its slot of time), so a note and its
sound, which may stand hundreds of positions apart, meet at one phase; the rest turns with the index in the
sequence, without which attention could not order the notes of a chord (docs/streams.md, section 8).
Angles are computed in float64 from integers: a float32 clock of an hour at 75 Hz is off by tens of degrees.

Shapes: B rows, L positions, R pairs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MINUTE_S = 60.0
INDEX_BASE = 10_000.0


class Rotary:
    """Turns clocks and indices into cosines and sines.

    Args:
        head_dim: twice the pairs R.
        clock_fraction: share of pairs that turn by the clock, 0 .. 1.
        rate_hz: slots a second. Clock wavelengths are geometric from 2 slots to a minute.
    """

    def __init__(self, head_dim: int, clock_fraction: float, rate_hz: float) -> None:
        pairs = head_dim // 2
        self.num_clock = round(clock_fraction * pairs)
        by_clock = _geometric(2.0, MINUTE_S * rate_hz, self.num_clock)
        by_index = _geometric(2 * math.pi, 2 * math.pi * INDEX_BASE, pairs - self.num_clock)
        self._turns = torch.tensor([1.0 / w for w in (*by_clock, *by_index)], dtype=torch.float64)  # per unit

    def __call__(self, clock: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (B, L, 1, R) in float32 for integer clocks and indices (B, L)."""
        # Not every accelerator has float64; the CPU does.
        exact = clock.device if clock.device.type in ("cpu", "cuda") else torch.device("cpu")
        if self._turns.device != exact:
            self._turns = self._turns.to(exact)
        by_clock = clock.to(exact).unsqueeze(-1) * self._turns[: self.num_clock]
        by_index = index.to(exact).unsqueeze(-1) * self._turns[self.num_clock :]
        angle = torch.remainder(torch.cat([by_clock, by_index], dim=-1), 1.0) * (2 * math.pi)  # (B, L, R)
        return (
            angle.cos().to(clock.device, torch.float32).unsqueeze(2),
            angle.sin().to(clock.device, torch.float32).unsqueeze(2),
        )


def _geometric(low: float, high: float, count: int) -> list[float]:
    return [low * (high / low) ** (i / max(1, count - 1)) for i in range(count)]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (i, i + R) of `x` (B, L, heads, 2 R)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)
