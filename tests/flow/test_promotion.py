"""Promotion and rollback: one row each, seen by everything that predicts at its next query."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.conftest import RunningServer
from tests.flow.conftest import ARGUMENTS, House
from tests.support.house import dbt
from tests.support.small_bundle import FEATURE, MADE_UP, USE_CASE
from treehouse.clickhouse.client import connect, run_script, server_profile
from treehouse.clickhouse.ddl import MACROS, run_ddl, storage
from treehouse.clickhouse.state import ensure_registry
from treehouse.project.errors import TreehouseError
from treehouse.registry.promotions import promote, rollback, versions

_INSERT = f"insert into treehouse.flow_rows ({FEATURE}) values (10)"


@pytest.fixture
def watched(house: House) -> Iterator[House]:
    """With a view and a materialized view that were there before anything was published."""
    answers = (
        "p.value as value, p.version as version "
        f"from (select predict_{USE_CASE}_full({ARGUMENTS}) as p from treehouse.flow_rows)"
    )
    run_script(
        house.engine.client,
        [
            f"create view treehouse.flow_view as select {answers} limit 1",
            "create table treehouse.flow_kept (value Nullable(Float64), version UInt32) "
            "engine = MergeTree order by tuple()",
            "create materialized view treehouse.flow_keeper to treehouse.flow_kept as "
            f"select {answers}",
        ],
    )
    yield house
    for name in ("flow_view", "flow_keeper", "flow_kept"):
        house.engine.client.command(f"drop table treehouse.{name} sync")


def seen(house: House) -> list[tuple[float | None, int]]:
    """What the view and the materialized view answer now."""
    house.engine.client.command("truncate table treehouse.flow_kept")
    house.engine.client.command(_INSERT)
    kept = house.query("select value, version from treehouse.flow_kept")
    return house.query("select value, version from treehouse.flow_view") + kept


def test_views_follow_the_champion_at_their_next_query(watched: House) -> None:
    client, settings = watched.engine.client, watched.engine.settings
    assert seen(watched) == [(None, 0)] * 2
    watched.promoted(2)
    assert seen(watched) == [(20, 1)] * 2
    watched.promoted(3)
    assert seen(watched) == [(30, 2)] * 2
    back = rollback(client, settings, USE_CASE, "too high")
    assert back is not None
    assert back.version == 1
    assert seen(watched) == [(20, 1)] * 2
    assert rollback(client, settings, USE_CASE) is None
    assert seen(watched) == [(None, 0)] * 2
    promote(client, settings, USE_CASE, 2)
    assert seen(watched) == [(30, 2)] * 2


@pytest.mark.slow
def test_under_load_no_query_fails_and_each_has_one_version(watched: House) -> None:
    """Four clients ask views during twenty promotions; what the registry says is what answers."""
    client, settings = watched.engine.client, watched.engine.settings
    for factor in (2, 3):
        watched.promoted(factor)
    client.command(
        f"create or replace view treehouse.flow_many as select p.value as value, p.version as "
        f"version from (select predict_{USE_CASE}_full({ARGUMENTS}) as p "
        "from treehouse.flow_rows cross join numbers(500) as times)"
    )
    question = "select uniqExact(version), any(version), min(value), max(value) from treehouse.{}"
    answers: list[tuple[float, ...]] = []
    failures: list[Exception] = []
    stopped = threading.Event()

    def ask(view: str) -> None:
        own = connect(settings)
        while not stopped.wait(0.02):
            try:
                answers.append(tuple(own.query(question.format(view)).result_rows[0]))
            except Exception as error:
                failures.append(error)
        own.close()

    views = ("flow_many", "flow_view") * 2
    threads = [threading.Thread(target=ask, args=(view,)) for view in views]
    for thread in threads:
        thread.start()
    try:
        for step, number in enumerate((1, 2) * 10):
            if step == 10:
                watched.publish(4)
            ensure_registry(client, settings)  # as each dbt run does
            promote(client, settings, USE_CASE, number)
            assert watched.answer() == {1: 20, 2: 30}[number]
            listed = versions(client, settings, USE_CASE)
            assert [v.version for v in listed if v.is_champion] == [number]
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
        client.command("drop view treehouse.flow_many sync")
    assert not failures
    assert set(answers) == {(1, 1, 20, 20), (1, 2, 30, 30)}


def test_any_version_can_be_asked_whatever_is_promoted(house: House) -> None:
    house.promoted(2)
    house.promoted(3)
    house.publish(4)
    house.engine.client.command("system reload dictionary treehouse_registry.bundles")
    rows = "from treehouse.flow_rows limit 1"
    for version, answer in ((1, 20), (2, 30), (3, 40)):
        assert house.query(f"select predict_{USE_CASE}_at({version}, {ARGUMENTS}) {rows}") == [
            (answer,)
        ]
    full = f"predict_{USE_CASE}_full_at(3, {ARGUMENTS}) as p"
    assert house.query(f"select p.value, p.version, {full} {rows}")[0][:2] == (40, 3)
    assert house.answer() == 30
    with pytest.raises(ClickHouseError, match=f"no such version of {USE_CASE}"):
        house.query(f"select predict_{USE_CASE}_at(9, {ARGUMENTS}) {rows}")


def test_a_published_version_can_be_asked_at_once(house: House) -> None:
    version, _ = house.publish(4)
    call = f"predict_{USE_CASE}_at({version.version}, {ARGUMENTS})"
    assert house.query(f"select {call} from treehouse.flow_rows limit 1") == [(40,)]


def test_rollback_undoes_promotions_one_by_one(house: House) -> None:
    client, settings = house.engine.client, house.engine.settings

    def champions() -> list[int]:
        return [v.version for v in versions(client, settings, USE_CASE) if v.is_champion]

    for factor in (2, 3, 4):
        house.promoted(factor)
    promote(client, settings, USE_CASE, 3, "promoted once more: nothing to undo")
    walked = [champions()]
    for _ in range(3):
        rollback(client, settings, USE_CASE)
        walked.append(champions())
    assert walked == [[3], [2], [1], []]
    with pytest.raises(TreehouseError, match="nothing to roll back") as refused:
        rollback(client, settings, USE_CASE)
    assert refused.value.fix == f"./treehouse promote {USE_CASE} <version>"


def test_who_promoted_what_and_why_is_kept(house: House) -> None:
    house.promoted(2)
    promote(house.engine.client, house.engine.settings, USE_CASE, 1, "it's 'better'; says \\Ann")
    rollback(house.engine.client, house.engine.settings, USE_CASE, "no")
    assert house.query(
        "select action, version, reason from treehouse_registry.events order by at"
    ) == [
        ("publish", 1, MADE_UP),
        ("promote", 1, ""),
        ("promote", 1, "it's 'better'; says \\Ann"),
        ("rollback", 0, "no"),
    ]


def test_an_unknown_version_says_which_there_are(house: House) -> None:
    client, settings = house.engine.client, house.engine.settings
    with pytest.raises(TreehouseError) as none_yet:
        promote(client, settings, USE_CASE, 1)
    assert none_yet.value.fix == f"./treehouse train {USE_CASE} --publish"
    house.publish(2)
    house.publish(3)
    with pytest.raises(TreehouseError) as unknown:
        promote(client, settings, USE_CASE, 7)
    assert unknown.value.expected == "one of: 1, 2"
    assert house.count("events", "action = 'promote'") == 0


def test_an_unknown_use_case_is_suggested(house: House) -> None:
    client, settings = house.engine.client, house.engine.settings
    with pytest.raises(TreehouseError) as refused:
        promote(client, settings, "purchase_valu", 1)
    assert refused.value.fix == f"did you mean {USE_CASE}?"
    with pytest.raises(TreehouseError) as refused:
        rollback(client, settings, "purchase_valu")
    assert refused.value.fix == f"did you mean {USE_CASE}?"


def test_a_full_refresh_leaves_the_registry_alone(house: House) -> None:
    house.promoted(2)
    everything = "select * from treehouse_registry.{} order by all"
    tables = ("versions", "artifacts", "golden_rows", "events")
    before = [house.query(everything.format(table)) for table in tables]
    settings = house.engine.settings
    dbt(settings, "run", "--full-refresh", "--select", "+purchase_value_decisions")
    assert [house.query(everything.format(table)) for table in tables] == before
    assert house.answer() == 20


@pytest.mark.server
def test_dictionaries_load_where_the_server_asks_for_a_password(server: RunningServer) -> None:
    password = server_profile()["password"]
    ensure_registry(server.client, server.settings)
    for name in ("champions", "bundles"):
        server.client.command(f"system reload dictionary treehouse_registry.{name}")
    loaded = (
        "select name, status, last_exception from system.dictionaries "
        "where database = 'treehouse_registry' and name in ('bundles', 'champions') order by name"
    )
    rows = server.client.query(loaded).result_rows
    assert rows == [("bundles", "LOADED", ""), ("champions", "LOADED", "")]
    shown = server.client.query("show create dictionary treehouse_registry.champions").result_rows
    assert not password or password not in shown[0][0]


@pytest.mark.server
def test_dictionaries_of_an_old_password_are_made_anew(server: RunningServer) -> None:
    client, settings = server.client, server.settings
    ensure_registry(client, settings)
    client.command("drop dictionary treehouse_registry.champions")
    wrong = ("`treehouse_registry`", "user 'treehouse' password 'of last year'")
    run_ddl(client, MACROS / "state" / "registry.sql", "registry_ddl", *wrong, **storage(settings))
    with pytest.raises(ClickHouseError):
        client.command("system reload dictionary treehouse_registry.champions")
    ensure_registry(client, settings)
    client.command("system reload dictionary treehouse_registry.champions")
