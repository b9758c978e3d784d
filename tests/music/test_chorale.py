"""Chorales on sixteenths: voices in turn, rests, held notes, and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lh_mm.core.clock import TempoMap
from lh_mm.music.chorale import PROGRAMS, REST, SILENT, Chorale, score_of_steps, steps_of_score

TOKENS, TEMPO = Chorale(), TempoMap.constant(80.0)
TABLES = arrays(np.int64, st.tuples(st.integers(1, 30), st.just(4)), elements=st.sampled_from([SILENT, 60, 61, 67]))


def test_tokens_stand_voice_by_voice_and_step_by_step() -> None:
    steps = np.array([[74, 70, 65, 58], [74, 70, SILENT, 58]])
    tokens = TOKENS.encode(score_of_steps(steps, TEMPO))
    assert tokens.ids.tolist() == [74, 70, 65, 58, 74, 70, REST, 58]
    assert np.allclose(tokens.times_s, [0] * 4 + [60 / 80 / 4] * 4)
    assert tokens.num_notes == 8
    assert [TOKENS.name(i) for i in (60, REST)] == ["Pitch_60", "Rest"]


def test_equal_pitches_in_a_row_are_one_note_and_voices_do_not_melt() -> None:
    score = score_of_steps(np.array([[60, 60, 55, 50], [60, 62, 55, 50]]), TEMPO)
    notes = [(int(n["track"]), int(n["pitch"]), float(n["end_beat"] - n["start_beat"])) for n in score.notes]
    assert sorted(notes) == [(0, 60, 0.5), (1, 60, 0.25), (1, 62, 0.25), (2, 55, 0.5), (3, 50, 0.5)]
    assert len(set(PROGRAMS)) == 4
    assert score.tracks == ("soprano", "alto", "tenor", "bass")


@settings(max_examples=60, derandomize=True, deadline=None)
@given(TABLES)
def test_a_table_survives(steps: np.ndarray) -> None:
    score = score_of_steps(steps, TEMPO)
    assert np.array_equal(steps_of_score(score, 4), steps)
    ids = TOKENS.encode(score).ids
    assert np.array_equal(steps_of_score(TOKENS.decode(ids, TEMPO), 4), steps)
    legal = TOKENS.legal(ids.astype(np.int64), is_start=True)
    assert legal[np.arange(len(ids)), ids].all()
    assert legal[:, 130].tolist() == [i % 4 == 0 for i in range(len(ids) + 1)]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        score_of_steps(np.array([[60, 128]]), TEMPO)
    with pytest.raises(ValueError, match=r"0\.\.128"):
        TOKENS.decode([129], TEMPO)
    with pytest.raises(ValueError, match="2 voices"):
        Chorale(2).encode(score_of_steps(np.array([[60, 61, 62, 63]]), TEMPO))
    assert Chorale.from_json(TOKENS.to_json()) == TOKENS


def test_a_bundle_says_its_grid() -> None:
    assert json.loads(TOKENS.to_json())["steps_per_beat"] == 4
    old = '{"kind": "chorale", "voices": 4, "size": 129}'  # bundles before it was said
    assert Chorale.from_json(old) == TOKENS
    with pytest.raises(ValueError, match="steps_per_beat of chorale tokens is 8, this lh_mm knows 4"):
        Chorale.from_json(old.replace("}", ', "steps_per_beat": 8}'))


def test_transposition_moves_all_or_nothing() -> None:
    ids = np.array([60, REST, 126], np.int64)
    assert TOKENS.transposed(ids, 1).tolist() == [61, REST, 127]
    assert TOKENS.transposed(ids, 2).tolist() == ids.tolist()
