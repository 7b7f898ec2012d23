"""How alerts live, and every state of a house that could mislead the monitor."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.client import Client

from tests.conftest import Engine
from tests.monitor.conftest import FEATURES, MOVED, Watched, rows
from tests.support.cleaning import drop_everything
from treehouse.monitor.alerts import acknowledge, resolve
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings


@pytest.fixture(scope="module")
def fresh(settings: Settings, client: Client) -> Engine:
    """The embedded engine alone: what is decided here is decided in Python."""
    drop_everything(client)
    return Engine(settings, client)


@pytest.mark.slow
def test_an_alert_resolves_itself_after_three_quiet_runs(watched: Watched) -> None:
    watched.drifted()
    watched.check()
    watched.usual()
    assert [watched.check().resolved for _ in range(2)] == [(), ()]
    watched.drifted()
    watched.check()
    watched.usual()
    assert [{*watched.check().resolved} for _ in range(3)] == [set(), set(), {*MOVED}]
    assert [a.state for a in watched.alerts()] == ["resolved"] * 2
    watched.drifted()
    assert watched.check().raised == MOVED


def test_an_acknowledged_alert_fails_no_run_until_it_escalates(watched: Watched) -> None:
    watched.drifted()
    limits = {"effect_error": 9.0}
    assert watched.check(**limits).alerts[0].severity == "warn"
    engine = watched.engine
    for alert in MOVED:
        acknowledge(engine.client, engine.settings, alert, "new shop")
    assert {alert.state for alert in watched.alerts()} == {"acknowledged"}
    assert watched.check(**limits).raised == ()
    assert not watched.check(**limits).has_open_error
    worse = watched.check()
    assert (worse.raised, worse.has_open_error) == (MOVED, True)
    assert watched.alerts()[0].state == "open"


def test_what_was_closed_by_hand_opens_again(watched: Watched) -> None:
    watched.drifted()
    watched.check()
    engine = watched.engine
    for alert in MOVED:
        resolve(engine.client, engine.settings, alert, "a one-off")
    assert watched.alerts("state != 'resolved'") == []
    assert watched.check().raised == MOVED


def test_an_unknown_alert_is_refused(watched: Watched) -> None:
    with pytest.raises(TreehouseError, match="no such alert"):
        acknowledge(watched.engine.client, watched.engine.settings, "ltv/drift/nothing")


def test_few_rows_say_nothing_and_resolve_nothing(watched: Watched) -> None:
    watched.drifted()
    watched.check()
    watched.window(rows(20, 3, "today() - 139", 140))
    checked = [watched.check() for _ in range(4)][-1]
    assert "nothing is said" in checked.note
    assert set(MOVED) <= {a.alert for a in checked.alerts}


def test_an_empty_table_is_no_error(watched: Watched) -> None:
    watched.window(rows(0, 3, "today()", 1))
    checked = watched.check()
    assert "0 rows" in checked.note
    assert checked.findings == ()


def test_a_source_that_stops_is_found(watched: Watched) -> None:
    usual = rows(1960, 3, "today() - 139", 140)
    watched.window(f"select * from ({usual}) where as_of < today() - 27 or customer_id like '%7'")
    assert "volume" in {f.kind for f in watched.check().findings}


def test_rows_of_the_future_do_not_move_the_window(watched: Watched) -> None:
    usual = rows(1960, 3, "today() - 139", 140)
    late = rows(60, 4, "today() + 400", 1)
    watched.window(f"{usual} union all {late}")
    checked = watched.check()
    assert checked.measured["health"][0]["rows"] == 392
    assert [(f.kind, f.name, f.value) for f in checked.findings] == [("freshness", "future", 60)]


def test_a_version_without_statistics_says_so(watched: Watched) -> None:
    watched.engine.client.command(
        "create or replace table treehouse.kept_statistics engine = MergeTree order by tuple() as "
        "select * from treehouse_registry.statistics"
    )
    watched.engine.client.command("truncate table treehouse_registry.statistics")
    checked = watched.check()
    watched.engine.client.command(
        "insert into treehouse_registry.statistics select * from treehouse.kept_statistics"
    )
    assert "without statistics" in checked.note
    assert checked.measured["drift"] == []


def test_a_model_that_is_not_built_is_a_note(watched: Watched) -> None:
    client = watched.engine.client
    client.command(f"rename table {FEATURES} to treehouse.away")
    checked = watched.check()
    client.command(f"rename table treehouse.away to {FEATURES}")
    assert "not built" in checked.note
    assert not checked.is_failed
