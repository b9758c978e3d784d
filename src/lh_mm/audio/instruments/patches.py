"""The sounds of the tonal tracks: one patch for each of the 128 General MIDI programs.

Programs of one family share a form (`families`) and differ in a few knobs, as on a real synthesizer. A preset seed
moves the knobs of a patch within its family, so that a corpus does not hear one bass.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lh_mm.audio.instruments.envelopes import Adsr
from lh_mm.audio.instruments.families import (
    bass,
    bell,
    bowed,
    brass,
    ensemble,
    epiano,
    lead,
    noise,
    organ,
    pad,
    piano,
    pipe,
    pluck,
    reed,
    saws,
)
from lh_mm.audio.instruments.filters import Filter
from lh_mm.audio.instruments.oscillators import Harmonics, Operator
from lh_mm.audio.instruments.patch import Patch


def _programs() -> tuple[Patch, ...]:
    squelch = Filter(220.0, 4.0, 4, 3.6, Adsr(0.002, 0.22, 0.05, 0.1), 0.3, 2.0)
    warm = Filter(300.0, 1.2, 4, 2.2, Adsr(0.002, 0.25, 0.2, 0.1), 0.4, 1.5)
    finger = Filter(350.0, 0.9, 2, 2.2, Adsr(0.001, 0.18, 0.15, 0.1), 0.4, 1.5)
    plucked = Adsr(0.002, 1.4, 0.0, 0.08)
    held = Adsr(0.003, 0.25, 0.75, 0.06)
    return (
        # 0-7 pianos
        piano("grand piano", 1.0, 3.5),
        piano("bright piano", 1.8, 3.2),
        piano("electric grand", 1.5, 2.8, 2.0),
        piano("honky-tonk", 1.4, 2.6, 12.0),
        epiano("electric piano", 14.0, 0.9, 0.2),
        epiano("fm piano", 10.0, 1.5, 0.35),
        pluck("harpsichord", "pulse", 3000.0, 1.5, 0.5, 1.2, pulse_width=0.2),
        pluck("clavinet", "pulse", 900.0, 2.4, 0.2, 0.8, pulse_width=0.25, resonance=2.0),
        # 8-15 bells and bars
        bell("celesta", (Operator(1, 4, 0.8, 0.3, 0.1), Operator(4, 1, 0.1, 0.2, 0, 0.25, 0.6)), 1.2),
        bell("glockenspiel", (Operator(1, 2.76, 0.7, 0.3, 0.1), Operator(2.76, 1, 0.2, 0.1, 0, 0.3, 0.7)), 1.4),
        bell("music box", (Operator(1, 3.5, 0.6, 0.2, 0.1), Operator(4.2, 1, 0.1, 0.1, 0, 0.2, 0.4)), 1.3),
        bell("vibraphone", (Operator(1, 4, 0.35, 0.4, 0.2), Operator(4, 1, 0.1, 0.1, 0, 0.15, 0.9)), 2.4, tremolo=0.35),
        bell("marimba", (Operator(1, 4, 0.6, 0.06, 0.02), Operator(4, 1, 0.2, 0.05, 0, 0.25, 0.15)), 0.55, release=0.2),
        bell(
            "xylophone", (Operator(1, 3, 1.0, 0.06, 0.05), Operator(3, 1, 0.2, 0.05, 0, 0.3, 0.12)), 0.35, release=0.15
        ),
        bell("tubular bells", (Operator(1, 3.5, 1.4, 1.2, 0.2), Operator(2.0, 1.41, 0.5, 1.0, 0.1, 0.3, 2.5)), 3.0),
        pluck("dulcimer", "saw", 1800.0, 1.5, 0.4, 1.4, unison=2, detune=4.0),
        # 16-23 organs
        organ("drawbar organ", (0.6, 0.5, 1, 0.8, 0.3, 0.4, 0, 0, 0.25), vibrato=4.0),
        organ("percussive organ", (0.5, 0.3, 1, 0.4, 0.7, 0.1, 0, 0, 0.1)),
        organ("rock organ", (0.8, 0.7, 1, 0.8, 0.5, 0.6, 0.3, 0.3, 0.5), vibrato=6.0, drive=2.0),
        organ("church organ", (0.7, 0.1, 1, 0.8, 0.4, 0.6, 0.2, 0.3, 0.4), unison=3, detune=4.0, reverb=0.5),
        reed("reed organ", "pulse", 2500.0, 900.0, vibrato=0.0),
        replace(lead("accordion", "pulse", 3000.0, unison=2, detune=14.0, pulse_width=0.3, vibrato=0.0), delay=0.0),
        reed("harmonica", "pulse", 2600.0, 1200.0, pulse_width=0.2),
        replace(lead("bandoneon", "pulse", 2200.0, unison=2, detune=6.0, pulse_width=0.35, vibrato=0.0), delay=0.0),
        # 24-31 guitars
        pluck("nylon guitar", "triangle", 1400.0, 1.8, 0.2, 1.4, noise=0.03),
        pluck("steel guitar", "saw", 1300.0, 2.2, 0.3, 1.8, stretch=6e-5),
        pluck("jazz guitar", "triangle", 900.0, 1.4, 0.25, 1.6),
        pluck("clean guitar", "pulse", 1200.0, 2.0, 0.35, 2.0, pulse_width=0.3, unison=2, detune=5.0),
        pluck("muted guitar", "pulse", 700.0, 2.2, 0.07, 0.3, pulse_width=0.3),
        pluck("overdriven guitar", "saw", 1800.0, 0.8, 0.8, 4.0, drive=3.0, level=-10.0),
        pluck("distorted guitar", "saw", 2200.0, 0.6, 1.0, 6.0, drive=5.0, level=-10.5),
        pluck("guitar harmonics", "sine", 4000.0, 0.5, 0.3, 2.0),
        # 32-39 basses
        bass("acoustic bass", Harmonics("triangle", sub=0.05, noise=0.02), finger, plucked, duck=0.3),
        bass("finger bass", Harmonics("saw"), finger, plucked, duck=0.4),
        bass("picked bass", Harmonics("pulse", pulse_width=0.3), replace(finger, cutoff_hz=600.0), plucked, duck=0.4),
        bass(
            "fretless bass",
            Harmonics("saw", mix=0.5),
            replace(finger, cutoff_hz=280.0, envelope_octaves=1.2),
            held,
            duck=0.4,
        ),
        bass(
            "slap bass",
            Harmonics("pulse", pulse_width=0.2),
            replace(finger, cutoff_hz=500.0, envelope_octaves=3.2),
            plucked,
        ),
        bass(
            "popped bass",
            Harmonics("pulse", pulse_width=0.15),
            replace(finger, cutoff_hz=800.0, envelope_octaves=3.0),
            plucked,
        ),
        bass("saw bass", Harmonics("saw", sub=0.5), squelch, held, drive=2.0),
        bass(
            "square bass",
            Harmonics("square", sub=0.6, unison=2, detune_cents=6.0, width=0.25, loop_s=1.5),
            warm,
            held,
            drive=1.8,
        ),
        # 40-47 strings
        bowed("violin", 3600.0, 900.0),
        bowed("viola", 3000.0, 700.0),
        bowed("cello", 2400.0, 450.0),
        bowed("contrabass", 1600.0, 250.0),
        replace(ensemble("tremolo strings", 3000.0, 0.02), tremolo=0.6, tremolo_hz=9.0),
        pluck("pizzicato strings", "saw", 1100.0, 1.6, 0.08, 0.35, noise=0.05, unison=3),
        pluck("harp", "triangle", 2200.0, 1.5, 0.4, 1.8, reverb=0.3),
        replace(
            bell("timpani", (Operator(1, 1.5, 0.8, 0.15, 0.1), Operator(1.5, 1, 0.3, 0.1, 0, 0.4, 0.6)), 1.1),
            level_db=-7.0,
        ),
        # 48-55 ensembles
        ensemble("strings", 2800.0, 0.05),
        ensemble("slow strings", 2200.0, 0.08, 18.0),
        replace(pad("synth strings", saws(6, 16.0), 3200.0, 0.03), level_db=-12.5),
        replace(pad("synth strings 2", saws(4, 20.0, 0.5), 2200.0, 0.05), level_db=-12.5),
        ensemble("choir", 2500.0, 0.05, 16.0, voices=True),
        ensemble("voice", 3000.0, 0.03, 8.0, voices=True),
        ensemble("synth voice", 2200.0, 0.03, 10.0, voices=True),
        replace(pluck("orchestra hit", "saw", 3000.0, 1.5, 0.3, 0.8, unison=7, detune=25.0, reverb=0.4), level_db=-8.0),
        # 56-63 brass
        brass("trumpet", 1500.0, 1),
        brass("trombone", 1000.0, 1, 0.015),
        brass("tuba", 700.0, 1, 0.015),
        replace(
            brass("muted trumpet", 2600.0, 1),
            filter=Filter(2400.0, 2.0, 2, 0.8, Adsr(0.02, 0.3, 0.5), 0.3, 1.5, band=True),
        ),
        brass("french horn", 800.0, 2, 0.02),
        brass("brass section", 1500.0, 5),
        brass("synth brass", 1400.0, 4, 0.005),
        brass("synth brass 2", 1000.0, 4, 0.01),
        # 64-71 reeds
        reed("soprano sax", "saw", 2800.0, 1300.0),
        reed("alto sax", "saw", 2300.0, 950.0),
        reed("tenor sax", "saw", 1900.0, 750.0),
        reed("baritone sax", "saw", 1500.0, 550.0),
        reed("oboe", "pulse", 3000.0, 1100.0, pulse_width=0.15),
        reed("english horn", "pulse", 2400.0, 850.0, pulse_width=0.18),
        reed("bassoon", "pulse", 1700.0, 480.0, pulse_width=0.2),
        reed("clarinet", "square", 2200.0, 1300.0, vibrato=3.0),
        # 72-79 pipes
        pipe("piccolo", (1, 0.3, 0.12, 0.05), 0.08),
        pipe("flute", (1, 0.45, 0.2, 0.08, 0.04), 0.12),
        pipe("recorder", (1, 0.15, 0.25, 0.05, 0.06), 0.06, 4.0),
        pipe("pan flute", (1, 0.12, 0.25, 0.04), 0.35),
        pipe("bottle", (1, 0.08, 0.1), 0.5),
        pipe("shakuhachi", (1, 0.4, 0.3, 0.15, 0.08), 0.35, 18.0),
        pipe("whistle", (1, 0.05), 0.05, 10.0),
        pipe("ocarina", (1, 0.06, 0.12), 0.06),
        # 80-87 leads
        lead("square lead", "square", 2600.0),
        lead("saw lead", "saw", 2600.0, unison=3, detune=10.0),
        lead("calliope lead", "triangle", 4000.0, noise=0.05),
        lead("chiff lead", "square", 3000.0, noise=0.15, octaves=2.0),
        lead("charang lead", "saw", 3000.0, drive=3.5, unison=2, detune=6.0),
        lead("voice lead", "saw", 2600.0, voices=True, unison=2, attack=0.01),
        replace(
            lead("fifths lead", "partials", 3000.0),
            source=Harmonics(
                "partials",
                partials=tuple(1.0 / k for k in range(1, 16)) + tuple(0.7 / k for k in range(1, 12)),
                ratios=tuple(float(k) for k in range(1, 16)) + tuple(1.5 * k for k in range(1, 12)),
                unison=2,
                detune_cents=8.0,
            ),
        ),
        lead("bass lead", "saw", 1500.0, sub=0.6, resonance=2.0, octaves=2.0),
        # 88-95 pads
        pad("new age pad", Harmonics("triangle", unison=4, detune_cents=10.0, noise=0.05, loop_s=2.4), 3500.0, 0.02),
        pad("warm pad", saws(5, 12.0, 0.3), 900.0, 0.06),
        pad("polysynth", saws(7, 16.0), 2400.0, 0.004, release=0.25, sweep_s=0.01, octaves=1.5),
        pad(
            "choir pad",
            Harmonics("saw", bandwidth_cents=20.0, loop_s=2.4, formants=((650.0, 4.0, 0.35), (1100.0, 3.0, 0.3))),
            2200.0,
            0.07,
        ),
        pad("bowed pad", Harmonics("square", bandwidth_cents=10.0, loop_s=2.4), 1800.0, 0.08, resonance=1.6),
        pad(
            "metallic pad",
            Harmonics(
                "partials",
                partials=(1, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15),
                ratios=(1, 2.0, 2.76, 4.1, 5.4, 6.8, 8.2),
                unison=3,
                detune_cents=6.0,
                loop_s=2.4,
            ),
            4000.0,
            0.03,
        ),
        pad("halo pad", Harmonics("saw", bandwidth_cents=28.0, loop_s=2.4, noise=0.08), 1600.0, 0.08),
        pad("sweep pad", saws(6, 15.0, 0.2), 700.0, 0.05, octaves=2.4, resonance=2.2, sweep_s=1.2),
        # 96-103 effects
        replace(
            pad("rain", Harmonics("triangle", noise=0.6, unison=3, detune_cents=14.0, loop_s=1.5), 3500.0, 0.004),
            amp=Adsr(0.003, 0.9, 0.2, 0.5),
        ),
        pad("soundtrack", saws(6, 22.0, 0.4), 1200.0, 0.08, lfo_octaves=0.5),
        replace(
            bell("crystal", (Operator(1, 3.5, 1.6, 0.5, 0.1), Operator(5.4, 1.0, 0.3, 0.2, 0, 0.3, 0.8)), 2.2),
            delay=0.3,
        ),
        pad("atmosphere", saws(4, 10.0, 0.3, noise=0.1), 1500.0, 0.006),
        pad("brightness", saws(5, 12.0), 4500.0, 0.01),
        replace(pad("goblins", saws(3, 18.0, noise=0.2), 900.0, 0.06, lfo_octaves=1.2, lfo_hz=3.0)),
        replace(lead("echoes", "triangle", 2600.0, unison=2), delay=0.6),
        lead("sci-fi", "saw", 1200.0, unison=3, vibrato=35.0, resonance=2.5),
        # 104-111 from many lands
        pluck("sitar", "pulse", 2200.0, 1.6, 0.5, 1.8, pulse_width=0.12, resonance=2.2),
        pluck("banjo", "pulse", 1800.0, 1.6, 0.15, 0.7, pulse_width=0.2),
        pluck("shamisen", "pulse", 1500.0, 1.8, 0.12, 0.6, pulse_width=0.16, noise=0.08),
        pluck("koto", "saw", 1500.0, 2.0, 0.35, 1.5),
        bell("kalimba", (Operator(1, 5.2, 0.5, 0.08, 0.05), Operator(5.2, 1, 0.1, 0.1, 0, 0.15, 0.2)), 0.9),
        reed("bagpipe", "pulse", 3200.0, 1100.0, pulse_width=0.15, vibrato=0.0),
        bowed("fiddle", 3400.0, 850.0),
        reed("shanai", "pulse", 3400.0, 1300.0, pulse_width=0.12),
        # 112-119 struck
        bell("tinkle bell", (Operator(1, 2.4, 1.0, 0.3, 0.2), Operator(3.9, 1, 0.2, 0.2, 0, 0.4, 0.8)), 1.2),
        bell("agogo", (Operator(1, 1.52, 1.2, 0.1, 0.3),), 0.4),
        bell("steel drum", (Operator(1, 2.0, 1.0, 0.25, 0.15), Operator(2.0, 1, 0.4, 0.3, 0.1, 0.35, 0.7)), 0.8),
        bell("wood block", (Operator(1, 2.7, 0.8, 0.03, 0.1),), 0.12),
        replace(
            bell("taiko", (Operator(1, 1.6, 1.5, 0.06, 0.05), Operator(1.59, 1, 0.5, 0.05, 0, 0.3, 0.25)), 0.7),
            level_db=-7.0,
        ),
        replace(bell("melodic tom", (Operator(1, 0.7, 1.4, 0.05, 0.02),), 0.5), level_db=-7.0),
        replace(bell("synth drum", (Operator(1, 0.5, 3.0, 0.08, 0.0),), 0.45), level_db=-7.0),
        noise("reverse cymbal", 5000.0, Adsr(0.9, 0.3, 0.3, 0.1)),
        # 120-127 sound effects
        noise("fret noise", 3000.0, Adsr(0.002, 0.09, 0.0, 0.05), fall_s=0.1, octaves=1.0),
        noise("breath", 2500.0, Adsr(0.03, 0.3, 0.3, 0.2)),
        noise("seashore", 900.0, Adsr(0.08, 2.0, 0.8, 0.8), lfo_octaves=1.2),
        replace(
            lead("bird", "sine", 9000.0),
            source=(Operator(4.0, 0.06, 6.0, 0.5, 0.6),),
            filter=None,
            vibrato_cents=0.0,
            tremolo=0.7,
            tremolo_hz=11.0,
        ),
        replace(organ("telephone", (0, 0, 1, 0.6, 0, 0.3, 0, 0, 0.1)), tremolo=0.9, tremolo_hz=20.0),
        noise("helicopter", 250.0, Adsr(0.03, 0.5, 0.9, 0.3), tremolo=0.9, tremolo_hz=11.0),
        noise("applause", 1800.0, Adsr(0.05, 0.8, 0.9, 0.5), tremolo=0.3, tremolo_hz=17.0),
        replace(
            noise("gunshot", 700.0, Adsr(0.001, 0.35, 0.0, 0.2), octaves=2.0, sweep_s=0.001, fall_s=0.2), level_db=-7.0
        ),
    )


PROGRAMS: tuple[Patch, ...] = _programs()
"""By General MIDI program, 0..127."""


def patch_of(program: int, preset_seed: int) -> Patch:
    """The patch of a program; seed 0 is the plain one, any other moves its knobs, always the same way."""
    patch = PROGRAMS[program]
    return patch.varied(np.random.default_rng([preset_seed, program])) if preset_seed else patch
