"""`lh`: the command line. One thin file a verb; nothing heavy is imported before a verb needs it."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
import typer.core

from lh_mm.cli import codec, compare, data, demo, doctor, evaluate, generate, info, render, show, train

HELP = """LittleHolland: MIDI and audio on one clock.

Prepare music, train a model on it, hear what it makes, compare it fairly:

  lh data prepare data_recipes/electronic.yaml     music to aligned notes, codes and features\n
  lh train experiments/demo.yaml                   one training run; --plan says what it costs\n
  lh generate demo --midi in.mid --out out.wav     sound for your notes from the shipped weights\n
  lh evaluate latest                               measures of a run\n
  lh compare RUN RUN                               one table, one listening page

A RUN is a folder, a run id, `latest`, or `demo` (the weights that ship with the package). Prepared data
lives in $LH_DATA (default ./data), runs in ./runs. Settings are overridden as key=value: `lh show X.yaml`
lists them all."""


class Verbs(typer.core.TyperGroup):
    """The verbs; Ctrl-C ends one with a word on how to go on, not with "Aborted!"."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; exit code 130 after Ctrl-C, as shells expect."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.stderr.write("\nstopped; what was finished is kept, the same command goes on from there\n")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Verbs,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.command("generate")(generate.generate)
app.command("render")(render.render)
app.add_typer(codec.app, name="codec")
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("show")(show.show)
app.command("info")(info.info)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def main() -> None:
    """Run `lh`; a user's mistake ends with its message and exit code 2, not with a traceback."""
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("LH_DEBUG"):
            raise
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
