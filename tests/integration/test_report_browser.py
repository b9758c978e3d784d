"""The page in a real browser: no complaint, no request, pictures drawn, sounds that play, a cursor that follows.

With `LH_SCREENSHOTS=FOLDER` the pages are left there as PNG, to be looked at.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lh_mm.audio.pictures import piano_roll, spectrogram, waveform
from lh_mm.core.clock import TempoMap
from lh_mm.evaluate.report import Audio, Code, Curves, Picture, Report, Section, Table, write_report
from lh_mm.evaluate.table import Measured, Metric, RunScores, comparison_table
from lh_mm.music.score import Score, make_notes

pytestmark = pytest.mark.slow

RATE = 24_000
SECONDS = 3.0
HOSTILE = "</title><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"

ALL_AUDIO = "[...document.querySelectorAll('audio')]"


def page(folder: Path) -> Path:
    tempo_map = TempoMap.constant(120.0)
    beats = [
        {"start_beat": i / 4, "end_beat": i / 4 + 0.2, "pitch": 36 + i * 5 % 30, "drum": i % 2 == 0, "track": i % 2}
        for i in range(24)
    ]
    score = Score(make_notes(beats, tempo_map), tempo_map, SECONDS, tracks=("drums", HOSTILE))
    seconds = np.arange(round(SECONDS * RATE)) / RATE
    wave = (0.3 * np.sin(2 * np.pi * 220 * seconds) * np.exp(-4 * (seconds % 0.5))).astype(np.float32)
    pictures = (Picture(piano_roll(score), "roll"), Picture(spectrogram(wave, RATE), "spectrogram"))
    loss = Metric("nats", "nats per note", higher_is_better=False, definition="REMI, 16th grid")
    runs = [
        RunScores(HOSTILE, {"nats": Measured(6.2, "x", 6.1, 6.3, 91)}),
        RunScores("b", {"nats": Measured(6.4, "x")}),
    ]
    steps = np.arange(100)
    report = Report(
        title="A page for a browser",
        lead=HOSTILE,
        sections=(
            Section(
                "Listen",
                items=(
                    Audio("Original", wave, RATE, "mono", pictures),
                    Audio(
                        HOSTILE, np.stack([wave, -wave]), RATE, pictures=(Picture(waveform(wave, RATE), "waveform"),)
                    ),
                ),
            ),
            Section(
                "Compare",
                items=(Table(comparison_table(runs, [loss])), Curves("Loss", {"a": (steps, 1 / (1 + steps))})),
            ),
            Section("Again", items=(Code("lh demo"),)),
        ),
        notes=("Short runs, said so.",),
        environment={"hardware": "2 cores"},
    )
    return write_report(report, folder / "report.html")


def keep_screenshot(browser: Any, name: str) -> None:
    if folder := os.environ.get("LH_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{name}.png").write_bytes(browser.screenshot())


def test_the_page_loads_whole_and_silent_on_the_console(browser: Any, tmp_path: Path) -> None:
    path = page(tmp_path)
    browser.open(path)
    keep_screenshot(browser, "report-light")
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(("data:", path.as_uri()))] == []
    assert browser.evaluate("document.title") == "A page for a browser"
    images = browser.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
    assert len(images) == 4 and all(images)
    durations = browser.evaluate(f"{ALL_AUDIO}.map(a => a.duration)")
    assert durations == pytest.approx([SECONDS, SECONDS], abs=0.1)


def test_sounds_play_one_at_a_time_and_the_cursor_follows(browser: Any, tmp_path: Path) -> None:
    browser.open(page(tmp_path))
    heard = browser.evaluate(
        f"""(async () => {{
          const [a, b] = {ALL_AUDIO};
          const wait = () => new Promise(resolve => setTimeout(resolve, 25));
          const until = async (done) => {{ for (let i = 0; i < 400 && !done(); i++) await wait(); }};
          await a.play(); await until(() => a.currentTime > 0.3);
          const cursor = a.closest('figure').querySelector('.cursor');
          const first = {{time: a.currentTime, hidden: cursor.hidden, left: parseFloat(cursor.style.left)}};
          await b.play(); await until(() => b.currentTime > 0.1);
          return {{first, aPaused: a.paused, second: b.currentTime}};
        }})()"""
    )
    assert heard["first"]["time"] > 0.3 and heard["second"] > 0.1
    assert heard["aPaused"]
    assert not heard["first"]["hidden"] and heard["first"]["left"] > 8.5 + 90 * 0.25 / SECONDS
    assert browser.complaints == []


def test_a_click_on_a_picture_seeks(browser: Any, tmp_path: Path) -> None:
    browser.open(page(tmp_path))
    box = browser.evaluate("(r => [r.x, r.y, r.width])(document.querySelector('.timeline').getBoundingClientRect())")
    x = box[0] + box[2] * (0.085 + 0.9 / 2)
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=box[1] + 10, button="left", clickCount=1)
    assert browser.evaluate(f"{ALL_AUDIO}[0].currentTime") == pytest.approx(SECONDS / 2, abs=0.05)


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1200, "dark")])
def test_narrow_and_dark_pages_stay_readable(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    browser.open(page(tmp_path), width=width, scheme=scheme)
    keep_screenshot(browser, f"report-{scheme}-{width}")
    assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # tables scroll in their box
    colours = browser.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    ink, paper = ([int(part) for part in colour[4:-1].split(",")] for colour in colours)
    assert (sum(ink) > sum(paper)) == (scheme == "dark")
    assert abs(sum(ink) - sum(paper)) > 450


def test_the_keyboard_reaches_everything(browser: Any, tmp_path: Path) -> None:
    browser.open(page(tmp_path))
    reached = []
    for _ in range(40):  # a player has several stops of its own
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(
            browser.evaluate("document.activeElement.className || document.activeElement.tagName.toLowerCase()")
        )
    assert reached[0] == "skip"
    assert {"a", "audio", "table", "summary", "pre"} <= set(reached)
