"""Versions of a model within an experiment, and a challenger in the champion's shadow."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from scipy import stats

from tests.flow.conftest import ARGUMENTS, House
from tests.support.small_bundle import FEATURE, USE_CASE
from treehouse.clickhouse.client import run_script
from treehouse.clickhouse.dbt import invoke
from treehouse.experiments.definition import Definition
from treehouse.experiments.shadow import agreement
from treehouse.experiments.state import start, stop
from treehouse.project.contract import load_contract
from treehouse.project.errors import TreehouseError
from treehouse.registry.promotions import promote

pytestmark = pytest.mark.slow

_INLINE = """
select
    {{ predict_variant('purchase_value', "it's", 7, relation='f') }},
    {{ predict_variant_full('purchase_value', "it's", 7, relation='f') }},
    {{ predict_shadow('purchase_value', "it's", relation='f') }}
from treehouse.flow_rows as f limit 1
"""
_names = (f"models_{i}" for i in itertools.count())


@pytest.fixture
def name() -> str:
    """Each test an experiment of its own: names are used once."""
    return next(_names)


def begin(house: House, name: str, **changes: object) -> None:
    """The challenger, version 2, against the champion."""
    values = {"metrics": ("spend",), "model": USE_CASE, "versions": (0, 2)} | changes
    start(house.engine.client, house.engine.settings, Definition(name, **values))  # type: ignore[arg-type]


def answers(house: House, name: str, suffix: str = "_variant") -> set[tuple[str, float | None]]:
    """Variant and answer of 40 units."""
    call = f"predict_{USE_CASE}{suffix}('{name}', unit, {ARGUMENTS})"
    value = f"{call}.value" if suffix.endswith("full") else call
    return set(
        house.query(
            f"select variant('{name}', unit) as v, {value} from (select *, number as unit "
            "from treehouse.flow_rows cross join numbers(40) as units)"
        )
    )


def test_each_variant_is_scored_by_its_version(house: House, name: str) -> None:
    house.promoted(2)
    house.publish(3)
    begin(house, name, share=0.5)
    wanted = {("", 20.0), ("control", 20.0), ("treatment", 30.0)}
    assert answers(house, name) == answers(house, name, "_variant_full") == wanted
    house.publish(4)
    promote(house.engine.client, house.engine.settings, USE_CASE, 3)
    assert answers(house, name) == {("", 40.0), ("control", 40.0), ("treatment", 30.0)}


def test_after_the_stop_the_champion_scores_everybody(house: House, name: str) -> None:
    house.promoted(2)
    house.publish(3)
    begin(house, name)
    client = house.engine.client
    client.command(
        "create or replace view treehouse.flow_experiment as select "
        f"predict_{USE_CASE}_variant('{name}', number, {ARGUMENTS}) as value "
        "from treehouse.flow_rows cross join numbers(40) as units"
    )
    seen = "select distinct value from treehouse.flow_experiment order by value"
    assert house.query(seen) == [(20.0,), (30.0,)]
    stop(client, house.engine.settings, name)
    assert house.query(seen) == [(20.0,)]
    assert answers(house, name) == {("", 20.0)}
    client.command("drop view treehouse.flow_experiment")


def test_an_experiment_that_is_not_there_changes_no_prediction(house: House) -> None:
    house.promoted(2)
    call = f"predict_{USE_CASE}_variant('never', 1, {ARGUMENTS})"
    assert house.query(f"select {call} from treehouse.flow_rows limit 1") == [(20.0,)]


def test_dbt_binds_the_features_by_name(house: House) -> None:
    house.promoted(2)
    ran = invoke(house.engine.settings, ["--quiet", "compile", "--inline", _INLINE])
    assert ran.success, ran.exception
    compiled: str = ran.result[0].node.compiled_code
    assert "predict_purchase_value_variant('it\\'s', 7, f." in compiled
    value, full, shadow = house.query(compiled)[0]
    assert (value, full["value"], full["version"]) == (20, 20, 1)
    assert shadow == {"champion": 20, "challenger": None, "difference": None}


def test_an_experiment_of_another_model_is_an_error(house: House, name: str) -> None:
    house.promoted(2)
    house.publish(3)
    begin(house, name)
    house.engine.client.command(
        "insert into treehouse_registry.experiments "
        "select * replace('churn' as model, now64(6) as at) from treehouse_registry.experiments "
        f"where experiment = '{name}'"
    )
    house.engine.client.command("system reload dictionary treehouse_registry.assignment_log")
    with pytest.raises(ClickHouseError, match="about another model"):
        answers(house, name)


def test_a_version_that_was_never_published_is_refused(house: House, name: str) -> None:
    house.promoted(2)
    with pytest.raises(TreehouseError, match="no such version"):
        begin(house, name)


def test_a_version_of_another_contract_is_refused(house: House, name: str) -> None:
    house.promoted(2)
    house.engine.client.command(
        "insert into treehouse_registry.versions select * replace(2 as version, 'old' as contract) "
        "from treehouse_registry.versions"
    )
    house.engine.client.command(
        "insert into treehouse_registry.events select * replace(2 as version) "
        "from treehouse_registry.events where action = 'publish'"
    )
    with pytest.raises(TreehouseError, match="trained for other features"):
        begin(house, name)
    assert house.count("experiments", f"experiment = '{name}'") == 0


def test_a_challenger_in_the_shadow_decides_nothing(house: House, name: str) -> None:
    house.promoted(2)
    house.publish(3)
    begin(house, name, is_shadow=True, metrics=())
    assert answers(house, name) == {("", 20.0)}
    call = f"predict_{USE_CASE}_shadow('{name}', {ARGUMENTS})"
    (shadow,) = house.query(f"select {call} from treehouse.flow_rows limit 1")[0]
    assert shadow == {"champion": 20, "challenger": 30, "difference": 10}
    stop(house.engine.client, house.engine.settings, name)
    (shadow,) = house.query(f"select {call} from treehouse.flow_rows limit 1")[0]
    assert shadow == {"champion": 20, "challenger": None, "difference": None}


def test_agreement_is_measured_in_the_database(house: House, name: str) -> None:
    house.promoted(2)
    house.publish(-3)
    begin(house, name, is_shadow=True, metrics=())
    contract = load_contract(USE_CASE)
    keys = [f"{key} String" for key in contract.keys]
    columns = ", ".join(keys + [f"{f.name} {f.type}" for f in contract.features])
    client, settings = house.engine.client, house.engine.settings
    run_script(
        client,
        [
            f"create table treehouse.{USE_CASE}_features ({columns}) "
            "engine = MergeTree order by tuple()",
            f"insert into treehouse.{USE_CASE}_features ({contract.keys[0]}, {FEATURE}) "
            "select toString(number), exp(number % 97 / 10) from numbers(1000)",
        ],
    )
    try:
        found = agreement(client, settings, name)
        by_rule = agreement(client, settings, name, "value > 100")
    finally:
        client.command(f"drop table treehouse.{USE_CASE}_features sync")
    amount = np.exp(np.arange(1000) % 97 / 10)
    champion, challenger = 2 * amount, -3 * amount
    assert found["rows"] == 1000
    assert found["mean_difference"] == pytest.approx((challenger - champion).mean(), rel=1e-9)
    assert found["correlation"] == pytest.approx(-1)
    rank = stats.spearmanr(champion, challenger).statistic
    assert found["rank_correlation"] == pytest.approx(rank, rel=1e-9)
    assert 0.3 < found["changed_decisions_share"] < 0.5
    assert by_rule["changed_decisions_share"] == np.mean(champion > 100)
    stop(client, settings, name)
    with pytest.raises(TreehouseError, match="running shadow"):
        agreement(client, settings, name)
