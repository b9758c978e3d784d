"""Event tokens: the layout of ids, what preparation changes and counts, and the order inside a slot."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music.events import Events, EventVocabulary, decode_events, encode_events, legalise
from lh_mm.music.legal import on_slots
from lh_mm.music.score import NOTE_DTYPE, Score, make_notes

VOCABULARY = EventVocabulary()
RATE = 10.0


def score_of(*rows: tuple[float, float, int, int | None], duration_s: float = 10.0) -> Score:
    """Notes (start, end, pitch, program or None for drums), velocities 1, 2, 3, ... in order."""
    notes = np.zeros(len(rows), NOTE_DTYPE)
    for i, (start, end, pitch, program) in enumerate(rows):
        notes[i] = (start, end, 0, 0, pitch, i + 1, program or 0, program is None, 0)
    tempo_map = TempoMap.constant(120.0)
    notes["start_beat"], notes["end_beat"] = notes["start_s"] * 2, notes["end_s"] * 2
    return Score(notes, tempo_map, duration_s)


def encode(score: Score, num_frames: int = 100) -> Events:
    return encode_events(score, RATE, num_frames, VOCABULARY)


def names(ids: NDArray[np.int32]) -> list[str]:
    return [VOCABULARY.name(i) for i in ids.tolist() if not VOCABULARY.name(i).startswith("Velocity")]


def test_every_id_has_its_place_and_name() -> None:
    assert [VOCABULARY.name(i) for i in (0, 127, 128, 255, 256, 383, 384, 385, 512, 513, 544)] == [
        "NoteOn_0", "NoteOn_127", "NoteOff_0", "NoteOff_127", "DrumOn_0", "DrumOn_127",
        "Program_-1", "Program_0", "Program_127", "Velocity_0", "Velocity_31",
    ]  # fmt: skip
    assert [VOCABULARY.name(i) for i in (545, 546, 547, 548, 549, 580)] == [
        "Bar", "Beat", "PedalOn", "PedalOff", "PitchBend_0", "PitchBend_31",
    ]  # fmt: skip
    assert (VOCABULARY.size, VOCABULARY.frame_id, VOCABULARY.end_id, VOCABULARY.num_choices) == (581, 581, 582, 583)
    assert len({VOCABULARY.name(i) for i in range(VOCABULARY.num_choices)}) == VOCABULARY.num_choices
    with pytest.raises(ValueError, match="583"):
        VOCABULARY.name(583)


@pytest.mark.parametrize("bins", [1, 2, 8, 31, 32, 127])
def test_velocity_bins_are_monotone_full_and_stable(bins: int) -> None:
    vocabulary = EventVocabulary(bins)
    ids = vocabulary.velocity_id(np.arange(1, 128))
    assert ids[0] == 513 and ids[-1] == 513 + bins - 1 and set(np.diff(ids)) <= {0, 1}
    for velocity_id in range(513, 513 + bins):
        again = vocabulary.velocity_of(velocity_id)
        assert 1 <= again <= 127 and vocabulary.velocity_id(again) == velocity_id
    if bins == 127:
        assert [vocabulary.velocity_of(513 + v - 1) for v in range(1, 128)] == list(range(1, 128))


def test_a_vocabulary_survives_its_json_and_refuses_another() -> None:
    vocabulary = EventVocabulary(velocity_bins=8)
    assert EventVocabulary.from_json(vocabulary.to_json()) == vocabulary
    with pytest.raises(ValueError, match="not an event vocabulary"):
        EventVocabulary.from_json('{"kind": "remi"}')
    with pytest.raises(ValueError, match="9999 ids"):
        EventVocabulary.from_json(vocabulary.to_json().replace(str(vocabulary.size), "9999"))


def test_a_slot_holds_older_offs_first_then_notes_with_their_own_offs() -> None:
    score = score_of(
        (0.0, 0.55, 70, 5), (0.0, 0.55, 40, 2),  # end in slot 5, to be sorted by (program, pitch)
        (0.52, 0.54, 60, 1), (0.51, 2.0, 50, 1),  # begin in slot 5; the 60 also ends there
        (0.53, 0.6, 36, None),
    )  # fmt: skip
    events = encode(score)
    in_slot = events.clocks == 5
    assert names(events.ids[in_slot]) == [
        "Program_2", "NoteOff_40", "Program_5", "NoteOff_70",
        "Program_-1", "DrumOn_36", "Program_1", "NoteOn_50", "Program_1", "NoteOn_60", "Program_1", "NoteOff_60",
    ]  # fmt: skip
    assert events.onset_clocks[in_slot].tolist() == [0] * 4 + [5] * 11
    assert VOCABULARY.name(int(events.ids[events.clocks == 20][-1])) == "NoteOff_50"
    velocity = events.ids[np.flatnonzero(events.ids == 256 + 36)[0] + 1]
    hit = score.notes[events.note_index[np.flatnonzero(events.ids == 256 + 36)[0]]]
    assert hit["pitch"] == 36 and velocity == VOCABULARY.velocity_id(hit["velocity"])


def test_tokens_of_a_repeated_note_stand_off_before_on() -> None:
    events = encode(score_of((0.0, 0.55, 60, 0), (0.57, 1.0, 60, 0)))
    assert names(events.ids[events.clocks == 5]) == ["Program_0", "NoteOff_60", "Program_0", "NoteOn_60"]


def test_crops_can_drop_the_offs_of_notes_begun_before() -> None:
    events = encode(score_of((0.0, 2.0, 60, 0), (1.0, 2.0, 64, 0)))
    kept = events.onset_clocks >= 5
    assert names(events.ids[kept]) == ["Program_0", "NoteOn_64", "Program_0", "NoteOff_64"]


def test_legalise_counts_all_it_changes_and_moves_no_onset() -> None:
    score = score_of(
        (0.0, 1.0, 60, 0), (0.5, 2.0, 60, 0),  # the first is cut at .5
        (0.5, 1.0, 62, 0), (0.58, 0.7, 62, 0),  # twice in slot 5
        (0.3, 0.3, 64, 0),  # no length
        (9.0, 12.0, 65, 0),  # past the end
        (10.0, 11.0, 66, 0),  # begins at the end
        (1.0, 5.0, 36, None), (2.0, 3.0, 36, None),  # drums may overlap
        (0.5, 2.0, 60, 1),  # another program
    )  # fmt: skip
    legal, counts = legalise(score, RATE)
    assert counts == {"notes": 10, "after_end": 1, "doubled": 1, "lengthened": 1, "cut": 1, "closed": 1}
    rows = {(n["start_s"], n["pitch"], n["program"]): n for n in legal.notes}
    assert set(rows) == {(n["start_s"], n["pitch"], n["program"]) for n in score.notes} - {(0.58, 62, 0), (10.0, 66, 0)}
    assert rows[0.0, 60, 0]["end_s"] == 0.5
    assert rows[0.5, 62, 0]["end_s"] == 1.0 and rows[0.5, 62, 0]["velocity"] == 4  # the longest end, the loudest
    assert rows[0.3, 64, 0]["end_s"] == pytest.approx(0.325)
    assert rows[9.0, 65, 0]["end_s"] == 10.0 and rows[9.0, 65, 0]["end_beat"] == pytest.approx(20.0)
    again, counts = legalise(legal, RATE)
    assert np.array_equal(again.notes, legal.notes) and sum(counts.values()) == counts["notes"]


def test_a_codecs_frame_count_decides_what_is_after_the_end() -> None:
    legal, counts = legalise(score_of((9.95, 9.99, 60, 0), (1.0, 9.99, 62, 0)), RATE, num_frames=99)
    assert counts["after_end"] == 1 and counts["closed"] == 1 and legal.notes["end_s"].max() == pytest.approx(9.9)


def test_what_was_not_made_legal_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"pitch 60 of program 3 begins at 0\.500 s"):
        encode(score_of((0.0, 1.0, 60, 3), (0.5, 2.0, 60, 3)))
    with pytest.raises(ValueError, match=r"pitch 36 of program -1"):
        encode(score_of((0.51, 0.6, 36, None), (0.52, 0.6, 36, None)))


def test_decoding_puts_notes_at_slot_middles_and_closes_them_at_the_end() -> None:
    events = encode(score_of((0.51, 0.52, 60, 0), (1.0, 2.0, 62, 0), (3.0, 4.0, 36, None)))
    ids = np.append(events.ids, [385, 64, 520])
    score = decode_events(np.append(events.clocks, [90, 90, 90]), ids, RATE, 100, VOCABULARY)
    times = [(round(float(n["start_s"]), 6), round(float(n["end_s"]), 6), int(n["pitch"])) for n in score.notes]
    assert times == [(0.55, 0.575, 60), (1.05, 2.05, 62), (3.05, 3.15, 36), (9.05, 10.0, 64)]
    assert score.duration_s == 10.0 and score.tracks == ("drums", "program 0")
    assert score.notes["start_beat"].tolist() == pytest.approx((score.notes["start_s"] * 2).tolist())


ILLEGAL = {
    "grammar": [[60], [385], [385, 60], [385, 256 + 36, 520], [384, 60, 520], [385, 385, 60, 520], [520], [545]],
    "off_silent": [[385, 128 + 60], [385, 60, 520, 386, 128 + 60]],
    "on_sounding": [[385, 60, 520, 385, 60, 520]],
    "twice": [[385, 60, 520, 385, 188, 385, 60, 520], [384, 292, 520, 384, 292, 520]],
}


@pytest.mark.parametrize(("kind", "ids"), [(kind, ids) for kind, cases in ILLEGAL.items() for ids in cases])
def test_illegal_sequences_are_errors_or_counted(kind: str, ids: list[int]) -> None:
    clocks = [3] * len(ids)
    with pytest.raises(ValueError, match="not legal"):
        decode_events(clocks, ids, RATE, 10, VOCABULARY)
    problems: dict[str, int] = {}
    decode_events(clocks, ids, RATE, 10, VOCABULARY, problems=problems)
    assert problems.get(kind)


def test_an_empty_piece_is_no_special_case() -> None:
    empty = score_of()
    legal, counts = legalise(empty, RATE)
    events = encode(legal)
    assert not any(counts.values()) and len(events) == 0 and events.most_in_a_slot == 0
    assert len(decode_events([], [], RATE, 5, VOCABULARY)) == 0


@pytest.mark.parametrize("seed", range(6))
def test_notes_on_their_slots_have_the_same_tokens_and_moved_little(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tempo = TempoMap.constant(97.0)
    starts = rng.uniform(0, 5, 60)
    rows = [
        {
            "start_s": t,
            "end_s": t + rng.exponential(0.1),
            "pitch": int(rng.integers(40, 44)),
            "drum": bool(rng.integers(2)),
        }
        for t in starts
    ]
    legal, _ = legalise(Score(make_notes(rows, tempo), tempo, 6.0), 75.0, 450)
    moved = on_slots(legal, 75.0, 450)
    before, after = (encode_events(score, 75.0, 450, EventVocabulary()) for score in (legal, moved))
    assert before.ids.tolist() == after.ids.tolist()
    assert before.clocks.tolist() == after.clocks.tolist()
    assert np.abs(moved.notes["start_s"] - legal.notes["start_s"]).max() <= 0.5 / 75 + 1e-9
    assert (moved.notes["end_s"] > moved.notes["start_s"]).all()
    assert np.allclose(moved.notes["start_s"] * 75 % 1, 0.5)
    assert np.allclose(moved.notes["start_beat"], tempo.to_beats(moved.notes["start_s"]))
    again = on_slots(moved, 75.0, 450)
    assert np.array_equal(again.notes, moved.notes)
