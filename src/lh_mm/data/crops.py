"""A crop of a piece as one row: read from memory maps, merged for a task, with targets and legal choices.

Two forms, mixed in training. A *window* of the whole piece's sequence: what stands before is missing, BOS says
crop, notes begun earlier have no end here. A *cut*: notes and codes are cut to the window and the sequence is
built of the cut piece with its own lead and tail; this is what generation meets when it is asked for part of a
piece. Infill is always a cut. Without an asked length a cut would teach END where the music goes on, so there a
piece is cut only if a length is asked for, or nothing is cut off its end.

Legend: N frames, K codebooks, F feature bins, A audio tracks of the spec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import frames_at
from lh_mm.core.infill import Hole, merge_infill
from lh_mm.core.merge import ZERO, AudioStream, EventStream, Kind, Layout, Merged, Order, Role, merge, span_of
from lh_mm.core.streams import Row, SequenceSpec
from lh_mm.data.controls import control_ids
from lh_mm.data.masks import event_masks
from lh_mm.data.prepared import PieceInfo, PreparedSet
from lh_mm.data.tasks import CONTEXT, MIDI, Plan, draw_hole
from lh_mm.music.events import EventVocabulary, encode_events
from lh_mm.music.note_state import NUM_STATES, note_states


@dataclass(frozen=True)
class CropReader:
    """Rows of a prepared set.

    Attributes:
        prepared: the set.
        spec: streams of the model; tracks and streams that a row lacks are absent in it.
        vocabulary: of events.
        layout: codebook layout of generated frames.
        order: of given events, see `merge`.
        given_notes: as event tokens, as the state of every frame, or both.
    """

    prepared: PreparedSet
    spec: SequenceSpec
    vocabulary: EventVocabulary
    layout: Layout = "delay"
    order: Order = "merged"
    given_notes: Literal["events", "states", "both"] = "events"

    def window(self, piece: PieceInfo, plan: Plan, start: int, num_slots: int, rng: np.random.Generator) -> Row:
        """Slots of the whole piece's sequence.

        Args:
            piece: of the set.
            plan: the task; not infill.
            start: first slot, counted from the first slot of the sequence (0 is its true start).
            num_slots: how many; fewer where the sequence ends.
            rng: draws what the plan leaves open: which programs accompany, which notes are dropped.
        """
        first, last = self._span(piece, plan, piece.num_frames)
        begin = min(first + start, last)
        end = min(begin + num_slots, last + 1)
        delays = [plan.delay, plan.context_delay]
        low, high = begin - max(delays), end - min(delays)
        notes = self._notes(piece, max(0, low), min(piece.num_frames, high))
        heard = _heard(notes, plan, rng)
        events = self._events(notes, heard, plan, piece.num_frames, 0, rng)
        merged = merge(
            events, self._audio(piece, plan, 0, piece.num_frames), piece.num_frames,
            layout=self.layout, ahead=plan.ahead, length_asked=plan.length_asked, window=(begin, end),
        )  # fmt: skip
        row = self._row(piece, plan, merged, events, offset=0, is_crop=not merged.is_start)
        # Notes that began before the window are left out, as their events are.
        return self._with_states(row, plan, notes[heard], 0, begin - plan.delay if begin > first else 0)

    def cut(self, piece: PieceInfo, plan: Plan, start: int, num_frames: int, rng: np.random.Generator) -> Row:
        """Frames [start, start + num_frames) of a piece as a piece of their own, with a hole if the plan has one."""
        end = min(start + num_frames, piece.num_frames)
        notes = self._notes(piece, start, end)
        heard = _heard(notes, plan, rng)
        events = self._events(notes, heard, plan, end, start, rng)
        audio = self._audio(piece, plan, start, end)
        holes: list[Hole] = []
        if plan.hole_s is not None:
            holes = [draw_hole(rng, plan.hole_s, self.spec.rate_hz, end - start)]
            merged = merge_infill(events, audio, end - start, holes, layout=self.layout)
        else:
            merged = merge(
                events, audio, end - start, layout=self.layout, ahead=plan.ahead, length_asked=plan.length_asked,
                order=self.order,
            )  # fmt: skip
        row = self._row(piece, plan, merged, events, offset=start, is_crop=start > 0, holes=holes)
        return self._with_states(row, plan, notes[heard], start, start)

    def num_slots(self, piece: PieceInfo, plan: Plan) -> int:
        """Slots of the whole piece's sequence, lead and tail included."""
        first, last = self._span(piece, plan, piece.num_frames)
        return last + 1 - first

    def _span(self, piece: PieceInfo, plan: Plan, num_frames: int) -> tuple[int, int]:
        delays = [plan.delay, plan.context_delay if CONTEXT in self.spec.event_streams else 0]
        delayed = plan.audio == "generated" and self.layout == "delay"
        return span_of(delays, self.spec.num_codebooks, delayed, num_frames, plan.ahead)

    def _notes(self, piece: PieceInfo, first: int, end: int) -> NDArray[np.void]:
        """Notes that begin in frames [first, end)."""
        notes = self.prepared.notes(piece)
        rate = self.prepared.rate_hz
        starts = notes["start_s"]
        low, high = np.searchsorted(starts, [(first - 1) / rate, (end + 1) / rate])
        part = np.array(notes[low:high])
        clocks = frames_at(part["start_s"], rate, piece.num_frames)
        return part[(clocks >= first) & (clocks < end)]

    def _events(
        self,
        notes: NDArray[np.void],
        heard: NDArray[np.bool_],
        plan: Plan,
        num_frames: int,
        offset: int,
        rng: np.random.Generator,
    ) -> list[EventStream]:
        """The event streams of the spec; clocks counted from `offset`. Given notes are shown where `heard`."""
        context = _draw_context(notes, rng) if plan.split_programs else np.zeros(len(notes), bool)
        chosen = {MIDI: (plan.midi, plan.delay, ~context), CONTEXT: (plan.context, plan.context_delay, context)}
        streams = []
        for name in self.spec.event_streams:
            role, delay, own = chosen[name]
            shown = role == "generated" or (role == "given" and self.given_notes != "states")
            table = notes[own & heard if role == "given" else own] if shown else notes[:0]
            events = encode_events(table, self.prepared.rate_hz, num_frames, self.vocabulary)
            clocks, onsets = (x.astype(np.int64) - offset for x in (events.clocks, events.onset_clocks))
            streams.append(EventStream(name, role, delay, clocks, events.ids.astype(np.int64), onsets))
        return streams

    def _audio(self, piece: PieceInfo, plan: Plan, first: int, end: int) -> list[AudioStream]:
        """The audio tracks of the spec; one that the piece lacks is absent."""
        streams = []
        for track in self.spec.audio_tracks:
            if track in piece.tracks and plan.audio != "absent":
                streams.append(AudioStream(track, plan.audio, self.prepared.codes(piece, track)[first:end]))
            else:
                silence = np.broadcast_to(np.int16(ZERO), (end - first, self.spec.num_codebooks))
                streams.append(AudioStream(track, "absent", silence))
        return streams

    def _row(
        self,
        piece: PieceInfo,
        plan: Plan,
        merged: Merged,
        events: Sequence[EventStream],
        *,
        offset: int,
        is_crop: bool,
        holes: Sequence[Hole] = (),
    ) -> Row:
        roles: list[Role] = [stream.role for stream in events]
        for track in self.spec.audio_tracks:
            roles.append(plan.audio if track in piece.tracks else "absent")
        generated = next((i for i, stream in enumerate(events) if stream.role == "generated"), None)
        decides = generated is not None or not merged.length_known
        row = Row(
            merged,
            roles,
            [stream.delay for stream in events],
            control_ids(piece.record, self.spec.controls),
            event_mask=event_masks(merged, generated, self.vocabulary, events, holes) if decides else None,
            is_crop=is_crop,
        )
        return self._with_features(row, piece, offset) if plan.audio == "given" else row

    def _with_states(self, row: Row, plan: Plan, notes: NDArray[np.void], offset: int, first: int) -> Row:
        """Note states of given notes that begin at frame `first` of the piece or later; frames count from `offset`."""
        if self.given_notes == "events" or plan.midi != "given" or plan.hole_s is not None:
            return row
        merged = row.merged
        end = merged.num_frames + offset
        table = note_states(notes, self.prepared.rate_hz, offset, end)
        table[: max(0, first - offset)] = 0
        shown = merged.slot - plan.delay
        there = (merged.kind == Kind.FRAME) & (shown >= 0) & (shown < len(table))
        states = np.zeros((len(merged), NUM_STATES), np.uint8)
        states[there] = table[shown[there]]
        return replace(row, states=states)

    def _with_features(self, row: Row, piece: PieceInfo, offset: int) -> Row:
        """Features of the frames that are shown; of a cut, only those that hear nothing from before it."""
        shown = row.merged.frame[row.merged.frame >= 0]
        if not self.spec.feature_dim or not self.prepared.num_features or not len(shown):
            return row
        first, end = int(shown.min()), int(shown.max()) + 1
        num_tracks = len(self.spec.audio_tracks)
        features = np.zeros((num_tracks, end - first, self.spec.feature_dim), np.float32)
        given = np.zeros((num_tracks, end - first), bool)
        for i, track in enumerate(self.spec.audio_tracks):
            if track in piece.tracks:
                features[i] = self.prepared.features(piece, track)[offset + first : offset + end]
                given[i] = True
        if offset:
            reach = int(self.prepared.about["features"]["reach_frames"])
            given[:, : max(0, reach - first)] = False
        return replace(row, features=features, feature_given=given, first_frame=first)


def _heard(notes: NDArray[np.void], plan: Plan, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(notes,) which of them a row shows where notes are given."""
    if not plan.note_dropout:
        return np.ones(len(notes), bool)
    return np.asarray(rng.random(len(notes)) >= plan.note_dropout)


def _draw_context(notes: NDArray[np.void], rng: np.random.Generator) -> NDArray[np.bool_]:
    """(notes,) whether a note is given in accompaniment: some of the instruments, not none and not all."""
    program = np.where(notes["drum"], -1, notes["program"].astype(np.int64))
    programs = np.unique(program)
    if len(programs) < 2:
        return np.full(len(notes), bool(rng.integers(2)))
    count = int(rng.integers(1, len(programs)))
    return np.isin(program, rng.permutation(programs)[:count])
