"""The sounds of the tonal tracks: one patch for each of the 128 General MIDI programs.

Programs of one family share a form (a plucked saw, drawbars, a detuned pad) and differ in a few knobs, as on a real
synthesizer. A preset seed moves the knobs of a patch within its family, so that a corpus does not hear one bass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lh_mm.audio.instruments.envelopes import Adsr
from lh_mm.audio.instruments.filters import Filter
from lh_mm.audio.instruments.oscillators import Harmonics, Operator


@dataclass(frozen=True)
class Patch:
    """A voice and its place in the mix.

    Attributes:
        name: for people.
        source: `Harmonics` (subtractive) or operators (FM).
        amp: the loudness envelope.
        filter: None leaves the source as it is.
        level_db: against a kick at full velocity.
        decay_tracking: octaves of faster decay an octave of pitch (strings and bells).
        vibrato_cents, vibrato_hz, vibrato_delay_s: pitch modulation that grows in.
        tremolo, tremolo_hz: amplitude modulation, 0..1.
        duck: how far a kick pushes it down, 0..1 (the side chain).
        reverb, delay: sends, 0..1.
        drive: saturation of the whole track, 1 is clean.
    """

    name: str
    source: Harmonics | tuple[Operator, ...]
    amp: Adsr
    filter: Filter | None = None
    level_db: float = -9.0
    decay_tracking: float = 0.0
    vibrato_cents: float = 0.0
    vibrato_hz: float = 5.3
    vibrato_delay_s: float = 0.3
    tremolo: float = 0.0
    tremolo_hz: float = 5.0
    duck: float = 0.0
    reverb: float = 0.12
    delay: float = 0.0
    drive: float = 1.0

    def varied(self, rng: np.random.Generator) -> Patch:
        """The same kind of sound with its knobs moved."""
        turn = rng.uniform(-1.0, 1.0, 10)
        amp = replace(self.amp, decay_s=self.amp.decay_s * 1.5 ** turn[0], release_s=self.amp.release_s * 1.3 ** turn[1])
        filter_ = self.filter
        if filter_ is not None:
            envelope = replace(filter_.envelope, decay_s=filter_.envelope.decay_s * 1.6 ** turn[2])
            filter_ = replace(
                filter_,
                cutoff_hz=filter_.cutoff_hz * 2.0 ** (0.6 * turn[3]),
                resonance=filter_.resonance * 1.35 ** turn[4],
                envelope_octaves=filter_.envelope_octaves * 1.3 ** turn[5],
                envelope=envelope,
            )
        source = self.source
        if isinstance(source, Harmonics):
            source = replace(
                source,
                mix=float(np.clip(source.mix + 0.3 * turn[6], 0.0, 1.0)) if source.unison > 1 or source.mix else source.mix,
                pulse_width=float(np.clip(source.pulse_width * 1.25 ** turn[6], 0.08, 0.5)),
                detune_cents=source.detune_cents * 1.4 ** turn[7],
            )
        else:
            source = tuple(replace(op, index=op.index * 1.35 ** turn[6], index_decay_s=op.index_decay_s * 1.4 ** turn[7])
                           for op in source)  # fmt: skip
        return replace(self, amp=amp, filter=filter_, source=source, reverb=float(np.clip(self.reverb * 1.5 ** turn[8], 0, 1)),
                       level_db=self.level_db + 1.5 * turn[9])  # fmt: skip


def _piano(name: str, brightness: float, decay_s: float, detune: float = 0.0) -> Patch:
    amplitudes = tuple(k**-1.15 * (1.0 if k % 7 else 0.35) for k in range(1, 41))
    source = Harmonics("partials", partials=amplitudes, stretch=2.5e-4, unison=2, detune_cents=1.2 + detune, width=0.5, loop_s=1.5)
    opening = Filter(900.0 * brightness, 0.7, 2, 2.2, Adsr(0.001, 0.7, 0.0, 0.2), 0.6, 2.0)
    return Patch(name, source, Adsr(0.002, decay_s, 0.0, 0.22), opening, -10.5, 0.6, reverb=0.18)


def _epiano(name: str, ratio: float, index: float, bell: float) -> Patch:
    body = Operator(1.0, 1.0, index, 0.6, 0.3)
    tine = Operator(1.0, ratio, 0.5 * index, 0.12, 0.05, bell, 1.2)
    return Patch(name, (body, tine), Adsr(0.002, 2.6, 0.05, 0.15), None, -11.0, 0.4, tremolo=0.15, tremolo_hz=4.5, reverb=0.2, delay=0.1)


def _pluck(name: str, shape: str, cutoff_hz: float, octaves: float, filter_s: float, decay_s: float, **more: float) -> Patch:
    """A string or a synthesizer's pluck: the filter closes while the note dies."""
    source = Harmonics(shape, pulse_width=more.get("pulse_width", 0.5), stretch=more.get("stretch", 0.0),
                       unison=int(more.get("unison", 1)), detune_cents=more.get("detune", 8.0), noise=more.get("noise", 0.0))  # fmt: skip
    closing = Filter(cutoff_hz, more.get("resonance", 0.9), 2, octaves, Adsr(0.001, filter_s, 0.0, 0.1), 0.6, 1.5)
    return Patch(name, source, Adsr(0.0015, decay_s, 0.0, more.get("release", 0.12)), closing, more.get("level", -11.0), 0.4,
                 reverb=more.get("reverb", 0.15), delay=more.get("delay", 0.0), drive=more.get("drive", 1.0))  # fmt: skip


def _bell(name: str, operators: tuple[Operator, ...], decay_s: float, level_db: float = -11.0, **more: float) -> Patch:
    return Patch(name, operators, Adsr(0.001, decay_s, 0.0, more.get("release", 0.3)), None, level_db, 0.3,
                 tremolo=more.get("tremolo", 0.0), reverb=0.25, delay=0.1)  # fmt: skip


def _organ(name: str, drawbars: tuple[float, ...], **more: float) -> Patch:
    ratios = (0.5, 1.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)  # 16', 5 1/3', 8', 4', 2 2/3', 2', 1 3/5', 1 1/3', 1'
    source = Harmonics("partials", partials=drawbars, ratios=ratios, unison=int(more.get("unison", 1)),
                       detune_cents=more.get("detune", 3.0), bandwidth_cents=more.get("bandwidth", 0.0), loop_s=1.0)  # fmt: skip
    return Patch(name, source, Adsr(0.006, 0.1, 0.95, 0.06), None, -11.5, vibrato_cents=more.get("vibrato", 0.0), vibrato_hz=6.6,
                 vibrato_delay_s=0.0, reverb=more.get("reverb", 0.2), drive=more.get("drive", 1.0))  # fmt: skip


def _bass(name: str, source: Harmonics | tuple[Operator, ...], filter_: Filter | None, amp: Adsr, **more: float) -> Patch:
    return Patch(name, source, amp, filter_, more.get("level", -5.5), duck=more.get("duck", 0.6), reverb=0.02,
                 drive=more.get("drive", 1.5))  # fmt: skip


def _ensemble(name: str, cutoff_hz: float, attack_s: float, bandwidth_cents: float = 14.0, **more: float) -> Patch:
    """Strings and choirs: bands instead of lines."""
    formants = ((700.0, 4.0, 0.35), (1150.0, 3.0, 0.3), (2700.0, 2.5, 0.3)) if more.get("voices") else ((500.0, 1.6, 0.5),)
    source = Harmonics("saw", bandwidth_cents=bandwidth_cents, width=0.9, loop_s=2.4, formants=formants)
    opening = Filter(cutoff_hz, 0.7, 2, 0.5, Adsr(attack_s, 1.0, 0.7, 0.3), 0.4, 1.2)
    return Patch(name, source, Adsr(attack_s, 0.5, 0.85, more.get("release", 0.35)), opening, -12.5, duck=0.45, reverb=0.35)


def _bowed(name: str, cutoff_hz: float, body_hz: float) -> Patch:
    source = Harmonics("saw", formants=((body_hz, 2.0, 0.4), (2.2 * body_hz, 1.8, 0.3)), noise=0.03)
    return Patch(name, source, Adsr(0.03, 0.3, 0.85, 0.15), Filter(cutoff_hz, 0.8, 2, 0.4, Adsr(0.08, 0.4, 0.6), 0.5, 1.5), -10.0,
                 vibrato_cents=14.0, reverb=0.3)  # fmt: skip


def _brass(name: str, cutoff_hz: float, unison: int, attack_s: float = 0.012) -> Patch:
    source = Harmonics("saw", unison=unison, detune_cents=9.0, formants=((900.0, 1.8, 0.5),), loop_s=1.0)
    swell = Filter(cutoff_hz, 1.0, 2, 2.0, Adsr(0.035, 0.35, 0.55, 0.2), 0.5, 2.0)
    return Patch(name, source, Adsr(attack_s, 0.2, 0.85, 0.1), swell, -11.5, vibrato_cents=5.0, duck=0.2, reverb=0.22)


def _reed(name: str, shape: str, cutoff_hz: float, formant_hz: float, **more: float) -> Patch:
    source = Harmonics(shape, pulse_width=more.get("pulse_width", 0.3), formants=((formant_hz, 2.5, 0.4),), noise=more.get("noise", 0.04))
    return Patch(name, source, Adsr(0.015, 0.2, 0.85, 0.08), Filter(cutoff_hz, 0.8, 2, 0.6, Adsr(0.03, 0.3, 0.6), 0.5, 1.8), -10.0,
                 vibrato_cents=more.get("vibrato", 9.0), reverb=0.22)  # fmt: skip


def _pipe(name: str, partials: tuple[float, ...], noise: float, vibrato_cents: float = 8.0) -> Patch:
    source = Harmonics("partials", partials=partials, noise=noise)
    return Patch(name, source, Adsr(0.02, 0.2, 0.9, 0.1), Filter(4500.0, 0.7, 2, 0.3, Adsr(0.01, 0.2, 0.3), 0.6, 1.0), -10.0,
                 vibrato_cents=vibrato_cents, vibrato_hz=4.9, reverb=0.3)  # fmt: skip


def _lead(name: str, shape: str, cutoff_hz: float, **more: float) -> Patch:
    source = Harmonics(shape, pulse_width=more.get("pulse_width", 0.5), mix=more.get("mix", 0.0), unison=int(more.get("unison", 1)),
                       detune_cents=more.get("detune", 12.0), sub=more.get("sub", 0.0), noise=more.get("noise", 0.0),
                       formants=((900.0, 4.0, 0.3), (1400.0, 3.0, 0.3)) if more.get("voices") else (), loop_s=1.2)  # fmt: skip
    sweep = Filter(cutoff_hz, more.get("resonance", 1.2), 4, more.get("octaves", 1.2), Adsr(0.002, 0.35, 0.35, 0.2), 0.5, 1.2)
    return Patch(name, source, Adsr(more.get("attack", 0.003), 0.3, 0.75, 0.12), sweep, -12.0, vibrato_cents=more.get("vibrato", 7.0),
                 duck=0.3, reverb=0.22, delay=0.25, drive=more.get("drive", 1.0))  # fmt: skip


def _pad(name: str, source: Harmonics, cutoff_hz: float, attack_s: float = 0.05, **more: float) -> Patch:
    slow = Filter(cutoff_hz, more.get("resonance", 0.9), 4, more.get("octaves", 0.8), Adsr(more.get("sweep_s", 0.6), 2.5, 0.5, 0.6),
                  0.3, 1.0, more.get("lfo_octaves", 0.0), more.get("lfo_hz", 0.25))  # fmt: skip
    return Patch(name, source, Adsr(attack_s, 0.8, 0.85, more.get("release", 0.7)), slow, -13.5, duck=0.6, reverb=0.4, delay=0.1)


def _saws(unison: int = 7, detune_cents: float = 14.0, mix: float = 0.0, loop_s: float = 2.4, noise: float = 0.0) -> Harmonics:
    return Harmonics("saw", mix=mix, unison=unison, detune_cents=detune_cents, width=0.9, loop_s=loop_s, noise=noise)


def _noise(name: str, low_hz: float, amp: Adsr, **more: float) -> Patch:
    """Effects made of noise: breath, sea, applause, a shot."""
    source = Harmonics("sine", noise=6.0, loop_s=1.5, bandwidth_cents=4.0)
    moving = Filter(low_hz, 1.2, 2, more.get("octaves", 0.0), Adsr(more.get("sweep_s", 0.3), more.get("fall_s", 1.0), 0.3), 0.2, 1.0,
                    more.get("lfo_octaves", 0.0), more.get("lfo_hz", 0.3), band=True)  # fmt: skip
    return Patch(name, source, amp, moving, -13.0, tremolo=more.get("tremolo", 0.0), tremolo_hz=more.get("tremolo_hz", 5.0), reverb=0.35)


def _programs() -> tuple[Patch, ...]:
    squelch = Filter(220.0, 4.0, 4, 3.6, Adsr(0.002, 0.22, 0.05, 0.1), 0.3, 2.0)
    warm = Filter(300.0, 1.2, 4, 2.2, Adsr(0.002, 0.25, 0.2, 0.1), 0.4, 1.5)
    finger = Filter(350.0, 0.9, 2, 2.2, Adsr(0.001, 0.18, 0.15, 0.1), 0.4, 1.5)
    plucked = Adsr(0.002, 1.4, 0.0, 0.08)
    held = Adsr(0.003, 0.25, 0.75, 0.06)
    return (
        # 0-7 pianos
        _piano("grand piano", 1.0, 3.5), _piano("bright piano", 1.8, 3.2), _piano("electric grand", 1.5, 2.8, 2.0),
        _piano("honky-tonk", 1.4, 2.6, 12.0), _epiano("electric piano", 14.0, 0.9, 0.2), _epiano("fm piano", 10.0, 1.5, 0.35),
        _pluck("harpsichord", "pulse", 3000.0, 1.5, 0.5, 1.2, pulse_width=0.2), _pluck("clavinet", "pulse", 900.0, 2.4, 0.2, 0.8, pulse_width=0.25, resonance=2.0),
        # 8-15 bells and bars
        _bell("celesta", (Operator(1, 4, 0.8, 0.3, 0.1), Operator(4, 1, 0.1, 0.2, 0, 0.25, 0.6)), 1.2),
        _bell("glockenspiel", (Operator(1, 2.76, 0.7, 0.3, 0.1), Operator(2.76, 1, 0.2, 0.1, 0, 0.3, 0.7)), 1.4),
        _bell("music box", (Operator(1, 3.5, 0.6, 0.2, 0.1), Operator(4.2, 1, 0.1, 0.1, 0, 0.2, 0.4)), 1.3),
        _bell("vibraphone", (Operator(1, 4, 0.35, 0.4, 0.2), Operator(4, 1, 0.1, 0.1, 0, 0.15, 0.9)), 2.4, tremolo=0.35),
        _bell("marimba", (Operator(1, 4, 0.6, 0.06, 0.02), Operator(4, 1, 0.2, 0.05, 0, 0.25, 0.15)), 0.55, release=0.2),
        _bell("xylophone", (Operator(1, 3, 1.0, 0.06, 0.05), Operator(3, 1, 0.2, 0.05, 0, 0.3, 0.12)), 0.35, release=0.15),
        _bell("tubular bells", (Operator(1, 3.5, 1.4, 1.2, 0.2), Operator(2.0, 1.41, 0.5, 1.0, 0.1, 0.3, 2.5)), 3.0),
        _pluck("dulcimer", "saw", 1800.0, 1.5, 0.4, 1.4, unison=2, detune=4.0),
        # 16-23 organs
        _organ("drawbar organ", (0.6, 0.5, 1, 0.8, 0.3, 0.4, 0, 0, 0.25), vibrato=4.0),
        _organ("percussive organ", (0.5, 0.3, 1, 0.4, 0.7, 0.1, 0, 0, 0.1)),
        _organ("rock organ", (0.8, 0.7, 1, 0.8, 0.5, 0.6, 0.3, 0.3, 0.5), vibrato=6.0, drive=2.0),
        _organ("church organ", (0.7, 0.1, 1, 0.8, 0.4, 0.6, 0.2, 0.3, 0.4), unison=3, detune=4.0, reverb=0.5),
        _reed("reed organ", "pulse", 2500.0, 900.0, vibrato=0.0), replace(_lead("accordion", "pulse", 3000.0, unison=2, detune=14.0, pulse_width=0.3, vibrato=0.0), delay=0.0),
        _reed("harmonica", "pulse", 2600.0, 1200.0, pulse_width=0.2), replace(_lead("bandoneon", "pulse", 2200.0, unison=2, detune=6.0, pulse_width=0.35, vibrato=0.0), delay=0.0),
        # 24-31 guitars
        _pluck("nylon guitar", "triangle", 1400.0, 1.8, 0.2, 1.4, noise=0.03), _pluck("steel guitar", "saw", 1300.0, 2.2, 0.3, 1.8, stretch=6e-5),
        _pluck("jazz guitar", "triangle", 900.0, 1.4, 0.25, 1.6), _pluck("clean guitar", "pulse", 1200.0, 2.0, 0.35, 2.0, pulse_width=0.3, unison=2, detune=5.0),
        _pluck("muted guitar", "pulse", 700.0, 2.2, 0.07, 0.3, pulse_width=0.3), _pluck("overdriven guitar", "saw", 1800.0, 0.8, 0.8, 4.0, drive=3.0, level=-10.0),
        _pluck("distorted guitar", "saw", 2200.0, 0.6, 1.0, 6.0, drive=5.0, level=-10.5), _pluck("guitar harmonics", "sine", 4000.0, 0.5, 0.3, 2.0),
        # 32-39 basses
        _bass("acoustic bass", Harmonics("triangle", sub=0.05, noise=0.02), finger, plucked, duck=0.3), _bass("finger bass", Harmonics("saw"), finger, plucked, duck=0.4),
        _bass("picked bass", Harmonics("pulse", pulse_width=0.3), replace(finger, cutoff_hz=600.0), plucked, duck=0.4), _bass("fretless bass", Harmonics("saw", mix=0.5), replace(finger, cutoff_hz=280.0, envelope_octaves=1.2), held, duck=0.4),
        _bass("slap bass", Harmonics("pulse", pulse_width=0.2), replace(finger, cutoff_hz=500.0, envelope_octaves=3.2), plucked), _bass("popped bass", Harmonics("pulse", pulse_width=0.15), replace(finger, cutoff_hz=800.0, envelope_octaves=3.0), plucked),
        _bass("saw bass", Harmonics("saw", sub=0.5), squelch, held, drive=2.0), _bass("square bass", Harmonics("square", sub=0.6, unison=2, detune_cents=6.0, width=0.25, loop_s=1.5), warm, held, drive=1.8),
        # 40-47 strings
        _bowed("violin", 3600.0, 900.0), _bowed("viola", 3000.0, 700.0), _bowed("cello", 2400.0, 450.0), _bowed("contrabass", 1600.0, 250.0),
        replace(_ensemble("tremolo strings", 3000.0, 0.02), tremolo=0.6, tremolo_hz=9.0), _pluck("pizzicato strings", "saw", 1100.0, 1.6, 0.08, 0.35, noise=0.05, unison=3),
        _pluck("harp", "triangle", 2200.0, 1.5, 0.4, 1.8, reverb=0.3), replace(_bell("timpani", (Operator(1, 1.5, 0.8, 0.15, 0.1), Operator(1.5, 1, 0.3, 0.1, 0, 0.4, 0.6)), 1.1), level_db=-7.0),
        # 48-55 ensembles
        _ensemble("strings", 2800.0, 0.05), _ensemble("slow strings", 2200.0, 0.08, 18.0), replace(_pad("synth strings", _saws(6, 16.0), 3200.0, 0.03), level_db=-12.5), replace(_pad("synth strings 2", _saws(4, 20.0, 0.5), 2200.0, 0.05), level_db=-12.5),
        _ensemble("choir", 2500.0, 0.05, 16.0, voices=1.0), _ensemble("voice", 3000.0, 0.03, 8.0, voices=1.0), _ensemble("synth voice", 2200.0, 0.03, 10.0, voices=1.0), replace(_pluck("orchestra hit", "saw", 3000.0, 1.5, 0.3, 0.8, unison=7, detune=25.0, reverb=0.4), level_db=-8.0),
        # 56-63 brass
        _brass("trumpet", 1500.0, 1), _brass("trombone", 1000.0, 1, 0.015), _brass("tuba", 700.0, 1, 0.015), replace(_brass("muted trumpet", 2600.0, 1), filter=Filter(2400.0, 2.0, 2, 0.8, Adsr(0.02, 0.3, 0.5), 0.3, 1.5, band=True)),
        _brass("french horn", 800.0, 2, 0.02), _brass("brass section", 1500.0, 5), _brass("synth brass", 1400.0, 4, 0.005), _brass("synth brass 2", 1000.0, 4, 0.01),
        # 64-71 reeds
        _reed("soprano sax", "saw", 2800.0, 1300.0), _reed("alto sax", "saw", 2300.0, 950.0), _reed("tenor sax", "saw", 1900.0, 750.0), _reed("baritone sax", "saw", 1500.0, 550.0),
        _reed("oboe", "pulse", 3000.0, 1100.0, pulse_width=0.15), _reed("english horn", "pulse", 2400.0, 850.0, pulse_width=0.18), _reed("bassoon", "pulse", 1700.0, 480.0, pulse_width=0.2), _reed("clarinet", "square", 2200.0, 1300.0, vibrato=3.0),
        # 72-79 pipes
        _pipe("piccolo", (1, 0.3, 0.12, 0.05), 0.08), _pipe("flute", (1, 0.45, 0.2, 0.08, 0.04), 0.12), _pipe("recorder", (1, 0.15, 0.25, 0.05, 0.06), 0.06, 4.0), _pipe("pan flute", (1, 0.12, 0.25, 0.04), 0.35),
        _pipe("bottle", (1, 0.08, 0.1), 0.5), _pipe("shakuhachi", (1, 0.4, 0.3, 0.15, 0.08), 0.35, 18.0), _pipe("whistle", (1, 0.05), 0.05, 10.0), _pipe("ocarina", (1, 0.06, 0.12), 0.06),
        # 80-87 leads
        _lead("square lead", "square", 2600.0), _lead("saw lead", "saw", 2600.0, unison=3, detune=10.0), _lead("calliope lead", "triangle", 4000.0, noise=0.05), _lead("chiff lead", "square", 3000.0, noise=0.15, octaves=2.0),
        _lead("charang lead", "saw", 3000.0, drive=3.5, unison=2, detune=6.0), _lead("voice lead", "saw", 2600.0, voices=1.0, unison=2, attack=0.01), replace(_lead("fifths lead", "partials", 3000.0), source=Harmonics("partials", partials=tuple(1.0 / k for k in range(1, 16)) + tuple(0.7 / k for k in range(1, 12)), ratios=tuple(float(k) for k in range(1, 16)) + tuple(1.5 * k for k in range(1, 12)), unison=2, detune_cents=8.0)), _lead("bass lead", "saw", 1500.0, sub=0.6, resonance=2.0, octaves=2.0),
        # 88-95 pads
        _pad("new age pad", Harmonics("triangle", unison=4, detune_cents=10.0, noise=0.05, loop_s=2.4), 3500.0, 0.02), _pad("warm pad", _saws(5, 12.0, 0.3), 900.0, 0.06), _pad("polysynth", _saws(7, 16.0), 2400.0, 0.004, release=0.25, sweep_s=0.01, octaves=1.5), _pad("choir pad", Harmonics("saw", bandwidth_cents=20.0, loop_s=2.4, formants=((650.0, 4.0, 0.35), (1100.0, 3.0, 0.3))), 2200.0, 0.07),
        _pad("bowed pad", Harmonics("square", bandwidth_cents=10.0, loop_s=2.4), 1800.0, 0.08, resonance=1.6), _pad("metallic pad", Harmonics("partials", partials=(1, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15), ratios=(1, 2.0, 2.76, 4.1, 5.4, 6.8, 8.2), unison=3, detune_cents=6.0, loop_s=2.4), 4000.0, 0.03), _pad("halo pad", Harmonics("saw", bandwidth_cents=28.0, loop_s=2.4, noise=0.08), 1600.0, 0.08), _pad("sweep pad", _saws(6, 15.0, 0.2), 700.0, 0.05, octaves=2.4, resonance=2.2, sweep_s=1.2),
        # 96-103 effects
        replace(_pad("rain", Harmonics("triangle", noise=0.6, unison=3, detune_cents=14.0, loop_s=1.5), 3500.0, 0.004), amp=Adsr(0.003, 0.9, 0.2, 0.5)), _pad("soundtrack", _saws(6, 22.0, 0.4), 1200.0, 0.08, lfo_octaves=0.5), replace(_bell("crystal", (Operator(1, 3.5, 1.6, 0.5, 0.1), Operator(5.4, 1.0, 0.3, 0.2, 0, 0.3, 0.8)), 2.2), delay=0.3), _pad("atmosphere", _saws(4, 10.0, 0.3, noise=0.1), 1500.0, 0.006),
        _pad("brightness", _saws(5, 12.0), 4500.0, 0.01), replace(_pad("goblins", _saws(3, 18.0, noise=0.2), 900.0, 0.06, lfo_octaves=1.2, lfo_hz=3.0)), replace(_lead("echoes", "triangle", 2600.0, unison=2), delay=0.6), _lead("sci-fi", "saw", 1200.0, unison=3, vibrato=35.0, resonance=2.5),
        # 104-111 from many lands
        _pluck("sitar", "pulse", 2200.0, 1.6, 0.5, 1.8, pulse_width=0.12, resonance=2.2), _pluck("banjo", "pulse", 1800.0, 1.6, 0.15, 0.7, pulse_width=0.2), _pluck("shamisen", "pulse", 1500.0, 1.8, 0.12, 0.6, pulse_width=0.16, noise=0.08), _pluck("koto", "saw", 1500.0, 2.0, 0.35, 1.5),
        _bell("kalimba", (Operator(1, 5.2, 0.5, 0.08, 0.05), Operator(5.2, 1, 0.1, 0.1, 0, 0.15, 0.2)), 0.9), _reed("bagpipe", "pulse", 3200.0, 1100.0, pulse_width=0.15, vibrato=0.0), _bowed("fiddle", 3400.0, 850.0), _reed("shanai", "pulse", 3400.0, 1300.0, pulse_width=0.12),
        # 112-119 struck
        _bell("tinkle bell", (Operator(1, 2.4, 1.0, 0.3, 0.2), Operator(3.9, 1, 0.2, 0.2, 0, 0.4, 0.8)), 1.2), _bell("agogo", (Operator(1, 1.52, 1.2, 0.1, 0.3),), 0.4), _bell("steel drum", (Operator(1, 2.0, 1.0, 0.25, 0.15), Operator(2.0, 1, 0.4, 0.3, 0.1, 0.35, 0.7)), 0.8), _bell("wood block", (Operator(1, 2.7, 0.8, 0.03, 0.1),), 0.12),
        replace(_bell("taiko", (Operator(1, 1.6, 1.5, 0.06, 0.05), Operator(1.59, 1, 0.5, 0.05, 0, 0.3, 0.25)), 0.7), level_db=-7.0), replace(_bell("melodic tom", (Operator(1, 0.7, 1.4, 0.05, 0.02),), 0.5), level_db=-7.0), replace(_bell("synth drum", (Operator(1, 0.5, 3.0, 0.08, 0.0),), 0.45), level_db=-7.0), _noise("reverse cymbal", 5000.0, Adsr(0.9, 0.3, 0.3, 0.1)),
        # 120-127 sound effects
        _noise("fret noise", 3000.0, Adsr(0.002, 0.09, 0.0, 0.05), fall_s=0.1, octaves=1.0), _noise("breath", 2500.0, Adsr(0.03, 0.3, 0.3, 0.2)), _noise("seashore", 900.0, Adsr(0.08, 2.0, 0.8, 0.8), lfo_octaves=1.2), replace(_lead("bird", "sine", 9000.0), source=(Operator(4.0, 0.06, 6.0, 0.5, 0.6),), filter=None, vibrato_cents=0.0, tremolo=0.7, tremolo_hz=11.0),
        replace(_organ("telephone", (0, 0, 1, 0.6, 0, 0.3, 0, 0, 0.1)), tremolo=0.9, tremolo_hz=20.0), _noise("helicopter", 250.0, Adsr(0.03, 0.5, 0.9, 0.3), tremolo=0.9, tremolo_hz=11.0), _noise("applause", 1800.0, Adsr(0.05, 0.8, 0.9, 0.5), tremolo=0.3, tremolo_hz=17.0), replace(_noise("gunshot", 700.0, Adsr(0.001, 0.35, 0.0, 0.2), octaves=2.0, sweep_s=0.001, fall_s=0.2), level_db=-7.0),
    )  # fmt: skip


PROGRAMS: tuple[Patch, ...] = _programs()
"""By General MIDI program, 0..127."""


def patch_of(program: int, preset_seed: int) -> Patch:
    """The patch of a program; seed 0 is the plain one, any other moves its knobs, always the same way."""
    patch = PROGRAMS[program]
    return patch.varied(np.random.default_rng([preset_seed, program])) if preset_seed else patch

