"""The simulator writes each row once, whatever happens, and leaves other people's rows alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import identifier
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings
from treehouse.simulation.app import TRUTH_DATABASE, ensure_truth, runs, simulate, store
from treehouse.simulation.app.generate import event_rows, generate, revenue_cents
from treehouse.simulation.app.parameters import Parameters

BLOCK_USERS = 256
USERS = 2 * BLOCK_USERS + 100
SEED = 3
END = date(2026, 3, 31)
Content = dict[str, tuple[int, int]]


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Blocks of few users: here it only matters that there are three of them."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("blocks", "generate", "parameters", "runs"):
            patch.setattr(f"treehouse.simulation.app.{module}.BLOCK_USERS", BLOCK_USERS)
        yield


def drop(client: Client, raw: Settings) -> None:
    for database in (raw.raw_database, TRUTH_DATABASE):
        client.command(f"drop database if exists {identifier(database)} sync")


@pytest.fixture
def raw(client: Client, settings: Settings) -> Iterator[Settings]:
    """Sources in a database of their own, gone afterwards."""
    own = replace(settings, raw_database="treehouse_simulated")
    drop(client, own)
    yield own
    drop(client, own)


@pytest.fixture(scope="module")
def whole(client: Client, settings: Settings) -> Content:
    """What one undisturbed run writes."""
    own = replace(settings, raw_database="treehouse_simulated")
    drop(client, own)
    run(client, own)
    found = content(client, own)
    drop(client, own)
    return found


def run(client: Client, raw: Settings, **options: Any) -> runs.SimulationReport:
    return simulate(client, raw, **{"users": USERS, "seed": SEED, "end": END} | options)


def content(client: Client, raw: Settings) -> Content:
    """Rows of each table, and a hash of them that doesn't depend on their order."""
    names = {
        "events": f"{raw.raw_database}.events",
        "installs": f"{raw.raw_database}.installs",
        "truth": f"{TRUTH_DATABASE}.users",
    }
    sql = "select count(), sum(cityHash64(tuple(*))) from "
    return {key: client.query(sql + table).result_rows[0] for key, table in names.items()}


def one(client: Client, sql: str) -> Any:
    return client.query(sql).result_rows[0][0]


def test_rows_arrive_as_they_were_generated(client: Client, raw: Settings) -> None:
    report = run(client, raw)
    blocks = [generate(Parameters(), SEED, END, number) for number in range(3)]
    rows = [event_rows(block, USERS, END) for block in blocks]
    events, installs = f"{raw.raw_database}.events", f"{raw.raw_database}.installs"
    assert (
        report.events
        == sum(part.user.size for part in rows)
        == one(client, f"select count() from {events}")
    )
    assert one(client, f"select uniqExact(event_id) from {events}") == report.events
    assert one(client, f"select uniqExact(session_id) from {events}") == one(
        client, f"select countIf(event_name = 'session_start') from {events}"
    )
    assert one(client, f"select toInt64(sum(revenue_usd) * 100) from {events}") == sum(
        part.cents.sum() for part in rows
    )
    assert one(client, f"select sum(duration_ms) from {events}") == sum(
        part.duration_ms.sum() for part in rows
    )
    assert one(client, f"select sum(toUnixTimestamp64Milli(event_at)) from {events}") == sum(
        part.at_ms.sum() for part in rows
    )
    assert one(client, f"select count() from {installs}") == USERS == report.installs
    assert one(client, f"select countIf(event_at >= '{END}') from {events}") == 0


def test_installs_carry_names(client: Client, raw: Settings) -> None:
    run(client, raw)
    wrong = (
        "platform not in ('android', 'ios', 'web')",
        "(campaign_id = '') != (ad_creative_id = '')",
        "not startsWith(ad_creative_id, campaign_id)",
        "not match(country, '^[A-Z]{2}$')",
        "device_type = '' or os_version = ''",
        "platform != 'web' and not startsWith(os_version, platform)",
    )
    for condition in wrong:
        sql = f"select countIf({condition}) from {raw.raw_database}.installs"
        assert one(client, sql) == 0, condition


def test_truth_belongs_to_the_events(client: Client, raw: Settings) -> None:
    """Revenue recomputed from the events, by calendar day, is what the truth calls known."""
    run(client, raw)
    differing = one(
        client,
        f"""
        select countIf(abs(truth.known_d7_ltv - early) > 1e-9)
        from {TRUTH_DATABASE}.users as truth
        left join (
            select
                events.user_id as user_id,
                toFloat64(sumIf(
                    events.revenue_usd, toDate(event_at) < toDate(installed_at) + 7
                )) as early
            from {raw.raw_database}.events as events
            inner join {raw.raw_database}.installs as installs using (user_id)
            group by user_id
        ) as seen on seen.user_id = truth.user_id
        inner join {raw.raw_database}.installs as whole on whole.user_id = truth.user_id
        where toDate(whole.installed_at) + 7 <= '{END}'
        """,
    )
    assert differing == 0
    blocks = [generate(Parameters(), SEED, END, number) for number in range(3)]
    realised = sum(
        revenue_cents(block)[: max(0, USERS - block.first), :90].sum() for block in blocks
    )
    total = one(client, f"select sum(realised_d90_ltv) from {TRUTH_DATABASE}.users")
    assert total * 100 == pytest.approx(realised)


def test_again_is_already_there(client: Client, raw: Settings) -> None:
    first = run(client, raw)
    before = content(client, raw)
    again = run(client, raw)
    assert not first.already_simulated
    assert again.already_simulated
    assert (again.installs, again.events, again.users_before) == (USERS, first.events, USERS)
    assert content(client, raw) == before


def test_batches_do_not_matter(
    client: Client, raw: Settings, whole: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BATCH_BLOCKS", 1)
    run(client, raw)
    assert content(client, raw) == whole


def test_more_users_are_added(client: Client, raw: Settings, whole: Content) -> None:
    run(client, raw, users=BLOCK_USERS + 7)
    report = run(client, raw)
    assert report.users_before == BLOCK_USERS + 7
    assert content(client, raw) == whole


@pytest.mark.parametrize("failing", range(1, 7))
def test_interrupted_anywhere_it_goes_on(
    client: Client,
    raw: Settings,
    whole: Content,
    monkeypatch: pytest.MonkeyPatch,
    failing: int,
) -> None:
    """The connection is lost before, or half-way through, the n-th insert into a table."""
    monkeypatch.setattr(runs, "BATCH_BLOCKS", 2)
    inserts = 0
    command = client.command

    def fails(sql: str, *args: Any, **options: Any) -> Any:
        nonlocal inserts
        if sql.startswith("insert") and "simulation_batch" in sql:
            inserts += 1
            if inserts == failing:
                command(sql.replace("where", "where cityHash64(user_id) % 2 and", 1))
                raise KeyboardInterrupt
        return command(sql, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(client, "command", fails)
        with pytest.raises(KeyboardInterrupt):
            run(client, raw)
    assert content(client, raw) != whole
    report = run(client, raw)
    assert not report.already_simulated
    assert content(client, raw) == whole


def test_rows_removed_by_somebody_come_back(client: Client, raw: Settings, whole: Content) -> None:
    run(client, raw)
    client.command(f"delete from {raw.raw_database}.events where user_id < 'u0000500'")
    assert not run(client, raw).already_simulated
    assert content(client, raw) == whole


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 4},
        {"end": date(2026, 1, 31)},
        {"users": 5},
        {"parameters": replace(Parameters(), night_stay=0.0)},
    ],
    ids=["seed", "end", "fewer users", "parameters"],
)
def test_another_simulation_is_refused(
    client: Client, raw: Settings, other: dict[str, Any]
) -> None:
    run(client, raw)
    before = content(client, raw)
    with pytest.raises(TreehouseError, match="another simulation") as error:
        run(client, raw, **other)
    assert f"{USERS} users, seed {SEED}" in str(error.value)
    assert content(client, raw) == before


def test_replace_leaves_nothing_of_the_old(client: Client, raw: Settings) -> None:
    run(client, raw, users=200, seed=9)
    expected = content(client, raw)
    drop(client, raw)
    run(client, raw)
    report = run(client, raw, users=200, seed=9, replace=True)
    assert report.replaced
    assert report.users_before == 0
    assert content(client, raw) == expected


def test_replace_interrupted_can_be_done_again(
    client: Client, raw: Settings, whole: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(client, raw)
    command = client.command

    def fails(sql: str, *args: Any, **options: Any) -> Any:
        if sql.startswith("truncate") and "installs" in sql:
            raise KeyboardInterrupt
        return command(sql, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(client, "command", fails)
        with pytest.raises(KeyboardInterrupt):
            run(client, raw, seed=9, replace=True)
    assert run(client, raw).users_before == 0
    assert content(client, raw) == whole


def add_other(client: Client, raw: Settings, user: str) -> None:
    client.command(
        f"insert into {raw.raw_database}.events (event_id, user_id, event_name, event_at) "
        f"values ('e1', '{user}', 'open', '2026-01-01 00:00:00')"
    )


def test_rows_of_others_are_neither_mixed_nor_removed(client: Client, raw: Settings) -> None:
    store.ensure_truth(client)
    runs.ensure_raw(client, raw)
    add_other(client, raw, "somebody")
    with pytest.raises(TreehouseError, match="did not write"):
        run(client, raw)
    run(client, raw, beside_others=True)
    with pytest.raises(TreehouseError, match="did not write"):
        run(client, raw, seed=9, replace=True)
    run(client, raw, users=300, seed=9, replace=True, beside_others=True)
    table = f"{raw.raw_database}.events"
    assert one(client, f"select count() from {table} where user_id = 'somebody'") == 1
    assert one(client, f"select uniqExact(user_id) from {table}") == 301


def test_ids_like_the_simulators_are_refused(client: Client, raw: Settings) -> None:
    runs.ensure_raw(client, raw)
    add_other(client, raw, "u0000001")
    with pytest.raises(TreehouseError, match="no run that wrote them"):
        run(client, raw, beside_others=True)


@pytest.mark.parametrize(("option", "value"), [("users", 0), ("users", 10**7 + 1), ("seed", -1)])
def test_impossible_arguments(client: Client, raw: Settings, option: str, value: int) -> None:
    with pytest.raises(TreehouseError):
        run(client, raw, **{option: value})


def test_progress_grows_to_the_end(
    client: Client, raw: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BATCH_BLOCKS", 1)
    seen: list[tuple[int, int]] = []
    run(client, raw, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, USERS) for n in (0, BLOCK_USERS, 2 * BLOCK_USERS, USERS)]


@pytest.mark.usefixtures("raw")
def test_truth_is_empty_without_a_simulation(client: Client) -> None:
    ensure_truth(client)
    ensure_truth(client)
    assert one(client, f"select count() from {TRUTH_DATABASE}.users") == 0


def test_nothing_is_left_over(client: Client, raw: Settings) -> None:
    run(client, raw, users=10)
    tables = client.query(f"show tables from {raw.raw_database}").result_rows
    assert ("simulation_runs",) in tables
    assert ("simulation_batch",) not in tables
