"""Retiring, clearing away, and the commands that look at versions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from typer.testing import CliRunner

from tests.flow.conftest import ARGUMENTS, ON_EMBEDDED, ON_SERVER, House
from tests.support.house import dbt
from tests.support.small_bundle import FEATURE, USE_CASE
from tests.support.small_training_set import TABLE, TEST_ROWS, make_training_set
from treehouse.cli.main import app
from treehouse.clickhouse.client import run_script
from treehouse.project.errors import TreehouseError
from treehouse.registry.diff import diff
from treehouse.registry.garbage import collect, plan
from treehouse.registry.promotions import promote, retire, rollback, versions
from treehouse.registry.sync import sync

pytestmark = pytest.mark.slow


def cli(house: House, *arguments: str, code: int = 0) -> Any:
    """What a command answers with --json, in this process."""
    done = CliRunner().invoke(app, ["--target", house.engine.target, *arguments, "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def states(house: House) -> dict[int, str]:
    """State of each version."""
    found = versions(house.engine.client, house.engine.settings, USE_CASE)
    return {v.version: "champion" if v.is_champion else v.state for v in found}


@ON_EMBEDDED
def test_a_retired_version_is_not_chosen_again(house: House) -> None:
    client, settings = house.engine.client, house.engine.settings
    for factor in (2, 3, 4):
        house.promoted(factor)
    retire(client, settings, USE_CASE, 2, "wrong in Brazil")
    assert states(house) == {1: "published", 2: "retired", 3: "champion"}
    with pytest.raises(TreehouseError, match="Version 2 of purchase_value is retired"):
        promote(client, settings, USE_CASE, 2)
    with pytest.raises(TreehouseError, match="is retired already"):
        retire(client, settings, USE_CASE, 2)
    back = rollback(client, settings, USE_CASE)
    assert back is not None
    assert (back.version, house.answer()) == (1, 20)
    promote(client, settings, USE_CASE, 2, force=True)
    assert states(house) == {1: "published", 2: "champion", 3: "published"}
    call = f"predict_{USE_CASE}_at(2, {ARGUMENTS})"
    assert house.query(f"select {call} from treehouse.flow_rows limit 1") == [(30,)]


def test_only_what_nobody_may_ask_is_cleared_away(house: House) -> None:
    """Factors that no other test has: a scorer may hold the files that are emptied."""
    client, settings = house.engine.client, house.engine.settings
    made = [house.promoted(factor) for factor in (102, 103, 104, 105, 106)]
    house.publish(107)
    for number in (1, 2, 3, 6):
        retire(client, settings, USE_CASE, number)
    assert [g.version for g in plan(client, settings, keep=1)] == [3, 2, 1]
    assert [g.version for g in plan(client, settings)] == [1]
    assert house.count("artifacts") == 6, "a plan changes nothing"
    assert [g.version for g in collect(client, settings, keep=2)] == [2, 1]
    assert states(house) == {
        1: "collected", 2: "collected", 3: "retired", 4: "published", 5: "champion", 6: "retired",
    }  # fmt: skip
    assert house.count("artifacts") == 4
    sizes = [f.stat().st_size if (f := house.model_file(v.bundle)).exists() else 0 for v in made]
    assert sizes == [0, 0, *(v.bytes for v in made[2:])]
    with pytest.raises(ClickHouseError, match="no such version"):
        house.query(f"select predict_{USE_CASE}_at(1, {ARGUMENTS}) from treehouse.flow_rows")
    with pytest.raises(TreehouseError, match="was cleared away"):
        promote(client, settings, USE_CASE, 1, force=True)
    assert collect(client, settings, keep=2) == []
    assert {s.version: s.found for s in sync(client, settings)} == dict.fromkeys(
        (3, 4, 5, 6), "sound"
    )
    assert rollback(client, settings, USE_CASE).version == 4  # type: ignore[union-attr]
    assert house.answer() == 1050


@ON_EMBEDDED
def test_what_no_version_names_goes_after_a_day(house: House) -> None:
    client, settings = house.engine.client, house.engine.settings
    house.promoted(2)
    run_script(
        client,
        [
            "insert into treehouse_registry.artifacts (bundle, sha256, created_at, content) values "
            f"(1, '{'0' * 64}', now() - interval 2 day, 'x'), (2, '{'0' * 64}', now(), 'y')"
        ],
    )
    found = collect(client, settings)
    assert [(g.version, g.bundle, g.why) for g in found] == [(0, 1, "of no version")]
    assert house.count("artifacts") == 2


@ON_EMBEDDED
def test_what_an_experiment_asks_stays(house: House) -> None:
    client, settings = house.engine.client, house.engine.settings
    for factor in (2, 3):
        house.promoted(factor)
    house.publish(4)
    insert = (
        "insert into treehouse_registry.experiments (at, experiment, action, model, versions) "
        f"values ('{{}}', 'e', '{{}}', '{USE_CASE}', [0, 3])"
    )
    client.command(insert.format("2026-01-01", "start"))
    try:
        with pytest.raises(TreehouseError, match="is in a running experiment"):
            retire(client, settings, USE_CASE, 3)
        client.command(insert.format("2026-01-02", "stop"))
        retire(client, settings, USE_CASE, 3)
        client.command(insert.format("2026-01-03", "start"))
        assert plan(client, settings, keep=0) == []
    finally:
        client.command("truncate table treehouse_registry.experiments")


@ON_EMBEDDED
def test_a_difference_has_all_parts(house: House) -> None:
    client, settings = house.engine.client, house.engine.settings
    for factor in (2, 3):
        house.publish(factor)
    on_golden = diff(client, settings, USE_CASE, 1, 2)
    assert (on_golden["rows"], on_golden["loss"]) == ("golden rows of 1", None)
    assert on_golden["parameters"] == {"factor": (2, 3)}
    assert on_golden["metrics"]["model.mae"] == (1.0, 1.0)
    assert on_golden["features"] == {"only in 1": [], "only in 2": []}
    answers = on_golden["answers"]
    assert answers["mean_other"] == pytest.approx(1.5 * answers["mean_one"])
    assert answers["rank_correlation"] == pytest.approx(1)
    try:
        make_training_set(client)
        on_test = diff(client, settings, USE_CASE, 1, 2)
        mean = house.query(f"select 2 * avg({FEATURE}) from {TABLE} where split = 'test'")[0][0]
    finally:
        client.command(f"drop table {TABLE} sync")
    assert (on_test["rows"], on_test["answers"]["rows"]) == ("test rows", TEST_ROWS)
    assert on_test["answers"]["mean_one"] == pytest.approx(mean)
    assert on_test["loss"]["ours"] > on_test["loss"]["theirs"]


def test_the_commands_answer_json(house: House) -> None:
    for factor in (112, 113):
        house.publish(factor)
    assert cli(house, "promote", USE_CASE, "1", "--reason", "why not") == {
        "model": USE_CASE, "champion": 1, "notice": "",
    }  # fmt: skip
    for arguments in (("models",), ("models", USE_CASE), ("models", "list", USE_CASE)):
        assert [(v["version"], v["is_champion"]) for v in cli(house, *arguments)] == [
            (2, False), (1, True),
        ]  # fmt: skip
    shown = cli(house, "models", "show", USE_CASE)
    assert (shown["version"], shown["state"]) == (1, "published")
    assert [e["action"] for e in shown["events"]] == ["publish", "promote"]
    assert cli(house, "models", "show", USE_CASE, "--version", "2")["version"] == 2
    assert cli(house, "models", "diff", USE_CASE, "1", "2")["versions"] == [1, 2]
    assert cli(house, "retire", USE_CASE, "2") == {"model": USE_CASE, "retired": 2}
    assert cli(house, "gc", "--keep", "0")["removed"] is False
    assert [f["version"] for f in cli(house, "gc", "--keep", "0", "--yes")["files"]] == [2]
    house.model_file(versions(house.engine.client, house.engine.settings)[1].bundle).unlink()
    assert [s["found"] for s in cli(house, "sync")] == ["restored"]


@ON_EMBEDDED
def test_the_commands_speak_to_people(house: House) -> None:
    for factor in (2, 3):
        house.publish(factor)
    for arguments, words in (
        (["models"], "purchase_value"),
        (["models", "--help"], "models ltv"),
        (["models", "show", USE_CASE], "visits_1m"),
        (["models", "diff", USE_CASE, "1", "2"], "factor"),
        (["promote", USE_CASE, "1"], "champion: 1"),
        (["gc"], "Would remove (--yes does): 0 files"),
        (["sync"], "2 files sound, 0 brought in line, 0 lost"),
    ):
        done = CliRunner().invoke(app, arguments)
        assert (done.exit_code, words in done.output) == (0, True), done.output


@ON_SERVER
def test_dashboards_read_the_same(house: House) -> None:
    """As the user that the install makes, with dbt's own tests."""
    client, settings = house.engine.client, house.engine.settings
    for factor in (122, 123):
        house.promoted(factor)
    house.publish(124)
    retire(client, settings, USE_CASE, 1, "old")
    dbt(settings, "build", "--select", "path:models/registry")
    assert house.query("select version, state from treehouse.model_versions order by all") == [
        (1, "retired"),
        (2, "champion"),
        (3, "published"),
    ]
    assert house.query("select version, is_answering, action from treehouse.model_champions") == [
        (2, True, "promote")
    ]
    assert house.query(
        "select version, reason from treehouse.model_events where action = 'retire'"
    ) == [(1, "old")]
    assert house.query(
        "select answered_by, value from treehouse.model_metrics "
        "where metric = 'deviance' and version = 3 order by all"
    ) == [("baseline: BG/NBD + Gamma-Gamma", 2), ("model", 1)]
    assert house.query(
        "select gate, has_passed, was_forced from treehouse.model_gates "
        "where version = 3 and not has_passed"
    ) == [("training set", False, True)]


@ON_EMBEDDED
def test_a_version_of_an_older_contract_is_promoted_with_a_notice(house: House) -> None:
    house.publish(2)
    house.engine.client.command(
        "alter table treehouse_registry.versions update contract = 'older' where version = 1 "
        "settings mutations_sync = 1"
    )
    said = cli(house, "promote", USE_CASE, "1")
    assert "was trained for an older contract" in said["notice"]
    assert house.answer() is None, "the functions of the present contract do not ask it"
    status = cli(house, "status")
    mine = next(m for m in status["models"] if m["model"] == USE_CASE)
    assert (mine["champion"], mine["fits_contract"]) == (1, False)
