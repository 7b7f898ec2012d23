"""What `profile` says of rows: every number and warning of a mess that is made for it, and silence
about rows that are as they should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.client import Client

from tests.support.export import Export, make_export, write_export
from treehouse.ingest.load import load
from treehouse.ingest.profiling.features import empty_features
from treehouse.ingest.profiling.look import profile
from treehouse.ingest.reading import Reading
from treehouse.project.contract import load_contract
from treehouse.project.settings import Settings, project_vars


@pytest.fixture(scope="module")
def export() -> Export:
    return make_export(users=300, days=40)


@pytest.fixture
def own(client: Client, settings: Settings) -> Iterator[Settings]:
    yield replace(settings, raw_database="treehouse_profile")
    client.command("drop database if exists treehouse_profile sync")


def _changed(export: Export, path: Path, **columns: pa.Array) -> str:
    table = export.events
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    pq.write_table(table, path)
    return str(path)


def test_sound_rows_have_no_warning(
    client: Client, own: Settings, export: Export, tmp_path: Path
) -> None:
    files = write_export(export, tmp_path)
    load(client, own, "installs", str(files["installs"]))
    before = client.query("select count() from treehouse_profile.installs").result_rows
    found = profile(client, own, "events", [str(files["events"])])
    assert found.warnings == []
    assert (found.rows, found.users, found.bad) == (export.events.num_rows, 300, 0)
    by_name = {column["column"]: column for column in found.columns}
    free = sum(usd == 0 for usd in export.events["revenue_usd"].to_pylist())
    assert by_name["revenue_usd"]["missing"] == pytest.approx(free / found.rows)
    assert client.query("select count() from treehouse_profile.events").result_rows == [(0,)]
    tables = "select count() from system.tables where database = 'treehouse_profile' and name like"
    assert client.query(f"{tables} '\\\\_load\\\\_\\\\_%'").result_rows == [(0,)]
    assert client.query("select count() from treehouse_profile.installs").result_rows == before
    load(client, own, "events", str(files["events"]))
    assert profile(client, own, "events") == replace(found, columns=found.columns)
    purchases = profile(client, own, "purchases", [str(files["purchases"])])
    assert (purchases.rows, purchases.warnings) == (export.purchases.num_rows, [])


def test_each_mess_is_named_with_what_to_do(
    client: Client, own: Settings, export: Export, tmp_path: Path
) -> None:
    load(client, own, "installs", str(write_export(export, tmp_path)["installs"]))
    events = export.events.to_pydict()
    path = _changed(
        export,
        tmp_path / "mess.parquet",
        user_id=pa.array([f"{u}.0" if i % 9 else u for i, u in enumerate(events["user_id"])]),
        event_name=pa.array(
            [("Open", "open ", "tap")[i % 3] for i in range(export.events.num_rows)]
        ),
        session_id=pa.array([""] * export.events.num_rows),
        duration_ms=pa.array([ms // 1000 for ms in events["duration_ms"]]),
        revenue_usd=pa.array([round(usd * 100) for usd in events["revenue_usd"]]),
        event_at=pa.array([at.replace(hour=0, minute=0, second=0, microsecond=0)
                           for at in events["event_at"]]),
    )  # fmt: skip
    found = profile(client, own, "events", [path])
    said = "\n".join(found.warnings)
    for part in (
        "session_id is empty in every row",
        "--map <theirs>=session_id",
        "event_name has values that differ by case or blanks only (Open, open",
        "of the times are midnight",
        "ids of user_id differ from others by case, blanks or .0 only",
        "none of the events of the wish to buy occurs",
        "write intent_events: [...] into",
        "if duration_ms holds seconds, multiply it by 1000",
        "if these are cents, divide by 100",
        "of the events are of users without an install",
    ):
        assert part in said, part
    assert ", ".join(project_vars()["intent_events"]) in said


def test_rows_that_cannot_be_read_are_named_with_what_to_say(
    client: Client, own: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "export.csv"
    file.write_text(
        "user_id;event;timestamp;revenue\n"
        "a;open;28.02.2025 10:00:00;1,5\n"
        ";open;28.02.2025 10:00:00;1,5\n"
    )
    found = profile(client, own, "events", [str(file)])
    assert (found.rows, found.bad) == (0, 2)
    begin = "1 rows would go to quarantine, such as: "
    for warning, why in zip(
        found.warnings, ("event_at '28.02.", "user_id is missing"), strict=True
    ):
        assert warning.startswith(begin + why)
    assert "--date-format" in found.warnings[0]
    reading = Reading(date_format="%d.%m.%Y %H:%M:%S", decimal=",")
    found = profile(client, own, "events", [str(file)], reading)
    assert (found.rows, found.bad, found.first) == (1, 1, datetime(2025, 2, 28, 10))
    assert "such as: user_id is missing; if it has another name, --map" in found.warnings[0]


def test_events_before_the_install_and_after_now(
    client: Client, own: Settings, export: Export, tmp_path: Path
) -> None:
    load(client, own, "installs", str(write_export(export, tmp_path)["installs"]))
    client.command(
        "insert into treehouse_profile.events (event_id, user_id, event_name, event_at) "
        "select toString(number), 'u00200', 'shop_view', "
        "if(number = 0, now64(3) + interval 1 hour, toDateTime64('2025-03-01 12:00:00', 3, 'UTC')) "
        "from numbers(10)"
    )
    said = "\n".join(profile(client, own, "events").warnings)
    assert "1 rows lie in the future" in said
    assert "90% of the events lie more than a day before their user's install" in said
    assert "revenue_usd is never above 0" in said


def test_features_that_carry_nothing(client: Client, settings: Settings) -> None:
    own = replace(settings, database="treehouse_carry")
    contract = load_contract("purchase_value")
    values = {"visits_1m": "7", "overdue_ratio": "null", "first_visit": "if(number > 5, 1., 2.)"}
    columns = ", ".join(
        f"cast({values.get(f.name, 'number')}, '{f.type}') as {f.name}" for f in contract.features
    )
    client.command("create database treehouse_carry engine = Atomic")
    client.command(
        "create table treehouse_carry.purchase_value_training_set engine = MergeTree "
        f"order by tuple() as select {columns}, if(number < 5, 'train', 'test') as split "
        "from numbers(10)"
    )
    try:
        assert empty_features(client, own, contract, "training_set") == [
            "visits_1m is always 7", "first_visit is always 2", "overdue_ratio is always null",
        ]  # fmt: skip
        assert empty_features(client, own, contract, "features") == []
    finally:
        client.command("drop database treehouse_carry sync")
