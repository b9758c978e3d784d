"""`lh evaluate`: one set of measures for every run, written to `evaluation.json` beside its bundle.

Likelihood of held-out music beside its floor; sound generated for held-out notes, judged in four rows against
those notes; notes written down from held-out sound; statistics of free compositions beside those of the data.
Every figure says what it was measured on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lh_mm.core.config import validate
from lh_mm.core.files import write_json
from lh_mm.core.reproduce import environment
from lh_mm.data.bar_rows import BarRows
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.rows import SequenceConfig
from lh_mm.data.token_rows import TokenRows
from lh_mm.evaluate.likelihood import fixed_rows, measure_likelihood
from lh_mm.evaluate.settings import EvaluateConfig
from lh_mm.evaluate.token_nats import TokenNats
from lh_mm.run.assemble import prepare_data
from lh_mm.run.bundle import SCORES, Bundle
from lh_mm.run.floor import symbolic_floor
from lh_mm.run.judging import judge_compositions, judge_midi_to_audio
from lh_mm.run.judging_bars import judge_bars
from lh_mm.run.judging_notes import judge_audio_to_midi, judge_infill
from lh_mm.run.judging_tokens import judge_tokens
from lh_mm.run.prepare import prepare
from lh_mm.run.runs import find_bundle, find_run
from lh_mm.run.scores import MEASURES, scores_of, written

EVALUATION = "evaluation.json"


def evaluate(run: str, overrides: Sequence[str] = (), out: Path | None = None, on: str | None = None) -> str:
    """Measure a run; returns a summary in words.

    Args:
        run: as `find_run` takes it.
        overrides: `key=value` of the evaluation's settings.
        out: folder of `evaluation.json` and `crops/`; by default the run's own, or `on-<recipe>/` in it.
        on: a recipe of other music to measure it on, in place of its own held-out pieces.

    Raises:
        ValueError: for a run without a bundle, settings that are not, or music of another codec or front end.
    """
    bundle = Bundle.load(find_bundle(run))
    settings = settings_of(bundle, overrides)
    dataset = prepare_data(bundle.experiment) if on is None else _other_music(bundle, on)
    out = out or find_run(run) / ("" if on is None else f"on-{dataset.about['name']}")
    evaluation = evaluate_on(bundle, dataset, settings, out)
    # A shipped bundle carries the scores it shipped with.
    if on is None and (bundle.path.parent / "experiment.yaml").is_file():
        write_json(bundle.path / SCORES, {k: v for k, v in evaluation.items() if k != "environment"})
    return summary(evaluation)


def _other_music(bundle: Bundle, recipe: str) -> PreparedSet:
    """A recipe's prepared set, if the bundle can read it."""
    dataset = prepare(recipe)
    codec = dataset.about["codec"]["fingerprint"] if dataset.about["codec"] else None
    if bundle.codec is not None and codec != bundle.codec.fingerprint:
        raise ValueError(
            f"--on {recipe}: its codes are of codec {str(codec)[:12]}, the bundle's is {bundle.codec.fingerprint[:12]}"
        )
    if bundle.spec.feature_dim and dataset.feature_config != bundle.features:
        raise ValueError(
            f"--on {recipe}: its features are {dataset.feature_config}, the bundle's are {bundle.features}"
        )
    return dataset


def evaluate_on(bundle: Bundle, dataset: PreparedSet, settings: EvaluateConfig, out: Path) -> dict[str, Any]:
    """Measure a bundle on a prepared set and write `evaluation.json` and a few sounds to `out`."""
    started = time.perf_counter()
    evaluation = {
        "name": bundle.manifest["name"],
        "measures": MEASURES,
        "environment": environment(),
        "data": f"{dataset.about['name']}/{dataset.path.name[:12]}",
        "split": settings.split,
        "sequence": bundle.experiment.sequence.kind,
        "tokens_of": tokens_of(bundle.experiment.sequence),
        "codec": None if bundle.codec is None else bundle.codec.fingerprint[:12],
        "parameters": bundle.manifest["num_parameters"],
        "training": {key: bundle.manifest["training"].get(key) for key in ("steps", "minutes", "music_h")},
        "flops_per_position": bundle.model.flops_per_position(_row_length(bundle)),
        "settings": settings.model_dump(mode="json"),
        **measure(bundle, dataset, settings, out / "crops"),
    }
    evaluation["seconds"] = round(time.perf_counter() - started, 1)
    write_json(out / EVALUATION, evaluation)
    return evaluation


_WINDOWING = {
    "kind", "length", "context", "transpose", "start_share", "control_dropout", "fill_share", "min_filled",
    "max_tracks", "thin_share", "crop_s", "tasks",
}  # fmt: skip
"""Settings of a sequence that say how training draws rows, not what tokens mean or a model is told."""


def tokens_of(sequence: SequenceConfig) -> str:
    """What rows are made of, in words: their kind, and the settings without which figures do not compare."""
    if sequence.kind == "merged":
        return "merged"
    told = {key: value for key, value in sequence.model_dump(mode="json").items() if key not in _WINDOWING}
    return ", ".join([sequence.kind, *(f"{key} {value}" for key, value in sorted(told.items()))])


def _row_length(bundle: Bundle) -> int:
    """Positions of a row, at which operations are counted."""
    length = getattr(bundle.experiment.sequence, "length", None)
    if length is not None:
        return int(length)
    return int(bundle.experiment.sequence.crop_s * bundle.spec.rate_hz)  # type: ignore[union-attr]


def settings_of(bundle: Bundle, overrides: Sequence[str]) -> EvaluateConfig:
    """The experiment's settings with overrides.

    Raises:
        ConfigError: for a key or a value that is not.
    """
    tree: dict[str, Any] = bundle.experiment.evaluate.model_dump(mode="json")
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ValueError(f"{override}: an override is written key=value")
        tree[key.removeprefix("evaluate.")] = value
    return validate(EvaluateConfig, tree, "evaluate")


def measure(bundle: Bundle, dataset: PreparedSet, settings: EvaluateConfig, crops_dir: Path) -> dict[str, Any]:
    """All measures that the bundle's streams allow, as plain values."""
    result: dict[str, Any] = {}
    source = bundle.rows(dataset)
    if settings.likelihood_rows != 0 and source.has(settings.split):
        rows = source.evaluation(settings.split)
        if settings.likelihood_rows is not None:
            rows = fixed_rows(source, settings.split, settings.likelihood_rows, bundle.vocabulary.begins_note)
        tokens = TokenNats(source.vocabulary) if isinstance(source, TokenRows | BarRows) else None
        observe = None if tokens is None else tokens.observe
        likelihood = measure_likelihood(bundle.model, rows, bundle.spec, observe=observe)
        result["likelihood"] = likelihood.model_dump(mode="json")
        if tokens is not None:
            result["tokens"] = tokens.summary()
    if isinstance(source, TokenRows | BarRows):
        return result | _notes_alone(bundle, dataset, source, settings)
    tasks = {task.kind for task in getattr(bundle.experiment.sequence, "tasks", ())}
    if "midi_to_audio" in tasks and settings.num_crops and bundle.codec is not None:
        result |= judge_midi_to_audio(bundle, dataset, settings, crops_dir)
    if "audio_to_midi" in tasks and settings.num_transcriptions and bundle.codec is not None:
        result["transcription"] = judge_audio_to_midi(bundle, dataset, settings)
    fills_notes = any(
        task.kind == "infill" and task.what.get("midi") for task in getattr(bundle.experiment.sequence, "tasks", ())
    )
    if fills_notes and settings.num_infills and bundle.codec is not None:
        result["infill"] = judge_infill(bundle, dataset, settings)
    if tasks & {"joint", "midi_only"} and settings.num_pieces:
        result["music"] = judge_compositions(bundle, dataset, settings)
    return result


def _notes_alone(
    bundle: Bundle, dataset: PreparedSet, source: TokenRows | BarRows, settings: EvaluateConfig
) -> dict[str, Any]:
    """The floor of a symbolic run, and what it composes."""
    result: dict[str, Any] = {}
    if settings.ngram_order:
        result["floor"] = symbolic_floor(source, settings.split, settings.ngram_order)
    made = None
    if isinstance(source, BarRows) and (settings.num_pieces or settings.num_windows):
        made = judge_bars(bundle, dataset, source, settings)
    elif isinstance(source, TokenRows) and settings.num_pieces:
        made = judge_tokens(bundle, dataset, source, settings)
    return result if made is None else {**result, "symbolic": made}


def summary(evaluation: Mapping[str, Any]) -> str:
    """The most important figures in words."""
    lines = [f"{evaluation['name']} on {evaluation['data']} {evaluation['split']}"]
    lines += [f"  {name}: {text}  ({context})" for name, text, context in written(scores_of(evaluation))]
    if four := evaluation.get("four_rows"):
        for row, values in four["rows"].items():
            cells = ", ".join(f"{name} {v['value']:.3f}" for name, v in values.items() if v is not None)
            lines.append(f"  {row}: {cells}")
    return "\n".join(lines)
