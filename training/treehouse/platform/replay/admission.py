"""`treehouse replay admission`: the promoted cache_admission over queries later than its training.

Other than a replay of a trace it counts how far an answer is behind its tables. Every policy keeps
answers as the result store does: a pass of `cache fill` each so many seconds renews those to whose
tables nothing was written, so an answer is served until the first write and then for as long as is
allowed. Rules with times to live alone, and one that is told of every write, stand beside it. What
storing costs is taken off what is saved, and so is what is computed ahead; what a pass costs, the
same for all, is not. The clairvoyant keeps what was asked for and computes nothing ahead, and saves
hits, not seconds: those who do otherwise may pass it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treehouse.platform.replay.admission_trace import Asked
from treehouse.platform.replay.cache import ratio, verdict
from treehouse.platform.replay.cache_optimum import Belady
from treehouse.platform.replay.cache_policies import (
    HIT,
    STORED,
    Cache,
    Lru,
    Native,
    drive,
    greedy_dual,
)
from treehouse.platform.replay.cache_queues import S3Fifo, TinyLfu
from treehouse.platform.replay.cache_result_store import Admission, Filled
from treehouse.platform.replay.traces import CacheTrace, Floats, Ints
from treehouse.project.errors import TreehouseError

_TTLS = (60.0, 300.0, 900.0, 3_600.0)
# The chance of a request below which its answer is not computed ahead, by what is to be saved; the
# second one where it was read since it was computed.
_LEAST = {"hits": (0.3, 0.1), "bytes": (0.3, 0.3), "seconds": (0.3, 0.3)}
ONLY_IF_READ = (2.0, 0.0)
_MEASURES = ("hit_rate", "bytes_saved", "seconds_saved")
_Outcome = NDArray[np.uint8]


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
        What was replayed, the verdict by each measure, and `policies`: for each the shares of
        queries, bytes read and seconds that it saved, how often it stored an answer, and by how
        many seconds those that it served were behind: mean, most, and the share behind by more
        than is allowed. Of ours there are three, which are to save hits, bytes read or seconds,
        each with and without answers that passes compute ahead. How worth and chances are told was
        chosen on the validation days of a workload of another seed than is judged.
    """
    if not 0 < capacity <= 1:
        raise TreehouseError(
            "The capacity is no share.", value=capacity, expected="above 0 and up to 1"
        )
    trace = asked.trace
    room = max(1, int(trace.distinct_bytes * capacity))
    rows: list[dict[str, Any]] = []

    def tell(name: str, kind: str, measures: dict[str, Any]) -> None:
        progress(name, len(rows), None)
        rows.append({"policy": name, "kind": kind} | measures)

    def judge(name: str, kind: str, cache: Cache, trace: CacheTrace = trace) -> None:
        tell(name, kind, _measures(asked, drive(trace, cache)))

    tell("no cache", "rule", _measures(asked, np.zeros(len(trace), np.uint8)))
    for ttl in _TTLS:
        judge(f"lru, ttl {ttl:g} s", "rule", Lru(room), _ending(trace, ttl))
    judge("native query cache", "rule", Native(room), _ending(trace, 60.0))
    judge("lru, ttl as allowed", "rule", Lru(room), _ending(trace, asked.allowed))
    versions = replace(trace, entry=asked.version_of, ends=None)
    judge("lru, told of writes", "told of writes", Lru(room), versions)
    judge("lru, renewed", "rule", Lru(room))
    judge("s3-fifo, renewed", "rule", S3Fifo(room))
    judge("w-tinylfu, renewed", "rule", TinyLfu(room))
    judge("gdsf, renewed", "rule", greedy_dual(trace, room))
    tell("lru, kept ahead", "rule", _ahead(asked, Filled(as_lru(asked), room, ONLY_IF_READ)))
    for aim, wanted in _aims(asked).items():
        judge(f"cache_admission for {aim}, renewed", "learned", Admission(wanted, room))
        ahead = _ahead(asked, Filled(wanted, room, _LEAST[aim]))
        tell(f"cache_admission for {aim}, kept ahead", "learned", ahead)
    judge("clairvoyant, renewed", "clairvoyant", Belady(trace, room, int(asked.judged.argmax())))
    return {
        "queries": len(trace),
        "judged": int(asked.judged.sum()),
        "distinct": int(trace.object.max()) + 1,
        "capacity_bytes": room,
        "store_seconds": asked.store_seconds,
        "version": asked.version,
        "policies": rows,
        "verdict": verdict([row for row in rows if not row["too_stale"]], _MEASURES),
    }  # fmt: skip


def _aims(asked: Asked) -> dict[str, Asked]:
    """By what is to be saved: what a hit saves of it, and what is admitted. The decision is for
    seconds; storing costs no hits and no bytes."""
    every = np.ones(len(asked.trace))
    return {
        "hits": replace(asked, saved=every, admit=every > 0, store_seconds=0.0),
        "bytes": replace(asked, saved=asked.read_bytes, admit=every > 0, store_seconds=0.0),
        "seconds": asked,
    }


def _ending(trace: CacheTrace, seconds: float | Floats) -> CacheTrace:
    """The same, where an answer ends so long after it was computed."""
    return replace(trace, ends=trace.time + seconds)


def as_lru(asked: Asked) -> Asked:
    """Such that everything comes in, and what was not asked for longest is worth least."""
    ones = np.ones(len(asked.trace))
    trace = replace(asked.trace, size=np.ones_like(asked.trace.size))
    return replace(
        asked,
        trace=trace,
        admit=ones > 0,
        reuse=ones,
        kept_seconds=ones,
        saved=ones,
        store_seconds=0.0,
    )


def _ahead(asked: Asked, cache: Filled) -> dict[str, Any]:
    came = drive(replace(asked.trace, ends=None), cache)
    for entry in list(cache.kept):
        cache.settle(entry, float(asked.trace.time[-1]))
    begin = asked.trace.time[asked.judged.argmax()]
    fills = np.array([latest for latest, at in cache.filled if at >= begin], np.int64)
    return _measures(asked, came, cache.changed, fills)


def _measures(
    asked: Asked, came: _Outcome, changed_at: Floats | None = None, fills: Ints | None = None
) -> dict[str, Any]:
    """Of the judged queries. `fills` are the queries that were run ahead; what they take is taken
    off what is saved."""
    judged, cost, read = asked.judged, asked.trace.cost, asked.read_bytes
    hits = judged & (came == HIT)
    stored = judged & (came == STORED)
    ahead = np.zeros(0, np.int64) if fills is None else fills
    served = np.flatnonzero(hits)
    if changed_at is None:
        computed = _computed(asked.trace.object, came)[served]
        behind = asked.trace.time[served] - asked.changed_at[computed]
    else:
        behind = asked.trace.time[served] - changed_at[served]
    behind = np.maximum(0.0, behind)
    stores = stored.sum() + len(ahead)
    spent = stores * asked.store_seconds + asked.saved[ahead].sum()
    return {
        "hit_rate": float(hits.sum() / judged.sum()),
        "bytes_saved": ratio(read[hits].sum() - read[ahead].sum(), read[judged].sum()),
        "seconds_saved": ratio(cost[hits].sum() - spent, cost[judged].sum()),
        "stored": float(stores / judged.sum()),
        "ahead": float(len(ahead) / judged.sum()),
        "mean_behind_s": float(behind.mean()) if len(behind) else 0.0,
        "most_behind_s": float(behind.max(initial=0.0)),
        "too_stale": float((behind > asked.allowed[served]).mean()) if len(behind) else 0.0,
    }


def _computed(objects: Ints, came: _Outcome) -> Ints:
    """Which request computed what answered each: the last one that was stored."""
    last: dict[int, int] = {}
    found = np.arange(len(objects))
    for i, (item, outcome) in enumerate(zip(objects.tolist(), came.tolist(), strict=True)):
        if outcome == HIT:
            found[i] = last[item]
        elif outcome == STORED:
            last[item] = i
    return found
