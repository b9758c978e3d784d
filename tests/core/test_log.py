from __future__ import annotations

import io
import logging
import subprocess
import sys

import pytest

from lh_mm.core import log
from lh_mm.core.log import LOGGER, describe, progress, setup_logging, track


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves: `clock[0]` is the second it shows."""
    now = [100.0]
    monkeypatch.setattr(log.time, "monotonic", lambda: now[0])
    return now


def test_lines_say_count_share_speed_and_time_left() -> None:
    assert describe(30, 120, "pieces", 10.0) == "30/120 pieces, 25 %, 10 s, 3 a second, 30 s left"
    assert describe(120, 120, "pieces", 40.0, "last") == "120/120 pieces, 100 %, 40 s, 3 a second (last)"
    assert describe(7, None, "", 0.0) == "7, 0 s"
    assert describe(30, 120, "steps", 10.0, before=10) == "30/120 steps, 25 %, 10 s, 2 a second, 45 s left"


def test_without_a_terminal_lines_come_every_few_seconds(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("render", total=100, unit="pieces", every_s=5.0) as shown:
        for _ in range(100):
            clock[0] += 0.125
            shown.advance(note="house")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "render: 40/100 pieces, 40 %, 5 s, 8 a second, 8 s left (house)",
        "render: 80/100 pieces, 80 %, 10 s, 8 a second, 2 s left (house)",
        "render: done, 100/100 pieces, 100 %, 12 s, 8 a second (house)",
    ]
    assert "\x1b" not in "".join(lines)


def test_a_loop_that_is_stopped_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        for number in track([1, 2, 3], "encode", unit="pieces"):
            if number == 3:
                raise KeyboardInterrupt
    assert capsys.readouterr().err.startswith("encode: stopped, 2/3 pieces, 67 %")


def test_a_block_that_fails_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), progress("encode", total=3) as shown:
        shown.advance()
        raise ValueError("no")
    assert capsys.readouterr().err.startswith("encode: stopped, 1/3, 33 %")


def test_track_yields_everything_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(5), "count")) == [0, 1, 2, 3, 4]
    assert list(track(iter("ab"), "count")) == ["a", "b"]
    first, second = capsys.readouterr().err.splitlines()
    assert "5/5" in first
    assert "2," in second


def test_in_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    drawn = io.StringIO()
    terminal = Console(file=drawn, force_terminal=True, width=100)
    monkeypatch.setattr(log, "console", lambda: terminal)
    with progress("render", total=2) as shown:
        shown.advance(2, note="techno")
    assert "render" in drawn.getvalue()
    assert "2/2" in drawn.getvalue()


def test_logging_is_set_up_on_call_only_and_never_doubled() -> None:
    before = (LOGGER.handlers[:], LOGGER.level, LOGGER.propagate)
    try:
        first, second = io.StringIO(), io.StringIO()
        setup_logging("WARNING", first)
        setup_logging("INFO", second)
        logging.getLogger("lh_mm.data").info("12 pieces")
        assert first.getvalue() == ""
        assert second.getvalue() == "INFO lh_mm.data: 12 pieces\n"
    finally:
        LOGGER.handlers[:], LOGGER.level, LOGGER.propagate = before


def test_import_sets_nothing_up() -> None:
    code = "import logging, lh_mm.core.log as l, sys; assert not l.LOGGER.handlers and 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
