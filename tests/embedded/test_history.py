"""What is said of a history that is too short, and of rows that were built by other vars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from treehouse.fit.history import (
    History,
    check_windows,
    label_text,
    read_history,
    read_windows,
    too_few_rows,
)
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings, give_vars, own_vars_file
from treehouse.spec import load_spec

_HISTORY = History(149, 169, "ltv_horizon_days", 70, 8, "the embargo is 7 days in place of 90")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREEHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("TREEHOUSE_VARS", "")


@pytest.fixture
def own(client: Client, settings: Settings) -> Iterator[Settings]:
    """A database of its own, with a training set and a history of ltv."""
    changed = replace(settings, database="treehouse_history")
    client.command("create database treehouse_history engine = Atomic")
    client.command(
        "create table treehouse_history.ltv_training_set (ltv_usd Float64 comment 'Revenue.') "
        "engine = MergeTree order by tuple() comment 'Grain: one user. Windows: "
        "ltv_observation_days=7, ltv_horizon_days=30. Not a var: x=1.'"
    )
    values = "149 as history_days, 169 as needed_days, 'ltv_horizon_days' as variable"
    client.command(
        f"create view treehouse_history.ltv_history as select {values}, 70 as fitting_value, "
        "8 as least_value, 'the embargo is 7 days in place of 90' as note"
    )
    yield changed
    client.command("drop database treehouse_history sync")


def test_what_a_table_says_of_itself(client: Client, own: Settings) -> None:
    assert read_history(client, own, "ltv") == _HISTORY
    assert read_history(client, own, "purchase_value") is None
    windows = {"ltv_observation_days": "7", "ltv_horizon_days": "30"}
    assert read_windows(client, own, "ltv") == windows
    assert read_windows(client, own, "purchase_value") == {}
    assert label_text(client, own, load_spec("ltv").contract) == "Revenue."


def test_other_vars_than_those_of_now_are_another_label() -> None:
    windows = {"ltv_observation_days": "7", "ltv_horizon_days": "30"}
    with pytest.raises(TreehouseError, match="built by other vars than those of now") as refused:
        check_windows("ltv", windows)
    assert refused.value.value == "ltv_horizon_days: 30"
    assert refused.value.expected == "ltv_horizon_days: 90"
    assert "--vars '{ltv_horizon_days: 30}'" in str(refused.value.fix)
    give_vars("ltv_horizon_days: 30")
    check_windows("ltv", windows)
    check_windows("ltv", {})


def test_too_short_a_history_says_what_there_is_what_it_takes_and_what_to_set() -> None:
    said = str(too_few_rows("ltv", "train: 0", 50, _HISTORY))
    for part in (
        "train: 0; 149 days of history",
        "about 169 days where ltv_horizon_days is 90",
        f"write ltv_horizon_days: 70 into {own_vars_file()}",
        "./treehouse train ltv --vars 'ltv_horizon_days: 70'",
    ):
        assert part in said


@pytest.mark.parametrize(
    "history",
    [None, replace(_HISTORY, needed_days=149), replace(_HISTORY, fitting_value=7)],
    ids=["not known", "long enough", "no horizon fits"],
)
def test_where_no_var_helps_none_is_named(history: History | None) -> None:
    said = str(too_few_rows("ltv", "train: 0", 50, history))
    assert "load more history" in said
    assert "vars.yml" not in said
