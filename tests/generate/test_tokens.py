"""Tokens drawn by models that know time tokens alone: likelihoods of training, prompts, ends, batches, going on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.core.streams import ControlSpec, SequenceSpec, StreamSpec, collate
from lh_mm.data.note_rows import row_of_tokens
from lh_mm.generate.request import Request, Result
from lh_mm.generate.sampler import Generation
from lh_mm.generate.sampling import Sampling
from lh_mm.generate.tokens import TokenRequest
from lh_mm.models.hf import HfConfig
from lh_mm.models.hybrid_mamba import HybridMambaConfig
from lh_mm.models.likelihood import head_sums
from lh_mm.models.musenet import MusenetModelConfig
from lh_mm.models.music_transformer import MusicTransformerConfig
from lh_mm.music.bars import BarTrack, Window
from lh_mm.music.chorale import Chorale
from lh_mm.music.miditok_tokens import MidiTok
from lh_mm.music.mmm import FILL_END, FILL_IN, FILL_START, FIRST, PIECE_START, TRACK_START, Mmm, told_ids
from lh_mm.music.mmm_limits import Limits
from lh_mm.music.musenet import Musenet
from lh_mm.music.performance import TIME_SHIFT, Performance
from lh_mm.music.remi import Remi
from lh_mm.music.token_grammar import grammar_of
from lh_mm.music.tokens import structure_of

TOKENIZERS: dict[str, Any] = {
    "performance": Performance(), "musenet": Musenet(), "remi": Remi((0, -1)), "chorale": Chorale(2), "mmm": Mmm(),
    "miditok": MidiTok("TSD", (0, -1)),
}  # fmt: skip
CONFIGS: dict[str, Any] = {
    "hybrid": HybridMambaConfig(pattern="M*-", dim=32, heads=2, kv_heads=1, state_dim=8, head_dim=16, mlp_ratio=2),
    "music_transformer": MusicTransformerConfig(layers=1, dim=32, heads=2, attention_dim=32, ff_dim=32, dropout=0),
    "musenet": MusenetModelConfig(layers=1, dim=32, heads=2, max_positions=400, dropout=0),
    "hf": HfConfig(shape={"n_layer": 1, "n_head": 2, "n_embd": 32, "n_positions": 400}, dropout=0),
}


def spec_of(tokenizer: Any) -> SequenceSpec:
    controls = (ControlSpec("style", ("techno", "house")),)
    return SequenceSpec((StreamSpec("midi", "midi", tokenizer.size),), 40.0, merged=False, controls=controls)


def model_of(kind: str, tokenizer: Any) -> Any:
    torch.manual_seed(0)
    model = CONFIGS[kind].build(spec_of(tokenizer)).eval()
    model.init_state(1)  # every parameter is there
    return model


def drawn(model: Any, tokenizer: Any, *requests: TokenRequest, score: bool = True) -> list[Result]:
    return Generation(model, requests, tokenizer, events=Sampling(), score=score).results()


def likelihood(model: Any, tokenizer: Any, result: Result, mask: bool) -> float:
    """Nats that training gives to a whole piece of tokens, END included, on clocks worked out anew."""
    grammar, clocks = grammar_of(tokenizer), []
    for token in result.ids.tolist():
        grammar.push(token)
        clocks.append(int(np.floor(grammar.seconds(TempoMap.constant(120.0)) * 40.0 + 1e-6)))
    legal: NDArray[np.bool_] | None = tokenizer.legal(result.ids, is_start=True) if mask else None
    row = row_of_tokens(
        result.ids, np.array(clocks), first=0, ends=True, is_start=True, controls=[1], legal=legal
    )  # fmt: skip
    sums = head_sums(model, collate([[row]], spec_of(tokenizer)))
    assert int(sums.event_count) == len(result.ids) + 1
    return float(sums.event_nats)


@pytest.mark.parametrize("model_kind", CONFIGS)
@pytest.mark.parametrize("kind", ["performance", "remi", "musenet", "chorale", "miditok"])
def test_what_is_drawn_has_the_likelihood_of_training(model_kind: str, kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    model = model_of(model_kind, tokenizer)
    taste = torch.zeros(tokenizer.size + 2)
    taste[-1] = np.log(tokenizer.size / 30)  # an end that comes
    plain = model.event_logits
    model.event_logits = lambda hidden: plain(hidden) + taste
    asked = [TokenRequest(controls={"style": "techno"}, max_tokens=200, seed=seed) for seed in range(6)]
    results = drawn(model, tokenizer, *asked)
    ended = [r for r in results if len(r.ids) >= 3 and r.nats["event"][1] == len(r.ids) + 1]
    assert ended, "END was never drawn behind some tokens"
    result = ended[0]
    total, count = result.nats["event"]
    assert count == len(result.ids) + 1
    with torch.inference_mode():
        assert total == pytest.approx(likelihood(model, tokenizer, result, mask=True), rel=1e-4)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_rows_of_a_batch_do_not_know_each_other_and_equal_seeds_are_equal(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    model = model_of("hybrid", tokenizer)
    asked = [TokenRequest(max_tokens=n, seed=s) for n, s in ((12, 1), (40, 2), (25, 1))]
    together = drawn(model, tokenizer, *asked)
    for request, result in zip(asked, together, strict=True):
        alone = drawn(model, tokenizer, request)[0]
        assert alone.ids.tolist() == result.ids.tolist()
        assert alone.nats["event"][0] == pytest.approx(result.nats["event"][0], rel=1e-4)
    shorter = min(len(together[0].ids), len(together[2].ids), 12)
    assert together[0].ids[:shorter].tolist() == together[2].ids[:shorter].tolist()


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_all_is_legal_under_the_mask_and_counted_without(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    model = model_of("hybrid", tokenizer)
    free = Generation(model, [TokenRequest(max_tokens=60, masked=m) for m in (True, False)], tokenizer)
    free.results()
    masked, unmasked = (row.writer for row in free.rows)
    assert masked.num_illegal == 0  # type: ignore[union-attr]
    grammar = grammar_of(tokenizer)
    for token in masked.ids:
        grammar.push(token)
    assert grammar.may_end
    if kind not in ("chorale", "performance"):  # of which an untrained model draws little that is barred
        assert unmasked.num_illegal > 0  # type: ignore[union-attr]


def test_a_prompt_is_kept_and_an_end_in_seconds_is_met() -> None:
    tokenizer = TOKENIZERS["performance"]
    model = model_of("hybrid", tokenizer)
    prompt = np.array([370, 60, TIME_SHIFT + 99, 64, TIME_SHIFT + 49], np.int64)
    (result,) = drawn(model, tokenizer, TokenRequest(prompt, until_s=9.0, seed=3))
    assert result.ids[:5].tolist() == prompt.tolist()
    assert result.clocks[[2, 4, -1]].tolist() == [40, 60, result.num_frames - 1]
    assert result.num_frames > 9 * 40
    assert (result.clocks[:-1] < 9 * 40).all()
    # Held notes go on: their offs are still to be drawn, and only of what sounds.
    offs = [t - 128 for t in result.ids[5:].tolist() if 128 <= t < 256]
    ons = [*prompt[[1, 3]].tolist(), *(t for t in result.ids[5:].tolist() if t < 128)]
    assert all(ons.count(pitch) >= offs.count(pitch) for pitch in set(offs))


def test_a_long_prompt_is_read_from_its_last_tokens_by_the_model_and_whole_by_the_grammar() -> None:
    tokenizer = TOKENIZERS["performance"]
    model = model_of("hf", tokenizer)
    prompt = np.array([60, *[TIME_SHIFT + 9, 62, TIME_SHIFT + 9, 128 + 62] * 120], np.int64)
    with pytest.raises(ValueError, match="482 positions, but gpt2 has 400"):
        drawn(model, tokenizer, TokenRequest(prompt, max_tokens=5))
    request = TokenRequest(prompt, shown=16, max_tokens=40)
    assert request.is_crop
    generation = Generation(model, [request], tokenizer)
    result = generation.results()[0]
    assert result.num_positions == 1 + 16 + len(result.ids) - len(prompt) - 1
    grammar = generation.rows[0].writer.grammar  # type: ignore[union-attr]
    assert grammar.seconds(request.tempo_map) >= 24.0


def test_open_bars_are_filled_and_what_stands_around_them_stays() -> None:
    tokenizer = Mmm()
    model = model_of("hybrid", tokenizer)
    notes = np.array([[0, 24, 60], [50, 70, 64], [100, 190, 67]], np.int64)
    window = Window((BarTrack(0, notes), BarTrack(33, notes - [0, 0, 24])), np.arange(5) * 48)
    tokens = tokenizer.encode(window, [(0, 1), (1, 0)], fill=False)
    lines = tuple(window.lines.tolist())
    request = TokenRequest(tokens.ids.astype(np.int64), limits=Limits(lines, max_tracks=2), max_tokens=60)
    (result,) = drawn(model, tokenizer, request)
    ids = result.ids.tolist()
    assert ids[: len(tokens)] == tokens.ids.tolist()
    assert ids.count(FILL_START) == ids.count(FILL_END) == ids.count(FILL_IN) == 2
    back, fills = tokenizer.decode(ids, window.lines)
    assert list(fills) == [(0, 1), (1, 0)]
    assert len(back.tracks) == 2


def test_a_planned_length_is_told_as_training_tells_it() -> None:
    tokenizer = TOKENIZERS["musenet"]
    plain = spec_of(tokenizer)
    spec = replace(plain, streams=(*plain.streams, StreamSpec("structure", "structure", dim=2)))
    torch.manual_seed(0)
    model = MusenetModelConfig(layers=1, dim=32, heads=2, max_positions=256).build(spec).eval()
    asked = [TokenRequest(max_tokens=150, planned_tokens=n, seed=1) for n in (200, None)]
    told, untold = drawn(model, tokenizer, *asked)
    assert told.nats["event"][0] != pytest.approx(untold.nats["event"][0], rel=1e-6)
    grammar, clocks = grammar_of(tokenizer), []
    for token in told.ids.tolist():
        grammar.push(token)
        clocks.append(int(np.floor(grammar.seconds(TempoMap.constant(120.0)) * 40.0 + 1e-6)))
    row = row_of_tokens(
        told.ids, np.array(clocks), first=0, ends=False, is_start=True, controls=[0],
        legal=tokenizer.legal(told.ids, True)[:-1], structure=structure_of(np.arange(-1, 200), 200),
    )  # fmt: skip
    with torch.inference_mode():
        sums = head_sums(model, collate([[row]], spec))
    assert int(sums.event_count) == told.nats["event"][1] == 150
    assert float(sums.event_nats) == pytest.approx(told.nats["event"][0], rel=1e-4)


def test_it_can_be_put_away_and_gone_on_with(tmp_path: Path) -> None:
    tokenizer = TOKENIZERS["remi"]
    model = model_of("music_transformer", tokenizer)
    asked = [TokenRequest(max_tokens=40, seed=s) for s in (0, 1)]
    whole = Generation(model, asked, tokenizer, score=True)
    begun = Generation(model, asked, tokenizer, score=True)
    for _ in range(17):
        begun.step()
    begun.save(tmp_path)
    again = Generation(model, asked, tokenizer, score=True)
    again.load(tmp_path)
    for a, b in zip(whole.results(), again.results(), strict=True):
        assert a.ids.tolist() == b.ids.tolist()
        # Keys lie in memory otherwise than those that grew in place, so sums may differ in their last bit.
        assert a.nats["event"] == pytest.approx(b.nats["event"], rel=1e-6)
    other = Generation(model, [replace(asked[0], until_s=4.0), asked[1]], tokenizer, score=True)
    with pytest.raises(ValueError, match="other requests"):
        other.load(tmp_path)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (TokenRequest(controls={"styl": "techno"}), "no control 'styl'"),
        (TokenRequest(controls={"style": "polka"}), "polka"),
        (TokenRequest(np.array([999])), r"0\.\.387"),
        (TokenRequest(max_tokens=0), "max_tokens"),
        (TokenRequest(shown=0), "shown"),
        (TokenRequest(limits=Limits()), "MMM's tokens alone"),
        (Request(), "needs a stream to generate"),
    ],
)
def test_what_cannot_be_asked_is_said(request_: TokenRequest, message: str) -> None:
    model = model_of("hybrid", TOKENIZERS["performance"])
    with pytest.raises(ValueError, match=message):
        Generation(model, [request_], TOKENIZERS["performance"])
    with pytest.raises(ValueError, match="need their vocabulary"):
        Generation(model, [TokenRequest()], TOKENIZERS["remi"])
    with pytest.raises(ValueError, match="guidance"):
        Generation(model, [TokenRequest()], TOKENIZERS["performance"], guidance=2.0)


@pytest.mark.parametrize("kind", CONFIGS)
def test_guidance_leads_from_what_nobody_asked(kind: str) -> None:
    """The twin reads neither controls nor tokens that ask, at every model's own positions."""
    tokenizer = TOKENIZERS["mmm"]
    model = model_of(kind, tokenizer)
    begun = [PIECE_START, FIRST["NUM_BARS"], TRACK_START, FIRST["INST"]]
    asking = [*begun, *told_ids({"DENSITY": 3, "MAX_DURATION": 2})]
    common: dict[str, Any] = {"max_tokens": 30, "masked": False}
    asked = TokenRequest(np.array(asking), asked=frozenset((4, 5)), controls={"style": "house"}, seed=3, **common)
    free = TokenRequest(np.array(begun), seed=4, **common)  # a row that asks nothing stays as it is

    def made(*rows: TokenRequest, guidance: float) -> list[Result]:
        return Generation(model, rows, tokenizer, guidance=guidance, score=True).results()

    def tokens(result: Result, row: TokenRequest) -> list[int]:
        return result.ids.tolist()[len(row.prompt) :]

    untold = replace(free, seed=3)
    (plain,), (other,) = made(untold, guidance=1.0), made(free, guidance=1.0)
    led, beside = made(asked, free, guidance=0.0)
    assert tokens(led, asked) == tokens(plain, untold) and tokens(beside, free) == tokens(other, free)
    told, beside = made(asked, free, guidance=1.0)
    assert told.nats["event"][0] != pytest.approx(plain.nats["event"][0], rel=1e-6)  # it does read them
    assert tokens(made(asked, free, guidance=4.0)[1], free) == tokens(other, free)
