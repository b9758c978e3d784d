"""How likely held-out music is to a model: nats per token, per note and per second, by task and stream.

Rows are a fixed list of crops of a split, so every model is measured on the same targets. Nats are of legal
choices only (what could have been drawn). A merged run's nats per note are not those of a single-stream
tokenizer: the table of a comparison puts a dash between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from lh_mm.core.log import track
from lh_mm.core.merge import Kind
from lh_mm.core.streams import Row, SequenceSpec, StreamBatch, collate
from lh_mm.models.base import SequenceModel
from lh_mm.models.likelihood import target_nats


class Rows(Protocol):
    """What gives the rows: `data/rows.py`'s sources."""

    @property
    def spec(self) -> SequenceSpec: ...

    def valid_row(self, index: int, split: Any = "valid") -> Row: ...


class StreamNats(BaseModel):
    """One stream of one task.

    Attributes:
        nats: summed over its targets.
        tokens: number of targets (a code entry is one).
        notes: note beginnings among them; 0 for codes.
        seconds: of music in the crops.
        rows: crops.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    nats: float = 0.0
    tokens: int = 0
    notes: int = 0
    seconds: float = 0.0
    rows: int = 0

    def __add__(self, other: StreamNats) -> StreamNats:
        return StreamNats(
            nats=self.nats + other.nats,
            tokens=self.tokens + other.tokens,
            notes=self.notes + other.notes,
            seconds=self.seconds + other.seconds,
            rows=self.rows + other.rows,
        )

    @property
    def per_token(self) -> float | None:
        return self.nats / self.tokens if self.tokens else None

    @property
    def per_note(self) -> float | None:
        return self.nats / self.notes if self.notes else None

    @property
    def per_second(self) -> float | None:
        return self.nats / self.seconds if self.seconds else None


class Likelihood(BaseModel):
    """Nats by task and stream (`events`, `codes`, and `codes.0` ... by codebook)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: dict[str, dict[str, StreamNats]]

    def table(self) -> list[dict[str, Any]]:
        """One dict a row: task, stream, nats per token, note and second."""
        return [
            {
                "task": task, "stream": name, "nats_per_token": s.per_token, "nats_per_note": s.per_note,
                "nats_per_second": s.per_second, "tokens": s.tokens, "crops": s.rows,
            }
            for task, streams in self.tasks.items()
            for name, s in streams.items()
        ]  # fmt: skip


@torch.inference_mode()
def measure_likelihood(
    model: SequenceModel, source: Rows, note_ids: Sequence[int], *, split: str, num_rows: int, batch_size: int = 4
) -> Likelihood:
    """Likelihood of the first `num_rows` rows of a split.

    Args:
        model: in evaluation mode.
        source: of the rows.
        note_ids: event ids that begin a note, each note having one.
        split: `valid` or `test`.
        num_rows: crops.
        batch_size: crops at once.
    """
    totals: dict[str, dict[str, StreamNats]] = {}
    begins_note = torch.zeros(source.spec.event_vocabulary_size + 2, dtype=torch.bool)
    begins_note[list(note_ids)] = True
    starts = range(0, num_rows, batch_size)
    for start in track(starts, "likelihood", unit="batches"):
        rows = [source.valid_row(i, split) for i in range(start, min(start + batch_size, num_rows))]
        batch = collate([[row] for row in rows], source.spec)
        for row, streams in zip(rows, _by_row(model, batch, rows, begins_note, source.spec), strict=True):
            task = totals.setdefault(task_of(row), {})
            for name, sums in streams.items():
                task[name] = task.get(name, StreamNats()) + sums
    return Likelihood(tasks=dict(sorted(totals.items())))


def task_of(row: Row) -> str:
    """The task's name, from what is given and what is generated."""
    num_events = len(row.delays)
    events, audio = row.roles[:num_events], row.roles[num_events:]
    if (row.merged.kind == Kind.FILL).any():
        return "infill"
    if "given" in events:
        return "accompany" if "generated" in events else "midi_to_audio"
    if "generated" in events:
        return "audio_to_midi" if "given" in audio else "joint" if "generated" in audio else "midi_only"
    return "audio_only"


def _by_row(
    model: SequenceModel, batch: StreamBatch, rows: Sequence[Row], begins_note: torch.Tensor, spec: SequenceSpec
) -> list[dict[str, StreamNats]]:
    nats = target_nats(model, batch)
    assert batch.code_target is not None
    result: list[dict[str, StreamNats]] = []
    for b, row in enumerate(rows):
        seconds = _seconds(row, spec.rate_hz)
        streams = {}
        own = nats.event_at[:, 0] == b
        if own.any():
            streams["events"] = StreamNats(
                nats=float(nats.event[own].double().sum()), tokens=int(own.sum()),
                notes=int(begins_note[nats.event_id[own]].sum()), seconds=seconds, rows=1,
            )  # fmt: skip
        target = batch.code_target[b]  # (L, A, K)
        if bool((target >= 0).any()):
            code = nats.code[nats.code_at[:, 0] == b].double().sum((0, 1))  # (K,)
            count = (target >= 0).sum((0, 1))
            for k in range(len(code)):
                streams[f"codes.{k}"] = StreamNats(nats=float(code[k]), tokens=int(count[k]), seconds=seconds, rows=1)
            streams["codes"] = StreamNats(nats=float(code.sum()), tokens=int(count.sum()), seconds=seconds, rows=1)
        result.append(streams)
    return result


def _seconds(row: Row, rate_hz: float) -> float:
    """Music that a row's targets are of: its holes, or its slots of the piece."""
    merged = row.merged
    if merged.hole.any():
        return float(merged.hole.sum()) / rate_hz
    if not (merged.kind == Kind.FRAME).any():  # unmerged: clocks say how far it goes
        return float(np.ptp(merged.clock) + 1) / rate_hz
    last = min(merged.last_slot, merged.num_frames - 1)
    return (last - max(merged.first_slot, 0) + 1) / rate_hz
