"""Music Transformer: relative attention by its definition, and the traps of popular re-implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lh_mm.core.merge import END, NO_TARGET, ZERO, Kind, May, Merged
from lh_mm.core.streams import ControlSpec, Row, SequenceSpec, StreamBatch, StreamSpec, collate
from lh_mm.models.base import SequenceModel
from lh_mm.models.likelihood import head_sums
from lh_mm.models.music_transformer import MusicTransformer, MusicTransformerConfig, sinusoids
from lh_mm.nn.relative_attention import RelativeAttention

V = 23
SPEC = SequenceSpec((StreamSpec("midi", "midi", V),), 24.0, merged=False, controls=(ControlSpec("key", ("C", "D")),))


def row(ids: Sequence[int], control: int = 0) -> Row:
    """A whole piece: BOS, its tokens, END as the last target."""
    events = np.array([-1, *ids], np.int64)
    length = len(events)
    kind = np.full(length, Kind.EVENT, np.int8)
    kind[0] = Kind.BOS
    none, empty = np.zeros(length, np.int64), np.full((length, 0, 0), ZERO, np.int64)
    clock = np.arange(length)
    merged = Merged(
        kind, clock, clock, events, np.where(kind == Kind.EVENT, 0, -1), empty, none - 1,
        np.array([*ids, END], np.int64), empty, np.full(length, May.EVENT | May.END, np.int8), none, length, 0,
        length - 1, length_known=False, is_start=True, names=("midi",),
    )  # fmt: skip
    return Row(merged, ("generated",), (0,), [control])


def batch_of(*rows: Sequence[Sequence[int]]) -> StreamBatch:
    return collate([[row(ids, control=i % 3) for i, ids in enumerate(documents)] for documents in rows], SPEC)


def tokens(length: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, V, length).tolist()


def model_of(**changes: object) -> MusicTransformer:
    torch.manual_seed(0)
    shape = {"layers": 2, "dim": 16, "heads": 2, "attention_dim": 24, "ff_dim": 32, "max_distance": 5, **changes}
    return MusicTransformerConfig.model_validate(shape).build(SPEC).eval()


@pytest.mark.parametrize("length", [1, 4, 5, 6, 13])
def test_skewing_is_the_definition(length: int) -> None:
    torch.manual_seed(0)
    attention, queries = RelativeAttention(16, 2, 24, distances=5), torch.randn(3, 2, length, 12)
    defined = torch.zeros(3, 2, length, length)
    for i in range(length):
        for j in range(i + 1):
            if i - j < 5:  # further back E is zero, not its last row
                defined[:, :, i, j] = (queries[:, :, i] * attention.relative_embedding[:, i - j]).sum(-1)
    index = torch.arange(length)
    distance = (index[:, None] - index[None]).expand(3, -1, -1)
    with torch.no_grad():
        skewed, looked_up = attention._skewed(queries, length), attention._relative(queries, distance)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    assert torch.allclose(skewed[..., causal], defined.detach()[..., causal], atol=1e-5)
    assert torch.allclose(looked_up[..., causal], defined.detach()[..., causal], atol=1e-5)


@pytest.mark.parametrize("length", [1, 4, 5, 13])
def test_blocks_of_queries_are_all_pairs(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lh_mm.nn.relative_attention.BLOCK", 4)
    torch.manual_seed(0)
    attention, x = RelativeAttention(16, 2, 24, distances=6).double(), torch.randn(3, length, 16).double()
    index = torch.arange(length)
    distance = (index[:, None] - index[None]).expand(3, -1, -1)
    results = []
    for pairs in ((None, None), (distance[:, None] >= 0, distance)):
        out, _ = attention(x, *pairs)
        results.append([out, *torch.autograd.grad(out.square().sum(), list(attention.parameters()))])
    for in_blocks, at_once in zip(*results, strict=True):
        assert torch.allclose(in_blocks, at_once, atol=1e-10)


def test_honours_the_protocol_and_refuses_sound() -> None:
    model = model_of()
    assert isinstance(model, SequenceModel)
    assert model(batch_of([tokens(5)]))[0].event.shape == (1, 6, V + 2)
    sound = SequenceSpec((StreamSpec("midi", "midi", V), StreamSpec("mix", "codes", 7, 2)), 24.0)
    with pytest.raises(ValueError, match="time tokens of their own"):
        MusicTransformerConfig().build(sound)


@pytest.mark.parametrize("local_block", [None, 4])
@pytest.mark.parametrize("cuts", [(), (1,), (3, 4, 9), tuple(range(1, 14))])
def test_parts_are_the_whole(cuts: tuple[int, ...], local_block: int | None) -> None:
    model, batch = model_of(local_block=local_block), batch_of([tokens(6), tokens(5, 1)], [tokens(9, 2)])
    with torch.no_grad():
        whole, _ = model.hidden(batch)
        state, parts = model.init_state(2), []
        for start, end in zip((0, *cuts), (*cuts, batch.shape[1]), strict=True):
            h, state = model.hidden(batch.positions(start, end), state)
            parts.append(h)
    real = batch.kind != Kind.PAD
    assert torch.allclose(torch.cat(parts, 1)[real], whole[real], atol=1e-5)


def test_rows_that_rest_keep_their_place() -> None:
    model, batch = model_of(), batch_of([tokens(8)], [tokens(8, 1)])
    with torch.no_grad():
        whole, _ = model.hidden(batch)
        state, taken, seen = model.init_state(2), [0, 0], [[], []]
        for turn in range(18):
            active = torch.tensor([turn % 2 == 0, True]) & torch.tensor([n < 9 for n in taken])
            at = [min(n, 8) for n in taken]
            one = batch.map(lambda t: t)  # each row's own next position
            picked = [one.positions(n, n + 1).map(lambda t, r=r: t[r : r + 1]) for r, n in enumerate(at)]
            joined = picked[0].map(lambda t: t)
            joined = StreamBatch(**{
                name: _stack(getattr(picked[0], name), getattr(picked[1], name)) for name in vars(joined)
            })  # fmt: skip
            h, state = model.hidden(joined, state, active)
            for r in range(2):
                if active[r]:
                    seen[r].append(h[r, 0])
                    taken[r] += 1
    for r in range(2):
        assert torch.allclose(torch.stack(seen[r]), whole[r], atol=1e-5)


def _stack(a: object, b: object) -> object:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.cat([a, b])
    return None if a is None else type(a)(**{k: _stack(v, getattr(b, k)) for k, v in vars(a).items()})


def test_nothing_leaks_from_the_future_or_from_other_rows_and_documents() -> None:
    model, ids = model_of(), tokens(12)
    changed = [*ids[:7], *((i + 1) % V for i in ids[7:])]
    with torch.no_grad():
        before, after = (model.hidden(batch_of([x], [tokens(4, 3)]))[0] for x in (ids, changed))
        assert torch.equal(before[0, :8], after[0, :8])
        assert not torch.allclose(before[0, 8:], after[0, 8:])
        # Positions are counted along a row: neither the batch nor its order changes them.
        both = model.hidden(batch_of([tokens(4, 3)], [ids]))[0]
        assert torch.allclose(both[1], before[0], atol=1e-6)
        packed = model.hidden(batch_of([tokens(3, 5), ids]))[0]
        other = model.hidden(batch_of([tokens(3, 6), ids]))[0]
        assert torch.equal(packed[0, 4:], other[0, 4:])


def test_relative_embeddings_are_trained_and_saved_and_end_can_be_learnt() -> None:
    model, batch = model_of(dropout=0.0), batch_of([[1, 2, 3]])
    assert "layers.0.attention.relative_embedding" in model.state_dict()
    before = model.layers[0].attention.relative_embedding.detach().clone()  # type: ignore[union-attr, operator]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        sums = head_sums(model, batch)
        optimizer.zero_grad()
        (sums.event_nats / sums.event_count).backward()
        optimizer.step()
    assert (model.layers[0].attention.relative_embedding - before).abs().max() > 1e-3  # type: ignore[union-attr, operator]
    last = model(batch)[0].event[0, 3].softmax(-1)
    assert int(last.argmax()) == V + 1
    assert int(batch.event_target[0, 3]) != NO_TARGET  # type: ignore[index]


def test_without_relative_attention_it_is_the_plain_transformer() -> None:
    model = model_of(relative=False)
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen == [f"layers.{i}.attention.relative_embedding" for i in range(2)]
    assert all(not p.any() for p in model.parameters() if not p.requires_grad)


def test_local_attention_sees_its_block_and_the_one_before() -> None:
    model, ids = model_of(layers=1, local_block=4, max_distance=8), tokens(15)
    changed = [(ids[0] + 1) % V, *ids[1:]]
    with torch.no_grad():
        before, after = (model.hidden(batch_of([x]))[0][0] for x in (ids, changed))
    moved = (before - after).abs().amax(-1) > 1e-7  # the token stands at position 1, in block 0
    assert moved.tolist() == [1 <= i < 8 for i in range(16)]


def test_sinusoids_are_the_timing_signal_of_the_transformer() -> None:
    signal = sinusoids(torch.arange(50), 8)
    assert torch.allclose(signal[:, 0], torch.arange(50.0).sin(), atol=1e-5)
    assert torch.allclose(signal[:, 7], (torch.arange(50.0) * 1e-4).cos(), atol=1e-5)
    assert signal.shape == (50, 8)


@pytest.mark.parametrize("shape", [{}, {"layers": 5, "attention_dim": 256, "ff_dim": 1024, "max_distance": 512}])
def test_an_untrained_model_knows_nothing(shape: dict[str, int]) -> None:
    # With the embedding as its head, as in the authors' code, it would bet on the last token again: 10 nats.
    spec = SequenceSpec((StreamSpec("midi", "midi", 388),), 24.0, merged=False, controls=SPEC.controls)
    torch.manual_seed(0)
    model = MusicTransformerConfig.model_validate(shape).build(spec).eval()
    ids = np.random.default_rng(0).integers(0, 388, 400).tolist()
    batch = collate([[row(ids)]], spec)
    with torch.no_grad():
        sums = head_sums(model, batch)
    assert float(sums.event_nats / sums.event_count) == pytest.approx(np.log(390), abs=0.15)


class _Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that is made."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        made = out if isinstance(out, tuple | list) else (out,)
        self.elements = max([self.elements, *(t.numel() for t in made if isinstance(t, Tensor))])
        return out


def test_no_embedding_is_kept_for_each_pair_of_positions() -> None:
    # Shaw et al. gather (L, L, W): 8.5 GB a layer at the paper's size, where skewing needs products alone.
    length, heads, width = 2048, 2, 32
    attention, x = RelativeAttention(16, heads, width, distances=1024), torch.randn(1, length, 16)
    with torch.no_grad(), _Largest() as seen:
        attention(x, None, None, None, 0)
    assert length * width <= seen.elements <= heads * length * length
    assert seen.elements < length * length * width // 8
