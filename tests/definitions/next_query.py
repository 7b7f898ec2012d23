"""next_query: what a sequence has asked so far, and what it asks next."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from tests.definitions import Counted, Definition, Half
from tests.support.query_worlds import echoing_queries
from tests.support.worlds import TIME_ZONE, Raw, Row, World

_VARIABLES = {"time_zone": TIME_ZONE, "next_query_history": 4}
_START = datetime(2024, 4, 4, tzinfo=UTC)  # summer time ends within a week
_SHAPES = (2**11, 2**11 + 2047, 5 * 2**11, 2**63 + 99, 2**64 - 1)  # two are one below 2^53


def _make(rng: random.Random) -> Raw:
    def query() -> Row:
        return {
            "is_initial": True,
            "query_key": rng.randrange(1, 100),
            "user_key": rng.randrange(1, 5),
            "session_key": rng.choice([0, 0, 1, 2, 2**63]),
            "dashboard": rng.choice(["", "", "sales", "traffic"]),
            "kind": "Select",
            "shape": rng.choice(_SHAPES),
            "databases": rng.choice([["shop"], ["system"], ["shop", "treehouse"], []]),
            "tables": rng.choice([["shop.orders"], ["system.one"]]),
            "exception_code": 0,
        }

    distances = [timedelta(minutes=m) for m in (0, 0, 30, 30, 1)] + [timedelta(days=1)]
    return {
        "engine_queries": echoing_queries(
            rng, 300, query, (_START, _START + timedelta(days=6)), distances
        )
    }


def _sequences(world: World) -> list[tuple[Row, list[Row], list[Row]]]:
    """Each query with those of its sequence and those of its user up to it, itself the last."""
    left_out = set(world.variables["next_query_left_out"])
    sequences: dict[Any, list[Row]] = defaultdict(list)
    people: dict[int, list[Row]] = defaultdict(list)
    found = []
    for query in sorted(world.of("engine_queries"), key=lambda q: (q["event_at"], q["log_id"])):
        is_asked = query["is_initial"] and query["kind"] == "Select" and query["tables"]
        is_own_work = query["dashboard"] == "" and left_out & set(query["databases"])
        if not is_asked or query["exception_code"] or is_own_work:
            continue
        sequence, person = sequences[_sequence(query)], people[query["user_key"]]
        sequence.append(query)
        person.append(query)
        found.append((query, list(sequence), list(person)))
    return found


def _sequence(query: Row) -> Any:
    return query["session_key"] or (query["user_key"], query["dashboard"])


def _role(earlier: list[Row]) -> str:
    if not earlier:
        return "new"
    panels = sum(query["dashboard"] != "" for query in earlier)
    return "viewer" if panels >= len(earlier) / 2 else "analyst"


def _features(world: World) -> Iterator[Row]:
    length = world.variables["next_query_history"] + 1
    for query, sequence, person in _sequences(world):
        recent, local = sequence[-length:], world.local(query["event_at"])
        seconds = [(b["event_at"] - a["event_at"]).total_seconds() for a, b in pairwise(recent)]
        yield {
            "log_id": query["log_id"],
            "asked_at": query["event_at"],
            "hour": local.hour,
            "weekday": local.isoweekday(),
            "queries_before": len(sequence) - 1,
            "role": _role(person[:-1]),
            "dashboard": query["dashboard"],
            "recent": [str(one["shape"] // 2048) for one in recent],
            "gaps": [0.0, *seconds],
        }


def _training_set(world: World) -> Iterator[Row]:
    horizon = timedelta(minutes=world.variables["next_query_horizon_minutes"])
    later: dict[Any, Row] = {}
    followed = []
    for query, *_ in reversed(_sequences(world)):
        following = later.get(_sequence(query))
        later[_sequence(query)] = query
        if following and following["event_at"] - query["event_at"] <= horizon:
            followed.append((query, following))
    moments = sorted(query["event_at"] for query, _ in followed)
    for query, following in followed:
        yield {
            "log_id": query["log_id"],
            "asked_at": query["event_at"],
            "next_query_id": following["shape"] // 2048,
            "next_at": following["event_at"],
            "split": _split_of(query, following["event_at"], moments),
        }


def _split_of(query: Row, next_at: datetime, moments: list[datetime]) -> str | Half:
    """By time: the newest fifth tests, the fifth before it chooses, day by day of a sequence; what
    was followed only in a later part is not used."""
    choice, test = (moments[int(share * len(moments))] for share in (0.6, 0.8))
    if query["event_at"] >= test:
        return "test"
    if next_at >= test:
        return "unused"
    if query["event_at"] >= choice:
        return Half((_sequence(query), query["event_at"].date()))
    return "unused" if next_at >= choice else "train"


def _by_hand() -> Counted:
    """Of five queries of a session the fourth fails; four are kept with the latest one."""
    begin = datetime(2024, 5, 5, 14, 29, tzinfo=UTC)  # 23:59 of a Sunday in Adelaide

    def asked(log_id: int, seconds: float, query: int, user: int = 1, **more: Any) -> Row:
        at = begin + timedelta(seconds=seconds)
        return {
            "log_id": log_id, "event_at": at, "logged_at": at, "is_initial": True, "query_key": 1,
            "user_key": user, "session_key": 7, "dashboard": "", "kind": "Select",
            "shape": query * 2048 + 5, "databases": ["shop"], "tables": ["shop.orders"],
            "exception_code": 0,
        } | more  # fmt: skip

    queries = [
        asked(1, 0, 11),
        asked(2, 30, 12, dashboard="sales"),
        asked(3, 60, 13),
        asked(4, 70, 14, exception_code=1),
        asked(5, 90.5, 15),
        asked(6, 1890.5, 16),  # 30 minutes later
        asked(7, 1890.5 + 1800.001, 17),  # and a little more
        asked(8, 95, 18, session_key=0),  # the same user without a session
        asked(9, 96, 19, session_key=0, dashboard="sales"),
    ]
    return Counted(
        {"engine_queries": queries},
        features=(
            {"log_id": 1, "asked_at": begin, "hour": 23, "weekday": 7, "queries_before": 0,
             "role": "new", "dashboard": "", "recent": ["11"], "gaps": [0.0]},
            {"log_id": 3, "asked_at": begin + timedelta(seconds=60), "hour": 0, "weekday": 1,
             "queries_before": 2, "role": "viewer", "recent": ["11", "12", "13"],
             "gaps": [0.0, 30.0, 30.0]},
            {"log_id": 7, "asked_at": queries[6]["event_at"], "queries_before": 5,
             "role": "analyst", "recent": ["12", "13", "15", "16", "17"],
             "gaps": [0.0, 30.0, 30.5, 1800.0, 1800.001]},
            {"log_id": 9, "asked_at": queries[8]["event_at"], "queries_before": 0,
             "role": "analyst", "recent": ["19"]},
        ),
        training_set=(
            {"log_id": 3, "asked_at": begin + timedelta(seconds=60), "next_query_id": 15,
             "next_at": queries[4]["event_at"]},
            {"log_id": 5, "asked_at": queries[4]["event_at"], "next_query_id": 16,
             "next_at": queries[5]["event_at"]},
        ),
    )  # fmt: skip


def _apart() -> Counted:
    """A query a minute: of ten that were followed the seventh begins the choice, the ninth the
    test, and those before them were followed too late."""
    begin = datetime(2024, 5, 5, 12, tzinfo=UTC)
    moments = [begin + timedelta(minutes=n) for n in range(11)]
    queries = [
        {"log_id": n, "event_at": at, "logged_at": at, "is_initial": True, "query_key": 1,
         "user_key": 1, "session_key": 7, "dashboard": "", "kind": "Select", "shape": 2048,
         "databases": ["shop"], "tables": ["shop.orders"], "exception_code": 0}
        for n, at in enumerate(moments)
    ]  # fmt: skip
    splits = [*["train"] * 5, "unused", Half((7, begin.date())), "unused", "test", "test"]
    return Counted(
        {"engine_queries": queries},
        features=({"log_id": 0, "asked_at": begin, "queries_before": 0},),
        training_set=tuple(
            {"log_id": n, "asked_at": moments[n], "split": split} for n, split in enumerate(splits)
        ),
    )


DEFINITION = Definition(
    make=_make,
    features=_features,
    training_set=_training_set,
    counted=(_by_hand(), _apart(), Counted({})),
    variables=_VARIABLES,
    within={"gaps": 1e-6},  # seconds since 1970 as doubles
)
