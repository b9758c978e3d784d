"""Oscillators: looped wavetables built from partials, and phase modulation.

A subtractive voice is a spectrum: partials times unison copies, each a line in the spectrum of one loop of half a
second or more, turned into sound by one inverse FFT. Nothing lies above the band limit, so nothing aliases, at any
pitch and rate. The loop's length is chosen so that the pitch falls on a line within a cent. Copies are detuned exactly
(a "supersaw"), or each partial is widened into a band of noise-phased lines (Nasca's PADsynth, 2006) for ensembles.
FM voices are Chowning's (1973), computed sample by sample with the index limited by Carson's rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from lh_mm.audio.instruments.filters import Filter

BAND_LIMIT = 0.45
"""Share of the sample rate above which no partial is made."""
LEAST_PERIODS = 40.0
"""A loop of fewer periods finds no length that is close enough to the pitch."""
CLOSE_ENOUGH = 4e-4
"""Relative error of a loop's pitch that is let pass for a shorter loop: 0.7 cents."""


@dataclass(frozen=True)
class Harmonics:
    """The source of a subtractive voice.

    Attributes:
        shape: `saw`, `square`, `pulse`, `triangle`, `sine`, or `partials`.
        mix: share of a square in a saw, 0..1 (only `saw`).
        pulse_width: of `pulse`, 0..0.5.
        partials: amplitudes of harmonics 1, 2, ... (only `partials`).
        ratios: frequency ratios of the partials; empty means 1, 2, 3, ...
        stretch: inharmonicity B of a stiff string, f_k = k f sqrt(1 + B k^2).
        sub: level of a sine an octave below.
        noise: level of noise through the same filter, relative to the tone.
        formants: (hz, gain, width in octaves) peaks of a body, fixed in frequency.
        unison: copies, `detune_cents` apart at the outermost, spread over `width` of the stereo field.
        bandwidth_cents: widens partials into bands (an ensemble); 0 gives lines.
        loop_s: length of the loop; what beats slowly needs a long one.
    """

    shape: str = "saw"
    mix: float = 0.0
    pulse_width: float = 0.5
    partials: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()
    stretch: float = 0.0
    sub: float = 0.0
    noise: float = 0.0
    formants: tuple[tuple[float, float, float], ...] = ()
    unison: int = 1
    detune_cents: float = 0.0
    width: float = 0.8
    bandwidth_cents: float = 0.0
    loop_s: float = 0.75

    def lines(self, f0_hz: float, limit_hz: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Frequencies and signed amplitudes of the partials below the limit, each (K,)."""
        if self.shape == "partials":
            amplitudes = np.array(self.partials)
            ratios = np.array(self.ratios) if self.ratios else np.arange(1.0, len(amplitudes) + 1)
        else:
            ratios = np.arange(1.0, max(2.0, min(limit_hz / f0_hz, 400.0) + 1))
            amplitudes = self._shape_amplitudes(ratios)
        hz = f0_hz * ratios * np.sqrt(1.0 + self.stretch * np.square(ratios))
        if self.sub:
            hz, amplitudes = np.append(hz, 0.5 * f0_hz), np.append(amplitudes, self.sub)
        for centre_hz, gain, octaves in self.formants:
            amplitudes = amplitudes * (1.0 + (gain - 1.0) * np.exp(-0.5 * np.square(np.log2(hz / centre_hz) / octaves)))
        inside = hz < limit_hz
        return hz[inside], amplitudes[inside]

    def _shape_amplitudes(self, k: NDArray[np.float64]) -> NDArray[np.float64]:
        odd = k % 2
        if self.shape == "saw":
            return (1.0 - self.mix * (1.0 - odd)) / k
        if self.shape == "square":
            return odd / k
        if self.shape == "pulse":
            return np.sin(np.pi * k * self.pulse_width) / k
        if self.shape == "triangle":
            return odd / np.square(k) * np.where(k % 4 == 3, -1.0, 1.0)
        if self.shape == "sine":
            return np.where(k == 1, 1.0, 0.0)
        raise ValueError(f"unknown oscillator shape {self.shape!r}: saw, square, pulse, triangle, sine or partials")


@lru_cache(maxsize=1)
def _smooth_lengths() -> NDArray[np.int64]:
    """Even lengths up to 2^21 without prime factors above 11, sorted: those a fast Fourier transform likes."""
    lengths = np.array([2], np.int64)
    for prime in (2, 3, 5, 7, 11):
        powers = prime ** np.arange(int(21 / np.log2(prime)) + 1)
        lengths = (lengths[:, None] * powers).ravel()
        lengths = lengths[(lengths > 0) & (lengths <= 1 << 21)]
    return np.unique(lengths)


def loop_length(f0_hz: float, loop_s: float, sample_rate: int) -> tuple[int, int]:
    """A length near `loop_s` that holds an even number of periods (a sub-oscillator's too), and that number.

    Among the lengths of the right order one is within two cents of the pitch.
    """
    least = round(max(loop_s, LEAST_PERIODS / f0_hz) * sample_rate)
    lengths = _smooth_lengths()
    lengths = lengths[np.searchsorted(lengths, least) : np.searchsorted(lengths, round(1.4 * least))]
    pairs = lengths * f0_hz / sample_rate / 2.0
    error = np.abs(pairs / np.maximum(np.round(pairs), 0.5) - 1.0)
    best = int(np.argmax(error <= max(CLOSE_ENOUGH, float(error.min()))))  # the shortest that is close enough
    return int(lengths[best]), max(2, 2 * round(float(pairs[best])))


def wavetable_bank(
    source: Harmonics,
    filter_: Filter | None,
    cutoffs_hz: NDArray[np.float64],
    f0_hz: float,
    sample_rate: int,
    limit_hz: float,
    num_channels: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """The loop of one pitch at each cutoff, (M, C, L), C = 1 where both channels would be equal.

    No partial lies above `limit_hz`. The level is not normalised here. `rng` gives phases and noise.
    """
    length, periods = loop_length(f0_hz, source.loop_s, sample_rate)
    line_hz = f0_hz / periods  # the loop is played as if its lines lay exactly on the pitch
    hz, amplitudes = source.lines(f0_hz, limit_hz)
    wide = source.unison > 1 or source.bandwidth_cents > 0
    spectrum = np.zeros((2 if wide else 1, length // 2 + 1), np.complex64)
    if source.bandwidth_cents:
        _add_bands(spectrum, hz / line_hz, amplitudes, source, rng)
    else:
        _add_unison(spectrum, hz / line_hz, amplitudes, source, rng)
    if source.noise:
        _add_noise(spectrum, line_hz, float(np.sqrt(np.square(amplitudes).sum())) * source.noise, limit_hz, rng)
    if num_channels == 1 and wide:
        spectrum = spectrum.mean(axis=0, keepdims=True)
    spectrum[:, 0] = 0.0
    used = np.flatnonzero(spectrum.any(axis=0))  # the lines there are: few, unless there is noise
    lines = spectrum[:, used]
    bank = np.zeros((len(cutoffs_hz), len(spectrum), length // 2 + 1), np.complex64)
    for table, cutoff_hz in zip(bank, cutoffs_hz, strict=True):
        table[:, used] = lines * filter_.response(used * line_hz, cutoff_hz).astype(np.float32) if filter_ else lines
    bank *= np.float32(length / 2)
    return np.asarray(scipy.fft.irfft(bank, length, axis=-1, overwrite_x=True), np.float32)


def _add_unison(
    spectrum: NDArray[np.complex64],
    bins: NDArray[np.float64],
    amplitudes: NDArray[np.float64],
    source: Harmonics,
    rng: np.random.Generator,
) -> None:
    """Detuned copies, each with its own start in its period and its own place between left and right."""
    places = np.linspace(-1.0, 1.0, source.unison) if source.unison > 1 else np.zeros(1)
    starts = rng.random(source.unison) if source.unison > 1 else np.zeros(1)
    pans = places[rng.permutation(source.unison)] * source.width
    ratio_of_partial = bins / bins[0] if len(bins) else bins
    for place, start, pan in zip(places, starts, pans, strict=True):
        at = np.round(bins * 2.0 ** (place * source.detune_cents / 1200.0)).astype(np.int64)
        keep = at < spectrum.shape[1]
        # Sine phase for a single copy: it starts at zero with its steepest edge, as an analogue oscillator does.
        lines = -1j * amplitudes * np.exp(2j * np.pi * start * np.round(ratio_of_partial * 2) / 2)
        gains = [np.cos((pan + 1) * np.pi / 4), np.sin((pan + 1) * np.pi / 4)] if len(spectrum) == 2 else [1.0]
        for channel, gain in zip(spectrum, gains, strict=True):
            np.add.at(channel, at[keep], (gain * np.sqrt(len(gains)) * lines[keep]).astype(np.complex64))


def _add_bands(
    spectrum: NDArray[np.complex64],
    bins: NDArray[np.float64],
    amplitudes: NDArray[np.float64],
    source: Harmonics,
    rng: np.random.Generator,
) -> None:
    """Each partial as a Gaussian band of lines with random phases, different left and right."""
    sigmas = np.maximum(bins * (2.0 ** (source.bandwidth_cents / 1200.0) - 1.0), 0.4)
    for centre, amplitude, sigma in zip(bins, amplitudes, sigmas, strict=True):
        reach = int(np.ceil(2.5 * sigma))
        at = int(round(centre)) + np.arange(-reach, reach + 1)
        profile = np.exp(-0.5 * np.square((at - centre) / sigma))
        profile *= amplitude / np.sqrt(np.square(profile).sum())
        turns = rng.random((2, len(at)))
        turns[1] = turns[0] + source.width * 0.5 * (turns[1] - 0.5) * 2
        keep = (at > 0) & (at < spectrum.shape[1])
        for channel in range(len(spectrum)):
            spectrum[channel, at[keep]] += (profile * np.exp(2j * np.pi * turns[channel]))[keep].astype(np.complex64)


def _add_noise(
    spectrum: NDArray[np.complex64], line_hz: float, level: float, limit_hz: float, rng: np.random.Generator
) -> None:
    """Pink noise whose whole power is that of a tone of amplitude `level` (before the filter)."""
    top = min(spectrum.shape[1], int(limit_hz / line_hz))
    hz = np.arange(1, top) * line_hz
    audible = np.log(22050.0 / 30.0)
    shape = np.where(hz > 30.0, np.sqrt(line_hz / np.maximum(hz, 30.0) / audible), 0.0)  # equal power an octave
    for channel in spectrum:
        channel[1:top] += (level * shape * np.exp(2j * np.pi * rng.random(top - 1))).astype(np.complex64)


@dataclass(frozen=True)
class Operator:
    """One carrier and the sine that modulates its phase.

    Attributes:
        ratio, modulator_ratio: frequencies as multiples of the note's.
        index: modulation in radians at full velocity, falling to `index_floor` of itself in `index_decay_s`.
        level: of the carrier; it falls by 60 dB in `decay_s` (0: it does not).
    """

    ratio: float = 1.0
    modulator_ratio: float = 1.0
    index: float = 1.0
    index_decay_s: float = 0.5
    index_floor: float = 0.2
    level: float = 1.0
    decay_s: float = 0.0


def fm_voice(
    operators: tuple[Operator, ...], f0_hz: float, velocity: float, num_samples: int, sample_rate: int, limit_hz: float
) -> NDArray[np.float32]:
    """The sum of the operators, (1, num_samples), octaves lower where a carrier would pass `limit_hz`."""
    limit = limit_hz / f0_hz
    out = np.zeros(num_samples, np.float32)
    cycles = np.arange(num_samples) * (f0_hz / sample_rate)
    seconds = np.arange(num_samples, dtype=np.float32) / np.float32(sample_rate)
    for op in operators:
        ratio = op.ratio if op.ratio < limit else op.ratio * 2.0 ** -np.ceil(np.log2(op.ratio / limit) + 1e-9)
        phase = _turn(cycles * ratio)
        # Carson: the band reaches ratio + (index + 1) * modulator_ratio.
        most = max(0.0, (limit - ratio) / op.modulator_ratio - 1.0)
        peak = min(op.index * (0.3 + 0.7 * velocity), most)
        if peak > 0.0:
            fall = np.exp(seconds * np.float32(-3.0 / op.index_decay_s))
            index = np.float32(peak) * (np.float32(op.index_floor) + np.float32(1.0 - op.index_floor) * fall)
            phase += index * np.sin(_turn(cycles * op.modulator_ratio))
        tone = np.sin(phase)
        if op.decay_s:
            tone *= np.exp(seconds * np.float32(-6.9078 / op.decay_s))
        out += np.float32(op.level) * tone
    return out[None]


def _turn(cycles: NDArray[np.floating]) -> NDArray[np.float32]:
    """Cycles to radians within one turn, so that float32 keeps the phase of long notes."""
    return ((cycles - np.floor(cycles)) * (2 * np.pi)).astype(np.float32)
