"""ltv: what a user did in the first days after the install, and was worth in the end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.definitions import Counted, Definition, Half
from tests.support.worlds import TIME_ZONE, Raw, Row, World, beside, group

_VARIABLES = {
    "time_zone": TIME_ZONE, "ltv_horizon_days": 20, "ltv_embargo_days": 20, "ltv_fitted_users": 25,
}  # fmt: skip
_START = datetime(2024, 2, 20, tzinfo=UTC)  # a leap day is near; summer time ends on April 7
_DAYS = 55  # for some who installed, not all of the first days or of the horizon is known
_NAMES = ("session_start", "level", "purchase", "shop_view", "add_to_cart", "checkout")
_MONEY = ("0", "0", "0", "0.99", "4.99", "0.000001", "400", "999.99", "1000", "-4.99")
_TRAITS = {
    "campaign_id": ("", "summer", "O'Hara"),
    "ad_creative_id": ("", "a", "b"),
    "country": ("DE", "AU", ""),
    "platform": ("ios", "android", "web"),
    "device_type": ("phone", "tablet"),
    "os_version": ("17", "18.1", ""),
}


def _make(rng: random.Random) -> Raw:
    world = World({}, _VARIABLES)
    installs = [
        {
            "user_id": f"u{n}" if n else "",
            "installed_at": _install_moment(rng, world),
            **{name: rng.choice(values) for name, values in _TRAITS.items()},
        }
        for n in range(80)
    ]
    events: list[Row] = []
    for install in installs:
        for _ in range(rng.choice([0, 1, 3, 9, 20])):
            events.append(_event(rng, install["user_id"], _moment(rng, world, install)))
    for _ in range(8):  # of nobody who installed
        events.append(_event(rng, "stranger", rng.choice(installs)["installed_at"]))
    events += [dict(rng.choice(events)) for _ in range(10)]  # the same twice
    present = world.day(_START) + timedelta(days=_DAYS)
    events = [event for event in events if world.day(event["event_at"]) <= present]
    events.append(_event(rng, "stranger", world.midnight(present)))
    rng.shuffle(events)
    rows = [event | {"event_id": f"e{n}"} for n, event in enumerate(events)]
    return {"installs": installs, "events": rows}


def _install_moment(rng: random.Random, world: World) -> datetime:
    at = _START + timedelta(days=rng.randrange(_DAYS), seconds=rng.randrange(86_400))
    return beside(rng, world.midnight(world.day(at)), _UNITS) if rng.random() < 0.3 else at


_UNITS = (timedelta(milliseconds=1), timedelta(minutes=1), timedelta(hours=5))


def _moment(rng: random.Random, world: World, install: Row) -> datetime:
    """Around the install, the ends of days 1 and 7, that of the horizon, or anywhere."""
    day = world.day(install["installed_at"])
    age = rng.choice([0, 0, 1, 1, 7, 7, 20, 20, rng.randrange(-2, 25), rng.randrange(7)])
    at = world.midnight(day + timedelta(days=age))
    return (
        beside(rng, at, _UNITS)
        if rng.random() < 0.7
        else at + timedelta(milliseconds=rng.randrange(86_400_000))
    )


def _event(rng: random.Random, user: str, at: datetime) -> Row:
    return {
        "user_id": user,
        "event_name": rng.choice(_NAMES),
        "event_at": at,
        "session_id": rng.choice(["", "s1", "s2", "s3", f"s{rng.randrange(20)}"]),
        "duration_ms": rng.choice([0, 1, rng.randrange(10**6)]),
        "revenue_usd": Decimal(rng.choice(_MONEY)),
    }


def _complete_day(world: World) -> date | None:
    """The last day of which everything is known: the newest one still goes on."""
    days = [world.day(event["event_at"]) for event in world.of("events")]
    return max(days) - timedelta(days=1) if days else None


def _users(world: World, days: int) -> Iterator[tuple[Row, date, list[Row]]]:
    """Who installed at least `days` whole days ago, with what they did in these days."""
    complete, events = _complete_day(world), group(world.of("events"), lambda e: e["user_id"])
    for install in world.of("installs"):
        first = world.day(install["installed_at"])
        last = first + timedelta(days=days - 1)
        if complete is None or last > complete:
            continue
        theirs = [
            event | {"age": (world.day(event["event_at"]) - first).days}
            for event in events.get(install["user_id"], [])
            if first <= world.day(event["event_at"]) <= last
        ]
        yield install, first, theirs


def _totals(events: list[Row], prefix: str) -> Row:
    return {
        f"{prefix}_sessions": len({e["session_id"] for e in events if e["session_id"] != ""}),
        f"{prefix}_duration": sum(e["duration_ms"] for e in events),
        f"{prefix}_events": len(events),
        f"{prefix}_revenue": float(sum(e["revenue_usd"] for e in events)),
    }


def _features(world: World) -> Iterator[Row]:
    intents = world.variables["intent_events"]
    for install, first, events in _users(world, world.variables["ltv_observation_days"]):
        paid = [e for e in events if e["revenue_usd"] > 0]
        yield {
            "user_id": install["user_id"],
            "installed_at": install["installed_at"],
            "install_day": first,
            **_totals([e for e in events if e["age"] == 0], "d1"),
            **_totals(events, "d7"),
            "d7_intents": len([e for e in events if e["event_name"] in intents]),
            "d7_payments": len(paid),
            "d7_largest_payment": float(max((e["revenue_usd"] for e in events), default=0)),
            "d7_active_days": len({e["age"] for e in events}),
            "last_active_age": max((e["age"] for e in events), default=None),
            "first_payment_age": min((e["age"] for e in paid), default=None),
            **{name: install[name] for name in _TRAITS},
            "install_hour": world.local(install["installed_at"]).hour,
        }


def _training_set(world: World) -> Iterator[Row]:
    horizon = world.variables["ltv_horizon_days"]
    users = list(_users(world, horizon))
    splits = _splits(world, [install for install, *_ in users])
    for install, first, events in users:
        worth = float(sum(e["revenue_usd"] for e in events))
        yield {
            "user_id": install["user_id"],
            "installed_at": install["installed_at"],
            "ltv_usd": worth,
            "label_known_at": world.midnight(first + timedelta(days=horizon)),
            "is_outlier": worth > world.variables["ltv_outlier_usd"],
            "split": splits[install["user_id"]],
        }


def _splits(world: World, installs: list[Row]) -> dict[str, str | Half]:
    """The newest fifth of the users tests. Of those who installed an embargo before it the newest
    quarter chooses; the embargo is shorter where it would leave too few."""
    if not installs:
        return {}
    of = world.variables
    moments = sorted(install["installed_at"] for install in installs)
    test = moments[int(0.8 * len(moments))]
    earliest = moments[: of["ltv_fitted_users"]]
    room = (world.day(test) - world.day(earliest[-1])).days
    embargo = max(of["ltv_embargo_least_days"], min(of["ltv_embargo_days"], room))
    ends = world.day(test) - timedelta(days=embargo)
    fitted = [moment for moment in moments if world.day(moment) <= ends]
    choice = fitted[int(0.75 * len(fitted))] if fitted else test
    return {
        install["user_id"]: "test" if install["installed_at"] > test
        else "unused" if world.day(install["installed_at"]) > ends
        else "train" if install["installed_at"] <= choice
        else Half(install["user_id"])
        for install in installs
    }  # fmt: skip


def _by_hand() -> Counted:
    """Adelaide is 9.5 hours ahead in May: 14:30 UTC is midnight. `ann` installs on May 2."""

    def did(day: int, at: str, name: str, session: str, ms: int, usd: str) -> dict[str, Any]:
        moment = datetime.fromisoformat(f"2024-05-{day:02d}T{at}+00:00")
        return {"user_id": "ann", "event_name": name, "event_at": moment, "session_id": session,
                "duration_ms": ms, "revenue_usd": Decimal(usd)}  # fmt: skip

    events = [
        did(1, "14:29:59.999", "level", "s0", 1_000, "50"),  # the day before the install
        did(1, "14:30:00.000", "shop_view", "s1", 10, "0"),  # day 1 begins
        did(1, "20:00:00.000", "purchase", "s1", 20, "2.5"),
        did(2, "14:29:59.999", "checkout", "s2", 40, "0"),  # day 1 ends
        did(2, "14:30:00.000", "level", "s2", 80, "0"),  # the same session on day 2
        did(4, "16:00:00.000", "purchase", "", 160, "4"),  # day 4
        did(5, "16:00:00.000", "refund", "s3", 0, "-4"),  # day 5
        did(8, "14:29:59.999", "add_to_cart", "s4", 320, "0"),  # day 7 ends
        did(8, "14:30:00.000", "purchase", "s5", 640, "7"),  # day 8
        did(21, "14:29:59.999", "purchase", "s6", 0, "11"),  # day 20 ends
        did(21, "14:30:00.000", "purchase", "s7", 0, "13"),  # day 21
        did(31, "00:00:00.000", "level", "s8", 0, "0"),  # the present
    ]
    for n, event in enumerate(events):
        event["event_id"] = f"e{n}"
    install: dict[str, Any] = {
        "user_id": "ann", "installed_at": datetime(2024, 5, 1, 19, 45, tzinfo=UTC),
        "platform": "ios", "country": "DE", "campaign_id": "c", "ad_creative_id": "a",
        "device_type": "phone", "os_version": "17",
    }  # fmt: skip
    silent = install | {"user_id": "bob", "campaign_id": ""}
    key = {"installed_at": install["installed_at"]}
    return Counted(
        {"installs": [install, silent], "events": events},
        features=(
            key | {
                "user_id": "ann", "install_day": date(2024, 5, 2), "d1_sessions": 2,
                "d1_duration": 70, "d1_events": 3, "d1_revenue": 2.5, "d7_sessions": 4,
                "d7_duration": 630, "d7_events": 7, "d7_revenue": 2.5, "d7_intents": 3,
                "d7_payments": 2, "d7_largest_payment": 4.0, "d7_active_days": 5,
                "last_active_age": 6, "first_payment_age": 0, "install_hour": 5,
                "campaign_id": "c", "ad_creative_id": "a", "country": "DE", "platform": "ios",
                "device_type": "phone", "os_version": "17",
            },
            key | {
                "user_id": "bob", "d1_events": 0, "d7_revenue": 0.0, "d7_largest_payment": 0.0,
                "last_active_age": None, "first_payment_age": None, "campaign_id": "",
            },
        ),
        training_set=(
            key | {"user_id": "ann", "ltv_usd": 20.5, "is_outlier": False,
                   "label_known_at": datetime(2024, 5, 21, 14, 30, tzinfo=UTC)},
            key | {"user_id": "bob", "ltv_usd": 0.0},
        ),
    )  # fmt: skip


def _nobody_did_anything() -> Counted:
    """Installs without one event: no day is known to be over."""
    install = {"user_id": "ann", "installed_at": _START, "platform": "ios"}
    return Counted({"installs": [install]})


def _somebody_did_one_thing() -> Counted:
    """One event of a stranger tells that the days before it are over."""
    install = {"user_id": "ann", "installed_at": _START, **dict.fromkeys(_TRAITS, "")}
    event = {
        "event_id": "e",
        "user_id": "bob",
        "event_at": _START + timedelta(days=_DAYS),
        "event_name": "level",
        "session_id": "",
        "duration_ms": 0,
        "revenue_usd": 0,
    }
    key = {"user_id": "ann", "installed_at": _START}
    return Counted(
        {"installs": [install], "events": [event]},
        features=(key | {"d7_events": 0},),
        training_set=(key | {"ltv_usd": 0.0},),
    )


DEFINITION = Definition(
    make=_make,
    features=_features,
    training_set=_training_set,
    counted=(_by_hand(), _nobody_did_anything(), _somebody_did_one_thing()),
    variables=_VARIABLES,
)
