"""The synthesizer as a whole: the same always, the right length, the stated loudness, stems that add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from lh_mm.audio.describe import BAND_CENTRES_HZ, describe
from lh_mm.audio.instruments.base import Instrument
from lh_mm.audio.instruments.kits import KITS
from lh_mm.audio.instruments.synth import SOUND_VERSION, TARGET_LUFS, Synth
from lh_mm.audio.io import resample, to_mono
from lh_mm.audio.loudness import integrated_loudness
from lh_mm.core.clock import TempoMap
from lh_mm.music.score import NOTE_DTYPE, Score, make_notes

TEMPO = TempoMap.constant(120.0)
RATE = 44100


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


def band_piece(num_bars: int = 4, kicks: bool = True) -> Score:
    """Drums, bass, a pad and a lead at 120 beats a minute."""
    rows: list[dict[str, float | int | bool]] = []
    for beat in range(4 * num_bars):
        if kicks:
            rows.append({"start_beat": beat, "end_beat": beat + 0.25, "pitch": 36, "velocity": 115, "drum": True})
        rows.append({"start_beat": beat + 0.5, "end_beat": beat + 0.75, "pitch": 42, "velocity": 80, "drum": True})
        if beat % 2:
            rows.append({"start_beat": beat, "end_beat": beat + 0.25, "pitch": 38, "velocity": 100, "drum": True})
        for part in (0.25, 0.5, 0.75):
            rows.append(
                {"start_beat": beat + part, "end_beat": beat + part + 0.2, "pitch": 33, "program": 38, "track": 1}
            )
        if beat % 4 == 0:
            for pitch in (57, 60, 64):
                rows.append({"start_beat": beat, "end_beat": beat + 4, "pitch": pitch, "program": 90, "track": 2})
        rows.append({"start_beat": beat, "end_beat": beat + 0.4, "pitch": 69 + beat % 5, "program": 81, "track": 3})
    return Score(make_notes(rows, TEMPO), TEMPO, 2.0 * num_bars, tracks=("drums", "bass", "pad", "lead"))


PIECE = band_piece()


def test_same_score_same_samples_and_the_protocol() -> None:
    synth = Synth("kit03", 7)
    assert isinstance(synth, Instrument)
    first, second = synth.render(PIECE, 24000), Synth("kit03", 7).render(PIECE, 24000)
    assert np.array_equal(first, second)
    assert first.dtype == np.float32 and np.isfinite(first).all()


def test_kits_and_presets_sound_and_are_named_differently() -> None:
    synths = [
        Synth(),
        Synth("kit01"),
        Synth(preset_seed=1),
        Synth(preset_seed=2),
        Synth(channels=1),
        Synth(target_lufs=-20.0),
    ]
    assert len({s.fingerprint for s in synths}) == len(synths)
    renders = [s.render(PIECE, 16000) for s in synths[:4]]
    for i in range(4):
        for j in range(i):
            assert rms(renders[i] - renders[j]) > 0.1 * rms(renders[i])


def test_labels_choose_the_sound() -> None:
    assert Synth.for_labels({}) == Synth()
    assert Synth.for_labels({"kit": "kit05", "preset_seed": 12, "style": "techno"}) == Synth("kit05", 12)
    with pytest.raises(ValueError, match="kit77"):
        Synth.for_labels({"kit": "kit77"})


@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
@pytest.mark.parametrize("duration_s", [0.001, 0.7531, 2.0])
def test_length_is_exact_at_any_rate(rate: int, duration_s: float) -> None:
    score = replace(one_note(), duration_s=duration_s)
    assert Synth().render(score, rate).shape == (2, round(duration_s * rate))
    assert Synth(channels=1).render(score, rate, tail_s=0.5).shape == (1, round((duration_s + 0.5) * rate))


def test_an_empty_score_is_silence_and_so_are_notes_past_the_end() -> None:
    empty = Score(np.zeros(0, NOTE_DTYPE), TEMPO, 1.5)
    wave = Synth().render(empty, RATE)
    assert wave.shape == (2, 66150) and not wave.any()
    late = replace(one_note(start_s=2.0, end_s=2.5), duration_s=1.0)
    assert not Synth().render(late, RATE).any()
    assert not Synth().render(replace(one_note(drum=True, start_s=2.0, end_s=2.5), duration_s=1.0), RATE).any()


@pytest.mark.parametrize("kit", ["kit00", "kit07", "kit10"])
@pytest.mark.parametrize("target", [TARGET_LUFS, -10.0])
def test_loudness_is_the_target_and_peaks_stay_below_the_ceiling(kit: str, target: float) -> None:
    wave = Synth(kit, target_lufs=target).render(PIECE, RATE)
    assert integrated_loudness(wave, RATE) == pytest.approx(target, abs=1.0)
    assert np.abs(wave).max() <= 10 ** (-1 / 20) + 1e-4
    assert np.abs(wave.mean(axis=1)).max() < 1e-3


def test_mono_is_the_mean_of_stereo() -> None:
    stereo, mono = Synth("kit02", 3).mix(PIECE, 24000), Synth("kit02", 3, channels=1).mix(PIECE, 24000)
    # Saturation of a track acts on each channel, so the two differ by what it makes of the side.
    assert rms(mono - to_mono(stereo)) < 0.03 * rms(mono)
    assert integrated_loudness(Synth(channels=1).render(PIECE, 24000), 24000) == pytest.approx(
        TARGET_LUFS - 3.01, abs=1.0
    )


def test_stems_add_up_to_the_mix() -> None:
    synth = Synth("kit01", 5)
    stems = synth.render_stems(PIECE, 24000)
    assert list(stems) == ["drums", "bass", "pad", "lead"]
    assert all(rms(stem) > 0 for stem in stems.values())
    mix = synth.mix(PIECE, 24000)
    assert np.abs(sum(stems.values()) - mix).max() < 1e-5


def test_tracks_of_one_name_stay_apart() -> None:
    twins = replace(PIECE, tracks=("a", "a", "a", "b"))
    assert list(Synth().render_stems(twins, 16000)) == ["a", "a 2", "a 3", "b"]


def test_the_side_chain_ducks_the_pad_at_each_kick() -> None:
    pads = [Synth().render_stems(band_piece(kicks=kicks), 24000)["pad"] for kicks in (True, False)]
    at_kick = [pad[:, 24000 + 240 : 24000 + 1440] for pad in pads]  # 10 to 60 ms after the kick of second 1
    before = [pad[:, 24000 - 1440 : 24000] for pad in pads]
    assert rms(at_kick[0]) < 0.7 * rms(at_kick[1])
    assert rms(before[0]) == pytest.approx(rms(before[1]), rel=0.1)


def test_lower_rates_have_the_spectrum_of_the_full_rate() -> None:
    full = resample(to_mono(Synth("kit04", 2).render(PIECE, RATE)), RATE, 24000)
    native = Synth("kit04", 2, channels=1).render(PIECE, 24000)
    audible = (BAND_CENTRES_HZ > 40) & (BAND_CENTRES_HZ < 9000)
    difference = (describe(full, 24000).spectrum_db - describe(native, 24000).spectrum_db)[audible]
    assert np.abs(difference).max() < 2.0 and np.abs(difference).mean() < 0.6


def test_bad_settings_are_named() -> None:
    for settings, word in (
        ({"kit": "909"}, "909"),
        ({"channels": 3}, "channels"),
        ({"preset_seed": -1}, "preset_seed"),
    ):
        with pytest.raises(ValueError, match=word):
            Synth(**settings)


def test_every_kit_is_the_machine_it_says() -> None:
    kicks = {name: Synth(name).render(one_note(36, drum=True, velocity=120), RATE) for name in KITS}
    assert len({wave.tobytes() for wave in kicks.values()}) == len(KITS) == 12
    long, short = (rms(kicks[name][:, RATE // 2 :]) / rms(kicks[name][:, : RATE // 4]) for name in ("kit07", "kit11"))
    assert long > 3 * short


def test_a_change_of_sound_raises_the_version() -> None:
    """Prepared data is keyed by `SOUND_VERSION`; whoever changes the sound raises it and writes new figures here."""
    third_octaves_db = (-9.0, -2.5, -12.4, -14.7, -15.4, -14.6, -15.0, -14.1, -14.8, -17.7, -17.9, -20.7)
    third_octaves_db += (-23.6, -26.6, -27.1, -28.6, -32.6, -32.5, -34.2, -35.6, -35.0, -35.1, -33.1, -34.1)
    figures = describe(Synth("kit05", 3).mix(PIECE, 24000), 24000)
    assert SOUND_VERSION == 1
    assert figures.spectrum_db[2:26] == pytest.approx(third_octaves_db, abs=0.15)  # 40 Hz to 8 kHz
    assert (figures.loudness_lufs, figures.crest_db) == pytest.approx((-9.58, 10.74), abs=0.05)
