"""From notes to sound: one held voice per pitch and velocity band, cut to each note's length.

Electronic music repeats its notes, so a voice is synthesised once per (pitch, velocity band) of a track, as long as its
longest note, and every note is that voice times its level and its release. This is where the speed comes from; what it
costs is that two equal notes begin with equal phases, as they do on a digital synthesizer with oscillator reset.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lh_mm.audio.instruments.drum_map import CHOKED_BY, one_shot, sound_of
from lh_mm.audio.instruments.drums import RATE
from lh_mm.audio.instruments.envelopes import Adsr
from lh_mm.audio.instruments.filters import Filter, walk
from lh_mm.audio.instruments.kits import Kit
from lh_mm.audio.instruments.oscillators import BAND_LIMIT, Harmonics, fm_voice, wavetable_bank
from lh_mm.audio.instruments.patch import Patch
from lh_mm.audio.io import resample

VELOCITY_BANDS = 6
"""Colours of a pitch; the level follows the velocity itself."""
INAUDIBLE = 9.0
"""Time constants after which a struck note has died (about -78 dB)."""


def velocity_gain(velocity: NDArray[np.uint8] | int) -> NDArray[np.float64]:
    """Level of a velocity, 1 at 127, 18 dB a fourfold (General MIDI's recommended square law is 24)."""
    return (np.asarray(velocity) / 127.0) ** 1.5


def _starts(notes: NDArray[np.void], sample_rate: int) -> NDArray[np.int64]:
    return np.maximum(np.round(notes["start_s"] * sample_rate).astype(np.int64), 0)


def _band(velocity: NDArray[np.uint8]) -> NDArray[np.int64]:
    return (velocity.astype(np.int64) * VELOCITY_BANDS - 1) // 127


def hz_of(pitch: int) -> float:
    """Equal temperament, A4 = 440 Hz."""
    return float(440.0 * 2.0 ** ((pitch - 69) / 12.0))


def add_notes(out: NDArray[np.float32], patch: Patch, notes: NDArray[np.void], sample_rate: int, seed: int) -> None:
    """Add the notes of one patch to `out`, (C, T), in place; what lies beyond its end is cut.

    Args:
        out: one or two channels.
        notes: of `NOTE_DTYPE`, not drums.
        seed: of the phases of unison copies and noise.
    """
    num_channels, total = out.shape
    release = patch.amp.release(sample_rate)
    starts = _starts(notes, sample_rate)
    lengths = np.maximum(np.round((notes["end_s"] - notes["start_s"]) * sample_rate).astype(np.int64), 1)
    lengths = np.minimum(lengths, np.maximum(total - starts, 0))
    gains = (10.0 ** (patch.level_db / 20.0) * velocity_gain(notes["velocity"])).astype(np.float32)
    bands = _band(notes["velocity"])
    for pitch in np.unique(notes["pitch"]):
        here = np.flatnonzero(notes["pitch"] == pitch)
        longest = int(lengths[here].max()) + len(release)
        voices = _Voices(patch, int(pitch), sample_rate, num_channels, seed, bands[here], longest)
        for band in np.unique(bands[here]):
            members = here[bands[here] == band]
            held = voices.held(int(band), int(lengths[members].max()) + len(release))
            for i in members:
                _place(out, held, release, int(starts[i]), int(lengths[i]), gains[i])


def _place(
    out: NDArray[np.float32],
    held: NDArray[np.float32],
    release: NDArray[np.float32],
    start: int,
    length: int,
    gain: np.float32,
) -> None:
    """One note: the held voice while the key is down, then its release."""
    total, alive = out.shape[1], held.shape[1]
    on = min(length, alive, total - start)
    if on > 0:
        out[:, start : start + on] += held[:, :on] * gain
    off = min(len(release), alive - length, total - start - length)
    if off > 0:
        out[:, start + length : start + length + off] += held[:, length : length + off] * (release[:off] * gain)


class _Voices:
    """The held voices of one pitch of one patch; the wavetables are shared by the velocity bands."""

    def __init__(
        self,
        patch: Patch,
        pitch: int,
        sample_rate: int,
        num_channels: int,
        seed: int,
        bands: NDArray[np.int64],
        longest: int,
    ) -> None:
        self.patch, self.pitch, self.rate, self.channels = patch, pitch, sample_rate, num_channels
        # Vibrato reads between samples; at twice the rate a cubic does that without audible images. Notes that end
        # before it sets in do without.
        sways = patch.vibrato_cents > 0.0 and longest > patch.vibrato_delay_s * sample_rate
        self.table_rate = 2 * sample_rate if sways else sample_rate
        limit_hz = BAND_LIMIT * sample_rate
        self.f0_hz = hz_of(pitch)
        while self.f0_hz >= limit_hz:  # a note that this rate cannot hold is heard an octave lower, not lost
            self.f0_hz /= 2.0
        faster = 2.0 ** (-patch.decay_tracking * (pitch - 60) / 12.0)
        self.amp = Adsr(patch.amp.attack_s, patch.amp.decay_s * faster, patch.amp.sustain, patch.amp.release_s)
        self.filter = patch.filter
        if self.filter is not None:
            envelope = replace(self.filter.envelope, decay_s=self.filter.envelope.decay_s * faster)
            self.filter = replace(self.filter, envelope=envelope)
        if isinstance(patch.source, Harmonics):
            self.steps = self.filter.steps_per_octave if self.filter else 1.0
            self.first, last = self._reach(self.filter, bands) if self.filter else (0, 0)
            cutoffs = 2.0 ** (np.arange(self.first, last + 1) / self.steps)
            rng = np.random.default_rng([seed, pitch])
            self.bank = wavetable_bank(
                patch.source,
                self.filter,
                cutoffs,
                self.f0_hz,
                self.table_rate,
                BAND_LIMIT * sample_rate,
                num_channels,
                rng,
            )
            self.bank *= np.float32(0.25 / max(self._reference_rms(patch.source), 1e-9))

    def _reach(self, filter_: Filter, bands: NDArray[np.int64]) -> tuple[int, int]:
        """First and last cutoff of the bank, as indices on a grid that is the same for every pitch and piece."""
        ends = [filter_.reach(self.pitch, (int(band) + 1) / VELOCITY_BANDS) for band in (bands.min(), bands.max())]
        low, high = min(e[0] for e in ends), max(e[1] for e in ends)
        return int(np.floor(low * self.steps)), int(np.ceil(high * self.steps))

    def _reference_rms(self, source: Harmonics) -> float:
        """Level of the source with its filter half open at full velocity, from its partials alone."""
        hz, amplitudes = source.lines(self.f0_hz, BAND_LIMIT * self.rate)
        power = np.square(amplitudes)
        power_of_noise = source.noise**2 * power.sum()
        if self.filter is not None:
            rest, top = self.filter.reach(self.pitch, 1.0)
            cutoff_hz = 2.0 ** (0.5 * (rest + top))
            power = power * np.square(self.filter.response(hz, cutoff_hz))
            power_of_noise *= 0.4
        return float(np.sqrt(0.5 * (power.sum() * source.unison + power_of_noise)))

    def held(self, band: int, num_samples: int) -> NDArray[np.float32]:
        """The voice of a key that is never let go, (C or 1, up to num_samples)."""
        patch, velocity = self.patch, (band + 1) / VELOCITY_BANDS
        if self.amp.sustain == 0.0:
            num_samples = min(
                num_samples, round((self.amp.attack_s + INAUDIBLE / 3.0 * self.amp.decay_s) * self.rate) + 1
            )
        scale = self.table_rate // self.rate
        if isinstance(patch.source, Harmonics):
            wave = walk(self.bank, self._positions(velocity, num_samples * scale), num_samples * scale)
        else:
            limit_hz = BAND_LIMIT * self.rate
            level = np.float32(0.25 / np.sqrt(0.5 * sum(op.level**2 for op in patch.source)))
            wave = level * fm_voice(patch.source, self.f0_hz, velocity, num_samples * scale, self.table_rate, limit_hz)
        if scale > 1:
            wave = _vibrato(wave, patch, num_samples, self.rate)
        envelope = self.amp.held(num_samples, self.rate)
        if patch.tremolo:
            turns = np.arange(num_samples, dtype=np.float32) * np.float32(2 * np.pi * patch.tremolo_hz / self.rate)
            envelope *= 1.0 - np.float32(0.5 * patch.tremolo) * (1.0 - np.cos(turns))
        wave *= envelope
        return wave

    def _positions(self, velocity: float, num_samples: int) -> NDArray[np.float32]:
        if self.filter is None:
            return np.zeros(1, np.float32)
        octaves = self.filter.octaves(self.pitch, velocity, num_samples, self.table_rate)
        return np.clip(octaves * np.float32(self.steps) - np.float32(self.first), 0.0, len(self.bank) - 1.0)


def _vibrato(wave: NDArray[np.float32], patch: Patch, num_samples: int, sample_rate: int) -> NDArray[np.float32]:
    """Read a voice of twice the rate at a clock that sways: Catmull-Rom between its samples, (C, num_samples)."""
    seconds = np.arange(num_samples) / sample_rate
    depth_s = (2.0 ** (patch.vibrato_cents / 1200.0) - 1.0) / (2 * np.pi * patch.vibrato_hz)
    growth = np.clip((seconds - patch.vibrato_delay_s) / 0.25, 0.0, 1.0)
    at = (seconds + depth_s * growth * np.sin(2 * np.pi * patch.vibrato_hz * seconds)) * (2 * sample_rate)
    at = np.clip(at, 1.0, wave.shape[1] - 3.0)
    index = at.astype(np.int64)
    u = (at - index).astype(np.float32)
    before, here, after, beyond = (wave[:, index + k] for k in (-1, 0, 1, 2))
    slope, bend = 0.5 * (after - before), before - 2.5 * here + 2.0 * after - 0.5 * beyond
    twist = 0.5 * (beyond - before) + 1.5 * (here - after)
    return np.asarray(((twist * u + bend) * u + slope) * u + here, np.float32)


def add_drums(out: NDArray[np.float32], kit: Kit, notes: NDArray[np.void], sample_rate: int, seed: int) -> None:
    """Add drum hits to `out`, (C, T), in place: one sound per (key, velocity band), its whole length, unless choked."""
    num_channels, total = out.shape
    bands = _band(notes["velocity"])
    starts = _starts(notes, sample_rate)
    gains = velocity_gain(notes["velocity"]).astype(np.float32)
    for pitch in np.unique(notes["pitch"]):
        _, _, pan = sound_of(int(pitch))
        sides = np.array([1.0] if num_channels == 1 else [min(1.0, 1.0 - pan), min(1.0, 1.0 + pan)], np.float32)
        if num_channels == 1:
            sides[0] = 1.0 - 0.5 * abs(pan)  # the mean of the two sides
        closers = np.sort(starts[np.isin(notes["pitch"], CHOKED_BY.get(int(pitch), ()))])
        for band in np.unique(bands[notes["pitch"] == pitch]):
            shot = one_shot(kit, int(pitch), (int(band) + 1) / VELOCITY_BANDS, (seed,))
            shot = resample(shot, RATE, sample_rate)
            for i in np.flatnonzero((notes["pitch"] == pitch) & (bands == band)):
                hit = _choked(shot, starts[i], closers, sample_rate)[: max(0, total - starts[i])]
                for channel, side in zip(out, sides, strict=True):
                    channel[starts[i] : starts[i] + len(hit)] += hit * (gains[i] * side)


def _choked(shot: NDArray[np.float32], start: int, closers: NDArray[np.int64], sample_rate: int) -> NDArray[np.float32]:
    """The sound up to the next hit that closes it, with a fade of 6 ms."""
    after = int(np.searchsorted(closers, start, side="right"))
    fade = round(0.006 * sample_rate)
    if after == len(closers) or closers[after] - start + fade >= len(shot):
        return shot
    length = int(closers[after] - start) + fade
    cut = shot[:length].copy()
    cut[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return cut
