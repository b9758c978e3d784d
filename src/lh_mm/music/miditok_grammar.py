"""Which token of miditok's may come next: its own graph of types, made tight where music would not be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music.remi_grammar import latest
from lh_mm.music.tokens import TokenGrammar, sounding_before

if TYPE_CHECKING:
    from lh_mm.music.miditok_tokens import MidiTok

BAR_BEATS = 4
"""miditok's bars, where no time signature is said."""


class MidiTokGrammar(TokenGrammar):
    """The state behind some tokens.

    Beyond the graph of types: positions of a bar rise and stay within it, and offs are those of notes that sound.
    """

    def __init__(self, tokens: MidiTok) -> None:
        self.tokens = tokens
        self._last = "start"
        self._ids: list[int] = []
        self._position = -1
        self._program = 0
        self._sounding: dict[tuple[int, str], int] = {}
        self._bars = 0
        self._steps = 0

    @property
    def may_end(self) -> bool:
        """Whether END may follow."""
        return bool(self._ids) and bool(self.tokens.at_border[self._ids[-1]])

    def mask(self) -> NDArray[np.bool_]:
        """(size,) True where a token may come next."""
        tokens = self.tokens
        mask = tokens.follows[self._last].copy()
        if tokens.tokenization == "REMI":
            bar = BAR_BEATS * tokens.steps_per_beat
            mask &= (tokens.kinds != "Position") | ((tokens.steps > self._position) & (tokens.steps < bar))
        elif tokens.tokenization == "MIDILike":
            offs = np.isin(tokens.kinds, ["NoteOff", "DrumOff"])
            if self._last == "Program":
                drum = self._program < 0
                mask &= np.isin(tokens.kinds, ["DrumOn", "DrumOff"] if drum else ["NoteOn", "NoteOff"])
                held = [
                    _number(tokens, on) for (program, on), n in self._sounding.items() if n and program == self._program
                ]
                mask &= ~offs | np.isin(np.arange(tokens.size), held)
            else:
                mask &= ~offs
        if self._last == "Program" and tokens.tokenization != "MIDILike":
            mask &= tokens.kinds == ("PitchDrum" if self._program < 0 else "Pitch")
        return mask

    def push(self, token: int) -> None:
        """Take a token. Raises ValueError if it may not come."""
        tokens = self.tokens
        self._require(token)
        kind, name = str(tokens.kinds[token]), tokens.names[token]
        if kind == "Bar":
            self._bars, self._position = self._bars + 1, -1
        elif kind == "Position":
            self._position = int(tokens.steps[token])
        elif kind == "TimeShift":
            self._steps += int(tokens.steps[token])
        elif kind == "Program":
            self._program = int(name.split("_")[1])
        elif kind in ("NoteOn", "DrumOn", "NoteOff", "DrumOff"):
            key = (self._program, name.replace("Off", "On"))
            self._sounding[key] = self._sounding.get(key, 0) + (1 if kind.endswith("On") else -1)
        self._last = kind
        self._ids.append(token)

    def seconds(self, tempo_map: TempoMap) -> float:
        """Second that has been reached."""
        tokens = self.tokens
        if tokens.tokenization == "REMI":
            beat = float(BAR_BEATS) * max(self._bars - 1, 0) + max(self._position, 0) / tokens.steps_per_beat
        else:
            beat = self._steps / tokens.steps_per_beat
        return float(tempo_map.to_seconds(beat))


def _number(tokens: MidiTok, on: str) -> int:
    return int(tokens.theirs.vocab[on.replace("On", "Off")])


def legal(tokens: MidiTok, ids: NDArray[np.int64], is_start: bool) -> NDArray[np.bool_]:
    """(T + 1, size + 2): `MidiTokGrammar`, vectorised; in mid-piece what is not known bars nothing."""
    size, kinds = tokens.size, tokens.kinds[ids]
    table = np.zeros((len(ids) + 1, size + 2), bool)
    table[0, :size] = tokens.follows["start"] if is_start else True
    for kind in set(kinds.tolist()):
        table[1:][kinds == kind, :size] = tokens.follows[kind]
    table[1:, size + 1] = tokens.at_border[ids]
    own = table[:, :size]
    programs = np.array([int(name.split("_")[1]) if name.startswith("Program") else 0 for name in tokens.names])
    is_program = np.concatenate([[False], kinds == "Program"])
    drum = np.concatenate([[False], programs[ids] < 0])
    wanted = {"MIDILike": ("NoteOn", "NoteOff", "DrumOn", "DrumOff")}.get(tokens.tokenization, ("Pitch", "PitchDrum"))
    for is_drum in (False, True):
        right = np.isin(tokens.kinds, [kind for kind in wanted if ("Drum" in kind) == is_drum])
        own[is_program & (drum == is_drum)] &= right
    if tokens.tokenization == "REMI":
        marks = np.isin(kinds, ["Bar", "Position"])
        position = latest(np.where(kinds == "Position", tokens.steps[ids], -1), marks)
        late = (tokens.steps <= position[:, None]) | (tokens.steps >= BAR_BEATS * tokens.steps_per_beat)
        own &= ~((tokens.kinds == "Position") & late)
    elif tokens.tokenization == "MIDILike":
        _bar_silent_offs(tokens, ids, own, is_program, is_start)
    return table


def _bar_silent_offs(
    tokens: MidiTok, ids: NDArray[np.int64], own: NDArray[np.bool_], is_program: NDArray[np.bool_], is_start: bool
) -> None:
    """Offs stand behind a program, and are of notes that sound; in mid-piece any note may."""
    offs = np.isin(tokens.kinds, ["NoteOff", "DrumOff"])
    own[1:] &= ~(offs & ~is_program[1:, None])
    if not is_start:
        return
    own[0] &= ~offs
    known = {program: i for i, program in enumerate(tokens.programs)}
    kinds = tokens.kinds[ids]
    values = [name.split("_")[-1] for name in tokens.names]
    number = np.array([int(value) if value.lstrip("-").isdigit() else 0 for value in values])
    row = np.array([known.get(int(n), 0) for n in number[ids]], np.int64)
    program = latest(row, kinds == "Program")[1:]
    voice = np.where(program >= 0, program, 0) * 128 + np.clip(number[ids], 0, 127)
    begins = np.where(np.isin(kinds, ["NoteOn", "DrumOn"]), voice, -1)
    ends = np.where(np.isin(kinds, ["NoteOff", "DrumOff"]), voice, -1)
    sounds = sounding_before(begins, ends, len(known) * 128).reshape(len(ids) + 1, -1, 128)
    at = np.flatnonzero(is_program)
    off_ids = np.flatnonzero(offs)
    own[np.ix_(at, off_ids)] &= sounds[at[:, None], program[at - 1][:, None], number[off_ids][None]]
