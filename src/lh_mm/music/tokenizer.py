"""What a tokenizer with time tokens of its own must do, so that rows, floors and measures serve all of them."""

from __future__ import annotations

import json
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music.chorale import Chorale
from lh_mm.music.miditok_tokens import MidiTok
from lh_mm.music.mmm import Mmm
from lh_mm.music.musenet import Musenet
from lh_mm.music.performance import Performance
from lh_mm.music.remi import Remi
from lh_mm.music.score import Score


class Tokens(Protocol):
    """Tokens of one piece: ids, the second that has been reached at each, and the divisor of nats per note."""

    @property
    def ids(self) -> NDArray[np.int32]: ...

    @property
    def times_s(self) -> NDArray[np.float64]: ...

    @property
    def num_notes(self) -> int: ...

    def __len__(self) -> int: ...


class Vocabulary(Protocol):
    """What ids mean; END, which is no token, is the id behind the last."""

    @property
    def size(self) -> int:
        """Number of ids."""
        ...

    def begins_note(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Which ids stand for a note, one each, any shape."""
        ...

    def name(self, token: int) -> str:
        """Readable."""
        ...

    def to_json(self) -> str:
        """What a bundle stores; `kind` says which tokenizer it is of."""
        ...


class Tokenizer(Vocabulary, Protocol):
    """Whole pieces to ids."""

    @property
    def period(self) -> int:
        """Windows begin at multiples of it."""
        ...

    def encode(self, score: Score) -> Tokens:
        """Tokens of a score."""
        ...

    def legal(self, ids: NDArray[np.int64], is_start: bool) -> NDArray[np.bool_]:
        """(T + 1, size + 2) what may be chosen before each of T tokens and behind the last, END in the last column.

        `is_start` says whether they begin a piece; if not, what is not known bars nothing.
        """
        ...

    def transposed(self, ids: NDArray[np.int64], semitones: int) -> NDArray[np.int64]:
        """Every pitch but those of drums moved; unchanged where one would leave 0 .. 127."""
        ...


AnyTokenizer = Remi | Performance | Musenet | Chorale | Mmm | MidiTok
KINDS: dict[str, type[AnyTokenizer]] = {
    "remi": Remi, "performance": Performance, "musenet": Musenet, "chorale": Chorale, "mmm": Mmm, "miditok": MidiTok,
}  # fmt: skip


def read_tokenizer(text: str) -> AnyTokenizer:
    """The tokenizer that a bundle stores.

    Raises:
        ValueError: it is of another kind, or of another vocabulary than this version's.
    """
    kind = json.loads(text).get("kind")
    if kind not in KINDS:
        raise ValueError(f"not a tokenizer of {', '.join(KINDS)}: {text[:80]!r}")
    return KINDS[kind].from_json(text)


def first_beat(tokenizer: Vocabulary, score: Score) -> float:
    """The beat at which a piece's tokens begin: 0, or the bar line before notes that stand before it."""
    if isinstance(tokenizer, Remi):
        return float(tokenizer.encode(score).first_bar * tokenizer.beats_per_bar)
    return tokenizer.first_beat(score) if isinstance(tokenizer, MidiTok | Musenet) else 0.0


def decode_tokens(
    tokenizer: Vocabulary,
    ids: ArrayLike,
    tempo_map: TempoMap,
    first_bar: int = 0,
    problems: dict[str, int] | None = None,
) -> Score:
    """The score of a whole piece's tokens.

    Args:
        tokenizer: any but MMM.
        ids: (T,) tokens.
        tempo_map: seconds of the beats that tokens count; performance events count seconds.
        first_bar: REMI: number of the first Bar in the tempo map.
        problems: where to count what has no meaning; without, it is an error.

    Raises:
        ValueError: for MMM's windows, which need their bar lines; and as the tokenizer's own `decode`.
    """
    if isinstance(tokenizer, Performance):
        return tokenizer.decode(ids, problems)
    if isinstance(tokenizer, Remi):
        return tokenizer.decode(ids, tempo_map, first_bar, problems)
    if isinstance(tokenizer, Musenet | MidiTok):
        return tokenizer.decode(ids, tempo_map, problems)
    if isinstance(tokenizer, Chorale):
        return tokenizer.decode(ids, tempo_map)
    raise ValueError(f"{type(tokenizer).__name__}'s tokens are not those of a whole piece")
