"""Policies against plain references, bounds against exhaustive search, and no one sees ahead."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.some import some
from treehouse.platform.replay import (
    cache,
)
from treehouse.platform.replay import (
    cache_adaptive as adaptive,
)
from treehouse.platform.replay import (
    cache_learned as learned,
)
from treehouse.platform.replay import (
    cache_policies as policies,
)
from treehouse.platform.replay import (
    cache_queues as queues,
)
from treehouse.platform.replay.cache_optimum import belady, next_requests, upper_bound
from treehouse.platform.replay.cache_policies import HIT, STORED
from treehouse.platform.replay.traces import CacheTrace, Flags
from treehouse.project.errors import TreehouseError

ONLINE = {
    "lru": policies.lru,
    "lfu": policies.lfu,
    "native": policies.native,
    "ttl": partial(policies.fixed_ttl, seconds=5.0),
    "s3-fifo": queues.s3_fifo,
    "w-tinylfu": queues.w_tinylfu,
    "gdsf": policies.gdsf,
    "sieve": adaptive.sieve,
    "arc": adaptive.arc,
    "lirs": adaptive.lirs,
}
every_policy = pytest.mark.parametrize("policy", ONLINE.values(), ids=list(ONLINE))


def trace_of(objects: list[int], sizes: dict[int, int] | None = None) -> CacheTrace:
    """One request a second; sizes by object, 1 unless given."""
    codes = np.array(objects, np.int64)
    size = np.array([(sizes or {}).get(o, 1) for o in objects], np.int64)
    return CacheTrace(np.arange(len(codes), dtype=float), codes, codes, size, np.ones(len(codes)))


def zipf(n: int, seed: int = 1, sized: bool = True) -> CacheTrace:
    """Requests with a scan through objects that are never asked for again."""
    rng = np.random.default_rng(seed)
    objects = np.minimum(rng.zipf(1.3, n), n // 10)
    objects[n // 3 : n // 3 + n // 10] = np.arange(n, n + n // 10)
    size = rng.integers(1, 100, 2 * n)[objects] if sized else np.ones(n, np.int64)
    codes = np.unique(objects, return_inverse=True)[1]
    return CacheTrace(np.arange(n) * 60.0, codes, codes, size, np.ones(n))


def _naive_lru(trace: CacheTrace, capacity: int) -> list[bool]:
    recent: list[int] = []
    hits = []
    for entry in trace.entry.tolist():
        hits.append(entry in recent)
        recent = [entry, *(e for e in recent if e != entry)]
        sizes = np.cumsum([trace.size[trace.entry == e][0] for e in recent])
        recent = [e for e, used in zip(recent, sizes, strict=True) if used <= capacity]
    return hits


@given(st.lists(st.integers(0, 7), min_size=1, max_size=60), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_lru_is_that_of_the_textbook(objects: list[int], capacity: int) -> None:
    trace = trace_of(objects)
    assert policies.lru(trace, capacity).tolist() == _naive_lru(trace, capacity)


def test_lfu_keeps_what_was_used_most() -> None:
    hits = policies.lfu(trace_of([1, 1, 1, 2, 3, 1, 2, 3]), 2)
    assert hits.tolist() == [False, True, True, False, False, True, False, False]


def test_a_full_lfu_still_admits() -> None:
    """A newcomer is used least often of all, and would be the first to go, had it to be kept."""
    hits = policies.lfu(trace_of([1, 1, 2, 2, 3, 3, 3]), 2)
    assert hits.tolist() == [False, True, False, True, False, True, True]


def test_gdsf_prefers_what_is_small() -> None:
    big_and_small = trace_of([1, 2, 3, 1, 2, 3], {1: 8, 2: 1, 3: 1})
    assert policies.gdsf(big_and_small, 9).tolist()[4:] == [True, True]


def test_s3_fifo_keeps_a_scan_out() -> None:
    warm = [1, 2, 3] * 4
    scan = list(range(100, 130))
    trace = trace_of([*warm, *scan, 1, 2, 3])
    assert queues.s3_fifo(trace, 10)[-3:].all()
    assert not policies.lru(trace, 10)[-3:].any()


def test_w_tinylfu_keeps_a_scan_out() -> None:
    trace = trace_of([*([1, 2, 3] * 6), *range(100, 130), 1, 2, 3])
    assert queues.w_tinylfu(trace, 200)[-3:].all()
    assert queues.w_tinylfu(trace, 5)[-3:].sum() >= 2


def test_lirs_keeps_what_fits_of_a_loop_and_a_scan_out() -> None:
    loop = trace_of([*range(12)] * 5)
    assert adaptive.lirs(loop, 10)[12:].sum() == 9 * 4  # a tenth entry is what passes through
    assert not policies.lru(loop, 10).any()
    scan = trace_of([*([1, 2, 3] * 2), *range(100, 130), 1, 2, 3])
    assert adaptive.lirs(scan, 10)[-3:].all()


def test_lirs_exchanges_what_came_back_soon_for_what_did_not() -> None:
    """Of three, one is in the queue: 3 first. It comes back and displaces 1, which goes there, is
    asked for once and leaves for 4; back while the stack still has it, it displaces 2."""
    hits = adaptive.lirs(trace_of([1, 2, 3, 3, 1, 4, 1, 2, 3, 1]), 3)
    assert hits.tolist() == [False, False, False, True, True, False, False, True, True, True]


def test_lirs_takes_in_what_is_larger_than_its_queue_when_it_comes_back() -> None:
    sizes = {1: 99, 2: 99, 3: 50}
    hits = adaptive.lirs(trace_of([1, 2, 3, 2, 3, 3, 2, 1], sizes), 200)
    assert hits.tolist() == [False, False, False, True, False, True, True, False]
    never_again = adaptive.lirs(trace_of([1, 2, 3, 4, 5, 1, 2], sizes | {4: 50, 5: 50}), 200)
    assert never_again[-2:].all()


def _lirs_after(*entries: int) -> adaptive.Lirs:
    found = adaptive.Lirs(3)
    for entry in entries:
        found.ask(0, entry, 1)
    return found


def test_lirs_gives_the_room_of_a_dropped_entry_to_the_next() -> None:
    """1 and 2 are LIR, 3 is in the queue."""
    lir = _lirs_after(1, 2, 3)
    lir.drop(1)
    assert [lir.ask(0, entry, 1) for entry in (4, 2, 3)] == [STORED, HIT, HIT]
    in_queue = _lirs_after(1, 2, 3)
    in_queue.drop(3)
    assert [in_queue.ask(0, entry, 1) for entry in (4, 1, 2)] == [STORED, HIT, HIT]
    every = _lirs_after(1, 2, 3)
    for entry in (1, 2, 3):
        every.drop(entry)
    assert not every.stack.used
    assert [every.ask(0, entry, 1) for entry in (3, 2, 3)] == [STORED, STORED, HIT]


def test_lirs_knows_nothing_of_what_was_dropped_after_it_left() -> None:
    """3 left for 4, and would become LIR in the place of 1."""
    for is_dropped in (False, True):
        found = _lirs_after(1, 2, 3, 4)
        if is_dropped:
            found.drop(3)
        found.ask(0, 3, 1)
        assert (3 in found.lir.sizes) is not is_dropped


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=120),
    st.lists(st.integers(0, 9), min_size=10, max_size=10),
    st.integers(1, 40),
)
@settings(max_examples=100, deadline=None)
def test_lirs_keeps_its_books(asked: list[tuple[int, bool]], sizes: list[int], room: int) -> None:
    """Whatever is asked for and dropped, in caches with a queue of a byte."""
    found = adaptive.Lirs(room)
    for entry, is_dropped in asked:
        was_kept = entry in found.lir.sizes or entry in found.queue.sizes
        if is_dropped:
            found.drop(entry)
        else:
            assert (found.ask(0, entry, sizes[entry]) == HIT) is was_kept
        stack, lir, queue, left = found.stack, found.lir, found.queue, found.left
        assert lir.used + queue.used <= room
        assert all(sum(q.sizes.values()) == q.used for q in (stack, lir, queue, left))
        assert lir.sizes.keys() <= stack.sizes.keys()
        assert left.sizes.keys() == stack.sizes.keys() - lir.sizes.keys() - queue.sizes.keys()
        assert not lir.sizes.keys() & queue.sizes.keys()
        assert next(iter(stack.sizes), None) in (lir.sizes or {None})
        assert stack.used <= 2 * room


def test_a_fixed_time_to_live_ends_what_is_used_all_the_time() -> None:
    assert policies.fixed_ttl(trace_of([1] * 6), 1, 2.0).tolist() == [
        False, True, True, False, True, True
    ]  # fmt: skip


def test_the_native_cache_takes_nothing_in_when_full_of_fresh_results() -> None:
    hits = policies.native(trace_of([1, 2, 1, 2] + [1] * 57 + [2, 2]), 1)
    assert hits.tolist()[:4] == [False, False, True, False]
    assert hits[-1]  # 1 has ended, so 2 came in


@every_policy
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_no_policy_passes_the_bound_or_knows_the_future(
    policy: policies.Policy, data: st.DataObject
) -> None:
    objects = data.draw(st.lists(st.integers(0, 9), min_size=4, max_size=80))
    sizes = {o: data.draw(st.integers(1, 9)) for o in range(10)}
    capacity = data.draw(st.integers(1, 40))
    trace = trace_of(objects, sizes)
    judged_from = data.draw(st.integers(0, len(objects) - 1))
    hits = policy(trace, capacity)
    assert hits[judged_from:].sum() <= upper_bound(trace, capacity, judged_from, trace.cost) + 1e-9
    changed = trace_of([*objects[:judged_from], *objects[judged_from:][::-1]], sizes)
    assert policy(changed, capacity)[:judged_from].tolist() == hits[:judged_from].tolist()


@every_policy
def test_bounds_of_the_capacity(policy: policies.Policy) -> None:
    trace = trace_of([1, 1, 2, 2, 1], {1: 5, 2: 5})
    assert not policy(trace, 4).any()  # nothing fits
    roomy = policy(trace_of([1] * 4 + [2] * 4), 1000)
    assert roomy.tolist() == [False, True, True, True] * 2


def _most_hits(trace: CacheTrace, capacity: int, judged_from: int) -> int:
    """The most requests that any cache could answer, by trying all sets of intervals."""
    following = next_requests(trace.entry)
    pairs = [(i, int(j)) for i, j in enumerate(following) if judged_from <= j < len(trace)]
    for count in range(len(pairs), 0, -1):
        for chosen in combinations(pairs, count):
            load = np.zeros(len(trace))
            for i, j in chosen:
                load[max(i, judged_from - 1) : j] += trace.size[i]
            if load.max() <= capacity:
                return count
    return 0


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=13), st.integers(1, 3), st.integers(0, 5),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_belady_is_the_optimum_of_one_size_and_the_bound_is_one(
    objects: list[int], capacity: int, judged_from: int, is_sized: bool
) -> None:
    judged_from = min(judged_from, len(objects) - 1)
    trace = trace_of(objects, {0: 2, 1: 1, 2: 3, 3: 1, 4: 2} if is_sized else None)
    most = _most_hits(trace, capacity, judged_from)
    reached = belady(trace, capacity, judged_from)[judged_from:].sum()
    assert reached <= most <= upper_bound(trace, capacity, judged_from, trace.cost) + 1e-9
    if not is_sized:
        assert reached == most


@pytest.fixture(scope="module")
def small() -> CacheTrace:
    return zipf(6000)


def test_features_and_decisions_before_a_change_do_not_know_of_it(small: CacheTrace) -> None:
    n, judged_from, cut = len(small), 3000, 4000
    later = np.random.default_rng(3).permutation(np.arange(cut, n))
    order = np.concatenate([np.arange(cut), later])
    changed = CacheTrace(
        small.time, small.object[order], small.entry[order], small.size[order], small.cost[order]
    )
    before, after = learned.features(small)[:cut], learned.features(changed)[:cut]
    np.testing.assert_array_equal(before, after)

    def decide(trace: CacheTrace) -> Flags:
        fitted = learned.fit(trace, judged_from)
        return learned.replay(trace, 3000, fitted, np.ones(n))[:cut]

    np.testing.assert_array_equal(decide(small), decide(changed))


@pytest.mark.parametrize("policy", [*ONLINE.values(), belady], ids=[*ONLINE, "belady"])
def test_a_version_takes_the_place_of_the_one_before(policy: policies.Policy) -> None:
    entry = np.array([0, 0, 1, 1, 0])
    trace = CacheTrace(np.arange(5.0), np.zeros(5, int), entry, np.ones(5, int), np.ones(5))
    assert policy(trace, 5).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize(
    "name", ["lru", "lfu", "s3-fifo", "w-tinylfu", "gdsf", "sieve", "arc", "lirs", "belady"]
)
def test_what_has_ended_is_no_answer_and_takes_no_room(name: str) -> None:
    policy = (ONLINE | {"belady": belady})[name]
    trace = replace(trace_of([0, 0, 0, 0, 1, 1]), ends=np.array([1.0, 0, 9, 9, 9, 9]))
    assert policy(trace, 1).tolist()[:4] == [False, True, False, True]
    gone = replace(trace_of([0, 1, 1]), ends=np.array([0.5, 9, 9]))
    assert policy(gone, 1).tolist() == [False, False, True]


def test_features_tell_versions_apart() -> None:
    entry = np.array([0, 0, 1, 1])
    trace = CacheTrace(np.arange(4.0), np.zeros(4, int), entry, np.ones(4, int), np.ones(4))
    names = list(learned.FEATURES)
    rows = learned.features(trace)
    assert rows[:, names.index("versions_so_far")].tolist() == [1, 1, 2, 2]
    assert rows[:, names.index("age_1")].tolist()[1:] == [1, 1, 1]


def test_every_policy_is_reported_beside_the_bounds(small: CacheTrace) -> None:
    result = cache.replay(small, cache.Options(0.1))
    by_name = {row["policy"]: row for row in result["policies"]}
    assert {"no cache", "lru", "lfu", "s3-fifo", "w-tinylfu", "gdsf", "sieve", "arc", "lirs",
            "learned for objects", "learned for bytes", "belady",
            "upper bound"} <= by_name.keys()  # fmt: skip
    assert by_name["no cache"]["object_hit_rate"] == 0
    bound = by_name["upper bound"]
    for row in result["policies"]:
        assert row["object_hit_rate"] <= bound["object_hit_rate"]
        assert row["byte_hit_rate"] <= bound["byte_hit_rate"]
    assert by_name["learned for objects"]["object_hit_rate"] > by_name["lru"]["object_hit_rate"]
    assert result["judged"] == 3000


def test_the_verdict_is_of_the_best_of_each_kind() -> None:
    rows = [
        {"policy": "a", "kind": "rule", "hits": 0.2, "bytes": 0.75, "seconds": 0.0},
        {"policy": "b", "kind": "rule", "hits": 0.5, "bytes": 0.5, "seconds": 0.25},
        {"policy": "c", "kind": "learned", "hits": 0.5, "bytes": 0.25, "seconds": 0.5},
        {"policy": "d", "kind": "learned", "hits": 0.1, "bytes": 0.0, "seconds": 0.0},
        {"policy": "e", "kind": "clairvoyant", "hits": 0.8, "bytes": 1.0, "seconds": 0.5},
    ]
    found = cache.verdict(rows, ("hits", "bytes", "seconds"))
    assert found["hits"] == {
        "best_rule": "b", "best_learned": "c", "winner": "both", "learned_minus_rule": 0.0,
        "learned_of_bound": 0.625,
    }  # fmt: skip
    assert (found["bytes"]["winner"], found["bytes"]["learned_minus_rule"]) == ("rule", -0.5)
    assert (found["seconds"]["winner"], found["seconds"]["learned_minus_rule"]) == ("learned", 0.25)


@pytest.mark.parametrize(
    ("early", "late", "plays"),
    [(False, True, True), (True, False, False), (True, True, False)],
)
def test_the_learned_policy_gives_way_to_a_rule_that_was_better(
    monkeypatch: pytest.MonkeyPatch, small: CacheTrace, early: bool, late: bool, plays: bool
) -> None:
    """Better before the judged requests: what it does on those themselves nobody knows by then."""
    judged_from = len(small) // 2

    def replay(trace: CacheTrace, *_: object) -> Flags:
        n = len(trace)
        return np.where(np.arange(n) < judged_from, early, late).astype(bool)

    monkeypatch.setattr(learned, "replay", replay)
    monkeypatch.setattr(learned, "fit", lambda *_: np.ones((1, 1), np.float32))
    result = cache.replay(small, cache.Options(0.1))
    rows = {row["policy"]: row for row in result["policies"]}
    for aim, measure in (("objects", "object_hit_rate"), ("bytes", "byte_hit_rate")):
        ours = rows[f"learned for {aim}"]
        if plays:
            assert ours[measure] == rows[ours["plays"]][measure] > rows["lru"][measure]
            assert result["verdict"][measure]["winner"] == "rule"
        else:
            assert (ours["plays"], ours[measure]) == ("", float(late))


def test_strangers_traces_have_right_numbers() -> None:
    """Sizes of nothing, one object, objects that never come again, all at the same time."""
    n = 40
    time, ids, ones = np.zeros(n), np.arange(n), np.ones(n)
    same = np.zeros(n, np.int64)
    for objects, size, expected in (
        (ids, np.zeros(n, np.int64), 0.0),
        (ids, np.full(n, 2**40), 0.0),
        (same, np.zeros(n, np.int64), 1.0),
        (same, np.full(n, 7), 0.0),  # which does not fit half of it
        (ids % 2, np.array([2**40, 1])[ids % 2], 0.5),  # of which one is larger than the cache
    ):
        rows = cache.replay(
            CacheTrace(time, objects, objects, size, ones), cache.Options(0.5)
        )["policies"]  # fmt: skip
        by_name = {row["policy"]: row for row in rows}
        for name in ("lru", "lfu", "gdsf", "sieve", "arc", "lirs", "belady",
                     "belady by size, for objects"):  # fmt: skip
            assert by_name[name]["object_hit_rate"] == expected, (name, expected)
        assert all(0 <= row["byte_hit_rate"] <= 1 for row in some(rows))
        assert by_name["upper bound"]["object_hit_rate"] >= expected


@pytest.mark.parametrize(
    ("objects", "rate"),
    [([1], 0.0), ([1, 1], 1.0), ([1, 2, 3], 0.0), ([1, 2, 3, 4], 0.0), ([1] * 50, 1.0)],
)
def test_where_all_fits_each_repeated_request_is_a_hit(objects: list[int], rate: float) -> None:
    """Of the second half, which is judged."""
    rows = cache.replay(trace_of(objects), cache.Options(1.0))["policies"]
    found = {row["policy"]: row["object_hit_rate"] for row in rows}
    assert found == dict.fromkeys(found, rate) | {"no cache": 0.0}


@pytest.mark.parametrize(
    "options", [{"capacity": 0.0}, {"capacity": 1.01}, {"capacity": -1.0}, {"train": 1.0},
                {"train": 0.0}, {"capacity": float("nan")}],
)  # fmt: skip
def test_shares_that_are_none_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(TreehouseError, match="is no share"):
        cache.Options(**options)
