"""Every shipped recipe loads and says what it is; the synthetic one runs end to end; mistakes are all reported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lh_mm.core.assets import asset
from lh_mm.core.config import ConfigError
from lh_mm.data.recipe import find_recipe, load_recipe
from lh_mm.run import prepare as verb

RECIPES = sorted(path.name for path in asset("data_recipes").glob("*.yaml"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_loads(name: str) -> None:
    overrides = ["path=somewhere"] if name == "folder.yaml" else []
    recipe = load_recipe(f"data_recipes/{name}", overrides).config
    assert recipe.name == name.removesuffix(".yaml") and recipe.licence
    assert find_recipe(name.removesuffix(".yaml")).name == name


def test_notes_of_the_smoke_recipe_end_to_end_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LH_DATA", str(tmp_path))
    overrides = ["codec=null", "features=null", "workers=1"]
    prepared = verb.prepare("smoke", overrides)
    assert len(prepared) == 4 and prepared.path.parent == tmp_path / "smoke"
    with caplog.at_level("INFO"):
        assert verb.prepare("smoke", overrides).path == prepared.path
    assert "nothing to do" in caplog.text
    assert verb.check_set(verb.open_set("smoke")) == []
    assert "4 pieces" in verb.list_sets()[0] and "control style" in verb.show_set(prepared)


def test_overrides_reach_the_corpus_without_a_prefix() -> None:
    recipe = load_recipe("smoke", ["pieces=7", "corpus.first_seed=3", "audio.keep=true"]).config
    assert (recipe.corpus.pieces, recipe.corpus.first_seed, recipe.audio.keep) == (7, 3, True)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (["pieces=0", "audio.rendr=synth"], ["corpus.pieces", "did you mean 'audio.render'"]),
        (["styles={polka: 1}"], ["unknown style polka; the styles are"]),
        (["kits_held_out=[kit99]"], ["unknown kit kit99"]),
        (["corpus.kind=electronics"], ["unknown kind", "did you mean 'electronic'"]),
        (["audio.render=none"], ["codec: corpus 'electronic' has no sound; set audio.render: synth"]),
    ],
)
def test_mistakes_are_reported_with_path_and_value(overrides: list[str], messages: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe("smoke", overrides)
    for message in messages:
        assert message in str(caught.value)


def test_a_folder_needs_a_path_and_an_unknown_recipe_is_named() -> None:
    with pytest.raises(ConfigError, match=r"corpus\.path: required"):
        load_recipe("folder")
    with pytest.raises(ConfigError, match=r"there are: .*smoke\.yaml"):
        load_recipe("smok")


def test_a_codec_of_another_rate_is_refused() -> None:
    class Other:
        rate_hz, sample_rate = 50.0, 16_000

    with pytest.raises(ValueError, match=r"rate_hz: 75\.0 is not the codec's rate, 50"):
        load_recipe("smoke", ["rate_hz=75"]).config.rate_of(Other())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"audio\.sample_rate: 24000, but the codec takes 16000"):
        load_recipe("smoke").config.rate_of(Other())  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "folder", "path=absent"], "there is no folder absent"),
        (["prepare", "smoke", "pices=3"], "no such key"),
        (["show", "absent"], "no prepared set 'absent'"),
    ],
)
def test_users_mistakes_end_with_a_message_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lh_mm.cli.main", "data", *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
