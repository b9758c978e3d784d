"""The ids of event tokens (docs/streams.md, section 2): data that a bundle holds, not code that it needs."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NOTE_ON, NOTE_OFF, DRUM_ON, PROGRAM, VELOCITY = 0, 128, 256, 384, 513
"""First id of each block; `PROGRAM` is program -1 (drums) and `PROGRAM + 1 + p` is program p."""

NUM_PITCH_BENDS = 32
MAX_EVENTS_PER_SLOT = 256
"""Generation forces FRAME beyond it, and preparation quarantines pieces that exceed it."""


@dataclass(frozen=True)
class EventVocabulary:
    """The ids of event tokens: data, so that a bundle can hold it.

    Layout: NoteOn 0..127, NoteOff 128..255, DrumOn 256..383, Program 384..512 (384 is drums), Velocity
    from 513 on, then ids kept free for Bar, Beat, PedalOn, PedalOff and 32 pitch bends.

    Attributes:
        velocity_bins: loudness levels, 1..127. Velocity v has bin `(v - 1) * bins // 127`; a bin is
            turned back into the middle of its velocities, which falls in the same bin again.
    """

    velocity_bins: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.velocity_bins <= 127:
            raise ValueError(f"velocity_bins must lie in 1..127, got {self.velocity_bins}")

    @property
    def first_reserved(self) -> int:
        """First of the ids kept free, which no piece uses yet."""
        return VELOCITY + self.velocity_bins

    @property
    def size(self) -> int:
        """Number of event ids, those kept free included."""
        return self.first_reserved + 4 + NUM_PITCH_BENDS

    @property
    def frame_id(self) -> int:
        """The event head's choice FRAME: a choice, never a position."""
        return self.size

    @property
    def end_id(self) -> int:
        """The event head's choice END: a choice, never a position."""
        return self.size + 1

    @property
    def num_choices(self) -> int:
        """Width of the event head: all ids, FRAME and END."""
        return self.size + 2

    def program_id(self, program: int) -> int:
        """Id of a program, -1 (drums) to 127."""
        return PROGRAM + 1 + program

    def velocity_id(self, velocity: ArrayLike) -> NDArray[np.int64]:
        """Ids of velocities 1..127 (0 counts as 1), any shape."""
        v = np.clip(np.asarray(velocity, np.int64), 1, 127)
        return VELOCITY + (v - 1) * self.velocity_bins // 127

    def velocity_of(self, event_id: int) -> int:
        """Velocity in the middle of a Velocity id's bin."""
        k = event_id - VELOCITY
        lowest, beyond = -(-127 * k // self.velocity_bins), -(-127 * (k + 1) // self.velocity_bins)
        return 1 + (lowest + beyond - 1) // 2

    def begins_note(self, event_ids: ArrayLike) -> NDArray[np.bool_]:
        """Which ids begin a note (NoteOn and DrumOn: one each), any shape."""
        ids = np.asarray(event_ids)
        return ((ids >= NOTE_ON) & (ids < NOTE_OFF)) | ((ids >= DRUM_ON) & (ids < PROGRAM))

    def name(self, event_id: int) -> str:
        """Readable name, as `NoteOn_60`, `Program_-1`, `Velocity_7`, `FRAME`."""
        blocks = (
            ("NoteOn", NOTE_ON, 0),
            ("NoteOff", NOTE_OFF, 0),
            ("DrumOn", DRUM_ON, 0),
            ("Program", PROGRAM, -1),
            ("Velocity", VELOCITY, 0),
        )
        if not 0 <= event_id < self.num_choices:
            raise ValueError(f"event id {event_id} is outside 0..{self.num_choices - 1}")
        if event_id < self.first_reserved:
            label, first, lowest = [b for b in blocks if b[1] <= event_id][-1]
            return f"{label}_{event_id - first + lowest}"
        bends = [f"PitchBend_{k}" for k in range(NUM_PITCH_BENDS)]
        return ["Bar", "Beat", "PedalOn", "PedalOff", *bends, "FRAME", "END"][event_id - self.first_reserved]

    def to_json(self) -> str:
        """What a bundle stores."""
        return json.dumps({"kind": "events", "velocity_bins": self.velocity_bins, "size": self.size})

    @classmethod
    def from_json(cls, text: str) -> EventVocabulary:
        """The inverse of `to_json`. Raises ValueError if the text is of another vocabulary."""
        stored = json.loads(text)
        if not isinstance(stored, dict) or stored.get("kind") != "events":
            raise ValueError(f"not an event vocabulary: {text[:80]!r}")
        vocabulary = cls(velocity_bins=stored["velocity_bins"])
        if vocabulary.size != stored["size"]:
            raise ValueError(f"this event vocabulary has {stored['size']} ids, this version's has {vocabulary.size}")
        return vocabulary
