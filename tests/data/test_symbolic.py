"""REMI rows: windows that hold every token once, legal choices as the state machine's, clocks of the score."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lh_mm.core.merge import END, NO_TARGET, Kind
from lh_mm.core.streams import Row, collate
from lh_mm.data.prepare import prepare
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.recipe import load_recipe
from lh_mm.data.symbolic import MusenetConfig, PerformanceConfig, RemiConfig
from lh_mm.data.token_rows import TokenRows
from lh_mm.music.remi import Remi
from lh_mm.music.remi_grammar import RemiGrammar


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    overrides = ["codec=null", "features=null", "pieces=4", "duration_s=20"]
    return PreparedSet(prepare(load_recipe("smoke", overrides).config, root=tmp_path_factory.mktemp("s"), workers=1))


@pytest.fixture(scope="module")
def rows(prepared: PreparedSet) -> TokenRows:
    return RemiConfig(length=100).build(prepared)


def targets(row: Row) -> list[int]:
    return [int(t) for t in row.merged.event_target if t >= 0]


@pytest.mark.parametrize("context", [0, 40])
@pytest.mark.parametrize("kind", [RemiConfig, PerformanceConfig, MusenetConfig])
def test_every_token_is_a_target_exactly_once(prepared: PreparedSet, context: int, kind: Any) -> None:
    rows = kind(length=100, context=context).build(prepared)
    found: dict[str, list[int]] = {}
    seconds, notes, ends = Counter[str](), Counter[str](), Counter[str]()
    for each in rows.evaluation("train"):
        found.setdefault(each.piece_id, []).extend(targets(each.row))
        seconds[each.piece_id] += each.seconds
        notes[each.piece_id] += each.num_notes
        ends[each.piece_id] += int((each.row.merged.event_target == END).sum())
        # No position that training has not: a learned position or distance beyond it would be noise.
        assert len(each.row.merged) <= 101
    assert found
    for piece in prepared.pieces("train"):
        score = prepared.score(piece)
        assert score is not None
        tokens = rows.vocabulary.encode(score)
        assert found[piece.id] == tokens.ids.tolist()
        assert notes[piece.id] == tokens.num_notes and ends[piece.id] == 1
        assert seconds[piece.id] == pytest.approx(piece.duration_s - tokens.times_s[0])


@given(index=st.integers(0, 10**6))
def test_training_rows_are_legal_and_on_the_clock(rows: TokenRows, index: int) -> None:
    row = rows.train_row(0, index)
    batch = collate([[row]], rows.spec)
    allowed, target = batch.legal_events(rows.vocabulary.size), batch.event_target
    assert allowed is not None and target is not None
    at = (target[0] >= 0).nonzero()[:, 0]
    assert allowed[0, at].gather(1, target[0, at, None]).all()
    assert not allowed[0, :, rows.vocabulary.size].any()  # FRAME is not a choice
    m = row.merged
    assert m.kind[0] == Kind.BOS and (m.kind[1:] == Kind.EVENT).all()
    assert (np.diff(m.clock) >= 0).all() and not batch.clock[0, 0]
    np.testing.assert_array_equal(m.event_target[:-1][m.event_target[:-1] >= 0], m.event_id[1:])
    assert m.event_target[-1] != NO_TARGET
    assert not batch.header.length.any()


def test_a_window_of_mid_piece_says_crop(rows: TokenRows) -> None:
    flags = {
        bool(collate([[row]], rows.spec).header.is_crop[0, 0]) for row in (rows.train_row(0, i) for i in range(30))
    }
    assert flags == {True, False}


def test_masks_equal_the_state_machine_from_the_start(prepared: PreparedSet, rows: TokenRows) -> None:
    remi = rows.vocabulary
    for piece in prepared.pieces():
        score = prepared.score(piece)
        assert score is not None
        ids = remi.encode(score).ids.astype(np.int64)[:400]
        packed = np.packbits(remi.legal(ids, is_start=True), axis=1)
        legal = np.unpackbits(packed, axis=1, count=remi.size + 2).astype(bool)
        grammar = RemiGrammar(remi)
        for i in range(len(ids) + 1):
            np.testing.assert_array_equal(legal[i, : remi.size], grammar.mask(), err_msg=str(grammar))
            assert legal[i, remi.size + 1] == grammar.may_end and not legal[i, remi.size]
            if i < len(ids):
                grammar.push(int(ids[i]))


def test_a_crop_bars_no_more_than_the_truth(prepared: PreparedSet, rows: TokenRows) -> None:
    """Whatever token a window begins with, everything that is legal with full knowledge stays legal."""
    remi = rows.vocabulary
    score = prepared.score(prepared.pieces()[2])
    assert score is not None
    ids = remi.encode(score).ids.astype(np.int64)
    full = np.packbits(remi.legal(ids, is_start=True), axis=1)
    for start in range(1, 60):
        crop = np.packbits(remi.legal(ids[start : start + 30], is_start=False), axis=1)
        barred = np.unpackbits(full[start : start + 31] & ~crop, axis=1).astype(bool)
        barred[0, remi.size + 1] = False  # a window never begins with END
        assert not barred.any()


def test_transposition_moves_pitches_and_no_drums(prepared: PreparedSet) -> None:
    plain = RemiConfig(length=100, control_dropout=0.0).build(prepared)
    moving = RemiConfig(length=100, control_dropout=0.0, transpose=5).build(prepared)
    remi = plain.vocabulary
    assert -1 in remi.programs
    drums = remi.first_track + remi.programs.index(-1)
    shifts = set()
    key = [control.name for control in plain.spec.controls].index("key")
    for index in range(40):
        one, two = plain.train_row(0, index), moving.train_row(0, index)
        a, b = one.merged.event_id[1:], two.merged.event_id[1:]
        assert len(a) == len(b)
        track = -1
        moved = set()
        for x, y in zip(a.tolist(), b.tolist(), strict=True):
            if remi.first_track <= x < remi.first_pitch:
                track = x
            if remi.first_pitch <= x < remi.first_duration and track not in (-1, drums):
                moved.add(y - x)
            else:
                assert x == y
        assert len(moved) <= 1
        shifts |= moved
        if moved and moved != {0}:
            assert two.controls[key] == 0
    assert len(shifts) > 5 and max(map(abs, shifts)) <= 5


def test_valid_rows_are_fixed_and_cover_the_split(rows: TokenRows) -> None:
    count = len(list(rows.evaluation("train")))
    seen = {tuple(targets(rows.valid_row(i, "train"))) for i in range(count)}
    assert seen == {tuple(targets(each.row)) for each in rows.evaluation("train")}
    np.testing.assert_array_equal(rows.valid_row(0).merged.event_id, rows.valid_row(0).merged.event_id)


def test_tracks_keep_their_order(prepared: PreparedSet) -> None:
    assert isinstance(RemiConfig().build(prepared).vocabulary, Remi)
    for piece in prepared.pieces():
        notes = prepared.notes(piece)
        program = np.where(notes["drum"], -1, notes["program"].astype(int))
        by_track = [program[notes["track"] == t][0] for t in np.unique(notes["track"])]
        assert list(piece.programs) == list(dict.fromkeys(int(p) for p in by_track))


def test_a_set_without_notes_is_an_error(prepared: PreparedSet, tmp_path: Path) -> None:
    empty = PreparedSet(prepared.path)
    empty._pieces = []
    with pytest.raises(ValueError, match="no training piece with notes"):
        RemiConfig().build(empty)


@pytest.mark.parametrize("kind", [RemiConfig, PerformanceConfig, MusenetConfig])
def test_every_target_is_legal_in_every_vocabulary(prepared: PreparedSet, kind: Any) -> None:
    rows = kind(length=64, transpose=0 if kind is PerformanceConfig else 3).build(prepared)
    for each in [*(rows.train_row(0, i) for i in range(20)), *(e.row for e in rows.evaluation("train"))]:
        batch = collate([[each]], rows.spec)
        legal = batch.legal_events(rows.vocabulary.size)
        assert legal is not None
        target = batch.event_target
        assert target is not None
        at = (target[0] >= 0).nonzero().flatten()
        assert legal[0, at, target[0, at]].all()
        assert not legal[0].all()


def test_musenet_rows_tell_instruments_and_where_a_token_stands(prepared: PreparedSet) -> None:
    rows = MusenetConfig(length=100, structure=True, control_dropout=0).build(prepared)
    plays = [control.name for control in rows.spec.controls if control.name.startswith("plays_")]
    assert len(plays) == 10
    assert rows.spec.tells_structure
    piece = prepared.pieces("train")[0]
    tokens = rows._tokens(piece)
    row = rows._row(piece, 100, 200, 80)
    assert row.states is not None
    assert row.states.shape == (len(row.merged), 2)
    assert row.states[1, 0] == 1 + 80 * 128 // len(tokens)  # the first token that is shown; BOS stands before it
    by_name = dict(zip([control.name for control in rows.spec.controls], row.controls, strict=True))
    assert by_name["plays_drums"] == 2  # yes
    assert by_name["plays_harp"] == 1
    batch = collate([[row]], rows.spec)
    assert batch.states is not None
    assert batch.states.shape == (*batch.shape, 2)
    plain = MusenetConfig(length=100, instruments=False).build(prepared)
    assert not plain.spec.tells_structure
    assert not any(control.name.startswith("plays_") for control in plain.spec.controls)
    assert plain.train_row(0, 0).states is None


def test_performance_events_are_played_by_the_one_program_of_the_set() -> None:
    played = [PerformanceConfig().tokenizer(programs).program for programs in [(-1,), (33,), (0, 33), ()]]
    assert played == [-1, 33, 0, 0]


def test_performance_events_of_a_set_with_drums_are_not_transposed(prepared: PreparedSet) -> None:
    with pytest.raises(ValueError, match=r"sequence\.transpose=0"):
        PerformanceConfig(transpose=3).tokenizer((0, -1))
    PerformanceConfig(transpose=3).tokenizer((-1,))  # which the tokenizer leaves where they are


def test_a_context_leaves_something_to_count() -> None:
    with pytest.raises(ValueError, match=r"context \(64\) leaves nothing"):
        RemiConfig(length=64, context=64)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_training_meets_the_end_as_often_as_the_data_has_it(prepared: PreparedSet, share: float) -> None:
    rows = RemiConfig(length=32, start_share=share).build(prepared)
    lengths = [len(ids) + 1 for ids, _ in rows.sequences("train")]
    assert min(lengths) > 6 * 32  # a draw among full windows would meet it ten times too seldom
    found = [rows.train_row(0, i).merged.event_target for i in range(3000)]
    rate = sum(int((ids == END).sum()) for ids in found) / sum(int((ids != NO_TARGET).sum()) for ids in found)
    wanted = (1 - share) * len(lengths) / sum(lengths)
    assert 0.75 * wanted < rate < 1.3 * wanted


def test_a_bundle_s_tokenizer_holds_for_other_sets(prepared: PreparedSet) -> None:
    own = RemiConfig().build(prepared)
    turned = Remi(tuple(reversed(own.vocabulary.programs)))
    assert turned.size == own.vocabulary.size and turned != own.vocabulary
    rows = RemiConfig().build(prepared, own.spec, turned)
    assert rows.vocabulary == turned  # of equal size, so the ids would else have changed their meaning
    other = Remi(tuple(range(100, 100 + len(own.vocabulary.programs))))
    with pytest.raises(ValueError, match=r"programs .* are none of the bundle's"):
        RemiConfig().build(prepared, own.spec, other)


def test_any_tokenizer_s_rows_may_tell_instruments(prepared: PreparedSet) -> None:
    told = {c.name for c in RemiConfig(instruments=True).build(prepared).spec.controls}
    assert {"plays_drums", "plays_harp"} <= told
    assert not any(c.name.startswith("plays_") for c in RemiConfig().build(prepared).spec.controls)
