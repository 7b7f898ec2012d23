"""Random queries of the engine's log whose moments lie on the boundaries of windows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from tests.support.worlds import Row, beside

LEFT_OUT = (
    {"kind": "Insert"}, {"kind": ""}, {"exception_code": 241}, {"is_initial": False},
    {"tables": []},
)  # fmt: skip
"""What makes of a query one that nobody learns from."""


def echoing_queries(
    rng: random.Random,
    count: int,
    make: Callable[[], Row],
    span: tuple[datetime, datetime],
    distances: Sequence[timedelta],
) -> list[Row]:
    """Queries of which most come a boundary's distance after an earlier one, often its like.

    Args:
        rng: Decides.
        count: Of queries.
        make: All columns of a new query but for its moment and number.
        span: Within which they come.
        distances: Lengths of windows, on and next to which queries come.
    """
    units = (timedelta(microseconds=1), timedelta(milliseconds=1), timedelta(seconds=1))
    queries: list[Row] = []
    for n in range(count):
        query, at = make(), span[0] + rng.random() * (span[1] - span[0])
        before = rng.choice(queries) if queries and rng.random() < 0.8 else None
        after = before and beside(rng, before["event_at"] + rng.choice(distances), units)
        if before and after and after <= span[1]:
            at = after
            kept = rng.sample(sorted(before), rng.randrange(len(before)))
            query |= {name: before[name] for name in kept}
        if rng.random() < 0.1:
            query |= rng.choice(LEFT_OUT)
        log_id = rng.randrange(1, 2**40) * 1_000 + n
        queries.append(query | {"log_id": log_id, "logged_at": at, "event_at": at})
    return queries
