"""Make weights that ship of a run: its bundle in bfloat16, with the scores that were measured on just these weights.

    python -m lh_mm.run.ship runs/demo-bundle/<id> weights/demo
    lh evaluate demo --out runs/shipped
    python -m lh_mm.run.ship runs/demo-bundle/<id> weights/demo --scores runs/shipped/evaluation.json

Rounding to bfloat16 changes the weights, so the second call measures what ships and not what was trained. Writing the
same run twice gives the same files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from lh_mm.core.files import read_json, write_json
from lh_mm.core.log import LOGGER, setup_logging
from lh_mm.run.bundle import CARD, MODEL, SCORES, Bundle, save_bundle
from lh_mm.run.runs import find_bundle
from lh_mm.run.scores import scores_of, written

MAX_BYTES = 10_000_000
"""Of the model's weights: a clone of the repository stays small."""


def ship(run: str, out: Path, scores: Path | None = None) -> str:
    """Write the bundle of `run` to `out`; returns what was written.

    Args:
        run: as `find_run` takes it.
        out: folder of the shipped bundle; an older one is replaced.
        scores: `evaluation.json` of these weights, kept as the bundle's scores and as a table in its card.

    Raises:
        ValueError: no such run, weights that are too large to ship, or scores of another bundle.
    """
    bundle = Bundle.load(find_bundle(run))
    size = 2 * sum(value.numel() for value in bundle.weights().values())
    if size > MAX_BYTES:
        raise ValueError(f"{bundle.path / MODEL}: {size / 1e6:.1f} MB in bfloat16, at most {MAX_BYTES / 1e6:g} MB ship")
    card = (bundle.path / CARD).read_text(encoding="utf-8")
    evaluation = None
    if scores is not None:
        evaluation = {key: value for key, value in read_json(scores).items() if key != "environment"}
        if evaluation["parameters"] != bundle.manifest["num_parameters"]:
            raise ValueError(f"{scores}: of a model of {evaluation['parameters']:,} parameters, not of {bundle.path}")
        card += "\n## Measured\n\n" + _table(evaluation)
    save_bundle(
        out, experiment=bundle.experiment, spec=bundle.spec, vocabulary=bundle.vocabulary, weights=bundle.weights(),
        codec=bundle.codec, features=bundle.features, training=bundle.manifest["training"], card=card,
        num_parameters=bundle.model.num_parameters(), dtype=torch.bfloat16,
    )  # fmt: skip
    (out / MODEL).chmod(0o644)  # safetensors makes files private; shipped weights are not
    if evaluation is not None:
        write_json(out / SCORES, evaluation)
    return f"{out}: {bundle.manifest['name']}, {size / 1e6:.1f} MB of weights"


def _table(evaluation: dict[str, object]) -> str:
    """The scores as Markdown, with what each was measured on."""
    rows = [f"| {name} | {text} | {context} |" for name, text, context in written(scores_of(evaluation))]
    return "\n".join(["| measure | value | on |", "|---|---|---|", *rows]) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Command line: a run, the folder to write, scores."""
    parser = argparse.ArgumentParser(prog="python -m lh_mm.run.ship", description=__doc__)
    parser.add_argument("run")
    parser.add_argument("out", type=Path)
    parser.add_argument("--scores", type=Path)
    args = parser.parse_args(argv)
    setup_logging()
    LOGGER.info("%s", ship(args.run, args.out, args.scores))


if __name__ == "__main__":
    main()
