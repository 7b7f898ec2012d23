"""The contracts of the sources, and the tables made of them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from clickhouse_connect.driver.client import Client
from jinja2 import Environment

from tests.support.some import some
from treehouse.clickhouse.client import identifier, literal
from treehouse.ingest.sources import CONTRACTS, STATE, Source, find_source, read_sources
from treehouse.ingest.validate import classify_sql, staged_ddl
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import ROOT, Settings

SETTINGS = Settings(raw_database="somewhere")
SOURCES = read_sources(SETTINGS)
_VALUES: dict[str, tuple[str, Any]] = {
    "String": ("web", "web"),
    "LowCardinality(String)": ("web", "web"),
    "Int64": ("9007199254740993", 2**53 + 1),
    "Decimal(18, 6)": ("0.000001", Decimal("0.000001")),
    "Decimal(18, 9)": ("0.000000001", Decimal("0.000000001")),
    "DateTime64(3, 'UTC')": (
        "2024-02-29T23:59:59.999Z", datetime(2024, 2, 29, 23, 59, 59, 999_000),
    ),
    "Map(LowCardinality(String), String)": ('{"a": "b"}', {"a": "b"}),
}  # fmt: skip
"""A text of each type that a source has, and its value."""
every_source = pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))


def test_the_sources_are_those_that_are_documented() -> None:
    assert list(SOURCES) == ["events", "installs", "purchases"]
    assert {source.qualified for source in SOURCES.values()} == {
        "`somewhere`.`events`", "`somewhere`.`installs`", "`somewhere`.`purchases`"
    }  # fmt: skip


@every_source
def test_every_column_is_documented_and_typed(source: Source) -> None:
    assert all(column.comment and column.type for column in some(source.columns))


@every_source
def test_no_two_columns_go_by_one_name(source: Source) -> None:
    names = [name for c in source.columns for name in {c.name, *c.aliases}]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in some(names))


@every_source
def test_every_type_is_parsed_to_its_value(source: Source, client: Client) -> None:
    database = "treehouse_types"
    client.command(f"drop database if exists {database} sync")
    client.command(f"create database {database}")
    client.command(staged_ddl(source, f"{database}.staged"))
    wanted = {column.name: _VALUES[column.type] for column in source.columns}
    texts = {name: literal(text) for name, (text, _) in wanted.items()}
    client.command(classify_sql(source, f"{database}.staged", "system.one", texts))
    columns = ", ".join(map(identifier, wanted))
    rows = client.query(f"select _reason, {columns} from {database}.staged").result_rows
    client.command(f"drop database {database} sync")
    assert rows == [("", *(value for _, value in wanted.values()))]


@every_source
def test_a_row_is_told_by_its_id_and_only_that_may_be_derived(source: Source) -> None:
    assert not source.column(source.id).optional
    assert {c.name for c in source.columns if c.derived} <= {source.id}
    assert source.column(source.time).required


def test_vars_of_the_project_name_database_and_tables(tmp_path: Path) -> None:
    contracts = yaml.safe_load(CONTRACTS.read_text())
    contracts["sources"][0]["tables"][0]["identifier"] = "{{ var('purchases_table') }}_x"
    (tmp_path / "sources.yml").write_text(yaml.safe_dump(contracts))
    variables = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]
    found = read_sources(SETTINGS, tmp_path / "sources.yml")
    assert found["events"].table == variables["purchases_table"] + "_x"
    assert found["installs"].database == "somewhere"


def test_a_contract_that_names_a_column_it_lacks_is_refused(tmp_path: Path) -> None:
    contracts = yaml.safe_load(CONTRACTS.read_text())
    contracts["sources"][0]["tables"][0]["config"]["meta"]["time"] = "then"
    (tmp_path / "sources.yml").write_text(yaml.safe_dump(contracts))
    with pytest.raises(TreehouseError, match="events names columns that it does not have") as error:
        read_sources(SETTINGS, tmp_path / "sources.yml")
    assert error.value.value == "then"


def test_an_unknown_source_is_told() -> None:
    with pytest.raises(TreehouseError, match="one of events, installs, purchases"):
        find_source(SETTINGS, "event")


def test_ddl_quotes_comments_and_partitions_only_logs() -> None:
    log, state = _ddl({"order_by": ["a", "at"]}, {"order_by": ["a"]})
    assert "comment 'it\\'s, back\\\\slash'" in log
    assert "partition by toYYYYMM(`at`)" in log
    assert "partition by" not in state


def test_only_a_table_that_grows_is_altered() -> None:
    statements = _ddl({"order_by": ["a"]}, {"order_by": ["a"], "grows": True})
    assert [statement.split()[0] for statement in statements] == ["create", "create", "alter"]


def _ddl(*tables: dict[str, Any]) -> list[str]:
    """The statements for tables of one column, without that for their database."""
    macros = Environment().from_string(STATE.read_text()).module
    columns = [{"name": "a", "type": "String", "comment": "it's;\nback\\slash"}]
    common = {"name": "t", "columns": columns, "time": "at"}
    text = str(macros.source_ddl("d", [common | table for table in tables]))  # type: ignore[attr-defined]
    return [part.strip() for part in text.split(";\n") if part.strip()][1:]
