"""storage_tiering: how a partition was used before a day, and the tier that would cost least."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.definitions import Counted, Definition, Half
from tests.support.worlds import TIME_ZONE, Raw, Row, World, beside, group
from treehouse.project.settings import project_vars

_HISTORY, _HORIZON = 37, 7
_HOT, *_CHEAPER = project_vars()["storage_tiers"]
_VARIABLES = {
    "time_zone": TIME_ZONE,
    "storage_tiering_history_days": _HISTORY,
    # Nothing is free, so that nothing may be left out.
    "storage_tiers": [
        _HOT
        | {"usd_per_gb_read": 0.001, "usd_per_1000_reads": 0.003, "usd_per_1000_writes": 0.002},
        *_CHEAPER,
    ],
}
_START = datetime(2024, 2, 1, tzinfo=UTC)
_DAYS = 88
_UNITS = (timedelta(microseconds=1), timedelta(hours=11))
_TABLES = ("treehouse_workload.visits", "treehouse_workload.stock", "elsewhere.unnamed")
_PARTITIONS = [f"{table}.{n}" for table in _TABLES for n in ("2024-01", "202402", "9", "all")]
_STEP = timedelta(days=1)


def _make(rng: random.Random) -> Raw:
    world = World({}, _VARIABLES)

    def moment(since: int = 0) -> datetime:
        day = world.day(_START) + timedelta(days=rng.randrange(since, _DAYS))
        return beside(rng, world.midnight(day), _UNITS)

    born = {partition: rng.choice([0, 0, 5, 40, 60]) for partition in _PARTITIONS}
    queries = []
    for _ in range(260):
        partitions = rng.sample(_PARTITIONS, rng.choice([0, 1, 1, 2, 5]))
        at = moment(max((born[p] for p in partitions), default=0))
        queries.append(
            {
                "logged_at": at + rng.choice([timedelta(0), timedelta(hours=3)]),
                "event_at": at,
                "is_initial": rng.random() < 0.9,
                "query_key": len(queries) + 1,
                "user_key": rng.randrange(1, 6),
                "kind": rng.choice(["Select"] * 8 + ["Insert", ""]),
                "read_bytes": rng.choice([0, 7, 10**6, 10**9, 10**11]),
                "databases": [],
                "tables": [],
                "partitions": partitions,
                "exception_code": rng.choice([0] * 9 + [241]),
            }
        )
    events = []
    for partition in _PARTITIONS:
        for _ in range(rng.choice([0, 1, 3, 8])):
            events.append(_part_event(rng, partition, moment(born[partition]), queries))
    if rng.random() < 0.7:
        queries += _drops(rng, queries)
    states = [_state(rng, partition, moment()) for partition in _PARTITIONS for _ in range(2)]
    return {
        "engine_queries": [query | {"log_id": n} for n, query in enumerate(queries)],
        "engine_part_events": [event | {"log_id": n} for n, event in enumerate(events)],
        "engine_partitions": states,
    }


def _split(partition: str) -> Row:
    database, table, partition_id = partition.split(".")
    return {"database": database, "table": table, "partition_id": partition_id}


def _part_event(rng: random.Random, partition: str, at: datetime, queries: list[Row]) -> Row:
    writer = rng.choice([query for query in queries if query["kind"] == "Insert"] + queries[:3])
    return _split(partition) | {
        "logged_at": at,
        "event": rng.choice(["NewPart"] * 4 + ["MergeParts", "RemovePart", "MutatePart"]),
        "query_key": writer["query_key"] if rng.random() < 0.5 else 10**9,
        "bytes": rng.choice([0, 1, 10**5, 10**7]),
        "error_code": rng.choice([0] * 6 + [1]),
    }


def _drops(rng: random.Random, queries: list[Row]) -> list[Row]:
    """A table and another table's database that were dropped, and one drop that failed; while a
    query ran, or at the moment at which one ended."""
    nothing: Row = {
        "is_initial": True, "user_key": 1, "kind": "Drop", "read_bytes": 0, "partitions": [],
    }  # fmt: skip
    dropped = [
        (["treehouse_workload"], ["treehouse_workload.stock"], 0, 20),
        (["treehouse_workload"], ["treehouse_workload.visits"], 60, 60),
        (["elsewhere"], [], 0, 60),
    ]
    if rng.random() < 0.5:
        dropped.append((["treehouse_workload"], [], 0, 10))
    rows = []
    for databases, tables, code, day in dropped:
        near = _START + timedelta(days=day)
        query = min(queries, key=lambda query: abs(query["event_at"] - near))
        at = rng.choice([query["logged_at"], query["event_at"] + timedelta(hours=1)])
        rows.append(
            nothing | {"logged_at": at, "event_at": at - timedelta(days=3), "databases": databases,
                       "tables": tables, "exception_code": code, "query_key": 10**6 + day}
        )  # fmt: skip
    return rows


def _state(rng: random.Random, partition: str, at: datetime) -> Row:
    return _split(partition) | {
        "seen_at": at + timedelta(days=rng.randrange(5)),
        "host": rng.choice(["a", "b"]),
        "disk": rng.choice(["hot", "cold"]),
        "parts": rng.choice([0, 1, 4]),
        "bytes": rng.choice([0, 50, 10**7]),
        "modified_at": at.replace(microsecond=0),
    }


@dataclass
class _Day:
    """What happened to a partition on a day, sizes as they stand for."""

    readers: list[int] = field(default_factory=list)
    read_bytes: float = 0.0
    writes: int = 0
    written_bytes: float = 0.0
    seen_bytes: float = 0.0


_Partition = dict[date, _Day]


def _dropped(world: World) -> dict[str, datetime]:
    """When each table, or a whole database, was last dropped."""
    latest: dict[str, datetime] = {}
    for query in world.of("engine_queries"):
        if query["kind"] == "Drop" and query["exception_code"] == 0:
            for name in query["tables"] or query["databases"]:
                latest[name] = max(latest.get(name, query["logged_at"]), query["logged_at"])
    return latest


def _accesses(world: World) -> Iterator[tuple[str, datetime, datetime, Row]]:
    """Partition, moment, moment by the log's clock, and what was done."""
    written_at: dict[int, datetime] = {}
    for query in world.of("engine_queries"):
        if query["kind"] not in ("Select", ""):
            key, at = query["query_key"], query["event_at"]
            written_at[key] = min(at, written_at.get(key, at))
        if query["kind"] == "Select" and query["exception_code"] == 0:
            for partition in query["partitions"]:
                share = query["read_bytes"] // len(query["partitions"])
                what = {"reader": query["user_key"], "bytes": share}
                yield partition, query["event_at"], query["logged_at"], what
    for event in world.of("engine_part_events"):
        if event["event"] == "NewPart" and event["error_code"] == 0:
            name = ".".join(event[part] for part in ("database", "table", "partition_id"))
            at = written_at.get(event["query_key"], event["logged_at"])
            yield name, at, event["logged_at"], {"reader": None, "bytes": event["bytes"]}


def _partitions(world: World) -> dict[str, _Partition]:
    """The days of each partition of a configured table."""
    factors, dropped = world.variables["tiering"]["tables"], _dropped(world)
    long_ago = datetime(1970, 1, 1, tzinfo=UTC)
    found: dict[str, _Partition] = defaultdict(lambda: defaultdict(_Day))
    for name, at, logged_at, what in _accesses(world):
        table = name.rpartition(".")[0]
        gone = max(dropped.get(table, long_ago), dropped.get(table.split(".")[0], long_ago))
        if table not in factors or logged_at <= gone:
            continue
        day, size = found[name][world.day(at)], what["bytes"] * factors[table]
        if what["reader"] is None:
            day.writes += 1
            day.written_bytes += size
        else:
            day.readers.append(what["reader"])
            day.read_bytes += size
    newest = max((day for days in found.values() for day in days), default=date.min)
    for name, (day, seen) in _seen(world).items():
        if name.rpartition(".")[0] in factors and day < newest:
            found[name][day].seen_bytes += seen * factors[name.rpartition(".")[0]]
    return found


def _seen(world: World) -> dict[str, tuple[date, int]]:
    """Day of its newest part and bytes of each partition, as it was last seen anywhere."""
    places: dict[Any, Row] = {}
    for state in sorted(world.of("engine_partitions"), key=lambda s: s["seen_at"]):
        name = ".".join(state[part] for part in ("database", "table", "partition_id"))
        places[name, state["host"], state["disk"]] = state
    by_name = group(
        ((name, state) for (name, *_), state in places.items() if state["parts"] > 0),
        lambda pair: pair[0],
    )
    return {
        name: (
            world.day(max(state["modified_at"] for _, state in pairs)),
            sum(state["bytes"] for _, state in pairs),
        )
        for name, pairs in by_name.items()
    }


def _features(world: World) -> Iterator[Row]:
    partitions = _partitions(world)
    if not partitions:
        return
    today = max(day for days in partitions.values() for day in days)
    history = world.variables["storage_tiering_history_days"]
    for as_of in (today - n * _STEP for n in range(history)):
        rows = [
            {"partition_name": name, "as_of": as_of, **_row(days, as_of)}
            for name, days in partitions.items()
            if min(days) < as_of
        ]
        rows = [row for row in rows if row["stored_bytes"] > 0]
        for siblings in group(rows, lambda row: row["partition_name"].rpartition(".")[0]).values():
            read = sum(row["reads_7d"] > 0 for row in siblings)
            for row in siblings:
                newer = [s for s in siblings if s["partition_name"] > row["partition_name"]]
                yield row | {
                    "newer_partitions": len(newer),
                    "table_read_share_7d": read / len(siblings),
                }


def _row(days: _Partition, as_of: date) -> Row:
    def last(count: int, leave_out: int = 0) -> dict[int, _Day]:
        """By how many days before, of the last `count` days."""
        ages = {(as_of - day).days: there for day, there in days.items()}
        return {age: there for age, there in ages.items() if leave_out < age <= count}

    def reads(those: dict[int, _Day]) -> int:
        return sum(len(there.readers) for there in those.values())

    def since(those: dict[int, _Day], what: str) -> float | None:
        return min(
            (float(age) for age, there in those.items() if getattr(there, what)), default=None
        )

    ever, weeks = last(10**6), {age: day for age, day in last(28).items() if age % 7 == 0}
    return {
        "age_days": float((as_of - min(days)).days),
        "stored_bytes": max(
            sum(there.written_bytes for there in ever.values()),
            sum(there.seen_bytes for there in ever.values()),
        ),
        "days_since_read": since(last(35), "readers"),
        "days_since_write": since(last(35), "writes"),
        "reads_1d": reads(last(1)),
        "reads_7d": reads(last(7)),
        "reads_30d": reads(last(30)),
        "reads_decayed": math.fsum(
            len(there.readers) * 0.5 ** (age / 7) for age, there in last(35).items()
        ),
        "read_bytes_7d": float(sum(there.read_bytes for there in last(7).values())),
        "readers_7d": len({user for there in last(7).values() for user in there.readers}),
        "readers_30d": len({user for there in last(30).values() for user in there.readers}),
        "read_days_30d": sum(bool(there.readers) for there in last(30).values()),
        "writes_7d": sum(there.writes for there in last(7).values()),
        "reads_same_weekday": reads(weeks),
        "reads_month_ago": reads(last(30, leave_out=23)),
    }


def _training_set(world: World) -> Iterator[Row]:
    partitions = _partitions(world)
    today = max((day for days in partitions.values() for day in days), default=date.min)
    mature = [row for row in _features(world) if row["as_of"] + _HORIZON * _STEP <= today]
    for row in mature:
        ends = row["as_of"] + _HORIZON * _STEP
        days = partitions[row["partition_name"]]
        ahead = [there for day, there in days.items() if row["as_of"] <= day < ends]
        costs = _costs(world, row["stored_bytes"], ahead)
        yield {
            "partition_name": row["partition_name"],
            "as_of": row["as_of"],
            "tier_usd": list(costs.values()),
            "best_tier": min(costs, key=lambda tier: costs[tier]),
            "stake_usd": max(max(costs.values()) - min(costs.values()), 1e-9),
            "label_known_at": ends,
            "split": _split_of(row, [other["as_of"] for other in mature]),
        }


def _split_of(row: Row, days: list[date]) -> str | Half:
    """A fifth of the days that two gaps leave tests, and as many choose; a gap is a horizon and the
    day after which the horizon's last one is over."""
    first, last, gap = min(days), max(days), _HORIZON + 1
    part = max(1, ((last - first).days + 1 - 2 * gap) // 5)
    before = (last - row["as_of"]).days  # 0 on the last day
    if before < part:
        return "test"
    if 0 <= before - part - gap + 1 < part:
        return Half(row["partition_name"])
    return "train" if before - 2 * part - 2 * gap + 2 >= 0 else "unused"


def _costs(world: World, stored: float, ahead: list[_Day]) -> dict[str, float]:
    """USD of a week in each tier: storage, requests, waiting, and a move there and back."""
    tiers, request = world.variables["storage_tiers"], world.variables["storage_request_mb"] * 1e6
    reads, writes = sum(len(day.readers) for day in ahead), sum(day.writes for day in ahead)
    read, written = sum(day.read_bytes for day in ahead), sum(day.written_bytes for day in ahead)
    pieces, hot = math.ceil(stored / request), tiers[0]
    costs = {}
    for tier in tiers:
        usd = stored / 1e9 * tier["usd_per_gb_month"] * _HORIZON * 24 / 730
        usd += max(reads, read / request) * tier["usd_per_1000_reads"] / 1000
        usd += read / 1e9 * tier["usd_per_gb_read"]
        usd += max(writes, written / request) * tier["usd_per_1000_writes"] / 1000
        slower = reads * (tier["first_byte_ms"] - hot["first_byte_ms"]) / 1e3
        slower += read / 1e6 * (1 / tier["mb_per_second"] - 1 / hot["mb_per_second"])
        usd += max(0.0, slower) / 3600 * world.variables["storage_waiting_usd_per_hour"]
        if tier is not hot:
            there_and_back = sum(
                pieces * (a["usd_per_1000_reads"] + b["usd_per_1000_writes"]) / 1000
                + stored / 1e9 * a["usd_per_gb_read"]
                for a, b in ((hot, tier), (tier, hot))
            )
            stay = world.variables["tiering"]["minimum_stay_days"]
            least = max(tier["minimum_days"], _HORIZON, stay)
            usd += there_and_back * (1 if reads else _HORIZON / least)
        costs[tier["name"]] = usd
    return costs


def _by_hand() -> Counted:
    """A partition of visits, whose sizes count 20,000 times; Adelaide is 9.5 hours ahead in May."""
    name, other = "treehouse_workload.visits.202405", "treehouse_workload.visits.202404"

    def read(day: int, at: str, user: int, size: int, *partitions: str) -> dict[str, Any]:
        moment = datetime.fromisoformat(f"2024-05-{day:02d}T{at}+00:00")
        number = day * 100 + user
        return {
            "log_id": number, "query_key": number, "event_at": moment, "logged_at": moment,
            "is_initial": True, "user_key": user, "kind": "Select", "exception_code": 0,
            "read_bytes": size, "partitions": list(partitions), "databases": [], "tables": [],
        }  # fmt: skip

    def write(day: int, at: str, size: int, partition: str) -> dict[str, Any]:
        moment = datetime.fromisoformat(f"2024-05-{day:02d}T{at}+00:00")
        return _split(partition) | {"logged_at": moment, "event": "NewPart", "query_key": 0,
                                    "error_code": 0, "bytes": size, "log_id": day}  # fmt: skip

    # Judged at the begin of May 24, which is May 23 14:30 UTC.
    queries = [
        read(9, "14:29:59", 1, 40, name),  # May 9, two weeks and a day before
        read(9, "14:30:00", 1, 40, name),  # May 10, the same weekday two weeks before
        read(16, "14:29:59", 2, 40, name),  # May 16, eight days before
        read(16, "14:30:00", 3, 41, name, other),  # May 17: seven days; half of the bytes
        read(23, "14:29:59", 3, 10, name),  # May 23, the day before
        read(23, "14:30:00", 4, 10, name),  # May 24: the future
        read(31, "14:30:00", 4, 10, name),  # Jun 1: the present
    ]
    events = [
        write(7, "20:00:00", 1_000, name),  # May 8
        write(8, "20:00:00", 5_000, other),  # May 9
        write(19, "20:00:00", 500, name),  # May 20
    ]
    key = {"as_of": date(2024, 5, 24)}
    return Counted(
        {"engine_queries": queries, "engine_part_events": events},
        features=(
            key | {
                "partition_name": name, "age_days": 16.0, "stored_bytes": 3e7,
                "newer_partitions": 0, "days_since_read": 1.0, "days_since_write": 4.0,
                "reads_1d": 1, "reads_7d": 2, "reads_30d": 5, "read_bytes_7d": 30 * 20_000.0,
                "readers_7d": 1, "readers_30d": 3, "read_days_30d": 5, "writes_7d": 1,
                "reads_same_weekday": 2, "reads_month_ago": 0, "table_read_share_7d": 1.0,
                "reads_decayed": 0.5**(15 / 7) + 0.25 + 0.5**(8 / 7) + 0.5 + 0.5**(1 / 7),
            },
            key | {
                "partition_name": other, "age_days": 15.0, "stored_bytes": 1e8,
                "newer_partitions": 1, "days_since_read": 7.0, "days_since_write": 15.0,
                "reads_7d": 1, "read_bytes_7d": 400_000.0, "writes_7d": 0,
            },
        ),
        # 100 MB in 13 requests, not read from May 24 to 30: the dearest tier is hot, and cold the
        # cheapest, though what goes there stays for 90 days. 30 MB, read once, are best in warm.
        training_set=(
            key | {
                "partition_name": other, "best_tier": "cold", "label_known_at": date(2024, 5, 31),
                "stake_usd": 0.1 * (0.08 - 0.004) * 168 / 730
                - 7 / 90 * (13 * (0.003 + 0.02) / 1000 + 0.1 * 0.001)
                - 7 / 90 * (13 * (0.01 + 0.002) / 1000 + 0.1 * 0.03),
                "split": "unused",
            },
            key | {"partition_name": name, "best_tier": "warm"},
            # 17 days leave none beside the gaps: one tests and one chooses, whatever it takes.
            *({"partition_name": name, "as_of": date(2024, 5, day), "split": split}
              for day, split in ((9, "train"), (10, "unused"), (16, "unused"), (17, Half(name)),
                                 (18, "unused"), (25, "test"))),
        ),
    )  # fmt: skip


def _read_once(name: str, written: dict[date, int]) -> Raw:
    """A partition that was written on some days, of so many bytes, and read on June 3."""
    read = datetime(2024, 6, 3, tzinfo=UTC)
    query = {
        "log_id": 1, "query_key": 1, "event_at": read, "logged_at": read, "is_initial": True,
        "user_key": 1, "kind": "Select", "exception_code": 0, "read_bytes": 1,
        "partitions": [name], "databases": [], "tables": [],
    }  # fmt: skip
    events = [
        _split(name) | {"logged_at": datetime(day.year, day.month, day.day, tzinfo=UTC),
                        "event": "NewPart", "query_key": 0, "error_code": 0, "bytes": size,
                        "log_id": size}
        for day, size in written.items()
    ]  # fmt: skip
    return {"engine_queries": [query], "engine_part_events": events}


def _apart() -> Counted:
    """Written on May 1 and read on June 3: known from May 2 to 27. These 26 days leave 10 beside
    two gaps of 8, of which 2 test and 2 choose."""
    name = "treehouse_workload.visits.202404"
    days = [("train", 2, 9), ("unused", 10, 16), (Half(name), 17, 18), ("unused", 19, 25),
            ("test", 26, 27)]  # fmt: skip
    return Counted(
        _read_once(name, {date(2024, 5, 1): 10}),
        features=({"partition_name": name, "as_of": date(2024, 5, 2), "age_days": 1.0},),
        training_set=tuple(
            {"partition_name": name, "as_of": date(2024, 5, day), "split": split}
            for split, first, last in days for day in range(first, last + 1)
        ),
    )  # fmt: skip


def _long_ago() -> Counted:
    """What was written before the days that are kept is there on the first of them."""
    name = "treehouse_workload.visits.202401"
    key = {"partition_name": name, "as_of": date(2024, 5, 27)}
    return Counted(
        _read_once(name, {date(2024, 1, 1): 10, date(2024, 1, 3): 20}),
        features=(key | {"age_days": 147.0, "stored_bytes": 600_000.0, "writes_7d": 0},),
        training_set=(key | {"split": "test"},),
    )


DEFINITION = Definition(
    make=_make,
    features=_features,
    training_set=_training_set,
    counted=(_by_hand(), _apart(), _long_ago(), Counted({})),
    variables=_VARIABLES,
)
