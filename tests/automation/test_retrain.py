"""Retraining: the whole way, what is due, and every way in which it can stop half way."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from typer.testing import CliRunner

from tests.automation.conftest import NAME, Shop
from tests.conftest import TARGETS
from treehouse.cli.main import app
from treehouse.clickhouse.dbt import DbtRun
from treehouse.fit import train as fitting
from treehouse.monitor.state import Finding, ensure_monitoring, record
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings
from treehouse.retrain import run as retraining
from treehouse.retrain.log import running
from treehouse.retrain.run import Cause, Result, cron_line, retrain, steps, why_due
from treehouse.spec import load_spec
from treehouse.spec.gates import Gates

# What happens in Python alone is the same on every engine.
EMBEDDED = pytest.mark.parametrize("engine", TARGETS[:1], indirect=True)
STEPS = ("features", "training set", "fit", "publish", "promote", "decisions")


@pytest.fixture
def quick(answering: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop whose first version answers, and where dbt and the fit have nothing left to do."""
    monkeypatch.setattr(retraining, "build", lambda *_: DbtRun({"success": 1}, []))
    monkeypatch.setattr(fitting, "train", lambda *_: None)
    return answering


def cli(shop: Shop, *arguments: str) -> tuple[int, Any]:
    """Exit code and JSON of a command."""
    words = ["--target", shop.engine.target, *arguments, "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


def test_the_whole_way_from_purchases_to_decisions(shop: Shop, first: Result) -> None:
    assert (first.outcome, first.version, first.step) == ("promoted", 1, "decisions"), first.detail
    assert shop.champion() == 1
    run = shop.run()
    assert (run["outcome"], run["version"], run["trigger"]) == ("promoted", 1, "first")
    assert run["finished_at"] > run["started_at"]
    entered = shop.query(
        "select step from treehouse_registry.run_steps where step != 'start' and outcome = '' "
        "group by step order by min(at)"
    )
    assert [step for (step,) in entered] == list(STEPS)
    decided = "select count(), uniqExact(model_version) from treehouse.purchase_value_decisions"
    assert shop.query(decided)[0] == (
        shop.query("select uniq(customer_id) from treehouse_raw.purchases")[0][0],
        1,
    )
    promotions = "select reason from treehouse_registry.events where action = 'promote' order by at"
    assert shop.query(promotions)[:1] == [("retrained: nothing is published yet",)]


def test_nothing_happens_where_nothing_is_due(answering: Shop) -> None:
    before = answering.query("select count() from treehouse_registry.run_steps")
    assert cli(answering, "retrain", NAME, "--due") == (0, [Result(NAME, "not due").__dict__])
    assert answering.query("select count() from treehouse_registry.run_steps") == before


def test_a_dry_run_says_what_and_why(answering: Shop) -> None:
    code, (planned,) = cli(answering, "retrain", NAME, "--dry-run")
    assert (code, planned["outcome"], planned["reason"]) == (0, "would run", "asked for")
    assert planned["steps"] == list(STEPS)
    unpromoted = replace(answering.spec, retrain=replace(answering.spec.retrain, promote=False))
    assert [name for name, _ in steps(unpromoted)] == list(STEPS[:4])
    assert answering.champion() == 1


def due(shop: Shop, **policy: Any) -> Cause | None:
    """Why the shop's model is due under another policy."""
    spec = replace(shop.spec, retrain=replace(shop.spec.retrain, **policy))
    return why_due(shop.engine.client, shop.engine.settings, spec)


def test_age_makes_it_due(answering: Shop) -> None:
    assert due(answering, max_age_days=1.0) is None
    found = due(answering, max_age_days=-1.0)
    assert found is not None
    assert found.trigger == "age"
    assert found.reason == "version 1 is 0 days old; the spec allows -1"


def test_drift_of_the_version_makes_it_due(answering: Shop) -> None:
    client, settings = answering.engine.client, answering.engine.settings
    ensure_monitoring(client, settings)
    newest = int(answering.query("select max(version) from treehouse_registry.versions")[0][0])
    drifted = Finding(NAME, newest, "drift", "visits_1m", "error", 0.4, 0.2, "index 0.4")
    record(client, settings, [(replace(drifted, version=newest - 1), "open")])
    record(client, settings, [(replace(drifted, kind="freshness"), "open")])
    assert due(answering) is None, "an older version's, and one that no fit mends"
    record(client, settings, [(drifted, "seen")])
    assert due(answering) == Cause("drift", "drift of visits_1m: index 0.4")
    assert due(answering, on_drift=False) is None
    record(client, settings, [(drifted, "resolve")])
    assert due(answering) is None


@EMBEDDED
def test_what_is_new_or_has_another_contract_is_due(
    answering: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retraining, "versions", lambda *_: [])
    assert due(answering) == Cause("first", "nothing is published yet")

    class Old:
        fits_contract = False

    monkeypatch.setattr(retraining, "versions", lambda *_: [Old()])
    found = due(answering)
    assert found is not None
    assert found.trigger == "contract"


def test_without_new_rows_nothing_is_fitted(quick: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "train", lambda *_: pytest.fail("fitted"))
    result = quick.retrain(Cause("age", "old"))
    assert (result.outcome, result.step, result.version) == ("unchanged", "training set", 0)
    assert result.detail == "0 new training rows of 1 wanted"
    assert quick.run()["outcome"] == "unchanged"


def test_a_person_promotes_where_the_spec_says_so(quick: Shop) -> None:
    before = quick.champion()
    result = quick.retrain(promote=False)
    assert (result.outcome, result.step) == ("published", "publish")
    assert result.version > before == quick.champion()


@EMBEDDED
def test_another_promotion_in_the_meantime_stands(
    quick: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, answers = quick.champion(), iter([7, 8])
    monkeypatch.setattr(retraining, "_champion", lambda *_: next(answers))
    result = quick.retrain()
    assert (result.outcome, result.step) == ("published", "promote")
    assert quick.champion() == before


def breaks(error: Exception) -> Any:
    """A function that fails with the error."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@EMBEDDED
@pytest.mark.parametrize("step", STEPS)
def test_a_failed_step_leaves_the_champion_and_says_which(
    quick: Shop, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, error = quick.champion(), DatabaseError("No space left, Stack trace: long")
    at = {"features": 0, "training set": 1, "decisions": 2}
    if step in at:
        builds = iter([DbtRun({}, [])] * at[step])

        def build(*_: Any) -> DbtRun:
            if (done := next(builds, None)) is None:
                raise error
            return done

        monkeypatch.setattr(retraining, "build", build)
    elif step == "fit":
        monkeypatch.setattr(fitting, "train", breaks(error))
    else:
        monkeypatch.setattr(retraining, step, breaks(error))
    result = quick.retrain()
    assert (result.outcome, result.step) == ("failed", step)
    assert result.detail == "No space left"
    run = quick.run()
    assert (run["outcome"], run["step"], run["detail"]) == ("failed", step, "No space left")
    assert quick.champion() == (result.version if step == "decisions" else before)
    with running(quick.engine.client, quick.engine.settings, NAME, "hand", "it is free") as run:
        run.end("unchanged")


def test_a_gate_refuses(quick: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    before = quick.champion()
    strict = replace(quick.spec, gates=Gates(size_bytes=1, row_us=1e6, call_ms=1e6))
    monkeypatch.setattr("treehouse.registry.publish.load_spec", lambda _: strict)
    result = quick.retrain()
    assert (result.outcome, result.step, result.version) == ("refused", "publish", 0)
    assert "size: " in result.detail
    assert quick.champion() == before
    assert quick.run()["outcome"] == "refused"


@EMBEDDED
def test_a_bug_is_in_the_log_and_raised(quick: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "train", breaks(ZeroDivisionError("bug")))
    with pytest.raises(ZeroDivisionError):
        quick.retrain()
    run = quick.run()
    assert (run["outcome"], run["step"], run["detail"]) == (
        "failed",
        "fit",
        "ZeroDivisionError: bug",
    )


@EMBEDDED
def test_an_interruption_is_in_the_log(quick: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "train", breaks(KeyboardInterrupt()))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        quick.retrain()
    assert quick.run()["detail"].startswith("KeyboardInterrupt")


def test_commands_tell_what_failed(quick: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "train", breaks(TreehouseError("No rows.", fix="load some")))
    code, (result,) = cli(quick, "retrain", NAME)
    assert (code, result["outcome"], result["step"]) == (1, "failed", "fit")
    shown = CliRunner().invoke(app, ["--target", quick.engine.target, "retrain", NAME])
    assert shown.exit_code == 1
    assert "failed at the step 'fit'; the champion stays as it was" in shown.output
    assert "load some" in shown.output
    code, runs = cli(quick, "runs", NAME)
    assert (code, runs[0]["outcome"], runs[0]["step"]) == (0, "failed", "fit")
    assert [run["run"] for run in runs] == sorted((r["run"] for r in runs), reverse=True)
    listed = CliRunner().invoke(app, ["--target", quick.engine.target, "runs"])
    assert "No rows." in listed.output


def test_a_model_or_all_of_them_must_be_named() -> None:
    found = CliRunner().invoke(app, ["retrain"])
    assert isinstance(found.exception, TreehouseError)
    assert "--all" in str(found.exception)


def test_a_line_for_cron(tmp_path: Any) -> None:
    settings = Settings(home=tmp_path / "a 50% home", target="server")
    line = cron_line(settings, load_spec(NAME))
    assert line.startswith("0 4 * * * cd ")
    assert r"a 50\% home'" in line
    assert line.endswith(" ./treehouse --target server retrain purchase_value --due")
    printed = CliRunner().invoke(app, ["retrain", "--cron"]).output.splitlines()
    assert len(printed) == len({words.split()[-2] for words in printed}) > 1


@EMBEDDED
def test_a_second_run_is_told_who_is_at_it(quick: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(*_: Any) -> None:
        client, settings = quick.engine.client, quick.engine.settings
        found = retrain(client, settings, quick.spec, quiet=True)
        assert found.outcome == "busy"
        assert "Only one at a time: retrain" in found.detail
        raise TreehouseError("enough")

    monkeypatch.setattr(fitting, "train", meanwhile)
    assert quick.retrain().detail == "enough"
