"""miditok's tokens on our grid: what is written comes back, times are those of the score, masks its graph of types."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lh_mm.core.clock import TempoMap
from lh_mm.music.miditok_grammar import MidiTokGrammar
from lh_mm.music.miditok_tokens import MidiTok, Tokenization
from lh_mm.music.score import Score, make_notes
from lh_mm.music.tokenizer import decode_tokens, read_tokenizer

TEMPO = TempoMap(np.array([0.0, 4.0, 9.0]), np.array([0.0, 1.7, 4.9]))  # changes, as annotated beats do
TOKENS: dict[Tokenization, MidiTok] = {kind: MidiTok(kind, (0, 33, -1)) for kind in ("TSD", "MIDILike", "REMI")}
NOTE = st.tuples(st.integers(-50, 300), st.integers(1, 90), st.integers(0, 127), st.integers(0, 2), st.integers(1, 127))


def score_of(rows: list[tuple[int, int, int, int, int]]) -> Score:
    """Notes (start, length in twelfths of a beat, pitch, track, velocity), the third track drums; none overlap."""
    seen: dict[tuple[int, int], list[tuple[int, int]]] = {}
    notes = []
    for a, n, p, t, v in rows:
        spans = seen.setdefault((t, p), [])
        if any(a < end and start < a + n for start, end in spans):
            continue
        spans.append((a, a + n))
        notes.append(
            {
                "start_beat": a / 12, "end_beat": (a + n) / 12, "pitch": p, "track": t, "program": (0, 33, 0)[t],
                "drum": t == 2, "velocity": v,
            }
        )  # fmt: skip
    return Score(make_notes(notes, TEMPO), TEMPO, 60.0)


def plain(score: Score, first: float = 0.0) -> list[tuple[int, int, int, int, bool]]:
    return sorted(
        (
            round((float(n["start_beat"]) + first) * 12), round((float(n["end_beat"]) + first) * 12), int(n["pitch"]),
            int(n["program"]), bool(n["drum"]),
        )
        for n in score.notes
    )  # fmt: skip


@pytest.mark.parametrize("kind", TOKENS)
@settings(max_examples=40, deadline=None)
@given(st.lists(NOTE, max_size=20))
def test_what_is_written_comes_back_and_every_token_is_legal(
    kind: Tokenization, rows: list[tuple[int, int, int, int, int]]
) -> None:
    tokens, score = TOKENS[kind], score_of(rows)
    written = tokens.encode(score)
    first = tokens.first_beat(score)
    assert first <= 0
    assert first % 4 == 0
    back = tokens.decode(written.ids, TEMPO)
    assert plain(back, first) == plain(score)
    assert written.num_notes == len(score.notes)
    assert written.num_merged == 0
    assert (np.diff(written.times_s) >= 0).all()
    legal, grammar = tokens.legal(written.ids.astype(np.int64), is_start=True), MidiTokGrammar(tokens)
    beats = tokens.beats(written.ids.astype(np.int64))
    shifted = TempoMap(TEMPO.beats - first, TEMPO.seconds)
    for i, token in enumerate(written.ids.tolist()):
        mask = grammar.mask()
        assert mask[token]
        assert np.array_equal(mask, legal[i, :-2])
        grammar.push(token)
        assert grammar.seconds(shifted) == pytest.approx(written.times_s[i])
        assert legal[i + 1, -1] == grammar.may_end
    assert len(beats) == len(written)
    middle = len(written) // 2  # of a window in mid-piece less is known, and nothing barred that comes
    later = tokens.legal(written.ids[middle:].astype(np.int64), is_start=False)
    assert all(later[i, token] for i, token in enumerate(written.ids[middle:].tolist()))
    assert (legal[middle:, :-1] <= later[:, :-1]).all()
    again = tokens.encode(back)
    assert tokens.decode(again.ids, TEMPO).notes.tolist() == back.notes.tolist()


@pytest.mark.parametrize("kind", TOKENS)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_is_drawn_can_be_read(kind: Tokenization, seed: int) -> None:
    tokens = TOKENS[kind]
    rng, grammar = np.random.default_rng(seed), MidiTokGrammar(tokens)
    ids: list[int] = []
    while len(ids) < 60 or not grammar.may_end:
        mask = grammar.mask()
        assert mask.any()
        with pytest.raises(ValueError, match="next"):
            grammar.push(int(rng.choice(np.flatnonzero(~mask))))
        ids.append(int(rng.choice(np.flatnonzero(mask))))
        grammar.push(ids[-1])
    score = decode_tokens(tokens, ids, TEMPO)
    assert len(score.notes) <= int(tokens.begins_note(ids).sum())
    problems: dict[str, int] = {}
    tokens.decode([*ids, tokens.theirs.vocab["PAD_None"]], TEMPO, problems)
    assert problems == {"grammar": 1}
    with pytest.raises(ValueError, match="is not legal"):
        tokens.decode([tokens.theirs.vocab["PAD_None"]], TEMPO)


@pytest.mark.parametrize("kind", TOKENS)
def test_pitches_move_and_drums_stay(kind: Tokenization) -> None:
    tokens = TOKENS[kind]
    score = score_of([(0, 12, 60, 0, 80), (12, 12, 40, 1, 80), (12, 6, 36, 2, 80)])
    moved = tokens.decode(tokens.transposed(tokens.encode(score).ids.astype(np.int64), 3), TEMPO)
    assert sorted((int(n["pitch"]), bool(n["drum"])) for n in moved.notes) == [(36, True), (43, False), (63, False)]
    high = tokens.encode(score_of([(0, 12, 126, 0, 80)])).ids.astype(np.int64)
    assert tokens.transposed(high, 3).tolist() == high.tolist()


def test_a_bundle_holds_settings_and_names_and_strange_programs_are_named() -> None:
    tokens = TOKENS["TSD"]
    assert read_tokenizer(tokens.to_json()) == tokens
    with pytest.raises(ValueError, match="numbers the"):
        MidiTok.from_json(tokens.to_json().replace('"Pitch_60"', '"Pitch_6O"'))
    with pytest.raises(ValueError, match="not a vocabulary"):
        MidiTok.from_json('{"kind": "remi"}')
    with pytest.raises(ValueError, match=r"program \[33\] have no track"):
        MidiTok("REMI", (0,)).encode(score_of([(0, 12, 60, 1, 80)]))
    with pytest.raises(ValueError, match="outside"):
        tokens.name(tokens.size)
