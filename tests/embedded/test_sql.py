"""Every model, test and generated function is SQL that sqlglot's ClickHouse dialect reads."""

from __future__ import annotations

import sqlglot
from clickhouse_connect.driver.client import Client
from jinja2 import Environment

from tests.support.house import dbt
from treehouse.project.contract import contracts
from treehouse.project.settings import ROOT, Settings


def test_every_compiled_model_and_test_parses(settings: Settings) -> None:
    dbt(settings, "compile")
    folder = settings.home / "dbt" / settings.target / "compiled" / "treehouse"
    files = [*folder.glob("models/**/*.sql"), *folder.glob("tests/**/*.sql")]
    assert len(files) > 50
    for file in files:
        (statement,) = sqlglot.parse(file.read_text(), read="clickhouse")
        assert isinstance(statement, sqlglot.exp.Query), file


def test_of_the_keys_that_choose_half_validate(client: Client) -> None:
    macros = Environment(autoescape=False).from_string((ROOT / "macros/splits.sql").read_text())
    half = macros.module.choice_half("number, 1")  # type: ignore[attr-defined]
    found = client.query(f"select {half} as half, count() from numbers(10000) group by half")
    counts = dict(found.result_rows)
    assert counts.keys() == {"validation", "calibration"}
    assert abs(counts["validation"] - 5000) < 200  # four standard deviations


def test_every_generated_function_parses(client: Client, settings: Settings) -> None:
    dbt(settings, "compile", "--select", "stg_purchases")
    created = client.query(
        r"select name, create_query from system.functions where name like 'predict\_%'"
    ).result_rows
    wanted = {
        f"predict_{use_case}{suffix}"
        for use_case in contracts()
        for suffix in (
            "",
            "_full",
            "_at",
            "_full_at",
            "_row",
            "_row_full",
            "_row_at",
            "_row_full_at",
        )
    }
    assert wanted <= {name for name, _ in created}
    for _, text in created:
        sqlglot.parse_one(text, read="clickhouse")
