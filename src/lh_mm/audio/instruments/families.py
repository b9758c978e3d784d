"""Families of patches: the forms that programs share, a plucked saw, drawbars, a detuned pad, each with a few knobs.

Envelopes follow what a listener expects of the family: everything that carries rhythm speaks within 10 ms, reeds and
strings within 30, pads within 80.
"""

from __future__ import annotations

from lh_mm.audio.instruments.envelopes import Adsr
from lh_mm.audio.instruments.filters import Filter
from lh_mm.audio.instruments.oscillators import Harmonics, Operator
from lh_mm.audio.instruments.patch import Patch


def piano(name: str, brightness: float, decay_s: float, detune: float = 0.0) -> Patch:
    """Two nearly equal stiff strings whose highs die first."""
    amplitudes = tuple(k**-1.15 * (1.0 if k % 7 else 0.35) for k in range(1, 41))
    source = Harmonics(
        "partials", partials=amplitudes, stretch=2.5e-4, unison=2, detune_cents=1.2 + detune, width=0.5, loop_s=1.5
    )
    opening = Filter(900.0 * brightness, 0.7, 2, 2.2, Adsr(0.001, 0.7, 0.0, 0.2), 0.6, 2.0)
    return Patch(
        name, source, Adsr(0.002, decay_s, 0.0, 0.22), opening, level_db=-10.5, decay_tracking=0.6, reverb=0.18
    )


def epiano(name: str, ratio: float, index: float, bell: float) -> Patch:
    """FM: a body and the tine of an electric piano."""
    body = Operator(1.0, 1.0, index, 0.6, 0.3)
    tine = Operator(1.0, ratio, 0.5 * index, 0.12, 0.05, bell, 1.2)
    return Patch(
        name,
        (body, tine),
        Adsr(0.002, 2.6, 0.05, 0.15),
        level_db=-11.0,
        decay_tracking=0.4,
        duck=0.25,
        tremolo=0.15,
        tremolo_hz=4.5,
        reverb=0.2,
        delay=0.1,
    )


def pluck(
    name: str,
    shape: str,
    cutoff_hz: float,
    octaves: float,
    filter_s: float,
    decay_s: float,
    *,
    unison: int = 1,
    pulse_width: float = 0.5,
    stretch: float = 0.0,
    detune: float = 8.0,
    noise: float = 0.0,
    resonance: float = 0.9,
    release: float = 0.12,
    level: float = -11.0,
    reverb: float = 0.15,
    delay: float = 0.0,
    drive: float = 1.0,
) -> Patch:
    """A string or a synthesizer's pluck: the filter closes while the note dies."""
    source = Harmonics(
        shape,
        pulse_width=pulse_width,
        stretch=stretch,
        unison=unison,
        detune_cents=detune,
        noise=noise,
    )
    closing = Filter(1.25 * cutoff_hz, resonance, 2, octaves, Adsr(0.001, filter_s, 0.0, 0.1), 0.6, 1.5)
    return Patch(
        name,
        source,
        Adsr(0.0015, decay_s, 0.0, release),
        closing,
        level_db=level,
        decay_tracking=0.4,
        duck=0.25,
        reverb=reverb,
        delay=delay,
        drive=drive,
    )


def bell(
    name: str,
    operators: tuple[Operator, ...],
    decay_s: float,
    level_db: float = -11.0,
    *,
    release: float = 0.3,
    tremolo: float = 0.0,
) -> Patch:
    """FM bells, bars and small drums: nothing but operators and a decay."""
    return Patch(
        name,
        operators,
        Adsr(0.001, decay_s, 0.0, release),
        level_db=level_db,
        decay_tracking=0.3,
        tremolo=tremolo,
        reverb=0.25,
        delay=0.1,
    )


def organ(
    name: str,
    drawbars: tuple[float, ...],
    *,
    unison: int = 1,
    detune: float = 3.0,
    bandwidth: float = 0.0,
    vibrato: float = 0.0,
    reverb: float = 0.2,
    drive: float = 1.0,
) -> Patch:
    """Nine drawbars."""
    ratios = (0.5, 1.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)  # 16', 5 1/3', 8', 4', 2 2/3', 2', 1 3/5', 1 1/3', 1'
    source = Harmonics(
        "partials",
        partials=drawbars,
        ratios=ratios,
        unison=unison,
        detune_cents=detune,
        bandwidth_cents=bandwidth,
        loop_s=1.0,
    )
    return Patch(
        name,
        source,
        Adsr(0.006, 0.1, 0.95, 0.06),
        level_db=-11.5,
        vibrato_cents=vibrato,
        vibrato_hz=6.6,
        vibrato_delay_s=0.0,
        duck=0.3,
        reverb=reverb,
        drive=drive,
    )


def bass(
    name: str,
    source: Harmonics | tuple[Operator, ...],
    filter_: Filter | None,
    amp: Adsr,
    *,
    level: float = -5.5,
    duck: float = 0.6,
    drive: float = 1.5,
) -> Patch:
    """Any source, loud, dry and under the side chain."""
    return Patch(
        name,
        source,
        amp,
        filter_,
        level,
        duck=duck,
        reverb=0.02,
        drive=drive,
    )


def ensemble(
    name: str,
    cutoff_hz: float,
    attack_s: float,
    bandwidth_cents: float = 14.0,
    *,
    release: float = 0.35,
    voices: bool = False,
) -> Patch:
    """Strings and choirs: bands instead of lines."""
    formants = ((700.0, 4.0, 0.35), (1150.0, 3.0, 0.3), (2700.0, 2.5, 0.3)) if voices else ((500.0, 1.6, 0.5),)
    source = Harmonics("saw", bandwidth_cents=bandwidth_cents, width=0.9, loop_s=2.4, formants=formants)
    opening = Filter(cutoff_hz, 0.7, 2, 0.5, Adsr(attack_s, 1.0, 0.7, 0.3), 0.4, 1.2)
    return Patch(name, source, Adsr(attack_s, 0.5, 0.85, release), opening, level_db=-12.5, duck=0.45, reverb=0.35)


def bowed(name: str, cutoff_hz: float, body_hz: float) -> Patch:
    """A saw in a wooden body, with vibrato."""
    source = Harmonics("saw", formants=((body_hz, 2.0, 0.4), (2.2 * body_hz, 1.8, 0.3)), noise=0.03)
    return Patch(
        name,
        source,
        Adsr(0.03, 0.3, 0.85, 0.15),
        Filter(cutoff_hz, 0.8, 2, 0.4, Adsr(0.08, 0.4, 0.6), 0.5, 1.5),
        level_db=-10.0,
        vibrato_cents=14.0,
        reverb=0.3,
    )


def brass(name: str, cutoff_hz: float, unison: int, attack_s: float = 0.012) -> Patch:
    """Saws behind a filter that swells at the start."""
    source = Harmonics("saw", unison=unison, detune_cents=9.0, formants=((900.0, 1.8, 0.5),), loop_s=1.0)
    swell = Filter(1.3 * cutoff_hz, 1.0, 2, 2.0, Adsr(0.035, 0.35, 0.55, 0.2), 0.5, 2.0)
    return Patch(
        name, source, Adsr(attack_s, 0.2, 0.85, 0.1), swell, level_db=-11.5, vibrato_cents=5.0, duck=0.2, reverb=0.22
    )


def reed(
    name: str,
    shape: str,
    cutoff_hz: float,
    formant_hz: float,
    *,
    pulse_width: float = 0.3,
    noise: float = 0.04,
    vibrato: float = 9.0,
) -> Patch:
    """A pulse in a bore, with vibrato."""
    source = Harmonics(
        shape,
        pulse_width=pulse_width,
        formants=((formant_hz, 2.5, 0.4),),
        noise=noise,
    )
    return Patch(
        name,
        source,
        Adsr(0.015, 0.2, 0.85, 0.08),
        Filter(cutoff_hz, 0.8, 2, 0.6, Adsr(0.03, 0.3, 0.6), 0.5, 1.8),
        level_db=-10.0,
        vibrato_cents=vibrato,
        reverb=0.22,
    )


def pipe(name: str, partials: tuple[float, ...], noise: float, vibrato_cents: float = 8.0) -> Patch:
    """A few harmonics and breath."""
    source = Harmonics("partials", partials=partials, noise=noise)
    return Patch(
        name,
        source,
        Adsr(0.02, 0.2, 0.9, 0.1),
        Filter(4500.0, 0.7, 2, 0.3, Adsr(0.01, 0.2, 0.3), 0.6, 1.0),
        level_db=-10.0,
        vibrato_cents=vibrato_cents,
        vibrato_hz=4.9,
        reverb=0.3,
    )


def lead(
    name: str,
    shape: str,
    cutoff_hz: float,
    *,
    unison: int = 1,
    pulse_width: float = 0.5,
    mix: float = 0.0,
    detune: float = 12.0,
    sub: float = 0.0,
    noise: float = 0.0,
    resonance: float = 1.2,
    octaves: float = 1.2,
    attack: float = 0.003,
    vibrato: float = 7.0,
    drive: float = 1.0,
    voices: bool = False,
) -> Patch:
    """What carries a tune: a filter that snaps, a little echo."""
    source = Harmonics(
        shape,
        pulse_width=pulse_width,
        mix=mix,
        unison=unison,
        detune_cents=detune,
        sub=sub,
        noise=noise,
        formants=((900.0, 4.0, 0.3), (1400.0, 3.0, 0.3)) if voices else (),
        loop_s=1.2,
    )
    sweep = Filter(1.4 * cutoff_hz, resonance, 4, octaves, Adsr(0.002, 0.35, 0.35, 0.2), 0.5, 1.2)
    return Patch(
        name,
        source,
        Adsr(attack, 0.3, 0.75, 0.12),
        sweep,
        level_db=-12.0,
        vibrato_cents=vibrato,
        duck=0.3,
        reverb=0.22,
        delay=0.25,
        drive=drive,
    )


def pad(
    name: str,
    source: Harmonics,
    cutoff_hz: float,
    attack_s: float = 0.05,
    *,
    resonance: float = 0.9,
    octaves: float = 0.8,
    sweep_s: float = 0.6,
    lfo_octaves: float = 0.0,
    lfo_hz: float = 0.25,
    release: float = 0.7,
) -> Patch:
    """What fills the room: a slow filter, much reverb, ducked by the kick."""
    slow = Filter(
        1.3 * cutoff_hz,
        resonance,
        4,
        octaves,
        Adsr(sweep_s, 2.5, 0.5, 0.6),
        0.3,
        1.0,
        lfo_octaves,
        lfo_hz,
    )
    return Patch(
        name, source, Adsr(attack_s, 0.8, 0.85, release), slow, level_db=-13.5, duck=0.6, reverb=0.4, delay=0.1
    )


def saws(
    unison: int = 7, detune_cents: float = 14.0, mix: float = 0.0, loop_s: float = 2.4, noise: float = 0.0
) -> Harmonics:
    """The detuned saws of a supersaw."""
    return Harmonics("saw", mix=mix, unison=unison, detune_cents=detune_cents, width=0.9, loop_s=loop_s, noise=noise)


def noise(
    name: str,
    low_hz: float,
    amp: Adsr,
    *,
    octaves: float = 0.0,
    sweep_s: float = 0.3,
    fall_s: float = 1.0,
    lfo_octaves: float = 0.0,
    lfo_hz: float = 0.3,
    tremolo: float = 0.0,
    tremolo_hz: float = 5.0,
) -> Patch:
    """Effects made of noise: breath, sea, applause, a shot."""
    source = Harmonics("sine", noise=6.0, loop_s=1.5, bandwidth_cents=4.0)
    moving = Filter(
        low_hz,
        1.2,
        2,
        octaves,
        Adsr(sweep_s, fall_s, 0.3),
        0.2,
        1.0,
        lfo_octaves,
        lfo_hz,
        band=True,
    )
    return Patch(
        name,
        source,
        amp,
        moving,
        level_db=-13.0,
        tremolo=tremolo,
        tremolo_hz=tremolo_hz,
        reverb=0.35,
    )
