"""Each sound by itself: every program and drum is heard, in tune, at once, without clicks or aliases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from lh_mm.audio.instruments.drum_map import SOUNDS, one_shot
from lh_mm.audio.instruments.envelopes import Adsr
from lh_mm.audio.instruments.filters import Filter, walk
from lh_mm.audio.instruments.kits import KITS
from lh_mm.audio.instruments.oscillators import Harmonics, loop_length
from lh_mm.audio.instruments.patch import Patch
from lh_mm.audio.instruments.patches import PROGRAMS, patch_of
from lh_mm.audio.instruments.synth import Synth
from lh_mm.audio.instruments.voices import add_notes, hz_of
from lh_mm.audio.loudness import integrated_loudness
from lh_mm.core.clock import TempoMap
from lh_mm.music.score import Score, make_notes

TEMPO = TempoMap.constant(120.0)
RATE = 44100
PITCHED = [p for p in range(119) if p not in (96, 101, 115)]
"""Programs with one pitch: not noises, and not a block too short to tell."""
SLOW = {*range(48, 55), *range(88, 96), 44, *range(97, 104), 119, *range(120, 128)}


def rms(wave: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.square(wave, dtype=np.float64).mean()))


def one_note(
    pitch: int = 60,
    program: int = 0,
    velocity: int = 100,
    drum: bool = False,
    start_s: float = 0.1,
    end_s: float = 0.6,
    duration_s: float = 1.0,
) -> Score:
    note = {"start_s": start_s, "end_s": end_s, "pitch": pitch, "velocity": velocity, "drum": drum}
    note["program"] = 0 if drum else program
    return Score(make_notes([note], TEMPO), TEMPO, duration_s)


def dry(patch: Patch, pitch: int, velocity: int = 127, seconds: float = 1.0, rate: int = 44100) -> NDArray[np.float32]:
    """One note of a patch from second 0, without effects, (samples,) of the left channel."""
    out = np.zeros((2, round((seconds + patch.amp.release_s + 0.1) * rate)), np.float32)
    notes = one_note(pitch, 0, velocity, start_s=0.0, end_s=seconds, duration_s=seconds).notes
    add_notes(out, patch, notes, rate, seed=0)
    return out[0]


def pitch_hz(wave: NDArray[np.float32], rate: int, near_hz: float) -> float:
    """Fundamental from the autocorrelation near a multiple of the expected period."""
    spectrum = np.fft.rfft(wave, 4 * len(wave))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: len(wave)] / (len(wave) - np.arange(len(wave)))
    multiple = max(1, min(20, int(0.25 * len(wave) * near_hz / rate)))
    lag = multiple * rate / near_hz
    low = int(lag * 0.98)
    at = low + int(np.argmax(correlation[low : int(lag * 1.02) + 2]))
    before, here, after = correlation[at - 1 : at + 2]
    return rate * multiple / (at + 0.5 * (before - after) / (before - 2 * here + after))


def cents(hz: float, against_hz: float) -> float:
    return float(1200.0 * np.log2(hz / against_hz))


@pytest.mark.parametrize("family", range(16))
def test_every_program_sounds_at_every_octave(family: int) -> None:
    for program in range(8 * family, 8 * family + 8):
        patch = PROGRAMS[program]
        for pitch in (12, 36, 60, 84, 108, 127):
            wave = dry(patch, pitch, 100, 0.3, 24000)
            assert np.isfinite(wave).all()
            assert np.abs(wave).max() > 0.01, f"{patch.name} at pitch {pitch}"


@pytest.mark.parametrize("kit", ["kit00", "kit09"])
def test_every_drum_key_sounds_at_once_and_ends_in_silence(kit: str) -> None:
    for pitch in range(128):
        wave = one_shot(KITS[kit], pitch, 1.0, (0,))
        peak = np.abs(wave).max()
        assert np.isfinite(wave).all() and 0.05 < peak < 1.5
        assert np.flatnonzero(np.abs(wave) > 0.1 * peak)[0] < 0.012 * RATE
        assert abs(wave[-1]) < 1e-3 and abs(wave.mean()) < 0.02 * peak
    assert set(range(35, 82)) <= set(SOUNDS)


@pytest.mark.parametrize("program", PITCHED)
def test_in_tune_within_ten_cents(program: int) -> None:
    patch = PROGRAMS[program]
    if isinstance(patch.source, Harmonics):  # copies beat; their centre is tested below
        patch = replace(patch, source=replace(patch.source, unison=1, bandwidth_cents=0.0))
    for pitch in (48, 60, 72):
        wave = dry(patch, pitch, seconds=1.2)[int(0.05 * RATE) : int(0.9 * RATE)]
        assert abs(cents(pitch_hz(wave, RATE, hz_of(pitch)), hz_of(pitch))) < 10.0, f"{patch.name} at {pitch}"


def test_unison_is_centred_on_its_pitch() -> None:
    # Copies beat, so a short piece of a supersaw is off; over a whole loop its fundamental's centre is not.
    patch = Patch("saws", Harmonics("saw", unison=7, detune_cents=14.0, loop_s=2.4), Adsr(0.001, 1.0, 1.0, 0.1))
    wave = dry(patch, 60, seconds=2.4)
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / RATE)
    near = np.abs(hz - hz_of(60)) < 8.0
    assert abs(cents(float((power * hz)[near].sum() / power[near].sum()), hz_of(60))) < 3.0


@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
def test_loops_hold_their_pitch_within_two_cents(rate: int) -> None:
    for pitch in range(128):
        for loop_s in (0.5, 0.75, 2.4):
            length, periods = loop_length(hz_of(pitch), loop_s, rate)
            assert periods % 2 == 0 and abs(cents(periods * rate / length, hz_of(pitch))) < 2.0


@pytest.mark.parametrize("program", [p for p in range(128) if p not in SLOW])
def test_what_carries_rhythm_speaks_at_once(program: int) -> None:
    wave = np.abs(dry(PROGRAMS[program], 60, 110, 0.5))
    onset_s = np.flatnonzero(wave > 0.2 * wave[: RATE // 4].max())[0] / RATE
    assert onset_s < (0.03 if 40 <= program < 80 or program in (20, 22, 110, 109, 111) else 0.01), PROGRAMS[
        program
    ].name


def test_pads_speak_within_their_attack() -> None:
    for program in SLOW - {119, 122}:
        wave = np.abs(dry(PROGRAMS[program], 60, 110, 0.8))
        assert np.flatnonzero(wave > 0.2 * wave[: RATE // 2].max())[0] < 0.08 * RATE, PROGRAMS[program].name


@pytest.mark.parametrize("program", [0, 16, 33, 38, 48, 80, 81, 89, 4])
@pytest.mark.parametrize("pitch", [36, 69])
def test_note_ends_do_not_click(program: int, pitch: int) -> None:
    """The release is a low-passed event: above 6 kHz nothing rises where the key is let go."""
    patch = patch_of(program, 0)
    wave = dry(patch, pitch, seconds=0.4137)
    end = round(0.4137 * RATE)
    high = np.diff(wave, n=4)  # rises 24 dB an octave: a click stands out of any tone
    around = np.abs(high[end - 50 : end + 50]).max()
    assert around <= 1.5 * np.abs(high[end - 2000 : end - 100]).max() + 1e-4
    assert np.abs(wave[-200:]).max() < 1e-6


@pytest.mark.parametrize("program", [0, 4, 5, 6, 38, 62, 80, 81, 87])
@pytest.mark.parametrize("rate", [24000, 44100])
def test_high_notes_do_not_alias(program: int, rate: int) -> None:
    """Energy away from the partials of a high note is 50 dB below it (tracks' saturation and effects left out)."""
    pitch, patch = 93, PROGRAMS[program]
    wave = dry(patch, pitch, 127, 1.0, rate)[round(0.1 * rate) : round(0.9 * rate)]
    power = np.abs(np.fft.rfft(wave * np.blackman(len(wave)))) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / rate)
    width = 0.03 * hz + 25.0  # unison, inharmonicity, vibrato, the window
    grid_hz = 0.5 * hz_of(pitch)  # sub-oscillators sound an octave below
    nearest = np.round(hz / grid_hz) * grid_hz
    away = (np.abs(hz - nearest) > np.minimum(width, 0.35 * grid_hz)) | (hz < 0.5 * grid_hz)
    assert 10 * np.log10(power[away].sum() / power.sum()) < -50.0


@pytest.mark.parametrize("program", [0, 5, 16, 30, 38, 56, 81, 90])
def test_louder_keys_are_louder(program: int) -> None:
    waves = [dry(PROGRAMS[program], 60, velocity, 0.6)[None] for velocity in range(7, 128, 12)]
    assert (np.diff([integrated_loudness(w, RATE) for w in waves]) > 0.0).all()


@pytest.mark.parametrize("pitch", [36, 38, 42, 46, 49, 56])
def test_harder_hits_are_louder_and_brighter(pitch: int) -> None:
    mixes = [Synth().mix(one_note(pitch, drum=True, velocity=v), RATE) for v in (20, 45, 70, 100, 127)]
    assert (np.diff([integrated_loudness(m, RATE) for m in mixes]) > 0.0).all()
    tilt = []
    for mix in (mixes[0], mixes[-1]):
        power = np.abs(np.fft.rfft(mix[0])) ** 2
        hz = np.fft.rfftfreq(mix.shape[1], 1 / RATE)
        tilt.append((power * hz).sum() / power.sum())
    assert tilt[1] > tilt[0]


def test_a_closed_hat_stops_an_open_one() -> None:
    opened = {"start_s": 0.0, "end_s": 0.1, "pitch": 46, "drum": True, "velocity": 110}
    closed = {"start_s": 0.1, "end_s": 0.2, "pitch": 42, "drum": True, "velocity": 10}
    free, choked = (
        Synth().mix(Score(make_notes(rows, TEMPO), TEMPO, 0.5), RATE) for rows in ([opened], [opened, closed])
    )
    late = slice(int(0.2 * RATE), None)
    assert rms(choked[:, late]) < 0.5 * rms(free[:, late])


def test_filter_opens_and_closes_where_it_says() -> None:
    filter_ = Filter(1000.0, 0.7071, 2)
    assert filter_.response(np.array([10.0]), 1000.0) == pytest.approx(1.0, abs=1e-3)
    assert 20 * np.log10(filter_.response(np.array([1000.0]), 1000.0)) == pytest.approx(-3.01, abs=0.1)
    assert 20 * np.log10(filter_.response(np.array([8000.0]), 1000.0)) == pytest.approx(-36.1, abs=0.5)
    four = Filter(1000.0, 0.7071, 4).response(np.array([8000.0]), 1000.0)
    assert 20 * np.log10(four) == pytest.approx(-72.2, abs=0.5)
    low, high = filter_.reach(60, 0.5)
    path = filter_.octaves(60, 0.5, 100, RATE)
    assert low == pytest.approx(high) == pytest.approx(float(path[0]))


def test_walking_a_bank_blends_neighbours_and_loops() -> None:
    bank = np.stack([np.zeros((1, 4)), np.ones((1, 4)), np.full((1, 4), 3.0)]).astype(np.float32)
    bank[1, 0] = [1, 2, 3, 4]
    out = walk(bank, np.array([0.0, 0.5, 1.0, 1.0, 1.0, 1.5, 2.0], np.float32), 7)
    assert out[0].tolist() == [0.0, 1.0, 3.0, 4.0, 1.0, 2.5, 3.0]
    assert walk(bank, np.array([0.5], np.float32), 6)[0].tolist() == [0.5, 1.0, 1.5, 2.0, 0.5, 1.0]


def test_envelopes_begin_and_end_at_zero() -> None:
    held = Adsr(0.01, 0.2, 0.5, 0.1).held(RATE, RATE)
    assert held[0] == 0.0 and held.max() <= 1.0 and held[-1] == pytest.approx(0.5, abs=1e-3)
    release = Adsr(0.01, 0.2, 0.5, 0.1).release(RATE)
    assert release[0] == 1.0 and release[-1] == 0.0 and (np.diff(release) < 0).all()


def test_presets_vary_within_reason_and_alike_each_time() -> None:
    for program in (38, 81, 89, 5):
        assert patch_of(program, 9) == patch_of(program, 9) != patch_of(program, 10)
        assert patch_of(program, 0) is PROGRAMS[program]
        assert abs(patch_of(program, 9).level_db - PROGRAMS[program].level_db) <= 1.5
