"""Shared areas of distributions and runs of copied notes, by cases whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lh_mm.core.clock import TempoMap
from lh_mm.data.symbolic import MidiTokConfig, MusenetConfig, PerformanceConfig, RemiConfig
from lh_mm.evaluate.copies import CopyIndex, note_codes
from lh_mm.evaluate.distributions import feature_values, overlap_areas
from lh_mm.music.score import Meter, Score, make_notes
from lh_mm.music.tokenizer import decode_tokens

TEMPO = TempoMap.constant(120.0)


def score_of(*rows: tuple[float, float, int], drums: tuple[float, ...] = ()) -> Score:
    notes = [{"start_beat": a, "end_beat": b, "pitch": p} for a, b, p in rows]
    notes += [{"start_beat": a, "end_beat": a + 0.25, "pitch": 36, "drum": True} for a in drums]
    return Score(make_notes(notes, TEMPO), TEMPO, 30.0)


def melody(pitches: list[int], start: float = 0.0) -> Score:
    return score_of(*((start + i * 0.5, start + i * 0.5 + 0.5, p) for i, p in enumerate(pitches)))


def test_features_are_counted_on_sixteenths() -> None:
    values = feature_values(score_of((0, 1, 60), (0, 1, 64), (4, 4.5, 61), drums=(2.0,)))
    assert sorted(values["pitch"].tolist()) == [60, 61, 64]
    assert sorted(values["pitch_class"].tolist()) == [0, 1, 4]
    assert sorted(values["duration"].tolist()) == [2, 4, 4]
    assert values["drum"].tolist() == [36]
    assert feature_values(score_of((0, 0.01, 60)))["duration"].tolist() == [1]  # nothing shorter can be written
    assert "notes_a_bar" not in feature_values(score_of((0, 1, 60)), has_bars=False)
    assert values["onset_interval"].tolist() == [8, 8]
    assert values["notes_a_bar"].tolist() == [3, 1]
    assert all(len(v) == 0 for v in feature_values(score_of()).values())
    early = score_of((3.95, 5, 60), (4.5, 5, 61), (7.9, 9, 62))
    assert feature_values(early)["notes_a_bar"].tolist() == [2, 1]
    # Beats of a piece that is cut at a second between two bar lines are not its bars.
    piece = score_of((0, 1, 60), (4, 5, 61), (6.25, 7, 62), (8, 9, 63), (10.25, 11, 64), (12, 13, 65))
    cut = piece.crop(0.8, 30.0)  # 1.6 beats in
    assert feature_values(cut)["notes_a_bar"].tolist() == [2, 2, 1]
    assert feature_values(cut)["onset_interval"].tolist() == [9, 7, 9, 7]
    assert feature_values(replace(cut, meters=(Meter(0.0, 4, 4),)))["notes_a_bar"].tolist() == [1, 2, 2]


def test_areas_are_one_for_equal_and_nought_for_disjoint_music() -> None:
    a, b = melody([60, 62, 64, 65]), melody([48, 50, 52, 53])
    same = overlap_areas([a, a], [a, a], ["x", "y"])
    assert all(interval.value == pytest.approx(1.0) for interval in same.values())
    apart = overlap_areas([a, a], [b, b], ["x", "y"])
    assert apart["pitch"].value == 0.0
    assert apart["duration"].value == pytest.approx(1.0)
    half = overlap_areas([melody([60, 60, 60, 60])], [melody([60, 60, 61, 61])], ["x"])
    assert half["pitch"].value == pytest.approx(0.5)
    assert "pitch" not in overlap_areas([score_of(drums=(0.0, 1.0))], [a], ["x"])
    assert overlap_areas([score_of(drums=(0.0, 1.0))], [score_of(drums=(0.0, 2.0))], ["x"])["drum"].value == 1.0


def test_an_interval_of_areas_holds_its_value() -> None:
    # Areas of resampled pieces are smaller than that of all: percentiles of them would lie below it.
    rng = np.random.default_rng(0)
    sides = [[melody(rng.integers(40, 80, 12).tolist()) for _ in range(24)] for _ in range(2)]
    areas = overlap_areas(*sides, [str(i) for i in range(24)])
    assert areas["pitch"].low < areas["pitch"].value < areas["pitch"].high
    features = [areas[name].value for name in areas if name != "mean"]
    assert areas["mean"].value == pytest.approx(np.mean(features))
    assert areas["mean"].low < areas["mean"].value
    assert overlap_areas([], [], []) == {}


def test_the_longest_copied_run_is_found() -> None:
    rng = np.random.default_rng(0)
    train = [melody(rng.integers(30, 90, 200).tolist()) for _ in range(5)]
    index = CopyIndex(train)
    assert index.longest(train[2]) == 200
    copied = train[3].notes["pitch"][40:77].astype(int).tolist()
    made = melody([100, 101, 102, *copied, 103, 104], start=8.0)  # at another time, between other notes
    # The last copied note is followed by another interval only if the rhythm changes: here it does not.
    assert index.longest(made) == 37
    assert index.longest(melody([100, 101, 102])) == 0
    assert index.longest(score_of()) == 0
    assert CopyIndex([]).longest(made) == 0
    faster = score_of(*((i * 0.25, i * 0.25 + 0.25, p) for i, p in enumerate(copied)))
    assert index.longest(faster) <= 1
    cut = train[1].crop(3.3, 30.0)  # where its sixteenths do not lie on those of beat 0
    assert index.longest(cut) == len(cut) - 1  # the last one has no gap behind it
    drums = CopyIndex([score_of(drums=(0.0, 1.0, 2.0))])
    assert drums.longest(score_of((0, 1, 36), (1, 2, 36), (2, 3, 36))) == 0


@pytest.mark.parametrize("kind", [RemiConfig, PerformanceConfig, MusenetConfig, MidiTokConfig])
@pytest.mark.parametrize("program", [-1, 0, 32])
def test_what_tokens_bring_back_is_a_copy(kind: type[RemiConfig], program: int) -> None:
    # Of one instrument, for performance events say none: a drum that came back as a piano would be copied from nowhere.
    notes = [
        {"start_beat": i / 2, "end_beat": i / 2 + 0.25, "pitch": 36 + i % 7, "program": max(program, 0),
         "drum": program < 0}
        for i in range(40)
    ]  # fmt: skip
    score = Score(make_notes(notes, TEMPO), TEMPO, 10.0)
    tokenizer = kind().tokenizer((program,))
    back = decode_tokens(tokenizer, tokenizer.encode(score).ids, TEMPO)
    assert CopyIndex([score]).longest(back) == 40
    assert (back.notes["program"] == max(program, 0)).all() and (back.notes["drum"] == (program < 0)).all()


def test_chords_are_coded_by_onset_and_pitch() -> None:
    codes = note_codes(score_of((0, 1, 64), (0, 1, 60), (1, 2, 62)))
    assert codes.tolist() == [60 + 256 * 4, 64 + 256 * 4, 62]


def test_copies_of_music_without_beats_are_found_by_their_seconds() -> None:
    rng = np.random.default_rng(1)
    starts = np.cumsum(rng.integers(3, 60, 80)) / 100  # played: 10 ms grid, no tempo
    pitches = rng.integers(30, 90, 80)

    def played(shift_s: float, bpm: float) -> Score:
        tempo = TempoMap.constant(bpm)
        rows = [
            {"start_s": a + shift_s, "end_s": a + shift_s + 0.1, "pitch": int(p)}
            for a, p in zip(starts, pitches, strict=True)
        ]
        return Score(make_notes(rows, tempo), tempo, 60.0)

    known, copied = played(0.0, 97.0), played(0.37, 120.0)
    assert CopyIndex([known], by_seconds=True).longest(copied) == 80
    assert CopyIndex([known]).longest(copied) < 20  # the same notes on the grid of another tempo
