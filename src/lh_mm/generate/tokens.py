"""Sequences of tokens that carry their own time, written token by token: what is asked, and who writes it.

A `TokenRequest` is a beginning to go on from; where a model has bars left open the beginning holds them, and going on
fills them. A `TokenWriter` honours what `generate/sampler.py` asks of a writer, so sampling, batches of unlike rows,
saving and going on are the same as for merged sequences. A row's clock is computed as training rows have it: the slot
of the second that each token has reached, counted from the first token that is shown.

Legend: T tokens, V token ids.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.core.merge import AudioStream, EventStream, Kind, Role
from lh_mm.core.streams import SequenceSpec
from lh_mm.generate.request import check_controls
from lh_mm.generate.writer import Answer, Ask, Position
from lh_mm.music.mmm_limits import Limits
from lh_mm.music.token_grammar import grammar_of
from lh_mm.music.tokenizer import Vocabulary

_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class TokenRequest:
    """One sequence to be gone on with.

    Attributes:
        prompt: (T,) ids that stand before what is drawn; none composes from nothing.
        shown: the model reads this many of the last ones, the grammar knows them all; None for all.
        max_tokens: drawn at most, but for those that bring what is open to its end.
        planned_tokens: length of the piece that models are told who are told one (MuseNet); None says nothing.
        until_s: END is neither drawn before this second nor is the sequence gone on with behind it; None leaves the
            length to the model.
        tempo_map: seconds of the grid that tokens count on, its beat 0 where the prompt begins.
        limits: bars and caps, of MMM's tokens.
        masked: whether only legal tokens are drawn; otherwise others are counted, and passed over by the grammar, as
            they are in the prompt.
        controls: values by name; a control that is not named is absent.
        asked: places in the prompt of tokens that are requests, as MMM's attributes; guidance is towards them and the
            controls.
        seed: of the draws.
    """

    prompt: NDArray[np.int64] = field(default_factory=lambda: _NONE)
    shown: int | None = None
    max_tokens: int = 2048
    planned_tokens: int | None = None
    until_s: float | None = None
    tempo_map: TempoMap = field(default_factory=lambda: TempoMap.constant(120.0))
    limits: Limits | None = None
    masked: bool = True
    controls: Mapping[str, str | None] = field(default_factory=dict)
    asked: frozenset[int] = frozenset()
    seed: int = 0

    def completed(self, spec: SequenceSpec) -> TokenRequest:
        """Itself, checked.

        Raises:
            ValueError: for a control that the model has not, ids out of range, or nothing to draw.
        """
        check_controls(self.controls, spec)
        if len(self.prompt) and not 0 <= self.prompt.min() <= self.prompt.max() < spec.event_vocabulary_size:
            raise ValueError(f"ids of a prompt should lie in 0..{spec.event_vocabulary_size - 1}")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens should be 1 or more, got {self.max_tokens}")
        if self.shown is not None and self.shown < 1:
            raise ValueError(f"shown should be 1 or more, got {self.shown}")
        return self

    @property
    def is_crop(self) -> bool:
        """Whether the piece began before what the model reads."""
        return self.shown is not None and self.shown < len(self.prompt)

    # What a batch asks of every request (`generate/batch.py`): one generated stream, no sound, an open length.
    events: ClassVar[tuple[EventStream, ...]] = (EventStream("midi", "generated", 0, _NONE, _NONE),)
    audio: ClassVar[tuple[AudioStream, ...]] = ()
    features: ClassVar[None] = None
    states: ClassVar[None] = None
    num_frames: ClassVar[None] = None

    @property
    def roles(self) -> list[Role]:
        """Of the one stream."""
        return ["generated"]

    @property
    def gives(self) -> bool:
        """Whether something is asked that can be taken away."""
        return bool(self.asked) or any(value is not None for value in self.controls.values())

    def without_condition(self) -> TokenRequest:
        """The same with nothing asked; tokens that ask are left out of what the model reads."""
        return replace(self, controls={})


class TokenWriter:
    """Writes one request; see `generate/writer.py` for what a writer is.

    Args:
        request: completed for the spec.
        spec: streams of the model.
        vocabulary: the tokenizer.

    Attributes:
        ids: (T,) prompt and drawn tokens.
        clocks: slot that each has reached, from the piece's begin.
        ended: whether END was drawn.
        num_illegal: tokens drawn without a mask that the grammar bars, END included.
        num_frames: slots of the piece, once it is finished.
    """

    def __init__(self, request: TokenRequest, spec: SequenceSpec, vocabulary: Vocabulary | None) -> None:
        if vocabulary is None or vocabulary.size != spec.event_vocabulary_size:
            has = "none" if vocabulary is None else f"one of {vocabulary.size} ids"
            raise ValueError(f"tokens of {spec.event_vocabulary_size} ids need their vocabulary, got {has}")
        self.request, self.spec = request, spec
        self.grammar = grammar_of(vocabulary, request.limits, given=len(request.prompt))
        self.size = vocabulary.size
        self.ids: list[int] = []
        self.clocks: list[int] = []
        self.codes = np.zeros((0, 0, 0), np.int64)
        self.num_frames: int | None = None
        self.ended = False
        self.num_illegal = self.done = self.first_slot = 0
        self.rest: list[Position] = []
        self._first: int | None = None  # slot of the first token that is shown

    def run(self) -> Generator[Ask, Answer, None]:
        """The asks, in order; the last token drawn is left in `rest`."""
        request = self.request
        hidden = len(request.prompt) - min(len(request.prompt), request.shown or len(request.prompt))
        self._put(Kind.BOS, 0, number=hidden - 1)
        for i, token in enumerate(request.prompt.tolist()):
            if request.masked or self.grammar.mask()[token]:
                self.grammar.push(token)
            self._take(token, shown=i >= hidden)
        while (mask := self._mask()) is not None:
            choice = yield Ask(self.rest, mask)
            self.rest = []
            assert isinstance(choice, int)
            if choice == self.size + 1:
                self.ended = True
                self.num_illegal += not self.grammar.may_end
                break
            if request.masked or self.grammar.mask()[choice]:
                self.grammar.push(choice)
            else:
                self.num_illegal += 1
            self._take(choice)
        self.num_frames = self.done = (self.clocks[-1] + 1) if self.clocks else 0

    def _mask(self) -> NDArray[np.bool_] | None:
        """(V + 2,) what may be drawn, None where it is time to end."""
        request, may_end = self.request, self.grammar.may_end
        late = len(self.ids) - len(request.prompt) >= request.max_tokens
        over = request.until_s is not None and self.grammar.seconds(request.tempo_map) >= request.until_s
        if (late or over) and (may_end or not request.masked):
            return None
        mask = np.zeros(self.size + 2, bool)
        mask[: self.size] = True
        if request.masked:
            mask[: self.size] = self.grammar.closing() if late or over else self.grammar.mask()
        mask[self.size + 1] = (may_end or not request.masked) and (request.until_s is None or not mask[:-1].any())
        return mask

    def _take(self, token: int, shown: bool = True) -> None:
        slot = int(np.floor(self.grammar.seconds(self.request.tempo_map) * self.spec.rate_hz + 1e-6))
        if shown:
            self._first = slot if self._first is None else self._first
            self._put(Kind.EVENT, slot - self._first, token, len(self.ids))
        self.ids.append(token)
        self.clocks.append(slot)

    def _put(self, kind: Kind, clock: int, event: int = -1, number: int = -1) -> None:
        """Its number in the piece stands where merged positions have their feature."""
        stream = 0 if kind == Kind.EVENT else -1
        self.rest.append([int(kind), clock, clock, event, stream, 0, number])
