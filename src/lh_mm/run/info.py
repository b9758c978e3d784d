"""`lh info`: what a bundle is and what can be asked of it."""

from __future__ import annotations

from lh_mm.run.bundle import Bundle
from lh_mm.run.runs import find_bundle
from lh_mm.run.scores import scores_of, written


def info(run: str) -> str:
    """A page of text about a run's bundle.

    Raises:
        ValueError: if there is no such run or it has no bundle.
    """
    bundle = Bundle.load(find_bundle(run))
    manifest, spec, training = bundle.manifest, bundle.spec, bundle.manifest["training"]
    tasks = ", ".join(task.kind for task in getattr(bundle.experiment.sequence, "tasks", ()))
    lines = [
        f"{manifest['name']}: {bundle.experiment.question}",
        f"folder       {bundle.path}",
        f"parameters   {manifest['num_parameters']:,} ({bundle.experiment.model.kind})",
        f"tasks        {tasks or bundle.experiment.sequence.kind}",
        f"streams      {', '.join(f'{s.name} ({s.kind})' for s in spec.streams)} at {spec.rate_hz:g} slots a second",
    ]
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
