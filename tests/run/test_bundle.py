"""A bundle is self-contained, opens without unpickling, and says what is wrong with it when something is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lh_mm.core.files import read_json, write_json
from lh_mm.run.bundle import Bundle
from lh_mm.run.info import info
from lh_mm.run.runs import find_bundle, find_run

OLD = Path(__file__).parent / "bundle_v1"


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_run / "bundle", folder)
    return folder


def test_a_bundle_alone_is_enough(copy: Path, codec_folder: Path) -> None:
    bundle = Bundle.load(copy)
    assert sum(p.numel() for p in bundle.model.parameters()) == bundle.manifest["num_parameters"]
    assert bundle.codec is not None
    assert bundle.features is not None
    assert {control.name for control in bundle.spec.controls} >= {"style", "key", "tempo", "density"}
    kinds = {path.suffix for path in copy.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".yaml", ".safetensors", ".md"}


def test_bundles_of_format_1_stay_readable() -> None:
    bundle = Bundle.load(OLD)
    assert bundle.manifest["format_version"] == 1
    assert list(bundle.model.parameters())
    assert bundle.codec is not None


def test_a_format_of_the_future_is_refused(copy: Path) -> None:
    write_json(copy / "bundle.json", {**read_json(copy / "bundle.json"), "format_version": 99})
    with pytest.raises(ValueError, match="format_version 99"):
        Bundle.load(copy)


def test_damaged_weights_name_their_file(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        Bundle.load(copy).weights()


def test_a_folder_that_is_no_bundle_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no bundle\.json"):
        Bundle.load(tmp_path)


def test_info_says_what_can_be_asked(tiny_run: Path) -> None:
    text = info(str(tiny_run))
    for word in ("midi_to_audio", "audio_to_midi", "style =", "codec", "synthetic", "licence"):
        assert word in text


def test_runs_are_found_as_people_name_them(tiny_run: Path) -> None:
    runs = tiny_run.parents[1]
    for name in (str(tiny_run), tiny_run.name, f"demo/{tiny_run.name}", "latest"):
        assert find_run(name, runs) == tiny_run
    assert find_bundle(str(tiny_run)) == tiny_run / "bundle"
    with pytest.raises(ValueError, match="did you mean latest"):
        find_run("latets", runs)
