"""Which token may come next, tokenizer by tokenizer, and how far time has come: what drawing tokens needs.

`Tokenizer.legal` says the same of all tokens of a piece at once, for training; tests hold the two to each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music import chorale, musenet, performance
from lh_mm.music.chorale import Chorale
from lh_mm.music.miditok_grammar import MidiTokGrammar
from lh_mm.music.miditok_tokens import MidiTok
from lh_mm.music.mmm import Mmm
from lh_mm.music.mmm_grammar import MmmGrammar
from lh_mm.music.mmm_limits import Limits
from lh_mm.music.musenet import Musenet
from lh_mm.music.performance import Performance
from lh_mm.music.remi import Remi
from lh_mm.music.remi_grammar import RemiGrammar
from lh_mm.music.tokenizer import Vocabulary
from lh_mm.music.tokens import TokenGrammar


def grammar_of(vocabulary: Vocabulary, limits: Limits | None = None, given: int = 0) -> TokenGrammar:
    """The grammar of a tokenizer before its first token.

    Args:
        vocabulary: any tokenizer with time tokens of its own.
        limits: bar lines and caps, of MMM alone.
        given: first tokens that are given and not drawn: caps do not hold for them.

    Raises:
        ValueError: for limits of another tokenizer than MMM, or a vocabulary that is no tokenizer's.
    """
    if isinstance(vocabulary, Mmm):
        return MmmGrammar(limits, given)
    if limits is not None:
        raise ValueError("bars and caps can be set for MMM's tokens alone")
    if isinstance(vocabulary, Remi):
        return RemiGrammar(vocabulary)
    if isinstance(vocabulary, Performance):
        return PerformanceGrammar()
    if isinstance(vocabulary, Musenet):
        return MusenetGrammar()
    if isinstance(vocabulary, MidiTok):
        return MidiTokGrammar(vocabulary)
    if isinstance(vocabulary, Chorale):
        return ChoraleGrammar(vocabulary)
    raise ValueError(f"{type(vocabulary).__name__} has no time tokens of its own")


class PerformanceGrammar(TokenGrammar):
    """Any event at any time, an off only of a note that sounds; a pitch may sound several times."""

    def __init__(self) -> None:
        self._sounding = np.zeros(128, np.int64)
        self._step = 0

    @property
    def may_end(self) -> bool:
        """Whether END may follow: anywhere."""
        return True

    def mask(self) -> NDArray[np.bool_]:
        """(388,) True where a token may come next."""
        mask = np.ones(performance.SIZE, bool)
        mask[performance.NOTE_OFF : performance.TIME_SHIFT] = self._sounding > 0
        return mask

    def push(self, token: int) -> None:
        """Take a token. Raises ValueError for an off of no note, or an id out of range."""
        self._require(token)
        if token < performance.NOTE_OFF:
            self._sounding[token] += 1
        elif token < performance.TIME_SHIFT:
            self._sounding[token - performance.NOTE_OFF] -= 1
        elif token < performance.VELOCITY:
            self._step += token - performance.TIME_SHIFT + 1

    def seconds(self, tempo_map: TempoMap) -> float:
        """Second that has been reached; beats do not matter."""
        return self._step / performance.STEPS_PER_S


class MusenetGrammar(TokenGrammar):
    """`start`, then any event at any time, an end only of a note that sounds; a begin ends the same note before it."""

    def __init__(self) -> None:
        self._sounding = np.zeros((9, 128), bool)
        self._unit = 0
        self._begun = False

    @property
    def may_end(self) -> bool:
        """Whether END may follow: anywhere behind `start`."""
        return self._begun

    def mask(self) -> NDArray[np.bool_]:
        """(4,097,) True where a token may come next."""
        mask = np.full(musenet.SIZE, self._begun)
        if not self._begun:
            mask[musenet.START] = True
            return mask
        mask[musenet.START] = False
        blocks = mask[: musenet.WAIT].reshape(-1, 128)
        blocks[0] = self._sounding[0]
        blocks[15 : musenet.DRUM_BLOCK : 2] = self._sounding[1:]
        return mask

    def push(self, token: int) -> None:
        """Take a token. Raises ValueError for an end of no note, a second start, or an id out of range."""
        self._require(token)
        self._begun = True
        if musenet.WAIT <= token < musenet.START:
            self._unit += token - musenet.WAIT + 1
        elif token < musenet.DRUM_BLOCK * 128:
            instrument, velocity = musenet.meaning(token // 128)
            self._sounding[instrument, token % 128] = velocity > 0

    def seconds(self, tempo_map: TempoMap) -> float:
        """Second that has been reached."""
        return float(tempo_map.to_seconds(self._unit / musenet.UNITS_PER_BEAT))


class ChoraleGrammar(TokenGrammar):
    """A pitch or a rest for each voice in turn; END where a step is complete."""

    def __init__(self, tokens: Chorale) -> None:
        self._voices = tokens.voices
        self._count = 0

    @property
    def may_end(self) -> bool:
        """Whether END may follow."""
        return self._count % self._voices == 0

    def mask(self) -> NDArray[np.bool_]:
        """(129,) all True."""
        return np.ones(chorale.SIZE, bool)

    def push(self, token: int) -> None:
        """Take a token. Raises ValueError for an id out of range."""
        self._require(token)
        self._count += 1

    def seconds(self, tempo_map: TempoMap) -> float:
        """Second of the step of the last token."""
        step = max(0, self._count - 1) // self._voices
        return float(tempo_map.to_seconds(step / chorale.STEPS_PER_BEAT))
