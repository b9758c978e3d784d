"""A patch: one tonal sound, its place in the mix, and how a preset seed moves its knobs."""

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
        amp = replace(
            self.amp, decay_s=self.amp.decay_s * 1.5 ** turn[0], release_s=self.amp.release_s * 1.3 ** turn[1]
        )
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
                mix=float(np.clip(source.mix + 0.3 * turn[6], 0.0, 1.0))
                if source.unison > 1 or source.mix
                else source.mix,
                pulse_width=float(np.clip(source.pulse_width * 1.25 ** turn[6], 0.08, 0.5)),
                detune_cents=source.detune_cents * 1.4 ** turn[7],
            )
        else:
            source = tuple(
                replace(op, index=op.index * 1.35 ** turn[6], index_decay_s=op.index_decay_s * 1.4 ** turn[7])
                for op in source
            )
        return replace(
            self,
            amp=amp,
            filter=filter_,
            source=source,
            reverb=float(np.clip(self.reverb * 1.5 ** turn[8], 0, 1)),
            level_db=self.level_db + 1.5 * turn[9],
        )
