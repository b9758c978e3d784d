"""Attention against its definition, norms, sums of embeddings, parameter groups, memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from lh_mm.nn.attention import Attention, AttentionState, KeyMap, look_up
from lh_mm.nn.embedding import SumEmbedding
from lh_mm.nn.groups import parameter_groups
from lh_mm.nn.mamba2 import Mamba2
from lh_mm.nn.norm import RMSNorm
from lh_mm.nn.positions import Positions
from lh_mm.nn.rotary import Rotary, rotate


def positions(length: int, document: torch.Tensor | None = None, start: int = 0) -> Positions:
    index = (start + torch.arange(length)).expand(2, length)
    return Positions(index, document=document, rotary=Rotary(8, 0.5, 75.0)(index // 2, index))


def by_definition(layer: Attention, x: torch.Tensor, where: Positions, window: int | None) -> torch.Tensor:
    """One head and one query after another."""
    assert where.rotary is not None
    rows, length, _ = x.shape
    split = [layer.heads, layer.kv_heads, layer.kv_heads]
    q, k, v = layer.in_proj(x).view(rows, length, -1, layer.head_dim).split(split, dim=2)
    q, k = rotate(q, *where.rotary), rotate(k, *where.rotary)
    out = torch.zeros_like(q)
    for b in range(rows):
        for i in range(length):
            seen = [
                j
                for j in range(i + 1)
                if (window is None or i - j < window)
                and (where.document is None or where.document[b, i] == where.document[b, j])
            ]
            for h in range(layer.heads):
                g = h // (layer.heads // layer.kv_heads)
                weights = torch.softmax((k[b, seen, g] @ q[b, i, h]) / layer.head_dim**0.5, 0)
                out[b, i, h] = weights @ v[b, seen, g]
    return layer.out_proj(out.flatten(2))


@pytest.mark.parametrize("window", [None, 1, 4])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("packed", [False, True])
def test_attention_is_its_definition(window: int | None, kv_heads: int, packed: bool) -> None:
    torch.manual_seed(0)
    layer, x = Attention(32, 4, kv_heads), torch.randn(2, 9, 32)
    document = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 2], [0, 1, 1, 1, 1, 1, 1, 1, 1]]) if packed else None
    where = positions(9, document)
    lookup, _ = look_up(where, None, window)
    out, _ = layer(x, where, lookup)
    assert torch.allclose(out, by_definition(layer, x, where, window), atol=1e-5)


@pytest.mark.parametrize("window", [None, 3, 4])
@pytest.mark.parametrize("with_gradients", [False, True])
def test_the_cache_is_the_whole(window: int | None, with_gradients: bool) -> None:
    torch.manual_seed(0)
    layer, x = Attention(32, 4, 2), torch.randn(2, 14, 32)
    slots = window or 2  # a full cache grows
    keys = KeyMap.empty(2, slots, window is not None, "cpu")
    state = layer.init_state(2, slots, "cpu", torch.float32)
    expected, _ = layer(x, positions(14), look_up(positions(14), None, window)[0])
    parts, at = [], 0
    with torch.set_grad_enabled(with_gradients):
        for length in (1, 1, 5, 1, 2, 1, 1, 1, 1):
            where = positions(length, start=at)
            keys = keys.grown(length)
            state = Attention.grown(state, keys)
            lookup, after = look_up(where, keys, window)
            out, new = layer(x[:, at : at + length], where, lookup, state)
            assert after is not None
            assert isinstance(new, AttentionState)
            parts.append(out)
            keys, state, at = after, new, at + length
    assert torch.allclose(torch.cat(parts, 1), expected, atol=1e-5)
    if window is not None:
        assert state.keys.shape[2] == 1 + window


def test_attention_refuses_what_does_not_divide() -> None:
    with pytest.raises(ValueError, match="heads should divide dim"):
        Attention(30, 4, 2)
    with pytest.raises(ValueError, match="kv_heads should divide heads"):
        Attention(32, 4, 3)


def test_norm_takes_its_mean_in_float32() -> None:
    norm = RMSNorm(4)
    big = torch.tensor([[300.0, -300.0, 300.0, 300.0]], dtype=torch.float16)  # its square is infinite in float16
    assert torch.allclose(norm(big).float(), torch.tensor([[1.0, -1.0, 1.0, 1.0]]), atol=1e-3)
    x, gate = torch.randn(2, 4), torch.randn(2, 4)
    assert torch.allclose(norm(x, gate=gate), norm(x * F.silu(gate)))


def test_sums_of_embeddings_skip_what_is_absent() -> None:
    table = SumEmbedding([3, 0, 2], 5)
    out = table(torch.tensor([[2, -1, 1], [-1, -1, -1], [0, -1, -1]]))
    rows = table.embedding
    assert torch.allclose(out[0], rows[1 + 2] + rows[1 + 3 + 1])
    assert torch.equal(out[1], torch.zeros(5))
    assert torch.allclose(out[2], rows[1])
    out.sum().backward()
    assert rows.grad is not None
    assert rows.grad[0].abs().max() == 0  # absent entries are never learned


def test_only_matrices_decay() -> None:
    model = torch.nn.ModuleDict(
        {
            "mixer": Mamba2(16, 8, 8),
            "attention": Attention(16, 2, 1),
            "table": SumEmbedding([3], 16),
            "embedding": torch.nn.Embedding(3, 16),
            "convolution": torch.nn.Conv1d(4, 4, 3),
            "head": torch.nn.Linear(16, 4),
        }
    )
    decayed, kept = parameter_groups(model, 0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert {names[id(p)] for p in decayed["params"]} == {
        "mixer.in_proj.weight", "mixer.out_proj.weight", "attention.in_proj.weight", "attention.out_proj.weight",
        "head.weight",
    }  # fmt: skip
    assert {names[id(p)] for p in kept["params"]} == set(names.values()) - {names[id(p)] for p in decayed["params"]}


def test_mamba_starts_where_the_paper_does_and_survives_a_reset() -> None:
    torch.manual_seed(0)
    mixer = Mamba2(64, 16, 2)
    for _ in range(2):
        rate, dt = mixer.A_log.exp(), F.softplus(mixer.dt_bias)
        assert 1 <= rate.min() < 4 < 12 < rate.max() <= 16
        assert 1e-3 * 0.999 <= dt.min() < 5e-3 < 5e-2 < dt.max() <= 0.1 * 1.001
        assert torch.equal(mixer.D, torch.ones_like(mixer.D))
        mixer.apply(lambda m: m.reset_parameters() if hasattr(m, "reset_parameters") else None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's setting")
def test_keep_memory_asks_glibc() -> None:
    program = "from lh_mm.nn.allocator import keep_memory; print(keep_memory())"  # it counts for a whole process
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("True", "False")


def test_a_cache_grows_in_place_and_keeps_what_it_had() -> None:
    from lh_mm.nn.cache import FIRST_ROOM, appended

    parts = [torch.randn(2, 3, n, 4) for n in (1, 5, FIRST_ROOM, 1)]
    buffer, count, rooms = torch.zeros(2, 3, 0, 4), 0, []
    with torch.no_grad():
        for i, part in enumerate(parts):
            before = buffer
            buffer = appended(buffer, part, count)
            count += part.shape[2]
            rooms.append(buffer.shape[2])
            assert torch.equal(buffer[:, :, :count], torch.cat(parts[: i + 1], 2))
            assert (buffer is before) == (before.shape[2] >= count)
    assert rooms == [FIRST_ROOM, FIRST_ROOM, 2 * FIRST_ROOM, 2 * FIRST_ROOM]
    leaf = torch.randn(1, 1, 2, 4, requires_grad=True)
    assert appended(torch.zeros(1, 1, 8, 4), leaf, 0).requires_grad
