"""Where a run's numbers, pictures and sounds go: CSV and TensorBoard always, Weights & Biases when asked.

The only file that imports wandb, for trainings and for comparisons of them. Everything of a training is
logged from rank 0: `wandb.log` on another rank crashes a run.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from lh_mm.core.config import Config
from lh_mm.core.files import write_atomic


class TrackingConfig(Config):
    """Where metrics go besides `metrics.csv` and TensorBoard."""

    wandb: Literal["off", "offline", "online"] = "off"
    """Weights & Biases; `offline` writes a folder that `wandb sync` uploads later."""
    project: str = "littleholland"
    """Project of Weights & Biases."""
    group: str | None = None
    """Group of Weights & Biases, by default the experiment's name."""
    tensorboard: bool = True
    """Write TensorBoard events beside the CSV."""


class CsvLog(Logger):
    """`metrics.csv` in long form: `step,name,value`, appended to, never rewritten.

    Lightning's own CSVLogger deletes an earlier log when a run is resumed. Here a resumed run first drops
    the lines behind the step it resumes from, so that its file equals that of a run that never stopped.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The resolved experiment is beside the log; nothing is written twice."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        is_new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["step", "name", "value"])
            writer.writerows([step, name, repr(float(value))] for name, value in metrics.items() if name != "epoch")

    @rank_zero_only
    def forget_after(self, step: int) -> None:
        """Drop lines of steps that a resumed run will take again."""
        if self.path.exists():
            rows = read_metrics(self.path)
            kept = [row for row in rows if row[0] <= step]
            text = io.StringIO()
            csv.writer(text).writerows([("step", "name", "value"), *((s, n, repr(v)) for s, n, v in kept)])
            with write_atomic(self.path) as file:
                file.write(text.getvalue().encode())


def read_metrics(path: Path) -> list[tuple[int, str, float]]:
    """The rows of a `metrics.csv`: (step, name, value), without a last line that a killed process left unfinished."""
    whole, newline, _ = path.read_text(encoding="utf-8").rpartition("\n")
    rows = csv.DictReader(io.StringIO(whole + newline))
    return [(int(row["step"]), row["name"], float(row["value"])) for row in rows]


def build_loggers(config: TrackingConfig, run_dir: Path, name: str, tree: Mapping[str, Any]) -> list[Logger]:
    """The loggers of a run.

    Args:
        config: what was asked for.
        run_dir: where the run lives.
        name: of the experiment.
        tree: the resolved experiment, sent to Weights & Biases as its config.
    """
    loggers: list[Logger] = [CsvLog(run_dir / "metrics.csv")]
    if config.tensorboard:
        loggers.append(TensorBoardLogger(run_dir, name="tensorboard", version=""))
    if config.wandb != "off":
        loggers.append(
            WandbLogger(
                name=run_dir.name, save_dir=run_dir, offline=config.wandb == "offline", project=config.project,
                group=config.group or name, id=run_dir.name, resume="allow", config=dict(tree), log_model=False,
            )
        )  # fmt: skip
    return loggers


def log_comparison(
    folder: Path, mode: Literal["offline", "online"], tables: Mapping[str, Mapping[str, Any]], page: Path
) -> None:
    """Log a comparison as one run of Weights & Biases: figures in its summary, the page as it is, no machine's paths.

    Args:
        folder: where the run's files go, below `wandb/`.
        mode: `offline` writes what `wandb sync` uploads later.
        tables: by title, as `ComparisonTable.json` gives them.
        page: of the comparison.
    """
    import wandb

    settings = wandb.Settings(
        mode=mode, console="off", silent=True, host="", disable_git=True, disable_code=True, x_disable_meta=True,
        x_disable_stats=True, x_disable_machine_info=True,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    project = TrackingConfig().project
    with wandb.init(dir=folder, project=project, name=folder.name, job_type="compare", settings=settings) as run:
        for title, table in tables.items():  # no `wandb.Table`: its staging folder's path would be in the run
            for row in table["rows"]:
                figures = {key: cell["value"] for key, cell in row["cells"].items() if cell["value"] is not None}
                run.summary.update({f"{title}/{row['label']}/{key}": value for key, value in figures.items()})
        run.log({"report": wandb.Html(page.read_text(encoding="utf-8"), inject=False)})


@rank_zero_only
def log_sound(loggers: Sequence[Logger], name: str, wave: NDArray[np.float32], sample_rate: int, step: int) -> None:
    """Log a sound, (channels, samples), to every logger that can play it."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_audio(name, wave.mean(0, keepdims=True), step, sample_rate)
        elif isinstance(logger, WandbLogger):
            logger.log_audio(name, [wave.T], step=step, sample_rate=[sample_rate])


@rank_zero_only
def log_picture(loggers: Sequence[Logger], name: str, png: bytes, step: int) -> None:
    """Log a PNG to every logger that can show it."""
    from PIL import Image  # comes with matplotlib

    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, image, step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(name, [image], step=step)
