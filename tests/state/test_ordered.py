"""The last row of a log decides, though the clock was ahead when an earlier one was written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.conftest import Engine
from treehouse.clickhouse.ordered import next_time
from treehouse.monitor.alerts import acknowledge, resolve
from treehouse.monitor.state import Finding, ensure_monitoring, read_alerts, record

FINDING = Finding("a model", 1, "drift", "x", "warn", 1.0, 0.5, "it moved")


@pytest.fixture
def alerts(engine: Engine) -> Iterator[Engine]:
    """Each engine in turn, without alerts."""
    ensure_monitoring(engine.client, engine.settings)
    engine.client.command("truncate table treehouse_registry.alert_events")
    yield engine
    engine.client.command("truncate table treehouse_registry.alert_events")


def in_the_future(engine: Engine) -> None:
    """As if the engine's clock had been ahead, and went back."""
    engine.client.command(
        "alter table treehouse_registry.alert_events "
        "update detail = 'late' where 1 settings mutations_sync = 1"
    )
    engine.client.command(
        "insert into treehouse_registry.alert_events "
        "select * replace(toDateTime64('2099-01-01', 6, 'UTC') as at) "
        "from treehouse_registry.alert_events"
    )


def states(engine: Engine) -> list[str]:
    return [alert.state for alert in read_alerts(engine.client, engine.settings)]


@pytest.mark.parametrize(
    ("decide", "state"), [(acknowledge, "acknowledged"), (resolve, "resolved")]
)
def test_a_person_decides_about_an_alert(alerts: Engine, decide: object, state: str) -> None:
    record(alerts.client, alerts.settings, [(FINDING, "open")])
    in_the_future(alerts)
    assert states(alerts) == ["open"]
    assert callable(decide)
    decide(alerts.client, alerts.settings, FINDING.alert)
    assert states(alerts) == [state]


def test_time_goes_on(alerts: Engine) -> None:
    table = "treehouse_registry.alert_events"
    seen = []
    for _ in range(3):
        record(alerts.client, alerts.settings, [(FINDING, "seen")])
        seen.append(alerts.client.query(f"select max(at) from {table}").result_rows[0][0])
    in_the_future(alerts)
    later = next_time(alerts.client, table, model=FINDING.model)
    assert later.utcoffset() == timedelta()
    assert seen == sorted(set(seen))
    assert later.year == 2099
    assert next_time(alerts.client, table, model="another").year < 2099
    assert later.microsecond == 1
