"""Filters as magnitude responses, and the moving filter as a walk through a bank of filtered wavetables.

A voice's wavetable is built additively, so a filter is a factor on each partial, exact at any sample rate and free of
the instabilities of a modulated recursive filter. A filter that moves is realised by holding the same wavetable at
cutoffs a fraction of an octave apart (equal phases) and fading from one to the next along the envelope; between two
neighbours the magnitude response is their blend. Cost per sample: two multiplications, whatever the filter's order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lh_mm.audio.instruments.envelopes import Adsr

LOWEST_HZ, HIGHEST_HZ = 40.0, 20000.0


@dataclass(frozen=True)
class Filter:
    """A resonant low-pass (or band-pass) and what moves its cutoff.

    Attributes:
        cutoff_hz: at rest, for middle C and full velocity.
        resonance: peak at the cutoff as a factor (Q); 0.7 is flat.
        poles: 2 (12 dB an octave) or 4 (24 dB).
        envelope_octaves: how far the filter envelope opens the cutoff.
        envelope: its shape.
        tracking: octaves of cutoff an octave of pitch.
        velocity_octaves: how much lower the cutoff is at velocity 0.
        lfo_octaves, lfo_hz: a sine that moves the cutoff, started by each note.
        band: band-pass instead of low-pass.
    """

    cutoff_hz: float = 2000.0
    resonance: float = 0.8
    poles: int = 2
    envelope_octaves: float = 0.0
    envelope: Adsr = field(default=Adsr(0.002, 0.2, 0.0, 0.1))
    tracking: float = 0.5
    velocity_octaves: float = 1.0
    lfo_octaves: float = 0.0
    lfo_hz: float = 4.0
    band: bool = False

    @property
    def steps_per_octave(self) -> float:
        """How densely the bank is laid: a sharp peak must not jump between neighbours."""
        return 3.0 if self.resonance > 2.0 else 2.0

    def reach(self, pitch: int, velocity: float) -> tuple[float, float]:
        """Lowest and highest cutoff that the movement visits, as octaves above 1 Hz."""
        rest = np.log2(self.cutoff_hz) + self.tracking * (pitch - 60) / 12.0 - self.velocity_octaves * (1.0 - velocity)
        low = rest + min(self.envelope_octaves, 0.0) - self.lfo_octaves
        high = rest + max(self.envelope_octaves, 0.0) + self.lfo_octaves
        edges = np.clip([low, high], np.log2(LOWEST_HZ), np.log2(HIGHEST_HZ))
        return float(edges[0]), float(edges[1])

    def octaves(self, pitch: int, velocity: float, num_samples: int, sample_rate: int) -> NDArray[np.float32]:
        """Cutoff over time as octaves above 1 Hz, (num_samples,), or (1,) where nothing moves it."""
        rest = np.log2(self.cutoff_hz) + self.tracking * (pitch - 60) / 12.0 - self.velocity_octaves * (1.0 - velocity)
        path = np.full(1, rest, np.float32)
        if self.envelope_octaves:
            path = path + np.float32(self.envelope_octaves) * self.envelope.held(num_samples, sample_rate)
        if self.lfo_octaves:
            turns = np.arange(num_samples, dtype=np.float32) * np.float32(2 * np.pi * self.lfo_hz / sample_rate)
            path = path + np.float32(self.lfo_octaves) * np.sin(turns - np.float32(np.pi / 2))
        return np.clip(path, np.float32(np.log2(LOWEST_HZ)), np.float32(np.log2(HIGHEST_HZ)))

    def response(self, hz: NDArray[np.floating], cutoff_hz: float) -> NDArray[np.floating]:
        """Magnitude at each frequency, any shape."""
        x2 = np.square(hz / cutoff_hz)
        two_poles = 1.0 / np.sqrt(np.square(1.0 - x2) + x2 / self.resonance**2)
        if self.band:
            return two_poles * np.sqrt(x2) / self.resonance
        # Four poles: the resonant pair and a flat one, so that the peak is not squared.
        return two_poles if self.poles == 2 else two_poles / np.sqrt(1.0 + np.square(x2))


def walk(bank: NDArray[np.float32], position: NDArray[np.float32], num_samples: int) -> NDArray[np.float32]:
    """Play a bank of looped wavetables along a path.

    Args:
        bank: (M, C, L) the same loop at M settings.
        position: (num_samples,) or (1,): where to be in 0..M-1, fractions blend neighbours.
        num_samples: how long to play.

    Returns:
        (C, num_samples)
    """
    num_tables, num_channels, loop = bank.shape
    out = np.empty((num_channels, num_samples), np.float32)
    if num_tables == 1 or len(position) == 1:
        at = float(position[0]) if num_tables > 1 else 0.0
        low = min(int(at), max(num_tables - 2, 0))
        one = (
            bank[low]
            if num_tables == 1
            else bank[low] * np.float32(1 - at + low) + bank[low + 1] * np.float32(at - low)
        )
        for start in range(0, num_samples, loop):
            out[:, start : start + loop] = one[:, : num_samples - start]
        return out
    lower = np.minimum(position.astype(np.int32), num_tables - 2)
    blend = position - lower
    cuts = np.flatnonzero(np.diff(lower)) + 1
    borders = np.union1d(cuts, np.arange(0, num_samples, loop)).tolist() + [num_samples]
    if borders[0] != 0:
        borders.insert(0, 0)
    for start, end in pairwise(borders):
        first, at = int(lower[start]), start % loop
        below, above = bank[first, :, at : at + end - start], bank[first + 1, :, at : at + end - start]
        piece = out[:, start:end]
        np.subtract(above, below, out=piece)
        piece *= blend[start:end]
        piece += below
    return out
