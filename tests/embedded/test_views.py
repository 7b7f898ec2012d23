"""Views that read a model's answers, the engine's own tables or its clock: their SQL over given
rows, counted by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from jinja2 import Environment

from tests.support.house import dbt
from treehouse.clickhouse.ddl import MACROS
from treehouse.project.settings import Settings

# Moment, dashboard, panel, duration; admitted, time to live; expected reads, version.
_REQUESTS = """
    ('2026-06-02 12:00:00', '', 'a', 5, (true, 9), (1, 9)),
    ('2026-06-02 11:00:00', 'sales', 'a', 10, (true, 1), (0.5, 2)),
    ('2026-06-02 11:00:00', 'sales', 'a', 20, (true, 100), (0.25, 2)),
    ('2026-06-02 10:00:00', 'sales', 'a', 20, (true, 600), (0, 3)),
    ('2026-06-02 09:00:00', 'sales', 'a', 20, (true, 800), (0, 2)),
    ('2026-06-02 08:00:00', 'sales', 'a', 20, (true, 900), (0, 2)),
    ('2026-06-02 08:00:00', 'sales', 'a', 20, (true, 0), (0, 2)),
    ('2026-06-02 08:00:00', 'sales', 'a', 20, (true, 0), (0, 2)),
    ('2026-06-02 07:00:00', 'sales', 'a', 20, (false, 5), (0, 2)),
    ('2026-06-02 11:00:00', 'ops', 'a', 10, (true, 60), (0, 2)),
    ('2026-06-02 11:00:00', 'ops', 'a', 10, (true, 60), (0, 2)),
    ('2026-06-02 11:00:00', 'ops', 'a', 10, (true, 60), (0, 2)),
    ('2026-06-02 11:00:00', 'ops', 'a', 10, (false, 60), (0, 2)),
    ('2026-06-02 11:00:00', 'ops', 'a', 10, (false, 60), (0, 2)),
    ('2026-06-02 11:00:00', 'sales', 'half', 10, (true, 60), (0, 2)),
    ('2026-06-01 12:00:01', 'sales', 'half', 10, (false, 60), (0, 2)),
    ('2026-06-01 12:00:00', 'sales', 'yesterday', 10, (true, 60), (0, 2))
"""


@pytest.fixture(scope="module")
def compiled(client: Client, settings: Settings) -> dict[str, str]:
    """The views' SQL."""
    assert client  # dbt reaches the embedded engine through the one that is open
    names = ("cache_admission_panels", "storage_tiering_places")
    dbt(settings, "compile", "--select", *names)
    folder = settings.home / "dbt" / settings.target / "compiled" / "treehouse" / "models"
    return {path.stem: path.read_text() for path in folder.rglob("*.sql") if path.stem in names}


def over(client: Client, sql: str, given: dict[str, str]) -> list[tuple[Any, ...]]:
    """The rows of a query whose relations are subqueries instead."""
    for relation, rows in given.items():
        assert relation in sql
        sql = sql.replace(relation, f"(select * from values({rows}))")
    return [tuple(row) for row in client.query(sql).result_rows]


def test_panels(client: Client, settings: Settings, compiled: dict[str, str]) -> None:
    """Of the last day; most requests decide, and the middle time to live of those admitted."""
    sql = compiled["cache_admission_panels"]
    sql = re.sub(r"cache_decision\(.*?\) as", "given_decision as", sql)
    sql = re.sub(r"predict_cache_admission_full\(.*?\) as", "given_prediction as", sql)
    kinds = (
        r"event_at DateTime(\'UTC\'), dashboard String, panel String, duration_ms Float64, "
        "given_decision Tuple(admit Bool, ttl_seconds UInt32), "
        "given_prediction Tuple(value Nullable(Float64), version UInt32)"
    )
    features = f"`{settings.database}`.`cache_admission_features`"
    assert sorted(over(client, sql, {features: f"'{kinds}', {_REQUESTS}"})) == [
        ("ops", "a", 5, 0.6, 0.0, True, 60, 2),
        ("sales", "a", 8, 0.625, 10.0, True, 600, 3),
        ("sales", "half", 2, 0.5, 0.0, False, 0, 2),
    ]


def test_places(client: Client, compiled: dict[str, str]) -> None:
    """What lies in several volumes is in the first; a volume that no tier names is none."""
    found = over(client, compiled["storage_tiering_places"], {
        "`system`.`storage_policies`": r"""
            'policy_name String, volume_name String, disks Array(String)',
            ('tiered', 'default', ['default']), ('tiered', 'warm', ['warm', 'warm2']),
            ('tiered', 'cold', ['cold']), ('plain', 'default', ['default']),
            ('odd', 'fast', ['default'])
        """,
        "`system`.`tables`": r"""
            'database String, name String, storage_policy String',
            ('treehouse_workload', 'visits', 'tiered'), ('treehouse_workload', 'stock', 'plain'),
            ('treehouse_workload', 'orders', 'odd'), ('elsewhere', 'visits', 'tiered')
        """,
        "`system`.`parts`": r"""
            'database String, table String, partition_id String, disk_name String,
             bytes_on_disk UInt64, active UInt8',
            ('treehouse_workload', 'visits', '1', 'warm', 20, 1),
            ('treehouse_workload', 'visits', '1', 'default', 10, 1),
            ('treehouse_workload', 'visits', '1', 'default', 99, 0),
            ('treehouse_workload', 'visits', '2', 'cold', 5, 1),
            ('treehouse_workload', 'visits', '2', 'warm2', 7, 1),
            ('treehouse_workload', 'stock', '1', 'default', 3, 1),
            ('treehouse_workload', 'orders', '1', 'default', 4, 1),
            ('elsewhere', 'visits', '1', 'default', 50, 1)
        """,
    })  # fmt: skip
    workload = "treehouse_workload"
    assert sorted((*row[:5], sorted(row[5]), *row[6:]) for row in found) == [
        (workload, "orders", "1", f"{workload}.orders.1", "odd", ["fast"], "", 1, 4, 80_000.0),
        (workload, "stock", "1", f"{workload}.stock.1", "plain", ["default"], "hot", 1, 3, 3e6),
        (workload, "visits", "1", f"{workload}.visits.1", "tiered", ["default", "warm"], "hot",
         2, 30, 600_000.0),
        (workload, "visits", "2", f"{workload}.visits.2", "tiered", ["cold", "warm"], "warm",
         2, 12, 240_000.0),
    ]  # fmt: skip


def _macros(queries: str) -> Any:
    environment = Environment(extensions=["jinja2.ext.do"], autoescape=False)
    environment.globals |= {"ref": lambda _: f"(select * from values({queries}))"}
    return environment.from_string((MACROS / "functions" / "next_query.sql").read_text()).module


def test_the_present_is_the_log_s_own(client: Client) -> None:
    """The moment of the newest query of a dashboard, and what has passed since it was logged."""
    sql = _macros(r"""
        'event_at DateTime64(6, \'UTC\'), logged_at DateTime64(6, \'UTC\'), dashboard String',
        ('2026-06-01 10:00:00', '2026-06-09 10:00:00', 'sales'),
        ('2026-06-01 11:00:00', '2026-06-08 10:00:00', 'sales'),
        ('2026-06-01 12:00:00', '2026-06-08 10:00:00', '')
    """).present_at()
    assert "now64(6)" in sql
    sql = sql.replace("now64(6)", "toDateTime64('2026-06-08 10:00:07.25', 6, 'UTC')")
    found = client.query(f"select toString({sql.strip()})").result_rows
    assert found == [("2026-06-01 11:00:07.250000",)]


def test_likely_next_queries(client: Client) -> None:
    """Those that are named, in their order; without a version all heads are null."""
    names = ", ".join(
        f"next_{n} Nullable(UInt64), share_{n} Nullable(Float64)" for n in range(1, 6)
    )
    sql = _macros("''").next_queries("heads")

    def found(values: str) -> Any:
        cast = f"cast(tuple({values}) as Tuple({names}))"
        return client.query(f"with {cast} as heads select {sql}").result_rows[0][0]

    assert found("7, 0.5, 1, 0., 0, 0.25, null, 0.125, 9, null") == [(7, 0.5), (1, 0.0), (9, 0.0)]
    assert found(", ".join(["null"] * 10)) == []
