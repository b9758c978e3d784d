"""Generation: writers of several rows and one model, a call a position.

In each call every row hands in what stands fixed since its last draw (usually one position; a slot's given
events and its frame together; a prompt in chunks) and draws behind it. Rows may be at different slots and of
different kinds, for rows without a position keep their state. For guidance each row has a twin without what
is given, which takes the same choices (docs/streams.md, section 9).

A generation can be put away and gone on with (`generate/saved.py`).

Shapes: R rows (2 R with twins), L positions, A tracks, K codebooks, V event ids.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lh_mm.core.streams import SequenceSpec
from lh_mm.generate.batch import Batcher, without_given
from lh_mm.generate.request import Request, Result
from lh_mm.generate.sampling import Sampling, draw, exponential_noise, guided
from lh_mm.generate.saved import load_generation, save_generation
from lh_mm.generate.tokens import TokenRequest, TokenWriter
from lh_mm.generate.writer import Answer, Ask, Position, Writer
from lh_mm.models.base import SequenceModel
from lh_mm.models.graphs import GraphedSteps
from lh_mm.models.hybrid_mamba import HybridMamba
from lh_mm.music.tokenizer import Vocabulary
from lh_mm.music.vocabulary import EventVocabulary
from lh_mm.nn.linear import pack_for_steps

CHUNK = 256
"""Positions of a row that one call takes at most; prompts are read in chunks."""


@dataclass
class _Row:
    """One writer at work."""

    writer: Writer | TokenWriter
    asks: Generator[Ask, Answer, None]
    ask: Ask | None
    seed: int
    waiting: list[Position]
    taken: int = 0  # of `waiting`
    answers: list[list[int]] = field(default_factory=list)
    num_positions: int = 0
    reported: int = 0

    def replay(self, values: list[int]) -> None:
        """Answer as a saved generation did."""
        assert self.ask is not None
        entries = self.ask.entries
        self.answer(values[0] if entries is None else np.array(values, np.int64).reshape(entries.shape))

    def answer(self, value: Answer) -> None:
        """Send a draw to the writer and take its next ask."""
        self.answers.append([value] if isinstance(value, int) else value.ravel().tolist())
        try:
            self.ask = self.asks.send(value)
        except StopIteration:
            self.ask, self.waiting, self.taken = None, [], 0
            return
        self.waiting, self.taken = self.ask.positions, 0


class Generation:
    """Requests being completed.

    Iterating yields `(row, frame)` whenever a frame of a row is complete, in order; `results` runs to the end.

    Args:
        model: in evaluation mode; on any device.
        requests: one for each row; what a row becomes does not depend on the others.
        vocabulary: of events, or the tokenizer; needed where events or tokens are generated.
        events: how events, FRAME and END are drawn.
        codes: how codes are drawn: one for all codebooks, or one for each.
        guidance: scale of classifier-free guidance; 1 is none. Needs a request that gives or asks something.
        score: whether to keep the likelihood of what is drawn.
        graphs: whether single steps are CUDA graphs; by default where the device has them and the model is a hybrid.

    Raises:
        ValueError: for a request that the model's sequence cannot hold.
    """

    def __init__(
        self,
        model: SequenceModel,
        requests: Sequence[Request] | Sequence[TokenRequest],
        vocabulary: Vocabulary | None = None,
        *,
        events: Sampling | None = None,
        codes: Sampling | Sequence[Sampling] | None = None,
        guidance: float = 1.0,
        score: bool = False,
        graphs: bool | None = None,
    ) -> None:
        spec = self.spec = model.spec
        self.model, self.guidance, self.score = model, guidance, score
        self.device = next(iter(model.parameters())).device
        self.event_sampling = events or Sampling()
        each = [codes or Sampling()] * spec.num_codebooks if isinstance(codes, Sampling | None) else list(codes)
        if len(each) != spec.num_codebooks:
            raise ValueError(f"codes should be drawn in 1 or {spec.num_codebooks} ways, got {len(each)}")
        self.code_sampling = each
        self.requests: list[Any] = [request.completed(spec) for request in requests]
        if guidance != 1.0 and not any(request.gives for request in self.requests):
            raise ValueError(f"guidance {guidance} needs a request that gives a stream or asks for a control")
        self._twins = guidance != 1.0
        self.rows: list[_Row] = []
        for request in self.requests:
            writer = _writer(request, spec, vocabulary)
            asks = writer.run()
            first = next(asks)
            self.rows.append(_Row(writer, asks, first, request.seed, first.positions))
        both = [*self.requests, *(r.without_condition() for r in self.requests)] if self._twins else self.requests
        first_slots = [row.writer.first_slot for row in self.rows] * (2 if self._twins else 1)
        self.batcher = Batcher(both, first_slots, spec, self.device)
        if isinstance(model, torch.nn.Module) and not model.training:
            pack_for_steps(model)
        self.state = model.init_state(len(both), self.device)
        self._read_positions: Callable[..., tuple[Tensor, Any]] = model.hidden
        if isinstance(model, HybridMamba) and (self.device.type == "cuda" if graphs is None else graphs):
            self._read_positions = GraphedSteps(model).hidden
        self.last = torch.zeros(len(both), 0)  # (R, D) what the heads read
        self.nats: list[dict[str, tuple[float, int]]] = [{} for _ in self.rows]
        self.seconds, self.num_calls = 0.0, 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        while self.step():
            yield from self._complete()
        yield from self._complete()

    def results(self) -> list[Result]:
        """Run to the end and return what was written."""
        for _ in self:
            pass
        return [self._result(i) for i in range(len(self.rows))]

    @property
    def finished(self) -> bool:
        """Whether no row has anything left to draw."""
        return all(row.ask is None for row in self.rows)

    @torch.inference_mode()
    def step(self) -> bool:
        """One call of the model and the draws behind it; False if there was nothing left to do."""
        if self.finished:
            return False
        start_s = time.perf_counter()
        self.num_calls += 1
        self._read()
        self._draw_events()
        self._draw_codes()
        self.seconds += time.perf_counter() - start_s
        return True

    def _read(self) -> None:
        """Feed every row's waiting positions, at most a chunk of each."""
        parts = [row.waiting[row.taken : row.taken + CHUNK] for row in self.rows]
        for row, part in zip(self.rows, parts, strict=True):
            row.taken += len(part)
            row.num_positions += len(part)
        if self._twins:
            parts += [without_given(part, request) for part, request in zip(parts, self.requests, strict=True)]
        lengths = [len(part) for part in parts]
        hidden, self.state = self._read_positions(self.batcher.batch(parts), self.state)  # (R, L, D)
        if min(lengths) == max(lengths) == 1:
            self.last = hidden[:, 0].float()
            return
        counts = torch.tensor(lengths, device=self.device)
        at = (counts - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, hidden.shape[-1])
        last = hidden.gather(1, at)[:, 0].float()
        self.last = last if not self.last.numel() else torch.where((counts > 0).unsqueeze(1), last, self.last)

    def _ready(self, what: str) -> list[int]:
        """Rows whose positions are read and that ask for `mask` or `entries`."""
        return [
            i
            for i, row in enumerate(self.rows)
            if row.ask is not None and row.taken == len(row.waiting) and getattr(row.ask, what) is not None
        ]

    def _logits(
        self, rows: list[int], head: str, drawn: Tensor | None = None, entry: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits of rows on the CPU: guided, and the conditional model's own.

        Chained codes are asked for entry by entry, (R, C) each, and hear what is `drawn` (R, A, K).
        """
        heads = self.model.event_logits if head == "event" else self.model.code_logits
        told: tuple[Any, ...] = ()
        if drawn is not None:
            told = (drawn.to(self.device).repeat(2 if self._twins else 1, 1, 1), entry)
        if not self._twins:
            logits = heads(self.last if len(rows) == len(self.rows) else self.last[rows], *told).float().cpu()
            return logits, logits
        twins = [len(self.rows) + row for row in rows]
        own, other = heads(self.last[rows + twins], *told).float().cpu().chunk(2)
        return guided(own, other, self.guidance), own

    def _draw_events(self) -> None:
        rows = self._ready("mask")
        if not rows:
            return
        logits, own = self._logits(rows, "event")  # (R, V + 2)
        legal = torch.from_numpy(np.stack([self._ask(row).mask for row in rows]))  # type: ignore[misc]
        probabilities = self.event_sampling.probabilities(logits.masked_fill(~legal, -torch.inf))
        choices = draw(probabilities, self._noise(rows, logits.shape[1:]))
        if self.score:
            nats = -torch.log_softmax(own.masked_fill(~legal, -torch.inf), -1).gather(1, choices.unsqueeze(1))
            for row, value in zip(rows, nats[:, 0].tolist(), strict=True):
                self._count(row, "event", value)
        for row, choice in zip(rows, choices.tolist(), strict=True):
            self.rows[row].answer(choice)

    def _draw_codes(self) -> None:
        rows = self._ready("entries")
        if not rows:
            return
        entries = np.stack([self._ask(row).entries for row in rows])  # type: ignore[misc]
        if getattr(self.model, "chained", False):
            codes, nats = self._draw_chain(rows, torch.from_numpy(entries))
        else:
            logits, own = self._logits(rows, "codes")  # (R, A, K, C)
            if len(set(self.code_sampling)) == 1:
                probabilities = self.code_sampling[0].probabilities(logits)
            else:
                each = [way.probabilities(logits[:, :, k]) for k, way in enumerate(self.code_sampling)]
                probabilities = torch.stack(each, dim=2)
            codes = draw(probabilities, self._noise(rows, logits.shape[1:]))  # (R, A, K)
            nats = _nats_of(codes, own) if self.score else None
        drawn = codes.numpy()
        for i, row in enumerate(rows):
            if nats is not None:
                for track, k in np.argwhere(entries[i]):
                    self._count(row, f"code{k}", float(nats[i, track, k]))
            self.rows[row].answer(drawn[i])

    def _draw_chain(self, rows: list[int], entries: Tensor) -> tuple[Tensor, Tensor | None]:
        """Codes (R, A, K) one after another, each hearing those before it, and the nats of each if they are kept."""
        tracks, books = entries.shape[1:]
        noise = self._noise(rows, (tracks, books, self.spec.codebook_size))
        codes = torch.full(entries.shape, -1)
        nats = torch.zeros(entries.shape) if self.score else None
        for track in range(tracks):
            for k in range(books):
                logits, own = self._logits(rows, "codes", codes, track * books + k)
                chosen = draw(self.code_sampling[k].probabilities(logits), noise[:, track, k])
                codes[:, track, k] = torch.where(entries[:, track, k], chosen, -1)
                if nats is not None:
                    nats[:, track, k] = _nats_of(chosen, own)
        return codes, nats

    def _noise(self, rows: list[int], shape: Sequence[int]) -> Tensor:
        chosen = [self.rows[row] for row in rows]
        return exponential_noise([row.seed for row in chosen], [len(row.answers) for row in chosen], shape)

    def _ask(self, row: int) -> Ask:
        ask = self.rows[row].ask
        assert ask is not None
        return ask

    def _count(self, row: int, head: str, nats: float) -> None:
        total, number = self.nats[row].get(head, (0.0, 0))
        self.nats[row][head] = total + nats, number + 1

    def _complete(self) -> Iterator[tuple[int, int]]:
        for i, row in enumerate(self.rows):
            while row.reported < row.writer.done:
                row.reported += 1
                yield i, row.reported - 1

    def _result(self, index: int) -> Result:
        row, request = self.rows[index], self.requests[index]
        num_frames = row.writer.num_frames
        assert num_frames is not None
        codes = {
            track.name: row.writer.codes[i, :num_frames].copy()
            for i, track in enumerate(request.audio)
            if track.role == "generated"
        }
        return Result(
            num_frames,
            np.array(row.writer.clocks, np.int64),
            np.array(row.writer.ids, np.int64),
            codes,
            row.num_positions,
            self.seconds,
            self.nats[index],
        )

    def save(self, folder: Path) -> None:
        """Put the generation away, see `generate/saved.py`."""
        save_generation(self, folder)

    def load(self, folder: Path) -> None:
        """Go on from where `save` left off; this generation must be a fresh one of the same.

        Raises:
            ValueError: if what lies there is of another model, other requests or other settings.
        """
        load_generation(self, folder)


def _writer(request: Request | TokenRequest, spec: SequenceSpec, vocabulary: Vocabulary | None) -> Writer | TokenWriter:
    """Who writes a request. Raises ValueError for one of merged sequences where the model's carry their own time."""
    if isinstance(request, TokenRequest):
        if spec.merged:
            raise ValueError("this model's sequences are merged: ask it with a Request")
        return TokenWriter(request, spec, vocabulary)
    if not spec.merged:
        raise ValueError("this model's tokens carry their own time: ask it with a TokenRequest")
    return Writer(request, spec, vocabulary if isinstance(vocabulary, EventVocabulary) else None)


def _nats_of(choices: Tensor, logits: Tensor) -> Tensor:
    """(...) nats of choices by logits (..., C)."""
    return -torch.log_softmax(logits, -1).gather(-1, choices.unsqueeze(-1))[..., 0]
