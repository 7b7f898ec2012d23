"""`treehouse replay cache`: every policy over one trace, judged on its later part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

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
from treehouse.platform.replay.cache_optimum import belady, belady_size, upper_bound
from treehouse.platform.replay.traces import CacheTrace, Flags, Floats
from treehouse.project.errors import TreehouseError

_MEASURES = ("object_hit_rate", "byte_hit_rate", "cost_saved")
_AIMED_AT = dict(zip(("objects", "bytes", "cost"), _MEASURES, strict=True))
_TTLS = (60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0)
_ONLINE: dict[str, policies.Policy] = {
    "no cache": policies.nothing,
    "lru": policies.lru,
    "lfu": policies.lfu,
    "native query cache": policies.native,
    "s3-fifo": queues.s3_fifo,
    "w-tinylfu": queues.w_tinylfu,
    "gdsf": policies.gdsf,
    "sieve": adaptive.sieve,
    "arc": adaptive.arc,
    "lirs": adaptive.lirs,
}


@dataclass(frozen=True)
class Options:
    """How a trace is replayed.

    Attributes:
        capacity: Share of the distinct bytes that the cache holds, above 0 and up to 1.
        train: Share of the requests, the first ones, that fits and thresholds may use.
    """

    capacity: float = 0.1
    train: float = 0.5

    def __post_init__(self) -> None:
        for name, value in (("capacity", self.capacity), ("train", self.train)):
            if not 0 < value <= 1 or (name == "train" and value == 1):
                raise TreehouseError(
                    f"The {name} is no share.",
                    value=value,
                    expected="above 0 and up to 1" if name == "capacity" else "between 0 and 1",
                )


def replay(
    trace: CacheTrace,
    options: Options,
    progress: Callable[[str, int | None, int | None], None] = lambda *_: None,
) -> dict[str, Any]:
    """Replay a trace under every policy.

    Returns:
        What was replayed, and `policies`: a list with the shares of requests, bytes and cost that
        each answered from the cache, over the judged requests. All are warm when they are judged.
        The learned policies are judged before that: one that loses to a rule in the second half of
        what may be learned from, fitted on the first, plays that rule, which `plays` names.
    """
    n = len(trace)
    judged_from = int(n * options.train)
    capacity = max(1, int(trace.distinct_bytes * options.capacity))
    rows: list[dict[str, Any]] = []

    def judge(name: str, kind: str, hits: Flags, plays: str = "") -> None:
        row = {"policy": name, "kind": kind, "plays": plays}
        rows.append(row | _shares(trace, hits, judged_from))

    answered: dict[str, Flags] = {}
    for name, policy in _ONLINE.items():
        progress(name, len(rows), None)
        answered[name] = policy(trace, capacity)
    progress("fixed ttl", len(rows), None)
    ttl = _best_ttl(trace, capacity, judged_from)
    answered[f"lru, ttl {ttl:g} s"] = policies.fixed_ttl(trace, capacity, ttl)
    for name, hits in answered.items():
        judge(name, "rule", hits)
    progress("learn", len(rows), None)
    better = _better_rules(trace, capacity, judged_from, answered)
    fitted = learned.fit(trace, judged_from)
    for aim, value in _aims(trace).items():
        progress(f"learned for {aim}", len(rows), None)
        rule = better[aim]
        hits = answered[rule] if rule else learned.replay(trace, capacity, fitted, value)
        judge(f"learned for {aim}", "learned", hits, rule)
    progress("belady", len(rows), None)
    judge("belady", "clairvoyant", belady(trace, capacity, judged_from))
    for aim, value in _aims(trace).items():
        hits = belady_size(trace, capacity, judged_from, value)
        judge(f"belady by size, for {aim}", "clairvoyant", hits)
    ones = np.ones(n)
    bound = partial(upper_bound, trace, capacity, judged_from)
    bounds = {
        "object_hit_rate": bound(ones) / max(1, n - judged_from),
        "byte_hit_rate": ratio(bound(trace.size.astype(float)), trace.size[judged_from:].sum()),
        "cost_saved": ratio(bound(trace.cost), trace.cost[judged_from:].sum()),
    }
    rows.append({"policy": "upper bound", "kind": "clairvoyant", "plays": ""} | bounds)
    return {
        "requests": n,
        "judged": n - judged_from,
        "objects": int(trace.object.max()) + 1,
        "entries": int(trace.entry.max()) + 1,
        "distinct_bytes": trace.distinct_bytes,
        "capacity_bytes": capacity,
        "policies": rows,
        "verdict": verdict(rows, _MEASURES),
    }


def verdict(rows: list[dict[str, Any]], measures: tuple[str, ...]) -> dict[str, Any]:
    """By each measure: the best rule, the best learned policy and the rule that it plays, if it
    fell back to one, who wins, the bound's share."""
    found = {}
    for measure in measures:
        best = {
            kind: max((row for row in rows if row["kind"] == kind), key=lambda row: row[measure])
            for kind in ("rule", "learned", "clairvoyant")
        }
        rule, ours, top = (best[kind][measure] for kind in ("rule", "learned", "clairvoyant"))
        plays = best["learned"].get("plays", "")
        found[measure] = {
            "best_rule": best["rule"]["policy"],
            "best_learned": best["learned"]["policy"],
            "winner": "rule" if plays or rule > ours else "learned" if ours > rule else "both",
            "learned_minus_rule": ours - rule,
            "learned_of_bound": ratio(ours, top),
        } | ({"plays": plays} if plays else {})
    return found


def _better_rules(
    trace: CacheTrace, capacity: int, judged_from: int, answered: dict[str, Flags]
) -> dict[str, str]:
    """By aim the rule that does better than the learned policy before `judged_from`, else ""."""
    half = judged_from // 2
    if not half:
        return dict.fromkeys(_aims(trace), "")
    early = trace.first(judged_from)
    fitted = learned.fit(early, half)
    found = {}
    for aim, value in _aims(trace).items():
        measure = _AIMED_AT[aim]
        # No rule sees ahead: what it answered is what it would have answered of these alone.
        reached = {
            name: _shares(early, hits[:judged_from], half)[measure]
            for name, hits in answered.items()
        }
        best = max(reached, key=lambda name: reached[name])
        ours = learned.replay(early, capacity, fitted, value[:judged_from])
        found[aim] = best if reached[best] > _shares(early, ours, half)[measure] else ""
    return found


def _aims(trace: CacheTrace) -> dict[str, Floats]:
    """What to maximise: requests, bytes and, where the trace has one, cost."""
    aims = {"objects": np.ones(len(trace)), "bytes": trace.size.astype(float)}
    return aims | ({"cost": trace.cost} if np.ptp(trace.cost) > 0 else {})


def _best_ttl(trace: CacheTrace, capacity: int, judged_from: int) -> float:
    """The time to live that answered most of the requests before those that are judged."""
    counts = {ttl: policies.fixed_ttl(trace, capacity, ttl)[:judged_from].sum() for ttl in _TTLS}
    return max(counts, key=lambda ttl: counts[ttl])


def _shares(trace: CacheTrace, hits: Flags, judged_from: int) -> dict[str, float]:
    hits = hits[judged_from:]
    size, cost = trace.size[judged_from:], trace.cost[judged_from:]
    return {
        "object_hit_rate": float(hits.mean()) if len(hits) else 0.0,
        "byte_hit_rate": ratio(size[hits].sum(), size.sum()),
        "cost_saved": ratio(cost[hits].sum(), cost.sum()),
    }


def ratio(part: float, whole: float) -> float:
    """The share of a whole, of which there may be none."""
    return float(part / whole) if whole else 0.0
