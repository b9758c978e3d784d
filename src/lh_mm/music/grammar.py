"""Which event ids may come next: one state machine for training masks and for sampling.

The rules are those of docs/streams.md, sections 2 and 3: a note is `Program NoteOn Velocity`
(`Program=-1 DrumOn Velocity`), an end `Program NoteOff`; an off only for a sounding note, an on only for
one that does not sound, and none begins twice in a slot. FRAME and END are the caller's: they may be
drawn only at a border, that is between groups, and when depends on the task.

The state is 128-bit integers, one pair a program, so a step costs about a microsecond and a mask is made
by joining bytes: training builds one for each of a crop's thousand decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lh_mm.music.vocabulary import DRUM_ON, NOTE_OFF, PROGRAM, VELOCITY, EventVocabulary

_ALL = (1 << 128) - 1

BlockedPairs = Callable[[int], Iterable[tuple[int, int]]]
"""Slot to the (program, pitch) pairs that may not begin there, as in an infilled hole those that the
rest of the piece still sounds."""


class Grammar:
    """Legal next event ids of one generated stream.

    Args:
        vocabulary: the ids' meaning.
        blocked: pairs that may not begin in a slot; a hole starts with nothing of its own sounding.
        slot: the slot to start in, which only `blocked` sees.
    """

    def __init__(self, vocabulary: EventVocabulary, blocked: BlockedPairs | None = None, slot: int = 0) -> None:
        self.vocabulary = vocabulary
        self.slot = slot
        self.events_in_slot = 0
        self._blocked_at = blocked
        self._sounding: dict[int, int] = {}  # program -> bits of pitches
        self._begun: dict[int, int] = {}  # program -> bits of pitches begun in this slot, drums at -1
        self._blocked: dict[int, int] = {}
        self._program: int | None = None  # open group's program
        self._wants_velocity = False
        self._spent: set[int] = set()  # programs with nothing left to begin and nothing to end
        self._width = (vocabulary.num_choices + 7) // 8
        self._tail = bytes(self._width - 32)
        self._border = _packed(range(PROGRAM, VELOCITY), self._width)
        self._velocities = _packed(range(VELOCITY, vocabulary.first_reserved), self._width)
        self._load_blocked()

    def copy(self) -> Grammar:
        """An independent machine in the same state."""
        twin = object.__new__(Grammar)
        twin.__dict__.update(self.__dict__)
        for name in ("_sounding", "_begun", "_blocked", "_spent"):
            setattr(twin, name, getattr(self, name).copy())
        return twin

    @property
    def at_border(self) -> bool:
        """Whether a group is complete, so that FRAME or END may be drawn as far as grammar goes."""
        return self._program is None and not self._wants_velocity

    @property
    def sounding(self) -> list[tuple[int, int]]:
        """(program, pitch) of notes that were begun here and not ended, sorted."""
        return [(p, k) for p in sorted(self._sounding) for k in range(128) if self._sounding[p] >> k & 1]

    @property
    def any_sounding(self) -> bool:
        """Whether some note begun here was not ended (bars FRAME in the last slot of a hole)."""
        return any(self._sounding.values())

    def next_slot(self) -> None:
        """Time passes one frame. Raises ValueError inside a group."""
        if not self.at_border:
            raise ValueError(f"slot {self.slot} cannot end inside a note's tokens")
        self.slot += 1
        self.events_in_slot = 0
        self._begun.clear()
        self._spent.clear()
        self._load_blocked()

    def push(self, event_id: int) -> None:
        """Takes one event. Raises ValueError if `mask()` forbids it."""
        program = self._program
        if self._wants_velocity:
            legal = VELOCITY <= event_id < self.vocabulary.first_reserved
            self._wants_velocity = not legal
        elif program is None:
            legal = PROGRAM <= event_id < VELOCITY and (event_id - PROGRAM - 1) not in self._spent
            if legal:
                self._program = event_id - PROGRAM - 1
        elif 0 <= event_id < PROGRAM and (program == -1) == (event_id >= DRUM_ON):
            bit = 1 << (event_id & 127)
            sounding = self._sounding.get(program, 0)
            if NOTE_OFF <= event_id < DRUM_ON:
                legal = bool(sounding & bit)
                if legal:
                    self._sounding[program] = sounding & ~bit
            else:
                legal = bool(self._free(program) & bit)
                if legal:
                    self._begun[program] = self._begun.get(program, 0) | bit
                    self._wants_velocity = True
                    if program >= 0:
                        self._sounding[program] = sounding | bit
            if legal:
                self._program = None
                self._note_spent(program)
        else:
            legal = False
        if not legal:
            raise ValueError(f"{self.vocabulary.name(event_id)} is not legal here (slot {self.slot})")
        self.events_in_slot += 1

    def packed(self) -> bytes:
        """The mask as bits, lowest first, with room for FRAME and END (both 0): `ceil((V + 2) / 8)` bytes."""
        if self._wants_velocity:
            return self._velocities
        program = self._program
        if program is None:
            if not self._spent:
                return self._border
            left = (p for p in range(PROGRAM, VELOCITY) if p - PROGRAM - 1 not in self._spent)
            return _packed(left, self._width)
        free = self._free(program).to_bytes(16, "little")
        if program == -1:
            return bytes(32) + free + self._tail[16:]
        return free + self._sounding.get(program, 0).to_bytes(16, "little") + self._tail

    def mask(self) -> NDArray[np.bool_]:
        """(V,) True where an event id may come next. FRAME and END are not in it."""
        bits = np.unpackbits(np.frombuffer(self.packed(), np.uint8), bitorder="little")
        return bits[: self.vocabulary.size].astype(bool)

    def _free(self, program: int) -> int:
        """Bits of the pitches that may begin now."""
        taken = self._begun.get(program, 0) | self._sounding.get(program, 0) | self._blocked.get(program, 0)
        return _ALL & ~taken

    def _note_spent(self, program: int) -> None:
        if self._sounding.get(program, 0) or self._free(program):
            self._spent.discard(program)
        else:
            self._spent.add(program)

    def _load_blocked(self) -> None:
        if self._blocked_at is None:
            return
        self._blocked.clear()
        for program, pitch in self._blocked_at(self.slot):
            self._blocked[program] = self._blocked.get(program, 0) | 1 << pitch
        for program in self._blocked:
            self._note_spent(program)


def _packed(ids: Iterable[int], width: int) -> bytes:
    return sum(1 << i for i in ids).to_bytes(width, "little")


def legal_masks(
    vocabulary: EventVocabulary, choices: Sequence[int], blocked: BlockedPairs | None = None, slot: int = 0
) -> NDArray[np.uint8]:
    """Masks of all decisions of one stream at once: the state before each choice.

    Args:
        vocabulary: the ids' meaning.
        choices: (D,) what stands in the sequence: event ids and, where a slot ends, `frame_id`. `end_id`
            changes nothing.
        blocked: as in `Grammar`.
        slot: slot of the first choice.

    Returns:
        (D, ceil((V + 2) / 8)) uint8, to be read by `unpack_masks`; FRAME and END are 0 everywhere, for the
        caller to allow, and at a border only.

    Raises:
        ValueError: where an id of `choices` is not legal.
    """
    grammar = Grammar(vocabulary, blocked, slot)
    frame, end = vocabulary.frame_id, vocabulary.end_id
    rows: list[bytes] = []
    for choice in choices:
        rows.append(grammar.packed())
        if choice == frame:
            grammar.next_slot()
        elif choice != end:
            grammar.push(choice)
    width = (vocabulary.num_choices + 7) // 8
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, width).copy()


def unpack_masks(packed: NDArray[np.uint8], vocabulary: EventVocabulary) -> NDArray[np.bool_]:
    """(D, bytes) packed masks as (D, V + 2) booleans."""
    return np.unpackbits(packed, axis=-1, count=vocabulary.num_choices, bitorder="little").astype(bool)


def sounding_in(clocks: NDArray[np.int32], ids: NDArray[np.int32], start: int, end: int) -> BlockedPairs:
    """What notes that begin before `start` still sound in each slot of [start, end): a hole's `blocked`.

    A pair is free again in the slot of its off, for offs come first in a slot.

    Args:
        clocks: (E,) slots of a stream's tokens, whole notes in true order.
        ids: (E,) event ids.
        start: first slot of the hole.
        end: slot after the hole.
    """
    held: dict[tuple[int, int], int] = {}  # pair -> slot of its off, or end
    program = -1
    for clock, token in zip(clocks.tolist(), ids.tolist(), strict=True):
        if PROGRAM <= token < VELOCITY:
            program = token - PROGRAM - 1
        elif token < NOTE_OFF and clock < start:
            held[program, token] = end
        elif NOTE_OFF <= token < DRUM_ON:
            pair = (program, token - NOTE_OFF)
            if held.get(pair) == end:
                held[pair] = clock
    return lambda slot: [pair for pair, off in held.items() if slot < off]
