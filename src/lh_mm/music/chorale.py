"""Chorales as voices on a grid: at each sixteenth the pitch of each voice in turn, from the highest to the lowest.

The serialisation of the JSB figures (Huang et al. 2018, arXiv:1809.04281; Boulanger-Lewandowski et al. 2012): one token
a voice and step, so a likelihood is per voice and step, held notes are predicted again at every step, and the order of
tokens alone says which voice a pitch belongs to.

Legend: S steps, V voices, T = S V tokens.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music import grid
from lh_mm.music.score import NOTE_DTYPE, Meter, Score
from lh_mm.music.tokens import TimedTokens, transposed

REST = 128
SIZE = 129
STEPS_PER_BEAT = 4
SILENT = -1
PROGRAMS = (68, 69, 71, 70)
"""Oboe, English horn, clarinet and bassoon: voices of one program would melt into one where they sing one pitch."""
_VELOCITY = 80


@dataclass(frozen=True)
class Chorale:
    """The tokenizer.

    Attributes:
        voices: V; a score's tracks in order.
    """

    voices: int = 4

    @property
    def size(self) -> int:
        """Number of ids; END, which is no token, would be the next."""
        return SIZE

    @property
    def period(self) -> int:
        """Windows begin at multiples of it, so that they begin with the first voice."""
        return self.voices

    def begins_note(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Which ids are counted as notes: all, for held notes are not told from repeated ones."""
        return np.asarray(ids) < SIZE

    def name(self, token: int) -> str:
        """Readable name, as `Pitch_60`, `Rest`."""
        if not 0 <= token < SIZE:
            raise ValueError(f"token {token} is outside 0..{SIZE - 1}")
        return "Rest" if token == REST else f"Pitch_{token}"

    def to_json(self) -> str:
        """What a bundle stores."""
        stored = {"kind": "chorale", "voices": self.voices, "size": SIZE, grid.STEPS_PER_BEAT: STEPS_PER_BEAT}
        return json.dumps(stored)

    @classmethod
    def from_json(cls, text: str) -> Chorale:
        """The inverse of `to_json`. Raises ValueError if the text is of another vocabulary or grid."""
        stored = json.loads(text)
        if not isinstance(stored, dict) or stored.get("kind") != "chorale" or stored.get("size") != SIZE:
            raise ValueError(f"not a vocabulary of chorales: {text[:80]!r}")
        grid.check_grid(stored, grid.STEPS_PER_BEAT, STEPS_PER_BEAT)
        return cls(stored["voices"])

    def legal(self, ids: NDArray[np.int64], is_start: bool) -> NDArray[np.bool_]:
        """(T + 1, 131) what may be chosen: any pitch or a rest, and END where a step is complete."""
        legal = np.ones((len(ids) + 1, SIZE + 2), bool)
        legal[:, SIZE] = False  # FRAME, which unmerged sequences have not
        legal[:, SIZE + 1] = np.arange(len(ids) + 1) % self.voices == 0
        return legal

    def transposed(self, ids: NDArray[np.int64], semitones: int) -> NDArray[np.int64]:
        """Every pitch moved; unchanged where one would leave 0 .. 127."""
        return transposed(ids, ids < REST, ids, semitones)

    def encode(self, score: Score) -> TimedTokens:
        """Tokens of a score; of notes of one track that overlap the later one is sung.

        Raises:
            ValueError: for more tracks than voices.
        """
        steps = steps_of_score(score, self.voices)
        ids = np.where(steps == SILENT, REST, steps).ravel().astype(np.int32)
        beats = np.repeat(np.arange(len(steps)) / STEPS_PER_BEAT, self.voices)
        return TimedTokens(ids, score.tempo_map.to_seconds(beats), len(ids))

    def decode(self, ids: ArrayLike, tempo_map: TempoMap) -> Score:
        """A score of one track a voice; an unfinished last step is left out, equal pitches in a row are one note.

        Raises:
            ValueError: at an id out of range.
        """
        found = np.asarray(ids, np.int64)
        if len(found) and (found.min() < 0 or found.max() >= SIZE):
            raise ValueError(f"ids should lie in 0..{SIZE - 1}, got {found.min()} to {found.max()}")
        steps = found[: len(found) // self.voices * self.voices].reshape(-1, self.voices)
        return score_of_steps(np.where(steps == REST, SILENT, steps), tempo_map)


def score_of_steps(steps: NDArray[np.int64], tempo_map: TempoMap) -> Score:
    """A score of a table (S, V) of pitches, `SILENT` where a voice rests: a track and a program of its own each.

    Raises:
        ValueError: for a table of another form, or pitches out of range.
    """
    if steps.size and (steps.ndim != 2 or steps.min() < SILENT or steps.max() > 127):
        raise ValueError(f"expected steps of pitches from -1 to 127, got an array of shape {steps.shape}")
    num_voices = steps.shape[1] if steps.ndim == 2 else 0
    rows = []
    for voice in range(num_voices):
        line = steps[:, voice]
        borders = np.flatnonzero(np.diff(line, prepend=SILENT - 1, append=SILENT - 1))
        for first, beyond in itertools.pairwise(borders.tolist()):
            if line[first] != SILENT:
                rows.append((first, beyond, int(line[first]), voice))
    rows.sort()
    notes = np.zeros(len(rows), NOTE_DTYPE)
    for note, (start, end, pitch, voice) in zip(notes, rows, strict=True):
        note["start_beat"], note["end_beat"] = start / STEPS_PER_BEAT, end / STEPS_PER_BEAT
        note["pitch"], note["velocity"], note["track"] = pitch, _VELOCITY, voice
        note["program"] = PROGRAMS[voice % len(PROGRAMS)]
    for edge in ("start", "end"):
        notes[f"{edge}_s"] = tempo_map.to_seconds(notes[f"{edge}_beat"])
    duration_s = float(tempo_map.to_seconds(len(steps) / STEPS_PER_BEAT))
    names = ("soprano", "alto", "tenor", "bass") if num_voices == 4 else tuple(f"voice {v}" for v in range(num_voices))
    return Score(notes, tempo_map, duration_s, (Meter(0.0, 4, 4),), names or ("",))


def steps_of_score(score: Score, voices: int) -> NDArray[np.int64]:
    """(S, V) the pitch of each track at each sixteenth, `SILENT` where it rests; the last beat is whole.

    Raises:
        ValueError: for more tracks than voices.
    """
    notes = score.notes
    if len(notes) and int(notes["track"].max()) >= voices:
        raise ValueError(f"the score has {int(notes['track'].max()) + 1} tracks, chorales have {voices} voices")
    start = np.rint(notes["start_beat"] * STEPS_PER_BEAT).astype(np.int64)
    end = np.maximum(np.rint(notes["end_beat"] * STEPS_PER_BEAT).astype(np.int64), start + 1)
    end_beat = float(score.tempo_map.to_beats(score.duration_s))
    length = max(int(np.floor(end_beat * STEPS_PER_BEAT + 1e-6)), int(end.max(initial=0)))
    steps = np.full((length, voices), SILENT, np.int64)
    for i in np.argsort(start, kind="stable"):
        steps[start[i] : end[i], notes["track"][i]] = notes["pitch"][i]
    return steps
