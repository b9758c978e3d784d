"""Measures of sound against mir_eval, against sounds whose answer is known, and in four rows."""

from __future__ import annotations

from dataclasses import replace

import mir_eval
import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lh_mm.audio.mel import FLOOR, SAMPLE_RATE, log_mel, mel_distance, mel_filterbank, stft_magnitude
from lh_mm.core.clock import TempoMap
from lh_mm.evaluate.audio import (
    bass_notes,
    bass_pitch_class_accuracy,
    mel_correlation,
    onset_scores,
    si_sdr_db,
)
from lh_mm.evaluate.four_rows import Crop, FourRows, judge, pair_by_style, retimed_notes
from lh_mm.music.score import make_notes

TIMES = st.lists(st.integers(0, 2000), max_size=40).map(lambda ms: sorted(x / 200 for x in ms))


def notes_at(starts_s: list[float], pitches: list[int], program: int = 38, length_s: float = 0.2) -> NDArray[np.void]:
    rows = [
        {"start_s": start, "end_s": start + length_s, "pitch": pitch, "program": program}
        for start, pitch in zip(starts_s, pitches, strict=True)
    ]
    return make_notes(rows, TempoMap.constant(120.0))


def sound_of(notes: NDArray[np.void], duration_s: float) -> NDArray[np.float32]:
    """Plucked tones with a few harmonics."""
    wave = np.zeros(round(duration_s * SAMPLE_RATE))
    for note in notes:
        start, end = round(note["start_s"] * SAMPLE_RATE), min(len(wave), round(note["end_s"] * SAMPLE_RATE))
        seconds = np.arange(end - start) / SAMPLE_RATE
        hz = 440.0 * 2 ** ((int(note["pitch"]) - 69) / 12)
        fade = np.minimum(1.0, np.minimum(seconds / 0.002, (seconds[-1] - seconds) / 0.01))
        wave[start:end] += fade * sum(np.sin(2 * np.pi * hz * k * seconds) / k for k in range(1, 8))
    return (0.2 * wave).astype(np.float32)


@given(TIMES, TIMES, st.sampled_from([0.025, 0.05]))
@settings(derandomize=True, max_examples=200)
def test_matching_is_as_great_as_that_of_mir_eval(given_s: list[float], found_s: list[float], tolerance: float) -> None:
    given_s, found_s = sorted(set(given_s)), sorted(set(found_s))
    scores = onset_scores(given_s, found_s, tolerance, merge_s=0.0)
    reference = mir_eval.util.match_events(np.array(given_s), np.array(found_s), tolerance + 1e-9)
    assert scores.num_matched == len(reference)
    if given_s and found_s:
        f1, precision, recall = mir_eval.onset.f_measure(np.array(given_s), np.array(found_s), tolerance + 1e-9)
        assert (scores.f1, scores.precision, scores.recall) == pytest.approx((f1, precision, recall))


def test_a_chord_is_one_onset_and_one_find_matches_one_note() -> None:
    chord = onset_scores([1.0, 1.005, 1.029], [1.01], 0.05)
    assert (chord.f1, chord.num_given) == (1.0, 1)
    one_for_two = onset_scores([1.0, 1.04], [1.02], 0.05)
    assert (one_for_two.num_matched, one_for_two.recall, one_for_two.precision) == (1, 0.5, 1.0)


def test_the_tolerance_is_in_seconds_and_includes_its_edge() -> None:
    assert onset_scores([1.0], [1.05], 0.05).f1 == 1.0
    assert onset_scores([1.0], [1.051], 0.05).f1 == 0.0
    assert onset_scores([1.0], [1.03], 0.025).f1 == 0.0
    with pytest.raises(ValueError, match="tolerance_s"):
        onset_scores([1.0], [1.0], 0.0)


def test_nothing_given_is_undefined_and_nothing_found_is_zero() -> None:
    assert np.isnan(onset_scores([], [1.0], 0.05).f1)
    assert onset_scores([1.0], [], 0.05).f1 == 0.0


def test_mel_agrees_with_torchaudio() -> None:
    bank = torchaudio.functional.melscale_fbanks(513, 0.0, 12000.0, 80, 24000, norm="slaney", mel_scale="slaney")
    assert np.abs(bank.T.numpy() - mel_filterbank()).max() < 1e-6
    wave = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    window = torch.hann_window(1024)
    spectrum = torch.stft(torch.tensor(wave), 1024, 256, window=window, return_complex=True).abs().T.numpy()
    assert np.abs(spectrum - stft_magnitude(wave)).max() < 1e-4


def test_mel_distance_is_nats() -> None:
    wave = np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32)
    assert mel_distance(wave, wave) == 0.0
    assert mel_distance(wave * np.float32(np.e), wave) == pytest.approx(1.0, abs=1e-3)
    assert log_mel(np.zeros(3000, np.float32)).max() == pytest.approx(np.log(FLOOR))
    with pytest.raises(ValueError, match=r"24000.*44100"):
        mel_distance(wave, wave, 44_100)
    with pytest.raises(ValueError, match="length"):
        mel_distance(wave, wave[1:])


def test_mel_correlation_hears_notes_and_not_levels_or_timbre() -> None:
    first = sound_of(notes_at([0.1, 0.5, 0.9, 1.3], [40, 52, 47, 59]), 2.0)
    other = sound_of(notes_at([0.3, 0.7, 1.1, 1.6], [55, 43, 62, 50]), 2.0)
    noise = 1e-3 * np.random.default_rng(0).standard_normal((2, len(first))).astype(np.float32)
    first, again, other = first + noise[0], 0.3 * first + noise[1], other + noise[1]
    assert mel_correlation(first, first, SAMPLE_RATE) == pytest.approx(1.0)
    assert mel_correlation(first, again, SAMPLE_RATE) > 0.7
    assert mel_correlation(first, other, SAMPLE_RATE) < 0.2
    assert np.isnan(mel_correlation(first, np.zeros_like(first), SAMPLE_RATE))


def test_bass_is_read_from_its_own_notes_only() -> None:
    pitches = [28, 31, 33, 36, 40, 43, 45, 35]
    starts = [0.1 + 0.3 * i for i in range(len(pitches))]
    bass = notes_at(starts, pitches, length_s=0.28)
    wave = sound_of(bass, 2.6)
    assert bass_pitch_class_accuracy(wave, bass, SAMPLE_RATE) == 1.0
    moved = bass.copy()
    moved["pitch"] += 1
    assert bass_pitch_class_accuracy(wave, moved, SAMPLE_RATE) == 0.0
    octave = bass.copy()
    octave["pitch"] += 12
    assert bass_pitch_class_accuracy(wave, octave, SAMPLE_RATE) == 1.0
    lead = notes_at(starts, [72] * len(pitches), program=81)
    assert len(bass_notes(np.concatenate([bass, lead]))) == len(bass)
    assert bass_pitch_class_accuracy(np.zeros_like(wave), bass, SAMPLE_RATE) == 0.0
    drums = bass.copy()
    drums["drum"] = True
    assert np.isnan(bass_pitch_class_accuracy(wave, drums, SAMPLE_RATE))


def test_a_kick_does_not_pass_for_the_bass() -> None:
    bass = notes_at([0.0, 0.5, 1.0], [33, 38, 40], length_s=0.48)
    kick_rows = [{"start_s": s, "end_s": s + 0.1, "pitch": 36, "drum": True} for s in (0.0, 0.5, 1.0)]
    kicks = make_notes(kick_rows, TempoMap.constant(120.0))
    seconds = np.arange(round(0.19 * SAMPLE_RATE)) / SAMPLE_RATE
    thump = 3.0 * np.sin(2 * np.pi * (46 * seconds + 3 * (1 - np.exp(-seconds / 0.02)))) * np.exp(-seconds / 0.08)
    wave = sound_of(bass, 1.5)
    for start_s in (0.0, 0.5, 1.0):
        start = round(start_s * SAMPLE_RATE)
        wave[start : start + len(thump)] += thump.astype(np.float32)
    assert bass_pitch_class_accuracy(wave, np.concatenate([bass, kicks]), SAMPLE_RATE) == 1.0
    everywhere = kicks.repeat(8)
    everywhere["start_s"] += np.tile(np.arange(8), 3) * 0.06
    assert np.isnan(bass_pitch_class_accuracy(wave, np.concatenate([bass, everywhere]), SAMPLE_RATE))


def test_without_a_bass_program_the_lowest_sounding_note_is_the_bass() -> None:
    low, high = notes_at([0.0, 1.0], [40, 45], program=0, length_s=0.9), notes_at([0.0, 0.5], [52, 57], program=0)
    short = notes_at([2.0], [38], program=0, length_s=0.05)
    assert sorted(bass_notes(np.concatenate([high, low, short]))["pitch"]) == [40, 45]


def test_si_sdr_of_known_noise() -> None:
    generator = np.random.default_rng(0)
    target, noise = generator.standard_normal((2, 100_000))
    assert si_sdr_db(target + 0.1 * noise, target) == pytest.approx(20.0, abs=0.2)
    assert si_sdr_db(7.0 * (target + 0.1 * noise), target) == pytest.approx(20.0, abs=0.2)
    assert si_sdr_db(target, target) == 100.0
    assert np.isnan(si_sdr_db(target, np.zeros_like(target)))


def crops(num_pieces: int = 6, faithful: bool = True) -> list[Crop]:
    """Pieces of eighth notes with gaps; the "codec" adds noise, the "generation" sounds the notes or others."""
    made, duration_s = [], 4.0
    for i in range(num_pieces):
        generator = np.random.default_rng(i)
        step_s = 0.25 if i % 2 else 0.24
        taken = np.flatnonzero(generator.random(int(duration_s / step_s)) < 0.5)
        taken = taken if len(taken) else np.array([0])
        notes = notes_at((taken * step_s + 0.01).tolist(), generator.integers(33, 48, len(taken)).tolist())
        notes["end_s"] = np.minimum(notes["end_s"], duration_s)
        wave = sound_of(notes, duration_s)
        noisy = wave + 1e-3 * generator.standard_normal(len(wave)).astype(np.float32)
        made.append(Crop(f"piece{i}", "techno" if i % 2 else "house", 60 / step_s / 2, 0.01, notes, wave, noisy, noisy))
    if not faithful:
        made = [replace(crop, generated=made[(i + 4) % num_pieces].generated) for i, crop in enumerate(made)]
    return made


def test_a_faithful_generation_reaches_the_codec_and_another_piece_reaches_nothing() -> None:
    faithful = judge(crops(), num_resamples=100)
    ratio = faithful.ratios["onset_f1_50ms"]
    assert ratio is not None and ratio.value == pytest.approx(1.0) and ratio.num_pieces == 6
    generated, shuffled = (faithful.rows[row] for row in ("generated", "shuffled"))
    for name in ("onset_f1_25ms", "bass_accuracy", "mel_correlation"):
        own, other = generated[name], shuffled[name]
        assert own is not None and other is not None
        assert own.value > other.value + 0.2, name
    assert faithful.rows["original"]["mel_distance"] is None  # of the reference to itself: a dash
    assert faithful.rows["generated"]["si_sdr_db"] is None  # phase is not kept: a dash
    strict = faithful.ratios_on_beat["onset_f1_50ms"]
    assert strict is not None and strict.value == pytest.approx(1.0)  # nothing is lost, whatever chance reaches
    unfaithful = judge(crops(faithful=False), num_resamples=100).ratios["onset_f1_50ms"]
    assert unfaithful is not None and unfaithful.value < 0.5


def test_the_table_goes_through_json_and_is_deterministic() -> None:
    table = judge(crops(4), num_resamples=50)
    assert FourRows.model_validate_json(table.model_dump_json()) == table
    assert judge(crops(4), num_resamples=50) == table
    assert (table.num_crops, table.crop_s, table.num_resamples) == (4, 4.0, 50)


def test_pieces_are_paired_with_others_of_their_style() -> None:
    made = crops(6)
    assert pair_by_style(made) == [2, 3, 4, 5, 0, 1]
    twice = [made[0], replace(made[0], notes=made[0].notes[:1]), made[1]]
    assert pair_by_style(twice) == [None, None, None]
    table = judge(twice, num_resamples=10)
    assert table.num_unpaired == 3 and table.rows["shuffled"]["onset_f1_50ms"] is None
    assert table.ratios["onset_f1_50ms"] is None


def test_other_notes_are_laid_on_this_tempo_and_downbeat() -> None:
    slow = replace(crops(1)[0], tempo_bpm=100.0, downbeat_s=0.5, notes=notes_at([0.5, 1.1, 1.7], [40, 41, 42]))
    fast = replace(slow, tempo_bpm=120.0, downbeat_s=0.2)
    assert retimed_notes(slow, fast, on_beat=True)["start_s"].tolist() == pytest.approx([0.2, 0.7, 1.2])
    assert retimed_notes(slow, fast)["start_s"].tolist() == pytest.approx([0.5 / 1.2, 1.1 / 1.2, 1.7 / 1.2])
    late = replace(slow, notes=notes_at([3.9, 4.5], [40, 41]))
    assert len(retimed_notes(late, slow)) == 1  # the crop is 4 s long


def test_unequal_waves_and_no_crops_are_refused() -> None:
    crop = crops(1)[0]
    with pytest.raises(ValueError, match=r"piece0.*generated"):
        judge([replace(crop, generated=crop.generated[:-1])])
    with pytest.raises(ValueError, match="no crops"):
        judge([])
