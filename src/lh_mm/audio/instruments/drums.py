"""Drums: each sound of General MIDI's percussion map synthesised from sines, squares and noise.

Kicks are sines that fall in pitch into a saturator, snares a skin and wires, claps bursts of band noise, hats and
cymbals six squares in no harmonic relation (the TR-808's), the rest small resonators. Everything is made once a
velocity band at 44.1 kHz and resampled if another rate is asked, so a kit is the same kit at every rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from lh_mm.audio.instruments.envelopes import decay
from lh_mm.audio.instruments.kits import Kit

RATE = 44100
CLUSTER = (1.0, 1.483, 1.800, 2.546, 2.630, 3.897)
"""The six oscillators of the TR-808's cymbals, as ratios to the lowest (205.3 Hz)."""

Wave = NDArray[np.float64]


@dataclass(frozen=True)
class Hit:
    """What a drum function receives: the kit, how hard (0..1) and its own generator."""

    kit: Kit
    velocity: float
    rng: np.random.Generator

    def time(self, seconds: float) -> Wave:
        return np.arange(int(seconds * RATE)) / RATE

    def noise(self, seconds: float) -> Wave:
        return self.rng.standard_normal(int(seconds * RATE))

    @property
    def brightness(self) -> float:
        return 0.45 + 0.55 * self.velocity


def filtered(wave: Wave, kind: str, hz: float | tuple[float, float], order: int = 2) -> Wave:
    """Butterworth, with its edges held below the Nyquist frequency."""
    top = 0.49 * RATE
    edges = min(hz, top) if isinstance(hz, (int, float)) else (min(hz[0], 0.8 * top), min(hz[1], top))
    return np.asarray(sosfilt(_sections(kind, edges, order), wave))


@lru_cache(maxsize=512)
def _sections(kind: str, edges: float | tuple[float, float], order: int) -> NDArray[np.float64]:
    """A filter's design, which takes longer than filtering a short sound."""
    return np.asarray(butter(order, edges, kind, fs=RATE, output="sos"))


def layered(*waves: Wave) -> Wave:
    """Sounds of different lengths, together."""
    out = np.zeros(max(len(wave) for wave in waves))
    for wave in waves:
        out[: len(wave)] += wave
    return out


def _ring(hit: Hit, hz: float, seconds: float, drop: float = 0.0, drop_s: float = 0.02) -> Wave:
    """A decaying sine that starts `drop` times higher and falls to its pitch."""
    t = hit.time(seconds * 1.1)
    phase = hz * t + hz * drop * drop_s * (1.0 - np.exp(-t / drop_s))
    return np.sin(2 * np.pi * phase) * decay(len(t), RATE, seconds)


def _metal(hit: Hit, lowest_hz: float, seconds: float) -> Wave:
    """The cluster of squares, band-limited: its lines are laid in one loop's spectrum."""
    length = 32768
    spectrum = np.zeros(length // 2 + 1, np.complex128)
    for ratio in CLUSTER:
        harmonics = np.arange(1, int(0.45 * RATE / (lowest_hz * ratio)) + 1, 2)
        at = np.round(harmonics * lowest_hz * ratio * length / RATE).astype(int)
        np.add.at(spectrum, at, np.exp(2j * np.pi * hit.rng.random()) ** harmonics / harmonics)
    loop = scipy.fft.irfft(spectrum, length) * length / 2
    return np.resize(loop / loop.std(), int(seconds * RATE))


def kick(hit: Hit, tune: float = 1.0, length: float = 1.0) -> Wave:
    """A sine that falls to its pitch, a beater, a saturator."""
    kit = hit.kit
    t = hit.time(kit.kick_decay_s * length * 1.05)
    sweep = kit.kick_sweep_hz * (0.6 + 0.4 * hit.velocity)
    phase = kit.kick_hz * tune * t + sweep * kit.kick_sweep_s * (1.0 - np.exp(-t / kit.kick_sweep_s))
    # A second, much faster fall is the beater: a third of a turn that spreads over all frequencies.
    phase += kit.kick_click * hit.brightness * 1.2 * (1.0 - np.exp(-t / 0.0015))
    body = np.sin(2 * np.pi * phase) * np.minimum(1.0, t / 0.0008)
    # A bass drum holds a moment before it falls: a pure exponential sounds like a tom.
    body *= np.exp(-np.square(t / (0.5 * kit.kick_decay_s * length))) * 0.6 + 0.4 * decay(
        len(t), RATE, kit.kick_decay_s * length
    )
    click = filtered(hit.noise(0.02), "bandpass", (1500.0, 9000.0), 1) * decay(int(0.02 * RATE), RATE, 0.012)
    body[: len(click)] += kit.kick_click * 0.7 * hit.brightness * click
    drive = 1.0 + (kit.kick_drive - 1.0) * (0.5 + 0.5 * hit.velocity)
    return np.tanh(drive * body) / np.tanh(drive)


def snare(hit: Hit, tune: float = 1.0, length: float = 1.0) -> Wave:
    """Two modes of a skin and the noise of the wires."""
    kit = hit.kit
    seconds = max(kit.snare_noise_s, kit.snare_tone_s) * length * 1.1
    out = np.zeros(int(seconds * RATE) + 1)
    for ratio, level in ((1.0, 1.0), (1.79, 0.6)):
        skin = _ring(hit, kit.snare_hz * tune * ratio, kit.snare_tone_s * length, 0.5, 0.012)[: len(out)]
        out[: len(skin)] += 1.4 * kit.snare_tone * level * skin
    wires = filtered(hit.noise(seconds), "highpass", kit.snare_noise_hz, 1)
    wires = filtered(wires, "lowpass", 14000.0 * hit.brightness, 1) * decay(
        len(wires), RATE, kit.snare_noise_s * length
    )
    out[: len(wires)] += (1.0 - kit.snare_tone) * 0.9 * hit.brightness * wires
    return np.tanh(1.4 * out)


def clap(hit: Hit) -> Wave:
    """Three short bursts of band noise, 9 ms apart, and a longer one."""
    kit = hit.kit
    noise = filtered(hit.noise(kit.clap_s + 0.05), "bandpass", (kit.clap_hz * 0.7, kit.clap_hz * 3.2), 1)
    envelope = np.zeros(len(noise))
    for start_s, seconds, level in (
        (0.0, 0.012, 1.0),
        (0.009, 0.012, 0.9),
        (0.019, 0.012, 0.9),
        (0.028, kit.clap_s, 0.8),
    ):
        start = int(start_s * RATE)
        envelope[start:] = np.maximum(envelope[start:], level * decay(len(noise) - start, RATE, 2.2 * seconds))
    return noise * envelope * (0.7 + 0.3 * hit.brightness)


def hat(hit: Hit, seconds: float) -> Wave:
    """The cluster and noise, high-passed; its length makes it closed or open."""
    kit = hit.kit
    total = seconds * 1.1
    metal = _metal(hit, kit.metal_hz * 1.6, total)
    source = kit.metal * metal + (1.0 - kit.metal) * 1.2 * hit.noise(total)
    source = filtered(source, "highpass", kit.hat_high_pass_hz, 3)
    source = filtered(source, "lowpass", 17000.0 * hit.brightness, 1)
    return source * decay(len(source), RATE, seconds)


def cymbal(hit: Hit, seconds: float, metal: float, low_hz: float, scale: float = 1.0, bell: float = 0.0) -> Wave:
    """A strike of highs over a longer wash, with the ring of a bell if asked."""
    kit = hit.kit
    total = seconds * 1.05
    source = metal * _metal(hit, kit.metal_hz * 2.1 * scale, total) + (1.0 - metal) * hit.noise(total)
    out = filtered(source, "highpass", low_hz, 2) * decay(len(source), RATE, seconds)
    strike = filtered(source, "highpass", 6000.0, 2) * decay(len(source), RATE, 0.12 * seconds + 0.05)
    out = filtered(0.6 * out + 0.8 * strike, "lowpass", 16000.0 * hit.brightness, 1)
    if bell:
        for ratio in (1.0, 1.503, 2.61):
            tone = _ring(hit, 940.0 * scale * ratio, 0.7 * seconds)[: len(out)]
            out[: len(tone)] += bell * tone / ratio
    return out


def tom(hit: Hit, semitones: float) -> Wave:
    """A sine that sinks, `semitones` above the kit's lowest."""
    kit = hit.kit
    hz = kit.tom_hz * 2.0 ** (semitones / 12.0)
    out = _ring(hit, hz, kit.tom_s * 1.6, 0.55 * hit.velocity, 0.04)
    breath = filtered(hit.noise(0.12), "bandpass", (300.0, 3000.0), 1) * decay(int(0.12 * RATE), RATE, 0.1)
    out[: len(breath)] += 0.25 * hit.brightness * breath
    return np.tanh(1.3 * out)


def drum(hit: Hit, hz: float, seconds: float, noise: float = 0.1, drop: float = 0.2) -> Wave:
    """Hand drums: a skin with its second mode and the slap of the hand."""
    hz *= hit.kit.tune
    out = _ring(hit, hz, seconds, drop, 0.015)
    second = _ring(hit, hz * 1.593, 0.5 * seconds)
    out[: len(second)] += 0.35 * second
    slap = filtered(hit.noise(0.03), "bandpass", (1200.0, 6000.0), 1) * decay(int(0.03 * RATE), RATE, 0.02)
    slap = slap[: len(out)]
    out[: len(slap)] += noise * 4.0 * hit.brightness * slap
    return out


def blocks(hit: Hit, hz: float, seconds: float, ratios: tuple[float, ...] = (1.0, 2.71), click: float = 0.2) -> Wave:
    """Struck wood and metal: a few sines and a click."""
    out = np.zeros(int(seconds * 1.1 * RATE))
    for i, ratio in enumerate(ratios):
        tone = _ring(hit, min(hz * hit.kit.tune * ratio, 18000.0), seconds / (1.0 + 0.5 * i))[: len(out)]
        out[: len(tone)] += tone / (1.0 + i)
    burst = filtered(hit.noise(0.01), "highpass", 2000.0) * decay(int(0.01 * RATE), RATE, 0.008)
    out[: len(burst)] += click * hit.brightness * burst[: len(out)]
    return out


def cowbell(hit: Hit, scale: float = 1.0, seconds: float = 0.3) -> Wave:
    """The TR-808's two squares, 540 and 800 Hz."""
    t = hit.time(seconds)
    out = np.zeros(len(t))
    for hz in (540.0, 800.0):
        for k in range(1, 14, 2):
            out += np.sin(2 * np.pi * hz * scale * hit.kit.tune * k * t) / k
    shaped = out * (0.6 * decay(len(t), RATE, 0.06) + 0.4 * decay(len(t), RATE, seconds))
    return filtered(shaped, "bandpass", (500.0 * scale, 6000.0 * hit.brightness), 1)


def shaker(hit: Hit, seconds: float, low_hz: float, attack_s: float = 0.004) -> Wave:
    """Shakers, maracas and cabasas: a puff of high noise."""
    noise = filtered(hit.noise(seconds * 1.1 + attack_s), "highpass", low_hz, 2)
    rise = np.minimum(1.0, np.arange(len(noise)) / (attack_s * RATE))
    return filtered(noise * rise * decay(len(noise), RATE, seconds), "lowpass", 16000.0 * hit.brightness, 1)


def scrape(hit: Hit, seconds: float, low_hz: float, high_hz: float, rate_hz: float) -> Wave:
    """Guiro, vibraslap and scratch: band noise cut into grains."""
    noise = filtered(hit.noise(seconds), "bandpass", (low_hz, high_hz), 1)
    phase = (np.arange(len(noise)) * rate_hz / RATE) % 1.0
    return noise * np.exp(-5.0 * phase) * decay(len(noise), RATE, 1.6 * seconds) * hit.brightness


def whistle(hit: Hit, seconds: float, hz: float, slide: float = 0.0, noise: float = 0.1) -> Wave:
    """Whistles, cuicas and zaps: a tone that may slide."""
    t = hit.time(seconds)
    bent = hz * hit.kit.tune * 2.0 ** (slide * t / seconds)
    tone = np.sin(2 * np.pi * np.cumsum(bent) / RATE + 0.6 * np.sin(2 * np.pi * 30.0 * t))
    breath = filtered(hit.noise(seconds)[: len(t)], "bandpass", (hz, min(3 * hz, 15000.0)), 1)
    shape = np.minimum(1.0, t / 0.004) * np.minimum(1.0, (seconds - t) / 0.02)
    return (tone + noise * breath) * shape
