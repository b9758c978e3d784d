"""What ships is the run's bundle, rounded, with scores that were measured on it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lh_mm.core.files import read_json, write_json
from lh_mm.run import ship as verb
from lh_mm.run.bundle import SCORES, Bundle
from lh_mm.run.evaluate import evaluate
from lh_mm.run.ship import ship


def test_the_same_bundle_in_half_the_size(tiny_run: Path, tmp_path: Path) -> None:
    written = ship(str(tiny_run), tmp_path / "demo")
    assert "demo" in written
    whole, shipped = Bundle.load(tiny_run / "bundle"), Bundle.load(tmp_path / "demo")
    assert shipped.spec == whole.spec
    assert shipped.experiment == whole.experiment
    assert shipped.codec is not None
    assert whole.codec is not None
    assert shipped.codec.fingerprint == whole.codec.fingerprint
    weights = shipped.weights()
    for name, value in whole.weights().items():
        assert torch.equal(weights[name], value.to(torch.bfloat16).float()), name
    sizes = [(path / "model.safetensors").stat().st_size for path in (tmp_path / "demo", tiny_run / "bundle")]
    assert sizes[0] < 0.6 * sizes[1]


def test_scores_and_a_table_go_with_it(tiny_run: Path, tmp_path: Path) -> None:
    ship(str(tiny_run), tmp_path / "demo")
    evaluate(
        str(tmp_path / "demo"),
        ("num_crops=0", "num_transcriptions=0", "num_infills=0", "num_pieces=0"),
        tmp_path / "measured",
    )
    ship(str(tiny_run), tmp_path / "demo", tmp_path / "measured" / "evaluation.json")
    assert "environment" not in read_json(tmp_path / "demo" / SCORES)
    assert "| measure |" in (tmp_path / "demo" / "README.md").read_text()


def test_what_does_not_fit_is_refused(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(tmp_path / "other.json", {"parameters": 3})
    with pytest.raises(ValueError, match="3 parameters"):
        ship(str(tiny_run), tmp_path / "demo", tmp_path / "other.json")
    monkeypatch.setattr(verb, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="at most"):
        ship(str(tiny_run), tmp_path / "demo")
    assert not (tmp_path / "demo").exists()
