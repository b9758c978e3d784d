"""The columns of a comparison, what each means, and the references that stand below the runs."""

from __future__ import annotations

from lh_mm.evaluate.table import Metric

_FOLLOWED = (("density", "density"), ("max_polyphony", "polyphony"), ("max_duration", "duration"))

MUSIC = (
    ("notes_per_second", "notes/s of music", "", 2, "notes of all kinds over its seconds."),
    ("pitch_class_entropy_bits", "pitch class entropy", "bits", 2, "of pitched notes, at most 3.585."),
    (
        "scale_consistency", "scale consistency", "", 3,
        "largest share of pitched notes in one of the 24 major and natural minor scales.",
    ),
    (
        "groove_consistency", "groove consistency", "", 3,
        "1 less the mean share of 16ths at which neighbouring bars (of the main meter) differ in having an onset.",
    ),
    (
        "drum_pattern_consistency", "drum pattern consistency", "", 3,
        "share of drum notes on quarters of a beat or, if larger, on thirds of it.",
    ),
    ("polyphony", "polyphony", "", 2, "distinct pitches that sound in a 16th, where any does."),
    ("empty_measure_rate", "empty measures", "", 3, "share of bars (of the main meter) in which nothing sounds."),
)  # fmt: skip
"""Statistics of composed music, of which none is better high or low: held-out music's stand below."""

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
        definition="Nats of event targets a second of held-out music: audio to MIDI, merged notes alone, joint crops.",
    ),
    Metric(
        "codes_per_second", "codes nats/s", False, digits=1,
        definition="Nats of codec codes a second of held-out music, MIDI to audio crops.",
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
        "illegal", "illegal without mask", None, digits=4,
        definition="Share of tokens drawn without the grammar's mask that it bars; 0 with it. But for MMM's the loss "
        "of training counts what the grammar allows alone, so nothing teaches a model to avoid the rest: not ranked.",
    ),
    *(
        Metric(f"music_{key}", title, None, unit, digits, f"Of composed music: {definition}")
        for key, title, unit, digits, definition in MUSIC
    ),
    Metric(
        "copied", "copied notes", None, digits=1,
        definition="Longest run of notes (pitch, and sixteenths or, for tokens of seconds, eighths of a second to the "
        "next onset) shared with a training piece, mean.",
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
            f"deaf_{name}", f"{title}, not asked", None, digits=2,
            definition="The same correlation with what would have come of no request.",
        )
        for name, title in _FOLLOWED
    ),
    Metric(
        "bars_f1", "bars note F1", True,
        definition="Notes of two bars of all tracks filled anew: onset within 50 ms and pitch right (mir_eval).",
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
    "floor": "n-grams, interpolated Witten-Bell of the same tokens without END, order chosen on valid, whole split",
    "legal_floor": "n-grams within the grammar, the same cut to what the grammar allows, as the models are",
    "data": "held-out music, the pieces whose controls were asked for, as they are",
    "alike": "training music, as many pieces of it: as near as music comes that is only of the same kind",
    "other": "another window's bars, at this one's tempo, chance",
}
"""Rows that every run on the same music shares."""
