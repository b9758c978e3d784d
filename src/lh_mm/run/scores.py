"""An evaluation as figures of a comparison: what compares with what, and what stands beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lh_mm.evaluate.table import Measured, RunScores
from lh_mm.run.columns import METRICS, MUSIC, REFERENCES

MEASURES = 3
"""Counts changes of what figures of composed music mean: older ones are left out, for they do not compare."""


def reference_rows(run: RunScores) -> list[RunScores]:
    """The references that a run was measured with, as rows of their own."""
    rows = []
    for row, label in REFERENCES.items():
        own = {key.removeprefix(f"{row}."): s for key, s in run.scores.items() if key.startswith(f"{row}.")}
        if own:
            name, _, note = label.partition(", ")
            rows.append(RunScores(name, own, note=note, reference=True))
    return rows


def scores_of(evaluation: Mapping[str, Any]) -> dict[str, Measured]:
    """The figures of an `evaluation.json`, with what they were measured on; those of references as `row.key`."""
    data = f"{evaluation['data']} {evaluation['split']}"
    tokens = f"{data}, {evaluation.get('tokens_of') or evaluation['sequence']}"
    scores = {"parameters": Measured(evaluation["parameters"] / 1e6, "any")}
    tasks = evaluation.get("likelihood", {}).get("tasks", {})
    for task in ("symbolic", "audio_to_midi", "midi_only", "joint"):
        if "events" in tasks.get(task, {}):
            events = tasks[task]["events"]
            context = f"{tokens}, {task}, {events['rows']} rows"
            if events["notes"]:
                scores["events_per_note"] = Measured(events["nats"] / events["notes"], context, num=events["notes"])
            if evaluation["sequence"] == "merged":  # of notes alone there are bits a second, with an interval
                scores["events_per_second"] = Measured(events["nats"] / events["seconds"], context, num=events["rows"])
            break
    if "codes" in tasks.get("midi_to_audio", {}):
        codes = tasks["midi_to_audio"]["codes"]
        context = f"{tokens}, codec {evaluation['codec']}, {codes['rows']} rows"
        scores["codes_per_second"] = Measured(codes["nats"] / codes["seconds"], context, num=codes["rows"])
    _notes_alone(scores, evaluation, data, tokens)
    if four := evaluation.get("four_rows"):
        context = f"{data}, codec {evaluation['codec']}, {four['num_crops']} crops of {four['crop_s']} s"
        generated = four["rows"]["generated"]
        for key, name in (
            ("onset_f1_50", "onset_f1_50ms"),
            ("onset_f1_25", "onset_f1_25ms"),
            ("bass", "bass_accuracy"),
            ("mel_correlation", "mel_correlation"),
        ):
            _add(scores, key, generated.get(name), context)
            for row in REFERENCES.keys() & four["rows"].keys():
                _add(scores, f"{row}.{key}", four["rows"][row].get(name), context)
        _add(scores, "share_50", four["ratios"]["onset_f1_50ms"], context)
        _add(scores, "share_25", four["ratios"]["onset_f1_25ms"], context)
    if heard := evaluation.get("transcription"):
        _add(scores, "note_f1", heard["own"], f"{data}, {heard['num_crops']} crops")
    if filled := evaluation.get("infill"):
        context = f"{data}, {filled['num_crops']} holes of {filled['hole_s']:g} s"
        _add(scores, "infill_f1", filled["own"], context)
    if speed := evaluation.get("speed"):
        scores["realtime"] = Measured(speed["realtime"], f"{speed['machine']}, batch {speed['batch_size']}")
    return scores


def _notes_alone(scores: dict[str, Measured], evaluation: Mapping[str, Any], data: str, tokens: str) -> None:
    """Figures of models of notes alone."""
    if (heard := evaluation.get("training", {}).get("music_h")) is not None:
        scores["music_h"] = Measured(heard, "any")
    if (flops := evaluation.get("flops_per_position")) is not None:
        scores["flops"] = Measured(flops / 1e6, "any")
    rows = evaluation["settings"]["likelihood_rows"]
    whole = f"{tokens}, {'whole split' if rows is None else f'{rows} rows'}"
    for key in ("nats_per_token", "bits_per_second"):
        _add(scores, key, evaluation.get("tokens", {}).get(key), whole)
    if floor := evaluation.get("floor"):
        _floors(scores, evaluation, floor, tokens)
    made = evaluation.get("symbolic")
    if made and evaluation.get("measures", 1) >= MEASURES:
        _composed(scores, made, data, tokens)


def _floors(scores: dict[str, Measured], evaluation: Mapping[str, Any], floor: Mapping[str, Any], tokens: str) -> None:
    """N-grams are measured on the whole split, so they stand beside what a model makes of all of it."""
    whole = f"{tokens}, whole split"
    own = scores.get("events_per_note")
    heard = evaluation.get("likelihood", {}).get("tasks", {}).get("midi_only", {}).get("events")
    all_rows = evaluation["settings"]["likelihood_rows"] is None
    for row, key in (("floor", "test_nats_per_note"), ("legal_floor", "test_nats_per_note_legal")):
        if key in floor:
            nats = floor[key] * floor["notes"]
            context = own.context if own is not None and all_rows else whole
            scores[f"{row}.events_per_note"] = Measured(floor[key], context, num=floor["notes"])
            scores[f"{row}.nats_per_token"] = Measured(nats / floor["tokens"], whole, num=floor["tokens"])
            if heard is not None and all_rows:
                bits = nats / math.log(2) / heard["seconds"]
                scores[f"{row}.bits_per_second"] = Measured(bits, whole, num=floor["tokens"])


def _composed(scores: dict[str, Measured], made: Mapping[str, Any], data: str, tokens: str) -> None:
    """Figures of composed music, beside held-out music and music of training; of MMM either part may be missing."""
    music = ""
    if "num_pieces" in made:
        music = f"{tokens}, {made['num_pieces']} pieces of {made['piece_s']:g} s"
        _add(scores, "overlap", made["overlap_mean"], music)
        _add(scores, "alike.overlap", made["overlap_data_mean"], music)
        scores["illegal"] = Measured(made["illegal_unmasked"], music)
        for at, side in (("", "generated"), ("data.", "data")):
            _add(scores, f"{at}copied", made["copied_notes"][side], music)
            for key, *_ in MUSIC:
                own = made[side].get(key, {})
                _add(scores, f"{at}music_{key}", own if "value" in own else None, f"{music}, grid {own.get('grid')}")
        scores["notes_per_s"] = Measured(made["notes_per_s"], f"{tokens}, batch {made['num_pieces']}")
    windows = made.get("infill", {}).get("num_windows")
    asked = music if windows is None else f"{tokens}, {windows} windows"
    for name, followed in made.get("controls", {}).items():
        for at, key in (("follows", "spearman"), ("deaf", "chance_spearman"), ("data.follows", "data_spearman")):
            if followed[key] is not None:
                low, high = (followed.get(k) if at == "follows" else None for k in ("low", "high"))
                scores[f"{at}_{name}"] = Measured(followed[key], asked, low, high, followed["num"])
    if filled := made.get("infill"):
        context = f"{data}, {filled['num_windows']} windows of {filled['bars']} bars"
        _add(scores, "bars_f1", filled["own"], context)
        _add(scores, "other.bars_f1", filled["shuffled"], context)


def _add(scores: dict[str, Measured], key: str, interval: Mapping[str, float] | None, context: str) -> None:
    if interval is not None:
        scores[key] = Measured(interval["value"], context, interval["low"], interval["high"], int(interval["num"]))


def written(scores: Mapping[str, Measured]) -> list[tuple[str, str, str]]:
    """The figures of one run: the column's name, the figure, what it was measured on.

    References of the same context stand in brackets behind the figure, others in lines of their own.
    """
    lines = []
    for metric in METRICS:
        own = scores.get(metric.key)
        known = ((label.partition(", ")[0], scores.get(f"{row}.{metric.key}")) for row, label in REFERENCES.items())
        references = [(name, f"{each.value:,.{metric.digits}f}", each.context) for name, each in known if each]
        context = None if own is None else own.context
        if own is not None:
            interval = "" if own.low is None else f" [{own.low:,.{metric.digits}f}, {own.high:,.{metric.digits}f}]"
            beside = ", ".join(f"{name} {text}" for name, text, of in references if of == context)
            brackets = f" ({beside})" if beside else ""
            lines.append((metric.name, f"{own.value:,.{metric.digits}f}{interval}{brackets}", own.context))
        lines += [(f"{metric.name}, {name}", text, of) for name, text, of in references if of != context]
    return lines
