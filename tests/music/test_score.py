"""Scores cut and counted from bar lines: where beat 0 and meters stand then."""

from __future__ import annotations

import numpy as np
import pytest

from lh_mm.core.clock import TempoMap
from lh_mm.music.score import Meter, Score, make_notes, meters_from

TEMPO = TempoMap.constant(120.0)


def piece(*starts: float, meters: tuple[Meter, ...] = (Meter(0.0, 4, 4),), tempo_map: TempoMap = TEMPO) -> Score:
    notes = make_notes([{"start_beat": a, "end_beat": a + 0.5, "pitch": 60} for a in starts], tempo_map)
    return Score(notes, tempo_map, 30.0, meters)


@pytest.mark.parametrize(
    ("second_0", "first", "line"),
    [
        (0.0, 0.0, 0.0),  # an ordinary piece stays as it is
        (0.0, 9.0, 0.0),  # empty bars before the first note are bars
        (-1.86, 1.0, 0.0),  # second 0 lies before the first bar line, no note does
        (-1.86, -1.0, -4.0),  # an upbeat
        (-0.1, -0.05, 0.0),  # struck a little early
        (2.14, 2.5, 0.0),  # cut in the middle of a bar, with a note in the rest of it
        (2.14, 5.0, 4.0),
        (4.0, 4.0, 4.0),
    ],
)
def test_bars_are_counted_from_a_bar_line(second_0: float, first: float, line: float) -> None:
    tempo_map = TempoMap(TEMPO.beats, TEMPO.seconds - float(TEMPO.to_seconds(second_0)))
    score = piece(first, first + 4.0, tempo_map=tempo_map)
    made = score.from_bar_line()
    assert made.notes["start_beat"].tolist() == pytest.approx([first - line, first + 4.0 - line])
    assert made.notes["start_s"].tolist() == score.notes["start_s"].tolist()
    assert made.tempo_map.to_seconds(made.notes["start_beat"]).tolist() == pytest.approx(made.notes["start_s"].tolist())
    again = made.from_bar_line()
    assert np.array_equal(again.notes, made.notes)


def test_a_cut_piece_keeps_its_bar_lines() -> None:
    meters = (Meter(0.0, 4, 4), Meter(8.0, 3, 4), Meter(20.0, 4, 4))
    score = piece(*np.arange(0.0, 24.0, 1.0), meters=meters)
    cut = score.crop(5.5, 12.0)  # from beat 11: a bar of three begins there
    assert [(m.start_beat, m.numerator) for m in cut.meters] == [(-3.0, 3), (9.0, 4)]
    assert cut.from_bar_line().notes["start_beat"].tolist() == cut.notes["start_beat"].tolist()
    off = score.crop(5.0, 12.0)  # from beat 10, two beats into a bar of three
    assert off.from_bar_line().notes["start_beat"][0] == pytest.approx(2.0)


def test_bars_are_those_of_the_meter_with_most_notes() -> None:
    upbeat = piece(0.0, *np.arange(1.0, 17.0), meters=(Meter(0.0, 1, 4), Meter(1.0, 4, 4)))
    assert upbeat.main_meter() == Meter(1.0, 4, 4)
    moved = upbeat.from_bar_line()
    assert moved.notes["start_beat"][:2].tolist() == [3.0, 4.0]
    assert moved.main_meter().bar_beats == 4.0
    short = piece(0.0, 2.0, 3.0, 6.0, meters=(Meter(0.0, 2, 4), Meter(2.0, 4, 4), Meter(6.0, 2, 4)))
    assert short.main_meter().numerator == 2  # two and two notes: the one that comes first
    assert piece(meters=(Meter(0.0, 3, 4), Meter(6.0, 4, 4))).main_meter().numerator == 3


def test_meters_begin_at_or_before_beat_0() -> None:
    assert meters_from((Meter(0.0, 4, 4),), -6.0) == (Meter(-2.0, 4, 4),)
    assert meters_from((Meter(0.0, 3, 4), Meter(6.0, 4, 4)), 6.0) == (Meter(0.0, 4, 4),)
    assert meters_from((Meter(0.0, 3, 4), Meter(6.0, 4, 4)), 4.0) == (Meter(-4.0, 3, 4), Meter(2.0, 4, 4))
