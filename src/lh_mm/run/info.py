"""`lh info`: what a bundle is and what can be asked of it."""

from __future__ import annotations

import json
from typing import Any

from lh_mm.music.bars import DRUMS
from lh_mm.music.grid import STEPS_PER_BEAT, STEPS_PER_S
from lh_mm.music.mmm import CONTROL_RANGES, Mmm
from lh_mm.music.tokenizer import Vocabulary
from lh_mm.music.vocabulary import EventVocabulary
from lh_mm.run.bundle import Bundle
from lh_mm.run.note_flags import BAR_TASKS, TOKEN_TASKS
from lh_mm.run.runs import find_bundle
from lh_mm.run.scores import scores_of, written

_MEANINGS = {
    "density": "notes a bar, in tenths of the windows of its instrument in training",
    "polyphony": "notes at once",
    "duration": "of notes: 32nd, 16th, 8th, quarter, half, whole",
}
"""What the numbers of MMM's attributes count; `music/bars.py` has the formulas."""


def info(run: str) -> str:
    """A page of text about a run's bundle.

    Raises:
        ValueError: if there is no such run or it has no bundle.
    """
    bundle = Bundle.load(find_bundle(run))
    manifest, spec, training = bundle.manifest, bundle.spec, bundle.manifest["training"]
    tasks = ", ".join(task.kind for task in getattr(bundle.experiment.sequence, "tasks", ()))
    if not isinstance(bundle.vocabulary, EventVocabulary):
        tasks = ", ".join(BAR_TASKS if isinstance(bundle.vocabulary, Mmm) else TOKEN_TASKS)
    lines = [
        f"{manifest['name']}: {bundle.experiment.question}",
        f"folder       {bundle.path}",
        f"parameters   {manifest['num_parameters']:,} ({bundle.experiment.model.kind})",
        f"tasks        {tasks}",
        f"streams      {', '.join(f'{s.name} ({s.kind})' for s in spec.streams)} at {spec.rate_hz:g} slots a second",
    ]
    if not isinstance(bundle.vocabulary, EventVocabulary):
        lines += _of_notes_alone(bundle.vocabulary, bundle.experiment.sequence)
    codec = bundle.codec
    if codec is not None:
        lines.append(
            f"codec        {codec.num_codebooks} codebooks of {codec.codebook_size}, {codec.sample_rate} Hz, "
            f"{codec.fingerprint[:12]}"
        )
    lines += [f"control      {control.name} = {', '.join(control.values)}" for control in spec.controls]
    lines += [
        f"trained on   {training['data']} {training['fingerprint'][:12]}: {training['pieces']} pieces, "
        f"{training['hours']:.2f} h{', synthetic' if training.get('synthetic') else ''}",
        f"licence      {training['licence']}",
        f"training     {training['steps']:,} steps, {training['minutes']} minutes",
    ]
    if bundle.scores:
        own = {key: score for key, score in scores_of(bundle.scores).items() if key != "parameters"}
        lines += [f"score        {name} {text} ({context})" for name, text, context in written(own)]
    return "\n".join(lines)


def _of_notes_alone(vocabulary: Vocabulary, sequence: Any) -> list[str]:
    """Lines about a bundle's tokens: kind and grid; of MMM's what a window is and what its tracks can be asked."""
    stored = json.loads(vocabulary.to_json())
    kind = " ".join(str(stored[key]) for key in ("kind", "tokenization") if key in stored)
    steps = stored.get(STEPS_PER_BEAT) or getattr(vocabulary, STEPS_PER_BEAT, None)
    grid = f"{stored[STEPS_PER_S]} steps a second" if STEPS_PER_S in stored else f"{steps} steps a beat"
    lines = [f"tokens       {kind}: {vocabulary.size} ids, {grid}"]
    if not isinstance(vocabulary, Mmm):
        return lines
    lines.append(f"window       {sequence.bars} bars, up to {sequence.max_tracks} tracks")
    if vocabulary.densities:  # one for each instrument of the training pieces
        known = ("drums" if i == DRUMS else str(i) for i in sorted(vocabulary.densities))
        lines.append(f"instruments  {', '.join(known)}")
    for name, (least, most) in CONTROL_RANGES.items():
        what = name.lower()
        pitched = "" if name == "DENSITY" else "; not of drums"
        lines.append(f"attribute    {what} = {least} to {most} ({_MEANINGS[what.rpartition('_')[2]]}{pitched})")
    return lines
