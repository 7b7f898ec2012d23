"""The workload: seeded, in order, of very different heat; what ran is what was collected."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.conftest import Engine
from treehouse.cli.main import app
from treehouse.clickhouse.dbt import build
from treehouse.platform.query_log.collect import collect
from treehouse.project.errors import TreehouseError
from treehouse.simulation.shop.plan import START, Options, plan
from treehouse.simulation.shop.run import Ran, run_workload
from treehouse.simulation.shop.shop import DATABASE

pytestmark = pytest.mark.slow

_SMALL = Options(hours=4, sessions=40, people=10, start=START + timedelta(hours=9))


def test_equal_seeds_ask_the_same_and_others_do_not() -> None:
    assert list(plan(_SMALL)) == list(plan(_SMALL))
    assert list(plan(_SMALL)) != list(plan(replace(_SMALL, seed=8)))


def test_a_week_has_days_nights_drills_bursts_and_repeats() -> None:
    options = Options(hours=168)
    requests = list(plan(options))
    times = [request.at for request in requests]
    assert times == sorted(times)
    assert times[-1] <= options.start + timedelta(hours=168)
    people = [r for r in requests if r.user.startswith("person")]
    by_hour = Counter(r.at.hour for r in people)
    assert by_hour[9] > 5 * by_hour[3]
    by_day = Counter(r.at.weekday() for r in people)
    assert by_day[1] > 2 * by_day[6]
    shown = Counter(r.dashboard for r in people)
    assert shown.most_common()[0][1] > 5 * shown.most_common()[-1][1]
    assert any(" and country = " in r.sql for r in people)
    assert any("meeting" in r.session for r in people)
    texts = Counter(r.sql for r in requests if not r.sql.startswith("insert"))
    assert sum(n for n in texts.values() if n > 1) > 0.8 * len(requests)
    analysts = [r.sql for r in requests if r.user.startswith("analyst")]
    assert len(set(analysts)) > 0.8 * len(analysts)


@pytest.mark.parametrize(
    "options",
    [{"hours": 0}, {"sessions": 0}, {"people": -1}, {"meetings": 1.5}, {"load_hours": 0},
     {"scale": 0}, {"scale": float("nan")}, {"panels": -1}, {"wall_minutes": -5}],
)  # fmt: skip
def test_a_workload_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TreehouseError, match="can't have these"):
        Options(**options)


def test_a_scale_multiplies_the_rows_that_come_in() -> None:
    def rows(scale: float) -> list[int]:
        options = replace(_SMALL, scale=scale)
        loads = [r.sql for r in plan(options) if r.user == "loader"]
        return [int(re.search(r"numbers\(\d+, (\d+)\)", sql)[1]) for sql in loads]  # type: ignore[index]

    assert rows(10) == [10 * n for n in rows(1)]


@pytest.fixture(scope="module")
def ran(fresh: Engine) -> Ran:
    return run_workload(fresh.settings, _SMALL, clients=2)


def test_all_that_was_planned_runs_and_is_collected_at_its_simulated_time(
    fresh: Engine, ran: Ran
) -> None:
    requests = list(plan(_SMALL))
    assert (ran.statements, ran.failed, ran.first_error) == (len(requests), 0, "")
    raw = fresh.settings.raw_database
    collected = fresh.client.query(f"""
        select toString(event_at), dashboard, panel
        from {raw}.engine_queries
        where session_key != 0 and toDate(event_at) = '2026-06-01' -- others ask in the same process
        order by event_at, dashboard, panel
    """).result_rows
    planned = sorted(
        (r.at.strftime("%Y-%m-%d %H:%M:%S.%f"), r.dashboard, r.panel) for r in requests if r.session
    )
    assert [tuple(row) for row in collected] == planned
    ((unparsed,),) = fresh.client.query(
        f"select countIf(not is_parsed and has(arrayMap(t -> startsWith(t, 'treehouse_workload'), "
        f"tables), 1)) from {raw}.engine_query_shapes"
    ).result_rows
    assert unparsed == 0


def test_tables_of_an_earlier_run_are_dropped_only_when_asked(fresh: Engine, ran: Ran) -> None:
    assert ran.statements
    with pytest.raises(TreehouseError, match="earlier workload are there") as error:
        run_workload(fresh.settings, _SMALL)
    assert error.value.fix == "say --replace to drop them"


def test_from_the_workload_to_both_replays_by_commands(fresh: Engine, ran: Ran) -> None:
    assert ran.statements
    views = ("stg_query_trace", "+stg_partition_trace", "stg_queries", "stg_query_shapes")
    build(fresh.settings, ["--select", *views])

    def replay(*arguments: str) -> Any:
        done = CliRunner().invoke(app, ["--target", fresh.target, "replay", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    cache = replay("cache", "--capacity", "0.5")
    assert cache["requests"] > 300
    rates = {row["policy"]: row["object_hit_rate"] for row in cache["policies"]}
    assert 0 == rates["no cache"] < rates["lru"] <= rates["upper bound"] < 1
    tiers = replay("tiering", "--scale", "1000")
    assert tiers["partitions"] > 100
    assert [row["kind"] for row in tiers["policies"]][-1] == "clairvoyant"
    assert tiers["policies"][0]["money_usd"] > 0

    # A table of the same name is another one: accesses before a drop are not its own.
    def accesses() -> dict[str, int]:
        rows = fresh.client.query(
            f"select table_name, count() from {fresh.settings.database}.stg_partition_accesses "
            f"where startsWith(table_name, '{DATABASE}.') group by 1"
        ).result_rows
        return {str(table): int(count) for table, count in rows}

    before = accesses()
    fresh.client.command(f"drop table {DATABASE}.stock sync")
    collect(fresh.client, fresh.settings)
    assert before.pop(f"{DATABASE}.stock") > 0
    assert accesses() == before
    fresh.client.command(f"drop database {DATABASE} sync")
    collect(fresh.client, fresh.settings)
    assert accesses() == {}
