"""What leaves the house: a wheel that works without the checkout, and a lock that names everything by its hash."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SHIPPED = ["experiments", "data_recipes", "weights"]


def tracked(repository: Path, folder: str) -> set[str]:
    """Files of a folder that git knows, or those on disk where there is no git (an unpacked source archive)."""
    command = ["git", "-C", str(repository), "ls-files", "-z", "--", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return {name for name in done.stdout.split("\0") if name and (repository / name).exists()}
    return {str(p.relative_to(repository)) for p in (repository / folder).rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout with the build backend of the lock (no network)."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(repository)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder the wheel was installed to; its requirements come from the environment of the tests."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    done = subprocess.run([*pip, str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return site


def run_installed(site: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_and_what_it_ships(repository: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as zipped:
        names = set(zipped.namelist())
        text = b"".join(zipped.read(n) for n in names if n.endswith((".py", ".yaml", ".md", ".json", "METADATA")))
    for folder in SHIPPED:
        expected = {f"lh_mm/_assets/{name}" for name in tracked(repository, folder)}
        assert expected, f"{folder}/ is empty"
        assert expected <= names
    assert {re.sub(r"-[0-9.]+\.", ".", name.split("/")[0]) for name in names} == {"lh_mm", "lh_mm.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert str(repository).encode() not in text


def test_the_installed_wheel_finds_its_assets(repository: Path, installed: Path) -> None:
    code = f"""
import json, lh_mm
from lh_mm.core.assets import asset, source_root
found = {{n: sorted(str(p.relative_to(asset(n))) for p in asset(n).rglob("*") if p.is_file()) for n in {SHIPPED}}}
print(json.dumps([lh_mm.__file__, source_root(), found]))
"""
    place, root, found = json.loads(run_installed(installed, "-c", code))
    assert Path(place).is_relative_to(installed)
    assert root is None
    for folder in SHIPPED:
        assert tracked(repository, folder) <= {f"{folder}/{name}" for name in found[folder]}


def test_the_installed_command_line_runs(installed: Path) -> None:
    assert "lh train" in run_installed(installed, "-m", "lh_mm.cli.main", "--help")


# --- the lock ---------------------------------------------------------------------------------------------


def pinned(path: Path) -> dict[str, list[str]]:
    """Name to version and hashes of each package of a lock."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in path.read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)", line):
            current = found.setdefault(canonicalize_name(match[1]), [match[2]])
            assert len(current) == 1, f"{match[1]} is pinned twice"
        current += re.findall(r"--hash=sha256:([0-9a-f]{64})", line)
    return found


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-bootstrap.lock", "requirements-gpu.txt"])
def test_every_package_of_a_lock_has_a_hash_and_no_host_is_named(repository: Path, name: str) -> None:
    text = (repository / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--(extra-)?index|--find|--trusted)", text, re.MULTILINE)
    packages = pinned(repository / name)
    assert packages
    assert [package for package, parts in packages.items() if len(parts) < 2] == []


def test_the_lock_satisfies_what_the_project_declares(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    declared = [*project["project"]["dependencies"], *extras["dev"], *extras["notebooks"]]
    packages = pinned(repository / "requirements.lock")
    wrong = []
    for line in [*declared, *project["build-system"]["requires"]]:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name != "lh-mm" and (name not in packages or packages[name][0] not in requirement.specifier):
            wrong.append(line)
    assert not wrong, "the lock is behind pyproject.toml: make lock"
    assert packages["lightning"][0] not in ("2.6.2", "2.6.3"), "malicious releases"
    assert pinned(repository / "requirements-bootstrap.lock")["uv"][0] == packages["uv"][0]
