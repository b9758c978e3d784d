"""The order in which a sequence is written: positions that follow by rule, and choices that must be drawn.

A `Writer` knows docs/streams.md, sections 1 to 6, and nothing of models. It is a coroutine: it yields an `Ask`
(the positions that stand fixed since the last one, and what is to be drawn behind them) and is sent the answer.
So the same code samples, replays what was drawn before, and is held in tests to `core/merge.py`: forced with a
piece's true tokens it must yield that piece's positions, targets and legal choices.

All given events of a slot stand in one ask, and so do prompts and main parts, however long.

Legend: n a slot, N frames, A tracks, K codebooks, V event ids.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.infill import merge_infill
from lh_mm.core.merge import UNGENERATED, ZERO, AudioStream, Kind, span_of
from lh_mm.core.streams import SequenceSpec, length_bucket
from lh_mm.generate.request import Request
from lh_mm.music.events import MAX_EVENTS_PER_SLOT
from lh_mm.music.grammar import Grammar, sounding_in
from lh_mm.music.vocabulary import NOTE_OFF, EventVocabulary

KIND, SLOT, CLOCK, EVENT, STREAM, HOLE, FEATURE, CODES = range(8)
"""Columns of a position; the codes of all tracks, K each, stand from `CODES` on."""

Position = list[int]
Answer = int | NDArray[np.int64]


@dataclass(slots=True)
class Ask:
    """What is fixed, and what is to be drawn behind it.

    Attributes:
        positions: since the last ask; none where the same state answers again.
        mask: (V + 2) legal choices of the event head, to be answered with one of them; or None.
        entries: (A, K) code entries of the next frame position, to be answered with codes (A, K) of which
            these count; or None.
    """

    positions: list[Position]
    mask: NDArray[np.bool_] | None = None
    entries: NDArray[np.bool_] | None = None


@dataclass
class _Part:
    """A run of slots that is written: the whole sequence, or one hole of it."""

    begin: int
    end: int | None  # frames are [begin, end)
    first: int  # slot
    tail: int
    delay: int
    grammar: Grammar | None
    is_hole: bool


class Writer:
    """Writes one request.

    Args:
        request: completed for the spec.
        spec: streams of the model.
        vocabulary: of events; needed where events are generated.

    Attributes:
        clocks, ids: events of the generated stream so far, prompt included.
        codes: (A, frames, K), ZERO where nothing stands yet.
        num_frames: N once it is known.
        done: frames that are complete.
        first_slot: of the sequence.
        rest: positions since the last ask.
    """

    def __init__(self, request: Request, spec: SequenceSpec, vocabulary: EventVocabulary | None) -> None:
        self.request, self.spec = request, spec
        self.frame_id, self.end_id = spec.event_vocabulary_size, spec.event_vocabulary_size + 1
        self.own = request.generated
        if self.own is not None and (vocabulary is None or vocabulary.size != spec.event_vocabulary_size):
            has = "none" if vocabulary is None else f"one of {vocabulary.size} ids"
            raise ValueError(f"events of {spec.event_vocabulary_size} ids need their vocabulary, got {has}")
        self.vocabulary = vocabulary
        self.num_frames = request.num_frames
        self.clocks: list[int] = []
        self.ids: list[int] = []
        self.done = 0
        tracks, books = len(spec.audio_tracks), spec.num_codebooks
        self.codes = np.full((tracks, request.num_frames or 256, books), ZERO, np.int64)
        for track, stream in enumerate(request.audio):
            if stream.role == "generated":  # what is drawn or forced again comes to lie over it
                kept = min(len(stream.codes), self.codes.shape[1])
                self.codes[track, :kept] = np.maximum(stream.codes[:kept], ZERO)
        generates = any(track.role == "generated" for track in request.audio)
        self._delayed = generates and request.layout == "delay"
        self._shifts = np.arange(books) if self._delayed else np.zeros(books, np.int64)
        self._is_generated = np.array([track.role == "generated" for track in request.audio], bool)
        self.rest: list[Position] = []
        self._empty = [ZERO] * (tracks * books)
        self._latest = -1
        delays = [stream.delay for stream in request.events]
        self._delay = delays[self.own] if self.own is not None else 0
        self.first_slot, self._tail = span_of(delays, books, self._delayed, 1, request.ahead)
        self._given = self._given_events(request.num_frames)

    def run(self) -> Generator[Ask, Answer, None]:
        """The asks, in order. What stands behind the last draw is left in `rest`: no model need read it."""
        request = self.request
        if request.holes:
            yield from self._infill()
            return
        first = self.first_slot
        self._put(Kind.BOS, first, first)
        grammar = None if self.own is None else self._grammar(None, first)
        yield from self._slots(_Part(0, request.num_frames, first, self._tail, self._delay, grammar, is_hole=False))

    def _infill(self) -> Generator[Ask, Answer, None]:
        """The main part, then every hole as a sequence of its own."""
        request, num_frames = self.request, self.request.num_frames
        assert num_frames is not None
        audio = [  # an absent track has no codes, and what a hole holds is not read
            track if len(track.codes) else AudioStream(track.name, "absent", self.codes[i])
            for i, track in enumerate(request.audio)
        ]
        main = merge_infill(request.events, audio, num_frames, request.holes, layout=request.layout)
        fill = int(np.flatnonzero(main.kind == Kind.FILL)[0])
        table = np.concatenate(
            [
                np.stack([main.kind, main.slot, main.clock, main.event_id, main.stream, main.hole, main.frame], 1)[
                    :fill
                ],
                main.codes[:fill].reshape(fill, -1),
            ],
            axis=1,
        )  # (positions, columns)
        self.rest += table.astype(np.int64).tolist()
        main_clocks: NDArray[np.int64] = main.clock[:fill][main.stream[:fill] == self.own]
        main_ids: NDArray[np.int64] = main.event_id[:fill][main.stream[:fill] == self.own]
        for a, b in request.holes:
            self._put(Kind.FILL, a, a, hole=length_bucket(b - a))
            grammar = None
            if self.own is not None:
                grammar = self._grammar((main_clocks, main_ids, a, b), a)
            yield from self._slots(_Part(a, b, a, self._tail, 0, grammar, is_hole=True))
        if self.own is not None:  # in a slot of both, offs of the surroundings stand before what was drawn
            clocks, ids = np.append(main_clocks, self.clocks), np.append(main_ids, self.ids)
            order = np.argsort(clocks, kind="stable")
            self.clocks, self.ids = clocks[order].astype(int).tolist(), ids[order].astype(int).tolist()
        self.done = num_frames

    def _slots(self, part: _Part) -> Generator[Ask, Answer, None]:
        """Slot after slot: given events, own events, frame."""
        n = part.first
        while part.end is None or n < part.end + part.tail:
            if not part.is_hole or part.end is None or n < part.end:
                self.rest += self._given.get(n, ())
            ended = yield from self._own_events(n, part)
            if ended:
                part.end = self.num_frames = n
                if not part.tail:
                    break
            yield from self._frame(n, part)
            if part.grammar is not None:
                part.grammar.next_slot()
            n += 1
            if not part.is_hole:
                self.done = max(0, n - (len(self._shifts) - 1 if self._delayed else 0))
                if part.end is not None:
                    self.done = min(self.done, part.end)
        if not part.is_hole:
            self.done = self.num_frames = part.end

    def _own_events(self, n: int, part: _Part) -> Generator[Ask, Answer, bool]:
        """Events of the generated stream in slot n; True if END was drawn, else FRAME follows."""
        grammar, delay, prompt = part.grammar, part.delay, self.request.prompt
        if prompt and n < prompt + delay:
            self._force_prompt(n, delay, grammar)
            return False
        while True:
            may_event = grammar is not None and n >= part.begin + delay
            if part.end is not None:
                may_event &= n < part.end + delay
                may_end = False
            else:
                may_event &= n - delay < self.request.max_frames
                may_end = n >= 1 and n > self._latest and (not prompt or n >= max(prompt, prompt + delay))
            if not may_event and not may_end:
                return False
            at_border = grammar is None or grammar.at_border
            must_end = may_end and at_border and n >= self.request.max_frames
            if must_end:
                return True
            silent = not (part.is_hole and part.end is not None and n == part.end - 1) or not (
                grammar is not None and grammar.any_sounding
            )
            if grammar is not None and at_border and grammar.events_in_slot >= MAX_EVENTS_PER_SLOT:
                if silent:
                    return False
                self._close_notes(n, delay, grammar)
                continue
            mask = np.zeros(self.end_id + 1, bool)
            if may_event and grammar is not None:
                mask[: self.frame_id] = grammar.mask()
            mask[self.frame_id], mask[self.end_id] = at_border and silent, at_border and may_end
            choice = yield self._ask(mask=mask)
            assert isinstance(choice, int)
            if choice == self.frame_id:
                return False
            if choice == self.end_id:
                return True
            assert grammar is not None
            self._take(choice, n, delay, grammar)

    def _take(self, event: int, n: int, delay: int, grammar: Grammar) -> None:
        """Append an event of the generated stream."""
        assert self.own is not None
        grammar.push(event)
        self._latest = max(self._latest, n - delay)
        self.clocks.append(n - delay)
        self.ids.append(event)
        self._put(Kind.EVENT, n, n - delay, event, self.own)

    def _force_prompt(self, n: int, delay: int, grammar: Grammar | None) -> None:
        if self.own is None or grammar is None:
            return
        stream = self.request.events[self.own]
        low, high = np.searchsorted(stream.clocks, [n - delay, n - delay + 1])
        for event in stream.ids[low:high].tolist():
            self._take(event, n, delay, grammar)

    def _close_notes(self, n: int, delay: int, grammar: Grammar) -> None:
        """A hole's last slot that is full ends what still sounds, for its notes may not outlive it."""
        assert self.vocabulary is not None
        for program, pitch in grammar.sounding:
            self._take(self.vocabulary.program_id(program), n, delay, grammar)
            self._take(NOTE_OFF + pitch, n, delay, grammar)

    def _frame(self, n: int, part: _Part) -> Generator[Ask, Answer, None]:
        """The frame position of slot n: forced entries, drawn ones, given frames."""
        codes, frame = self._frame_codes(n, part)
        entries = codes == UNGENERATED
        if entries.any():
            drawn = yield self._ask(entries=entries)
            assert isinstance(drawn, np.ndarray)
            codes[entries] = drawn[entries]
        for track in np.flatnonzero(self._is_generated):
            frames = n - self._shifts
            there = codes[track] != ZERO
            if there.any():
                self._make_room(int(frames[there].max()) + 1)
                self.codes[track, frames[there], np.flatnonzero(there)] = codes[track, there]
        self._put(Kind.FRAME, n, n, feature=frame, codes=codes.ravel().tolist())

    def _frame_codes(self, n: int, part: _Part) -> tuple[NDArray[np.int64], int]:
        """(A, K) of slot n's frame position, `UNGENERATED` where an entry is to be drawn; and the given frame."""
        request = self.request
        codes = np.full(self.codes.shape[::2], ZERO, np.int64)  # (A, K)
        end = part.end if part.end is not None else n + 1
        shown, frame = n + request.ahead, -1
        for track, stream in enumerate(request.audio):
            if stream.role == "given" and part.begin <= shown < end:
                codes[track] = stream.codes[shown]
                frame = shown
            elif stream.role == "generated":
                frames = n - self._shifts
                exists = (frames >= part.begin) & (frames < end)
                codes[track, exists] = UNGENERATED
                forced = np.flatnonzero(exists & (frames < request.prompt))
                codes[track, forced] = stream.codes[frames[forced], forced]
        return codes, frame

    def _given_events(self, num_frames: int | None) -> dict[int, list[Position]]:
        """Positions of given events by slot, streams in the order listed."""
        by_slot: dict[int, list[Position]] = {}
        for index, stream in enumerate(self.request.events):
            if stream.role == "given":
                for clock, event in zip(stream.clocks.tolist(), stream.ids.tolist(), strict=True):
                    if num_frames is None or clock < num_frames:
                        slot = clock + stream.delay if self.request.order == "merged" else self.first_slot
                        position = [int(Kind.EVENT), slot, clock, event, index, 0, -1, *self._empty]
                        by_slot.setdefault(slot, []).append(position)
        return by_slot

    def _grammar(self, around: tuple[NDArray[np.int64], NDArray[np.int64], int, int] | None, slot: int) -> Grammar:
        assert self.vocabulary is not None
        blocked = None
        if around is not None:
            clocks, ids, a, b = around
            blocked = sounding_in(clocks.astype(np.int32), ids.astype(np.int32), a, b)
        return Grammar(self.vocabulary, blocked, slot)

    def _make_room(self, num_frames: int) -> None:
        missing = num_frames - self.codes.shape[1]
        if missing > 0:
            more = max(missing, self.codes.shape[1])
            self.codes = np.pad(self.codes, ((0, 0), (0, more), (0, 0)), constant_values=ZERO)

    def _put(
        self,
        kind: Kind,
        slot: int,
        clock: int,
        event: int = ZERO,
        stream: int = -1,
        hole: int = 0,
        feature: int = -1,
        codes: list[int] | None = None,
    ) -> None:
        self.rest.append(
            [int(kind), slot, clock, event, stream, hole, feature, *(self._empty if codes is None else codes)]
        )

    def _ask(self, mask: NDArray[np.bool_] | None = None, entries: NDArray[np.bool_] | None = None) -> Ask:
        asked, self.rest = Ask(self.rest, mask, entries), []
        return asked
