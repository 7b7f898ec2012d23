"""Daily states kept by the materialized view are those of a rebuild, in whatever order rows come.

Events arrive shuffled and in batches, days late, while the view is live. What it holds is compared
bit for bit with numbers counted in Python, and the features with those of a rebuilt table.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.cleaning import drop_everything
from tests.support.house import dbt, run_dbt
from treehouse.project.settings import Settings

_START = datetime(2026, 1, 1, tzinfo=UTC)
_USERS = ("ann", "bob", "cyd")
_INTENTS = ("shop_view", "add_to_cart", "checkout")
_REBUILT = "treehouse.user_daily_rebuilt"
_FINALISED = """
    select user_id, day, sum(events), uniqExactMerge(sessions), sum(intents), sum(duration_ms),
        sum(revenue_usd), sum(payments), max(largest_payment_usd)
    from {} group by user_id, day order by user_id, day
"""


@dataclass(frozen=True)
class Event:
    """What the daily states are made of."""

    user: str
    minute: int
    name: str
    session: str
    duration_ms: int
    revenue: Decimal

    @property
    def at(self) -> datetime:
        return _START + timedelta(minutes=self.minute, milliseconds=self.duration_ms % 1000)

    def row(self, number: int) -> list[Any]:
        """As the source has it."""
        return [f"e{number}", self.user, self.name, self.at, self.session, self.duration_ms,
                self.revenue]  # fmt: skip


events = st.builds(
    Event,
    user=st.sampled_from([*_USERS, "nobody"]),
    # Around midnights, the edges of the observation window among them.
    minute=st.builds(lambda d, m: max(0, 1440 * d + m), st.integers(0, 12), st.integers(-3, 3)),
    name=st.sampled_from(["session_start", "level", *_INTENTS]),
    session=st.sampled_from(["", "s1", "s2", "s3"]),
    duration_ms=st.integers(0, 2**40),
    revenue=st.decimals("-5", "99999", places=6),
)


@dataclass(frozen=True)
class Arrival:
    """Events in the order of their arrival, a batch an insert."""

    batches: tuple[tuple[Event, ...], ...]
    merged: bool

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]


@st.composite
def arrivals(draw: st.DrawFn) -> Arrival:
    rows = draw(st.lists(events, min_size=1, max_size=40))
    shuffled = draw(st.permutations(rows))
    ends = sorted(draw(st.sets(st.integers(1, len(rows)), max_size=6)) | {len(rows)})
    batches = [tuple(shuffled[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
    return Arrival(tuple(batches), draw(st.booleans()))


@pytest.fixture(scope="module")
def features_sql(client: Client, settings: Settings) -> str:
    """Everything built once; the compiled query of ltv_features."""
    drop_everything(client)
    dbt(settings, "run", "--select", "+ltv_features")
    compiled = list(settings.home.glob("dbt/*/compiled/treehouse/models/ltv/ltv_features.sql"))
    return max(compiled, key=lambda path: path.stat().st_mtime).read_text()


def arrive(client: Client, arrival: Arrival) -> None:
    """Empty the sources and the states, then insert, as a pipeline would."""
    for table in ("treehouse_raw.events", "treehouse_raw.installs", "treehouse.user_daily"):
        client.command(f"truncate table {table}")
    installs = [[user, _START + timedelta(hours=5 * n), "ios"] for n, user in enumerate(_USERS)]
    columns = ["user_id", "installed_at", "platform"]
    client.insert("installs", installs, column_names=columns, database="treehouse_raw")
    number = 0
    for batch in arrival.batches:
        rows = [event.row(number + i) for i, event in enumerate(batch)]
        number += len(rows)
        columns = ["event_id", "user_id", "event_name", "event_at", "session_id", "duration_ms",
                   "revenue_usd"]  # fmt: skip
        client.insert("events", rows, column_names=columns, database="treehouse_raw")
    if arrival.merged:
        client.command("optimize table treehouse.user_daily final")


def counted(rows: list[Event]) -> list[tuple[Any, ...]]:
    """The finalised states, in Python."""
    days: dict[tuple[str, date], list[Event]] = defaultdict(list)
    for event in rows:
        days[event.user, event.at.date()].append(event)
    return [
        (
            user,
            day,
            len(those),
            len({event.session for event in those} - {""}),
            sum(event.name in _INTENTS for event in those),
            sum(event.duration_ms for event in those),
            sum((event.revenue for event in those), Decimal(0)),
            sum(event.revenue > 0 for event in those),
            max(event.revenue for event in those),
        )
        for (user, day), those in sorted(days.items())
    ]


def rebuild(client: Client) -> None:
    """The states made at one go from all events, by the view's own query."""
    view = client.query(
        "select as_select from system.tables where database = 'treehouse' "
        "and engine = 'MaterializedView' and position(as_select, 'events') > 0"
    ).result_rows
    assert len(view) == 1
    client.command(f"drop table if exists {_REBUILT}")
    client.command(f"create table {_REBUILT} as treehouse.user_daily")
    client.command(f"insert into {_REBUILT} {view[0][0]}")


def rows_of(client: Client, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in client.query(sql).result_rows]


@pytest.mark.slow
@hypothesis_settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(arrival=arrivals())
def test_any_order_of_arrival(client: Client, features_sql: str, arrival: Arrival) -> None:
    arrive(client, arrival)
    kept = rows_of(client, _FINALISED.format("treehouse.user_daily"))
    assert kept == counted(arrival.events)
    rebuild(client)
    assert rows_of(client, _FINALISED.format(_REBUILT)) == kept
    features = f"select * from ({features_sql}) order by user_id"
    assert "`treehouse`.`user_daily`" in features
    rebuilt = features.replace("`treehouse`.`user_daily`", _REBUILT)
    assert rows_of(client, features) == rows_of(client, rebuilt)


def many_events(seed: int) -> list[Event]:
    rng = random.Random(seed)
    return [
        Event(
            user=rng.choice(_USERS),
            minute=rng.randrange(14 * 1440),
            name=rng.choice(["level", *_INTENTS]),
            session=f"s{rng.randrange(40)}",
            duration_ms=rng.randrange(10**6),
            revenue=Decimal(rng.choice([0, 0, 0, 199, 4999])) / 100 + Decimal("0.000001"),
        )
        for _ in range(3000)
    ]


def test_dbt_full_refresh_ends_in_the_same(
    client: Client, settings: Settings, features_sql: str
) -> None:
    """Late events, then features as dbt builds them; then everything rebuilt by dbt."""
    assert features_sql
    rows = many_events(seed=11)
    arrive(client, Arrival(tuple(tuple(rows[n::7]) for n in range(7)), merged=False))
    found = []
    for option in ((), ("--full-refresh",)):
        select = "ltv_features" if not option else "+ltv_features"
        dbt(settings, "run", "--select", select, *option)
        found.append(
            (
                rows_of(client, _FINALISED.format("treehouse.user_daily")),
                rows_of(client, "select * from treehouse.ltv_features order by user_id"),
            )
        )
    assert found[0] == found[1]
    assert found[0][0] == counted(rows)
    assert [row[0] for row in found[0][1]] == list(_USERS)


def test_the_view_goes_on_after_a_rebuild(
    client: Client, settings: Settings, features_sql: str
) -> None:
    """A build that is not a full refresh leaves the states alone, and new events still arrive."""
    assert features_sql
    rows = many_events(seed=12)
    arrive(client, Arrival((tuple(rows[:1000]),), merged=False))
    dbt(settings, "run", "--select", "user_daily")
    late = [event.row(1000 + n) for n, event in enumerate(rows[1000:])]
    columns = ["event_id", "user_id", "event_name", "event_at", "session_id", "duration_ms",
               "revenue_usd"]  # fmt: skip
    client.insert("events", late, column_names=columns, database="treehouse_raw")
    assert rows_of(client, _FINALISED.format("treehouse.user_daily")) == counted(rows)


@pytest.mark.parametrize("changed", ["time_zone: Asia/Tokyo", "intent_events: []"])
def test_states_by_other_vars_are_found_and_the_repair_is_named(
    client: Client, settings: Settings, features_sql: str, changed: str
) -> None:
    assert features_sql
    arrive(client, Arrival((tuple(many_events(seed=12)[:1000]),), merged=False))
    check = ("test", "--select", "user_daily_reconciles")
    dbt(settings, *check)
    results = run_dbt(settings, *check, "--vars", f"{{{changed}}}").result
    (failed,) = (found for found in results if found.node.resource_type == "test")
    assert failed.status == "fail"
    assert "reconcile --repair" in failed.node.config.meta["fix"]
