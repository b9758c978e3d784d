from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from lh_mm.audio.io import write_audio
from lh_mm.data.codec_corpus import CodecCorpus, CodecCorpusConfig, CropSampler, prepare_codec_corpus
from lh_mm.data.splits import split_of

CONFIG = CodecCorpusConfig(rendered_hours=0.02, first_seed=0)


class Renderer:
    """Three seconds a piece whose samples say which piece it is; fails at `fail_at`."""

    def __init__(self, fail_at: int = -1) -> None:
        self.calls: list[int] = []
        self.fail_at = fail_at

    def __call__(self, seed: int) -> tuple[str, np.ndarray]:
        if seed == self.fail_at:
            raise KeyboardInterrupt
        self.calls.append(seed)
        return f"piece-{seed}", np.full(72_000, (seed + 1) / 1000, np.float32)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("electro_kit/bd_a.flac", "electro_kit/bd_b.flac", "edm_tr8/examples/loop.wav", "piano/c4.flac"):
        wave = (0.1 * rng.standard_normal((2, 44_100 // 2))).astype(np.float32)
        write_audio(tmp_path / "sources" / name, wave, 44_100)
    (tmp_path / "sources" / "electro_kit" / "broken.flac").write_text("not a sound")
    return tmp_path / "sources"


def test_splits_are_by_name_in_fixed_shares() -> None:
    names = [f"electronic-{seed}-house" for seed in range(4000)]
    splits = [split_of(name) for name in names]
    assert 150 < splits.count("test") < 250
    assert 150 < splits.count("valid") < 250
    # Golden: a change of the rule would put trained pieces into the test set.
    assert [split_of(f"piece-{i}") for i in range(40)].count("train") == 38
    assert [i for i in range(60) if split_of(f"piece-{i}") == "test"] == [15, 27, 43]


def test_it_renders_until_there_is_enough_to_train_on(tmp_path: Path) -> None:
    corpus = prepare_codec_corpus(CONFIG, tmp_path, Renderer(), "v1", None)
    trained = sum(clip.num_samples for clip in corpus.of("train", real=False))
    assert trained >= 0.02 * 3600 * 24_000
    assert all(clip.split == split_of(clip.name) for clip in corpus.clips)
    assert corpus.of("valid", "test", real=False)
    for clip in corpus.clips:
        expected = (int(clip.name.split("-")[1]) + 1) / 1000
        np.testing.assert_allclose(corpus.read(clip, 100, 50), expected, atol=1 / 32768)


def test_an_interrupted_preparation_goes_on_where_it_stopped(tmp_path: Path) -> None:
    broken = Renderer(fail_at=13)
    with pytest.raises(KeyboardInterrupt):
        prepare_codec_corpus(CONFIG, tmp_path, broken, "v1", None)
    (folder,) = tmp_path.iterdir()
    assert not (folder / "DONE").exists()
    rest = Renderer()
    corpus = prepare_codec_corpus(CONFIG, tmp_path, rest, "v1", None)
    assert min(rest.calls) == 8, "the first shard of eight was kept"
    names = [clip.name for clip in corpus.clips]
    assert len(names) == len(set(names))
    again = Renderer()
    assert prepare_codec_corpus(CONFIG, tmp_path, again, "v1", None).clips == corpus.clips
    assert not again.calls


def test_another_synthesizer_or_other_recordings_are_another_corpus(tmp_path: Path, sources: Path) -> None:
    out = tmp_path / "out"
    prepare_codec_corpus(CONFIG, out, Renderer(), "v1", None)
    prepare_codec_corpus(CONFIG, out, Renderer(), "v2", None)
    prepare_codec_corpus(CONFIG, out, Renderer(), "v2", sources)
    assert len(list(out.iterdir())) == 3


def test_real_recordings_are_read_and_what_is_broken_is_named(
    tmp_path: Path, sources: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="lh_mm"):
        logging.getLogger("lh_mm").addHandler(caplog.handler)
        corpus = prepare_codec_corpus(CONFIG, tmp_path / "out", Renderer(), "v1", sources)
        logging.getLogger("lh_mm").removeHandler(caplog.handler)
    assert "broken.flac" in caplog.text
    real = [clip for clip in corpus.clips if clip.real]
    assert {clip.name for clip in real} == {"electro_kit/bd_a.flac", "electro_kit/bd_b.flac", "edm_tr8/loop.wav"}
    assert all(abs(clip.num_samples - 12_000) <= 1 for clip in real)


def test_crops_are_of_training_clips_only_and_repeat(tmp_path: Path) -> None:
    corpus = prepare_codec_corpus(CONFIG, tmp_path, Renderer(), "v1", None)
    config = CONFIG.model_copy(update={"gain_db": (0.0, 0.0), "flip_share": 0.0})
    sampler = CropSampler(corpus, config, 16, seed=3)
    levels = {round(float(crop.max()) * 1000) - 1 for i in range(20) for crop in sampler.batch(i)}
    trained = {int(clip.name.split("-")[1]) for clip in corpus.of("train", real=False)}
    assert levels <= trained
    assert len(levels) > 10
    batch = sampler.batch(7)
    assert batch.shape == (16, 1, 24_000)
    assert batch.dtype == np.float32
    assert np.array_equal(batch, CropSampler(CodecCorpus(next(tmp_path.iterdir())), config, 16, seed=3).batch(7))
    assert not np.array_equal(batch, sampler.batch(8))


def test_crops_are_changed_in_level_and_polarity_and_never_clip(tmp_path: Path) -> None:
    corpus = prepare_codec_corpus(CONFIG, tmp_path, Renderer(), "v1", None)
    loud = CropSampler(corpus, CONFIG.model_copy(update={"gain_db": (40.0, 60.0)}), 16, seed=0).batch(0)
    assert np.abs(loud).max() <= 1.0
    assert loud.min() < 0 < loud.max()


def test_nothing_to_train_on_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"rendered_hours": 0.0})
    corpus = prepare_codec_corpus(config, tmp_path, Renderer(), "v1", None)
    with pytest.raises(ValueError, match="LH_SOURCES"):
        CropSampler(corpus, config, 4, seed=0)
