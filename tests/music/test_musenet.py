"""MuseNet's 4,097 ids: the published layout, waits, drums without ends, and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lh_mm.core.clock import TempoMap
from lh_mm.music.musenet import INSTRUMENT_OF, START, WAIT, Musenet
from lh_mm.music.score import Score, make_notes
from lh_mm.music.tokenizer import decode_tokens

TOKENS, TEMPO = Musenet(), TempoMap.constant(90.0)
NOTE = st.tuples(
    st.integers(0, 300), st.integers(1, 200), st.integers(58, 61), st.integers(1, 127),
    st.sampled_from([0, 24, 40, 42, 73, -1]),
)  # fmt: skip


def score_of(*rows: tuple[float, float, int, int, int]) -> Score:
    """Notes (start beat, end beat, pitch, velocity, program or -1)."""
    notes = [
        {"start_beat": a, "end_beat": b, "pitch": p, "velocity": v, "program": max(g, 0), "drum": g < 0}
        for a, b, p, v, g in rows
    ]
    return Score(make_notes(notes, TEMPO), TEMPO, 60.0)


def names(score: Score) -> list[str]:
    return [TOKENS.name(i) for i in TOKENS.encode(score).ids.tolist()]


def test_ids_are_those_of_the_public_demo() -> None:
    assert TOKENS.size == 4097
    expected = {
        60: "piano:v0:60", 128 + 60: "piano:v24:60", 13 * 128: "piano:v120:0", 14 * 128 + 1: "violin:v80:1",
        15 * 128 + 1: "violin:v0:1", 16 * 128: "cello:v80:0", 18 * 128: "bass:v80:0", 20 * 128: "guitar:v80:0",
        22 * 128: "flute:v80:0", 24 * 128: "clarinet:v80:0", 26 * 128: "trumpet:v80:0", 28 * 128: "harp:v80:0",
        29 * 128 + 5: "harp:v0:5", 3840 + 36: "drums:v80:36", 3968: "wait:1", 4095: "wait:128", 4096: "start",
    }  # fmt: skip
    assert {token: TOKENS.name(token) for token in expected} == expected
    assert Musenet.from_json(TOKENS.to_json()) == TOKENS
    with pytest.raises(ValueError, match="4097"):
        Musenet.from_json('{"kind": "musenet", "size": 4096}')


def test_a_bundle_says_its_grid() -> None:
    assert json.loads(TOKENS.to_json())["steps_per_beat"] == 48
    assert Musenet.from_json('{"kind": "musenet", "size": 4097}') == TOKENS  # bundles before it was said
    with pytest.raises(ValueError, match="steps_per_beat of musenet tokens is 96, this lh_mm knows 48"):
        Musenet.from_json('{"kind": "musenet", "size": 4097, "steps_per_beat": 96}')


def test_every_program_has_an_instrument() -> None:
    assert len(INSTRUMENT_OF) == 128
    assert (INSTRUMENT_OF[0], INSTRUMENT_OF[33], INSTRUMENT_OF[40], INSTRUMENT_OF[56]) == (
        "piano", "bass", "violin", "trumpet"
    )  # fmt: skip


def test_waits_are_units_of_a_48th_of_a_beat_and_repeat() -> None:
    # The form of the published example: bach piano_strings start tempo90 piano:v72:G1 ... wait:12 piano:v0:B5
    assert names(score_of((0, 0.25, 60, 72, 0), (4, 5, 62, 80, 40), (4, 5, 36, 80, -1))) == [
        "start", "piano:v72:60", "wait:12", "piano:v0:60", "wait:128", "wait:52", "violin:v80:62", "drums:v80:36",
        "wait:48", "violin:v0:62",
    ]  # fmt: skip
    times = TOKENS.encode(score_of((0, 0.25, 60, 72, 0), (4, 5, 62, 80, 40))).times_s
    assert times[-1] == pytest.approx(5 * 60 / 90)


def test_ends_stand_before_begins() -> None:
    assert names(score_of((0, 1, 60, 80, 0), (1, 2, 60, 80, 0)))[3:5] == ["piano:v0:60", "piano:v80:60"]


def test_which_ids_begin_a_note() -> None:
    begins = TOKENS.begins_note(np.arange(4097))
    assert begins.sum() == 128 * (13 + 8 + 1)
    assert not begins[:128].any()
    assert not begins[WAIT:].any()


def test_what_has_no_meaning_is_an_error_or_counted() -> None:
    problems: dict[str, int] = {}
    score = TOKENS.decode([START, 61, 128 + 60, WAIT + 47], TEMPO, problems)
    assert problems == {"off_silent": 1}
    assert [(n["pitch"], n["end_beat"]) for n in score.notes] == [(60, 1.0)]
    with pytest.raises(ValueError, match=r"token 0 \(piano:v0:61\)"):
        TOKENS.decode([61], TEMPO)
    with pytest.raises(ValueError, match="4096"):
        TOKENS.decode([4097], TEMPO)


def test_an_empty_piece_is_its_start() -> None:
    assert TOKENS.encode(score_of()).ids.tolist() == [START]
    assert len(TOKENS.decode([START], TEMPO).notes) == 0


@settings(max_examples=80, derandomize=True, deadline=None)
@given(st.lists(NOTE, max_size=25))
def test_what_was_decoded_survives_unchanged(rows: list[tuple[int, int, int, int, int]]) -> None:
    first = TOKENS.encode(score_of(*((a / 48, (a + n) / 48, p, v, g) for a, n, p, v, g in rows)))
    assert int(TOKENS.begins_note(first.ids).sum()) == first.num_notes == len(rows) - first.num_merged
    decoded = TOKENS.decode(first.ids, TEMPO)
    second = TOKENS.encode(decoded)
    assert len(decoded.notes) == first.num_notes
    assert second.ids.tolist() == first.ids.tolist()
    assert TOKENS.decode(second.ids, TEMPO).notes.tolist() == decoded.notes.tolist()


def test_an_upbeat_stays_before_the_first_bar() -> None:
    # A third of POP909's songs have notes before their beat 0: pressed onto it, they would be one chord, mostly merged.
    score = score_of((-1.5, -1, 60, 80, 0), (-0.5, 0, 62, 80, 0), (0, 1, 64, 80, 0))
    assert TOKENS.first_beat(score) == -4
    tokens = TOKENS.encode(score)
    assert [name for name in names(score) if "v80" in name] == ["piano:v80:60", "piano:v80:62", "piano:v80:64"]
    assert tokens.num_merged == 0
    assert tokens.times_s[0] == TEMPO.to_seconds(-4.0) and tokens.times_s[-1] == TEMPO.to_seconds(1.0)
    back = decode_tokens(TOKENS, tokens.ids, TempoMap(TEMPO.beats + 4, TEMPO.seconds))
    assert (back.notes["start_s"] == score.notes["start_s"]).all()


def test_a_held_note_ends_where_it_begins_again() -> None:
    assert names(score_of((0, 4, 60, 80, 0), (2, 6, 60, 80, 0)))[1:] == [
        "piano:v80:60", "wait:96", "piano:v0:60", "piano:v80:60", "wait:128", "wait:64", "piano:v0:60",
    ]  # fmt: skip


def test_transposition_moves_all_but_drums() -> None:
    score = score_of((0, 1, 60, 80, 0), (0, 1, 40, 80, 33), (0, 0.25, 36, 80, -1))
    ids = TOKENS.encode(score).ids.astype(np.int64)
    moved = TOKENS.decode(TOKENS.transposed(ids, 3), TEMPO).notes
    assert sorted((int(n["pitch"]), bool(n["drum"])) for n in moved) == [(36, True), (43, False), (63, False)]
    assert TOKENS.transposed(ids, 100).tolist() == ids.tolist()  # one would leave the range
