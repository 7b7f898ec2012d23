"""Replays that count how far an answer is behind; no policy sees ahead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from training.errors import TreehouseError
from training.replay.admission import admitted, replay
from training.replay.asked import Asked
from training.replay.traces import CacheTrace


def _asked(objects: list[int], change_every: float = 5.0, allowed: float = 3.0) -> Asked:
    """A query a second; all tables change at every multiple of `change_every` seconds."""
    n = len(objects)
    time, codes = np.arange(n, dtype=float), np.array(objects, np.int64)
    changed_at = (np.floor(time / change_every) + 1) * change_every
    entry = np.unique(np.stack([codes, changed_at], 1), axis=0, return_inverse=True)[1]
    ones = np.ones(n)
    trace = CacheTrace(time, codes, entry.ravel(), np.ones(n, np.int64), ones)
    return Asked(
        trace, ones, changed_at, np.full(n, allowed), np.ones(n, bool), changed_at - time, ones,
        time >= n // 2, 1,
    )  # fmt: skip


def _row(asked: Asked, name: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = replay(asked, 1.0)["policies"]
    return next(row for row in rows if row["policy"] == name)


def test_an_answer_is_as_far_behind_as_its_first_missed_write() -> None:
    asked = _asked([0] * 40)
    told = _row(asked, "lru, told of writes")
    assert (told["hit_rate"], told["most_behind_s"]) == (0.8, 0.0)
    long = _row(asked, "cache all, ttl 3600 s")
    assert long["hit_rate"] == 1.0
    assert (long["most_behind_s"], long["too_stale"]) == (34.0, 1.0)
    assert _row(asked, "no cache")["stored"] == 0.0


def test_a_time_to_live_as_allowed_is_never_too_stale() -> None:
    rng = np.random.default_rng(1)
    asked = _asked(rng.integers(0, 4, 400).tolist())
    for row in replay(asked, 1.0)["policies"]:
        if "as allowed" in row["policy"] or row["kind"] == "learned":
            assert row["too_stale"] == 0.0, row
            assert row["most_behind_s"] <= 3.0


def test_exact_times_to_live_serve_nothing_stale() -> None:
    ours = _row(_asked([0, 1] * 50, allowed=100.0), "cache_admission version 1")
    assert ours["mean_behind_s"] == 0.0
    assert ours["hit_rate"] > 0.5


def test_what_is_not_admitted_is_not_kept() -> None:
    asked = _asked([0, 1] * 20)
    odd = np.arange(40) % 2 == 1
    trace = replace(asked.trace, entry=asked.trace.object)
    hits = admitted(trace, 10, odd, np.full(40, 1e9), np.ones(40))
    assert not hits[~odd].any()
    assert hits[odd].sum() == 19


def test_what_is_worth_least_for_its_bytes_gives_way() -> None:
    codes = np.array([0, 1, 2, 0, 1, 2])
    trace = CacheTrace(np.arange(6.0), codes, codes, np.ones(6, np.int64), np.ones(6))
    reuse = np.array([0.9, 0.1, 0.8, 0.9, 0.1, 0.8])
    hits = admitted(trace, 2, np.ones(6, bool), np.full(6, 100.0), reuse)
    assert hits.tolist() == [False, False, False, True, False, True]


def test_decisions_know_no_later_query() -> None:
    rng = np.random.default_rng(3)
    asked = _asked(rng.integers(0, 20, 300).tolist())
    trace, cut = asked.trace, slice(150)
    half = CacheTrace(
        trace.time[cut], trace.object[cut], trace.entry[cut], trace.size[cut], trace.cost[cut]
    )
    whole = admitted(trace, 5, asked.admit, asked.ttl, asked.reuse)
    early = admitted(half, 5, asked.admit[cut], asked.ttl[cut], asked.reuse[cut])
    assert (early == whole[cut]).all()


def test_a_capacity_is_a_share() -> None:
    with pytest.raises(TreehouseError, match="share"):
        replay(_asked([0, 1]), 2.0)
