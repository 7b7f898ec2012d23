"""Replays that count how far an answer is behind; no policy sees ahead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from treehouse.platform.replay.admission import ONLY_IF_READ, as_lru, replay
from treehouse.platform.replay.admission_trace import Asked
from treehouse.platform.replay.cache_policies import Lru, drive, hits
from treehouse.platform.replay.cache_result_store import Admission, Filled
from treehouse.platform.replay.traces import CacheTrace
from treehouse.project.errors import TreehouseError


def _asked(objects: list[int], change_every: float = 5.0, allowed: float = 3.0) -> Asked:
    """A query a second; all tables change at every multiple of `change_every` seconds, and a pass
    a second before it is the last that renews."""
    n = len(objects)
    time, codes = np.arange(n, dtype=float), np.array(objects, np.int64)
    changed_at = (np.floor(time / change_every) + 1) * change_every
    version_of = np.unique(np.stack([codes, changed_at], 1), axis=0, return_inverse=True)[1]
    ones = np.ones(n)
    trace = CacheTrace(time, codes, codes, np.ones(n, np.int64), ones, changed_at - 1 + allowed)
    return Asked(
        trace=trace, version_of=version_of.ravel(), read_bytes=ones, changed_at=changed_at,
        allowed=np.full(n, allowed), admit=np.ones(n, bool), reuse=ones, kept_seconds=ones,
        saved=ones, judged=time >= n // 2, version=1,
        written=[np.arange(0.0, n + change_every, change_every).tolist()] * (max(objects) + 1),
        store_seconds=0.25, pass_seconds=1.0, horizon_seconds=1e5,
    )  # fmt: skip


def _rows(asked: Asked) -> dict[str, dict[str, Any]]:
    return {row["policy"]: row for row in replay(asked, 1.0)["policies"]}


def test_an_answer_is_as_far_behind_as_its_first_missed_write() -> None:
    rows = _rows(_asked([0] * 40))
    told = rows["lru, told of writes"]
    assert (told["hit_rate"], told["most_behind_s"]) == (0.8, 0.0)
    long = rows["lru, ttl 3600 s"]
    assert long["hit_rate"] == 1.0
    assert (long["most_behind_s"], long["too_stale"]) == (34.0, 1.0)
    assert rows["no cache"]["stored"] == 0.0


def test_a_renewed_answer_outlives_the_write_by_what_is_allowed() -> None:
    """Computed at 18, it is last renewed at 19 and served until 22; the next is computed at 23."""
    rows = _rows(_asked([0] * 40))
    renewed, alone = rows["lru, renewed"], rows["lru, ttl as allowed"]
    assert (renewed["hit_rate"], alone["hit_rate"]) == (0.8, 0.75)
    assert (renewed["most_behind_s"], renewed["too_stale"]) == (2.0, 0.0)


def test_storing_costs() -> None:
    told = _rows(_asked([0] * 40))["lru, told of writes"]
    assert told["seconds_saved"] == pytest.approx(0.8 - 0.2 * 0.25)


def test_what_is_renewed_is_never_too_stale() -> None:
    asked = _asked(np.random.default_rng(1).integers(0, 4, 400).tolist())
    rows = _rows(asked)
    bounded = [row for name, row in rows.items() if "renewed" in name or "as allowed" in name]
    assert bounded
    for row in bounded:
        assert row["too_stale"] == 0.0, row
        assert row["most_behind_s"] <= 3.0
        assert row["hit_rate"] <= rows["clairvoyant, renewed"]["hit_rate"]


def test_what_is_not_admitted_is_not_kept() -> None:
    odd = np.arange(40) % 2 == 1
    asked = replace(_asked([0, 1] * 20, change_every=100), admit=odd)
    found = hits(asked.trace, Admission(asked, 10))
    assert not found[~odd].any()
    assert found[odd].sum() == 19


def _fresh(objects: list[int], **columns: list[float]) -> Asked:
    """Answers that don't end, and cost nothing to store."""
    asked = replace(_asked(objects, change_every=1e6), store_seconds=0.0)
    return replace(asked, **{name: np.array(values) for name, values in columns.items()})


def test_what_is_worth_least_for_its_bytes_gives_way() -> None:
    asked = _fresh([0, 1, 2, 0, 1, 2], reuse=[0.9, 0.1, 0.8, 0.9, 0.1, 0.8])
    found = hits(asked.trace, Admission(asked, 2))
    assert found.tolist() == [False, False, False, True, False, True]


def test_what_is_read_sooner_is_worth_more() -> None:
    asked = _fresh([0, 1, 2, 0, 1, 2], kept_seconds=[10.0, 500.0, 20.0] * 2)
    found = hits(asked.trace, Admission(asked, 2))
    assert found.tolist() == [False, False, False, True, False, True]


def test_what_waits_for_too_long_gives_way_in_the_end() -> None:
    asked = _fresh([0, *([1] * 50), 2, 1, 2], kept_seconds=[2.0, *([9.0] * 50), 20.0, 9.0, 20.0])
    found = hits(asked.trace, Admission(asked, 2))
    assert found[-2:].all()  # of 0, expected within 2 seconds, nothing was seen for 50


def test_decisions_know_no_later_query() -> None:
    asked = _asked(np.random.default_rng(3).integers(0, 20, 300).tolist())
    trace = asked.trace
    half = replace(trace, **{
        name: getattr(trace, name)[:150]
        for name in ("time", "object", "entry", "size", "cost", "ends")
    })  # fmt: skip
    for make in (lambda: Admission(asked, 5), lambda: Lru(5)):
        assert (hits(half, make()) == hits(trace, make())[:150]).all()


def test_the_verdict_says_when_a_rule_is_as_good() -> None:
    found = replay(_asked([0, 1] * 50), 1.0)["verdict"]["hit_rate"]
    assert (found["winner"], found["learned_minus_rule"]) == ("both", 0.0)


def test_a_capacity_is_a_share() -> None:
    with pytest.raises(TreehouseError, match="share"):
        replay(_asked([0, 1]), 2.0)


def test_an_answer_that_is_computed_ahead_costs_and_is_never_too_stale() -> None:
    """Every write but one has its answer before it is asked for; the query is run as often."""
    rows = _rows(_asked([0] * 40, change_every=8.0, allowed=4.0))
    ahead, renewed = rows["lru, kept ahead"], rows["lru, renewed"]
    assert ahead["hit_rate"] == 1.0 > renewed["hit_rate"]
    assert ahead["ahead"] == pytest.approx(3 / 20, abs=0.06)
    assert ahead["seconds_saved"] == pytest.approx(1 - 1.25 * ahead["ahead"])
    assert ahead["too_stale"] == 0.0
    assert ahead["most_behind_s"] < renewed["most_behind_s"]


def test_what_is_hardly_asked_again_is_not_computed_ahead() -> None:
    asked = _asked([0] * 10 + [1] * 90)
    everything = np.ones(100)
    for reuse, expected in ((0.99, 10.0), (0.99, 1e9), (0.1, 10.0)):
        cache = Filled(
            replace(asked, reuse=everything * reuse, kept_seconds=everything * expected),
            10, (0.3, 0.3),
        )  # fmt: skip
        drive(replace(asked.trace, ends=None), cache)
        cache.settle(0, 99.0)
        times = [at for latest, at in cache.filled if latest == 9]
        if reuse < 0.3:
            assert times == []
        elif expected > 1e6:
            assert times[-1] > 90
        else:  # 10 s each halve the odds of 99 to 1 by about 3: after 54 s they are below 3 to 7
            assert 40 < times[-1] < 9 + 10 * np.log(0.99 / 0.01 * 0.7 / 0.3)


def test_what_would_not_pay_for_its_storing_displaces_nothing() -> None:
    asked = _fresh([0, 1, 0, 1, 0, 1], reuse=[0.5, 0.6] * 3)
    free = hits(asked.trace, Admission(asked, 1))
    assert free.tolist() == [False, False, False, True, False, True]
    dear = hits(asked.trace, Admission(replace(asked, store_seconds=0.3), 1))
    assert dear.tolist() == [False, False, True, False, True, False]  # 0.6 - 0.3 is below 0.5


def test_a_rule_computes_ahead_only_what_was_read_since() -> None:
    asked = _asked([0] * 10 + [1] * 2000, change_every=500.0, allowed=200.0)
    cache = Filled(as_lru(asked), 10, ONLY_IF_READ)
    drive(replace(asked.trace, ends=None), cache)
    cache.settle(0, 2009.0)
    times = [at for latest, at in cache.filled if latest == 9]
    assert times == [100.0]  # and not after the next write
