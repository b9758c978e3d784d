"""The grammar of event tokens, rule by rule; whole pieces are in test_roundtrip.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lh_mm.music.events import EventVocabulary, decode_events
from lh_mm.music.grammar import Grammar, legal_masks, sounding_in, unpack_masks

V = EventVocabulary()
DRUMS, PIANO, BASS = (V.program_id(p) for p in (-1, 0, 33))
SOFT = 513


def push(grammar: Grammar, *ids: int) -> Grammar:
    for event_id in ids:
        assert grammar.mask()[event_id], V.name(event_id)
        grammar.push(event_id)
    return grammar


def allowed(grammar: Grammar) -> set[int]:
    return set(np.flatnonzero(grammar.mask()).tolist())


def test_at_a_border_only_programs_may_come() -> None:
    grammar = Grammar(V)
    assert grammar.at_border and allowed(grammar) == set(range(384, 513))
    assert grammar.mask().shape == (V.size,)


def test_groups_run_to_their_end() -> None:
    grammar = push(Grammar(V), PIANO)
    assert not grammar.at_border and allowed(grammar) == set(range(128))
    push(grammar, 60)
    assert not grammar.at_border and allowed(grammar) == set(range(513, 545))
    assert push(grammar, SOFT).at_border
    push(grammar, DRUMS)
    assert allowed(grammar) == set(range(256, 384))
    with pytest.raises(ValueError, match="inside a note"):
        grammar.next_slot()


def test_on_only_for_silent_off_only_for_sounding() -> None:
    grammar = push(Grammar(V), PIANO, 60, SOFT)
    grammar.next_slot()
    push(grammar, PIANO)
    assert allowed(grammar) == (set(range(128)) - {60}) | {188}
    other = push(Grammar(V), PIANO, 60, SOFT, BASS)
    assert allowed(other) == set(range(128))  # another program's 60 is another note
    push(grammar, 188)
    assert not grammar.any_sounding and grammar.sounding == []


def test_no_note_begins_twice_in_a_slot() -> None:
    grammar = push(Grammar(V), PIANO, 60, SOFT, PIANO, 188, DRUMS, 256 + 36, SOFT)
    assert 60 not in allowed(push(grammar.copy(), PIANO))
    assert 256 + 36 not in allowed(push(grammar.copy(), DRUMS))
    grammar.next_slot()
    assert 60 in allowed(push(grammar.copy(), PIANO)) and 256 + 36 in allowed(push(grammar.copy(), DRUMS))


def test_programs_that_lead_nowhere_are_barred() -> None:
    grammar = Grammar(V)
    for pitch in range(128):
        push(grammar, DRUMS, 256 + pitch, SOFT, PIANO, pitch, SOFT)
    assert DRUMS not in allowed(grammar) and PIANO in allowed(grammar)  # piano notes can still be ended
    for pitch in range(128):
        push(grammar, PIANO, 128 + pitch)
    assert PIANO not in allowed(grammar) and BASS in allowed(grammar)
    with pytest.raises(ValueError, match="Program_0 is not legal"):
        grammar.push(PIANO)
    grammar.next_slot()
    assert allowed(grammar) == set(range(384, 513))


def test_an_illegal_push_is_refused_and_changes_nothing() -> None:
    grammar = push(Grammar(V), PIANO, 60)
    before = grammar.mask()
    with pytest.raises(ValueError, match="NoteOn_60"):
        grammar.push(60)
    assert np.array_equal(grammar.mask(), before)
    push(grammar, SOFT)
    with pytest.raises(ValueError, match="Velocity_0"):
        grammar.push(SOFT)
    with pytest.raises(ValueError, match="FRAME"):
        grammar.push(V.frame_id)


def test_copies_are_independent() -> None:
    grammar = push(Grammar(V), PIANO, 60, SOFT)
    twin = grammar.copy()
    push(twin, PIANO, 188)
    twin.next_slot()
    assert grammar.sounding == [(0, 60)] and twin.sounding == []
    assert (grammar.slot, twin.slot, grammar.events_in_slot, twin.events_in_slot) == (0, 1, 3, 0)


def test_in_a_hole_nothing_begins_over_the_main_part_and_only_own_notes_end() -> None:
    # A note of the main part sounds from slot 0 to its off in slot 3; the hole is [2, 5).
    clocks = np.array([0, 0, 0, 3, 3], np.int32)
    ids = np.array([PIANO, 60, SOFT, PIANO, 188], np.int32)
    grammar = Grammar(V, blocked=sounding_in(clocks, ids, 2, 5), slot=2)
    push(grammar, PIANO)
    assert allowed(grammar) == set(range(128)) - {60}
    push(grammar, 62, SOFT)
    grammar.next_slot()
    assert {60, 190} <= allowed(push(grammar, PIANO)) and 188 not in allowed(grammar)


def test_sounding_in_knows_notes_without_end_and_repeated_ones() -> None:
    clocks = np.array([0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2], np.int32)
    ids = np.array([PIANO, 60, SOFT, PIANO, 188, PIANO, 60, SOFT, BASS, 40, SOFT], np.int32)
    blocked = sounding_in(clocks, ids, 2, 4)
    assert [sorted(blocked(slot)) for slot in (2, 3)] == [[(0, 60)], [(0, 60)]]  # the bass belongs to the hole
    assert [sorted(sounding_in(clocks, ids, 1, 2)(slot)) for slot in (1,)] == [[]]


def test_a_fully_blocked_program_is_barred_until_it_is_free() -> None:
    grammar = Grammar(V, blocked=lambda slot: [(0, k) for k in range(128)] if slot == 0 else [])
    assert PIANO not in allowed(grammar)
    grammar.next_slot()
    assert PIANO in allowed(grammar)


def test_batch_masks_are_the_machines_masks() -> None:
    choices = [PIANO, 60, SOFT, V.frame_id, DRUMS, 292, SOFT, V.frame_id, PIANO, 188, V.frame_id, V.end_id]
    packed = legal_masks(V, choices)
    masks = unpack_masks(packed, V)
    assert packed.shape == (len(choices), (V.num_choices + 7) // 8) and masks.shape == (len(choices), V.num_choices)
    grammar = Grammar(V)
    for row, choice in zip(masks, choices, strict=True):
        assert np.array_equal(row[: V.size], grammar.mask()) and not row[V.size :].any()
        if choice < V.size:
            assert row[choice]
            grammar.push(choice)
        elif choice == V.frame_id:
            grammar.next_slot()
    with pytest.raises(ValueError, match="NoteOff_60"):
        legal_masks(V, [PIANO, 188])
    assert legal_masks(V, []).shape == (0, 73)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_what_is_drawn_under_the_mask_always_decodes(seed: int, few: bool) -> None:
    rng = np.random.default_rng(seed)
    grammar = Grammar(V)
    wanted = np.zeros(V.size, bool)  # few pitches and programs, so that collisions are common
    wanted[[DRUMS, PIANO, BASS, *range(60, 62), *range(188, 190), 292, SOFT]] = True
    clocks, ids, slot = [], [], 0
    for _ in range(200):
        if grammar.at_border and rng.random() < 0.2:
            grammar.next_slot()
            slot += 1
            continue
        mask = grammar.mask()
        choice = int(rng.choice(np.flatnonzero(mask & wanted if few and (mask & wanted).any() else mask)))
        grammar.push(choice)
        clocks.append(slot)
        ids.append(choice)
    if not grammar.at_border:
        while clocks and not V.name(ids[-1]).startswith("Program"):
            clocks.pop(), ids.pop()
        clocks.pop(), ids.pop()
    score = decode_events(clocks, ids, 20.0, slot + 1, V)
    assert len(score) == sum(name.startswith("Velocity") for name in map(V.name, ids))
