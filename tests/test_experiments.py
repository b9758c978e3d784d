"""Every experiment loads, is built without numbers, and takes two steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lh_mm.core.assets import asset
from lh_mm.core.config import load_config
from lh_mm.run.experiment import Experiment, load_experiment
from lh_mm.run.plan import plan_text, planned_spec
from lh_mm.run.show import show
from lh_mm.run.train_codec import CodecExperiment

ROOT = asset("experiments")
ALL = sorted(str(p.relative_to(ROOT)) for p in ROOT.rglob("*.yaml"))
CODECS = [name for name in ALL if name.startswith("codec/")]
MODELS = [name for name in ALL if name not in CODECS]
SMOKE = (
    "trainer.max_steps=2", "trainer.batch_size=1", "trainer.valid_every=2", "trainer.valid_batches=1",
    "trainer.precision=fp32", "trainer.max_minutes=null", "trainer.max_music_h=null", "trainer.threads=1",
    "tracking.tensorboard=false",
)  # fmt: skip
SMALL = {"dim": 32, "head_dim": 16, "heads": 2, "kv_heads": 1, "attention_dim": 32, "ff_dim": 32}


def test_every_experiment_is_in_the_table() -> None:
    table = (ROOT / "README.md").read_text()
    assert [name for name in ALL if f"({name})" not in table] == []


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_experiment_loads(name: str) -> None:
    assert load_config(CodecExperiment, ROOT / name).config.question


@pytest.mark.parametrize("name", MODELS)
def test_loads_asks_its_question_and_is_built_on_meta(name: str) -> None:
    config = load_experiment(ROOT / name).config
    assert config.question.endswith("?")
    spec, _ = planned_spec(config)
    with torch.device("meta"):
        model = config.model.build(spec)
    assert model.num_parameters() > 0
    assert config.question in plan_text(config)
    assert f"name: {config.name}" in show(str(ROOT / name))


def test_models_that_are_compared_are_of_equal_size() -> None:
    sizes = []
    for name in ("demo.yaml", "demo_attention.yaml"):
        config = load_experiment(ROOT / name).config
        spec, _ = planned_spec(config)
        with torch.device("meta"):
            sizes.append(config.model.build(spec).num_parameters())
    assert max(sizes) / min(sizes) < 1.03


ABLATIONS = sorted(name for name in MODELS if name.startswith("ablation/"))


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_is_as_large_and_as_long_as_what_it_changes(name: str) -> None:
    configs = [load_experiment(ROOT / each).config for each in ("hybrid/tiny.yaml", name)]
    sizes = []
    for config in configs:
        spec, _ = planned_spec(config)
        with torch.device("meta"):
            sizes.append(config.model.build(spec).num_parameters())
    # What is taken away is the front end, or tables of codes are put in place of vectors: the rest is equal.
    assert abs(sizes[1] / sizes[0] - 1) < {"ablation/no_frontend.yaml": 0.08, "ablation/code_tables.yaml": 0.55}.get(
        name, 0.035
    )
    for part in ("optim", "trainer", "data", "loss"):
        assert getattr(configs[0], part) == getattr(configs[1], part), part


@pytest.mark.parametrize("name", MODELS)
def test_two_steps(
    name: str, codec_folder: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch
) -> None:
    from lh_mm.run.train import train

    monkeypatch.setenv("LH_DATA", str(tmp_path_factory.getbasetemp() / "experiments_data"))
    config: Experiment = load_experiment(ROOT / name).config
    small = [f"codec.source: {codec_folder}", "pieces: 3", "duration_s: 8", "features.num_bins: 24"]
    data = f"data={{recipe: smoke, overrides: {{{', '.join(small)}}}}}"
    crop = ["sequence.crop_s=1"] if config.sequence.kind == "merged" else ["sequence.length=64"]
    crop += ["sequence.context=32"] if hasattr(config.sequence, "context") else []
    model = ["sequence.voices=8"] if config.sequence.kind == "chorale" else []  # the music here has five instruments
    model += [f"model.{key}={value}" for key, value in SMALL.items() if key in type(config.model).model_fields]
    run = train(str(ROOT / name), [data, *crop, *SMOKE, *model], runs=tmp_path)
    assert (run / "bundle" / "model.safetensors").is_file()


GROUPS = {
    "pop909_remi": ("pop909_remi_hybrid", "pop909_remi_music_transformer", "pop909_remi_gpt2"),
    "pop909_musenet": ("pop909_musenet", "pop909_musenet_hybrid", "pop909_musenet_structure"),
    "pop909_performance": (
        "pop909_performance_music_transformer", "pop909_performance_hybrid", "pop909_performance_gpt2",
    ),
    "mmm": ("mmm", "mmm_hybrid"),
    "groove_musenet": ("groove_musenet", "groove_musenet_hybrid"),
    "groove_performance": (
        "groove_performance_music_transformer", "groove_performance_hybrid", "groove_performance_gpt2",
    ),
    "jsb": ("jsb_music_transformer", "jsb_absolute", "jsb_hybrid", "jsb_rotary", "jsb_gpt2", "jsb_musenet"),
}  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_symbolic_baselines_of_one_group_differ_in_their_model_alone(group: str) -> None:
    configs = [load_experiment(ROOT / f"baseline/symbolic/{name}.yaml").config for name in GROUPS[group]]
    operations = []
    for config in configs:
        spec, _ = planned_spec(config)
        with torch.device("meta"):
            operations.append(config.model.build(spec).flops_per_position(config.sequence.length))
    assert max(operations) / min(operations) < 1.2  # tables of positions make some larger, not slower
    for part in ("optim", "trainer", "data", "evaluate"):
        assert len({getattr(config, part).model_dump_json() for config in configs}) == 1, part
    kinds = {config.sequence.model_copy(update={"structure": False}).model_dump_json() for config in configs}
    assert len(kinds) == 1
    music = {config.trainer.max_music_h for config in configs}
    assert None not in music


def test_every_symbolic_baseline_of_a_corpus_reads_as_much_music() -> None:
    hours: dict[str, set[float | None]] = {}
    for file in (ROOT / "baseline" / "symbolic").glob("*.yaml"):
        config = load_experiment(file).config
        hours.setdefault(str(config.data.recipe), set()).add(config.trainer.max_music_h)
    assert set(hours) == {"pop909", "groove", "jsb"}
    assert all(len(found) == 1 for found in hours.values())
