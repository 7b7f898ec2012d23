"""The gates of latency, by a clock of the test's own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import cycle
from types import SimpleNamespace
from typing import Any

import pytest

from treehouse.registry import gates
from treehouse.registry.gates import _latency
from treehouse.spec.gates import Gates

_JUST_ABOVE = 1 + 2.0**-21  # sums of such numbers are exact


class _Clocked:
    """A client whose timed queries take given seconds; it has so many rows."""

    def __init__(self, count: int, batch: Iterable[float], call: Iterable[float]) -> None:
        self.count, self.now = count, 100.0
        self.seconds: dict[str, Iterator[float]] = {"batch": cycle(batch), "call": cycle(call)}
        self.asked = {"count": "", "batch": 0, "call": 0}

    def query(self, sql: str) -> Any:
        if sql.startswith("select count()"):
            self.asked["count"] = sql
            return SimpleNamespace(result_rows=[(self.count,)])
        kind = "batch" if sql.startswith("select sum(") else "call"
        self.asked[kind] += 1
        self.now += next(self.seconds[kind])
        return None


def _judged(monkeypatch: pytest.MonkeyPatch, client: _Clocked, golden: int = 3) -> Any:
    """What is found of a batch that may take a second, and of a call that may take half of one."""
    monkeypatch.setattr(gates, "time", SimpleNamespace(perf_counter=lambda: client.now))
    header = {"bundle": 7, "networks": [], "info": {"golden": {"answers": [0.0] * golden}}}
    settings: Any = SimpleNamespace(registry_database="registry")
    found = list(_latency(client, settings, header, Gates(row_us=2.0, call_ms=500.0)))  # type: ignore[arg-type]
    return [(outcome.gate, outcome.value, outcome.bound) for outcome in found]


def test_the_best_of_some_times_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time on the bound passes, and nothing is timed again."""
    client = _Clocked(500_000, [3, 1, 2], [2, 2, 0.5, 1, 1])
    found = _judged(monkeypatch, client)
    assert found == [("batch time", 2.0, 2.0), ("call time", 500.0, 500.0)]
    assert (client.asked["batch"], client.asked["call"]) == (3, 5)


def test_what_is_too_slow_is_timed_ten_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a while the machine may be busy with something else."""
    client = _Clocked(500_000, [_JUST_ABOVE], [_JUST_ABOVE / 2])
    (_, row_us, _), (_, call_ms, _) = _judged(monkeypatch, client)
    assert row_us == pytest.approx(2 * _JUST_ABOVE, rel=1e-12)
    assert call_ms == pytest.approx(500 * _JUST_ABOVE, rel=1e-12)
    assert (client.asked["batch"], client.asked["call"]) == (30, 50)


@pytest.mark.parametrize(("golden", "times"), [(0, 10_000), (1, 10_000), (3, 3_334)])
def test_a_batch_has_ten_thousand_rows(
    monkeypatch: pytest.MonkeyPatch, golden: int, times: int
) -> None:
    client = _Clocked(500_000, [1], [1])
    _judged(monkeypatch, client, golden)
    assert f"numbers({times})" in client.asked["count"]


def test_without_golden_rows_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _judged(monkeypatch, _Clocked(0, [1], [1]))
    assert math.isnan(found[0][1])
