"""A fresh clone: contracts are whole, everything builds on nothing, and predictions are NULL."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.conftest import Engine
from tests.support.house import dbt
from treehouse.clickhouse.client import literal
from treehouse.experiments.state import experiments
from treehouse.fit.candidates import wanted
from treehouse.monitor.state import read_alerts
from treehouse.project.contract import Contract
from treehouse.retrain.log import list_runs
from treehouse.spec import specs

_TYPES = re.compile(
    r"(LowCardinality\(|Array\()?(Nullable\()?(U?Int\d+|Float\d+|Decimal\(.*|Bool|String)\)*"
)


@pytest.fixture(scope="module")
def empty(fresh: Engine) -> Engine:
    """Every model and every test of dbt's, built on nothing."""
    dbt(fresh.settings, "build")
    return fresh


def test_looking_makes_nothing(engine: Engine) -> None:
    """A user who may only read can look, even where nobody has built anything yet."""
    client, nowhere = engine.client, replace(engine.settings, registry_database="treehouse_nowhere")
    assert read_alerts(client, nowhere) == []
    assert list_runs(client, nowhere) == []
    assert experiments(client, nowhere) == []
    assert client.query("exists database treehouse_nowhere").result_rows == [(0,)]


def test_contract_is_whole(contract: Contract) -> None:
    assert contract.heads[0] == "value"
    assert len(set(contract.heads)) == len(contract.heads)
    names = [feature.name for feature in contract.features]
    assert len(set(names)) == len(names) > 0
    wrong = [f for f in contract.features if not _TYPES.fullmatch(f.type)]
    assert not wrong, "neither numbers nor strings, nor arrays of them"
    assert not {*contract.keys, contract.time, contract.label} & set(names)
    assert contract.keys
    assert contract.time
    assert contract.label


def test_contract_has_a_spec(contract: Contract) -> None:
    spec = specs()[contract.use_case]
    assert spec.contract == contract
    names = {feature.name for feature in contract.features}
    assert {spec.known, spec.pace} - {""} <= names
    assert 0 < spec.coverage < 1
    assert wanted(spec)
    if spec.task == "classes":
        assert len(spec.classes) > 1
        assert contract.heads[1 : 1 + len(spec.classes)] == spec.classes
        assert spec.costs
    assert set(spec.also) <= set(contract.heads)


def test_models_are_there(empty: Engine, contract: Contract) -> None:
    found = empty.client.query(
        "select name from system.tables where database = {d:String}",
        parameters={"d": empty.settings.database},
    ).result_columns[0]
    for part in ("features", "training_set", "scores", "decisions"):
        assert f"{contract.use_case}_{part}" in found


def test_dbt_and_python_agree_on_the_contract(empty: Engine, contract: Contract) -> None:
    for name in (f"predict_{contract.use_case}", f"predict_{contract.use_case}_full"):
        text = empty.client.query(
            "select create_query from system.functions where name = {n:String}",
            parameters={"n": name},
        ).result_rows[0][0]
        assert set(re.findall(r"'([0-9a-f]{32})'", text)) == {contract.hash}
        arguments = re.match(r"CREATE FUNCTION \w+ AS \(?([\w, `]+)\)? ->", text)
        assert arguments
        wanted = [feature.name for feature in contract.features]
        assert arguments[1].replace("`", "").split(", ") == wanted


def test_contributions_are_explained_where_there_may_be_trees(
    empty: Engine, contract: Contract
) -> None:
    found = empty.client.query(
        "select name from system.functions where startsWith(name, {n:String})",
        parameters={"n": f"explain_{contract.use_case}"},
    ).result_rows
    has_trees = specs()[contract.use_case].task != "sequence"
    assert {name for (name,) in found} == {
        f"explain_{contract.use_case}{kind}" for kind in ("", "_row", "_top") if has_trees
    }


def test_version_0_answers_null(empty: Engine, contract: Contract) -> None:
    call = f"predict_{contract.use_case}({_values(contract)})"
    full = f"predict_{contract.use_case}_full({_values(contract)})"
    rows: Any = empty.client.query(
        f"select {call} as value, toTypeName(value), {full} as whole, toTypeName(whole), "
        "whole.value, whole.version from numbers(3)"
    ).result_rows
    types = ", ".join([f"{head} Nullable(Float64)" for head in contract.heads])
    assert len(rows) == 3
    for value, type_name, answer, full_type, head, version in rows:
        assert value is None
        assert type_name == "Nullable(Float64)"
        full_type = re.sub(r"[\s`]+", " ", full_type)
        assert full_type.replace("( ", "(") == f"Tuple({types}, version UInt32)"
        assert answer == dict.fromkeys(contract.heads) | {"version": 0}
        assert head is None
        assert version == 0


def test_a_version_that_is_not_there_is_refused(empty: Engine, contract: Contract) -> None:
    with pytest.raises(ClickHouseError, match=f"no such version of {contract.use_case}"):
        empty.client.query(f"select predict_{contract.use_case}_at(7, {_values(contract)})")


def _values(contract: Contract) -> str:
    """Some value of the right type for each argument."""
    values = {"numeric": "1", "categorical": "any", "tokens": "['any']", "series": "[1]"}
    return ", ".join(
        f"{literal(values[feature.kind])}::{feature.type}" for feature in contract.features
    )
