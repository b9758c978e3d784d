"""Codes by their vectors, and codes one after another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lh_mm.audio.codec import VectorCodec
from lh_mm.models.load import load_codec
from lh_mm.nn.codes import ChainedCodes, CodeVectors

A, K, C, W, D = 2, 3, 7, 5, 16


def codes_of(*shape: int) -> torch.Tensor:
    return torch.randint(0, C, (*shape, A, K), generator=torch.Generator().manual_seed(1))


def held() -> CodeVectors:
    torch.manual_seed(0)
    return CodeVectors(K, C, W)


def test_a_code_is_read_as_its_vector_and_an_absent_one_as_nothing() -> None:
    vectors, codes = held(), codes_of(2, 4)
    codes[0, 0, 1, 2] = -1
    read = vectors(codes)
    assert read.shape == (2, 4, A, K, W)
    assert torch.equal(read[1, 3, 0, 2], vectors.vectors[2, codes[1, 3, 0, 2]])
    assert not read[0, 0, 1, 2].any()


def test_scores_are_products_with_every_vector() -> None:
    vectors, queries = held(), torch.randn(4, A, K, W)
    scores = vectors.scores(queries)
    assert scores.shape == (4, A, K, C)
    assert torch.allclose(scores[3, 1, 2, 6], queries[3, 1, 2] @ vectors.vectors[2, 6], atol=1e-5)


def test_vectors_are_brought_to_one_size_and_travel_with_the_weights() -> None:
    vectors, other = held(), held()
    vectors.take(torch.randn(K, C, W) * torch.tensor([100.0, 1.0, 0.01]).view(K, 1, 1))
    assert torch.allclose(vectors.vectors.square().mean((1, 2)), torch.ones(K), atol=1e-5)
    other.load_state_dict(vectors.state_dict())
    assert torch.equal(other.vectors, vectors.vectors)
    assert not list(vectors.parameters())  # frozen
    with pytest.raises(ValueError, match=r"\(3, 7, 4\).*\(3, 7, 5\)"):
        vectors.take(torch.randn(K, C, W - 1))


@pytest.mark.parametrize("by_vectors", [False, True])
def test_an_entry_hears_exactly_those_before_it(by_vectors: bool) -> None:
    vectors = held() if by_vectors else None
    chain = ChainedCodes(D, A, K, C, vectors)
    hidden, codes = torch.randn(D), codes_of()
    before = chain(hidden, codes, vectors)  # (A, K, D)
    assert before.shape == (A, K, D)
    alone = [chain(hidden, codes, vectors, entry) for entry in range(A * K)]
    assert torch.allclose(torch.stack(alone).view(A, K, D), before, atol=1e-6)
    for changed in range(A * K):
        other = codes.clone()
        other.view(-1)[changed] = (other.view(-1)[changed] + 1) % C
        moved = (chain(hidden, other, vectors) - before).flatten(0, 1).abs().amax(-1) > 1e-6
        assert moved.tolist() == [entry > changed for entry in range(A * K)]
    absent = codes.clone()
    absent.view(-1)[2:] = -1  # what is not drawn yet changes nothing before it
    assert torch.allclose(chain(hidden, absent, vectors).flatten(0, 1)[:3], before.flatten(0, 1)[:3], atol=1e-5)


def test_a_codec_sounds_like_the_sum_of_its_vectors(codec_folder: Path) -> None:
    codec = load_codec(codec_folder)
    assert isinstance(codec, VectorCodec)
    vectors = codec.code_vectors()
    assert vectors.shape[:2] == (codec.num_codebooks, codec.codebook_size)
    codes = torch.randint(0, codec.codebook_size, (1, 6, codec.num_codebooks))
    summed = sum(vectors[k, codes[0, :, k]] for k in range(codec.num_codebooks))
    assert torch.allclose(codec.quantizer.decode(codes)[0], summed, atol=1e-5)  # type: ignore[attr-defined]
