"""`lh train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    experiment: Annotated[
        str | None,
        typer.Argument(help="An experiment file, or its name in experiments/ (demo). Not needed with --resume."),
    ] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, for example optim.lr=1e-3.")] = None,
    plan: Annotated[bool, typer.Option(help="Only say what it would cost: parameters, memory, tokens, time.")] = False,
    resume: Annotated[str | None, typer.Option(help="Go on with this run (a folder, an id, latest).")] = None,
    out: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("runs"),
) -> None:
    """Train a model: one run, any hardware.

    The data is prepared first if it is not. Ctrl-C ends the run after the step it is in; --resume goes on,
    and a resumed run equals one that was never stopped.

    Train on your own folder of MIDI: lh train experiments/demo.yaml data.folder=my_music
    """
    from lh_mm.nn.allocator import keep_memory
    from lh_mm.run import train as run

    keep_memory()
    settings = overrides or []
    if experiment is not None and resume is not None and "=" in experiment:  # --resume RUN optim.lr=1e-3
        settings.insert(0, experiment)
        experiment = None
    if plan:
        if experiment is None:
            raise ValueError("--plan: name an experiment")
        typer.echo(run.plan(experiment, settings))
    else:
        run.train(experiment, settings, resume=resume, runs=out)
