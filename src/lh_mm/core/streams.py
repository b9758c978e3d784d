"""What a model is told about its streams (`SequenceSpec`) and what it receives (`StreamBatch`).

Models learn every size from the spec, never from data. Shapes: B rows, L positions, D documents a row,
A audio tracks, K codebooks, N feature frames a row, F feature bins, C controls, S streams.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lh_mm.core.merge import END, FRAME, NO_TARGET, ROLES, ZERO, Kind, Merged, Role

NUM_LENGTH_BUCKETS = 64
MAX_DELAY = 32
"""Delays of -32 .. 32 slots have an embedding each."""


def length_bucket(num_slots: int) -> int:
    """Log bucket of a length in slots: 0 is "open", four buckets an octave from 1 slot on."""
    if num_slots <= 0:
        return 0
    return min(NUM_LENGTH_BUCKETS - 1, 1 + round(4 * math.log2(num_slots)))


@dataclass(frozen=True)
class StreamSpec:
    """One stream of a sequence.

    Attributes:
        name: unique in the sequence: `midi`, `mix`, ...
        kind: event tokens, codec codes, features for the front end, note states of every frame, or where in its
            piece a token stands (`music/tokens.py`'s `structure_of`, of unmerged sequences).
        vocabulary_size: event ids (FRAME and END not counted) or codes of one codebook; 0 for features.
        num_codebooks: K of `codes`, else 0.
        dim: bins of `features`, values of `states` and `structure`, else 0.
    """

    name: str
    kind: Literal["midi", "codes", "features", "states", "structure"]
    vocabulary_size: int = 0
    num_codebooks: int = 0
    dim: int = 0


@dataclass(frozen=True)
class ControlSpec:
    """A control in BOS with its legal values, in the order of their ids; id 0 means absent."""

    name: str
    values: tuple[str, ...]

    def id_of(self, value: str | None) -> int:
        """The id of a legal value, 0 for None.

        Raises:
            ValueError: for a value the model has not been trained with.
        """
        if value is None:
            return 0
        if value not in self.values:
            raise ValueError(f"control '{self.name}' should be one of {', '.join(self.values)}, got '{value}'")
        return 1 + self.values.index(value)


@dataclass(frozen=True)
class SequenceSpec:
    """All streams of a sequence on one clock.

    Attributes:
        streams: event streams share one vocabulary; tracks of codes share K and codebook size.
        rate_hz: slots a second; for an unmerged sequence the rate its clocks are counted in.
        merged: false where tokens carry their own time (REMI, performance, ...) and no frames stand.
        controls: of BOS.
    """

    streams: tuple[StreamSpec, ...]
    rate_hz: float
    merged: bool = True
    controls: tuple[ControlSpec, ...] = ()

    def __post_init__(self) -> None:
        for kind in ("midi", "codes"):
            shapes = {(s.vocabulary_size, s.num_codebooks) for s in self.streams if s.kind == kind}
            if len(shapes) > 1:
                raise ValueError(f"streams of kind '{kind}' must share vocabulary and codebooks, got {sorted(shapes)}")
        if len({s.name for s in self.streams}) != len(self.streams):
            raise ValueError(f"stream names must differ, got {[s.name for s in self.streams]}")

    def _of(self, kind: str) -> tuple[StreamSpec, ...]:
        return tuple(s for s in self.streams if s.kind == kind)

    @property
    def event_streams(self) -> tuple[str, ...]:
        return tuple(s.name for s in self._of("midi"))

    @property
    def audio_tracks(self) -> tuple[str, ...]:
        return tuple(s.name for s in self._of("codes"))

    @property
    def event_vocabulary_size(self) -> int:
        """V; the event head has V + 2 outputs, FRAME at V and END at V + 1."""
        midi = self._of("midi")
        return midi[0].vocabulary_size if midi else 0

    @property
    def num_codebooks(self) -> int:
        codes = self._of("codes")
        return codes[0].num_codebooks if codes else 0

    @property
    def codebook_size(self) -> int:
        codes = self._of("codes")
        return codes[0].vocabulary_size if codes else 0

    @property
    def feature_dim(self) -> int:
        features = self._of("features")
        return features[0].dim if features else 0

    @property
    def state_dim(self) -> int:
        """Values of the note state that a frame position shows; 0 where notes are given as events."""
        states = self._of("states")
        return states[0].dim if states else 0

    @property
    def tells_structure(self) -> bool:
        """Whether positions tell where in their piece they stand."""
        return bool(self._of("structure"))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a bundle."""
        return {
            "streams": [vars(s) for s in self.streams],
            "rate_hz": self.rate_hz,
            "merged": self.merged,
            "controls": [{"name": c.name, "values": list(c.values)} for c in self.controls],
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> SequenceSpec:
        """The inverse of `to_json`."""
        return cls(
            tuple(StreamSpec(**s) for s in tree["streams"]),
            tree["rate_hz"],
            tree["merged"],
            tuple(ControlSpec(c["name"], tuple(c["values"])) for c in tree["controls"]),
        )


@dataclass(frozen=True)
class Header:
    """What BOS says of each document: (B, D, ...).

    Attributes:
        roles: (B, D, S) index into `ROLES` of each event stream, then each audio track.
        delays: (B, D, S_events) in slots.
        length: (B, D) `length_bucket` of the slots from BOS to the end; 0 is open.
        is_crop: (B, D) whether the sequence begins inside its piece.
        controls: (B, D, C) control ids, 0 is absent.
    """

    roles: Tensor
    delays: Tensor
    length: Tensor
    is_crop: Tensor
    controls: Tensor


@dataclass(frozen=True)
class StreamBatch:
    """Rows of merged (or unmerged) sequences, padded on the right, documents packed in a row.

    Attributes:
        kind: (B, L) of `Kind`.
        slot: (B, L) slot of each position.
        clock: (B, L) slots since the first slot of the position's document (integers; angles need them exact).
        event_id: (B, L), `ZERO` where no event stands.
        stream: (B, L) index of the event stream, -1 where no event stands.
        codes: (B, L, A, K), `ZERO` where there is none.
        hole: (B, L) `length_bucket` of the hole at FILL, 0 elsewhere.
        document: (B, L) 0, 1, ... in each row; padding is a further document.
        header: what BOS says.
        features: (B, A, N, F) front-end features of given frames, zero where not given; None without.
        feature_given: (B, A, N) where a feature may be heard.
        feature_document: (B, N) the document of each feature frame.
        feature_index: (B, L) index into N at frame positions that show a given frame, -1 elsewhere.
        states: (B, L, R) uint8, note states at frame positions (`music/note_state.py`), or where in its piece a
            token stands (B, L, 2); None without.
        event_target: (B, L) id in 0 .. V+1, -1 where there is none; None when generating.
        code_target: (B, L, A, K), `ZERO` where there is none; None when generating.
        event_mask: (B, L, ceil((V + 2) / 8)) packed bits of legal choices; None where all are legal.
    """

    kind: Tensor
    slot: Tensor
    clock: Tensor
    event_id: Tensor
    stream: Tensor
    codes: Tensor
    hole: Tensor
    document: Tensor
    header: Header
    features: Tensor | None = None
    feature_given: Tensor | None = None
    feature_document: Tensor | None = None
    feature_index: Tensor | None = None
    states: Tensor | None = None
    event_target: Tensor | None = None
    code_target: Tensor | None = None
    event_mask: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(B, L)."""
        return self.kind.shape[0], self.kind.shape[1]

    def map(self, function: Any) -> StreamBatch:
        """Apply a function to every tensor (moving, slicing rows)."""

        def mapped(value: Any) -> Any:
            if isinstance(value, Tensor):
                return function(value)
            if isinstance(value, Header):
                return Header(**{f.name: function(getattr(value, f.name)) for f in fields(value)})
            return value

        return replace(self, **{f.name: mapped(getattr(self, f.name)) for f in fields(self)})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> StreamBatch:
        return self.map(lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> StreamBatch:
        return self.map(lambda t: t.pin_memory())

    def positions(self, start: int, end: int) -> StreamBatch:
        """Positions [start, end) of every row; header and features stay whole.

        `forward` over the parts, in order and with the state handed on, equals `forward` over the whole.
        """
        sliced = (
            "kind", "slot", "clock", "event_id", "stream", "codes", "hole", "document",
            "feature_index", "states", "event_target", "code_target", "event_mask",
        )  # fmt: skip
        parts = {name: value[:, start:end] for name in sliced if (value := getattr(self, name)) is not None}
        return replace(self, **parts)

    def legal_events(self, vocabulary_size: int) -> Tensor | None:
        """(B, L, V + 2) bool: what may be chosen at each position; None where everything may."""
        if self.event_mask is None:
            return None
        bits = torch.arange(7, -1, -1, device=self.event_mask.device, dtype=torch.uint8)
        unpacked = (self.event_mask.unsqueeze(-1) >> bits) & 1  # numpy.packbits puts the first bit highest
        return unpacked.flatten(-2)[..., : vocabulary_size + 2].bool()


@dataclass(frozen=True)
class Row:
    """One document as numpy, before it is batched.

    Attributes:
        merged: positions and targets.
        roles: of every event stream and audio track of the spec, in its order.
        delays: of every event stream of the spec.
        controls: control ids in the spec's order.
        features: (A, N, F) of frames `first_frame` .. `first_frame + N - 1`, or None.
        feature_given: (A, N) bool.
        first_frame: frame of the first feature.
        event_mask: packed legal choices (L, bytes) or None.
        states: (L, R) note states at frame positions, (L, 2) where in its piece a token stands, or None.
        is_crop: whether BOS says crop even where the sequence has its own start (a piece that was cut first
            and built then).
    """

    merged: Merged
    roles: Sequence[Role]
    delays: Sequence[int]
    controls: Sequence[int] = ()
    features: np.ndarray | None = None
    feature_given: np.ndarray | None = None
    first_frame: int = 0
    event_mask: np.ndarray | None = None
    states: np.ndarray | None = None
    is_crop: bool = False


def collate(rows: Sequence[Sequence[Row]], spec: SequenceSpec) -> StreamBatch:
    """Rows of packed documents to one batch, padded to the longest row.

    Args:
        rows: for each row of the batch its documents, in order.
        spec: the streams; gives the ids of FRAME (V) and END (V + 1).
    """
    v = spec.event_vocabulary_size
    num_tracks, num_codebooks = len(spec.audio_tracks), spec.num_codebooks
    length = max(sum(len(doc.merged) for doc in row) for row in rows)
    num_docs = max(len(row) for row in rows)
    num_frames = max((sum(_num_features(doc) for doc in row) for row in rows), default=0)
    mask_bytes = next((doc.event_mask.shape[1] for row in rows for doc in row if doc.event_mask is not None), 0)

    def full(shape: tuple[int, ...], value: int, dtype: type = np.int64) -> np.ndarray:
        return np.full((len(rows), *shape), value, dtype)

    kind = full((length,), Kind.PAD)
    slot, clock, hole = full((length,), 0), full((length,), 0), full((length,), 0)
    event_id, stream, event_target = full((length,), ZERO), full((length,), -1), full((length,), NO_TARGET)
    codes = full((length, num_tracks, num_codebooks), ZERO)
    code_target = codes.copy()
    document = full((length,), 0)
    event_mask = full((length, mask_bytes), 255, np.uint8)
    feature_index = full((length,), -1)
    state_dim = next((doc.states.shape[1] for row in rows for doc in row if doc.states is not None), 0)
    states = full((length, state_dim), 0, np.uint8)
    features = np.zeros((len(rows), num_tracks, num_frames, spec.feature_dim), np.float32)
    feature_given = np.zeros((len(rows), num_tracks, num_frames), bool)
    feature_document = full((num_frames,), 0)
    roles = full((num_docs, len(spec.event_streams) + num_tracks), 0)
    delays = full((num_docs, len(spec.event_streams)), 0)
    lengths, is_crop = full((num_docs,), 0), full((num_docs,), 0)
    controls = full((num_docs, len(spec.controls)), 0)

    for b, row in enumerate(rows):
        at, frame_at = 0, 0
        for d, doc in enumerate(row):
            m = doc.merged
            here = slice(at, at + len(m))
            kind[b, here], slot[b, here], hole[b, here] = m.kind, m.slot, [length_bucket(int(h)) for h in m.hole]
            clock[b, here] = m.clock - m.slot[0]
            event_id[b, here], stream[b, here] = m.event_id, m.stream
            codes[b, here], code_target[b, here] = m.codes, m.code_target
            document[b, here] = d
            target = m.event_target.copy()
            target[m.event_target == FRAME], target[m.event_target == END] = v, v + 1
            event_target[b, here] = target
            if doc.states is not None:
                states[b, here] = doc.states
            if doc.event_mask is not None:
                event_mask[b, here] = doc.event_mask
            if doc.features is not None and doc.feature_given is not None:
                n = doc.features.shape[1]
                features[b, :, frame_at : frame_at + n] = doc.features * doc.feature_given[..., None]
                feature_given[b, :, frame_at : frame_at + n] = doc.feature_given
                feature_document[b, frame_at : frame_at + n] = d
                inside = (m.frame >= doc.first_frame) & (m.frame < doc.first_frame + n)
                feature_index[b, here] = np.where(inside, m.frame - doc.first_frame + frame_at, -1)
                frame_at += n
            roles[b, d] = [ROLES.index(role) for role in doc.roles]
            delays[b, d] = doc.delays
            lengths[b, d] = length_bucket(m.num_frames - int(m.slot[0])) if m.length_known else 0
            is_crop[b, d] = doc.is_crop or not m.is_start
            controls[b, d] = doc.controls
            at += len(m)
        document[b, at:] = len(row)
        feature_document[b, frame_at:] = len(row)

    t = torch.from_numpy
    has_features = num_frames > 0
    return StreamBatch(
        kind=t(kind), slot=t(slot), clock=t(clock), event_id=t(event_id), stream=t(stream), codes=t(codes),
        hole=t(hole), document=t(document), header=Header(t(roles), t(delays), t(lengths), t(is_crop), t(controls)),
        features=t(features) if has_features else None,
        feature_given=t(feature_given) if has_features else None,
        feature_document=t(feature_document) if has_features else None,
        feature_index=t(feature_index) if has_features else None,
        states=t(states) if state_dim else None,
        event_target=t(event_target), code_target=t(code_target),
        event_mask=t(event_mask) if mask_bytes else None,
    )  # fmt: skip


def _num_features(doc: Row) -> int:
    return 0 if doc.features is None else doc.features.shape[1]
