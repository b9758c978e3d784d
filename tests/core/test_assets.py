from __future__ import annotations

from pathlib import Path

import pytest

from lh_mm.core import assets
from lh_mm.core.assets import asset, assets_root, source_root


def test_a_checkout_is_found_by_its_project_file(repository: Path) -> None:
    assert source_root() == repository
    assert assets_root() == repository
    assert asset("weights/README.md") == repository / "weights" / "README.md"


def test_a_wheel_carries_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "lh_mm"
    (package / "_assets" / "experiments").mkdir(parents=True)
    (package / "_assets" / "experiments" / "demo.yaml").write_text("")
    # A pyproject.toml further up belongs to somebody else's project.
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.setattr(assets, "PACKAGE", package)
    assert source_root() is None
    assert asset("experiments/demo.yaml") == package / "_assets" / "experiments" / "demo.yaml"
    with pytest.raises(FileNotFoundError, match=r"demmo\.yaml.*there are: demo\.yaml"):
        asset("experiments/demmo.yaml")
    with pytest.raises(FileNotFoundError, match="weights/codec"):
        asset("weights/codec")


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "experiments/../../secret"])
def test_names_stay_inside(name: str) -> None:
    with pytest.raises(ValueError, match="relative to the repository"):
        asset(name)
