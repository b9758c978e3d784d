"""The walls of the house stand, and the linter that watches them would see a breach."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HEAVY = ["torch", "torchaudio", "lightning", "pytorch_lightning", "miditok", "wandb", "nnAudio", "encodec", "scipy"]

OPTIONAL_IMPORTS = {"mamba_ssm", "causal_conv1d", "triton"}
"""Imported lazily where they are installed; everything else must be declared in pyproject.toml."""

BREACHES = {
    "core/clock.py": ["import lh_mm.music.score", "import torch"],
    "music/score.py": ["import lh_mm.core.streams", "import lh_mm.audio.io"],
    "nn/__init__.py": ["import lh_mm.music.score", "import mamba_ssm"],
    "models/__init__.py": ["import lh_mm.data.recipe", "import lightning"],
    "generate/__init__.py": ["import lh_mm.evaluate"],
    "run/__init__.py": ["import wandb", "import lh_mm.cli"],
    "cli/__init__.py": ["def later():\n    import torch"],
    "attic/__init__.py": [""],
}
"""One breach of each wall, and a room that nobody planned; written into a copy of the package."""


def lint(folder: Path, source: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(source)}
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_the_walls_stand(repository: Path) -> None:
    done = lint(repository, repository / "src")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_planted_breach_of_each_wall_is_caught(repository: Path, tmp_path: Path) -> None:
    shutil.copy(repository / ".importlinter", tmp_path)
    package = tmp_path / "src" / "lh_mm"
    shutil.copytree(repository / "src" / "lh_mm", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, lines in BREACHES.items():
        path = package / name
        path.parent.mkdir(exist_ok=True)
        former = path.read_text() if path.exists() else ""
        path.write_text("\n".join([former, *lines, ""]))

    done = lint(tmp_path, tmp_path / "src")

    assert done.returncode != 0
    contracts = re.findall(r"^name = (.+)$", (repository / ".importlinter").read_text(), re.MULTILINE)
    assert len(contracts) >= 8
    missed = [name for name in contracts if f"{name} BROKEN" not in done.stdout]
    assert not missed, done.stdout
    for breach in ("lh_mm.core.clock -> lh_mm.music.score", "lh_mm.generate -> lh_mm.evaluate", "lh_mm.attic"):
        assert breach in done.stdout


def light_modules(source: Path) -> list[str]:
    """Modules that must not pull in torch: core but for its one torch file, music, and the command line."""
    files = [*source.glob("core/*.py"), *source.glob("music/**/*.py"), source / "cli" / "main.py"]
    files = [path for path in files if path.name not in ("__init__.py", "streams.py")]
    return ["lh_mm", "lh_mm.run.doctor", *(".".join(p.relative_to(source.parent).with_suffix("").parts) for p in files)]


def test_light_modules_import_nothing_heavy(repository: Path) -> None:
    """As `lh --help` and `import lh_mm` must: each module in turn, so that the guilty one is named."""
    code = f"""
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    found = sorted(set({HEAVY}) & set(sys.modules))
    if found:
        sys.exit(f"importing {{name}} pulls in {{', '.join(found)}}")
"""
    done = python(code, *light_modules(repository / "src" / "lh_mm"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["data", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from lh_mm.cli.main import main
sys.argv[0] = "lh"
try:
    main()
except SystemExit as error:
    assert not error.code, error.code
found = sorted(set({HEAVY}) & set(sys.modules))
if found:
    sys.exit(f"--help pulls in {{', '.join(found)}}")
"""
    done = python(code, *arguments)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_every_import_is_declared(repository: Path) -> None:
    """A package that happens to be installed here, through another, is not promised elsewhere."""
    import grimp

    graph = grimp.build_graph("lh_mm", include_external_packages=True, cache_dir=None)
    imported = {name.split(".")[0] for name in graph.modules} - {"lh_mm", "__future__", *sys.stdlib_module_names}
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    promised = [*project["dependencies"], *project["optional-dependencies"]["hf"]]  # asked for with a message
    declared = {canonical(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in promised}
    providers = importlib.metadata.packages_distributions()
    missing = {
        name: providers.get(name)
        for name in imported - OPTIONAL_IMPORTS
        if not declared & {canonical(provider) for provider in providers.get(name, [])}
    }
    assert not missing


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
