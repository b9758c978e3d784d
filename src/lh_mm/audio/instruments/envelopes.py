"""Envelopes: how a note begins, holds and ends.

The held part (attack, decay, sustain) does not know when the key will be let go, so one held voice serves all notes
of a pitch and is cut by a release curve, which starts from 1 and ends at exactly 0: no note end can click.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Adsr:
    """Attack, decay and release in seconds, sustain as a share of the peak.

    The attack is a straight line; the decay is an exponential that has fallen to 5 % of its way at `decay_s`; the
    release leaves 1 and reaches 0 without a corner (a squared half cosine). A sustain of 0 makes a struck note.
    """

    attack_s: float = 0.003
    decay_s: float = 0.2
    sustain: float = 0.7
    release_s: float = 0.08

    def held(self, num_samples: int, sample_rate: int) -> NDArray[np.float32]:
        """The envelope of a key that is never let go, (num_samples,), in 0..1."""
        num_attack = max(1, round(self.attack_s * sample_rate))
        out = np.empty(num_samples, np.float32)
        head = min(num_attack, num_samples)
        out[:head] = np.arange(head, dtype=np.float32) / np.float32(num_attack)
        if num_samples > num_attack:
            fall = np.float32(-3.0 / max(self.decay_s * sample_rate, 1.0))
            tail = np.exp(np.arange(num_samples - num_attack, dtype=np.float32) * fall)
            out[num_attack:] = np.float32(self.sustain) + np.float32(1.0 - self.sustain) * tail
        return out

    def release(self, sample_rate: int) -> NDArray[np.float32]:
        """The factor after the key is let go, from 1 down to 0, at least 2 ms long."""
        num_samples = max(round(self.release_s * sample_rate), round(0.002 * sample_rate), 2)
        phase = np.linspace(0.0, 1.0, num_samples, dtype=np.float32)
        return np.asarray(np.square(0.5 + 0.5 * np.cos(np.pi * phase)), dtype=np.float32)


def decay(num_samples: int, sample_rate: int, seconds: float) -> NDArray[np.float64]:
    """An exponential that starts at 1 and has fallen by 60 dB after `seconds`."""
    return np.exp(-6.9078 * np.arange(num_samples) / (seconds * sample_rate))
