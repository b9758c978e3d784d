from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lh_mm.audio.io import write_audio
from lh_mm.core.config import ConfigError, load_config
from lh_mm.data.splits import split_of
from lh_mm.models.load import load_codec
from lh_mm.models.rvq_codec import RvqCodecConfig
from lh_mm.run.train_codec import CodecExperiment, fit_codec, train_codec
from lh_mm.systems.codec import CodecLossConfig, CodecOptimConfig, CodecSystem

TINY = RvqCodecConfig(width=16, latent_width=8, codebook_size=16, encoder_blocks=1, decoder_blocks=1)


def _experiment(max_steps: int) -> CodecExperiment:
    return CodecExperiment(
        question="does it run?",
        model=TINY,
        data={"rendered_hours": 0.0, "crop_s": 0.2},
        optim={"max_steps": max_steps, "warmup_steps": 2, "learning_rate": 3e-3, "max_minutes": 1e6},
        batch_size=4,
        precision="fp32",
        valid_every_steps=4,
        valid_crops=8,
    )


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    time_s = np.arange(60_000) / 24_000
    names = [f"bd_{i}.flac" for i in range(40)]
    kept = [n for n in names if split_of(f"electro_kit/{n}") == "train"][:3]
    held = [n for n in names if split_of(f"electro_kit/{n}") == "valid"][:1]
    for i, name in enumerate(kept + held):
        wave = 0.3 * np.sin(2 * np.pi * 110 * (i + 1) * time_s) * np.exp(-3 * (time_s % 0.5))
        write_audio(tmp_path / "sources" / "electro_kit" / name, wave.astype(np.float32), 24_000)
    monkeypatch.setenv("LH_SOURCES", str(tmp_path / "sources"))
    monkeypatch.setenv("LH_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_stopped_and_resumed_equals_not_stopped_and_is_shipped(sound: Path) -> None:
    whole = fit_codec(_experiment(8), sound / "whole")
    interrupted = _experiment(8)
    # The schedule belongs to eight steps; the first run is stopped after four by the trainer's own limit.
    fit_codec(interrupted, sound / "parts", stop_after_steps=4)
    resumed = fit_codec(interrupted, sound / "parts")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    shipped = load_codec(sound / "whole" / "codec")
    assert shipped.fingerprint == whole.fingerprint == resumed.fingerprint
    metrics = (sound / "whole" / "metrics" / "metrics.csv").read_text()
    assert "valid/mel_4" in metrics.splitlines()[0]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_a_training_goes_on_with_the_weights_of_another(sound: Path) -> None:
    first = fit_codec(_experiment(4), sound / "first")
    still = {"max_steps": 1, "warmup_steps": 0, "learning_rate": 1e-9, "max_minutes": 1e6}
    options = {**_experiment(1).model_dump(), "optim": still, "init_from": str(sound / "first")}
    second = fit_codec(CodecExperiment.model_validate(options), sound / "second")
    for name, value in second.named_parameters():
        assert torch.allclose(value, first.get_parameter(name), atol=1e-3), name
    with pytest.raises(ValueError, match="init_from"):
        fit_codec(CodecExperiment.model_validate({**options, "init_from": str(sound)}), sound / "third")
    other = {**options, "model": {**TINY.model_dump(), "width": 24}}
    with pytest.raises(ValueError, match="another model"):
        fit_codec(CodecExperiment.model_validate(other), sound / "fourth")


def test_the_shipped_experiment_is_valid_and_mistakes_are_named(tmp_path: Path) -> None:
    experiment = Path(__file__).parents[2] / "experiments" / "codec" / "rvq.yaml"
    config = load_config(CodecExperiment, experiment).config
    assert config.optim.max_minutes <= 120, "an hour on two cores, on one"
    assert config.model.codebook_size <= 1024
    with pytest.raises(ConfigError, match="codebok_size"):
        train_codec("codec/rvq", ["model.codebok_size=3"], tmp_path)


def test_the_schedule_ends_by_time_or_by_steps() -> None:
    optim = CodecOptimConfig(learning_rate=1.0, warmup_steps=1, max_minutes=10, max_steps=100)
    system = CodecSystem(TINY.build(), optim, CodecLossConfig(), 0, "fp32")
    assert system.learning_rate() == pytest.approx(1.0)
    system.trained_s = 300.0
    assert system.progress == pytest.approx(0.5)
    assert system.learning_rate() == pytest.approx(0.5)
    system.trained_s = 1e9
    assert system.progress == 1.0
    assert system.learning_rate() == pytest.approx(0.0)


def test_the_time_already_used_comes_back_with_a_checkpoint() -> None:
    system = CodecSystem(TINY.build(), CodecOptimConfig(), CodecLossConfig(), 0, "fp32")
    system.trained_s = 123.0
    torch.rand(3, generator=system.generator)
    checkpoint: dict[str, object] = {}
    system.on_save_checkpoint(checkpoint)
    other = CodecSystem(TINY.build(), CodecOptimConfig(), CodecLossConfig(), 1, "fp32")
    other.on_load_checkpoint(checkpoint)
    assert other.trained_s == 123.0
    assert torch.equal(torch.rand(3, generator=other.generator), torch.rand(3, generator=system.generator))


def test_losses_take_turns_in_order() -> None:
    losses = CodecLossConfig()
    mel = [losses.at(progress).mel for progress in (0.0, 0.29, 0.3, 0.54, 0.55, 1.0)]
    assert mel == [1.0, 1.0, 3.0, 3.0, 6.0, 6.0]
    assert losses.at(0.7).complex < losses.at(0.69).complex
    stage = losses.stages[1].model_dump()
    with pytest.raises(ValueError, match="begin at 0"):
        CodecLossConfig.model_validate({"stages": [stage]})
