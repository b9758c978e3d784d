"""Which runs become one row, and which figures are marked: not those that only chance sets above others."""

from __future__ import annotations

from lh_mm.evaluate.table import Measured, Metric, RunScores, comparison_table

LOSS = Metric("nats", "nats", False)


def best_of(*scores: Measured) -> list[bool]:
    runs = [RunScores(str(i), {"nats": each}) for i, each in enumerate(scores)]
    return [row.cells[0].best for row in comparison_table(runs, [LOSS]).rows]


def test_what_lies_within_its_interval_of_the_best_is_marked_with_it() -> None:
    assert best_of(Measured(2.0, "x", 1.9, 2.1), Measured(2.05, "x", 1.95, 2.15), Measured(2.5, "x", 2.4, 2.6)) == [
        True, True, False
    ]  # fmt: skip
    assert best_of(Measured(2.0, "x"), Measured(2.0001, "x")) == [True, False]  # nothing is known of their chance
    assert best_of(Measured(2.0, "x", 1.0, 3.0), Measured(2.05, "y", 1.0, 3.0)) == [False, False]  # do not compare


def test_seeds_are_told_apart_from_their_spread() -> None:
    runs = [
        RunScores("a", {"nats": Measured(v, "x", v, v)}, seed=i) for i, v in enumerate((1.9, 2.1))
    ] + [RunScores("b", {"nats": Measured(v, "x", v, v)}, seed=i) for i, v in enumerate((2.0, 2.2))]  # fmt: skip
    assert [row.cells[0].best for row in comparison_table(runs, [LOSS]).rows] == [True, True]
    far = [*runs[:2], *(RunScores("b", {"nats": Measured(v, "x", v, v)}, seed=i) for i, v in enumerate((3.0, 3.1)))]
    assert [row.cells[0].best for row in comparison_table(far, [LOSS]).rows] == [True, False]


def test_runs_of_one_name_with_other_settings_are_no_seeds() -> None:
    runs = [
        RunScores("a", {"nats": Measured(2.0, "x")}, seed=0, note="run 1", settings="16 hours"),
        RunScores("a", {"nats": Measured(3.0, "x")}, seed=0, note="run 2", settings="40 hours"),
        RunScores("a", {"nats": Measured(4.0, "x")}, seed=1, note="run 3", settings="40 hours"),
        RunScores("b", {"nats": Measured(5.0, "x")}, seed=0, note="run 4"),
        RunScores("b", {"nats": Measured(6.0, "x")}, seed=0, note="run 5"),
    ]
    rows = comparison_table(runs, [LOSS]).rows
    assert [row.label for row in rows] == ["a (run 1)", "a (run 2; run 3, 2 seeds)", "b (2 runs)"]
    assert [row.cells[0].value for row in rows] == [2.0, 3.5, 5.5]
