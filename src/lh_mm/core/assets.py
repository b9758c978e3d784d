"""Where the shipped files are: experiments, data recipes and weights, in a checkout or in an installed wheel.

A checkout keeps them at its root, where people read and edit them; the wheel carries the same folders as
`lh_mm/_assets` (pyproject.toml puts them there). Nobody else in the package needs to know which it is.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

PACKAGE = Path(__file__).resolve().parents[1]


def source_root() -> Path | None:
    """The checkout this package runs from, or None when it was installed as a wheel."""
    root = PACKAGE.parents[1]
    return root if PACKAGE.parent.name == "src" and (root / "pyproject.toml").is_file() else None


def assets_root() -> Path:
    """The folder that holds `experiments`, `data_recipes` and `weights`."""
    return source_root() or PACKAGE / "_assets"


def asset(relative: str) -> Path:
    """A shipped file or folder by its place in the checkout, e.g. `asset("experiments/demo.yaml")`.

    Raises:
        ValueError: the name is absolute or leads out of the assets.
        FileNotFoundError: there is no such asset; the message names what is there.
    """
    name = PurePosixPath(relative)
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"an asset is named relative to the repository's root, got {relative!r}")
    path = assets_root() / name
    if not path.exists():
        siblings = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        known = f"; there are: {', '.join(siblings)}" if siblings else ""
        raise FileNotFoundError(f"no shipped file {relative!r} in {assets_root()}{known}")
    return path
