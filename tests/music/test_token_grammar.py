"""Grammars that draw tokens against what training says of whole pieces: the same masks, the same times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lh_mm.core.clock import TempoMap
from lh_mm.music.bars import DRUMS, TICKS_PER_BEAT, BarTrack, Window
from lh_mm.music.chorale import Chorale
from lh_mm.music.mmm import (
    BAR_END,
    BAR_START,
    FILL_END,
    FILL_IN,
    FILL_START,
    FIRST,
    PIECE_START,
    SIZE,
    TRACK_START,
    Mmm,
)  # fmt: skip
from lh_mm.music.mmm_grammar import MmmGrammar
from lh_mm.music.mmm_limits import Limits
from lh_mm.music.musenet import Musenet
from lh_mm.music.performance import Performance
from lh_mm.music.remi import Remi
from lh_mm.music.score import Score, make_notes
from lh_mm.music.token_grammar import grammar_of
from lh_mm.music.tokenizer import Tokenizer
from lh_mm.music.vocabulary import EventVocabulary

TEMPO = TempoMap(np.array([0.0, 4.0, 9.0]), np.array([0.0, 1.7, 4.9]))
TOKENIZERS = {
    "performance": Performance(), "musenet": Musenet(), "remi": Remi((0, 33, -1)), "chorale": Chorale(3),
}  # fmt: skip
NOTE = st.tuples(st.integers(0, 60), st.integers(1, 20), st.integers(58, 62), st.integers(0, 2))


def score_of(rows: list[tuple[int, int, int, int]]) -> Score:
    """Notes (start, length in sixteenths, pitch, track), the third track drums."""
    notes = [
        {
            "start_beat": a / 4, "end_beat": (a + n) / 4, "pitch": p, "track": t, "program": (0, 33, 0)[t],
            "drum": t == 2,
        }
        for a, n, p, t in rows
    ]  # fmt: skip
    return Score(make_notes(notes, TEMPO), TEMPO, 40.0)


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(st.lists(NOTE, max_size=20))
def test_masks_and_times_are_those_of_whole_pieces(kind: str, rows: list[tuple[int, int, int, int]]) -> None:
    tokenizer: Tokenizer = TOKENIZERS[kind]  # type: ignore[assignment]
    tokens = tokenizer.encode(score_of(rows))
    legal = tokenizer.legal(tokens.ids.astype(np.int64), is_start=True)
    grammar = grammar_of(tokenizer)
    for i, token in enumerate(tokens.ids.tolist()):
        assert np.array_equal(grammar.mask(), legal[i, :-2])
        assert (grammar.closing() <= grammar.mask()).all()
        assert grammar.may_end or grammar.closing().any()
        if i:
            assert grammar.may_end == legal[i, -1]
        grammar.push(token)
        assert grammar.seconds(TEMPO) == pytest.approx(tokens.times_s[i])
    assert grammar.may_end or not len(tokens)


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(st.integers(0, 2**32 - 1))
def test_what_is_drawn_can_be_read_and_what_is_barred_is_refused(kind: str, seed: int) -> None:
    tokenizer: Tokenizer = TOKENIZERS[kind]  # type: ignore[assignment]
    rng, grammar = np.random.default_rng(seed), grammar_of(tokenizer)
    ids: list[int] = []
    while len(ids) < 80 or not grammar.may_end:
        mask = grammar.mask()
        if not mask.all():
            barred = int(rng.choice(np.flatnonzero(~mask)))
            with pytest.raises(ValueError, match=r"next|legal"):
                grammar.push(barred)
        ids.append(int(rng.choice(np.flatnonzero(mask))))
        grammar.push(ids[-1])
    decoded = tokenizer.decode(ids) if kind == "performance" else tokenizer.decode(ids, TEMPO)  # type: ignore[attr-defined]
    assert isinstance(decoded, Score)


def test_times_of_a_window_are_those_of_its_tokens() -> None:
    notes = np.array([[0, 24, 60], [50, 70, 64], [100, 190, 67]], np.int64)
    drums = np.array([[0, 1, 36], [96, 97, 38]], np.int64)
    window = Window((BarTrack(0, notes), BarTrack(DRUMS, drums)), np.arange(5) * 48)
    tokens = Mmm().encode(window, [(0, 1), (1, 2)])
    grammar = grammar_of(Mmm(), Limits((0, 48, 96, 144, 192)))
    for token, tick in zip(tokens.ids.tolist(), tokens.ticks.tolist(), strict=True):
        grammar.push(token)
        assert grammar.seconds(TEMPO) == pytest.approx(float(TEMPO.to_seconds(tick / TICKS_PER_BEAT)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 4))
def test_hard_caps_hold_whatever_is_drawn(seed: int, voices: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    held = tuple(((int(p), int(rng.integers(1, 193))), (int(p) + 1, 192)) for p in rng.integers(0, 127, 8))
    held = tuple(notes[: int(rng.integers(3))] for notes in held)
    limits = Limits((0, 48, 96, 144, 192), max_tracks=2, max_polyphony=voices, max_notes=most, held=held)
    grammar = MmmGrammar(limits)
    chances = np.where(np.arange(SIZE) >= FIRST["NOTE_ON"], 4.0, 1.0)
    chances[TRACK_START], chances[FILL_IN] = 50.0, 300.0
    for _ in range(600):
        legal = grammar.mask() * chances
        if not legal.any():
            break
        grammar.push(int(rng.choice(SIZE, p=legal / legal.sum())))
    for instrument, found in grammar.tracks:
        begins = np.array([on for on, _, _ in found], np.int64)
        assert np.bincount(begins // 48, minlength=1).max(initial=0) <= most
        if instrument != DRUMS:
            sounding = [sum(a <= tick < b for a, b, _ in found) for tick in range(192)]
            assert max(sounding) <= voices
    for number, ((track, bar), found) in enumerate(grammar.fills.items()):
        assert len(found) <= most
        if grammar.tracks[track][0] == DRUMS:
            continue
        for tick in range(48 * bar, 48 * bar + 48):
            new = sum(a <= tick < b for a, b, _ in found)
            assert not new or new + sum(end > tick for _, end in held[number]) <= voices
        assert all(on >= end for on, _, pitch in found for p, end in held[number] if p == pitch)


@pytest.mark.parametrize("instrument", [0, DRUMS])
def test_what_is_held_into_a_fill_takes_room_and_its_own_pitch(instrument: int) -> None:
    window = Window((BarTrack(instrument, np.zeros((0, 3), np.int64)),), np.arange(5) * 48)
    prompt = Mmm().encode(window, [(0, 1), (0, 3)], fill=False).ids.tolist()

    def ons(voices: int | None, held: tuple[tuple[tuple[int, int], ...], ...], *tokens: int) -> set[int]:
        limits = Limits((0, 48, 96, 144, 192), max_tracks=1, max_polyphony=voices, held=held)
        grammar = MmmGrammar(limits, given=len(prompt))
        for token in [*prompt, FILL_START, *tokens]:
            grammar.push(token)
        return set(np.flatnonzero(grammar.mask()[FIRST["NOTE_ON"] : FIRST["NOTE_OFF"]]).tolist())

    every, wait = set(range(128)), FIRST["TIME_DELTA"] - 1
    one = (((60, 72),),)
    drums = instrument == DRUMS
    assert ons(1, ()) == every  # where nothing is told, nothing is known
    assert ons(1, one) == ons(1, one, wait + 23) == (every if drums else set())
    assert ons(1, one, wait + 24) == every
    assert ons(2, one) == ons(None, one) == (every if drums else every - {60})
    assert ons(1, (((60, 192),),), FILL_END, FILL_START) == every  # of the first open bar alone
    assert ons(1, ((), ((60, 192),)), FILL_END, FILL_START) == (every if drums else set())


def test_a_window_closes_soonest_when_asked() -> None:
    grammar = MmmGrammar(Limits((0, 48, 96, 144, 192)))
    rng = np.random.default_rng(0)
    for _ in range(20):
        grammar.push(int(rng.choice(np.flatnonzero(grammar.mask()))))
    steps = 0
    while not grammar.may_end:
        closing = grammar.closing()
        assert closing.any() and (closing <= grammar.mask()).all()
        grammar.push(int(rng.choice(np.flatnonzero(closing))))
        steps += 1
    assert steps <= 20
    assert grammar.holes == sorted(grammar.fills)
    told = MmmGrammar()
    for token in [PIECE_START, FIRST["NUM_BARS"], TRACK_START, FIRST["INST"]]:
        told.push(token)
    assert np.flatnonzero(told.closing()).tolist() == [BAR_START]  # attributes may be left out
    open_bar = MmmGrammar()
    for token in Mmm().encode(Window((BarTrack(0, np.zeros((0, 3), np.int64)),), np.arange(5) * 48)).ids[:-2].tolist():
        open_bar.push(token)
    assert np.flatnonzero(open_bar.closing()).tolist() == [BAR_END]
    assert FILL_END not in np.flatnonzero(open_bar.mask())


def test_limits_and_vocabularies_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="4 or 8 bars, got 3"):
        Limits((0, 48, 96, 144))
    with pytest.raises(ValueError, match="max_polyphony should be 1 or more, got 0"):
        Limits(max_polyphony=0)
    with pytest.raises(ValueError, match=r"0\.\.127, got 128"):
        Limits(held=((), ((60, 3), (128, 3))))
    with pytest.raises(ValueError, match="MMM's tokens alone"):
        grammar_of(Remi((0,)), Limits())
    with pytest.raises(ValueError, match="no time tokens"):
        grammar_of(EventVocabulary())
