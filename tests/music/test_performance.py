"""The 388 performance events: ids, order, waits, velocities, FIFO ends."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lh_mm.core.clock import TempoMap
from lh_mm.music.performance import Performance
from lh_mm.music.score import Score, make_notes

TOKENS = Performance()
NOTE = st.tuples(st.integers(0, 400), st.integers(1, 150), st.integers(58, 62), st.integers(1, 127))


def score_of(*rows: tuple[float, float, int, int]) -> Score:
    """Notes (start s, end s, pitch, velocity)."""
    tempo = TempoMap.constant(120.0)
    notes = [{"start_s": a, "end_s": b, "pitch": p, "velocity": v} for a, b, p, v in rows]
    return Score(make_notes(notes, tempo), tempo, max((b for _, b, _, _ in rows), default=0.0))


def names(score: Score) -> list[str]:
    return [TOKENS.name(i) for i in TOKENS.encode(score).ids.tolist()]


def test_ids_are_those_of_the_paper() -> None:
    assert TOKENS.size == 128 + 128 + 100 + 32 == 388
    assert [TOKENS.name(i) for i in (0, 127, 128, 255, 256, 355, 356, 387)] == [
        "NoteOn_0", "NoteOn_127", "NoteOff_0", "NoteOff_127", "Shift_1", "Shift_100", "Velocity_1", "Velocity_32"
    ]  # fmt: skip
    assert Performance.from_json(TOKENS.to_json()) == TOKENS
    with pytest.raises(ValueError, match="388"):
        Performance.from_json('{"kind": "performance", "size": 310}')


def test_a_velocity_stands_before_the_on_that_changes_it() -> None:
    assert names(score_of((0, 0.5, 60, 80), (0, 0.5, 64, 78), (0.5, 1, 60, 90))) == [
        "Velocity_20", "NoteOn_60", "NoteOn_64", "Shift_50", "NoteOff_60", "NoteOff_64", "Velocity_23", "NoteOn_60",
        "Shift_50", "NoteOff_60",
    ]  # fmt: skip


def test_at_one_step_events_stand_by_their_note_and_not_offs_first() -> None:
    # Note 1 (pitch 50) begins where note 2 (pitch 60) began and ends; the later note's off stands behind.
    assert names(score_of((0, 1, 60, 80), (0.5, 1.5, 62, 80), (1, 2, 60, 80)))[4:] == [
        "Shift_50", "NoteOff_60", "NoteOn_60", "Shift_50", "NoteOff_62", "Shift_50", "NoteOff_60"
    ]  # fmt: skip


def test_long_waits_are_seconds_and_a_remainder() -> None:
    assert names(score_of((2.5, 5.5, 60, 80))) == [
        "Shift_100", "Shift_100", "Shift_50", "Velocity_20", "NoteOn_60", "Shift_100", "Shift_100", "Shift_100",
        "NoteOff_60",
    ]  # fmt: skip
    assert np.allclose(TOKENS.encode(score_of((2.5, 5.5, 60, 80))).times_s, [1, 2, 2.5, 2.5, 2.5, 3.5, 4.5, 5.5, 5.5])


def test_overlapping_notes_of_a_pitch_end_in_the_order_they_began() -> None:
    ids = TOKENS.encode(score_of((0, 2, 60, 80), (1, 1.5, 60, 100))).ids
    notes = TOKENS.decode(ids).notes
    assert notes["start_s"].tolist() == [0, 1]
    assert notes["end_s"].tolist() == [1.5, 2.0]  # first in, first out
    assert notes["velocity"].tolist() == [77, 97]


def test_what_has_no_meaning_is_an_error_or_counted() -> None:
    problems: dict[str, int] = {}
    score = TOKENS.decode([60, 128 + 61, 128 + 60, 62, 255 + 10], problems)
    assert problems == {"off_silent": 1, "empty": 1}
    assert [(n["pitch"], n["end_s"]) for n in score.notes] == [(62, 0.1)]  # closed at the end
    with pytest.raises(ValueError, match=r"token 0 \(NoteOff_61\)"):
        TOKENS.decode([128 + 61])
    with pytest.raises(ValueError, match="388"):
        TOKENS.decode([388])


def test_an_empty_piece_has_no_tokens() -> None:
    assert len(TOKENS.encode(score_of())) == 0
    assert len(TOKENS.decode([]).notes) == 0


def test_a_bundle_says_its_grid() -> None:
    assert json.loads(TOKENS.to_json())["steps_per_s"] == 100
    assert Performance.from_json('{"kind": "performance", "size": 388, "program": 0}') == TOKENS  # before it was said
    with pytest.raises(ValueError, match="steps_per_s of performance tokens is 125, this lh_mm knows 100"):
        Performance.from_json('{"kind": "performance", "size": 388, "steps_per_s": 125}')


def test_what_is_decoded_is_played_by_the_program_of_the_corpus() -> None:
    assert [(n["program"], n["drum"]) for n in TOKENS.decode([60, 300, 128 + 60]).notes] == [(0, False)]
    assert TOKENS.decode([60, 300]).tracks == ("piano",)
    assert Performance.from_json('{"kind": "performance", "size": 388}').program == 0  # bundles before it was said
    kit, bass = Performance(-1), Performance(33)
    assert [(n["program"], n["drum"]) for n in kit.decode([36, 300, 128 + 36]).notes] == [(0, True)]
    assert [(n["program"], n["drum"]) for n in bass.decode([36, 300, 128 + 36]).notes] == [(33, False)]
    assert Performance.from_json(kit.to_json()) == kit
    ids = np.array([356, 36, 300, 128 + 36])
    assert kit.transposed(ids, 3).tolist() == ids.tolist()  # another key is another drum
    assert bass.transposed(ids, 3).tolist() == [356, 39, 300, 128 + 39]
    with pytest.raises(ValueError, match="program 128"):
        Performance(128)


@settings(max_examples=80, derandomize=True, deadline=None)
@given(st.lists(NOTE, max_size=25))
def test_decoding_and_encoding_again_changes_nothing(rows: list[tuple[int, int, int, int]]) -> None:
    score = score_of(*((a / 100, (a + length) / 100, p, v) for a, length, p, v in rows))
    first = TOKENS.encode(score)
    decoded = TOKENS.decode(first.ids)
    assert len(decoded.notes) == first.num_notes == len(rows)
    assert int(TOKENS.begins_note(first.ids).sum()) == len(rows)
    assert sorted(decoded.notes["pitch"].tolist()) == sorted(p for *_, p, _ in rows)
    # Notes of one pitch may have exchanged their ends; from there on nothing moves.
    again = TOKENS.encode(decoded)
    assert (
        TOKENS.decode(again.ids).notes.tolist()
        == TOKENS.decode(TOKENS.encode(TOKENS.decode(again.ids)).ids).notes.tolist()
    )
    for i, (name, step) in enumerate(zip(first.ids.tolist(), np.rint(first.times_s * 100).tolist(), strict=True)):
        assert 0 <= name < 388, i
        assert step >= 0
