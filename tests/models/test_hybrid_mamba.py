"""The hybrid's equivalences: whole, parts, steps, packed, padded, bfloat16; and what must not leak."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lh_mm.core.infill import merge_infill
from lh_mm.core.merge import AudioStream, EventStream, Kind, Merged, merge
from lh_mm.core.streams import ControlSpec, Row, SequenceSpec, StreamBatch, StreamSpec, collate
from lh_mm.models.base import SequenceModel, state_from_tensors, state_tensors
from lh_mm.models.frontend import FrontendConfig
from lh_mm.models.hybrid_mamba import HybridMamba, HybridMambaConfig
from lh_mm.models.likelihood import head_sums
from lh_mm.nn.groups import parameter_groups
from lh_mm.nn.linear import pack_for_steps

V, K, C, F = 11, 2, 7, 20
SPEC = SequenceSpec(
    (
        StreamSpec("midi", "midi", V),
        StreamSpec("context", "midi", V),
        StreamSpec("mix", "codes", C, K),
        StreamSpec("mel", "features", dim=F),
    ),
    rate_hz=10.0,
    controls=(ControlSpec("style", ("techno", "house")),),
)
SILENT = dataclasses.replace(SPEC, streams=SPEC.streams[:3])
PATTERNS = ("M-M-*-M-", "*-*-", "M-M", "3-R*m-")
FRONTEND = FrontendConfig(channels=4, width=16, layers=1)


def model_of(spec: SequenceSpec = SPEC, **changes: Any) -> HybridMamba:
    torch.manual_seed(0)
    values: dict[str, Any] = {"dim": 32, "heads": 4, "kv_heads": 2, "state_dim": 8, "head_dim": 16}
    model = HybridMambaConfig(**{**values, "pattern": PATTERNS[0], "frontend": FRONTEND, **changes}).build(spec)
    with torch.no_grad():  # embeddings and heads large enough that nothing hides behind small numbers
        model.position_embedding.embedding.mul_(30)
        model.header_embedding.embedding.mul_(30)
    return model.eval()


def piece(rng: np.random.Generator, num_frames: int, num_events: int) -> Merged:
    def stream(name: str, role: Any, count: int, delay: int) -> EventStream:
        clocks = np.sort(rng.integers(0, num_frames, count))
        return EventStream(name, role, delay, clocks, rng.integers(0, V, count))

    events = [stream("midi", "generated", num_events, 1), stream("context", "given", num_events // 2, -1)]
    audio = [AudioStream("mix", "generated", rng.integers(0, C, (num_frames, K)))]
    return merge(events, audio, num_frames)


def row(rng: np.random.Generator, num_frames: int, sound: bool = True) -> Row:
    merged = piece(rng, num_frames, num_events=9)
    if not sound:
        return Row(merged, ["generated", "given", "generated"], [0, 0], [1])
    # The sound of a given track; here it is shown beside the generated codes, which the model need not know.
    merged = dataclasses.replace(merged, frame=np.where(merged.kind == Kind.FRAME, merged.slot, -1))
    merged = dataclasses.replace(merged, frame=np.where(merged.frame < num_frames, merged.frame, -1))
    heard = rng.random((1, num_frames)) < 0.8
    features = rng.standard_normal((1, num_frames, F)).astype(np.float32)
    return Row(merged, ["generated", "given", "generated"], [0, 0], [1], features, heard)


def batch_of(sizes: Sequence[Sequence[int]] = ((12,), (9,)), seed: int = 0, spec: SequenceSpec = SPEC) -> StreamBatch:
    rng = np.random.default_rng(seed)
    sound = spec.feature_dim > 0
    return collate([[row(rng, size, sound) for size in sizes_of_row] for sizes_of_row in sizes], spec)


def without_sound(batch: StreamBatch) -> StreamBatch:
    return dataclasses.replace(batch, features=None, feature_given=None, feature_document=None, feature_index=None)


def real(batch: StreamBatch) -> Tensor:
    return batch.kind != Kind.PAD


def in_parts(model: HybridMamba, batch: StreamBatch, cuts: Sequence[int], **options: Any) -> Tensor:
    state, parts = model.init_state(batch.shape[0], **options), []
    for start, end in zip((0, *cuts), (*cuts, batch.shape[1]), strict=True):
        h, state = model.hidden(batch.positions(start, end), state)
        parts.append(h)
    return torch.cat(parts, dim=1)


def test_honours_the_protocol() -> None:
    model = model_of()
    assert isinstance(model, SequenceModel)
    batch = batch_of()
    logits, state = model(batch)
    assert state is None
    assert logits.event.shape == (*batch.shape, V + 2)
    assert logits.codes is not None
    assert logits.codes.shape == (*batch.shape, 1, K, C)
    assert model.num_parameters() == sum(p.numel() for p in model.parameters())


@settings(max_examples=25, derandomize=True, deadline=None)
@given(
    pattern=st.sampled_from(PATTERNS),
    window=st.sampled_from([None, 1, 5, 100]),
    sizes=st.sampled_from([((12,), (9,)), ((5, 7), (3, 2, 8)), ((17,),)]),
    time_aware=st.sampled_from([None, 2.0]),
    max_length=st.sampled_from([None, 3, 80]),
    cuts=st.sets(st.integers(1, 25), max_size=8),
    gradients=st.booleans(),
)
def test_parts_with_the_state_handed_on_are_the_whole(
    pattern: str, window: int | None, sizes: Any, time_aware: float | None, max_length: int | None,
    cuts: set[int], gradients: bool,
) -> None:  # fmt: skip
    model, batch = model_of(pattern=pattern, window=window, time_aware=time_aware), batch_of(sizes)
    cuts = {cut for cut in cuts if cut < batch.shape[1]}
    with torch.set_grad_enabled(gradients):
        whole, _ = model.hidden(batch)
        parts = in_parts(model, batch, sorted(cuts), max_length=max_length)
    assert torch.allclose(parts[real(batch)], whole[real(batch)], atol=1e-4)


@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize("sizes", [((12,), (9,)), ((5, 7), (3, 2, 8))])
def test_step_by_step_is_the_whole(window: int | None, sizes: Any) -> None:
    model, batch = model_of(window=window), batch_of(sizes)
    with torch.no_grad():
        whole, _ = model(batch)
        state = model.init_state(2)
        for i in range(batch.shape[1]):
            logits, state = model.step(batch.positions(i, i + 1), state)
            there = real(batch)[:, i]
            assert torch.allclose(logits.event[there, 0], whole.event[there, i], atol=1e-4)
            assert logits.codes is not None
            assert whole.codes is not None
            assert torch.allclose(logits.codes[there, 0], whole.codes[there, i], atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="compiling for the CPU needs a C++ compiler")
@pytest.mark.parametrize("window", [None, 4])
def test_compiled_steps_are_the_steps(window: int | None) -> None:
    """Rows side by side, a row that rests, a cache that grows or is a ring; packed weights on both sides."""
    model, batch = model_of(window=window).requires_grad_(False), without_sound(batch_of(((24,), (24,))))
    model.half().float()
    active = torch.tensor([True, False])
    pack_for_steps(model)
    outputs = []
    for compiled in (False, True):
        if compiled:
            model.compile_steps()
        with torch.inference_mode():
            _, state = model.hidden(batch.positions(0, 3), model.init_state(2, max_length=5))
            steps = []
            for i in range(3, batch.shape[1]):
                resting = active if i in (9, 10, 20) else None
                h, state = model.hidden(batch.positions(i, i + 1), state, resting)
                steps.append(h if resting is None else h[:1])
            outputs.append(steps)
    for plain, fast in zip(*outputs, strict=True):
        assert torch.allclose(plain, fast, atol=1e-4)


def test_an_entry_alone_has_the_logits_it_has_among_all() -> None:
    for codebooks in ("independent", "chained"):
        model = model_of(codebooks=codebooks, code_vectors=8)
        torch.nn.init.normal_(model.code_query.weight)  # type: ignore[union-attr, arg-type]
        hidden, drawn = torch.randn(2, 32), torch.randint(0, C, (2, 1, K))
        told = (drawn,) if codebooks == "chained" else (None,)
        whole = model.code_logits(hidden, *told)
        alone = [model.code_logits(hidden, *told, entry) for entry in range(K)]
        assert torch.allclose(torch.stack(alone, 1), whole[:, 0], atol=1e-5)


def test_a_window_holds_after_its_cache_has_grown() -> None:
    model, batch = model_of(window=6), without_sound(batch_of(((16,), (16,))))
    with torch.no_grad():
        whole, _ = model.hidden(batch)
        for slots in (3, 5, 9):
            stepped = in_parts(model, batch, range(1, batch.shape[1]), max_length=slots)
            assert torch.allclose(stepped[real(batch)], whole[real(batch)], atol=1e-4)


def test_gradients_pass_through_a_carried_state() -> None:
    model, batch = model_of(), batch_of()
    grads = []
    for cuts in ((), (7, 8, 20)):
        model.zero_grad()
        h = in_parts(model, batch, cuts)
        (h[real(batch)] * torch.arange(h[real(batch)].numel()).view(-1, 32).sin()).sum().backward()
        grads.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    for name, grad in grads[0].items():
        assert torch.allclose(grads[1][name], grad, atol=1e-3 * float(grad.abs().max()) + 1e-5), name


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("window", [None, 4])
def test_rows_may_advance_by_different_lengths(pattern: str, window: int | None) -> None:
    """Each call takes 0 to 4 positions of each row, padded on the right; the end is that of each row alone."""
    model, batch = model_of(pattern=pattern, window=window), without_sound(batch_of(((12,), (14,))))
    lengths = real(batch).sum(1).tolist()
    rng = np.random.default_rng(1)
    with torch.no_grad():
        whole, _ = model.hidden(batch)
        state, at = model.init_state(2, max_length=4), [0, 0]
        while at != lengths:
            takes = [int(min(rng.integers(0, 5), n - a)) for a, n in zip(at, lengths, strict=True)]
            if not any(takes):
                continue
            h, state = model.hidden(padded_call(batch, at, takes), state)
            for b, (a, take) in enumerate(zip(at, takes, strict=True)):
                assert torch.allclose(h[b, :take], whole[b, a : a + take], atol=1e-4)
            at = [a + take for a, take in zip(at, takes, strict=True)]
        assert state.index.tolist() == lengths


def padded_call(batch: StreamBatch, at: Sequence[int], takes: Sequence[int]) -> StreamBatch:
    """Row b's positions at[b] .. at[b] + takes[b], padded on the right with noise of kind PAD."""
    index = torch.tensor([[min(a + i, batch.shape[1] - 1) for i in range(max(takes))] for a in at])
    rows = torch.arange(len(at)).unsqueeze(1)
    names = ("kind", "slot", "clock", "event_id", "stream", "codes", "hole", "document")
    parts = {name: getattr(batch, name)[rows, index] for name in names}
    pad = torch.arange(max(takes)) >= torch.tensor(takes).unsqueeze(1)
    parts["kind"] = torch.where(pad, int(Kind.PAD), parts["kind"])
    return dataclasses.replace(batch, **parts)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("length", [1, 3])
def test_inactive_rows_keep_their_state_bit_for_bit(pattern: str, window: int | None, length: int) -> None:
    model, batch = model_of(pattern=pattern, window=window), without_sound(batch_of(((12,), (12,))))
    with torch.no_grad():
        _, state = model.hidden(batch.positions(0, 7), model.init_state(2, max_length=30))
        before = {k: v.clone() for k, v in state_tensors(state).items()}
        logits, after = model.step(batch.positions(7, 7 + length), state, torch.tensor([True, False]))
        assert torch.isfinite(logits.event).all()
        assert after.index.tolist() == [7 + length, 7]
        for name, value in state_tensors(after).items():
            if value.dim():
                now, then = value[1], before[name][1]
                if name.startswith(".keys"):  # slot 0 of a cache is where nothing is kept
                    now, then = now[1:], then[1:]
                elif name.endswith((".keys", ".values")):
                    now, then = now[:, 1:], then[:, 1:]
                assert torch.equal(now, then), name
        # Both rows go on as if the other had not been there.
        rest, _ = model.hidden(batch.positions(7, 8), after, torch.tensor([False, True]))
        whole, _ = model.hidden(batch)
        assert torch.allclose(rest[1, 0], whole[1, 7], atol=1e-4)


def test_a_row_may_be_inactive_from_the_first_position_on() -> None:
    model, batch = model_of(), without_sound(batch_of(((12,), (12,))))
    with torch.no_grad():
        whole, _ = model.hidden(batch)
        state = model.init_state(2)
        h, state = model.hidden(batch.positions(0, 1), state, torch.tensor([True, False]))
        assert torch.isfinite(h).all()
        h, state = model.hidden(batch.positions(0, 5), state, torch.tensor([False, True]))
        assert torch.allclose(h[1], whole[1, :5], atol=1e-4)
        h, state = model.hidden(batch.positions(1, 2), state, torch.tensor([True, False]))
        assert torch.allclose(h[0, 0], whole[0, 1], atol=1e-4)


def test_a_saved_state_is_the_state() -> None:
    model, batch = model_of(), batch_of()
    with torch.no_grad():
        _, state = model.hidden(batch.positions(0, 10), model.init_state(2))
        saved = {name: value.clone() for name, value in state_tensors(state).items()}
        loaded = state_from_tensors(model.init_state(2), saved)
        expected, _ = model.hidden(batch.positions(10, 14), state)
        again, _ = model.hidden(batch.positions(10, 14), loaded)
        assert torch.equal(again, expected)
        with pytest.raises(ValueError, match="another model"):
            state_from_tensors(model_of(pattern="M*M*").init_state(2), saved)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("window", [None, 4])
def test_packed_documents_are_the_documents_alone(pattern: str, window: int | None) -> None:
    model = model_of(pattern=pattern, window=window, time_aware=3.0)
    rows = [row(np.random.default_rng(seed), size) for seed, size in enumerate((6, 9, 4))]
    packed = collate([rows], SPEC)
    with torch.no_grad():
        together, _ = model.hidden(packed)
        alone = [model.hidden(collate([[r]], SPEC))[0][0] for r in rows]
    assert torch.allclose(together[0], torch.cat(alone), atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_packed_documents_leak_no_gradient(pattern: str) -> None:
    model = model_of(pattern=pattern)
    batch = batch_of(((6, 9),))
    assert batch.features is not None
    batch = dataclasses.replace(batch, features=batch.features.clone().requires_grad_())
    inputs: list[Tensor] = []
    model.position_embedding.register_forward_hook(lambda *args: inputs.append(args[2]))
    model.position_embedding.embedding.requires_grad_()
    h, _ = model.hidden(batch)
    second = batch.document[0] == 1
    grads = torch.autograd.grad(h[0, second].square().sum(), [inputs[0], batch.features])  # type: ignore[list-item]
    # Sums of decays run through a chunk, so what cancels leaves a rounding error behind.
    assert grads[0][0, ~second].abs().max() < 1e-6 * grads[0][0, second].abs().max()
    assert grads[0][0, second].abs().amax(-1).min() > 0
    assert batch.feature_document is not None
    first = batch.feature_document[0] == 0
    assert grads[1][0, :, first].abs().max() < 1e-6 * grads[1][0, :, ~first].abs().max()


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("field", ["event_id", "codes", "features", "stream", "clock", "slot"])
def test_nothing_is_heard_before_its_time(pattern: str, field: str) -> None:
    """Random changes from a position on alter nothing before it (a sum over positions would hide them)."""
    model, batch = model_of(pattern=pattern, time_aware=2.0), batch_of(((14,),))
    rng = np.random.default_rng(2)
    with torch.no_grad():
        before, _ = model.hidden(batch)
        for cut in (3, 11, 20):
            value = getattr(batch, field).clone()
            if field == "features":
                assert batch.feature_index is not None
                frames = batch.feature_index[0, :cut].max() + 1  # those shown before the cut
                value[:, :, frames:] = torch.from_numpy(rng.standard_normal(value[:, :, frames:].shape)).float()
            elif field in ("clock", "slot"):
                value[:, cut:] += torch.from_numpy(rng.integers(1, 9, value[:, cut:].shape))
            else:
                size = {"event_id": V, "codes": C, "stream": 2}[field]
                new = torch.from_numpy(rng.integers(0, size, value[:, cut:].shape))
                value[:, cut:] = torch.where(value[:, cut:] >= 0, new, value[:, cut:])
            after, _ = model.hidden(dataclasses.replace(batch, **{field: value}))
            assert torch.allclose(after[:, :cut], before[:, :cut], atol=1e-5)
            if not (field == "slot" and "M" not in pattern) and not (field == "clock" and "*" not in pattern):
                assert not torch.allclose(after[:, cut:], before[:, cut:], atol=1e-4)


def test_padding_changes_nothing() -> None:
    model = model_of()
    rng = np.random.default_rng(3)
    short, long = row(rng, 7), row(rng, 16)
    with torch.no_grad():
        alone, _ = model.hidden(collate([[short]], SPEC))
        beside, _ = model.hidden(collate([[long], [short]], SPEC))
    assert torch.allclose(beside[1, : alone.shape[1]], alone[0], atol=1e-4)


def test_what_a_hole_holds_changes_no_logit_of_the_main_part() -> None:
    model = model_of(spec=SILENT)
    outputs = []
    for seed in (1, 2):
        rng = np.random.default_rng(0)  # the same piece ...
        clocks, ids, codes = np.sort(rng.integers(0, 12, 10)), rng.integers(0, V, 10), rng.integers(0, C, (12, K))
        other = np.random.default_rng(seed)  # ... but for the hole
        inside = (clocks >= 4) & (clocks < 9)
        ids[inside], codes[4:9] = other.integers(0, V, inside.sum()), other.integers(0, C, (5, K))
        events = [EventStream("midi", "generated", 0, clocks, ids)]
        context = EventStream("context", "absent", 0, clocks[:0], ids[:0])
        merged = merge_infill([*events, context], [AudioStream("mix", "generated", codes)], 12, [(4, 9)])
        fill = int(np.flatnonzero(merged.kind == Kind.FILL)[0])
        batch = collate([[Row(merged, ["generated", "absent", "generated"], [0, 0], [0])]], SILENT)
        with torch.no_grad():
            logits, _ = model(batch)
        assert logits.codes is not None
        outputs.append((logits.event[0], logits.codes[0], fill))
    (event, code, fill), (other_event, other_code, other_fill) = outputs
    assert fill == other_fill
    assert torch.equal(event[: fill + 1], other_event[: fill + 1])
    assert torch.equal(code[: fill + 1], other_code[: fill + 1])
    assert not torch.equal(event[fill + 1 :], other_event[fill + 1 :])


@pytest.mark.parametrize("what", ["roles", "delays", "length", "is_crop", "controls"])
def test_the_header_is_heard(what: str) -> None:
    model, batch = model_of(spec=SILENT), batch_of(((6, 5),), spec=SILENT)
    value = getattr(batch.header, what).clone()
    value[0, 1] = value[0, 1] + 1 if what != "roles" else (value[0, 1] + 1) % 3
    changed = dataclasses.replace(batch, header=dataclasses.replace(batch.header, **{what: value}))
    with torch.no_grad():
        before, after = model.hidden(batch)[0], model.hidden(changed)[0]
    second = batch.document[0] == 1
    assert torch.equal(before[0, ~second], after[0, ~second])
    assert not torch.allclose(before[0, second][0], after[0, second][0])


def test_a_frame_without_codes_is_seen() -> None:
    model, batch = model_of(spec=SILENT), batch_of(((6,),), spec=SILENT)
    empty = dataclasses.replace(batch, codes=torch.full_like(batch.codes, -1))
    with torch.no_grad():
        x, _ = model._embed(empty, None)
    frames = batch.kind[0] == Kind.FRAME
    assert x[0, frames].abs().amax(-1).min() > 0


def test_starts_near_the_uniform_distribution() -> None:
    spec = dataclasses.replace(SPEC, streams=(StreamSpec("midi", "midi", 500), StreamSpec("mix", "codes", 1024, 4)))
    torch.manual_seed(0)
    model = HybridMambaConfig(dim=128, pattern="M-M-*-M-").build(spec)
    rng = np.random.default_rng(0)
    clocks = np.sort(rng.integers(0, 40, 60))
    events = [EventStream("midi", "generated", 0, clocks, rng.integers(0, 500, 60))]
    merged = merge(events, [AudioStream("mix", "generated", rng.integers(0, 1024, (40, 4)))], 40)
    with torch.no_grad():
        sums = head_sums(model, collate([[Row(merged, ["generated", "generated"], [0], [0])]], spec))
    assert float(sums.event_nats / sums.event_count) == pytest.approx(np.log(502), abs=0.2)
    assert (sums.code_nats / sums.code_count).mean().item() == pytest.approx(np.log(1024), abs=0.2)


def test_bfloat16_is_close_and_its_state_carries() -> None:
    model, batch = model_of(), batch_of()
    with torch.no_grad():
        whole, _ = model.hidden(batch)
        with torch.autocast("cpu", torch.bfloat16):
            half, _ = model.hidden(batch)
            parts = in_parts(model, batch, (5, 6, 7, 15))
    scale = whole[real(batch)].std()
    assert half.dtype == torch.float32  # the residual stream
    assert (half - whole)[real(batch)].std() < 0.03 * scale
    assert (parts - whole)[real(batch)].std() < 0.03 * scale


def test_float64_gradients_are_right() -> None:
    model = model_of(spec=SILENT, pattern="M*-", dim=16, heads=2, kv_heads=1, state_dim=4, head_dim=8).double()
    batch = batch_of(((4,),), spec=SILENT)
    names = ("layers.0.A_log", "layers.0.dt_bias", "layers.0.conv.conv_weight", "norms.1.weight")
    parameters = dict(model.named_parameters())

    def loss(*values: Tensor) -> Tensor:
        changed = {**parameters, **dict(zip(names, values, strict=True))}
        h, _ = torch.func.functional_call(model, changed, (batch,))
        return h.event.sin().sum() + h.codes.cos().sum()

    leaves = [parameters[name].detach().clone().requires_grad_() for name in names]
    # Angles and norms are float32 inside; the rest is float64.
    assert torch.autograd.gradcheck(loss, leaves, eps=1e-6, atol=1e-4)


def test_unmerged_sequences_need_no_frames() -> None:
    spec = SequenceSpec((StreamSpec("remi", "midi", 300),), rate_hz=24.0, merged=False)
    model = model_of(spec=spec)
    length, rng = 20, np.random.default_rng(0)
    kind = np.array([Kind.BOS] + [Kind.EVENT] * (length - 1), np.int8)
    clock = np.concatenate([[0], np.sort(rng.integers(0, 50, length - 1))])
    ids = np.concatenate([[-1], rng.integers(0, 300, length - 1)])
    nothing = np.full((length, 0, 0), -1)
    merged = Merged(
        kind, clock, clock, ids, np.where(ids < 0, -1, 0), nothing, np.full(length, -1), np.append(ids[1:], -1),
        nothing, np.zeros(length, np.int8), np.zeros(length, np.int64), 50, 0, 49, False, True,
    )  # fmt: skip
    batch = collate([[Row(merged, ["generated"], [0])]], spec)
    logits, _ = model(batch)
    assert logits.codes is None
    with torch.no_grad():
        assert torch.allclose(in_parts(model, batch, (3, 4, 11)), model.hidden(batch)[0], atol=1e-4)
    with pytest.raises(ValueError, match="no codes"):
        model.code_logits(torch.zeros(1, 32))


def test_every_parameter_is_in_one_group_and_learns() -> None:
    model, batch = model_of(dropout=0.1).train(), batch_of()
    groups = parameter_groups(model, 0.1)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    sums = head_sums(model, batch)
    (sums.event_nats + sums.code_nats.sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_operations_are_counted() -> None:
    model = model_of(pattern="M*-")
    linears = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    sound = model.frontend
    assert sound is not None
    linears -= sum(m.weight.numel() for m in sound.modules() if isinstance(m, torch.nn.Linear))
    assert model.flops_per_position(1) >= 2 * linears
    assert model.flops_per_position(1000) > model.flops_per_position(100)
    windowed = model_of(pattern="M*-", window=10)
    assert windowed.flops_per_position(1000) == windowed.flops_per_position(100)


def test_pattern_is_checked() -> None:
    with pytest.raises(ValueError, match="pattern should be made of"):
        HybridMambaConfig(pattern="MX")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_layers_that_are_computed_again_have_the_same_gradients(pattern: str) -> None:
    model = model_of(pattern=pattern, dropout=0.2).train()
    found = []
    for recompute in (False, True):
        model.recompute = recompute
        model.zero_grad()
        torch.manual_seed(3)
        sums = head_sums(model, batch_of(((7, 5), (9,))))
        (sums.event_nats + sums.code_nats.sum()).backward()
        found.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
