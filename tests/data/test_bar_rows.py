"""MMM's rows: legal, on the clock of the piece, repeatable, and every bar of a split measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lh_mm.core.merge import END, Kind
from lh_mm.core.streams import SequenceSpec, StreamSpec, collate
from lh_mm.data.bar_rows import BarRows, MmmConfig
from lh_mm.data.prepared import PreparedSet
from lh_mm.models.hybrid_mamba import HybridMambaConfig
from lh_mm.models.likelihood import head_sums
from lh_mm.music.bars import DRUMS, window_of
from lh_mm.music.mmm import CONTROLS, FILL_IN, FILL_START, FIRST, TRACK_START, Mmm
from lh_mm.music.mmm_grammar import MmmGrammar
from lh_mm.music.mmm_limits import Limits
from lh_mm.run.prepare import prepare


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    root: Path = tmp_path_factory.mktemp("bars")
    return prepare("smoke", ["codec=null", "features=null", "pieces=4", "duration_s=24"], workers=1, root=root)


@pytest.fixture(scope="module")
def rows(prepared: PreparedSet) -> BarRows:
    return MmmConfig(transpose=5).build(prepared)


@pytest.mark.parametrize("index", range(12))
def test_training_rows_are_legal_and_repeat(rows: BarRows, index: int) -> None:
    row, again = rows.train_row(3, index), rows.train_row(3, index)
    ids = row.merged.event_id[1:].tolist()
    assert np.array_equal(row.merged.event_id, again.merged.event_id)
    assert row.merged.kind[0] == Kind.BOS
    assert row.merged.event_target[:-1].tolist() == ids
    assert row.merged.event_target[-1] == END
    grammar = MmmGrammar(Limits((0, 48, 96, 144, 192)))
    for token in ids:
        grammar.push(token)
    assert grammar.may_end
    assert ids.count(FILL_IN) == ids.count(FILL_START)
    assert not np.array_equal(row.merged.event_id, rows.train_row(4, index).merged.event_id)


def test_three_rows_in_four_have_open_bars_and_controls_are_left_out(rows: BarRows) -> None:
    drawn = [rows.train_row(0, index).merged.event_id for index in range(60)]
    open_bars = np.mean([FILL_IN in ids for ids in drawn])
    assert 0.6 < open_bars < 0.9
    first, behind = FIRST["DENSITY"], FIRST["MIN_POLYPHONY"]
    told = sum(int(((ids >= first) & (ids < behind)).sum()) for ids in drawn)
    tracks = sum(int((ids == TRACK_START).sum()) for ids in drawn)
    assert 0.6 < told / tracks < 0.8
    orders = {tuple(ids[(ids >= FIRST["INST"]) & (ids <= FIRST["INST"] + DRUMS)].tolist()) for ids in drawn}
    assert len(orders) > 4


def test_clocks_are_those_of_the_piece(rows: BarRows, prepared: PreparedSet) -> None:
    piece, first = rows._windows("train")[1]
    row, window, tokens = rows._whole(piece, first)
    score = prepared.score(piece)
    assert score is not None
    starts = np.flatnonzero(tokens.ids == FIRST["INST"] + window.tracks[0].instrument)[:1]
    begins = rows.vocabulary.begins_note(tokens.ids)
    clocks = row.merged.clock[1:][begins]
    bar_s = score.tempo_map.to_seconds(window.first_beat)
    assert len(starts)
    assert clocks.min() >= int(bar_s * prepared.rate_hz)
    onsets = np.floor(score.notes["start_s"] * prepared.rate_hz).astype(int)
    near = [np.abs(onsets - clock).min() for clock in clocks]
    assert max(near) <= 0.05 * prepared.rate_hz  # the grid of twelfths moves a note by less


def test_the_whole_split_is_measured(rows: BarRows, prepared: PreparedSet) -> None:
    for split in ("train", "test"):
        found = list(rows.evaluation(split))  # type: ignore[arg-type]
        pieces = {piece.id: piece for piece in prepared.pieces(split) if piece.num_notes}  # type: ignore[arg-type]
        assert {row.piece_id for row in found} == set(pieces)
        for row in found:
            ids = row.row.merged.event_id
            assert FILL_IN not in ids
            assert row.num_notes == int(rows.vocabulary.begins_note(ids[1:]).sum()) > 0
            assert row.seconds > 0


def test_the_vocabulary_knows_the_densities_of_the_corpus(rows: BarRows) -> None:
    mmm = rows.vocabulary
    assert DRUMS in mmm.densities
    assert all(list(borders) == sorted(borders) for borders in mmm.densities.values())
    assert Mmm.from_json(mmm.to_json()) == mmm
    assert set(CONTROLS) <= set(FIRST)


def test_a_long_row_loses_tracks_and_its_notes_are_those_it_holds(prepared: PreparedSet) -> None:
    rows = MmmConfig(length=128, bars=8).build(prepared)
    for index in range(10):
        target = rows.train_row(0, index).merged.event_target
        assert len(target) <= 129
        ids = target[target >= 0]
        assert (ids == TRACK_START).sum() == 1 or target[-1] == END  # more than one only where all of them fit
    for row, (ids, notes) in zip(rows.evaluation("train"), rows.sequences("train"), strict=True):
        target = row.row.merged.event_target
        assert np.array_equal(target[target >= 0], ids)
        assert row.num_notes == notes == int(rows.vocabulary.begins_note(ids).sum())


def test_a_transposed_row_says_no_key_and_controls_are_dropped(prepared: PreparedSet) -> None:
    rows = MmmConfig(transpose=5, control_dropout=0.5).build(prepared)
    names = [control.name for control in rows.spec.controls]
    drawn = np.array([rows.train_row(0, index).controls for index in range(60)])
    still = np.array(
        [MmmConfig(control_dropout=0.0).build(prepared).train_row(0, index).controls for index in range(20)]
    )
    assert "key" in names
    assert (still > 0).all()
    assert (drawn[:, names.index("key")] > 0).mean() < 0.25
    assert 0.3 < (drawn[:, names.index("style")] > 0).mean() < 0.7


def test_thinned_tracks_say_their_own_polyphony(prepared: PreparedSet) -> None:
    plain = MmmConfig(control_dropout=0.0, fill_share=0.0).build(prepared)
    thin = MmmConfig(control_dropout=0.0, fill_share=0.0, thin_share=1.0).build(prepared)
    told: dict[str, list[int]] = {"plain": [], "thin": []}
    for name, rows in (("plain", plain), ("thin", thin)):
        for index in range(30):
            ids = rows.train_row(0, index).merged.event_id
            low = FIRST["MAX_POLYPHONY"]
            told[name] += (1 + ids[(ids >= low) & (ids < low + 10)] - low).tolist()
    assert np.mean(told["thin"]) < np.mean(told["plain"]) and max(told["thin"]) > 1
    evaluated = [each.row.merged.event_id.tolist() for each in thin.evaluation("train")]
    assert evaluated == [each.row.merged.event_id.tolist() for each in plain.evaluation("train")]  # only in training


def test_a_bundles_densities_hold(rows: BarRows, prepared: PreparedSet) -> None:
    known = Mmm({DRUMS: (1, 2, 3, 4, 5, 6, 7, 8, 9)})
    assert BarRows(prepared, rows.config, rows.spec, known).vocabulary == known
    other = SequenceSpec((StreamSpec("midi", "midi", 100),), prepared.rate_hz, merged=False)
    with pytest.raises(ValueError, match="MMM has 485 ids, but the bundle was trained with 100"):
        rows.config.build(prepared, other)


def test_silence_in_a_piece_is_passed_over(rows: BarRows, prepared: PreparedSet) -> None:
    piece = prepared.pieces("train")[0]
    score = prepared.score(piece)
    assert score is not None
    notes = score.notes[:4].copy()
    notes["start_beat"][3], notes["end_beat"][3] = 400.0, 401.0
    patched = BarRows(prepared, rows.config, rows.spec)
    patched._cache[piece.id] = replace(score, notes=notes)
    starts = patched._starts(piece, hop=1)
    assert starts
    assert all(sum(len(track.notes) for track in window_of(patched._score(piece), first, 4).tracks) for first in starts)


def test_a_backbone_reads_them(rows: BarRows) -> None:
    model = HybridMambaConfig(pattern="M-*-", dim=32, heads=2, kv_heads=1, state_dim=8, head_dim=16).build(rows.spec)
    sums = head_sums(model, collate([[rows.train_row(0, i)] for i in range(3)], rows.spec))
    assert float(sums.event_nats.detach() / sums.event_count) == pytest.approx(np.log(rows.vocabulary.size), abs=0.3)
