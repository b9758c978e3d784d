"""Shared areas of distributions, by cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from lh_mm.core.clock import TempoMap
from lh_mm.evaluate.distributions import feature_values, overlap_areas
from lh_mm.music.score import Score, make_notes

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
    assert "notes_a_bar" not in feature_values(score_of((0, 1, 60)), beats_per_bar=None)
    assert values["onset_interval"].tolist() == [8, 8]
    assert values["notes_a_bar"].tolist() == [3, 1]
    assert all(len(v) == 0 for v in feature_values(score_of()).values())


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
