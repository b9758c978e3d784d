"""Long rows in chunks: exact context, gradients of one chunk, memory of one chunk.

A row of ten minutes does not fit in memory with its activations, but a backbone with a state of constant size can read
it in parts: each chunk begins in the state that the one before left, so every prediction hears all that came before,
while gradients end at the chunk's beginning (truncated back-propagation through time, Williams and Peng 1990). Given
sound is heard by the front end once, for all chunks, and learns from all of them.

Nothing is carried from one training step to the next, so resuming and data order are what they are without chunks.
"""

from __future__ import annotations

from collections.abc import Iterator

from lh_mm.core.streams import StreamBatch
from lh_mm.models.base import SequenceModule, State, detached
from lh_mm.models.likelihood import HeadSums, sums_of, target_nats

HEARD = ("sound",)
"""Of a state: what the front end made of all frames in the first chunk, gradients included."""


def in_chunks(batch: StreamBatch, chunk: int | None) -> list[StreamBatch]:
    """The parts of a batch that are read one after another; the batch itself without a chunk."""
    length = batch.shape[1]
    if chunk is None or chunk >= length:
        return [batch]
    return [batch.positions(start, min(start + chunk, length)) for start in range(0, length, chunk)]


def chunk_sums(model: SequenceModule, parts: list[StreamBatch]) -> Iterator[tuple[HeadSums, bool]]:
    """Sums of each part in order, and whether another one follows (so that shared graphs are to be kept).

    The caller goes backward through each before it asks for the next.
    """
    state: State = None
    if len(parts) > 1:
        length = sum(part.shape[1] for part in parts)
        state = model.init_state(parts[0].shape[0], parts[0].kind.device, max_length=length)
    for i, part in enumerate(parts):
        nats = target_nats(model, part, state)
        yield sums_of(nats, part), i + 1 < len(parts)
        state = None if state is None else detached(nats.state, HEARD)
