"""cache_admission: what was known of a query when it had run, and whether its answer was asked for
again while it could be served."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import itemgetter
from typing import Any

from tests.definitions import Counted, Definition, Half
from tests.support.query_worlds import echoing_queries
from tests.support.worlds import TIME_ZONE, Raw, Row, World, beside, group
from treehouse.project.settings import project_vars

_ORDERS, _STOCK, _OTHER = "treehouse_workload.orders", "treehouse_workload.stock", "shop.secrets"
_VARIABLES: dict[str, Any] = {
    "time_zone": TIME_ZONE,
    "cache_admission_history_days": 12,
    "result_cache": project_vars()["result_cache"]
    | {"dashboards": {"sales": 600, "O'Hara": 20000, "quick": 1}},
}
_START = datetime(2024, 4, 1, tzinfo=UTC)  # summer time ends within a week
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_COSTS = ("read_bytes", "result_rows", "result_bytes", "memory_bytes")
_NEVER_SEEN: Row = {
    "joins": 0, "aggregates": 0, "conditions": 0, "time_range": "", "is_deterministic": False,
}  # fmt: skip


def _make(rng: random.Random) -> Raw:
    def query() -> Row:
        return {
            "is_initial": True,
            "query_key": rng.randrange(1, 100),
            "user_key": rng.randrange(1, 4),
            "dashboard": rng.choice(["", "sales", "O'Hara", "quick", "other"]),
            "panel": rng.choice(["", "p"]),
            "kind": "Select",
            "shape": rng.randrange(6),
            "result_key": rng.randrange(12),
            "duration_ms": rng.choice([0.0, 1.5, 80.25]),
            **{name: rng.randrange(10**6) for name in _COSTS},
            "tables": rng.choice([[_ORDERS], [_STOCK], [_ORDERS, _STOCK], [_OTHER, _ORDERS]]),
            "exception_code": 0,
        }

    distances = (timedelta(0), _HOUR, _DAY, 7 * _DAY, 6 * _HOUR, timedelta(seconds=900))
    queries = echoing_queries(rng, 260, query, (_START, _START + 15 * _DAY), distances)
    written = rng.choice([[_ORDERS, _ORDERS, _OTHER], [_ORDERS, _ORDERS, _STOCK, _OTHER]])
    writes = []
    for n in range(140):
        at = rng.choice(queries)["event_at"] + rng.choice([1, -1]) * rng.choice(distances)
        database, table = rng.choice(written).split(".")
        writes.append(
            {
                "log_id": n, "logged_at": beside(rng, at, (timedelta(microseconds=1), _HOUR)),
                "event": rng.choice(["NewPart", "NewPart", "MutatePart", "MergeParts"]),
                "query_key": rng.choice([0, 10**6]), "database": database, "table": table,
                "partition_id": "all", "error_code": rng.choice([0, 0, 0, 1]),
            }
        )  # fmt: skip
        if rng.random() < 0.2:  # several parts at one moment are one write
            writes.append(writes[-1] | {"log_id": 1_000 + n, "partition_id": "other"})
    shapes = [
        {
            "shape": shape, "first_seen_at": _START, "is_parsed": True,
            **{name: rng.randrange(4) for name in ("joins", "aggregates", "conditions")},
            "time_range": rng.choice(["none", "relative", "absolute"]),
            "is_deterministic": shape % 2 == 0,
        }
        for shape in range(1, 6)
    ]  # fmt: skip
    return {
        "engine_queries": queries, "engine_part_events": writes, "engine_query_shapes": shapes,
    }  # fmt: skip


def _allowed(world: World, query: Row) -> float:
    """Seconds that the answer may be behind, by the strictest of who may say."""
    cache = world.variables["result_cache"]
    horizon = world.variables["cache_admission_horizon_seconds"]
    return float(
        min(
            horizon,
            cache["dashboards"].get(query["dashboard"], horizon),
            *(cache["tables"].get(table, 0) for table in query["tables"]),
        )
    )


def _asked(world: World) -> list[Row]:
    """Queries that are learned from, in the order of their moments."""
    asked = [
        query
        for query in world.of("engine_queries")
        if query["is_initial"] and query["kind"] == "Select" and query["exception_code"] == 0
        and query["tables"] and _allowed(world, query) > 0
    ]  # fmt: skip
    if not asked:
        return []
    days = world.variables["cache_admission_history_days"]
    since = max(query["event_at"] for query in asked) - days * _DAY
    recent = [query for query in asked if query["event_at"] > since]
    return sorted(recent, key=lambda query: (query["event_at"], query["log_id"]))


def _writes(world: World) -> list[tuple[str, datetime]]:
    """Tables and the moments at which they changed, each once."""
    return sorted(
        {
            (f"{event['database']}.{event['table']}", event["logged_at"])
            for event in world.of("engine_part_events")
            if event["event"] in ("NewPart", "MutatePart") and event["error_code"] == 0
        }
    )


@cache
def _ms(at: datetime) -> int:
    """Whole milliseconds."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _features(world: World) -> Iterator[Row]:
    asked, writes = _asked(world), _writes(world)
    alike = {
        names: group(asked, itemgetter(*names))
        for names in (("result_key",), ("result_key", "user_key"), ("shape",), ("dashboard",))
    }
    shapes = {shape["shape"]: shape for shape in world.of("engine_query_shapes")}
    for query in asked:
        shape = shapes.get(query["shape"], _NEVER_SEEN)
        local = world.local(query["event_at"])
        yield {
            "log_id": query["log_id"],
            "event_at": query["event_at"],
            **{name: query[name] for name in ("dashboard", "duration_ms", *_COSTS)},
            **_history(query, alike),
            **_volatility(query, writes),
            "hour_of_day": local.hour,
            "weekday": local.isoweekday(),
            **{name: shape[name] for name in _NEVER_SEEN},
            "allowed_stale_seconds": _allowed(world, query),
        }


def _history(query: Row, alike: dict[tuple[str, ...], dict[Any, list[Row]]]) -> Row:
    """What was asked before, to the millisecond: what came in the same one is not."""

    def before(span: timedelta, *names: str) -> list[Row]:
        others = alike[names][itemgetter(*names)(query)]
        now, most = _ms(query["event_at"]), span // timedelta(milliseconds=1)
        return [other for other in others if 1 <= now - _ms(other["event_at"]) <= most]

    same, day = before(7 * _DAY, "result_key"), before(_DAY, "shape")
    ages = [(_ms(query["event_at"]) - _ms(other["event_at"])) / 1e3 for other in same]
    durations = [other["duration_ms"] for other in same]
    return {
        "mean_duration_ms": sum(durations) / len(durations) if same else None,
        "requests_1h": len(before(_HOUR, "result_key")),
        "requests_1d": len(before(_DAY, "result_key")),
        "requests_7d": len(same),
        "own_requests_1h": len(before(_HOUR, "result_key", "user_key")),
        "seconds_since_last": min(ages, default=None),
        "seconds_since_first": max(ages, default=None),
        "shape_requests_1d": len(day),
        "shape_texts_1d": len({other["result_key"] for other in day}),
        "dashboard_requests_1h": len(before(_HOUR, "dashboard")),
    }


def _volatility(query: Row, writes: list[tuple[str, datetime]]) -> Row:
    at = query["event_at"]
    before = [when for table, when in writes if table in query["tables"] and when < at]
    return {
        "seconds_since_write": (_ms(at) - _ms(max(before))) / 1e3 if before else None,
        "writes_1h": sum(when >= at - _HOUR for when in before),
        "writes_1d": sum(when >= at - _DAY for when in before),
    }


def _training_set(world: World) -> Iterator[Row]:
    asked, writes = _asked(world), _writes(world)
    horizon = timedelta(seconds=world.variables["cache_admission_horizon_seconds"])
    for number, query in enumerate(asked):
        at = query["event_at"]
        if at > asked[-1]["event_at"] - horizon:
            continue
        life = _life(world, query, writes, horizon)
        again = next(
            (
                other["event_at"] - at
                for other in asked[number + 1 :]
                if other["result_key"] == query["result_key"]
            ),
            None,
        )
        is_reused = again is not None and again <= life
        yield {
            "log_id": query["log_id"],
            "event_at": at,
            "is_reused": is_reused,
            "ttl_seconds": life.total_seconds(),
            "kept_seconds": (again if is_reused and again is not None else life).total_seconds(),
            "label_known_at": at + horizon,
            "split": _split_of(query, asked, horizon),
        }


def _split_of(query: Row, asked: list[Row], horizon: timedelta) -> str | Half:
    """A fifth of the time that the gaps leave tests, and the fifth before it chooses; labels are
    known, and parts are apart, by a horizon. All is in whole seconds from the last query on."""
    second = timedelta(seconds=1)
    ends = asked[-1]["event_at"] - horizon
    first = asked[0]["event_at"].replace(microsecond=0)
    left = ends.replace(microsecond=0) - first - 2 * horizon
    fifth = max(timedelta(0), left // (5 * second) * second)
    at, test = query["event_at"], ends - fifth
    choice = test - horizon - fifth
    if at > test:
        return "test"
    if choice < at <= test - horizon:
        return Half(query["result_key"])
    return "train" if at <= choice - horizon else "unused"


def _life(
    world: World, query: Row, writes: list[tuple[str, datetime]], horizon: timedelta
) -> timedelta:
    """For how long the answer may be served: as allowed after the query, or after the last pass
    within the horizon that came before a write; passes are at whole multiples of their length."""
    at = query["event_at"]
    ends = min(
        [at + horizon, *(when for table, when in writes if table in query["tables"] and when >= at)]
    )
    length = timedelta(seconds=world.variables["result_cache"]["pass_seconds"])
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    last_pass = epoch + ((ends - timedelta(microseconds=1) - epoch) // length) * length
    checked = max(at, last_pass)
    allowed = timedelta(seconds=_allowed(world, query))
    return min(horizon, checked + allowed - at)


def _by_hand() -> Counted:
    """Tables may be 900 seconds behind, `sales` 600; one pass a minute renews. Judged is the query
    of 12:00:30 UTC on April 3, which is 22:30:30 on a Wednesday in Adelaide."""
    day = datetime(2024, 4, 3, tzinfo=UTC)
    common: Row = {
        "is_initial": True, "kind": "Select", "exception_code": 0, "dashboard": "sales",
        "panel": "p", "query_key": 1, "shape": 5, "tables": [_ORDERS],
        **dict.fromkeys(_COSTS, 7),
    }  # fmt: skip

    def asked(log_id: int, at: timedelta, key: int, user: int, ms: float, **more: Any) -> Row:
        moment = day + at
        own = {
            "log_id": log_id, "event_at": moment, "logged_at": moment, "user_key": user,
            "result_key": key, "duration_ms": ms,
        }  # fmt: skip
        return common | own | more

    now = timedelta(hours=12, seconds=30)
    queries = [
        asked(1, now - 7 * _DAY, 1, 1, 10.0),  # just within 7 days
        asked(2, now - 7 * _DAY - timedelta(milliseconds=1), 1, 1, 99.0),  # just before
        asked(3, now - _DAY, 1, 2, 20.0),  # just within a day
        asked(4, now - _HOUR, 1, 2, 30.0),  # just within an hour
        asked(5, now - _HOUR, 2, 1, 40.0),  # another text of the shape and the dashboard
        asked(6, now - timedelta(seconds=10), 1, 1, 50.0),
        asked(7, now - timedelta(seconds=5), 1, 1, 60.0, exception_code=1),
        asked(8, now, 1, 1, 70.0),
        asked(9, now + timedelta(seconds=1_100), 1, 1, 80.0),  # asked again
        asked(10, now + timedelta(hours=7), 9, 1, 80.0),  # the present
        asked(11, now + timedelta(minutes=10), 3, 1, 80.0, tables=[_STOCK]),  # written but once
        asked(12, timedelta(hours=12, minutes=30, seconds=59.5), 4, 1, 80.0, dashboard="quick"),
    ]
    events = [
        {"log_id": n, "logged_at": day + at, "event": event, "query_key": 0, "error_code": 0,
         "database": "treehouse_workload", "table": table, "partition_id": "all"}
        for n, (at, event, table) in enumerate((
            (now - _DAY, "NewPart", "orders"), (now - _HOUR, "MutatePart", "orders"),
            (now - timedelta(seconds=30), "NewPart", "orders"),
            (now - timedelta(seconds=20), "NewPart", "stock"),
            (now - timedelta(seconds=15), "RemovePart", "orders"),
            (now + timedelta(seconds=570), "NewPart", "orders"),  # 12:10:00
            (timedelta(hours=12, minutes=20, microseconds=1), "NewPart", "stock"),
        ))
    ]  # fmt: skip
    shape = {
        "shape": 5, "first_seen_at": day, "is_parsed": True, "joins": 1, "aggregates": 2,
        "conditions": 3, "time_range": "relative", "is_deterministic": True,
    }  # fmt: skip
    key = {"log_id": 8, "event_at": day + now}
    return Counted(
        {"engine_queries": queries, "engine_part_events": events, "engine_query_shapes": [shape]},
        features=(
            key | {
                "dashboard": "sales", "duration_ms": 70.0, **dict.fromkeys(_COSTS, 7),
                "mean_duration_ms": 27.5, "requests_1h": 2, "requests_1d": 3, "requests_7d": 4,
                "own_requests_1h": 1, "seconds_since_last": 10.0, "seconds_since_first": 604_800.0,
                "shape_requests_1d": 4, "shape_texts_1d": 2, "dashboard_requests_1h": 3,
                "hour_of_day": 22, "weekday": 3, "joins": 1, "aggregates": 2, "conditions": 3,
                "time_range": "relative", "is_deterministic": 1, "seconds_since_write": 30.0,
                "writes_1h": 2, "writes_1d": 3, "allowed_stale_seconds": 600.0,
            },
            {
                "log_id": 11, "event_at": day + now + timedelta(minutes=10),
                "seconds_since_write": 620.0, "writes_1h": 1, "writes_1d": 1,
            },
        ),
        # The pass of 12:10 comes too late: the one of 12:09 is the last, 510 seconds on. That of
        # 12:20 is just in time. Who may be a second behind is served to the pass of 18:30.
        training_set=(
            key | {"is_reused": 1, "ttl_seconds": 1_110.0, "kept_seconds": 1_100.0,
                   "label_known_at": day + now + timedelta(hours=6)},
            {"log_id": 11, "event_at": day + now + timedelta(minutes=10), "is_reused": 0,
             "ttl_seconds": 570.0 + 600},
            {"log_id": 12, "event_at": day + timedelta(hours=12, minutes=30, seconds=59.5),
             "is_reused": 0, "ttl_seconds": 21_600 - 59.5 + 1},
        ),
    )  # fmt: skip


def _apart() -> Counted:
    """The first query comes 68 hours before the last one, of which 62 are known after 6 hours. Two
    gaps leave 50: the last 10 test, and the 10 before the gap choose. Of 4 seconds more no fifth is
    a whole one."""
    begin = datetime(2024, 4, 3, tzinfo=UTC)
    tick = timedelta(microseconds=1)
    placed: list[tuple[timedelta, str]] = [
        (timedelta(seconds=-4), "train"), (30 * _HOUR, "train"), (30 * _HOUR + tick, "unused"),
        (36 * _HOUR, "unused"), (36 * _HOUR + tick, "choice"), (46 * _HOUR, "choice"),
        (46 * _HOUR + tick, "unused"), (52 * _HOUR, "unused"), (52 * _HOUR + tick, "test"),
        (62 * _HOUR, "test"), (62 * _HOUR + tick, ""), (68 * _HOUR, ""),
        (68 * _HOUR - 12 * _DAY, ""),  # too old
    ]  # fmt: skip
    queries = [
        {"log_id": n, "event_at": begin + at, "logged_at": begin + at, "is_initial": True,
         "kind": "Select", "exception_code": 0, "dashboard": "", "panel": "", "query_key": 1,
         "user_key": 1, "shape": 5, "result_key": n, "duration_ms": 1.0, "tables": [_ORDERS],
         **dict.fromkeys(_COSTS, 7)}
        for n, (at, _) in enumerate(placed)
    ]  # fmt: skip
    return Counted(
        {"engine_queries": queries},
        features=({"log_id": 1, "event_at": begin + 30 * _HOUR, "requests_7d": 0},),
        training_set=tuple(
            {"log_id": n, "event_at": begin + at, "split": Half(n) if split == "choice" else split}
            for n, (at, split) in enumerate(placed) if split
        ),
    )  # fmt: skip


DEFINITION = Definition(
    make=_make,
    features=_features,
    training_set=_training_set,
    counted=(_by_hand(), _apart(), Counted({})),
    variables=_VARIABLES,
)
