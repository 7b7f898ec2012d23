"""`treehouse replay admission`: the promoted cache_admission over queries later than its training.

Other than a replay of a trace it counts how far an answer is behind its tables: nobody tells a
result store of writes, so what ends an answer is its time to live. Rules that know of every write
stand beside it: stronger rivals than one could run.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import TreehouseError
from training.replay import policies, queues
from training.replay.asked import Asked
from training.replay.clairvoyant import belady
from training.replay.traces import CacheTrace, Flags, Floats, Ints

_TTLS = (60.0, 300.0, 900.0, 3_600.0)
_ONLINE = ("rule", "learned")
_FAR = 1e12  # seconds: never


def replay(
    asked: Asked,
    capacity: float = 0.1,
    progress: Callable[[str, int | None, int | None], None] = lambda *_: None,
) -> dict[str, Any]:
    """Every policy over the queries; what came before those that are judged only fills the cache.

    Args:
        asked: Queries.
        capacity: Of the cache, as a share of the bytes of all distinct answers, each once.
        progress: Told the phases.

    Returns:
        What was replayed, and `policies`: for each the shares of queries, bytes read and seconds
        that it saved, how often it stored an answer, and by how many seconds those that it served
        were behind: mean, most, and the share behind by more than is allowed.
    """
    if not 0 < capacity <= 1:
        raise TreehouseError(
            "The capacity is no share.", value=capacity, expected="above 0 and up to 1"
        )
    by_object = _with_entries(asked.trace, asked.trace.object)
    by_allowed = _with_entries(asked.trace, _spans(asked))
    room = max(1, int(by_object.distinct_bytes * capacity))
    begin = int(asked.judged.argmax())
    everything = np.ones(len(asked.trace), bool)
    rows: list[dict[str, Any]] = []

    def judge(
        name: str, kind: str, trace: CacheTrace, hits: Flags, admit: Flags = everything
    ) -> None:
        progress(name, len(rows), None)
        rows.append({"policy": name, "kind": kind} | _measures(asked, trace.entry, hits, admit))

    judge("no cache", "rule", by_object, policies.nothing(by_object, room), ~everything)
    for ttl in _TTLS:
        hits = policies.fixed_ttl(by_object, room, ttl)
        judge(f"cache all, ttl {ttl:g} s", "rule", by_object, hits)
    judge("native query cache", "rule", by_object, policies.native(by_object, room))
    flat = np.ones(len(asked.trace))
    hits = admitted(by_object, room, everything, asked.allowed, flat)
    judge("cache all, ttl as allowed", "rule", by_object, hits)
    online = {"lru": policies.lru, "s3-fifo": queues.s3_fifo, "w-tinylfu": queues.w_tinylfu,
              "gdsf": policies.gdsf}  # fmt: skip
    for name, policy in online.items():
        judge(f"{name}, ttl as allowed", "rule", by_allowed, policy(by_allowed, room))
        judge(f"{name}, told of writes", "told of writes", asked.trace, policy(asked.trace, room))
    ours = f"cache_admission version {asked.version}"
    hits = admitted(by_object, room, asked.admit, asked.ttl, asked.reuse)
    judge(ours, "learned", by_object, hits, asked.admit)
    hits = admitted(by_object, room, asked.admit, asked.allowed, asked.reuse)
    judge(f"{ours}, ttl as allowed", "learned", by_object, hits, asked.admit)
    hits = belady(by_allowed, room, begin)
    judge("clairvoyant, ttl as allowed", "clairvoyant", by_allowed, hits)
    hits = belady(asked.trace, room, begin)
    judge("clairvoyant, told of writes", "clairvoyant", asked.trace, hits)
    return {
        "queries": len(asked.trace),
        "judged": int(asked.judged.sum()),
        "distinct": int(asked.trace.object.max()) + 1,
        "capacity_bytes": room,
        "version": asked.version,
        "policies": rows,
        "winner": {
            measure: max(
                (row for row in rows if row["kind"] in _ONLINE and not row["too_stale"]),
                key=lambda row: row[measure],
            )["policy"]
            for measure in ("hit_rate", "bytes_saved", "seconds_saved")
        },
    }  # fmt: skip


def admitted(trace: CacheTrace, capacity: int, admit: Flags, ttl: Floats, reuse: Floats) -> Flags:
    """Which queries a store answers that keeps what is admitted for its own time to live, (n,).

    When there is no room, first goes what has ended, then what is expected to save least for its
    bytes, which may be what comes.
    """
    hits = bytearray(len(trace))
    worth = (reuse * trace.cost / np.maximum(trace.size, 1)).tolist()
    ends_at, may, sizes = (trace.time + ttl).tolist(), admit.tolist(), trace.size.tolist()
    kept: dict[int, int] = {}  # entry to the request that stored it
    by_end: list[tuple[float, int, int]] = []
    by_worth: list[tuple[float, int, int]] = []
    used = 0
    for i, (entry, now) in enumerate(zip(trace.entry.tolist(), trace.time.tolist(), strict=True)):
        while by_end and by_end[0][0] < now:
            _, stored, ended = heappop(by_end)
            if kept.get(ended) == stored:
                used -= sizes[kept.pop(ended)]
        if entry in kept:
            hits[i] = True
            continue
        if not may[i] or ends_at[i] <= now or sizes[i] > capacity:
            continue
        kept[entry] = i
        used += sizes[i]
        heappush(by_end, (ends_at[i], i, entry))
        heappush(by_worth, (worth[i], i, entry))
        while used > capacity:
            _, stored, victim = heappop(by_worth)
            if kept.get(victim) == stored:
                used -= sizes[kept.pop(victim)]
    return policies.flags(hits)


def _spans(asked: Asked) -> Ints:
    """Entries that end: an answer lives for as long as is allowed from the first query on, and the
    next one begins another, so that policies without times to live can be compared."""
    begun: dict[int, tuple[float, int]] = {}
    entries = np.empty(len(asked.trace), np.int64)
    columns = (asked.trace.object.tolist(), asked.trace.time.tolist(), asked.allowed.tolist())
    for i, (item, now, allowed) in enumerate(zip(*columns, strict=True)):
        since, number = begun.get(item, (-_FAR, -1))
        if now - since > allowed:
            number = i
            begun[item] = (now, i)
        entries[i] = number
    codes: Ints = np.unique(entries, return_inverse=True)[1]
    return codes


def _with_entries(trace: CacheTrace, entries: Ints) -> CacheTrace:
    return CacheTrace(trace.time, trace.object, entries, trace.size, trace.cost)


def _measures(asked: Asked, entry: Ints, hits: Flags, admit: Flags) -> dict[str, Any]:
    judged, time = asked.judged, asked.trace.time
    served = np.flatnonzero(hits & judged)
    source = _sources(entry, hits)[served]
    behind = np.maximum(0.0, time[served] - asked.changed_at[source])
    cost = asked.trace.cost
    return {
        "hit_rate": _share(hits, judged, np.ones(len(hits))),
        "bytes_saved": _share(hits, judged, asked.read_bytes),
        "seconds_saved": _share(hits, judged, cost),
        "stored": _share(admit & ~hits, judged, np.ones(len(hits))),
        "mean_behind_s": float(behind.mean()) if len(behind) else 0.0,
        "most_behind_s": float(behind.max(initial=0.0)),
        "too_stale": float((behind > asked.allowed[served]).mean()) if len(behind) else 0.0,
    }


def _sources(entry: Ints, hits: Flags) -> Ints:
    """Which request stored what answered each: the last one of the same entry that missed."""
    last: dict[int, int] = {}
    found = np.arange(len(entry))
    for i, (code, hit) in enumerate(zip(entry.tolist(), hits.tolist(), strict=True)):
        if hit:
            found[i] = last[code]
        else:
            last[code] = i
    return found


def _share(hits: Flags, judged: Flags, value: NDArray[Any]) -> float:
    whole = float(value[judged].sum())
    return float(value[hits & judged].sum()) / whole if whole else 0.0
