"""The registry's tables: of an older release, and on a cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.flow.conftest import ON_EMBEDDED, House
from tests.support.some import some
from treehouse.clickhouse.client import run_script
from treehouse.clickhouse.ddl import MACROS, render
from treehouse.clickhouse.state import ensure_registry
from treehouse.project.errors import TreehouseError
from treehouse.registry.promotions import promote
from treehouse.registry.versions import Version, versions

#: As the first release made them.
OLDER = """
create database treehouse_older engine = Atomic;
create table treehouse_older.versions
(
    model LowCardinality(String), version UInt32, created_at DateTime64(6, 'UTC') default now64(6),
    contract String, bundle UInt64, sha256 FixedString(64), bytes UInt64, heads Array(String),
    spec_hash String, training_from DateTime64(3, 'UTC'), training_to DateTime64(3, 'UTC'),
    training_rows UInt64, training_fingerprint UInt64, libraries Map(String, String),
    parameters String, metrics String
) engine = MergeTree order by (model, version);
create table treehouse_older.artifacts
(
    bundle UInt64, sha256 FixedString(64), created_at DateTime64(6, 'UTC') default now64(6),
    content String codec(ZSTD(3))
) engine = MergeTree order by bundle;
create table treehouse_older.golden_rows
(
    bundle UInt64, row UInt32, numeric Array(Float64), categorical Array(String),
    answers Array(Float64)
) engine = MergeTree order by (bundle, row);
create table treehouse_older.events
(
    at DateTime64(6, 'UTC') default now64(6), model LowCardinality(String), contract String,
    action LowCardinality(String), version UInt32, bundle UInt64, actor String, reason String
) engine = MergeTree order by (model, at);
"""
TABLES = {"versions", "artifacts", "golden_rows", "events"}


def test_an_older_registry_gets_what_it_lacks(house: House) -> None:
    """Its rows stay as they are, and its versions can be promoted."""
    client = house.engine.client
    older = replace(house.engine.settings, registry_database="treehouse_older")
    published, _ = house.publish(2)
    run_script(client, OLDER)
    try:
        for table in TABLES:
            columns = ", ".join(
                name
                for (name,) in house.query(
                    "select name from system.columns "
                    f"where database = 'treehouse_older' and table = '{table}' order by position"
                )
            )
            client.command(
                f"insert into treehouse_older.{table} ({columns}) "
                f"select {columns} from treehouse_registry.{table}"
            )
        with pytest.raises(TreehouseError, match="made by an older release") as refused:
            versions(client, older)
        assert "holdout_from" in str(refused.value.value)
        for _ in range(2):
            ensure_registry(client, older)
        kept = versions(client, older)
        assert [replace(v, holdout_from=published.holdout_from) for v in kept] == [
            replace(published, features=(), holdout_rows=0)
        ]
        chosen: Version = promote(client, older, published.model, published.version)
        assert versions(client, older)[0].is_champion
        assert chosen.version == 1
    finally:
        client.command("drop database treehouse_older sync")


@ON_EMBEDDED
def test_tables_can_be_replicated(house: House) -> None:
    """The engine reads every statement; all of them go to every node."""
    text = render(
        MACROS / "state" / "registry.sql",
        "registry_ddl",
        "`r`",
        engine="ReplicatedMergeTree",
        cluster="`c`",
    )
    statements = [part for part in text.split(";\n") if part.strip()]
    read = [
        house.engine.client.query(
            "select formatQuery({text:String})", parameters={"text": statement}
        ).result_rows[0][0]
        for statement in statements
    ]
    assert all("ON CLUSTER c" in statement for statement in some(read))
    tables = [statement for statement in read if statement.startswith("CREATE TABLE")]
    assert len(tables) == len(TABLES) + 2
    assert all("ENGINE = ReplicatedMergeTree" in statement for statement in some(tables))
