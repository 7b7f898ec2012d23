"""What tiers cost: SQL and Python read one price list and come to one answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from jinja2 import Environment

from treehouse.clickhouse.ddl import MACROS
from treehouse.platform.tiering.costs import mistakes
from treehouse.platform.tiering.prices import Prices
from treehouse.project.settings import project_vars
from treehouse.spec import load_spec

PRICES = Prices.configured()


@pytest.fixture(scope="module")
def macros() -> Any:
    """The macros of prices, as dbt has them when it executes."""
    environment = Environment(extensions=["jinja2.ext.do"], autoescape=False)
    environment.globals |= {
        "var": lambda name: project_vars()[name], "execute": True, "return": lambda value: value,
    }  # fmt: skip
    return environment.from_string((MACROS / "functions" / "tiering.sql").read_text()).module


@pytest.mark.parametrize("seed", range(5))
def test_sql_bills_as_the_replay_does(client: Client, macros: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stored, read, written = rng.lognormal(20, 3, 3)
    reads, writes, days = rng.integers(0, 500), rng.integers(0, 50), rng.uniform(1, 40)

    def ask(sql: str) -> Any:
        return client.query("select " + sql.strip()).result_rows[0][0]

    one = lambda value: np.array([float(value)])  # noqa: E731
    bill = (
        PRICES.stay_usd(one(stored), days * 24)
        + PRICES.read_usd(one(reads), one(read))
        + PRICES.write_usd(one(writes), one(written))
    )
    sql = macros.tiers_bill_usd(f"{stored!s}", f"{days!s}", reads, f"{read!s}", writes, written)
    assert ask(sql) == pytest.approx(bill[0], rel=1e-9)
    waiting = PRICES.waiting_hours(one(reads), one(read))[0]
    assert ask(macros.tiers_waiting_hours(reads, read)) == pytest.approx(waiting, rel=1e-9)
    leave, enter = ask(macros.tiers_leave_usd(stored)), ask(macros.tiers_enter_usd(stored))
    move = (np.array(leave)[:, None] + np.array(enter)) * (1 - np.eye(len(leave)))
    assert move == pytest.approx(PRICES.move_usd(one(stored))[0], rel=1e-9)


@pytest.mark.parametrize("days", [1, 7, 30])
def test_each_tier_is_best_for_its_own_demand(days: int) -> None:
    costs = np.array(mistakes(PRICES, days))
    assert costs.shape == (3, 3)
    assert (costs.diagonal() == 0).all()
    assert (costs.max(axis=1) == 1).all()
    assert (costs + np.eye(3) > 0).all()


def test_tiers_volumes_and_heads_have_the_same_names() -> None:
    names = tuple(tier.name for tier in PRICES.tiers)
    assert load_spec("storage_tiering").classes == names
    assert tuple(project_vars()["tiering"]["volumes"]) == names
