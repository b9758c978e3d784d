"""The page that adds a model is run: its model trains, is saved, opened again and makes music."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lh_mm.core.config import ConfigError
from lh_mm.core.merge import Kind
from lh_mm.core.streams import collate
from lh_mm.models.base import SequenceModel
from lh_mm.run.bundle import Bundle
from lh_mm.run.experiment import load_experiment
from lh_mm.run.prepare import prepare
from lh_mm.run.show import show

SMALL = (
    "sequence.crop_s=1", "trainer.max_steps=2", "trainer.batch_size=2", "trainer.valid_every=2",
    "trainer.valid_batches=1", "trainer.precision=fp32", "trainer.threads=1", "tracking.tensorboard=false",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(repository: Path, codec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Everything that the page defines."""
    text = (repository / "docs" / "your_own_model.md").read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    folder = tmp_path_factory.mktemp("page")
    small = f"codec.source: {codec_folder}, pieces: 3, duration_s: 8, features.num_bins: 24"
    patch = pytest.MonkeyPatch()
    patch.setenv("LH_DATA", str(folder / "data"))
    patch.chdir(folder)
    overrides = [f"data={{recipe: smoke, overrides: {{{small}}}}}", *SMALL]
    file = folder / "your_own_model.py"
    file.write_text(f"OVERRIDES = {overrides!r}\n{code}")
    spec = importlib.util.spec_from_file_location("your_own_model", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    patch.setitem(sys.modules, "your_own_model", module)
    try:
        spec.loader.exec_module(module)
        names = dict(vars(module))
        names["batch"] = _batch(names["hybrid"])
    finally:
        patch.undo()
    names["run"] = folder / names["run"]
    return names


def _batch(experiment: Any) -> Any:
    source = experiment.sequence.build(prepare(experiment.data.recipe, experiment.data.override_list))
    return source.spec, collate([[source.train_row(0, i)] for i in range(3)], source.spec)


def test_it_trains_and_makes_music(page: dict[str, Any]) -> None:
    assert page["music"].about["duration_s"] == pytest.approx(0.5, abs=0.02)
    assert page["music"].wave is not None
    assert (page["run"] / "bundle" / "README.md").read_text().startswith("# gru")


def test_it_honours_the_protocol_and_steps_equal_the_whole(page: dict[str, Any]) -> None:
    spec, batch = page["batch"]
    model = page["GruConfig"](dim=16).build(spec).eval()
    assert isinstance(model, SequenceModel)
    whole, _ = model.hidden(batch)
    state, parts = model.init_state(len(batch.kind)), []
    for start, end in ((0, 1), (1, 30), (30, batch.shape[1])):
        h, state = model.hidden(batch.positions(start, end), state)
        parts.append(h)
    real = batch.kind != Kind.PAD
    assert torch.allclose(torch.cat(parts, 1)[real], whole[real], atol=1e-5)
    for row, length in enumerate(real.sum(1)):
        assert torch.allclose(state.memory[row], whole[row, length - 1], atol=1e-5)


def test_a_bundle_of_somebody_elses_model_asks_for_its_class(page: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="model"):
        Bundle.load(page["run"] / "bundle")
    again = Bundle.load(page["run"] / "bundle", page["GruConfig"])
    assert again.experiment.model == page["GruConfig"](dim=64)
    assert again.model.num_parameters() == again.manifest["num_parameters"]


def test_files_know_our_kinds_alone() -> None:
    with pytest.raises(ConfigError, match=r"model\.kind"):
        load_experiment("demo", ["model.kind=gru"])
    with pytest.raises(ConfigError, match=r"dim"):
        load_experiment("demo", ["model.dmi=3"])
    assert "pattern" in show("demo")
