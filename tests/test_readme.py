"""What the README tells a newcomer to type is typed here, in its order, made small; and its Python is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lh_mm.cli import main as cli
from lh_mm.core.assets import asset

SMALL_TRAINING = [
    "data={recipe: smoke, overrides: {pieces: 3, duration_s: 8}}",
    *("sequence.crop_s=1", "trainer.max_steps=2", "trainer.batch_size=1", "trainer.valid_every=2"),
    *("trainer.valid_batches=1", "trainer.precision=fp32", "trainer.threads=1"),
]


def blocks(language: str) -> list[str]:
    text = (asset("README.md")).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands() -> list[str]:
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("lh ")]


def made_small(command: str) -> list[str]:
    words = shlex.split(command)[1:]
    if words[0] == "train" and "--plan" not in words:
        own_folder = [word for word in words if word.startswith("data.folder=")]
        small = [word for word in SMALL_TRAINING if not (own_folder and word.startswith("data="))]
        small += ["trainer.max_minutes=null"]
        return [*words, *small]
    if words[0] == "generate" and "--seconds" in words:
        words[words.index("--seconds") + 1] = "0.5"
    return words


def test_the_readme_has_what_a_newcomer_needs() -> None:
    assert {words[0] for words in map(made_small, commands())} >= {
        "doctor",
        "data",
        "train",
        "info",
        "generate",
        "render",
    }
    assert "make demo" in "".join(blocks("sh"))
    assert "make test" in "".join(blocks("sh"))


@pytest.mark.slow
def test_every_command_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LH_DATA", str(tmp_path / "data"))
    _own_music(tmp_path / "my_music")
    for command in commands():
        result = CliRunner().invoke(cli.app, made_small(command), catch_exceptions=False)
        assert result.exit_code == 0, f"{command}: {result.output}"
    assert (tmp_path / "again.wav").is_file()


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks("python"):
        exec(compile(block.replace("duration_s=4", "duration_s=0.5"), "README.md", "exec"), {})  # noqa: S102
    assert (tmp_path / "sketch.wav").is_file()


def _own_music(folder: Path) -> None:
    from lh_mm.music.compose import compose
    from lh_mm.music.midi_io import write_midi

    folder.mkdir()
    for seed in range(3):
        score = compose(seed, "techno", 12).score
        assert score is not None
        write_midi(score, folder / f"{seed}.mid")
