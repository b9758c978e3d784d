"""Infill: a main part without the hole, then FILL and the hole as an ordinary sequence (docs/streams.md §6).

A note belongs to the hole [a, b) if it begins there: its on and its off go with it, an off at or behind b
stands at b - 1. So the model reads everything around the hole, before and behind it, and then writes what
belongs inside with the heads and the choices of any other task. Infill crops first and builds then, so
there is no window here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lh_mm.core.merge import (
    FRAME,
    NO_TARGET,
    ZERO,
    AudioStream,
    EventStream,
    Kind,
    Layout,
    May,
    Merged,
    check_streams,
    code_targets,
    lay_out,
    order_rows,
    roles_of,
)

Hole = tuple[int, int]


def merge_infill(
    events: Sequence[EventStream],
    audio: Sequence[AudioStream],
    num_frames: int,
    holes: Sequence[Hole],
    *,
    layout: Layout = "delay",
) -> Merged:
    """Build the sequence that fills `holes`; delays are 0 and the length is known.

    Args:
        events: as in `merge`; `onset_clocks` say which note an off belongs to. Clocks at or behind
            `num_frames` are allowed (offs that a crop would have lost): the main part leaves them out.
        audio: as in `merge`.
        num_frames: N.
        holes: [a, b) in slots, in time order, apart from each other.
        layout: codebook layout of generated frames inside a hole.

    Raises:
        ValueError: for a delay, a hole outside the piece, holes that touch, or nothing generated.
    """
    check_streams(events, audio, num_frames)
    if any(s.delay for s in events):
        raise ValueError(f"infill needs delay 0, got {[s.delay for s in events]}")
    if "generated" not in roles_of(events, audio):
        raise ValueError("infill needs a generated stream")
    before = 0
    for a, b in holes:
        if not before <= a < b <= num_frames:
            raise ValueError(f"holes must lie in [0, {num_frames}), in order and apart, got {list(holes)}")
        before = b
    parts = [_main_part(events, audio, num_frames, holes)]
    parts += [_hole(events, audio, num_frames, hole, layout) for hole in holes]
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in (
            "kind", "slot", "clock", "event_id", "stream", "codes", "frame",
            "event_target", "code_target", "may", "hole",
        )
    }  # fmt: skip
    return replace(parts[0], **joined)


def _main_part(
    events: Sequence[EventStream], audio: Sequence[AudioStream], num_frames: int, holes: Sequence[Hole]
) -> Merged:
    """Slots 0 .. N-1 with everything but what the holes will hold; no targets, no choices."""
    kept = []
    for s in events:
        keep = s.clocks < num_frames
        if s.role == "generated":
            for a, b in holes:
                keep &= ~((s.onsets >= a) & (s.onsets < b))
        kept.append(s.take(keep))
    rows = order_rows(kept, 0, num_frames)
    kind, slot, clock, event_id, stream = rows
    codes, frame = _frames(kind, slot, audio, num_frames, "parallel", 0, num_frames)
    for track_index, track in enumerate(audio):
        if track.role == "generated":
            for a, b in holes:
                codes[(kind == Kind.FRAME) & (slot >= a) & (slot < b), track_index] = ZERO
    length = len(kind)
    return Merged(
        kind, slot, clock, event_id, stream, codes, frame,
        event_target=np.full(length, NO_TARGET, np.int64), code_target=np.full(codes.shape, ZERO, np.int64),
        may=np.full(length, May.FRAME, np.int8), hole=np.zeros(length, np.int64), num_frames=num_frames,
        first_slot=0, last_slot=num_frames - 1, length_known=True, is_start=True, names=tuple(s.name for s in events),
    )  # fmt: skip


def hole_events(stream: EventStream, hole: Hole) -> EventStream:
    """What stands in a hole: given events with their clock in it, generated notes that begin in it.

    Offs at or behind the hole's end are moved to its last slot, behind what stands there, in true order.
    """
    a, b = hole
    if stream.role != "generated":
        return stream.take((stream.clocks >= a) & (stream.clocks < b))
    own = stream.take((stream.onsets >= a) & (stream.onsets < b))
    return replace(own, clocks=np.minimum(own.clocks, b - 1))


def _hole(
    events: Sequence[EventStream], audio: Sequence[AudioStream], num_frames: int, hole: Hole, layout: Layout
) -> Merged:
    """FILL and the slots a .. b-1 with the tail of the delay layout, as an ordinary sequence over [a, b)."""
    a, b = hole
    num_codebooks = audio[0].codes.shape[1] if audio else 0
    delayed = layout == "delay" and any(track.role == "generated" for track in audio)
    tail = num_codebooks - 1 if delayed else 0
    rows = order_rows([hole_events(s, hole) for s in events], a, b + tail, Kind.FILL)
    kind, slot, clock, event_id, stream = rows
    codes, frame = _frames(kind, slot, audio, num_frames, layout, a, b)
    generated = next((i for i, s in enumerate(events) if s.role == "generated"), None)

    event_target = np.full(len(kind), NO_TARGET, np.int64)
    may = np.full(len(kind), May.FRAME, np.int8)
    if generated is not None:
        next_kind, n = kind[1:], slot[1:]
        event_target[:-1][stream[1:] == generated] = event_id[1:][stream[1:] == generated]
        event_target[:-1][(next_kind == Kind.FRAME) & (n < b)] = FRAME
        deciding = np.where(kind == Kind.FRAME, slot + 1, slot)
        may[deciding < b] |= May.EVENT
        may[deciding == b - 1] |= May.SILENT_FRAME
    return Merged(
        kind, slot, clock, event_id, stream, codes, frame,
        event_target=event_target, code_target=code_targets(kind, codes, audio), may=may,
        hole=np.where(kind == Kind.FILL, b - a, 0), num_frames=num_frames, first_slot=a, last_slot=b - 1,
        length_known=True, is_start=True,
    )  # fmt: skip


def _frames(
    kind: np.ndarray, slot: np.ndarray, audio: Sequence[AudioStream], num_frames: int, layout: Layout, a: int, b: int
) -> tuple[np.ndarray, np.ndarray]:
    """Codes (L, A, K) with generated frames of [a, b) in their layout, and the given frame shown (L,)."""
    at = np.flatnonzero(kind == Kind.FRAME)
    num_codebooks = audio[0].codes.shape[1] if audio else 0
    codes = np.full((len(kind), len(audio), num_codebooks), ZERO, np.int64)
    for i, track in enumerate(audio):
        if track.role != "absent":
            own_layout: Layout = layout if track.role == "generated" else "parallel"
            codes[at, i] = lay_out(track.codes, slot[at], own_layout, a, b)
    frame = np.full(len(kind), -1, np.int64)
    if any(track.role == "given" for track in audio):
        frame[at] = np.where(slot[at] < b, slot[at], -1)
    return codes, frame
