"""Steps by a recording are the steps, whatever the recording holds on to.

Without a GPU the recording is one of torch's tracer, which keeps what a CUDA graph keeps: operations on the memory they
were recorded with, and Python's numbers as they were.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from lh_mm.core.merge import AudioStream, EventStream, Kind, merge
from lh_mm.core.streams import Row, SequenceSpec, StreamBatch, StreamSpec, collate
from lh_mm.models.graphs import GraphedSteps
from lh_mm.models.hybrid_mamba import HybridMamba, HybridMambaConfig

SPEC = SequenceSpec((StreamSpec("midi", "midi", 11), StreamSpec("mix", "codes", 7, 2)), rate_hz=10.0)
ROWS = 3


def traced(step: Callable[[], None]) -> Callable[[], None]:
    def body(unused: torch.Tensor) -> torch.Tensor:
        step()
        return unused

    nothing = torch.zeros(())
    graph = make_fx(body)(nothing)
    return lambda: graph(nothing)


def recorder() -> Callable[[Callable[[], None]], Callable[[], None]] | None:
    return None if torch.cuda.is_available() else traced


def model(window: int | None) -> HybridMamba:
    torch.manual_seed(0)
    built = HybridMambaConfig(pattern="M-*-M", dim=32, heads=2, kv_heads=1, state_dim=8, head_dim=16, window=window)
    return built.build(SPEC).eval().requires_grad_(False)


def batch(length: int, seed: int = 0, rows: int = ROWS) -> StreamBatch:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        clocks = np.sort(rng.integers(0, length, length))
        events = [EventStream("midi", "generated", 0, clocks, rng.integers(0, 11, length))]
        codes = [AudioStream("mix", "generated", rng.integers(0, 7, (length, 2)))]
        made.append([Row(merge(events, codes, length), ["generated", "generated"], [0])])
    return collate(made, SPEC)


def with_rests(part: StreamBatch, rest: bool) -> StreamBatch:
    """Row 1 has no position."""
    if not rest:
        return part
    kind = part.kind.clone()
    kind[1] = Kind.PAD
    return StreamBatch(**{**vars(part), "kind": kind})


@pytest.mark.parametrize("window", [None, 6])
def test_recorded_steps_are_the_steps(window: int | None) -> None:
    """Prompts, steps, rows that rest, a chunk in between, a cache that grows past its first size."""
    built, whole = model(window), batch(16)
    graphed = GraphedSteps(built, recorder())
    with torch.inference_mode():
        plain, fast = (built.init_state(ROWS, max_length=12) for _ in range(2))
        at = 0
        for take in (5, 1, 1, 1, 2, *[1] * 12):
            rest = at % 3 == 0 and take == 1
            part = with_rests(whole.positions(at, at + take), rest)
            h, plain = built.hidden(part, plain)  # type: ignore[assignment]
            recorded, fast = graphed.hidden(part, fast)
            heard = [0, 2] if rest else [0, 1, 2]
            assert torch.allclose(recorded[heard], h[heard], atol=1e-5), at
            at += take
        assert torch.equal(plain.index, fast.index)
        assert graphed.num_graphs == (1 if window else 2)  # a ring never changes size


def test_what_is_returned_is_not_overwritten() -> None:
    built, whole = model(6), batch(8)
    graphed = GraphedSteps(built, recorder())
    _, state = graphed.hidden(whole.positions(0, 3), built.init_state(ROWS))
    first, state = graphed.hidden(whole.positions(3, 4), state)
    kept = first.clone()
    graphed.hidden(whole.positions(4, 5), state)
    assert torch.equal(first, kept)


def test_another_number_of_rows_is_recorded_anew_and_generations_do_not_mix() -> None:
    built = model(6)
    graphed = GraphedSteps(built, recorder())
    for rows, seed in ((ROWS, 1), (2, 2), (ROWS, 3)):
        whole = batch(8, seed, rows)
        with torch.inference_mode():
            plain = fast = built.init_state(rows)
            for i in range(6):
                h, plain = built.hidden(whole.positions(i, i + 1), plain)  # type: ignore[assignment]
                if i == 0:
                    fast = built.init_state(rows)
                recorded, fast = graphed.hidden(whole.positions(i, i + 1), fast)
                assert torch.allclose(recorded, h, atol=1e-5)
    assert graphed.num_graphs == 3
