"""Vars of one's own: a file in the home folder, and --vars above it, for Python and for dbt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from treehouse.cli.train import _selection
from treehouse.clickhouse.dbt import _with_own_vars
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings, give_vars, own_vars, own_vars_file, project_vars


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TREEHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TREEHOUSE_VARS", "")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_without_any_the_project_holds() -> None:
    assert own_vars() == {}
    assert project_vars()["ltv_horizon_days"] == 90
    assert _with_own_vars(["build", "--select", "x"]) == ["build", "--select", "x"]


@pytest.mark.parametrize(
    "text",
    [
        "ltv_horizon_days: 30\nraw_database: mine\n",
        "vars: {ltv_horizon_days: 30, raw_database: mine}",
    ],
)
def test_a_file_stands_above_the_project_and_below_the_command(home: Path, text: str) -> None:
    own_vars_file().write_text(text)
    assert own_vars_file() == home / "vars.yml"
    assert project_vars()["ltv_horizon_days"] == 30
    assert Settings.from_environment("embedded").raw_database == "mine"
    give_vars("{ltv_horizon_days: 20}")
    assert project_vars()["ltv_horizon_days"] == 20
    assert project_vars()["ltv_observation_days"] == 7
    assert own_vars() == {"ltv_horizon_days": 20, "raw_database": "mine"}


def test_dbt_is_given_them_and_its_own_vars_stand_above() -> None:
    give_vars("ltv_horizon_days: 30")
    give_vars("ltv_embargo_days: 9")
    *rest, option, given = _with_own_vars(
        ["--quiet", "run", "--vars", "{ltv_horizon_days: 60, other: x}", "--select", "a"]
    )
    assert rest == ["--quiet", "run", "--select", "a"]
    assert option == "--vars"
    assert json.loads(given) == {"ltv_horizon_days": 60, "ltv_embargo_days": 9, "other": "x"}
    assert json.loads(_with_own_vars(["ls", "--vars={a: 1}"])[-1])["a"] == 1
    assert _with_own_vars(["--version"]) == ["--version"]


@pytest.mark.parametrize(
    ("text", "what", "told"),
    [
        ("ltv_horizon_day: 30", "There is no such var.", "ltv_horizon_days"),
        ("ltv_horizon_days: soon", "another kind", "a whole number, 0 or more, such as 90"),
        ("ltv_horizon_days: -1", "another kind", "a whole number"),
        ("ltv_horizon_days: yes", "another kind", "a whole number"),
        ("ltv_bid_multiplier_min: low", "another kind", "a number, such as 0.2"),
        ("time_zone: 1", "another kind", "text, such as UTC"),
        ("intent_events: shop", "another kind", "a list"),
        ("30", "could not be read", "--vars: 30"),
        ("{a: ", "could not be read", "names and values"),
    ],
)
def test_what_can_not_be_is_told(text: str, what: str, told: str) -> None:
    with pytest.raises(TreehouseError, match=what) as refused:
        give_vars(text)
    assert told in str(refused.value)
    assert own_vars() == {}


def test_a_mistake_in_the_file_names_the_file(home: Path) -> None:
    own_vars_file().write_text("ltv_horizon_days: soon")
    with pytest.raises(TreehouseError, match="another kind") as refused:
        project_vars()
    assert str(home / "vars.yml") in str(refused.value)


def test_vars_of_models_that_are_not_here_pass() -> None:
    give_vars("{ltv_monitoring_days: 3, my_threshold: 0.5, ltv_bid_multiplier_min: 1}")
    assert project_vars()["my_threshold"] == 0.5


def test_use_cases_and_selectors() -> None:
    assert _selection([], []) == []
    assert _selection(["ltv", "purchase_value"], []) == [
        "--select", "+path:models/ltv", "+path:models/purchase_value",
    ]  # fmt: skip
    assert _selection(["b", "c"], ["a"]) == ["--select", "a", "b", "c"]
    with pytest.raises(TreehouseError, match="no such use case"):
        _selection(["ltvv"], [])
