"""What an experiment says of rows of symbolic tokens: which tokenizer, its settings, and how windows are drawn.

The rows themselves are made in `token_rows.py`; MMM's, which are no windows of a line of tokens, in `bar_rows.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

from lh_mm.core.config import Config
from lh_mm.core.streams import SequenceSpec, StreamSpec
from lh_mm.data.controls import INSTRUMENT_CONTROLS
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.token_rows import TokenRows
from lh_mm.music.chorale import Chorale
from lh_mm.music.miditok_tokens import MidiTok, Tokenization
from lh_mm.music.musenet import Musenet
from lh_mm.music.performance import Performance
from lh_mm.music.remi import Remi
from lh_mm.music.tokenizer import Tokenizer


class TokenConfig(Config, ABC):
    """What windows of all tokenizers have; each kind is a class below."""

    length: int = Field(1024, ge=8)
    """Tokens of a window, those of `context` included: evaluation goes nowhere that training has not been."""
    context: int = Field(0, ge=0)
    """Tokens at the begin of a window in mid-piece that evaluation shows without counting them; less than `length`."""
    transpose: int = Field(0, ge=0, le=11)
    """Training windows are moved by up to so many semitones either way, drums never; key is then not said."""
    start_share: float = Field(0.1, ge=0, le=1)
    """Share of the windows that begin where the piece does."""
    control_dropout: float = Field(0.2, ge=0, le=1)
    """Share of each control left out."""
    instruments: bool = False
    """Whether BOS says which of MuseNet's ten instruments play, in words for a model that reads them."""

    @model_validator(mode="after")
    def _some_count(self) -> TokenConfig:
        if self.context >= self.length:
            raise ValueError(f"context ({self.context}) leaves nothing of length ({self.length}) to count")
        return self

    def build(
        self, prepared: PreparedSet, parent: SequenceSpec | None = None, known: Tokenizer | None = None
    ) -> TokenRows:
        return TokenRows(prepared, self, parent, known)

    @property
    def own_streams(self) -> tuple[StreamSpec, ...]:
        """Streams beside the tokens."""
        return ()

    @property
    def own_controls(self) -> Mapping[str, Sequence[str]]:
        """Controls beside those of the set, with their values."""
        return dict.fromkeys(INSTRUMENT_CONTROLS, ("no", "yes")) if self.instruments else {}

    @abstractmethod
    def tokenizer(self, programs: tuple[int, ...]) -> Tokenizer:
        """The tokenizer for a set with these programs, in the order of its tracks."""


class RemiConfig(TokenConfig):
    """Rows of REMI tokens: bars, positions, tracks, pitches and durations on the score's own grid."""

    kind: Literal["remi"] = "remi"
    positions: int = 16
    """Steps of a bar."""
    beats_per_bar: int = 4
    """Beats that they divide."""
    max_duration: int = Field(64, ge=1)
    """Longest duration in steps."""

    def tokenizer(self, programs: tuple[int, ...]) -> Remi:
        return Remi(programs, self.positions, self.beats_per_bar, self.max_duration)


class PerformanceConfig(TokenConfig):
    """Rows of the 388 performance events: ons, offs, waits of 10 ms and velocities, all instruments as one.

    What is composed is played by the set's one program (drums where it is drums alone), by the piano if it has several.
    """

    kind: Literal["performance"] = "performance"

    def tokenizer(self, programs: tuple[int, ...]) -> Performance:
        if self.transpose and -1 in programs and len(programs) > 1:
            raise ValueError("performance events do not tell drums from pitches: set sequence.transpose=0 for this set")
        return Performance(programs[0] if len(programs) == 1 else 0)


class MusenetConfig(TokenConfig):
    """Rows of MuseNet's tokens: instrument, pitch and loudness in one id, waits in 48ths of a beat."""

    kind: Literal["musenet"] = "musenet"
    structure: bool = False
    """Whether each token is told with the part of its piece and the countdown to its end, which says how long it is."""
    instruments: bool = True
    """Whether BOS says which of the ten instruments play, as MuseNet's prefix does."""

    @property
    def own_streams(self) -> tuple[StreamSpec, ...]:
        return (StreamSpec("structure", "structure", dim=2),) if self.structure else ()

    def tokenizer(self, programs: tuple[int, ...]) -> Musenet:
        return Musenet()


class MidiTokConfig(TokenConfig):
    """Rows of the library miditok's tokens, on the score's own beats."""

    kind: Literal["miditok"] = "miditok"
    tokenization: Tokenization = "TSD"
    """Which of miditok's."""
    steps_per_beat: int = Field(12, ge=1)
    """The grid of times and durations."""
    max_beats: int = Field(8, ge=1)
    """Longest duration and time shift."""
    velocities: int = Field(32, ge=1, le=127)
    """Loudness levels."""

    def tokenizer(self, programs: tuple[int, ...]) -> MidiTok:
        return MidiTok(self.tokenization, programs, self.steps_per_beat, self.max_beats, self.velocities)


class ChoraleConfig(TokenConfig):
    """Rows of voices on sixteenths, one token a voice and step: the form of the JSB figures."""

    kind: Literal["chorale"] = "chorale"
    voices: int = Field(4, ge=1)
    """Voices, the tracks of a piece in order."""

    def tokenizer(self, programs: tuple[int, ...]) -> Chorale:
        return Chorale(self.voices)
