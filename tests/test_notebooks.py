"""Every notebook runs from top to bottom on synthetic data, and none is committed with its outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from lh_mm.core.assets import asset

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not asset("weights").joinpath("codec").is_dir():
        pytest.skip("the shipped codec is not there")
    monkeypatch.setenv("LH_DATA", str(tmp_path / "data"))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    assert sum("audio" in output.get("data", {}).get("text/html", "") for output in outputs) >= 2
    # A busy machine's kernel sends what is printed in more than one piece.
    printed = "".join(output.text for output in code[-1].outputs if output.output_type == "stream")
    assert "BOS" in printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stripped(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type == "markdown" or (not cell.outputs and cell.execution_count is None)


def test_there_is_one() -> None:
    assert NOTEBOOKS
