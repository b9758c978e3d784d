"""The built-in synthesizer: any MIDI, as electronic music, from nothing but this code.

Subtractive and FM voices with envelopes, moving filters and unison (`voices`, `oscillators`, `filters`), twelve drum
machines (`drums`, `kits`), a patch for every General MIDI program (`patches`), side chain, echo, reverb and a master at
a stated loudness (`effects`). It needs no sound font, so a clone of this repository can make its own corpus.

It synthesises at the asked sample rate: tables and FM are band-limited below it, drums are made at 44.1 kHz and
resampled, so 24 kHz costs about half of 44.1 kHz and has the same spectrum up to its own limit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lh_mm.audio.instruments.drum_map import KICKS
from lh_mm.audio.instruments.effects import duck_curve, echo, master, reverberate, room, saturate
from lh_mm.audio.instruments.kits import KITS
from lh_mm.audio.instruments.patches import patch_of
from lh_mm.audio.instruments.voices import add_drums, add_notes
from lh_mm.core.clock import samples_of
from lh_mm.music.score import Score

SOUND_VERSION = 1
"""Raised whenever any sample of any render changes: prepared data is keyed by it."""
TARGET_LUFS = -16.0
"""The median loudness of the real electronic loops in `benchmarks/sound_range.py`."""


@dataclass(frozen=True)
class Synth:
    """An `Instrument`.

    Attributes:
        kit: drum machine, `kit00` to `kit11`.
        preset_seed: moves the knobs of every patch, of the kit and of the room; 0 leaves them plain.
        channels: 2, or 1 for the mean of both, made directly.
        target_lufs: loudness of the result.
    """

    kit: str = "kit00"
    preset_seed: int = 0
    channels: int = 2
    target_lufs: float = TARGET_LUFS

    def __post_init__(self) -> None:
        if self.kit not in KITS:
            raise ValueError(f"kit {self.kit!r} is not one of {', '.join(KITS)}")
        if self.channels not in (1, 2):
            raise ValueError(f"channels must be 1 or 2, got {self.channels}")
        if self.preset_seed < 0:
            raise ValueError(f"preset_seed must not be negative, got {self.preset_seed}")

    @classmethod
    def for_labels(cls, labels: Mapping[str, str | float | int], channels: int = 2) -> Synth:
        """The synthesizer a piece asks for by its labels `kit` and `preset_seed`; each has a default."""
        return cls(
            kit=str(labels.get("kit", "kit00")), preset_seed=int(labels.get("preset_seed", 0)), channels=channels
        )

    @property
    def fingerprint(self) -> str:
        """Changes with the code's sound and with each setting."""
        settings = [SOUND_VERSION, self.kit, self.preset_seed, self.channels, self.target_lufs]
        return "synth-" + hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]

    def render(self, score: Score, sample_rate: int, tail_s: float = 0.0) -> NDArray[np.float32]:
        """The mastered mix, (channels, round((duration_s + tail_s) * sample_rate)).

        What still rings at the end is cut with a fade of 5 ms; `tail_s` leaves it room.
        """
        return self._finish(master(self.mix(score, sample_rate, tail_s), sample_rate, self.target_lufs), sample_rate)

    def mix(self, score: Score, sample_rate: int, tail_s: float = 0.0) -> NDArray[np.float32]:
        """The mix before the master, (channels, samples); the sum of `render_stems`."""
        return self._tracks(score, sample_rate, tail_s, np.arange(len(score.notes)))

    def render_stems(self, score: Score, sample_rate: int, tail_s: float = 0.0) -> dict[str, NDArray[np.float32]]:
        """Each track with its effects, before the master; tracks of equal name are numbered."""
        stems: dict[str, NDArray[np.float32]] = {}
        for track, name in enumerate(score.tracks):
            key, count = name, 2
            while key in stems:
                key, count = f"{name} {count}", count + 1
            stems[key] = self._tracks(score, sample_rate, tail_s, np.flatnonzero(score.notes["track"] == track))
        return stems

    def _tracks(self, score: Score, sample_rate: int, tail_s: float, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some of the notes, in the mix that all of them make (the side chain hears every kick)."""
        num_samples = samples_of(score.duration_s + tail_s, sample_rate)
        out = np.zeros((self.channels, num_samples), np.float32)
        notes = score.notes[chosen]
        if not len(notes) or not num_samples:
            return out
        rng = np.random.default_rng([self.preset_seed, 0xF0])
        knobs = rng.uniform(-1.0, 1.0, 4) if self.preset_seed else np.zeros(4)
        bpm = score.tempo_map.tempo_bpm()
        ducking = self._ducking(score, num_samples, sample_rate, (0.55 + 0.2 * knobs[0]) * 60.0 / np.clip(bpm, 60, 200))
        wet, repeats = np.zeros(num_samples, np.float32), np.zeros(num_samples, np.float32)
        bus = np.empty_like(out)
        for drum, track, program in sorted({(bool(n["drum"]), int(n["track"]), int(n["program"])) for n in notes}):
            here = notes[(notes["drum"] == drum) & (notes["track"] == track) & (notes["program"] == program)]
            bus[:] = 0.0
            if drum:
                self._drums(bus, wet, here, sample_rate)
                out += bus
                continue
            patch = patch_of(program, self.preset_seed)
            add_notes(bus, patch, here, sample_rate, self.preset_seed * 128 + program)
            track_bus = saturate(bus, patch.drive, 10.0 ** (patch.level_db / 20.0))
            if patch.duck and ducking is not None:
                track_bus = track_bus * (1.0 - np.float32(patch.duck) * ducking)
            out += track_bus
            mono = track_bus.mean(axis=0)
            wet += np.float32(patch.reverb) * mono
            if patch.delay:
                repeats += np.float32(patch.delay) * mono
        if repeats.any():
            echoes = echo(repeats, 45.0 / float(np.clip(bpm, 60, 200)), sample_rate, self.channels)
            out += echoes
            wet += np.float32(0.3) * echoes.mean(axis=0)
        decay_s, damping_hz = 1.3 * 1.6 ** float(knobs[1]), 3500.0 * 1.6 ** float(knobs[2])
        out += reverberate(wet, room(self.preset_seed, sample_rate, decay_s, damping_hz), self.channels)
        return out

    def _drums(
        self, bus: NDArray[np.float32], wet: NDArray[np.float32], notes: NDArray[np.void], sample_rate: int
    ) -> None:
        """Drums into their bus; all but the kicks into the room as well."""
        kit = KITS[self.kit]
        if self.preset_seed:
            kit = kit.varied(np.random.default_rng([self.preset_seed, 0xD0]))
        kicks = np.isin(notes["pitch"], KICKS)
        add_drums(bus, kit, notes[~kicks], sample_rate, self.preset_seed)
        wet += np.float32(0.08) * bus.mean(axis=0)
        add_drums(bus, kit, notes[kicks], sample_rate, self.preset_seed)

    @staticmethod
    def _ducking(score: Score, num_samples: int, sample_rate: int, release_s: float) -> NDArray[np.float32] | None:
        kicks = score.notes["drum"] & np.isin(score.notes["pitch"], KICKS)
        if not kicks.any():
            return None
        return 1.0 - duck_curve(score.notes["start_s"][kicks], num_samples, sample_rate, release_s)

    @staticmethod
    def _finish(wave: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        fade = min(round(0.005 * sample_rate), wave.shape[1])
        if fade:
            wave[:, -fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
        return wave
