"""A text model (made here) that learns music: its words are read before it, its weights are kept or adapted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lh_mm.core.config import ConfigError
from lh_mm.core.merge import Kind
from lh_mm.core.streams import ControlSpec, SequenceSpec, StreamBatch, StreamSpec, collate
from lh_mm.data.note_rows import row_of_tokens
from lh_mm.generate.sampler import Generation
from lh_mm.generate.tokens import TokenRequest
from lh_mm.models.hf import HfConfig, HfModel
from lh_mm.models.hf_words import phrase
from lh_mm.music.chorale import Chorale
from lh_mm.systems.adapters import AdapterConfig, adapt, merge

pytest.importorskip("transformers", reason="the extra hf is not installed")

TOKENS = Chorale(2)
SPEC = SequenceSpec(
    (StreamSpec("midi", "midi", TOKENS.size),), 24.0, merged=False,
    controls=(
        ControlSpec("style", ("funk", "afro cuban")), ControlSpec("plays_piano", ("no", "yes")),
        ControlSpec("tempo", ("100-109",)),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text model with a tokenizer of words, as `save_pretrained` writes them."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    words = ["[UNK]", "style", ":", "funk", ",", "afro", "cuban", "piano", "tempo", "100", "-", "109", "cat", "dog"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()])
    path = tmp_path_factory.mktemp("text")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(path)
    torch.manual_seed(2)
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 60}
    AutoModel.from_config(
        AutoConfig.for_model("gpt2", vocab_size=len(words), bos_token_id=0, eos_token_id=0, **shape)
    ).save_pretrained(path)
    return path


def batch_of(*rows: tuple[int, list[int]]) -> StreamBatch:
    rng = np.random.default_rng(0)
    made = []
    for length, controls in rows:
        ids = rng.integers(0, TOKENS.size, length)
        row = row_of_tokens(
            ids, np.arange(length), first=0, ends=True, is_start=True, controls=controls, legal=None
        )  # fmt: skip
        made.append([row])
    return collate(made, SPEC)


@pytest.fixture(scope="module")
def model(folder: Path) -> HfModel:
    torch.manual_seed(0)
    return HfConfig(pretrained=str(folder), prompt=True, dropout=0).build(SPEC).eval()


def test_controls_are_phrases_of_the_text_models_words(model: HfModel, folder: Path) -> None:
    from transformers import AutoModel

    assert model.words is not None
    assert [phrase("style", "funk"), phrase("plays_piano", "yes"), phrase("plays_piano", "no")] == [
        "style: funk, ", "piano, ", ""
    ]  # fmt: skip
    vectors = AutoModel.from_pretrained(folder).get_input_embeddings().weight
    told, there = model.words(batch_of((4, [2, 2, 0]), (4, [1, 1, 1]), (4, [0, 0, 0])).header)
    assert there.sum(1).tolist() == [7, 10, 0]  # style : afro cuban , piano ,
    names = ["style", ":", "afro", "cuban", ",", "piano", ","]
    ids = [["[UNK]", "style", ":", "funk", ",", "afro", "cuban", "piano"].index(name) for name in names]
    assert torch.equal(told[0, :7], vectors[ids])
    assert "cat" not in names
    assert model.words.embedding.num_embeddings == 11  # cats and dogs are left behind


def test_music_begins_as_words_do(folder: Path) -> None:
    from transformers import AutoModel

    torch.manual_seed(0)
    made = HfConfig(pretrained=str(folder)).build(SPEC)
    vectors = AutoModel.from_pretrained(folder).get_input_embeddings().weight
    assert torch.allclose(made.event_embedding.weight.mean(0), vectors.mean(0), atol=0.01)
    assert torch.allclose(made.event_embedding.weight.std(0), vectors.std(0), rtol=0.3)


def test_words_stand_before_the_music_and_parts_are_the_whole(model: HfModel) -> None:
    batch = batch_of((12, [2, 2, 0]), (9, [0, 1, 1]))
    with torch.no_grad():
        whole, _ = model.hidden(batch)
        assert whole.shape[1] == batch.shape[1]
        real = batch.kind != Kind.PAD
        for cuts in (range(1, batch.shape[1]), (5, 6)):
            state, parts = model.init_state(2), []
            for start, end in zip((0, *cuts), (*cuts, batch.shape[1]), strict=True):
                h, state = model.hidden(batch.positions(start, end), state)  # type: ignore[assignment]
                parts.append(h)
            assert torch.allclose(torch.cat(parts, 1)[real], whole[real], atol=1e-5)
        # A row alone, without the other's longer words beside it.
        alone = model.hidden(batch_of((12, [2, 2, 0])))[0]
        assert torch.allclose(alone[0], whole[0, :13], atol=1e-5)
        model.header_embedding.embedding.zero_()  # what is left is said in words alone
        other = replace(batch.header, controls=batch.header.controls.clone())
        other.controls[0, 0, 0] = 1
        changed = model.hidden(replace(batch, header=other))[0]
        before = model.hidden(batch)[0]
        assert not torch.allclose(changed[0], before[0], atol=1e-4)
        assert torch.allclose(changed[1, :10], before[1, :10], atol=1e-5)
    packed = collate([[document for row in (0, 1) for document in [_row(row)]]], SPEC)
    with pytest.raises(ValueError, match="one document a row"):
        model.hidden(packed)


def _row(seed: int):
    ids = np.random.default_rng(seed).integers(0, 9, 3)
    return row_of_tokens(ids, np.arange(3), first=0, ends=True, is_start=True, controls=[1, 1, 1], legal=None)


def test_a_bundle_needs_neither_folder_nor_tokenizer(model: HfModel) -> None:
    assert model.config.pretrained is None
    assert model.config.words == (11, 6)
    again = model.config.build(SPEC)
    again.load_state_dict(model.state_dict())
    batch = batch_of((6, [1, 2, 1]))
    with torch.no_grad():
        assert torch.equal(again.eval().hidden(batch)[0], model.hidden(batch)[0])
    results = Generation(
        model, [TokenRequest(max_tokens=8, controls={"style": "funk"}, seed=s) for s in (0, 1)], TOKENS
    )
    assert all(len(result.ids) <= 10 for result in results.results())


def test_adapters_beside_a_text_model_and_music_trained_whole(folder: Path) -> None:
    made = HfConfig(pretrained=str(folder), prompt=True, dropout=0).build(SPEC).eval()
    settings = AdapterConfig(rank=2, parts=("c_attn", "c_proj"), whole=("event_embedding", "header_embedding"))
    adapt(made, settings)
    trained = {name.split(".")[0] for name, p in made.named_parameters() if p.requires_grad and "lora_" not in name}
    assert trained == {"event_embedding", "header_embedding"}
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    plain = made.config.build(SPEC).eval()
    merge(plain, settings, made.state_dict())
    batch = batch_of((6, [1, 2, 1]))
    with torch.no_grad():
        assert torch.allclose(plain.hidden(batch)[0], made.hidden(batch)[0], atol=1e-3)
    with pytest.raises(ConfigError, match=r"lora.whole: the model has no part 'embedding'"):
        adapt(HfConfig(pretrained=str(folder)).build(SPEC), AdapterConfig(parts=("c_attn",), whole=("embedding",)))


def test_words_without_a_text_model_are_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="prompt: needs a text model"):
        HfConfig(prompt=True).build(SPEC)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ConfigError, match="no words for 'style: funk"):
        HfConfig(pretrained=str(tmp_path), prompt=True).build(SPEC)
