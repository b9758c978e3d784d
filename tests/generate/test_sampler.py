"""Generation against training: what was drawn has the likelihood that training would give it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lh_mm.core.infill import merge_infill
from lh_mm.core.merge import UNGENERATED, AudioStream, EventStream, merge
from lh_mm.core.streams import ControlSpec, Row, SequenceSpec, StreamSpec, collate
from lh_mm.data.masks import event_masks
from lh_mm.generate import sampler
from lh_mm.generate.request import Request, Result
from lh_mm.generate.sampler import Generation
from lh_mm.generate.sampling import Sampling
from lh_mm.models.frontend import FrontendConfig
from lh_mm.models.hybrid_mamba import HybridMamba, HybridMambaConfig
from lh_mm.models.likelihood import head_sums
from lh_mm.music.vocabulary import DRUM_ON, NOTE_OFF, PROGRAM, VELOCITY, EventVocabulary

VOCABULARY = EventVocabulary(velocity_bins=2)
K, C, F = 2, 6, 12
SPEC = SequenceSpec(
    (
        StreamSpec("midi", "midi", VOCABULARY.size),
        StreamSpec("midi_ctx", "midi", VOCABULARY.size),
        StreamSpec("mix", "codes", C, K),
        StreamSpec("stem", "codes", C, K),
        StreamSpec("mel", "features", dim=F),
    ),
    rate_hz=10.0,
    controls=(ControlSpec("style", ("techno", "house")),),
)
NONE = np.zeros(0, np.int64)
NO_CODES = np.zeros((0, K), np.int64)
KICK = np.array([VOCABULARY.program_id(-1), DRUM_ON + 36, VELOCITY])
NOTE = np.array([VOCABULARY.program_id(3), 60, VELOCITY + 1])
OFF = np.array([VOCABULARY.program_id(3), NOTE_OFF + 60])


class Wordy(HybridMamba):
    """Untrained, but with a taste for FRAME, END and drums (which need no off), so that slots stay short."""

    def event_logits(self, hidden: Tensor) -> Tensor:
        logits = super().event_logits(hidden)
        taste = torch.zeros(logits.shape[-1])
        taste[-2:] = torch.tensor([9.0, 8.0])
        taste[VOCABULARY.program_id(-1)] = 9.0
        return logits + taste


FORMS: dict[str, dict[str, Any]] = {
    "tables": {},
    "chained": {"codebooks": "chained"},
    "chained vectors": {"codebooks": "chained", "code_vectors": 5, "code_rows": False},
}


@pytest.fixture(scope="module", params=FORMS)
def model(request: pytest.FixtureRequest) -> HybridMamba:
    torch.manual_seed(0)
    config = HybridMambaConfig(
        pattern="M*M-", dim=32, heads=4, kv_heads=2, state_dim=8, head_dim=16,
        frontend=FrontendConfig(channels=4, width=16, layers=1), **FORMS[request.param],
    )  # fmt: skip
    made = Wordy(config, SPEC)
    with torch.no_grad():
        made.position_embedding.embedding.mul_(30)
        made.event_head.weight.mul_(10)
        if made.code_head is not None:
            made.code_head.weight.mul_(10)
        if made.code_query is not None and made.code_proj is not None:
            made.code_query.weight.normal_(std=0.3)
            made.code_proj.weight.mul_(30)
    return made.eval().requires_grad_(False)


def beat(name: str, role: Any, delay: int, num_frames: int) -> EventStream:
    """A kick in every second slot, a note over slots 1 to 3."""
    parts = [(n, KICK) for n in range(0, num_frames, 2)] + [(1, NOTE), (3, OFF)]
    parts.sort(key=lambda part: part[0])
    clocks = np.concatenate([np.full(len(tokens), n) for n, tokens in parts])
    return EventStream(name, role, delay, clocks, np.concatenate([tokens for _, tokens in parts]))


def codes_of(num_frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, C, (num_frames, K))


def to_draw(name: str, delay: int = 0) -> EventStream:
    return EventStream(name, "generated", delay, NONE, NONE)


def sound(num_frames: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((2, num_frames, F)).astype(np.float32)


MIX = AudioStream("mix", "generated", NO_CODES)
WHOLE = AudioStream("mix", "generated", codes_of(9))
HOLLOW = replace(WHOLE, codes=np.where(np.arange(9)[:, None] // 3 == 1, UNGENERATED, codes_of(9)))
REQUESTS = {
    "joint": Request((to_draw("midi", 1),), (MIX,), max_frames=40, controls={"style": "house"}),
    "joint_asked": Request((to_draw("midi", -2),), (MIX, replace(MIX, name="stem")), 7, layout="parallel"),
    "midi_only": Request((to_draw("midi"),), max_frames=40),
    "audio_only": Request(audio=(MIX,), max_frames=40),
    "midi_to_audio": Request((beat("midi", "given", -1, 9),), (MIX,), 9, is_crop=True),
    "audio_to_midi": Request(
        (to_draw("midi", 1),), (AudioStream("mix", "given", codes_of(9)),), 9, features=sound(9)
    ),
    "accompany": Request(
        (to_draw("midi"), beat("midi_ctx", "given", -1, 9)),
        (AudioStream("mix", "given", codes_of(9)), replace(MIX, name="stem")), 9, ahead=1,
        features=sound(9), feature_given=np.arange(9) % 4 > np.zeros((2, 1)),
    ),
    "infill": Request((to_draw("midi"),), (HOLLOW,), 9, holes=((3, 6),)),
    "infill_given": Request((beat("midi", "given", 0, 9),), (WHOLE,), 9, holes=((1, 3), (5, 9))),
}  # fmt: skip


def onsets_of(clocks: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Slot in which each token's note began."""
    onsets, begun, start = clocks.copy(), {}, 0
    for i, token in enumerate(ids.tolist()):
        if PROGRAM <= token < VELOCITY:
            start, program = i, token
        elif token < NOTE_OFF:
            begun[program, token] = clocks[i]
        elif token < DRUM_ON:
            onsets[start : i + 1] = begun[program, token - NOTE_OFF]
    return onsets


def training_row(request: Request, result: Result) -> Row:
    """The row that training would make of what was drawn."""
    r = request.completed(SPEC)
    events = []
    for stream in r.events:
        if stream.role == "generated":
            onsets = onsets_of(result.clocks, result.ids)
            stream = EventStream(stream.name, "generated", stream.delay, result.clocks, result.ids, onsets)
        events.append(stream)
    silence = np.full((result.num_frames, K), -1)
    audio = [replace(t, codes=result.codes.get(t.name, t.codes if len(t.codes) else silence)) for t in r.audio]
    if r.holes:
        merged = merge_infill(events, audio, result.num_frames, r.holes, layout=r.layout)
    else:
        asked = r.num_frames is not None
        merged = merge(events, audio, result.num_frames, layout=r.layout, ahead=r.ahead, length_asked=asked)
    masks = event_masks(merged, r.generated, VOCABULARY, events, r.holes)
    given = None
    if r.features is not None:
        given = np.array([t.role == "given" for t in r.audio])[:, None] & np.ones((2, result.num_frames), bool)
        given = given if r.feature_given is None else given & r.feature_given
    controls = [c.id_of(r.controls.get(c.name)) for c in SPEC.controls]
    delays = [s.delay for s in r.events]
    return Row(merged, r.roles, delays, controls, r.features, given, event_mask=masks, is_crop=r.is_crop)


@pytest.mark.parametrize("task", REQUESTS)
@pytest.mark.parametrize("seed", [2, 3])
def test_what_was_drawn_has_the_likelihood_of_training(model: HybridMamba, task: str, seed: int) -> None:
    request = replace(REQUESTS[task], seed=seed)
    result = Generation(model, [request], VOCABULARY, score=True).results()[0]
    with torch.no_grad():
        sums = head_sums(model, collate([[training_row(request, result)]], SPEC))
    nats = {"event": (float(sums.event_nats), int(sums.event_count))}
    for k in range(K):
        nats[f"code{k}"] = float(sums.code_nats[:, k].sum()), int(sums.code_count[:, k].sum())
    assert sum(count for _, count in nats.values()) > 2
    for head, (total, count) in nats.items():
        drawn, number = result.nats.get(head, (0.0, 0))
        assert number == count, head
        assert drawn == pytest.approx(total, abs=1e-2, rel=1e-4), head


def test_a_row_does_not_depend_on_the_others(model: HybridMamba) -> None:
    requests = [replace(REQUESTS[task], seed=seed) for seed, task in enumerate(sorted(REQUESTS))]
    together = Generation(model, requests, VOCABULARY, codes=Sampling(0.9, 5)).results()
    for request, beside in zip(requests, together, strict=True):
        alone = Generation(model, [request], VOCABULARY, codes=Sampling(0.9, 5)).results()[0]
        assert_same([alone], [beside])


def assert_same(some: Sequence[Result], others: Sequence[Result]) -> None:
    for a, b in zip(some, others, strict=True):
        assert a.num_frames == b.num_frames
        assert a.clocks.tolist() == b.clocks.tolist()
        assert a.ids.tolist() == b.ids.tolist()
        assert a.codes.keys() == b.codes.keys()
        assert all(np.array_equal(a.codes[name], b.codes[name]) for name in a.codes)


def test_seeds_matter(model: HybridMamba) -> None:
    results = [
        Generation(model, [replace(REQUESTS["midi_to_audio"], seed=seed)], VOCABULARY).results()[0]
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(results[0].codes["mix"], results[1].codes["mix"])
    assert not np.array_equal(results[0].codes["mix"], results[2].codes["mix"])


@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_going_on_later_equals_not_stopping(model: HybridMamba, tmp_path: Path, guidance: float) -> None:
    tasks = ["midi_to_audio", "audio_to_midi", "accompany", "infill_given"]
    requests = [replace(REQUESTS[task], seed=3) for task in tasks]

    def fresh() -> Generation:
        return Generation(model, requests, VOCABULARY, guidance=guidance, score=True)

    whole = fresh()
    for steps in range(1000):
        if steps in (0, 1, 2, 5, 11, 18):
            whole.save(tmp_path / f"{steps}")
        if not whole.step():
            break
    assert len(list(tmp_path.iterdir())) == 6
    for folder in tmp_path.iterdir():
        resumed = fresh()
        resumed.load(folder)
        assert_same(resumed.results(), whole.results())
        assert [r.nats for r in resumed.results()] == [r.nats for r in whole.results()]


def test_a_saved_generation_goes_on_only_as_the_same(model: HybridMamba, tmp_path: Path) -> None:
    path = tmp_path / "put-away"
    generation = Generation(model, [REQUESTS["midi_to_audio"]], VOCABULARY)
    generation.step()
    generation.save(path)
    generation.step()
    generation.save(path)
    assert sorted(file.name for file in path.iterdir()) == ["generation.json", "state-2.safetensors"]
    for other in (
        Generation(model, [replace(REQUESTS["midi_to_audio"], seed=9)], VOCABULARY),
        Generation(model, [REQUESTS["midi_to_audio"]], VOCABULARY, codes=Sampling(0.5)),
    ):
        with pytest.raises(ValueError, match="other requests or other settings"):
            other.load(path)


@pytest.mark.parametrize("task", ["midi_to_audio", "audio_to_midi", "accompany", "infill_given"])
def test_guidance_of_zero_is_the_model_without_a_condition(model: HybridMamba, task: str) -> None:
    """So the twin stands in the form that condition dropout trains."""
    request = replace(REQUESTS[task], seed=4)
    unled = Generation(model, [request], VOCABULARY, guidance=0.0).results()
    free = request.completed(SPEC).without_condition()
    assert_same(unled, Generation(model, [free], VOCABULARY).results())
    led = Generation(model, [request], VOCABULARY).results()
    assert any(not np.array_equal(led[0].codes[n], unled[0].codes[n]) for n in led[0].codes) or (
        led[0].ids.tolist() != unled[0].ids.tolist()
    )


def test_guidance_needs_something_to_follow(model: HybridMamba) -> None:
    with pytest.raises(ValueError, match="needs a request that gives a stream"):
        Generation(model, [REQUESTS["joint"]], VOCABULARY, guidance=2.0)


def test_a_prompt_is_kept_and_read_in_chunks(model: HybridMamba, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = beat("midi", "generated", 1, 6)
    request = Request((stream,), (AudioStream("mix", "generated", codes_of(6)),), 12, prompt=6, seed=5)
    result = Generation(model, [request], VOCABULARY).results()[0]
    assert result.clocks[: len(stream.clocks)].tolist() == stream.clocks.tolist()
    assert result.ids[: len(stream.ids)].tolist() == stream.ids.tolist()
    assert np.array_equal(result.codes["mix"][:6], codes_of(6))
    assert (result.codes["mix"] >= 0).all()
    for chunk in (1, 5):
        monkeypatch.setattr(sampler, "CHUNK", chunk)
        assert_same(Generation(model, [request], VOCABULARY).results(), [result])


def test_frames_are_told_once_complete_and_in_order(model: HybridMamba) -> None:
    requests = [REQUESTS["joint_asked"], REQUESTS["midi_to_audio"]]
    generation = Generation(model, requests, VOCABULARY)
    told: list[list[int]] = [[], []]
    for row, frame in generation:
        told[row].append(frame)
        assert (generation.rows[row].writer.codes[0, frame] >= 0).all()
    assert told == [list(range(7)), list(range(9))]
    assert generation.finished


def test_one_call_a_frame_where_notes_are_given(model: HybridMamba) -> None:
    generation, calls = Generation(model, [REQUESTS["midi_to_audio"]], VOCABULARY), 0
    while generation.step():
        calls += 1
    assert calls == 9 + K - 1  # the slot of lead is read with the first, the tail of the layout has K - 1


def test_ways_of_drawing_are_those_of_each_codebook(model: HybridMamba) -> None:
    likeliest, any_code = Sampling(temperature=0), Sampling()
    pieces = [
        Generation(
            model, [replace(REQUESTS["audio_only"], num_frames=1, seed=s)], codes=[likeliest, any_code]
        ).results()[0]
        for s in range(6)
    ]
    assert len({int(p.codes["mix"][0, 0]) for p in pieces}) == 1
    assert len({int(p.codes["mix"][0, 1]) for p in pieces}) > 1
    with pytest.raises(ValueError, match="drawn in 1 or 2 ways, got 3"):
        Generation(model, [REQUESTS["audio_only"]], codes=[any_code] * 3)


def test_sequences_with_their_own_time_are_refused() -> None:
    spec = SequenceSpec((StreamSpec("remi", "midi", 30),), rate_hz=24.0, merged=False)
    unmerged = HybridMambaConfig(pattern="M", dim=16, heads=2, state_dim=4, head_dim=8).build(spec)
    with pytest.raises(ValueError, match="ask it with a TokenRequest"):
        Generation(unmerged, [Request((EventStream("remi", "generated", 0, NONE, NONE),))])
