"""A mistake in a file or an override never passes, and all of them are told at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from lh_mm.core.config import Config, ConfigError, load_config


class Mamba(Config):
    kind: Literal["mamba"] = "mamba"
    dim: int = Field(64, gt=0)
    """Width."""


class Transformer(Config):
    kind: Literal["transformer"] = "transformer"
    heads: int = 4


class Optim(Config):
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)


class Data(Config):
    recipe: str | None = None
    folder: str | None = None


class Root(Config):
    name: str = "x"
    model: Annotated[Mamba | Transformer, Field(discriminator="kind")] = Mamba()
    optim: Optim = Optim()
    data: Data = Data()


def load(tmp_path: Path, text: str, *overrides: str) -> Root:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    return load_config(Root, path, overrides, alternatives=[("recipe", "folder")]).config


def problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, *overrides)
    return caught.value.problems


def test_both_mistakes_are_told_with_the_nearest_key(tmp_path) -> None:
    found = problems(tmp_path, "name: a", "modle.dim=3", "optim.lr=abc")
    assert len(found) == 2
    assert any("modle" in line and "did you mean 'model'" in line for line in found)
    assert any(line.startswith("optim.lr:") and "'abc'" in line for line in found)


def test_an_unknown_key_of_a_variant_names_its_path(tmp_path) -> None:
    found = problems(tmp_path, "model: {kind: transformer, head: 2}")
    assert found == ["model.head: no such key, got 2 (did you mean 'model.heads'?)"]


def test_a_key_of_another_place_is_found_there(tmp_path) -> None:
    assert "did you mean 'optim.lr'" in problems(tmp_path, "lr: 0.1")[0]


def test_an_unknown_kind_is_told_the_nearest(tmp_path) -> None:
    assert "did you mean 'mamba'" in problems(tmp_path, "model: {kind: mamb}")[0]


@pytest.mark.parametrize(
    ("text", "word"),
    [("- a", "keys and values"), ("a: [", "not valid YAML"), ("name: a\nname: b", "given twice"), ("base: 3", "base")],
)
def test_bad_files_are_named(tmp_path, text, word) -> None:
    assert word in problems(tmp_path, text)[0]


@pytest.mark.parametrize("override", ["optim.lr", "=3", "a..b=1"])
def test_an_override_without_key_and_value_is_refused(tmp_path, override) -> None:
    assert "key=value" in problems(tmp_path, "name: a", override)[0]


def test_floats_that_yaml_reads_as_strings_are_numbers(tmp_path) -> None:
    assert load(tmp_path, "optim: {lr: 1e-3}", "optim.betas=[0.8, 9e-1]").optim == Optim(lr=1e-3, betas=(0.8, 0.9))


def test_off_is_a_word_and_false_is_not(tmp_path) -> None:
    assert load(tmp_path, "name: off", "data.folder=no").model_dump()["name"] == "off"
    assert problems(tmp_path, "name: false") == ["name: Input should be a valid string, got False"]


def test_another_kind_replaces_the_node_and_an_alternative_its_sibling(tmp_path) -> None:
    config = load(
        tmp_path, "model: {kind: mamba, dim: 8}\ndata: {recipe: r}", "model.kind=transformer", "data.folder=f"
    )
    assert config.model == Transformer()
    assert config.data == Data(folder="f")


def test_a_file_inherits_from_its_parent_and_sources_are_known(tmp_path) -> None:
    (tmp_path / "parent.yaml").write_text("name: parent\noptim: {lr: 0.5}\nmodel: {kind: mamba, dim: 8}")
    (tmp_path / "x.yaml").write_text("base: parent.yaml\nmodel: {dim: 16}")
    loaded = load_config(Root, tmp_path / "x.yaml", ["name=mine"])
    assert (loaded.config.name, loaded.config.optim.lr, loaded.config.model) == ("mine", 0.5, Mamba(dim=16))
    assert loaded.sources["optim", "lr"] == "parent.yaml"
    assert loaded.sources["model", "dim"] == "x.yaml"
    assert loaded.sources["name",] == "command line"


def test_a_circle_of_parents_is_refused(tmp_path) -> None:
    (tmp_path / "y.yaml").write_text("base: x.yaml")
    assert "leads back" in problems(tmp_path, "base: y.yaml")[0]


def test_a_missing_file_names_its_neighbour(tmp_path) -> None:
    (tmp_path / "demo.yaml").write_text("name: a")
    with pytest.raises(ConfigError, match=r"did you mean demo\.yaml"):
        load_config(Root, tmp_path / "dmeo.yaml")


def test_a_file_cannot_run_code(tmp_path) -> None:
    assert "not valid YAML" in problems(tmp_path, "name: !!python/object/apply:os.system ['true']")[0]


def test_a_variant_without_its_kind_is_told_so(tmp_path) -> None:
    assert problems(tmp_path, "model: {dim: 3}") == ["model: needs its 'kind', got {'dim': 3}"]


def test_frozen(tmp_path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path, "name: a").optim.lr = 2.0
