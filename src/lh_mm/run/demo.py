"""`lh demo`: from nothing to a page of music to hear, see and compare, in minutes on two CPU cores.

Prepares a small synthetic corpus, trains a hybrid and an attention-only model on it (short runs, and said so),
lets the shipped weights continue a phrase and play given notes, evaluates all three on the same held-out pieces
and writes one page. What a former call has done is not done again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lh_mm.audio.instruments.synth import Synth
from lh_mm.audio.pictures import piano_roll, spectrogram
from lh_mm.core.assets import assets_root
from lh_mm.core.files import read_json, sha256_of
from lh_mm.core.log import console
from lh_mm.core.reproduce import environment
from lh_mm.data.held_out import MIN_NOTES, held_out_crops
from lh_mm.data.prepared import PreparedSet
from lh_mm.evaluate.report import Audio, Code, Curves, Picture, Report, Section, Table, write_report
from lh_mm.evaluate.settings import EvaluateConfig
from lh_mm.evaluate.table import RunScores
from lh_mm.music.midi_write import write_midi
from lh_mm.music.score import Score
from lh_mm.run.assemble import prepare_data
from lh_mm.run.bundle import Bundle
from lh_mm.run.compare import settings_that_differ, table_of
from lh_mm.run.evaluate import EVALUATION, evaluate_on
from lh_mm.run.experiment import load_experiment
from lh_mm.run.generate import Musician, decode_codes
from lh_mm.run.generate_files import generate
from lh_mm.run.runs import DEMO, find_bundle
from lh_mm.run.scores import reference_rows, scores_of
from lh_mm.run.train import train_once
from lh_mm.systems.tracking import read_metrics

EXPERIMENTS = ("demo", "demo_attention")
SMOKE = (
    "data.overrides={pieces: 24, duration_s: 12, name: demo-smoke}", "sequence.crop_s=2", "trainer.max_steps=2",
    "trainer.batch_size=2", "trainer.valid_every=1", "trainer.valid_batches=1", "evaluate.likelihood_rows=4",
    "evaluate.num_crops=2", "evaluate.num_transcriptions=0", "evaluate.num_infills=0", "evaluate.crop_s=1",
)  # fmt: skip
"""The least that passes through every room. A model of two steps fills every slot with events to the limit, so nothing
is transcribed and little is composed."""
PROMPT_S, CONTINUED_S, PLAYED_S = 4.0, 10.0, 10.0


@dataclass(frozen=True)
class Judged:
    """One row of the table with what the page shows of it."""

    scores: RunScores
    tree: dict[str, Any]
    curve: tuple[list[int], list[float]]


def demo(out: Path, *, smoke: bool = False) -> str:
    """Do all of it; returns where the page is.

    Args:
        out: folder of the page, the trainings and the sounds.
        smoke: the least that passes through every room.
    """
    started = time.perf_counter()
    overrides = SMOKE if smoke else ()
    config = load_experiment(EXPERIMENTS[0], overrides).config
    console().print("1/4 a corpus: synthetic electronic music, composed and played here")
    dataset = prepare_data(config)
    console().print("2/4 two short trainings: a hybrid, and attention alone at equal size")
    runs = [train_once(name, overrides, out / "trainings") for name in EXPERIMENTS]
    shipped = (assets_root() / "weights" / DEMO / "bundle.json").is_file()
    musician = DEMO if shipped else str(runs[0])
    console().print(f"3/4 {'the shipped weights make' if shipped else 'the hybrid just trained makes'} music")
    sounds = _make_music(musician, dataset, out / "music", scale=0.1 if smoke else 1.0)
    console().print("4/4 all on the same held-out pieces")
    settings = config.evaluate
    judged = [_judge(run, dataset, settings, run) for run in runs]
    if shipped:
        judged.append(_judge(find_bundle(DEMO), dataset, settings, out / "shipped"))
    page = write_report(_report(judged, sounds, dataset, time.perf_counter() - started), out / "report.html")
    return f"{page} ({time.perf_counter() - started:.0f} s)\nopen it in a browser: it needs no network"


def _judge(run: Path, dataset: PreparedSet, settings: EvaluateConfig, out: Path) -> Judged:
    """A bundle's scores on the demo's own held-out pieces; kept until bundle, data or settings change."""
    bundle = Bundle.load(find_bundle(str(run)))
    asked = settings.model_dump(mode="json")
    path = out / EVALUATION
    data = f"{dataset.about['name']}/{dataset.path.name[:12]}"
    evaluation = read_json(path) if path.is_file() else {}
    if evaluation.get("settings") != asked or evaluation.get("data") != data:
        console().print(f"evaluating {bundle.manifest['name']}")
        evaluation = evaluate_on(bundle, dataset, settings, out)
    metrics = run / "metrics.csv"
    rows = [(s, v) for s, name, v in read_metrics(metrics) if name == "train/nats_total"] if metrics.is_file() else []
    minutes = bundle.manifest["training"]["minutes"]
    shipped = bundle.path.parent == run.parent
    scores = RunScores(
        bundle.manifest["name"], scores_of(evaluation),
        note=f"{'shipped weights, ' if shipped else ''}{bundle.manifest['training']['steps']:,} steps, {minutes} min",
    )  # fmt: skip
    curve = ([step for step, _ in rows], [value for _, value in rows])
    return Judged(scores, bundle.experiment.model_dump(mode="json"), curve)


def _make_music(run: str, dataset: PreparedSet, folder: Path, scale: float) -> list[Section]:
    """What a bundle does with held-out notes: play them, and continue them."""
    musician = Musician.load(run)
    whose = "the shipped weights" if run == DEMO else f"{musician.bundle.manifest['name']}, trained for this page"
    played_s, prompt_s, continued_s = PLAYED_S * scale, PROMPT_S * scale, CONTINUED_S * scale
    chosen = held_out_crops(dataset, "test", 1, played_s, seed=0, on_bars=True)
    if not chosen:
        raise ValueError(f"{dataset.path}: no held-out piece has {MIN_NOTES} notes in {played_s:g} s")
    piece, start_s = chosen[0]
    whole = dataset.score(piece)
    assert whole is not None
    notes = whole.crop(start_s, start_s + played_s)
    folder.mkdir(parents=True, exist_ok=True)
    midi = folder / f"given-{sha256_of([piece.id, start_s, played_s])[:8]}.mid"
    if not midi.is_file():
        write_midi(notes, midi)
    options: dict[str, Any] = {
        "audio": None, "hole_s": None, "controls": [], "temperature": 0.9, "top_k": 0, "top_p": 0.9, "seed": 0,
    }  # fmt: skip
    played = generate(
        run, folder / "played.wav", task="midi_to_audio", midi=midi, duration_s=played_s, prompt_s=None, guidance=2.0,
        **options,
    )  # fmt: skip
    continued = generate(
        run, folder / "continued.wav", task="continue", midi=midi, duration_s=continued_s, prompt_s=prompt_s,
        guidance=1.0, **options,
    )  # fmt: skip
    rate = musician.sample_rate
    codec = musician.bundle.codec
    first, count = round(start_s * dataset.rate_hz), round(played_s * dataset.rate_hz)
    original = dataset.audio(piece, piece.tracks[0])[round(start_s * rate) : round((start_s + played_s) * rate)]
    codes = np.asarray(dataset.codes(piece, piece.tracks[0])[first : first + count], np.int64)
    round_trip = decode_codes(codec, [codes])[0]
    return [
        Section(
            "Sound for given notes",
            f"The model sees these notes of a piece it was not trained on ({piece.id}) and writes the sound, frame by "
            "frame, as codec codes. Above it what it could at best have sounded like: the synthesizer that played the "
            "corpus, and the same through the codec.",
            (
                _audio("The notes, played by the synthesizer", original, rate, notes),
                _audio("The same through the codec: the best any model of these codes can reach", round_trip, rate),
                _audio(f"Written by {whose} from the notes alone", _read(played, rate), rate),
            ),
        ),
        Section(
            "A phrase continued",
            f"The first {prompt_s:g} seconds of notes are given; notes and sound behind them are the model's. "
            "Twice the same notes: with the sound that the model wrote along with them, and played by the synthesizer.",
            (
                _audio("Notes and sound by the model", _read(continued, rate), rate, _midi(continued)),
                _audio("The model's notes, played by the synthesizer", _rendered(_midi(continued), rate), rate),
            ),
        ),
    ]


def _report(judged: Sequence[Judged], sounds: list[Section], dataset: PreparedSet, seconds: float) -> Report:
    table = table_of([*(j.scores for j in judged), *reference_rows(judged[0].scores)])
    differences = settings_that_differ({j.scores.name: j.tree for j in judged[:2]})
    curves = Curves(
        "Training", {j.scores.name: j.curve for j in judged if j.curve[0]}, "step", "nats, all heads",
        caption="Sum over the heads of their mean nats a target: notes and the codebooks.",
    )  # fmt: skip
    env = environment()
    hours = dataset.stats["all"]["hours"]
    return Report(
        title="LittleHolland, the demo",
        lead="A corpus, two short trainings, music made by a model, and one table that holds all of it together on "
        "pieces no model has seen.",
        sections=(
            *sounds,
            Section(
                "Comparison",
                "All rows are measured on the same crops of the same held-out pieces. 'Share of reachable' is 1 where "
                "generated sound follows its notes as well as the codec's own round trip does, and 0 where it follows "
                "them no better than another piece of the same style and tempo would.",
                (Table(table),),
            ),
            Section("Learning", "Two models of equal size, equal data, equal steps.", (curves, Code(differences))),
            Section(
                "Do it yourself",
                "",
                (Code("lh train experiments/demo.yaml trainer.max_steps=2000\nlh evaluate latest"),),
            ),
        ),
        notes=(
            f"All music here is synthetic: {len(dataset)} pieces, {hours:.2f} hours, composed and played by this "
            "repository.",
            "The two trainings of this page are short: they show that everything works, not which model is better. "
            "With few crops the intervals are wide.",
        ),
        environment={
            "commit": str((env["git"] or {}).get("commit", "none")),
            "python": env["python"],
            "torch": env["packages"].get("torch", ""),
            "machine": f"{env['hardware']['cpu']}, {env['hardware']['cores']} cores",
            "wall time": f"{seconds:.0f} s",
        },
    )


def _audio(title: str, wave: np.ndarray, rate: int, score: Score | None = None) -> Audio:
    pictures = [Picture(spectrogram(wave, rate), f"spectrogram: {title}")]
    if score is not None:
        pictures.insert(0, Picture(piano_roll(score), f"piano roll: {title}"))
    return Audio(title, wave, rate, pictures=tuple(pictures))


def _read(path: Path, rate: int) -> np.ndarray:
    from lh_mm.audio.io import read_audio

    return read_audio(path, rate, mono=True)[0][0]


def _midi(sound: Path) -> Score:
    from lh_mm.music.midi_io import read_midi

    return read_midi(sound.with_suffix(".mid"))


def _rendered(score: Score, rate: int) -> np.ndarray:
    return Synth(channels=1).render(score, rate)[0]
