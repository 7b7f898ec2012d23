"""explain_<use_case>() in SQL: LightGBM's own contributions, named, for the promoted version."""

from __future__ import annotations

from collections.abc import Iterator

import lightgbm as lgb
import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from tests.support.cleaning import drop_everything
from tests.support.house import dbt
from treehouse.bundle import Bundle, Inputs, bundle_id, e
from treehouse.clickhouse.client import identifier
from treehouse.forest import compile_forest
from treehouse.project.contract import Contract, load_contract
from treehouse.project.settings import Settings
from treehouse.registry.publish import upload

USE_CASE = "purchase_value"


@pytest.fixture
def contract(client: Client, settings: Settings) -> Iterator[Contract]:
    """The contract, with its SQL functions made and nothing promoted."""
    drop_everything(client)
    dbt(settings, "run", "--select", "stg_purchases")
    yield load_contract(USE_CASE)
    drop_everything(client)


def _promote(client: Client, settings: Settings, contract: Contract, booster: lgb.Booster) -> None:
    features = tuple(f.name for f in contract.features)
    data = Bundle(
        USE_CASE,
        1,
        contract.hash,
        Inputs(contract.of_kind("numeric")),
        (compile_forest(booster, features),),
        dict.fromkeys(contract.heads, e.out(0)),
    ).to_bytes()
    golden = {"numeric": [], "categorical": [], "answers": []}
    upload(client, settings, data, golden)
    registry = identifier(settings.registry_database)
    client.command(
        f"insert into {registry}.events (model, contract, action, version, bundle) "
        f"values ('{USE_CASE}', '{contract.hash}', 'promote', 1, {bundle_id(data)})"
    )
    client.command(f"system reload dictionary {registry}.champions")


def _rows(contract: Contract) -> np.ndarray:
    rows = np.random.default_rng(5).normal(size=(500, len(contract.features)))
    rows[::7, 3] = np.nan
    return rows


def _call(function: str, row: np.ndarray, first: str = "") -> str:
    values = ["null" if np.isnan(x) else repr(float(x)) for x in row]
    return f"select {function}({', '.join([*([first] if first else []), *values])})"


def test_nothing_promoted_explains_nothing(client: Client, contract: Contract) -> None:
    row = _rows(contract)[1]
    assert client.query(_call(f"explain_{USE_CASE}", row)).result_rows == [
        ({"base": None, "contributions": []},)
    ]
    query = _call(f"explain_{USE_CASE}_top", row, "3")
    assert client.query(query).result_rows == [([],)]


def test_contributions_are_the_trainers_own(
    client: Client, settings: Settings, contract: Contract
) -> None:
    rows = _rows(contract)
    label = np.nan_to_num(rows[:, 0]) * 2 + np.nan_to_num(rows[:, 3])
    names = [f.name for f in contract.features]
    data = lgb.Dataset(rows, label, feature_name=names)
    booster = lgb.train({"verbose": -1, "num_leaves": 15, "seed": 1}, data, 30)
    _promote(client, settings, contract, booster)
    for row in rows[:10]:
        expected = booster.predict(row.reshape(1, -1), pred_contrib=True)[0]
        query = _call(f"explain_{USE_CASE}", row)
        found = client.query(query).result_rows[0][0]
        assert [part["feature"] for part in found["contributions"]] == names
        parts = [part["contribution"] for part in found["contributions"]]
        # Another order of sums, and quadrature where the trainer weighs subsets.
        np.testing.assert_allclose([*parts, found["base"]], expected, rtol=0, atol=1e-6)
        top = client.query(_call(f"explain_{USE_CASE}_top", row, "3")).result_rows[0][0]
        strongest = np.argsort(-np.abs(parts), kind="stable")[:3]
        assert [part["feature"] for part in top] == [names[i] for i in strongest]
