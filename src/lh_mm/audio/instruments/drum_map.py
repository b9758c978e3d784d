"""General MIDI's percussion map, played by `drums`: which sound each key has, how loud and where.

A kit's sounds are made once a velocity band at 44.1 kHz and resampled by the caller, so a kit is the same kit at every
sample rate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lh_mm.audio.instruments.drums import (
    Hit,
    Wave,
    blocks,
    clap,
    cowbell,
    cymbal,
    drum,
    filtered,
    hat,
    kick,
    layered,
    scrape,
    shaker,
    snare,
    tom,
    whistle,
)
from lh_mm.audio.instruments.kits import Kit

KICKS = (35, 36)
CHOKED_BY = {46: (42, 44), 72: (71,), 74: (73,), 79: (78,), 81: (80,)}
"""General MIDI's exclusive groups: the open sound stops where a closed one begins."""

Maker = Callable[[Hit], Wave]
SOUNDS: dict[int, tuple[Maker, float, float]] = {
    27: (lambda h: whistle(h, 0.12, 3000.0, -4.0), -12, 0.2),
    28: (clap, -9, 0.1),
    29: (lambda h: scrape(h, 0.15, 800.0, 4000.0, 90.0), -12, 0.2),
    30: (lambda h: scrape(h, 0.2, 500.0, 3000.0, 60.0), -12, 0.2),
    31: (lambda h: blocks(h, 1900.0, 0.05), -12, 0.1),
    32: (lambda h: blocks(h, 1300.0, 0.03, click=0.6), -12, 0.0),
    33: (lambda h: blocks(h, 1600.0, 0.04), -12, 0.0),
    34: (lambda h: blocks(h, 2300.0, 0.3, (1.0, 1.51)), -14, 0.0),
    35: (lambda h: kick(h, 0.9, 1.15), -1.5, 0.0),
    36: (kick, -1, 0.0),
    37: (lambda h: blocks(h, 1650.0, 0.06, (1.0, 0.29, 2.2), 0.5), -8, 0.08),
    38: (snare, -1, 0.0),
    39: (clap, -1, -0.05),
    40: (lambda h: snare(h, 1.2, 0.8), -1.5, 0.0),
    41: (lambda h: tom(h, 0), -4, 0.35),
    42: (lambda h: hat(h, h.kit.closed_s), -6, 0.12),
    43: (lambda h: tom(h, 3), -4, 0.25),
    44: (lambda h: hat(h, 0.7 * h.kit.closed_s), -8, 0.12),
    45: (lambda h: tom(h, 6), -4.5, 0.1),
    46: (lambda h: hat(h, h.kit.open_s), -6.5, 0.12),
    47: (lambda h: tom(h, 9), -5, -0.05),
    48: (lambda h: tom(h, 12), -5, -0.2),
    49: (lambda h: cymbal(h, h.kit.cymbal_s, 0.35, 3500.0), -7, -0.25),
    50: (lambda h: tom(h, 16), -5, -0.3),
    51: (lambda h: cymbal(h, 0.7 * h.kit.cymbal_s, 0.75, 5000.0, 1.3, 0.1), -8, 0.3),
    52: (lambda h: cymbal(h, 0.8 * h.kit.cymbal_s, 0.6, 2500.0, 0.8), -8, -0.3),
    53: (lambda h: cymbal(h, 0.6 * h.kit.cymbal_s, 0.7, 5000.0, 1.3, 0.5), -8, 0.3),
    54: (lambda h: layered(hat(h, 0.16), 0.5 * shaker(h, 0.16, 6000.0)), -9, -0.2),
    55: (lambda h: cymbal(h, 0.35 * h.kit.cymbal_s, 0.4, 5000.0, 1.4), -8, 0.2),
    56: (cowbell, -10, 0.15),
    57: (lambda h: cymbal(h, 0.9 * h.kit.cymbal_s, 0.4, 3000.0, 1.15), -7, 0.25),
    58: (lambda h: scrape(h, 0.6, 1500.0, 6000.0, 26.0), -10, -0.2),
    59: (lambda h: cymbal(h, 0.6 * h.kit.cymbal_s, 0.8, 5500.0, 1.2, 0.08), -8, -0.3),
    60: (lambda h: drum(h, 400.0, 0.16), -8, -0.2),
    61: (lambda h: drum(h, 290.0, 0.2), -8, -0.2),
    62: (lambda h: drum(h, 330.0, 0.08, 0.2), -8, 0.2),
    63: (lambda h: drum(h, 310.0, 0.28), -8, 0.2),
    64: (lambda h: drum(h, 205.0, 0.34), -7.5, 0.2),
    65: (lambda h: drum(h, 480.0, 0.3, 0.25), -8, -0.3),
    66: (lambda h: drum(h, 340.0, 0.35, 0.25), -8, -0.3),
    67: (lambda h: blocks(h, 1450.0, 0.35, (1.0, 1.52, 2.66)), -12, 0.3),
    68: (lambda h: blocks(h, 970.0, 0.4, (1.0, 1.52, 2.66)), -12, 0.3),
    69: (lambda h: shaker(h, 0.09, 7000.0), -9, -0.3),
    70: (lambda h: shaker(h, 0.06, 6000.0, 0.006), -9, 0.3),
    71: (lambda h: whistle(h, 0.12, 2300.0), -14, 0.2),
    72: (lambda h: whistle(h, 0.45, 2300.0), -14, 0.2),
    73: (lambda h: scrape(h, 0.09, 2000.0, 7000.0, 110.0), -12, -0.2),
    74: (lambda h: scrape(h, 0.35, 2000.0, 7000.0, 70.0), -12, -0.2),
    75: (lambda h: blocks(h, 2500.0, 0.09, (1.0,)), -11, 0.2),
    76: (lambda h: blocks(h, 1050.0, 0.08), -10, -0.2),
    77: (lambda h: blocks(h, 760.0, 0.09), -10, -0.2),
    78: (lambda h: whistle(h, 0.1, 620.0, 0.4, 0.4), -12, 0.1),
    79: (lambda h: whistle(h, 0.28, 480.0, -0.6, 0.4), -12, 0.1),
    80: (lambda h: blocks(h, 4800.0, 0.12, (1.0, 1.41, 2.09)), -15, 0.3),
    81: (lambda h: blocks(h, 4800.0, 1.0, (1.0, 1.41, 2.09)), -15, 0.3),
    82: (lambda h: shaker(h, 0.1, 5000.0, 0.01), -9, 0.25),
    83: (lambda h: blocks(h, 3900.0, 0.3, (1.0, 1.17, 1.39)), -15, 0.2),
    84: (lambda h: blocks(h, 3100.0, 1.2, (1.0, 1.26, 1.59, 2.1)), -16, 0.3),
    85: (lambda h: blocks(h, 2100.0, 0.04, click=0.8), -12, 0.2),
    86: (lambda h: drum(h, 90.0, 0.2), -6, 0.0),
    87: (lambda h: drum(h, 80.0, 0.6), -6, 0.0),
}
"""By General MIDI key (and Roland's extension): what makes it, dB against the kick, place from left to right."""


def sound_of(pitch: int) -> tuple[Maker, float, float]:
    """The entry of `SOUNDS` for any key: keys outside the map are claves-like sticks tuned by key, never silence."""
    if pitch in SOUNDS:
        return SOUNDS[pitch]
    return (lambda hit: blocks(hit, 600.0 + 20.0 * pitch, 0.08)), -12.0, 0.0


def one_shot(kit: Kit, pitch: int, velocity: float, seed: tuple[int, ...]) -> NDArray[np.float32]:
    """One hit, (samples,) at 44.1 kHz, peak at the key's level for full velocity, ending in silence.

    The level of the velocity itself is the mixer's; here it only changes the colour.
    """
    maker, level_db, _ = sound_of(pitch)
    wave = maker(Hit(kit, velocity, np.random.default_rng([*seed, pitch])))
    if kit.crush_hz:
        wave = filtered(np.round(wave * 512) / 512, "lowpass", 0.45 * kit.crush_hz, 4)
    wave = filtered(wave, "highpass", 22.0)  # no direct current
    wave = wave / np.abs(wave).max() * 10.0 ** (level_db / 20.0) * (0.75 + 0.25 * velocity)
    fade = min(len(wave) // 4, 256)
    wave[-fade:] *= np.linspace(1.0, 0.0, fade)
    return wave.astype(np.float32)
