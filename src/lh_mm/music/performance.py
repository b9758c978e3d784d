"""Performance events of Music Transformer: 128 NOTE_ON, 128 NOTE_OFF, 100 TIME_SHIFT, 32 VELOCITY, 388 in all.

After Oore et al. 2018 (arXiv:1808.03715) and Huang et al. 2018 (arXiv:1809.04281), in the order that the authors' code
writes (note-seq, `performance_lib.py`): notes stand by (start, pitch); at one step events stand by the number of their
note, an on before its own off, so offs do not come first. Long waits are repeated shifts of a second and a remainder; a
velocity is said before an on, and only when its bin changes. A sustain pedal has to be in the notes' ends already.

One instrument: programs and tracks are not said, and what is decoded is played by the one program of the corpus (the
piano where it has several). Drums are notes by their key, with offs, and are never transposed. What differs from
Magenta's trained models: all 128 pitches (theirs are the piano's 88) and no id for the end, which is a choice of the
model here.

Legend: T tokens, E events (ons and offs).
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music import grid
from lh_mm.music.score import NOTE_DTYPE, Meter, Score
from lh_mm.music.tokens import TimedTokens, sounding_before, transposed, with_waits

NOTE_ON, NOTE_OFF, TIME_SHIFT, VELOCITY, SIZE = 0, 128, 256, 356, 388
STEPS_PER_S = 100
MAX_SHIFT = 100
VELOCITY_BINS = 32
_WIDTH = 4
"""Velocities of a bin: ceil(127 / 32)."""


@dataclass(frozen=True)
class Performance:
    """The tokenizer.

    Attributes:
        program: General MIDI program of decoded notes, 0 .. 127, -1 for a drum kit.

    Raises:
        ValueError: if the program is out of range.
    """

    program: int = 0

    def __post_init__(self) -> None:
        if not -1 <= self.program <= 127:
            raise ValueError(f"program {self.program} is outside -1 (drums) .. 127")

    @property
    def size(self) -> int:
        """Number of ids; END, which is no token, would be the next."""
        return SIZE

    @property
    def period(self) -> int:
        """Windows begin at multiples of it."""
        return 1

    def begins_note(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Which ids begin a note, any shape."""
        return np.asarray(ids) < NOTE_OFF

    def name(self, token: int) -> str:
        """Readable name, as `NoteOn_60`, `Shift_100` (steps of 10 ms), `Velocity_20` (bins from 1)."""
        if not 0 <= token < SIZE:
            raise ValueError(f"token {token} is outside 0..{SIZE - 1}")
        for label, first, lowest in (
            ("Velocity", VELOCITY, 1), ("Shift", TIME_SHIFT, 1), ("NoteOff", NOTE_OFF, 0), ("NoteOn", NOTE_ON, 0),
        ):  # fmt: skip
            if token >= first:
                return f"{label}_{token - first + lowest}"
        raise AssertionError

    def to_json(self) -> str:
        """What a bundle stores."""
        stored = {"kind": "performance", "size": SIZE, "program": self.program, grid.STEPS_PER_S: STEPS_PER_S}
        return json.dumps(stored)

    @classmethod
    def from_json(cls, text: str) -> Performance:
        """The inverse of `to_json`, a piano where none is said.

        Raises:
            ValueError: it is of another vocabulary or grid.
        """
        found = json.loads(text)
        program = found.pop("program", 0)
        own = {key: value for key, value in found.items() if key != grid.STEPS_PER_S}
        if own != {"kind": "performance", "size": SIZE} or not isinstance(program, int):
            raise ValueError(f"not the performance vocabulary of {SIZE} ids: {text[:80]!r}")
        grid.check_grid(found, grid.STEPS_PER_S, STEPS_PER_S)
        return cls(program)

    def legal(self, ids: NDArray[np.int64], is_start: bool) -> NDArray[np.bool_]:
        """(T + 1, 390) what may be chosen before each token and behind the last: an off only of what sounds.

        Args:
            ids: (T,) tokens.
            is_start: whether they begin a piece; if not, every off is legal, for what sounds is not known.
        """
        legal = np.ones((len(ids) + 1, SIZE + 2), bool)
        legal[:, SIZE] = False  # FRAME, which unmerged sequences have not
        if is_start:
            begins = np.where(ids < NOTE_OFF, ids, -1)
            ends = np.where((ids >= NOTE_OFF) & (ids < TIME_SHIFT), ids - NOTE_OFF, -1)
            legal[:, NOTE_OFF:TIME_SHIFT] = sounding_before(begins, ends, 128)
        return legal

    def transposed(self, ids: NDArray[np.int64], semitones: int) -> NDArray[np.int64]:
        """Every pitch moved; unchanged where one would leave 0 .. 127, and where the pitches are drums."""
        if self.program < 0:
            return ids
        return transposed(ids, ids < TIME_SHIFT, ids % 128, semitones)

    def encode(self, score: Score) -> TimedTokens:
        """Tokens of a score; a note shorter than a step gets one step."""
        notes = score.notes[np.lexsort([score.notes["pitch"], score.notes["start_s"]])]
        count = len(notes)
        on = _steps(notes["start_s"])
        off = np.maximum(_steps(notes["end_s"]), on + 1)
        step = np.concatenate([on, off])
        which = np.tile(np.arange(count), 2)
        is_off = np.repeat([False, True], count)
        order = np.lexsort([is_off, which, step])
        step, which, is_off = step[order], which[order], is_off[order]

        level = (np.clip(notes["velocity"][which].astype(np.int64), 1, 127) - 1) // _WIDTH
        changed = np.zeros(len(step), bool)
        ons = np.flatnonzero(~is_off)
        changed[ons] = np.diff(level[ons], prepend=-1) != 0
        ids, ends = with_waits(step, 1 + changed, TIME_SHIFT, MAX_SHIFT)
        ids[ends - 1] = notes["pitch"][which] + np.where(is_off, NOTE_OFF, NOTE_ON)
        ids[ends[changed] - 2] = VELOCITY + level[changed]
        moved = np.where((ids >= TIME_SHIFT) & (ids < VELOCITY), ids - TIME_SHIFT + 1, 0)
        return TimedTokens(ids, np.cumsum(moved) / STEPS_PER_S, count)

    def decode(self, ids: ArrayLike, problems: dict[str, int] | None = None) -> Score:
        """A score of one track from tokens, at 120 bpm.

        Of notes that overlap on a pitch the one that began first ends first; a note without length is dropped; what
        still sounds at the end ends there. Velocities are the lower edges of their bins.

        Args:
            ids: (T,) tokens.
            problems: where to count what has no meaning (`off_silent`: an off of no note, `empty`: no length).

        Raises:
            ValueError: at an off of no note, unless `problems` is given; at an id out of range.
        """
        rows: list[tuple[int, int, int, int]] = []  # (on step, off step, pitch, velocity)
        sounding: dict[int, deque[tuple[int, int]]] = defaultdict(deque)
        step, velocity = 0, 1

        def close(pitch: int) -> None:
            begun, loud = sounding[pitch].popleft()
            if step > begun:
                rows.append((begun, step, pitch, loud))
            elif problems is not None:
                problems["empty"] = problems.get("empty", 0) + 1

        for i, token in enumerate(np.asarray(ids).tolist()):
            if not 0 <= token < SIZE:
                raise ValueError(f"token {i} is {token}, outside 0..{SIZE - 1}")
            if token >= VELOCITY:
                velocity = 1 + _WIDTH * (token - VELOCITY)
            elif token >= TIME_SHIFT:
                step += token - TIME_SHIFT + 1
            elif token < NOTE_OFF:
                sounding[token].append((step, velocity))
            elif sounding[token - NOTE_OFF]:
                close(token - NOTE_OFF)
            elif problems is None:
                raise ValueError(f"token {i} ({self.name(token)}) ends a note that does not sound")
            else:
                problems["off_silent"] = problems.get("off_silent", 0) + 1
        for pitch, begun in sounding.items():
            for _ in range(len(begun)):
                close(pitch)
        return _score_of(rows, step, self.program)


def _steps(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Nearest steps, halves upwards, never negative."""
    return np.maximum(np.floor(seconds * STEPS_PER_S + 0.5), 0).astype(np.int64)


def _score_of(rows: list[tuple[int, int, int, int]], end: int, program: int) -> Score:
    on, off, pitch, velocity = np.array(sorted(rows), np.int64).reshape(-1, 4).T
    tempo_map = TempoMap.constant(120.0)
    notes = np.zeros(len(on), NOTE_DTYPE)
    notes["start_s"], notes["end_s"] = on / STEPS_PER_S, off / STEPS_PER_S
    notes["pitch"], notes["velocity"] = pitch, velocity
    notes["program"], notes["drum"] = max(program, 0), program < 0
    for edge in ("start", "end"):
        notes[f"{edge}_beat"] = tempo_map.to_beats(notes[f"{edge}_s"])
    name = "drums" if program < 0 else f"program {program}" if program else "piano"
    return Score(notes, tempo_map, end / STEPS_PER_S, (Meter(0.0, 4, 4),), (name,))
