"""The page on notes alone is run: a folder is trained on, and bars are composed, filled, added and gone on with."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lh_mm.cli import main as cli
from lh_mm.core.assets import asset
from lh_mm.core.files import read_json
from lh_mm.music.compose import compose
from lh_mm.music.midi_io import read_midi
from lh_mm.music.midi_write import write_midi
from lh_mm.music.tokenizer import KINDS
from lh_mm.run.compose_bars import NoteOptions
from lh_mm.run.experiment import load_experiment
from lh_mm.run.generate import Musician

SMALL = (
    "sequence.length=512", "model.shape={n_layer: 1, n_head: 2, n_embd: 32, n_positions: 513}", "trainer.max_steps=2",
    "trainer.batch_size=1", "trainer.valid_every=2", "trainer.valid_batches=1", "trainer.max_music_h=null",
    "trainer.precision=fp32", "trainer.threads=1", "tracking.tensorboard=false",
)  # fmt: skip


def test_the_page_runs(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (repository / "docs" / "symbolic.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    folder = tmp_path / "midi"
    folder.mkdir()
    for seed in range(3):
        score = compose(seed, "house", 16.0).score
        assert score is not None
        write_midi(score, folder / f"{seed}.mid")
    (folder / "broken.mid").write_bytes(b"MThd nonsense")
    monkeypatch.setenv("LH_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"FOLDER": str(folder), "OVERRIDES": SMALL}
    exec(compile(code, "symbolic.md", "exec"), names)  # noqa: S102 (our own page)
    assert len(read_midi(tmp_path / "sketch.mid").notes) == len(names["longer"].score.notes)
    assert len(names["busier"].score.notes) >= len(names["filled"].score.notes)
    told = [path for path in (tmp_path / "data").rglob("*.json*") if "broken" in path.read_text()]
    assert told, "the file that cannot be read is named where the set is described"
    (made,) = {path.parent for path in (tmp_path / "data").rglob("DONE")}
    assert not list(made.rglob("*.flac")), "rows without sound wait for no synthesizer"
    assert not list(made.glob("codes.*"))
    arguments = ["--folder", folder, "--steps", 2, "--bundle", names["run"], "--out", tmp_path]
    small = [word for override in SMALL for word in ("--set", override)]
    monkeypatch.setattr(sys, "argv", ["warm_start.py", *map(str, arguments), *small])
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    runpy.run_path(str(repository / "benchmarks" / "warm_start.py"), run_name="__main__")
    valid = read_json(tmp_path / "warm_start.midi.mmm.json")["valid"]
    assert set(valid) == {"from scratch", "from the bundle"}
    assert all(list(curve)[-1] == "2" for curve in valid.values())
    assert valid["from scratch"]["2"] != valid["from the bundle"]["2"]


def test_the_commands_for_the_shipped_weights_run(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (repository / "docs" / "symbolic.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    commands = [line for block in blocks for line in block.splitlines() if "demo-mmm" in line]
    assert {line.split()[1] for line in commands} == {"generate", "train"}
    monkeypatch.setenv("LH_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_music").mkdir()
    for seed in range(3):
        score = compose(seed, "techno", 16.0).score
        assert score is not None
        write_midi(score, tmp_path / "my_music" / f"{seed}.mid")
    for command in commands:
        words = shlex.split(command)[1:]
        small = [word for word in SMALL if not word.startswith("model.")] if words[0] == "train" else []
        result = CliRunner().invoke(cli.app, [*words, *small], catch_exceptions=False)
        assert result.exit_code == 0, f"{command}: {result.output}"
    assert {int(program) for program in read_midi(tmp_path / "new.mid").notes["program"]} == {80, 0}
    assert len(list(tmp_path.glob("runs/*/*/bundle"))) == len(commands) - 1


@pytest.mark.parametrize("bundle", ["demo-mmm", "demo-mmm-hybrid"])
def test_the_shipped_weights_do_what_the_page_says(bundle: str) -> None:
    musician = Musician.load(bundle)
    composed = musician.generate(notes=NoteOptions(instruments=(80, 0)), seed=1).score
    assert {int(program) for program in composed.notes["program"]} == {80, 0}
    held = composed.notes["pitch"].copy()
    denser = musician.generate(composed, notes=NoteOptions(instruments=(0,), attributes={"DENSITY": 9}), seed=2).score
    assert set(map(int, held)) <= {int(pitch) for pitch in denser.notes["pitch"]}
    scores = read_json(asset("weights") / bundle / "scores.json")
    assert scores["likelihood"]["tasks"]["midi_only"]["events"]["tokens"] > 1e5


def test_the_page_names_every_tokenizer_and_file(repository: Path) -> None:
    text = (repository / "docs" / "symbolic.md").read_text()
    assert all(f"| `{kind}` |" in text for kind in KINDS)
    links = re.findall(r"\]\((\.\./[^)]+)\)", text)
    assert links
    assert all((repository / "docs" / link).resolve().is_file() for link in links)
    assert load_experiment(asset("experiments") / "baseline/symbolic/mmm.yaml").config.sequence.kind == "mmm"
