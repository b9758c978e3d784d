"""REMI on annotated beats: the 212 ids, the order, the way back, and the grid of real songs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lh_mm.core.clock import TempoMap
from lh_mm.music.beats import Beats, on_beats, read_beats, share_on_grid
from lh_mm.music.midi_io import read_midi
from lh_mm.music.remi import Remi, RemiGrammar
from lh_mm.music.score import NOTE_DTYPE, Meter, Score

REMI = Remi(programs=(0, 33, -1))
TEMPO = TempoMap(np.array([-4.0, 0.0, 4.0]), np.array([-1.0, 1.0, 5.0]))  # beat 0 is at second 1


def score_of(*rows: tuple[float, float, int, int]) -> Score:
    """Notes (start beat, end beat, pitch, program)."""
    notes = np.zeros(len(rows), NOTE_DTYPE)
    for i, (start, end, pitch, program) in enumerate(rows):
        notes[i] = (0, 0, start, end, pitch, 80, max(program, 0), program < 0, 0)
    for edge in ("start", "end"):
        notes[f"{edge}_s"] = TEMPO.to_seconds(notes[f"{edge}_beat"])
    return Score(notes, TEMPO, 20.0)


def names(score: Score) -> list[str]:
    return [REMI.name(i) for i in REMI.encode(score).ids.tolist()]


def test_the_vocabulary_of_the_floor_has_212_ids() -> None:
    assert REMI.size == 1 + 16 + 3 + 128 + 64 == 212
    assert [REMI.name(i) for i in (0, 1, 16, 17, 19, 20, 147, 148, 211)] == [
        "Bar", "Position_0", "Position_15", "Track_0", "Track_2", "Pitch_0", "Pitch_127", "Duration_1", "Duration_64",
    ]  # fmt: skip
    assert len({REMI.name(i) for i in range(212)}) == 212
    assert Remi.from_json(REMI.to_json()) == REMI
    with pytest.raises(ValueError, match="not a REMI vocabulary"):
        Remi.from_json('{"kind": "events"}')


def test_tokens_are_written_in_order_and_tracks_only_where_they_change() -> None:
    score = score_of(
        (4.0, 4.5, 67, 0), (4.0, 4.24, 60, 0), (4.02, 5.0, 36, 33), (5.25, 6.0, 36, 33), (12.0, 40.0, 60, 0)
    )
    assert names(score) == [
        "Bar",
        "Bar", "Position_0", "Track_0", "Pitch_60", "Duration_1", "Pitch_67", "Duration_2",
        "Track_1", "Pitch_36", "Duration_4", "Position_5", "Track_1", "Pitch_36", "Duration_3",
        "Bar", "Bar", "Position_0", "Track_0", "Pitch_60", "Duration_64",
    ]  # fmt: skip
    tokens = REMI.encode(score)
    assert (tokens.num_notes, tokens.num_merged, tokens.num_clipped, tokens.first_bar) == (5, 0, 1, 0)
    assert tokens.times_s[[0, 1, 2, 12]].tolist() == [1.0, 5.0, 5.0, 6.25]  # from the tempo map, not from tokens


def test_equal_notes_are_merged_and_the_longest_stays() -> None:
    tokens = REMI.encode(score_of((0.0, 0.5, 60, 0), (0.05, 2.0, 60, 0), (0.0, 0.5, 60, 33)))
    assert (tokens.num_notes, tokens.num_merged) == (2, 1)
    assert [REMI.name(i) for i in tokens.ids.tolist()][4] == "Duration_8"


def test_a_pickup_lies_in_a_bar_before_the_first() -> None:
    score = score_of((-1.0, 0.0, 60, 0), (0.0, 1.0, 62, 0))
    tokens = REMI.encode(score)
    assert tokens.first_bar == -1 and tokens.times_s[0] == -1.0
    again = REMI.decode(tokens.ids, TEMPO, tokens.first_bar)
    assert again.notes["start_beat"].tolist() == [-1.0, 0.0]


def test_a_program_without_a_track_is_refused() -> None:
    with pytest.raises(ValueError, match=r"program \[5\] have no track"):
        REMI.encode(score_of((0.0, 1.0, 60, 5)))
    with pytest.raises(ValueError, match="distinct"):
        Remi(programs=(0, 0))
    with pytest.raises(ValueError, match=r"positions \(16\)"):
        Remi(programs=(0,), beats_per_bar=3)


steps = st.tuples(st.integers(-20, 100), st.integers(1, 64), st.integers(58, 62), st.sampled_from([0, 33, -1])).map(
    lambda row: (row[0] / 4, (row[0] + row[1]) / 4, row[2], row[3])
)


@given(st.lists(steps, max_size=40))
def test_notes_on_the_grid_come_back_and_no_token_meets_the_mask(rows: list[tuple[float, float, int, int]]) -> None:
    score = score_of(*rows)
    tokens = REMI.encode(score)
    again = REMI.decode(tokens.ids, TEMPO, tokens.first_bar)
    longest: dict[tuple[float, int, int], float] = {}
    for start, end, pitch, program in rows:
        longest[start, pitch, program] = max(end, longest.get((start, pitch, program), end))
    found = {
        (float(n["start_beat"]), int(n["pitch"]), -1 if n["drum"] else int(n["program"])): float(n["end_beat"])
        for n in again.notes
    }
    assert found == longest and len(again) == tokens.num_notes
    assert np.array_equal(REMI.encode(again).ids, tokens.ids)
    assert (np.diff(tokens.times_s) >= 0).all()
    grammar = RemiGrammar(REMI)
    for token in tokens.ids.tolist():
        mask = grammar.mask()
        assert mask[token] and mask.tolist() == [grammar.allows(k) for k in range(REMI.size)]
        grammar.push(token)
    assert grammar.may_end or not rows


@given(st.integers(0, 2**32 - 1))
def test_what_is_drawn_under_the_mask_decodes(seed: int) -> None:
    rng, grammar, ids = np.random.default_rng(seed), RemiGrammar(REMI), []
    while len(ids) < 60 or not grammar.may_end:
        ids.append(int(rng.choice(np.flatnonzero(grammar.mask()))))
        grammar.push(ids[-1])
    score = REMI.decode(ids, TEMPO)
    assert len(score) == sum(token >= REMI.first_duration for token in ids)
    assert REMI.encode(score).ids.tolist()[: len(ids)] == np.trim_zeros(ids, "b")


@pytest.mark.parametrize(
    "ids", [[1], [0, 17], [0, 1, 20], [0, 1, 17, 148], [0, 2, 17, 60, 150, 1], [0, 1, 17, 60, 150, 60]]
)
def test_tokens_out_of_order_are_errors_or_counted(ids: list[int]) -> None:
    with pytest.raises(ValueError, match="not legal after"):
        REMI.decode(ids, TEMPO)
    problems: dict[str, int] = {}
    REMI.decode(ids, TEMPO, problems=problems)
    assert problems == {"grammar": 1}
    grammar = RemiGrammar(REMI)
    for token in ids[:-1]:
        grammar.push(token)
    with pytest.raises(ValueError, match="not legal after"):
        grammar.push(ids[-1])


def test_annotated_beats_count_from_the_first_downbeat(tmp_path: Path) -> None:
    path = tmp_path / "beat_midi.txt"
    times = [0.5, 1.1, 1.6, 2.2, 2.7, 3.2, 3.9]
    bars = [0, 1, 0, 0, 1, 0, 1]
    groups = [1, 1, 0, 1, 1, 0, 1]  # of the second column, which does not count bars
    rows = zip(times, groups, bars, strict=True)
    path.write_text("".join(f"{time} {group}.0 {bar}.0\n" for time, group, bar in rows) + "\n")
    beats = read_beats(path)
    tempo_map = beats.tempo_map()
    assert tempo_map.to_seconds([-1.0, 0.0, 2.0]).tolist() == [0.5, 1.1, 2.2]
    assert tempo_map.to_seconds(-2.0) == pytest.approx(-0.1)  # straight on before the first beat
    assert tempo_map.to_seconds(6.0) == pytest.approx(3.9 + 0.7)
    assert beats.meters() == (Meter(0.0, 3, 4), Meter(3.0, 2, 4))
    score = on_beats(score_of((0.0, 1.0, 60, 0)), beats)
    assert score.notes["start_s"].tolist() == [1.0] and score.notes["start_beat"][0] == pytest.approx(-1 + 0.5 / 0.6)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "three numbers"), ("1 0\n2 1\n", "three numbers"), ("a b c\n", "convert"), ("1 1 1\n", "two beats"),
     ("2 1 1\n1 0 0\n", "increase"), ("1 0 0\n2 0 0\n", "first of a bar")],
)  # fmt: skip
def test_a_broken_beat_file_is_named(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "beat_midi.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason) as error:
        read_beats(path)
    assert str(path) in str(error.value)


def test_share_on_grid_by_hand() -> None:
    score = score_of((0.0, 1.0, 60, 0), (0.26, 1.0, 60, 0), (0.3, 1.0, 60, 0), (0.5, 1.0, 60, 0))
    assert share_on_grid(score) == 0.75 and share_on_grid(score_of()) == 1.0
    with pytest.raises(ValueError, match="increase strictly"):
        Beats(np.array([0.0, 0.0]), np.array([True, False]))


@pytest.mark.real_data
def test_real_songs_lie_on_their_annotated_grid_and_not_on_their_ticks(sources: Path) -> None:
    on_ticks, on_grid, num_notes = 0.0, 0.0, 0
    for folder in sorted((sources / "pop909" / "POP909").glob("[0-9]*"))[::20]:
        score = read_midi(folder / f"{folder.name}.mid")
        annotated = on_beats(score, read_beats(folder / "beat_midi.txt"))
        on_ticks += share_on_grid(score) * len(score)
        on_grid += share_on_grid(annotated) * len(score)
        num_notes += len(score)
    assert on_grid / num_notes >= 0.9 and on_ticks / num_notes < 0.4
