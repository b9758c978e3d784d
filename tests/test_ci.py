"""`.ci/run` goes green only when every stage did, and the Makefile teaches what it can do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

STAGES = ["install", "check", "demo", "test"]


def run_ci(repository: Path, folder: Path, failing: set[str]) -> subprocess.CompletedProcess[str]:
    """Run the real script on a Makefile of the same targets that only says what it was asked for."""
    (folder / ".ci").mkdir()
    shutil.copy(repository / ".ci" / "run", folder / ".ci")
    rules = ["test:\n\t@echo '==== 12 passed in 3.45s ===='"] + [
        f"{name}:\n\t@echo making {name}" for name in STAGES[:3]
    ]
    rules = [rule + ("\n\t@exit 3" if rule.split(":")[0] in failing else "") for rule in rules]
    (folder / "Makefile").write_text("\n".join(rules) + "\n")
    # make's own variables would turn the inner make into a job of the outer one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["bash", str(folder / ".ci" / "run")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_all_green(repository: Path, tmp_path: Path) -> None:
    done = run_ci(repository, tmp_path, set())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2:] == ["==== 12 passed in 3.45s ====", "all stages passed"]
    assert all(f"making {name}" in done.stdout for name in STAGES[:3])


@pytest.mark.parametrize("failing", [{"check"}, {"demo"}, {"test"}, {"check", "test"}])
def test_a_stage_that_fails_fails_the_run_and_the_others_still_run(
    repository: Path, tmp_path: Path, failing: set[str]
) -> None:
    done = run_ci(repository, tmp_path, failing)
    assert done.returncode == 1
    assert set(done.stdout.splitlines()[-1].removeprefix("failed: ").split()) == failing
    assert "12 passed" in done.stdout
    assert all(f"making {name}" in done.stdout for name in STAGES[:3])


def test_without_an_installation_nothing_else_is_tried(repository: Path, tmp_path: Path) -> None:
    done = run_ci(repository, tmp_path, {"install"})
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "failed: install"
    assert "making check" not in done.stdout


def test_make_help_names_every_target_with_its_meaning(repository: Path) -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=repository, capture_output=True, text=True, check=True
    )
    shown = dict(re.findall(r"^  make (\w+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert {"install", "demo", "test", "check", "bench", "integration", "gpu"} <= set(shown)
