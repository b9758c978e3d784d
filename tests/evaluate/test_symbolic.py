"""Measures of symbolic music on pieces whose figures can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lh_mm.core.clock import TempoMap
from lh_mm.evaluate.symbolic import (
    drum_pattern_consistency,
    empty_measure_rate,
    groove_consistency,
    measures,
    note_f1,
    notes_per_second,
    pitch_class_entropy,
    polyphony,
    polyphony_rate,
    scale_consistency,
)
from lh_mm.music.score import Meter, Score, make_notes

TEMPO = TempoMap.constant(60.0)  # a beat a second


def piece(*rows: tuple[float, float, int], drums: tuple[tuple[float, float, int], ...] = ()) -> Score:
    """Notes (start, end, pitch) in beats."""
    pitched = [{"start_beat": s, "end_beat": e, "pitch": p} for s, e, p in rows]
    hits = [{"start_beat": s, "end_beat": e, "pitch": p, "drum": True} for s, e, p in drums]
    end = max((e for _, e, _ in (*rows, *drums)), default=4.0)
    return Score(make_notes(pitched + hits, TEMPO), TEMPO, end)


QUARTERS = [(float(beat), beat + 1.0, 60) for beat in range(8)]


def test_two_identical_bars_are_one_and_in_muspys_convention_less() -> None:
    score = piece(*QUARTERS)
    assert groove_consistency(score).value == 1.0
    muspy = groove_consistency(score, convention="muspy")
    assert muspy.value == 0.875 and muspy.name == "groove_consistency_muspy"
    assert "16/bar" in muspy.grid and "4/beat" in muspy.grid
    short = piece(*QUARTERS[:-1], (7.0, 7.5, 60))
    assert groove_consistency(short, convention="muspy").value == 1.0  # nothing ends on the bar line


def test_drums_are_on_quarters_or_on_thirds_of_beats() -> None:
    def of(*beats: float) -> float:
        return drum_pattern_consistency(piece((0.1, 1.0, 60), drums=tuple((b, b + 0.1, 36) for b in beats))).value

    assert of(0.0, 0.25, 0.5, 1.75) == 1.0
    assert of(0.0, 1 / 3, 2 / 3, 4 / 3) == 1.0
    assert of(0.0, 0.25, 1 / 3, 2 / 3) == 0.75  # thirds have three of them
    assert of(0.0, 1 / 12) == 0.5
    assert math.isnan(of())
    assert drum_pattern_consistency(piece(drums=((0.02, 0.1, 36),))).value == 1.0  # played, nearest step
    with pytest.raises(ValueError, match="divisible by 12"):
        drum_pattern_consistency(piece(), steps_per_beat=4)


def test_groove_depends_on_the_grid_and_hears_drums() -> None:
    moved = [(s + (0.25 if s >= 4 else 0.0), s + 0.5, 60) for s, _, _ in QUARTERS]
    score = piece(*moved)
    assert groove_consistency(score).value == 0.5
    assert groove_consistency(score, steps_per_beat=12).value == pytest.approx(1 - 8 / 48)
    with_drum = piece(*QUARTERS, drums=((0.5, 0.6, 36),))
    assert groove_consistency(with_drum).value == pytest.approx(1 - 1 / 16)
    assert math.isnan(groove_consistency(piece((0.0, 4.0, 60))).value)
    assert math.isnan(groove_consistency(piece()).value)


def test_entropy_counts_classes_without_drums() -> None:
    score = piece((0.0, 1.0, 60), (0.0, 1.0, 72), (1.0, 2.0, 64), (1.0, 2.0, 76), drums=((0.0, 1.0, 37),) * 9)
    assert pitch_class_entropy(score).value == pytest.approx(1.0)
    assert pitch_class_entropy(piece(*[(0.0, 1.0, 60 + k) for k in range(12)])).value == pytest.approx(np.log2(12))
    assert math.isnan(pitch_class_entropy(piece()).value)


def test_scale_consistency_takes_the_best_of_major_and_minor() -> None:
    d_minor = piece(*[(0.0, 1.0, 62 + step) for step in (0, 2, 3, 5, 7, 8, 10)])
    assert scale_consistency(d_minor).value == 1.0
    assert scale_consistency(piece(*[(0.0, 1.0, 60 + k) for k in range(12)])).value == pytest.approx(7 / 12)


def test_polyphony_counts_distinct_pitches_where_something_sounds() -> None:
    score = piece((0.0, 1.0, 60), (0.0, 1.0, 60), (0.0, 0.5, 64), (3.0, 4.0, 67), drums=((0.0, 4.0, 36),))
    assert polyphony(score).value == pytest.approx((2 + 2 + 1 + 1 + 4) / 8)
    assert polyphony_rate(score, threshold=1).value == pytest.approx(2 / 16)
    assert polyphony_rate(score).value == 0.0
    assert math.isnan(polyphony(piece()).value)


def test_a_note_end_on_the_bar_line_fills_the_next_bar_only_for_muspy() -> None:
    score = piece((0.0, 4.0, 60), (8.0, 9.0, 60))
    assert empty_measure_rate(score).value == pytest.approx(1 / 3)
    assert empty_measure_rate(score, convention="muspy").value == 0.0
    assert empty_measure_rate(piece((0.0, 12.0, 60))).value == 0.0
    assert empty_measure_rate(piece((5.0, 6.0, 60))).value == 0.5


def test_note_f1_by_hand() -> None:
    reference = piece((0.0, 1.0, 60), (1.0, 2.0, 62), (2.0, 3.0, 64), drums=((0.0, 0.1, 36),))
    estimate = piece((0.04, 1.0, 60), (1.06, 2.0, 62), (2.0, 2.4, 64), (3.0, 4.0, 65))
    found = note_f1(reference, estimate)
    assert (found.onset_precision, found.onset_recall) == (pytest.approx(2 / 4), pytest.approx(2 / 3))
    assert found.onset == pytest.approx(4 / 7) and found.offset == pytest.approx(2 / 7)
    assert note_f1(reference, reference).offset == 1.0
    assert note_f1(reference, piece()).onset == 0.0 and note_f1(piece(), piece()).onset == 1.0
    drums = note_f1(reference, reference, drums=True)
    assert drums.onset == 1.0 and math.isnan(drums.offset)
    assert note_f1(reference, piece((0.0, 0.1, 36)), drums=True).onset == 0.0


def test_every_figure_says_how_it_was_taken() -> None:
    rows = [measure.to_dict() for measure in measures(piece(*QUARTERS))]
    assert len({row["name"] for row in rows}) == len(rows) == 11
    assert all(row["note"] or row["grid"] != "none" for row in rows)
    assert [row["name"] for row in rows if not np.isfinite(row["value"])] == ["drum_pattern_consistency"]  # no drums
    # A piece of three beats a bar, cut between two of its lines, has the figures it has from a line on.
    waltz = replace(piece(*((float(beat), beat + 0.5, 60) for beat in range(0, 36, 3))), meters=(Meter(0.0, 3, 4),))
    assert {m.name: (m.value, m.grid) for m in measures(waltz)}["groove_consistency"] == (
        1.0, "4/beat, 12/bar from a bar line",
    )  # fmt: skip
    cut = waltz.crop(0.7, waltz.duration_s)  # 1.4 beats in
    assert {m.name: m.value for m in measures(cut)}["groove_consistency"] == 1.0
    assert {m.name: m.value for m in measures(cut)}["empty_measure_rate"] == 0.0
    tiny = replace(piece(*QUARTERS), meters=(Meter(0.0, 1, 64),))
    assert len(measures(tiny)) == 11  # bars shorter than a step
    free = [measure.to_dict() for measure in measures(piece(*QUARTERS), has_beats=False)]
    assert free and all(row["grid"] == "none" for row in free)
    assert notes_per_second(piece(*QUARTERS)).value == pytest.approx(1.0)
