"""A hybrid's single step as a CUDA graph: one launch in place of some hundred.

A graph is a recording: it reads and writes the memory it was recorded with, and knows no number that Python held. So
the state and the batch lie in static memory, new values are copied in, and the step looks at no value
(`HybridMamba.looks = False`). What changes shape (a cache that grew, another number of rows) is recorded anew. What
is returned is a copy, for the graph's own output is overwritten by the next step.

Graphs are of PyTorch (`torch.cuda.graph`); warm-up steps go before, on a stream of their own, and leave no trace in the
state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lh_mm.core.streams import StreamBatch
from lh_mm.models.base import state_tensors, with_tensors
from lh_mm.models.hybrid_mamba import HybridMamba
from lh_mm.models.hybrid_state import HybridState

WARM_UP = 2


class GraphedSteps:
    """`HybridMamba.hidden` for generation: single steps by a graph, longer calls as ever.

    Args:
        model: in evaluation mode; its weights must stay where they are.
        record: makes a graph of a function without arguments: called once, it returns what to call in its place.

    Attributes:
        num_graphs: recordings made so far.
    """

    def __init__(self, model: HybridMamba, record: Callable[[Callable[[], None]], Callable[[], None]] | None = None):
        self.model = model
        self.num_graphs = 0
        self._record = record or cuda_graph
        self._state: HybridState | None = None
        self._batch: StreamBatch | None = None
        self._out: Tensor | None = None
        self._replay: Callable[[], None] | None = None

    @torch.inference_mode()
    def hidden(self, batch: StreamBatch, state: HybridState) -> tuple[Tensor, HybridState]:
        """As `HybridMamba.hidden`; the state that was handed in is used up, as caches are written in place."""
        waits = batch.features is not None and (state.sound is None or not state.sound.heard.shape[1])
        if batch.shape[1] > 1 or waits:
            h, after = self.model.hidden(batch, state)
            assert after is not None
            return h, after
        state = state.with_room(1)
        if self._replay is None or not (_fits(self._state, state) and _fits(self._batch, batch)):
            self._record_step(batch, state)
        assert self._state is not None and self._out is not None and self._replay is not None
        if state is not self._state:
            _copy(self._state, state)
        _copy(self._batch, batch)
        self._replay()
        if (keys := self._state.keys) is not None and state.keys is not None:
            # The graph counts in tensors; Python knows an upper bound.
            self._state = replace(self._state, keys=replace(keys, most=state.keys.most + 1, even=False))
        return self._out.clone(), self._state

    def _record_step(self, batch: StreamBatch, state: HybridState) -> None:
        self._batch, self._state = with_tensors(batch, _clone), with_tensors(state, _clone)
        static_batch, static = self._batch, self._state

        def step() -> None:
            looks, self.model.looks = self.model.looks, False
            try:
                h, after = self.model.hidden(static_batch, static)
            finally:
                self.model.looks = looks
            _copy(static, after)
            if self._out is None or self._out.shape != h.shape:
                self._out = torch.empty_like(h)
            self._out.copy_(h)

        self._out = None
        for _ in range(WARM_UP):
            step()
        self._replay = self._record(step)
        self.num_graphs += 1


def cuda_graph(step: Callable[[], None]) -> Callable[[], None]:
    """Record a function on the present CUDA device."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _tensors(value: Any) -> dict[str, Tensor]:
    return state_tensors(value, numbers=False)


def _fits(static: Any, value: Any) -> bool:
    """Whether a value's tensors are of the shapes, types and devices of the static ones."""
    own, new = _tensors(static), _tensors(value)
    return own.keys() == new.keys() and all(
        (t.shape, t.dtype, t.device) == (new[name].shape, new[name].dtype, new[name].device) for name, t in own.items()
    )


def _copy(static: Any, value: Any) -> None:
    new = _tensors(value)
    for name, tensor in _tensors(static).items():
        if tensor.data_ptr() != new[name].data_ptr() or tensor.stride() != new[name].stride():
            tensor.copy_(new[name])


def _clone(tensor: Tensor) -> Tensor:
    return tensor.clone(memory_format=torch.contiguous_format)
