"""Tokens of the library miditok (Fradet et al. 2021) on the score's own beats: TSD, MIDILike and REMI with programs.

miditok counts ticks and merges tracks of one program. So a score is handed over with a tick for each step of its
annotated beats, whatever their tempo, and with the programs of its tracks, which are distinct in our sets. Which token
may come next is the graph of types that miditok gives, and an off only of what sounds.

Legend: T tokens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music.miditok_grammar import BAR_BEATS, MidiTokGrammar, legal
from lh_mm.music.score import Meter, Score, make_notes
from lh_mm.music.tokens import TimedTokens, first_bar_beat, transposed

if TYPE_CHECKING:
    import miditok

Tokenization = Literal["TSD", "MIDILike", "REMI"]
_BEGINS = ("Pitch", "PitchDrum", "NoteOn", "DrumOn")


@dataclass(frozen=True)
class MidiTok:
    """A tokenizer of miditok's.

    Attributes:
        tokenization: which.
        programs: those of the set's tracks, -1 for drums.
        steps_per_beat: the grid of times and durations.
        max_beats: longest duration, and longest time shift.
        velocities: loudness levels.
    """

    tokenization: Tokenization
    programs: tuple[int, ...]
    steps_per_beat: int = 12
    max_beats: int = 8
    velocities: int = 32

    @cached_property
    def theirs(self) -> miditok.MusicTokenizer:
        """Miditok's own tokenizer."""
        import miditok

        config = miditok.TokenizerConfig(
            pitch_range=(0, 127), drums_pitch_range=(0, 127), beat_res={(0, self.max_beats): self.steps_per_beat},
            num_velocities=self.velocities, special_tokens=["PAD"], use_programs=True, programs=list(self.programs),
            use_time_signatures=False, use_tempos=False, use_rests=False, remove_duplicated_notes=True,
            use_note_duration_programs=list(self.programs),
        )  # fmt: skip
        made: miditok.MusicTokenizer = getattr(miditok, self.tokenization)(config)
        return made

    @cached_property
    def names(self) -> list[str]:
        """Of every id, as `Pitch_60`, `TimeShift_0.6.12`."""
        vocabulary: dict[str, int] = self.theirs.vocab
        return sorted(vocabulary, key=lambda name: vocabulary[name])

    @cached_property
    def kinds(self) -> NDArray[np.str_]:
        """The type of every id."""
        return np.array([name.split("_")[0] for name in self.names])

    @cached_property
    def follows(self) -> dict[str, NDArray[np.bool_]]:
        """(size,) which ids may follow a type; those that may begin a piece stand at "start"."""
        graph = {kind: set(after) - {"PAD", "PAD_None"} for kind, after in self.theirs.tokens_types_graph.items()}
        first = {"Bar"} if self.tokenization == "REMI" else {"Program", "TimeShift"}
        # A piece may be silent behind its last note: bars and shifts follow each other.
        found = {kind: np.isin(self.kinds, sorted(after)) for kind, after in graph.items()}
        if self.tokenization == "REMI":
            found["Bar"] = np.isin(self.kinds, ["Bar", "Position"])
        return {**found, "start": np.isin(self.kinds, sorted(first))}

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """(size,) grid steps that a time shift passes, or that a position stands at."""
        values = np.zeros(len(self.names), np.int64)
        for i, (kind, name) in enumerate(zip(self.kinds.tolist(), self.names, strict=True)):
            if kind == "TimeShift":
                beats, part, _ = (int(x) for x in name.split("_")[1].split("."))
                values[i] = beats * self.steps_per_beat + part
            elif kind == "Position":
                values[i] = int(name.split("_")[1])
        return values

    @property
    def size(self) -> int:
        """Number of ids; END, which is no token, would be the next."""
        return len(self.names)

    @property
    def period(self) -> int:
        """Windows begin at multiples of it."""
        return 1

    @cached_property
    def at_border(self) -> NDArray[np.bool_]:
        """(size,) behind which ids a note is complete, and END may follow."""
        whole = ("NoteOff", "DrumOff", "TimeShift", "Bar")
        last = "Velocity" if self.tokenization == "MIDILike" else "Duration"
        return np.isin(self.kinds, [*whole, last])

    def begins_note(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Which ids begin a note, any shape."""
        found: NDArray[np.bool_] = np.isin(self.kinds, _BEGINS)[np.clip(np.asarray(ids), 0, self.size - 1)]
        return found & (np.asarray(ids) < self.size)

    def name(self, token: int) -> str:
        """Readable name, miditok's own."""
        if not 0 <= token < self.size:
            raise ValueError(f"token {token} is outside 0..{self.size - 1}")
        return self.names[token]

    def to_json(self) -> str:
        """What a bundle stores."""
        settings = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps({"kind": "miditok", **settings, "names": self.names})

    @classmethod
    def from_json(cls, text: str) -> MidiTok:
        """The inverse of `to_json`. Raises ValueError if this version of miditok numbers its tokens otherwise."""
        stored = json.loads(text)
        if not isinstance(stored, dict) or stored.pop("kind", None) != "miditok":
            raise ValueError(f"not a vocabulary of miditok: {text[:80]!r}")
        names = stored.pop("names")
        made = cls(**{**stored, "programs": tuple(stored["programs"])})
        if made.names != names:
            raise ValueError(
                f"this miditok numbers the {made.size} ids of {made.tokenization} otherwise than the stored"
            )
        return made

    def legal(self, ids: NDArray[np.int64], is_start: bool) -> NDArray[np.bool_]:
        """(T + 1, size + 2) what the graph of types allows before each token and behind the last."""
        return legal(self, ids, is_start)

    def transposed(self, ids: NDArray[np.int64], semitones: int) -> NDArray[np.int64]:
        """Every pitch but those of drums moved; unchanged where one would leave 0 .. 127."""
        kinds = self.kinds[ids]
        pitched = np.isin(kinds, ["Pitch", "NoteOn", "NoteOff"])
        named = zip(ids.tolist(), pitched.tolist(), strict=True)
        pitch = np.array([int(self.names[i].split("_")[1]) if has_pitch else 0 for i, has_pitch in named], np.int64)
        return transposed(ids, pitched, pitch, semitones)

    def encode(self, score: Score) -> TimedTokens:
        """Tokens of a score on its beats; bar 0 is that of the first note if it stands before beat 0.

        Raises:
            ValueError: if a note's program is not one of `programs`.
        """
        import symusic

        first = self.first_beat(score)
        theirs: Any = symusic.Score(self.steps_per_beat)
        program = np.where(score.notes["drum"], -1, score.notes["program"].astype(np.int64))
        if strange := sorted(set(program.tolist()) - set(self.programs)):
            raise ValueError(f"notes of program {strange} have no track: programs is {self.programs}")
        for number in sorted(set(program.tolist())):
            track: Any = symusic.Track(program=max(number, 0), is_drum=number < 0)
            own = score.notes[program == number]
            start = np.rint((own["start_beat"] - first) * self.steps_per_beat).astype(np.int64)
            length = np.rint((own["end_beat"] - first) * self.steps_per_beat).astype(np.int64) - start
            for a, n, p, v in zip(start, np.maximum(length, 1), own["pitch"], own["velocity"], strict=True):
                track.notes.append(symusic.Note(int(a), int(n), int(p), max(int(v), 1)))
            theirs.tracks.append(track)
        ids = np.array(self.theirs(theirs).ids if len(score.notes) else [], np.int64)
        count = int(self.begins_note(ids).sum())
        times_s = score.tempo_map.to_seconds(first + self.beats(ids))
        return TimedTokens(ids.astype(np.int32), times_s, count, len(score.notes) - count)

    def first_beat(self, score: Score) -> float:
        """The beat at which tokens begin: 0, or whole bars before it where notes stand there."""
        return first_bar_beat(score.notes["start_beat"], self.steps_per_beat, BAR_BEATS)

    def beats(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """(T,) beats from the begin that have been reached at each token."""
        kinds, steps = self.kinds[ids], self.steps[ids]
        if self.tokenization != "REMI":
            return np.asarray(np.cumsum(np.where(kinds == "TimeShift", steps, 0)) / self.steps_per_beat)
        bars = np.maximum(np.cumsum(kinds == "Bar") - 1, 0)
        marks = np.isin(kinds, ["Bar", "Position"])
        latest = np.maximum.accumulate(np.where(marks, np.arange(len(ids)), -1))
        position = np.where(latest >= 0, steps[np.maximum(latest, 0)], 0)
        return np.asarray(bars * float(BAR_BEATS) + position / self.steps_per_beat)

    def decode(self, ids: ArrayLike, tempo_map: TempoMap, problems: dict[str, int] | None = None) -> Score:
        """A score on the grid of a tempo map, a track for each program.

        Args:
            ids: (T,) tokens.
            tempo_map: seconds of the beats, beat 0 where tokens begin.
            problems: where to count what the grammar bars (`grammar`); it is left out.

        Raises:
            ValueError: at the first token that the grammar bars, unless `problems` is given.
        """
        grammar, kept = MidiTokGrammar(self), []
        for i, token in enumerate(np.asarray(ids).tolist()):
            if not (0 <= token < self.size and grammar.mask()[token]):
                if problems is None:
                    raise ValueError(f"token {i} ({token}) is not legal")
                problems["grammar"] = problems.get("grammar", 0) + 1
                continue
            grammar.push(token)
            kept.append(token)
        theirs: Any = self.theirs.decode(kept) if kept else None
        rows, names = [], []
        for number, track in enumerate(theirs.tracks if theirs is not None else ()):
            names.append("drums" if track.is_drum else f"program {track.program}")
            rows += [
                {
                    "start_beat": note.time / theirs.tpq, "end_beat": (note.time + note.duration) / theirs.tpq,
                    "pitch": note.pitch, "velocity": note.velocity, "program": 0 if track.is_drum else track.program,
                    "drum": track.is_drum, "track": number,
                }
                for note in track.notes
            ]  # fmt: skip
        notes = make_notes(rows, tempo_map)
        reached = float(self.beats(np.array(kept, np.int64)).max(initial=0.0))
        end_s = max(float(tempo_map.to_seconds(reached)), float(notes["end_s"].max(initial=0.0)))
        return Score(notes, tempo_map, end_s, (Meter(0.0, BAR_BEATS, 4),), tuple(names) or ("",))
