"""The demo's page: made twice the second call does nothing anew, every sound is there, a browser has no complaint."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lh_mm.audio.io import read_audio
from lh_mm.run.demo import demo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo")
    patch = pytest.MonkeyPatch()
    patch.setenv("LH_DATA", str(folder / "data"))
    demo(folder / "demo", smoke=True)
    yield folder / "demo"
    patch.undo()


def test_every_sound_is_finite_not_silent_and_as_long_as_asked(made: Path) -> None:
    for name, seconds in (("played", 1.0), ("continued", 1.0)):
        wave, rate = read_audio(made / "music" / f"{name}.wav")
        assert wave.shape[1] / rate == pytest.approx(seconds, abs=1 / 75)
        assert np.isfinite(wave).all()
        assert np.abs(wave).max() > 1e-3


def test_a_second_call_reuses_what_is_done(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file() and path.suffix != ".html"}
    demo(made, smoke=True)
    after = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file() and path.suffix != ".html"}
    assert after == before


def test_a_browser_plays_it_without_complaint(made: Path, browser: Any) -> None:
    browser.open(made / "report.html")
    sounds = browser.evaluate("[...document.querySelectorAll('audio')].map(a => a.duration)")
    assert len(sounds) == 5
    assert all(seconds > 0.3 for seconds in sounds)
    assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert browser.evaluate("document.querySelectorAll('table').length") >= 1
    assert browser.complaints == []
    assert browser.requests == [] or all(url.startswith(("file:", "data:")) for url in browser.requests)
    if folder := os.environ.get("LH_SCREENSHOTS"):
        (Path(folder) / "demo.png").write_bytes(browser.screenshot())
