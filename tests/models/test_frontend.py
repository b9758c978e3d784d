from __future__ import annotations

import pytest
import torch

from lh_mm.models.frontend import Frontend, FrontendConfig

A, N, F, D = 2, 17, 20, 8


def made(**changes: float) -> Frontend:
    torch.manual_seed(0)
    return Frontend(FrontendConfig(channels=4, width=12, **changes), F, A, D).eval()


def sound(rows: int = 2, share: float = 0.8) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    given = torch.rand(rows, A, N, generator=g) < share
    return torch.randn(rows, A, N, F, generator=g), given


@pytest.mark.parametrize("ends", [(17,), (1, 2, 3, 17), (4, 4, 9, 17), tuple(range(1, 18))])
def test_frames_heard_in_parts_are_the_whole(ends: tuple[int, ...]) -> None:
    frontend, (features, given) = made(), sound()
    document = torch.tensor([[0] * 6 + [1] * 11, [0] * 12 + [1] * 3 + [2] * 2])
    for documents in (None, document):
        with torch.no_grad():
            whole, _ = frontend(features, given, documents)
            state = frontend.init_state(2, "cpu")
            for end in ends:
                own = None if documents is None else documents[:, :end]
                heard, state = frontend(features[:, :, :end], given[:, :, :end], own, state)
                assert heard.shape == (2, end, D)
        assert torch.allclose(heard, whole, atol=1e-5)


def test_hears_nothing_early_and_nothing_of_other_documents() -> None:
    frontend, (features, given) = made(), sound(1, share=1.0)
    document = torch.tensor([[0] * 6 + [1] * 11])
    whole, _ = frontend(features, given, document)
    changed = features.clone()
    changed[:, :, 9:] = torch.randn_like(changed[:, :, 9:])
    after, _ = frontend(changed, given, document)
    assert torch.allclose(after[:, :9], whole[:, :9], atol=1e-6)
    assert not torch.allclose(after[:, 9:], whole[:, 9:], atol=1e-3)
    changed = features.clone()
    changed[:, :, :6] = torch.randn_like(changed[:, :, :6])
    after, _ = frontend(changed, given, document)
    assert torch.allclose(after[:, 6:], whole[:, 6:], atol=1e-6)


def test_is_silent_where_nothing_is_given() -> None:
    frontend, (features, given) = made(), sound()
    given[:, :, 3:5] = False
    heard, _ = frontend(features, given, None)
    assert heard[:, 3:5].abs().max() == 0
    noise = torch.where(given.unsqueeze(-1), features, torch.randn_like(features))
    assert torch.equal(frontend(noise, given, None)[0], heard)  # what is not given is not heard either


def test_tracks_are_told_apart() -> None:
    frontend, (features, given) = made(), sound(share=1.0)
    assert not torch.allclose(frontend(features, given, None)[0], frontend(features.flip(1), given, None)[0], atol=1e-3)


def test_frames_and_documents_are_dropped_in_training_alone() -> None:
    features, given = sound(rows=64, share=1.0)
    document = torch.tensor([0] * 6 + [1] * 11).expand(64, -1)
    frontend = made(frame_dropout=0.25, document_dropout=0.0)
    assert frontend(features, given, document)[0].abs().amax(-1).min() > 0
    torch.manual_seed(0)
    kept = frontend._kept(given, document)
    assert 0.7 < kept.float().mean() < 0.8
    frontend = made(frame_dropout=0.0, document_dropout=0.25)
    kept = frontend._kept(given, document)
    assert 0.6 < kept.float().mean() < 0.9
    assert torch.equal(kept[:, 0], kept[:, 1])  # a document is one piece on all tracks
    for part in (slice(0, 6), slice(6, 17)):
        assert (kept[:, :, part].float().mean(-1) % 1 == 0).all()
