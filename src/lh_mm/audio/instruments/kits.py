"""Twelve drum machines: what sets one kit's character apart from another's.

The numbers follow how the machines are built (Roland TR-808 and TR-909 service notes; Werner, Abel and Smith, "A
physically-informed, circuit-bendable, digital model of the TR-808 bass drum circuit", 2014) where a kit is named after
one, and taste elsewhere. A preset seed tunes a kit within its character, so that a corpus does not hear one kick.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class Kit:
    """A drum machine. Frequencies in Hz, times in seconds (60 dB decays), the rest from 0 to 1.

    Attributes:
        name: for people.
        kick_hz, kick_sweep_hz, kick_sweep_s: where the kick's tone rests, how far above it starts, how fast it falls.
        kick_decay_s, kick_click, kick_drive: length, noise of the beater, saturation (1 is clean).
        snare_hz, snare_tone_s, snare_noise_s: its skin and its wires.
        snare_tone, snare_noise_hz: share of the skin; where the wires' noise begins.
        clap_hz, clap_s: centre and tail of the clap.
        metal_hz, metal: scale of the cymbals' cluster of squares and its share against noise.
        hat_high_pass_hz, closed_s, open_s: the hats.
        tom_hz, tom_s: the lowest tom.
        cymbal_s: crash and ride.
        tune: factor on all other percussion.
        crush_hz: sample rate of an early digital machine; 0 for none.
    """

    name: str
    kick_hz: float = 50.0
    kick_sweep_hz: float = 270.0
    kick_sweep_s: float = 0.02
    kick_decay_s: float = 0.45
    kick_click: float = 0.25
    kick_drive: float = 1.5
    snare_hz: float = 185.0
    snare_tone_s: float = 0.14
    snare_noise_s: float = 0.24
    snare_tone: float = 0.5
    snare_noise_hz: float = 1500.0
    clap_hz: float = 1100.0
    clap_s: float = 0.22
    metal_hz: float = 205.0
    metal: float = 0.7
    hat_high_pass_hz: float = 7000.0
    closed_s: float = 0.07
    open_s: float = 0.5
    tom_hz: float = 80.0
    tom_s: float = 0.35
    cymbal_s: float = 1.6
    tune: float = 1.0
    crush_hz: float = 0.0

    def varied(self, rng: np.random.Generator) -> Kit:
        """The same machine with its knobs moved: tuning by up to a semitone and a half, times by up to a quarter."""
        changes: dict[str, float] = {}
        for knob in fields(self):
            value = getattr(self, knob.name)
            turn = rng.uniform(-1.0, 1.0)
            if (knob.name.endswith("_hz") and knob.name != "crush_hz") or knob.name == "tune":
                changes[knob.name] = value * 2.0 ** (turn * 1.5 / 12.0)
            elif knob.name.endswith("_s"):
                changes[knob.name] = value * 1.25**turn
            elif knob.name in ("kick_click", "snare_tone", "metal"):
                changes[knob.name] = min(1.0, value * 1.3**turn)
        return replace(self, **changes)  # type: ignore[arg-type]


KITS: dict[str, Kit] = {
    "kit00": Kit(
        "808",
        kick_hz=45,
        kick_sweep_hz=105,
        kick_sweep_s=0.0084,
        kick_decay_s=0.9,
        kick_click=0.12,
        kick_drive=1.2,
        snare_hz=178,
        snare_noise_hz=1200,
        closed_s=0.06,
        open_s=0.45,
        tom_hz=82,
        tom_s=0.5,
    ),
    "kit01": Kit(
        "909",
        kick_hz=47,
        kick_sweep_hz=345,
        kick_sweep_s=0.021,
        kick_decay_s=0.5,
        kick_click=0.4,
        kick_drive=2.2,
        snare_hz=190,
        snare_tone=0.55,
        snare_noise_s=0.28,
        metal=0.45,
        hat_high_pass_hz=6500,
        closed_s=0.08,
    ),
    "kit02": Kit(
        "electro",
        kick_hz=46,
        kick_sweep_hz=225,
        kick_sweep_s=0.014,
        kick_decay_s=0.55,
        kick_drive=1.6,
        snare_hz=210,
        snare_tone=0.6,
        snare_noise_s=0.18,
        clap_s=0.3,
        metal_hz=230,
        closed_s=0.045,
        tom_s=0.45,
    ),
    "kit03": Kit(
        "breaks",
        kick_hz=51,
        kick_sweep_hz=240,
        kick_sweep_s=0.014,
        kick_decay_s=0.28,
        kick_click=0.5,
        kick_drive=1.8,
        snare_hz=205,
        snare_tone_s=0.12,
        snare_noise_s=0.2,
        snare_tone=0.6,
        snare_noise_hz=1000,
        metal=0.3,
        hat_high_pass_hz=5000,
        closed_s=0.09,
        open_s=0.4,
        cymbal_s=1.2,
    ),
    "kit04": Kit(
        "house",
        kick_hz=47,
        kick_sweep_hz=300,
        kick_sweep_s=0.0175,
        kick_decay_s=0.42,
        kick_click=0.3,
        kick_drive=2.0,
        snare_hz=195,
        clap_hz=1000,
        clap_s=0.28,
        metal=0.5,
        hat_high_pass_hz=7500,
        closed_s=0.06,
        open_s=0.35,
    ),
    "kit05": Kit(
        "techno",
        kick_hz=44,
        kick_sweep_hz=390,
        kick_sweep_s=0.0154,
        kick_decay_s=0.5,
        kick_click=0.35,
        kick_drive=3.5,
        snare_hz=170,
        snare_noise_s=0.16,
        snare_noise_hz=2000,
        metal=0.55,
        closed_s=0.05,
        open_s=0.3,
        tom_hz=70,
    ),
    "kit06": Kit(
        "minimal",
        kick_hz=49,
        kick_sweep_hz=180,
        kick_sweep_s=0.0084,
        kick_decay_s=0.3,
        kick_click=0.5,
        kick_drive=1.2,
        snare_hz=240,
        snare_tone_s=0.06,
        snare_noise_s=0.09,
        clap_s=0.12,
        metal=0.8,
        hat_high_pass_hz=9000,
        closed_s=0.03,
        open_s=0.18,
        tom_s=0.2,
        cymbal_s=0.9,
    ),
    "kit07": Kit(
        "trap",
        kick_hz=42,
        kick_sweep_hz=165,
        kick_sweep_s=0.014,
        kick_decay_s=1.3,
        kick_click=0.3,
        kick_drive=2.5,
        snare_hz=220,
        snare_noise_s=0.2,
        snare_noise_hz=1800,
        clap_hz=1300,
        metal_hz=240,
        closed_s=0.045,
        open_s=0.4,
    ),
    "kit08": Kit(
        "eighties",
        kick_hz=52,
        kick_sweep_hz=165,
        kick_sweep_s=0.014,
        kick_decay_s=0.3,
        kick_click=0.6,
        kick_drive=1.6,
        snare_hz=180,
        snare_tone_s=0.2,
        snare_noise_s=0.38,
        snare_noise_hz=900,
        metal=0.35,
        hat_high_pass_hz=5500,
        tom_hz=75,
        tom_s=0.6,
        crush_hz=32000,
    ),
    "kit09": Kit(
        "dusty",
        kick_hz=50,
        kick_sweep_hz=135,
        kick_sweep_s=0.0126,
        kick_decay_s=0.32,
        kick_click=0.3,
        kick_drive=2.0,
        snare_hz=175,
        snare_noise_hz=700,
        snare_noise_s=0.16,
        metal=0.4,
        hat_high_pass_hz=5000,
        closed_s=0.06,
        open_s=0.25,
        cymbal_s=1.0,
        crush_hz=26000,
    ),
    "kit10": Kit(
        "rave",
        kick_hz=47,
        kick_sweep_hz=510,
        kick_sweep_s=0.028,
        kick_decay_s=0.45,
        kick_click=0.4,
        kick_drive=6.0,
        snare_hz=200,
        snare_noise_s=0.3,
        snare_noise_hz=1300,
        clap_s=0.35,
        metal=0.5,
        closed_s=0.07,
        open_s=0.4,
    ),
    "kit11": Kit(
        "rhythm box",
        kick_hz=54,
        kick_sweep_hz=60,
        kick_sweep_s=0.007,
        kick_decay_s=0.28,
        kick_click=0.1,
        kick_drive=1.0,
        snare_hz=230,
        snare_tone=0.35,
        snare_noise_s=0.14,
        snare_noise_hz=2500,
        metal_hz=280,
        metal=0.9,
        hat_high_pass_hz=8000,
        closed_s=0.04,
        open_s=0.22,
        tom_hz=105,
        tom_s=0.22,
        cymbal_s=0.7,
        tune=1.1,
    ),
}
"""By the label that a piece carries."""
