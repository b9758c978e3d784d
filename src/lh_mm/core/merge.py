"""The merged sequence: all streams of a piece as one row of positions, with its targets.

Frames are the clock. Slot n of the sequence is one frame of time; it holds the events that fall into it
(given streams in the order listed, then the one generated stream) and then exactly one frame position,
so events need no time tokens. This file is sections 1 to 6 of docs/streams.md in numpy; ids are
abstract here (`music/events.py` knows what they mean) and `core/streams.py` turns rows into batches.

A window (a crop) is built directly: only its slots are read, with the targets of the whole piece, which
a test compares with building everything and cutting afterwards. `core/infill.py` does holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ZERO = -1
"""A code entry that is not there: embeds to nothing, earns no loss, is forced and never drawn."""
UNGENERATED = -2
"""A code entry to be filled in: only in the input of `generate()`, never in an embedding."""
NO_TARGET = -1
FRAME = -2
"""Event target: take the frame position (a choice, not a position)."""
END = -3
"""Event target: the piece has as many frames as there are so far."""

Role = Literal["absent", "given", "generated"]
Layout = Literal["delay", "parallel"]
Order = Literal["merged", "prefix"]
ROLES: tuple[Role, ...] = ("absent", "given", "generated")


class Kind(IntEnum):
    """What stands at a position."""

    BOS = 0
    EVENT = 1
    FRAME = 2
    FILL = 3
    PAD = 4


class May(IntEnum):
    """Bits: what the structure allows to be chosen next (the grammar narrows it further)."""

    EVENT = 1
    FRAME = 2
    END = 4
    SILENT_FRAME = 8
    """FRAME only once no note of the hole sounds (its last slot)."""


@dataclass(frozen=True)
class EventStream:
    """Events of one stream, ordered by clock, tokenizer order kept inside a frame.

    Attributes:
        name: as in the model's `SequenceSpec`.
        role: an absent stream keeps its delay (the form of condition dropout) and has no events.
        delay: slots by which its events stand late; negative is early.
        clocks: (E,) frame of each event.
        ids: (E,) vocabulary ids.
        onset_clocks: (E,) frame in which the event's note began; `clocks` where that is not known.
    """

    name: str
    role: Role
    delay: int
    clocks: NDArray[np.int64]
    ids: NDArray[np.int64]
    onset_clocks: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if len(self.clocks) > 1 and (np.diff(self.clocks) < 0).any():
            raise ValueError(f"events of stream '{self.name}' must be ordered by clock")
        if self.role == "absent" and len(self.ids):
            raise ValueError(f"stream '{self.name}' is absent but has {len(self.ids)} events")

    @property
    def onsets(self) -> NDArray[np.int64]:
        return self.clocks if self.onset_clocks is None else self.onset_clocks

    def take(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> EventStream:
        """The chosen events, as a new stream."""
        return EventStream(self.name, self.role, self.delay, self.clocks[keep], self.ids[keep], self.onsets[keep])


@dataclass(frozen=True)
class AudioStream:
    """Codec codes of one track: (N, K), N the piece's frames; the same N and K in every track."""

    name: str
    role: Role
    codes: NDArray[np.integer]


@dataclass(frozen=True)
class Merged:
    """One sequence of L positions over A audio tracks of K codebooks.

    Attributes:
        kind: (L,) of `Kind`.
        slot: (L,) slot of the position.
        clock: (L,) the position's own time: an event's frame, a frame position's slot.
        event_id: (L,) vocabulary id, -1 where no event stands.
        stream: (L,) index into `events` of `merge`, -1 where no event stands.
        codes: (L, A, K), `ZERO` where there is none.
        frame: (L,) index of the given frame shown at a frame position, -1 elsewhere or outside 0 .. N-1.
        event_target: (L,) id, `FRAME`, `END` or `NO_TARGET`.
        code_target: (L, A, K), `ZERO` where there is none.
        may: (L,) bits of `May` for what comes next.
        hole: (L,) slots of the hole at a FILL position, 0 elsewhere.
        num_frames: N.
        first_slot, last_slot: of the main part.
        length_known: whether END is never a choice.
        is_start: whether the sequence begins where the piece does.
    """

    kind: NDArray[np.int8]
    slot: NDArray[np.int64]
    clock: NDArray[np.int64]
    event_id: NDArray[np.int64]
    stream: NDArray[np.int64]
    codes: NDArray[np.int64]
    frame: NDArray[np.int64]
    event_target: NDArray[np.int64]
    code_target: NDArray[np.int64]
    may: NDArray[np.int8]
    hole: NDArray[np.int64]
    num_frames: int
    first_slot: int
    last_slot: int
    length_known: bool
    is_start: bool
    names: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.kind)


def span_of(
    delays: Sequence[int], num_codebooks: int, frames_delayed: bool, num_frames: int, ahead: int = 0
) -> tuple[int, int]:
    """First and last slot of a sequence: `-lead` and `N + tail - 1`.

    Args:
        delays: of every event stream.
        num_codebooks: K.
        frames_delayed: whether frames are generated in the delay layout.
        num_frames: N.
        ahead: slots by which given frames are shown early.
    """
    lead = max([0, ahead, *(-delay for delay in delays)])
    tail = max([0, *delays, num_codebooks - 1 if frames_delayed else 0])
    return -lead, num_frames + tail - 1


def lay_out(
    codes: NDArray[np.integer], slots: NDArray[np.int64], layout: Layout, first: int, end: int
) -> NDArray[np.int64]:
    """Codes that stand at frame positions: (S, K) for slots (S,), frames outside [first, end) are ZERO.

    `delay`: the position of slot n holds code k of frame n - k; `parallel`: all codes of frame n.
    """
    num_codebooks = codes.shape[1]
    shift = np.arange(num_codebooks) if layout == "delay" else np.zeros(num_codebooks, np.int64)
    frames = slots[:, None] - shift  # (S, K)
    inside = (frames >= first) & (frames < end)
    if not inside.any():
        return np.full(frames.shape, ZERO, np.int64)
    # A memory map is sliced before it is indexed, so that only the window's codes are read.
    low = int(frames[inside].min())
    window = np.asarray(codes[low : int(frames[inside].max()) + 1], np.int64)
    rows = np.clip(frames - low, 0, len(window) - 1)
    return np.where(inside, window[rows, np.arange(num_codebooks)], ZERO)


def merge(
    events: Sequence[EventStream],
    audio: Sequence[AudioStream],
    num_frames: int,
    *,
    layout: Layout = "delay",
    ahead: int = 0,
    length_asked: bool = False,
    window: tuple[int, int] | None = None,
    order: Order = "merged",
) -> Merged:
    """Build the sequence of a piece, or of its slots [window[0], window[1]).

    Args:
        events: event streams, at most one of them generated.
        audio: audio tracks, none for a sequence without codes (K = 0).
        num_frames: N.
        layout: codebook layout of generated frames; given ones are always parallel.
        ahead: slots by which given frames are shown early.
        length_asked: whether a length was asked for where no stream is given.
        window: slots to build; the note-offs of notes that began before it are dropped first.
        order: `prefix` puts all given events into the first slot, with their own clocks: the usual conditioning by
            a prefix, as an ablation of standing beside what they cause. A whole sequence has it, a window has not.

    Raises:
        ValueError: for two generated event streams, tracks of other lengths than `num_frames`, an
            empty window or one outside the sequence, or a window of a prefix.
    """
    check_streams(events, audio, num_frames)
    num_codebooks = audio[0].codes.shape[1] if audio else 0
    frames_delayed = layout == "delay" and any(track.role == "generated" for track in audio)
    first, last = span_of([s.delay for s in events], num_codebooks, frames_delayed, num_frames, ahead)
    start, end = window or (first, last + 1)
    if not first <= start < end <= last + 1:
        raise ValueError(f"window [{start}, {end}) must be a part of the sequence's slots [{first}, {last + 1})")
    if order == "prefix" and (start, end) != (first, last + 1):
        raise ValueError("a sequence with a prefix is built whole: cut the piece first")
    if start > first:
        events = [s.take(s.onsets + s.delay >= start) for s in events]
    rows = order_rows(events, start, end, order=order)
    kind, slot, clock, event_id, stream = rows
    codes, frame = _codes_at(kind, slot, audio, num_frames, layout, ahead)

    length_known = length_asked or any(role == "given" for role in roles_of(events, audio))
    generated = next((i for i, s in enumerate(events) if s.role == "generated"), None)
    delay = events[generated].delay if generated is not None else None
    has_tail = last >= num_frames
    is_cut = end <= last
    event_target = _event_targets(rows, num_frames, generated, delay, length_known, has_tail, is_cut)
    code_target = code_targets(kind, codes, audio)
    may = _choices(rows, num_frames, generated, delay, length_known, has_tail)
    return Merged(
        kind, slot, clock, event_id, stream, codes, frame, event_target, code_target, may,
        np.zeros(len(kind), np.int64), num_frames, start, end - 1, length_known, start == first,
        tuple(s.name for s in events),
    )  # fmt: skip


def roles_of(events: Sequence[EventStream], audio: Sequence[AudioStream]) -> list[Role]:
    """Roles of all streams, event streams first."""
    return [s.role for s in events] + [track.role for track in audio]


def check_streams(events: Sequence[EventStream], audio: Sequence[AudioStream], num_frames: int) -> None:
    """Refuse what no sequence can hold."""
    generated = [s.name for s in events if s.role == "generated"]
    if len(generated) > 1:
        raise ValueError(f"at most one event stream can be generated, got {generated}")
    if num_frames < 1:
        raise ValueError(f"a sequence needs at least one frame, got {num_frames}")
    for track in audio:
        if track.codes.ndim != 2 or len(track.codes) != num_frames:
            raise ValueError(f"track '{track.name}' should hold ({num_frames}, K) codes, got {track.codes.shape}")
        if track.codes.shape[1] != audio[0].codes.shape[1]:
            raise ValueError(f"tracks must share K, '{track.name}' has {track.codes.shape[1]}")


Rows = tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def order_rows(
    events: Sequence[EventStream], start: int, end: int, opening: Kind = Kind.BOS, order: Order = "merged"
) -> Rows:
    """(kind, slot, clock, event_id, stream) of an opening position and the slots [start, end)."""
    # Given streams in the order listed, then the generated one, then the frame.
    ordered = sorted(range(len(events)), key=lambda i: events[i].role == "generated")
    slots: list[NDArray[np.int64]] = []
    clocks: list[NDArray[np.int64]] = []
    ids: list[NDArray[np.int64]] = []
    streams: list[NDArray[np.int64]] = []
    ranks: list[NDArray[np.int64]] = []
    for place_in_slot, i in enumerate(ordered):
        s = events[i]
        low, high = np.searchsorted(s.clocks, [start - s.delay, end - s.delay])
        is_prefix = order == "prefix" and s.role == "given"
        slots.append(np.full(high - low, start, np.int64) if is_prefix else s.clocks[low:high] + s.delay)
        clocks.append(s.clocks[low:high])
        ids.append(s.ids[low:high])
        streams.append(np.full(high - low, i, np.int64))
        ranks.append(np.full(high - low, place_in_slot, np.int64))
    frames = np.arange(start, end, dtype=np.int64)
    none = np.full(len(frames), -1, np.int64)
    slot = np.concatenate([*slots, frames]).astype(np.int64)
    rank = np.concatenate([*ranks, np.full(len(frames), len(ordered), np.int64)])
    place = np.lexsort([rank, slot])  # stable: tokenizer order is kept inside a frame
    kind = np.concatenate([np.full(len(slot) - len(frames), Kind.EVENT), np.full(len(frames), Kind.FRAME)])[place]
    clock = np.concatenate([*clocks, frames])[place]
    event_id = np.concatenate([*ids, none])[place]
    stream = np.concatenate([*streams, none])[place]
    return (
        np.concatenate([[opening], kind]).astype(np.int8),
        np.concatenate([[start], slot[place]]).astype(np.int64),
        np.concatenate([[start], clock]).astype(np.int64),
        np.concatenate([[-1], event_id]).astype(np.int64),
        np.concatenate([[-1], stream]).astype(np.int64),
    )


def _codes_at(
    kind: NDArray[np.int8],
    slot: NDArray[np.int64],
    audio: Sequence[AudioStream],
    num_frames: int,
    layout: Layout,
    ahead: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Codes (L, A, K) and the index of the given frame (L,) at every position."""
    at = np.flatnonzero(kind == Kind.FRAME)
    num_codebooks = audio[0].codes.shape[1] if audio else 0
    codes = np.full((len(kind), len(audio), num_codebooks), ZERO, np.int64)
    for a, track in enumerate(audio):
        if track.role == "generated":
            codes[at, a] = lay_out(track.codes, slot[at], layout, 0, num_frames)
        elif track.role == "given":
            codes[at, a] = lay_out(track.codes, slot[at] + ahead, "parallel", 0, num_frames)
    frame = np.full(len(kind), -1, np.int64)
    if any(track.role == "given" for track in audio):
        shown = slot[at] + ahead
        frame[at] = np.where((shown >= 0) & (shown < num_frames), shown, -1)
    return codes, frame


def _next_frame_slot(rows: Rows) -> NDArray[np.int64]:
    """(L,) slot n that a choice at each position is about: that of the next frame position.

    After a frame position it is the slot behind it; at the end of the sequence too.
    """
    kind, slot, *_ = rows
    return np.where(kind == Kind.FRAME, slot + 1, slot)


def _event_targets(
    rows: Rows,
    num_frames: int,
    generated: int | None,
    delay: int | None,
    length_known: bool,
    has_tail: bool,
    is_cut: bool,
) -> NDArray[np.int64]:
    """Section 3's table: what the event head should say at each position; the first row that fits counts."""
    kind, slot, _, event_id, stream = rows
    target = np.full(len(kind), NO_TARGET, np.int64)
    following = np.arange(1, len(kind))
    next_kind, n = kind[following], slot[following]
    is_event, is_frame = next_kind == Kind.EVENT, next_kind == Kind.FRAME
    if generated is not None and delay is not None:
        own = is_event & (stream[following] == generated)
        target[:-1][own] = event_id[following][own]
        takes_frame = is_frame & (n >= delay) & (n < num_frames + delay)
    else:
        takes_frame = np.zeros(len(following), bool)
    if not length_known:
        since = min(1, delay) if delay is not None else 1
        takes_frame |= is_frame & (n >= since) & (n < num_frames)
    target[:-1][takes_frame] = FRAME
    if not length_known:
        target[:-1][is_frame & (n == num_frames)] = END
        if not has_tail and not is_cut:
            target[-1] = END
    return target


def code_targets(kind: NDArray[np.int8], codes: NDArray[np.int64], audio: Sequence[AudioStream]) -> NDArray[np.int64]:
    """(L, A, K): generated entries of the frame position that follows, ZERO elsewhere."""
    target = np.full(codes.shape, ZERO, np.int64)
    before = np.flatnonzero(kind[1:] == Kind.FRAME)
    for a, track in enumerate(audio):
        if track.role == "generated":
            target[before, a] = codes[before + 1, a]
    return target


def _choices(
    rows: Rows, num_frames: int, generated: int | None, delay: int | None, length_known: bool, has_tail: bool
) -> NDArray[np.int8]:
    """(L,) bits of `May`: the legal choices of section 3, as sampling will meet them."""
    _, _, clock, _, stream = rows
    n = _next_frame_slot(rows)
    # END fixes N: before it is drawn, an open length has no upper bound for events.
    end_is_drawn = length_known | (n > num_frames)
    may = np.zeros(len(n), np.int8)
    if generated is not None and delay is not None:
        may[(n >= delay) & (~end_is_drawn | (n < num_frames + delay))] |= May.EVENT
        own = np.where(stream == generated, clock, -1)
        latest = np.maximum.accumulate(own)
    else:
        latest = np.full(len(n), -1, np.int64)
    may[~end_is_drawn & (n >= 1) & (n > latest)] |= May.END
    may |= np.int8(May.FRAME)
    return may
