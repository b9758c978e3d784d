"""How likely held-out music is to a model: nats per token, per note and per second, by task and stream.

Rows are a fixed list of crops of a split, so every model is measured on the same targets. Nats are of legal
choices only (what could have been drawn). A merged run's nats per note are not those of a single-stream
tokenizer: the table of a comparison puts a dash between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lh_mm.core.log import track
from lh_mm.core.merge import Kind
from lh_mm.core.streams import Row, SequenceSpec, StreamBatch, collate
from lh_mm.data.evaluation import EvaluationRow
from lh_mm.data.rows import RowSource
from lh_mm.data.splits import Split
from lh_mm.models.base import SequenceModel
from lh_mm.models.likelihood import target_nats

Observer = Callable[[EvaluationRow, NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]], None]


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
    model: SequenceModel,
    rows: Iterable[EvaluationRow],
    spec: SequenceSpec,
    *,
    batch_size: int = 4,
    observe: Observer | None = None,
) -> Likelihood:
    """Likelihood of rows.

    Args:
        model: in evaluation mode.
        rows: a whole split (`source.evaluation(split)`), or a fixed list of crops (`fixed_rows`).
        spec: the streams.
        batch_size: rows at once.
        observe: is told of each row the positions of its event targets, their ids, and the nats of each.
    """
    totals: dict[str, dict[str, StreamNats]] = {}
    waiting: list[EvaluationRow] = []

    def measure() -> None:
        batch = collate([[own.row] for own in waiting], spec)
        for own, streams in zip(waiting, _by_row(model, batch, waiting, observe), strict=True):
            task = totals.setdefault(own.task, {})
            for name, sums in streams.items():
                task[name] = task.get(name, StreamNats()) + sums
        waiting.clear()

    for own in track(rows, "likelihood", unit="rows"):
        waiting.append(own)
        if len(waiting) == batch_size:
            measure()
    if waiting:
        measure()
    return Likelihood(tasks=dict(sorted(totals.items())))


def fixed_rows(
    source: RowSource, split: Split, num_rows: int, begins_note: Callable[[NDArray[np.int64]], NDArray[np.bool_]]
) -> Iterator[EvaluationRow]:
    """The first rows of a split's fixed list of crops, tasks in turn.

    Args:
        source: of the rows.
        split: `valid` or `test`.
        num_rows: crops.
        begins_note: which event ids begin a note.
    """
    for index in range(num_rows):
        row = source.valid_row(index, split)
        target = row.merged.event_target
        notes = int(begins_note(target[target >= 0]).sum())
        # Which piece it is of is not known, so each is its own: of one name they would have no interval.
        yield EvaluationRow(f"row {index}", task_of(row), row, _seconds(row, source.spec.rate_hz), notes)


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
    model: SequenceModel, batch: StreamBatch, rows: Sequence[EvaluationRow], observe: Observer | None
) -> list[dict[str, StreamNats]]:
    nats = target_nats(model, batch)
    assert batch.code_target is not None
    result: list[dict[str, StreamNats]] = []
    for b, own in enumerate(rows):
        streams = {}
        here = nats.event_at[:, 0] == b
        events = nats.event[here].double()
        if len(events):
            if observe is not None:
                at, ids = nats.event_at[here, 1].cpu().numpy(), nats.event_id[here].cpu().numpy()
                observe(own, at, ids, events.cpu().numpy())
            streams["events"] = StreamNats(
                nats=float(events.sum()), tokens=len(events), notes=own.num_notes, seconds=own.seconds, rows=1
            )
        target = batch.code_target[b]  # (L, A, K)
        if bool((target >= 0).any()):
            code = nats.code[nats.code_at[:, 0] == b].double().sum((0, 1))  # (K,)
            count = (target >= 0).sum((0, 1))
            for k in range(len(code)):
                streams[f"codes.{k}"] = StreamNats(
                    nats=float(code[k]), tokens=int(count[k]), seconds=own.seconds, rows=1
                )
            streams["codes"] = StreamNats(nats=float(code.sum()), tokens=int(count.sum()), seconds=own.seconds, rows=1)
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
