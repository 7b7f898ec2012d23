"""Classic policies beside libCacheSim's own figures for the same requests; see
tests/support/libcachesim_figures.py."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest

from tests.support.cache_traces import cache_traces
from tests.support.libcachesim_figures import CAPACITIES, FIGURES
from training.replay import adaptive, policies, queues
from training.replay.clairvoyant import belady, belady_size, upper_bound
from training.replay.traces import CacheTrace, Flags

_EXPECTED = json.loads(FIGURES.read_text())
_THIRD_DIGIT = 0.0005
_W_TINYLFU_CASES = (
    "scans, one size, 0.1",
    "scans, log-normal, 0.1",
    "scans, one too large, 0.02",
    "scans, one too large, 0.1",
)
POLICIES: dict[str, policies.Policy] = {
    "lru": policies.lru,
    "lfu": policies.lfu,
    "s3-fifo": queues.s3_fifo,
    "gdsf": policies.gdsf,
    "sieve": adaptive.sieve,
    "arc": adaptive.arc,
}


@cache
def traces() -> dict[str, CacheTrace]:
    found = {}
    for name, objects, sizes in cache_traces():
        n = len(objects)
        found[name] = CacheTrace(np.arange(n, dtype=float), objects, objects, sizes, np.ones(n))
    return found


def _cases() -> list[tuple[CacheTrace, int, str]]:
    return [
        (trace, max(1, int(trace.distinct_bytes * share)), f"{name}, {share}")
        for name, trace in traces().items()
        for share in CAPACITIES
    ]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_answers_what_the_reference_does(policy: str) -> None:
    """To the third digit, on requests and sizes of every kind."""
    off = {}
    for trace, capacity, name in _cases():
        found = POLICIES[policy](trace, capacity).mean()
        if abs(found - _EXPECTED[f"{name}, {policy}"]) >= _THIRD_DIGIT:
            off[name] = (found, _EXPECTED[f"{name}, {policy}"])
    assert off == {}


def test_w_tinylfu_is_near_the_reference_where_that_can_work() -> None:
    """Not to the third digit, for the reference counts otherwise: no request that its window
    answers, but each eviction, and it ages after 32 requests for each byte, which is never: where
    demand changes it falls behind. Nor does anything come in that is larger than its window, a
    hundredth of the cache. So: where demand stays, and the window holds most objects."""
    for name in _W_TINYLFU_CASES:
        ((trace, capacity),) = [case[:2] for case in _cases() if case[2] == name]
        found = queues.w_tinylfu(trace, capacity).mean()
        assert found == pytest.approx(_EXPECTED[f"{name}, w-tinylfu"], abs=0.01), name


def test_no_policy_passes_the_bound_and_foresight_passes_all_policies() -> None:
    """Of entries of one size Belady is the optimum; of others its rule by size does better, and
    the bound is beyond all."""
    for trace, capacity, name in _cases():
        ones = trace.cost
        n = len(trace)
        bound = upper_bound(trace, capacity, 0, ones) / n
        by_size = belady_size(trace, capacity, 0, ones).mean()
        plain = belady(trace, capacity).mean()
        best = max(found for key, found in _EXPECTED.items() if key.startswith(f"{name}, "))
        assert max(by_size, plain) <= bound + 1e-9, name
        assert best <= max(by_size, plain) + 1e-9, name
        if "log-normal" in name:
            assert by_size >= plain - 0.01, name


def test_by_size_foresight_keeps_the_small() -> None:
    """Two objects of half the size are answered instead of one that comes sooner."""
    objects = np.array([0, 1, 2, 0, 1, 2])
    size = np.array([8, 4, 4])[objects]
    trace = CacheTrace(np.arange(6.0), objects, objects, size, np.ones(6))
    hits: Flags = belady_size(trace, 8, 0, trace.cost)
    assert hits.tolist() == [False, False, False, False, True, True]
