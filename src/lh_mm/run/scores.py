"""An evaluation as figures of a comparison: which columns there are, what each means, what compares with what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lh_mm.evaluate.table import Measured, Metric, RunScores

MEASURES = 2
"""Counts changes of what figures of composed music mean: older ones are left out, for they do not compare."""
_FOLLOWED = (("density", "density"), ("max_polyphony", "polyphony"), ("max_duration", "duration"))

METRICS = (
    Metric("parameters", "parameters", None, "M", digits=2, definition="Trainable numbers of the model, in millions."),
    Metric(
        "music_h", "hours heard", None, digits=1, definition="Music read in training, all epochs, as rows hold it."
    ),
    Metric(
        "flops", "MFLOP/token", None, digits=1,
        definition="Operations of the forward pass of a position in a row of the training length.",
    ),
    Metric(
        "nats_per_token", "nats/token", False,
        definition="Nats of tokens (END included) over their number, held-out pieces, symbolic runs.",
    ),
    Metric(
        "bits_per_second", "bits/s", False, digits=1,
        definition="Bits of all tokens a second of held-out music, symbolic runs.",
    ),
    Metric(
        "events_per_note", "nats/note", False,
        definition="Nats of all event targets over the number of notes they begin, symbolic runs and joint tasks.",
    ),
    Metric(
        "events_per_second", "events nats/s", False, digits=2,
        definition="Nats of event targets a second of held-out music, audio to MIDI and joint crops.",
    ),
    Metric(
        "codes_per_second", "codes nats/s", False, digits=1,
        definition="Nats of codec codes a second of held-out music, MIDI to audio crops.",
    ),
    Metric("floor_per_note", "floor nats/note", None, definition="Witten-Bell n-gram of the same tokens and split."),
    Metric(
        "legal_floor_per_note", "legal floor nats/note", None,
        definition="The same with each distribution cut to what the grammar allows, as the model's is.",
    ),
    Metric(
        "onset_f1_50", "onset F1 50 ms", True,
        definition="Given notes' onsets against onsets found in the generated sound, one to one, within 50 ms.",
    ),
    Metric("onset_f1_25", "onset F1 25 ms", True, definition="The same within 25 ms."),
    Metric(
        "share_50", "share of reachable 50 ms", True,
        definition="(own - shuffled) / (codec round trip - shuffled) of onset F1 at 50 ms; shuffled is another piece "
        "of the same style, brought to the same tempo.",
    ),
    Metric("share_25", "share of reachable 25 ms", True, definition="The same at 25 ms."),
    Metric("bass", "bass pitch class", True, definition="Share of bass notes whose pitch class is heard."),
    Metric("mel_correlation", "mel correlation", True, definition="Of log-mels with the original's."),
    Metric(
        "note_f1", "note F1", True,
        definition="Audio to MIDI: pitched notes found, onset within 50 ms and pitch right (mir_eval).",
    ),
    Metric(
        "infill_f1", "infill note F1", True,
        definition="Notes of a hole whose sound is heard: onset within 50 ms and pitch right (mir_eval).",
    ),
    Metric(
        "overlap", "overlap", True, digits=2,
        definition="Shared area of histograms of composed and held-out music: pitch, pitch class, drum, duration, "
        "onset interval (sixteenths), notes a bar (for tokens of seconds in eighths of one, and without bars); the "
        "mean of those that the music has.",
    ),
    Metric(
        "overlap_data", "overlap, training", None, digits=2,
        definition="The same of as many training pieces: as near as music comes that is only of the same kind.",
    ),
    Metric(
        "illegal", "illegal without mask", False, digits=4,
        definition="Share of tokens drawn without the grammar's mask that it bars; 0 with it. But for MMM's the loss "
        "of training counts what the grammar allows alone, so nothing teaches a model to avoid the rest.",
    ),
    Metric(
        "copied", "copied notes", None, digits=1,
        definition="Longest run of notes (pitch, and sixteenths or, for tokens of seconds, eighths of a second to the "
        "next onset) shared with a training piece, mean.",
    ),
    Metric(
        "copied_data", "copied notes, data", None, digits=1, definition="The same of the held-out music itself."
    ),
    *(
        Metric(
            f"follows_{name}", f"follows {title}", True, digits=2,
            definition=f"Spearman correlation of the {title} that was asked for and the one that came. MMM: one track "
            "is asked at a time, ranks within its instrument. Else: a whole piece's is asked, its beginning composed.",
        )
        for name, title in _FOLLOWED
    ),
    *(
        Metric(
            f"{side}_{name}", f"{title}, {label}", None, digits=2, definition=definition,
        )
        for name, title in _FOLLOWED
        for side, label, definition in (
            ("deaf", "not asked", "The same correlation with what would have come of no request."),
            ("data", "held-out music", "The same correlation with what held-out music itself has."),
        )
    ),
    Metric(
        "bars_f1", "bars note F1", True,
        definition="Notes of two bars of all tracks filled anew: onset within 50 ms and pitch right (mir_eval).",
    ),
    Metric(
        "bars_f1_other", "bars note F1, another window's", None,
        definition="The same of what was filled into another window, at this one's tempo.",
    ),
    Metric(
        "notes_per_s", "notes/s", None, digits=0,
        definition="Notes composed a second, all pieces in one batch, whatever ran beside it: "
        "benchmarks/symbolic.py is what compares speeds.",
    ),
    Metric(
        "realtime", "x real time", True, digits=1,
        definition="Seconds of sound generated a second, on the machine and batch of the evaluation.",
    ),
)  # fmt: skip


REFERENCES = {
    "original": "original, the sound itself",
    "codec": "codec round trip, the bound of every model of its codes",
    "shuffled": "another piece of the same style and tempo, chance",
}
"""Rows that every run on the same crops shares."""


def reference_rows(run: RunScores) -> list[RunScores]:
    """The references that a run was measured with, as rows of their own."""
    rows = []
    for row, label in REFERENCES.items():
        own = {key.removeprefix(f"{row}."): s for key, s in run.scores.items() if key.startswith(f"{row}.")}
        if own:
            name, note = label.split(", ")
            rows.append(RunScores(name, own, note=note, reference=True))
    return rows


def scores_of(evaluation: Mapping[str, Any]) -> dict[str, Measured]:
    """The figures of an `evaluation.json`, with what they were measured on."""
    data = f"{evaluation['data']} {evaluation['split']}"
    tokens = f"{data}, {evaluation.get('tokens_of') or evaluation['sequence']}"
    scores = {"parameters": Measured(evaluation["parameters"] / 1e6, "any")}
    _symbolic(scores, evaluation, data, tokens)
    tasks = evaluation.get("likelihood", {}).get("tasks", {})
    for task in ("symbolic", "audio_to_midi", "midi_only", "joint"):
        if "events" in tasks.get(task, {}):
            events = tasks[task]["events"]
            context = f"{tokens}, {task}, {events['rows']} rows"
            if events["notes"]:
                scores["events_per_note"] = Measured(events["nats"] / events["notes"], context, num=events["notes"])
            scores["events_per_second"] = Measured(events["nats"] / events["seconds"], context, num=events["rows"])
            break
    if "codes" in tasks.get("midi_to_audio", {}):
        codes = tasks["midi_to_audio"]["codes"]
        context = f"{tokens}, codec {evaluation['codec']}, {codes['rows']} rows"
        scores["codes_per_second"] = Measured(codes["nats"] / codes["seconds"], context, num=codes["rows"])
    if floor := evaluation.get("floor"):
        scores["floor_per_note"] = Measured(floor["test_nats_per_note"], tokens)
        if "test_nats_per_note_legal" in floor:
            scores["legal_floor_per_note"] = Measured(floor["test_nats_per_note_legal"], tokens)
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
            for row in REFERENCES:
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


def _symbolic(scores: dict[str, Measured], evaluation: Mapping[str, Any], data: str, tokens: str) -> None:
    """Figures of models of notes alone."""
    if (heard := evaluation.get("training", {}).get("music_h")) is not None:
        scores["music_h"] = Measured(heard, "any")
    if (flops := evaluation.get("flops_per_position")) is not None:
        scores["flops"] = Measured(flops / 1e6, "any")
    rows = evaluation["settings"]["likelihood_rows"]
    whole = f"{tokens}, {'whole split' if rows is None else f'{rows} rows'}"
    for key in ("nats_per_token", "bits_per_second"):
        _add(scores, key, evaluation.get("tokens", {}).get(key), whole)
    made = evaluation.get("symbolic")
    if not made or evaluation.get("measures", 1) < MEASURES:
        return
    music = f"{tokens}, {made['num_pieces']} pieces of {made['piece_s']:g} s"
    _add(scores, "overlap", made["overlap_mean"], music)
    _add(scores, "overlap_data", made["overlap_data_mean"], music)
    scores["illegal"] = Measured(made["illegal_unmasked"], music)
    _add(scores, "copied", made["copied_notes"]["generated"], music)
    _add(scores, "copied_data", made["copied_notes"]["data"], music)
    windows = made.get("infill", {}).get("num_windows")
    asked = music if windows is None else f"{tokens}, {windows} windows"
    for name, followed in made["controls"].items():
        for side, key in (("follows", "spearman"), ("deaf", "chance_spearman"), ("data", "data_spearman")):
            if followed[key] is not None:
                low, high = (followed.get(k) if side == "follows" else None for k in ("low", "high"))
                scores[f"{side}_{name}"] = Measured(followed[key], asked, low, high, followed["num"])
    if filled := made.get("infill"):
        context = f"{data}, {filled['num_windows']} windows of {filled['bars']} bars"
        _add(scores, "bars_f1", filled["own"], context)
        _add(scores, "bars_f1_other", filled["shuffled"], context)
    scores["notes_per_s"] = Measured(made["notes_per_s"], f"{tokens}, batch {made['num_pieces']}")


def _add(scores: dict[str, Measured], key: str, interval: Mapping[str, float] | None, context: str) -> None:
    if interval is not None:
        scores[key] = Measured(interval["value"], context, interval["low"], interval["high"], int(interval["num"]))
