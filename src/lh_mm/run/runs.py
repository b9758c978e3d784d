"""Runs on disk: where they are, how they are named, what a person may call them."""

from __future__ import annotations

import difflib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from lh_mm.core.assets import asset, assets_root

BUNDLE = "bundle"
DEMO = "demo"


SHARED_RUN = "LH_RUN_DIR"
"""Tells the processes of one distributed training which folder is theirs."""


def new_run_dir(runs: Path, name: str) -> Path:
    """A fresh `runs/<name>/<id>`; the id begins with the time, so that names sort by age.

    A process that was launched for a run of several takes the folder that it was told.

    Raises:
        ValueError: launched by torchrun and not told.
    """
    if told := os.environ.get(SHARED_RUN):
        Path(told).mkdir(parents=True, exist_ok=True)
        return Path(told)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise ValueError(f"under torchrun set {SHARED_RUN} to one folder for all processes, as runs/{name}/first")
    run_id = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    path = runs / name / run_id
    path.mkdir(parents=True)
    return path


@contextmanager
def shared(run_dir: Path) -> Iterator[None]:
    """Processes that are launched inside take `run_dir` as theirs."""
    before = os.environ.get(SHARED_RUN)
    os.environ[SHARED_RUN] = str(run_dir.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[SHARED_RUN]


def shipped() -> list[str]:
    """Names of the bundles that ship, which `find_run` takes like runs."""
    return sorted(path.parent.name for path in (assets_root() / "weights").glob("*/bundle.json"))


def _is_run(path: Path) -> bool:
    return (path / "experiment.yaml").is_file()


def find_run(run: str, runs: Path = Path("runs")) -> Path:
    """The folder of a run.

    Args:
        run: a folder (of a run or a bundle), a run id, `name/id`, a name (its newest run), `latest`, or
            the name of shipped weights (`demo`).
        runs: where runs are kept.

    Raises:
        ValueError: where there is none, with the nearest id there is.
    """
    ship = shipped()
    if run in ship:
        return asset(f"weights/{run}")
    if _is_run(Path(run)):
        return Path(run)
    known = sorted((p.parent for p in runs.glob("*/*/experiment.yaml")), key=lambda p: p.name)
    if run == "latest":
        if not known:
            raise ValueError(f"there is no run in {runs}; `lh train` makes one, and `demo` names the shipped weights")
        return known[-1]
    matches = [p for p in known if run in (p.name, f"{p.parent.name}/{p.name}", p.parent.name)]
    if matches:
        return matches[-1]
    names = [*ship, "latest", *(p.name for p in known), *(p.parent.name for p in known)]
    near = difflib.get_close_matches(run, names, n=1)
    raise ValueError(f"no run '{run}' in {runs}{f' (did you mean {near[0]}?)' if near else ''}")


def find_bundle(run: str, runs: Path = Path("runs")) -> Path:
    """The bundle of a run: the run's own folder if it is one, else its `bundle/`.

    Raises:
        ValueError: if the run has not written one yet.
    """
    path = find_run(run, runs)
    for candidate in (path, path / BUNDLE):
        if (candidate / "bundle.json").is_file():
            return candidate
    raise ValueError(f"{path} has no bundle yet: its training has not ended (lh train --resume {path.name})")


def find_file(name: str, folder: str) -> Path:
    """A file a person names: a path, or a name in `experiments/` or `data_recipes/` of the checkout or wheel.

    Raises:
        ValueError: where there is none, with the nearest there is.
    """
    path = Path(name)
    if path.is_file():
        return path
    inside = name.removeprefix(f"{folder}/").removesuffix(".yaml")
    home = asset(folder)
    if (home / f"{inside}.yaml").is_file():
        return home / f"{inside}.yaml"
    known = [str(p.relative_to(home).with_suffix("")) for p in home.rglob("*.yaml")]
    near = difflib.get_close_matches(inside, known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(f"no file {name} and none of that name in {folder}/{hint}")
