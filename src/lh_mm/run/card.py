"""The card of a bundle: what it is, what it was trained on, what it was measured at, whom to thank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lh_mm.run.experiment import Experiment


def card_of(experiment: Experiment, training: Mapping[str, Any], num_parameters: int) -> str:
    """Markdown for a bundle's README.md.

    Args:
        experiment: resolved.
        training: as in `bundle.json`.
        num_parameters: of the model.
    """
    kinds = ", ".join(task.kind for task in getattr(experiment.sequence, "tasks", ())) or experiment.sequence.kind
    synthetic = " (synthetic)" if training.get("synthetic") else ""
    parent = f"\n* Began with the weights of `{training['init_from']}`." if training.get("init_from") else ""
    return f"""# {experiment.name}

{experiment.question}

* A `{experiment.model.kind}` of {num_parameters:,} parameters, trained by `lh_mm` for: {kinds}.
* Data: `{training["data"]}`{synthetic}: {training["pieces"]} training pieces, {training["hours"]:.2f} hours.
* Licence of the data: {training["licence"]}
* {training["steps"]:,} steps in {training["minutes"]} minutes.{parent}

`lh info` prints what it can do; `scores.json`, where there is one, holds what was measured and how.
"""
