"""The command line: fast help, messages instead of tracebacks, exit codes that scripts can trust."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lh_mm.cli import main as cli

VERBS = ("data", "train", "generate", "render", "codec", "evaluate", "compare", "show", "info", "doctor", "demo")


def lh(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lh_mm.cli.main", *arguments], capture_output=True, text=True, check=False, **options
    )  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_that_teaches(verb: str) -> None:
    result = CliRunner().invoke(cli.app, [verb, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


def test_both_mistakes_are_printed_with_suggestions_and_the_exit_code_is_2(tmp_path: Path) -> None:
    result = lh("train", "experiments/demo.yaml", "modle.dim=3", "optim.lr=abc", cwd=tmp_path)
    assert result.returncode == 2
    assert "did you mean 'model'" in result.stderr
    assert "optim.lr" in result.stderr
    assert "'abc'" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["train", "experiments/dmeo.yaml"], "did you mean demo"),
        (["train"], "name an experiment"),
        (["train", "--plan", "--resume", "latest"], "name an experiment"),
        (["train", "--resume", "latest", "optim.lr=1e-3"], "there is no run in runs"),
        (["generate", "nothing-here", "--out", "x.wav"], "no run 'nothing-here'"),
        (["render", "missing.mid"], "missing.mid"),
        (["show", "demo", "optim.rl=1"], "did you mean"),
    ],
)
def test_a_mistake_is_one_message(tmp_path: Path, arguments: list[str], word: str) -> None:
    result = lh(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_render_from_the_command_line(tmp_path: Path) -> None:
    from lh_mm.music.compose import compose
    from lh_mm.music.midi_io import write_midi

    score = compose(2, "house", 12).score
    assert score is not None
    write_midi(score.crop(0, 3), tmp_path / "a.mid")
    result = CliRunner().invoke(
        cli.app, ["render", str(tmp_path / "a.mid"), "--kit", "kit03", "--sample-rate", "24000", "--stems"]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "a.wav").is_file()
    assert list(tmp_path.glob("a.*.wav"))


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lh_mm.run.info.info", interrupted)
    result = CliRunner().invoke(cli.app, ["info", "demo"])
    assert result.exit_code == 130
    assert "the same command goes on" in result.output
