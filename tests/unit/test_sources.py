"""The contracts of the sources, and the tables made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

from training.errors import TreehouseError
from training.intake.classify import classify_sql
from training.intake.sources import CONTRACTS, STATE, Source, find_source, read_sources
from training.settings import ROOT, Settings

SETTINGS = Settings(raw_database="somewhere")
SOURCES = read_sources(SETTINGS)
every_source = pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))


def test_the_sources_are_those_that_are_documented() -> None:
    assert list(SOURCES) == ["events", "installs", "purchases"]
    assert {source.qualified for source in SOURCES.values()} == {
        "`somewhere`.`events`", "`somewhere`.`installs`", "`somewhere`.`purchases`"
    }  # fmt: skip


@every_source
def test_every_column_is_documented_and_typed(source: Source) -> None:
    assert all(column.comment and column.type for column in source.columns)


@every_source
def test_no_two_columns_go_by_one_name(source: Source) -> None:
    names = [name for c in source.columns for name in {c.name, *c.aliases}]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in names)


@every_source
def test_every_type_can_be_parsed(source: Source) -> None:
    texts = {column.name: "''" for column in source.columns}
    sql = classify_sql(source, "staged", "one", texts)
    assert all(f"`{column.name}`" in sql for column in source.columns)


@every_source
def test_a_row_is_told_by_its_id_and_only_that_may_be_derived(source: Source) -> None:
    assert not source.column(source.id).optional
    assert all(not c.derived for c in source.columns if c.name != source.id)
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
