"""What the engines say of their functions, and what is made of it."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.client import Client

from tests.conftest import Engine
from tests.support.functions import called_bare, names
from treehouse.platform.query_log.functions import Functions
from treehouse.platform.query_log.views import Knowledge

SHIPPED = Functions.shipped()


def test_the_shipped_list_is_that_of_the_embedded_engine(client: Client) -> None:
    """If not: python -m tests.support.functions."""
    own = {name.lower() for name in names(client)}
    found = Functions.of(client)
    assert found.steady & own == SHIPPED.steady
    assert found.moving & own == SHIPPED.moving


def test_no_engine_contradicts_the_shipped_list(engine: Engine) -> None:
    found = Functions.of(engine.client)
    assert sorted(found.moving & SHIPPED.steady) == []
    assert called_bare(engine.client, names(engine.client)) & found.moving <= SHIPPED.bare


def test_functions_of_users_are_looked_into(engine: Engine) -> None:
    client = engine.client
    bodies = {"t_plus": "(x) -> x + 1", "t_late": "(x) -> x > now()", "T_deep": "() -> t_late(1)",
              "t_twice": "(x) -> t_plus(t_plus(x))", "t_word": "() -> CURRENT_DATE"}  # fmt: skip
    for name, body in bodies.items():
        client.command(f"create or replace function {name} as {body}")
    try:
        found = Functions.of(client)
        steady = {name for name in bodies if found.is_steady(name)}
        assert steady == {"t_plus", "t_twice"}
        assert {"t_late", "t_deep", "t_word"} <= found.moving
        # Executable ones are declared: the scorer names the version, what it has loaded may change.
        declared = {"treehouse_score": True, "treehouse_loaded": False}
        assert {name: found.is_steady(name) for name in declared} == declared
    finally:
        for name in bodies:
            client.command(f"drop function {name}")


def testreehouse_views_that_move_are_told_from_others(engine: Engine) -> None:
    client = engine.client
    client.command("create database if not exists treehouse_views engine = Atomic")
    views = {
        "steady": "select number as x from numbers(3)",
        "since": "select x from treehouse_views.steady where x > {since:UInt8}",
        "late": "select x from treehouse_views.steady where x > CURRENT_TIMESTAMP",
        "over_late": "with l as (select x from treehouse_views.late) select x from l",
        "thrown": "select x, rand() as y from treehouse_views.since(since = 1)",
        "on_the_system": "select name from system.tables",
    }
    for name, sql in views.items():
        client.command(f"create or replace view treehouse_views.{name} as {sql}")
    found = Knowledge.of(client, "t_store")
    own = {
        name.removeprefix("treehouse_views.")
        for name in found.steady_views
        if "treehouse_views" in name
    }
    assert own == {"steady", "since"}
    assert {f"treehouse_views.{name}" for name in views.keys() - own} <= found.moving_views
    assert Knowledge.of(client, "treehouse_views").moving_views.isdisjoint(
        {f"treehouse_views.{name}" for name in views}
    )
    client.command("drop database treehouse_views")


@pytest.mark.parametrize("name", ["randIf", "noSuchIf", "If", "", "nowOrNull"])
def test_a_combinator_makes_nothing_known(name: str) -> None:
    assert SHIPPED.is_steady(name) == (name == "If")
