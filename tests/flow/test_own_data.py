"""Other people's data: from an export, or from tables of one's own, to a promoted model, with no
file of the project edited."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, Engine
from tests.support.export import Export, make_export, write_export

Ask = Callable[..., list[dict[str, Any]]]
_LABELS = "select user_id, ltv_usd, d7_revenue, split from treehouse.ltv_training_set"


@pytest.fixture(scope="module")
def export() -> Export:
    return make_export()


@pytest.fixture(scope="module")
def files(export: Export, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_export(export, tmp_path_factory.mktemp("export"))


def _asker(run_cli: Cli, home: Path, target: str) -> Ask:
    def ask(sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            run_cli("sql", sql, "--json", home=home, target=target).stdout
        )
        return found

    return ask


def _check_labels(rows: list[dict[str, Any]], export: Export, horizon: int) -> None:
    """Every label and the revenue of the first week are what the export holds, to the cent; and
    only users whose horizon has passed have a label."""
    worth, early = export.revenue(horizon), export.revenue(7)
    assert len(rows) > 1000
    for row in rows:
        assert row["ltv_usd"] == pytest.approx(worth[row["user_id"]], abs=1e-9)
        assert row["d7_revenue"] == pytest.approx(early[row["user_id"]], abs=1e-9)
    assert {row["user_id"] for row in rows} == export.installed_before(export.days - horizon)


def test_an_export_becomes_a_model_that_answers(
    fresh: Engine, run_cli: Cli, export: Export, files: dict[str, Path], tmp_path: Path
) -> None:
    target, home = fresh.target, tmp_path / "home"

    def run(*arguments: str) -> str:
        return run_cli(*arguments, target=target, home=home).stdout

    ask = _asker(run_cli, home, target)
    for source in ("events", "installs"):
        run("load", source, str(files[source]))
    built = run("build", "ltv")
    assert "ltv: the embargo is 7 days in place of 90" in built
    _check_labels(ask(_LABELS), export, 90)
    [history] = ask("select * from treehouse.ltv_history")
    assert (history["history_days"], history["embargo_days"]) == (export.days - 1, 7)
    # 480 users to fit and a week of embargo are four fifths of the installs that it takes.
    takes = math.ceil((480 / (export.installs.num_rows / (export.days - 1)) + 7) / 0.8)
    assert (history["needed_days"], history["variable"]) == (90 + takes, "ltv_horizon_days")
    assert history["fitting_value"] == export.days - 1 - takes

    trained = run("train", "ltv", "--promote")
    assert "Label: Revenue of days 1 to 90, in USD." in trained
    assert "labels reach up to 83 days into the test" in " ".join(trained.split())
    assert "best possible was left out: it is known of simulated data alone" in trained
    assert "Version 1 of ltv answers now." in trained
    scores = ask(
        "select count() as n, countIf(predicted_ltv_usd >= revenue_so_far_usd) as sound,"
        " countIf(model_version = 1) as answered from treehouse.ltv_scores"
    )
    n = len(export.installed_before(export.days - 7))
    assert scores == [{"n": n, "sound": n, "answered": n}]
    run("report", "ltv")

    short = run_cli(
        "train", "ltv", "--promote", "--vars", "ltv_horizon_days: 30", target=target, home=home,
        check=False,
    )  # fmt: skip
    _check_labels(ask(_LABELS), export, 30)
    said = " ".join((short.stdout + short.stderr).split())
    assert short.returncode == 2
    assert "Label: Revenue of days 1 to 30, in USD." in said
    assert "ltv_horizon_days is 30, and 90 of version 1, which answers" in said
    other = run_cli("train", "ltv", "--json", target=target, home=home, check=False)
    assert "built by other vars than those of now" in json.loads(other.stdout)["error"]


_OWN_TABLES = (
    "create database app",
    "create table app.acts (event_id UUID, user_id Nullable(UInt64), name Nullable(String),"
    " ts Nullable(DateTime), duration_ms Nullable(Float64), revenue Nullable(Float64))"
    " engine = MergeTree order by tuple()",
    "insert into app.acts select generateUUIDv4(), toUInt64(substring(user_id, 2)), event_name,"
    " event_at, duration_ms, nullIf(revenue_usd, 0) from file('{events}')",
    "create table app.users engine = MergeTree order by tuple() as select"
    " toUInt64(substring(user_id, 2)) as user_id, toString(installed_at) as installed_at,"
    " toNullable(country) as country, platform from file('{installs}')",
    "create view app.orders as select toUInt32(substring(customer_id, 2)) as customer,"
    " toDate(purchased_at) as date, toNullable(amount_usd) as amount"
    " from file('{purchases}')",
    "insert into app.acts (event_id, name) values (generateUUIDv4(), 'of nobody')",
)
_OWN_VARS = """
raw_database: app
events_table: acts
installs_table: users
purchases_table: orders
ltv_horizon_days: 60
"""


def _with_own_tables(run_cli: Cli, home: Path, tables: list[str]) -> Ask:
    """A home with these tables in place of ours."""
    (home / "vars.yml").write_text(_OWN_VARS)
    for sql in tables:
        run_cli("sql", sql, home=home)
    return _asker(run_cli, home, "embedded")


@pytest.mark.embedded
def test_tables_of_ones_own_are_read_as_they_are(
    run_cli: Cli, export: Export, files: dict[str, Path], tmp_path: Path
) -> None:
    """Numbers and UUIDs as ids, nulls, times as text, days, other names, and columns that lack."""
    ask = _with_own_tables(run_cli, tmp_path, [sql.format(**files) for sql in _OWN_TABLES])
    run_cli("build", "--select", "+ltv_training_set", "stg_events", "stg_purchases", home=tmp_path)
    rows = ask(_LABELS)
    _check_labels([row | {"user_id": f"u{int(row['user_id']):05d}"} for row in rows], export, 60)
    totals = (
        "select (select count() from treehouse.stg_events) as events,"
        " (select sum(events) from treehouse.user_daily) as counted,"
        " (select toString(sum(amount_usd)) from treehouse.stg_purchases) as usd,"
        " (select uniqExact(purchase_id) from treehouse.stg_purchases) as purchases,"
        " (select sum(quantity) from treehouse.stg_purchases) as items"
    )
    n = export.events.num_rows
    usd = f"{sum(export.purchases['amount_usd'].to_pylist()):.2f}"
    bought = export.purchases.num_rows
    wanted = {"events": n, "counted": n, "usd": usd, "purchases": bought, "items": bought}
    assert ask(totals) == [wanted]
    run_cli(
        "sql", "insert into app.acts (event_id, user_id, name, ts) values"
        " (generateUUIDv4(), 7, 'late', '2025-07-01 00:00:00')", home=tmp_path,
    )  # fmt: skip
    assert ask(totals)[0]["counted"] == n + 1
    assert "No difference." in run_cli("reconcile", home=tmp_path).stdout
    status = json.loads(run_cli("status", "--json", home=tmp_path).stdout)
    assert [source["rows"] for source in status["sources"]] == [n + 2, 3000, bought]


@pytest.mark.embedded
def test_users_without_a_time_came_with_their_first_event(
    run_cli: Cli, export: Export, files: dict[str, Path], tmp_path: Path
) -> None:
    users = "select number as user_id, 'ios' as platform from numbers(3005)"
    tables = [
        *(sql.format(**files) for sql in _OWN_TABLES[:3]),
        f"create view app.users as {users}",
    ]
    ask = _with_own_tables(run_cli, tmp_path, tables)
    run_cli("build", "--select", "stg_installs", home=tmp_path)
    firsts: dict[str, datetime] = {}
    for user, at in zip(
        *(export.events[c].to_pylist() for c in ("user_id", "event_at")), strict=True
    ):
        firsts[user] = min(at, firsts.get(user, at))
    found = ask("select user_id, toUnixTimestamp(installed_at) as at from treehouse.stg_installs")
    assert {f"u{int(r['user_id']):05d}": r["at"] for r in found} == {
        user: int(at.timestamp()) for user, at in firsts.items()
    }


@pytest.mark.embedded
def test_a_table_that_lacks_what_is_required_says_so(run_cli: Cli, tmp_path: Path) -> None:
    run_cli("sql", "create database app", home=tmp_path)
    run_cli("sql", "create view app.orders as select 1 as customer, 2 as price", home=tmp_path)
    (tmp_path / "vars.yml").write_text("{raw_database: app, purchases_table: orders}")
    done = run_cli("build", "--select", "stg_purchases", "--json", home=tmp_path, check=False)
    value = json.loads(done.stdout)["value"]
    assert "`app`.`orders` has no column purchased_at or date or time or timestamp." in value
    assert "It has customer, price. Make a view of it that has one" in value


@pytest.mark.embedded
def test_values_that_would_be_misread_fail_the_build(run_cli: Cli, tmp_path: Path) -> None:
    acts = (
        "create view app.acts as select toString(number % 20) as user_id, 'buy' as event_name, "
        "toUInt64(1.79e15 + number * 1e6) as event_at, "
        "if(number = 3, '1.234.567', ' 1.5 ') as revenue, if(number = 4, 'EUR', 'USD') as currency "
        "from numbers(100)"
    )
    users = (
        "create view app.users as select toString(number) as user_id, 'ios' as platform, "
        "if(number = 5, '01/02/2024', '2026-09-20 10:00:00') as installed_at from numbers(20)"
    )
    tables = ["create database app", acts, users]
    ask = _with_own_tables(run_cli, tmp_path, tables)
    build = ("build", "--select", "stg_events", "stg_installs", "user_daily", "sources_are_read")
    done = run_cli(*build, "--json", home=tmp_path, check=False)
    said = json.loads(done.stdout)
    assert said["error"] == "dbt build failed in sources_are_read."
    assert "dbt --quiet show --select sources_are_read" in said["fix"]
    shown = run_cli(
        "dbt", "--quiet", "show", "--select", "sources_are_read", "--output", "json", home=tmp_path
    ).stdout
    found = {(row["source"], row["name"], row["misread"], row["example"])
             for row in json.loads(shown)["show"]}  # fmt: skip
    assert found == {
        ("events", "revenue", 1, "1.234.567"),
        ("events", "currency", 1, "EUR"),
        ("installs", "installed_at", 1, "01/02/2024"),
    }
    assert ask("select day, toString(sum(events)) as n from treehouse.user_daily group by day") == [
        {"day": "2026-09-21", "n": "100"}
    ]
