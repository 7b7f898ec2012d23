"""Runs of the monitor on a model that was published for real, on each engine."""

from __future__ import annotations

import json
import re

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from typer.testing import CliRunner, Result

from tests.monitor.conftest import ARGUMENTS, DRIFT, FEATURES, MOVED, TRAINING_SET, Watched, rows
from tests.support.small_bundle import USE_CASE
from treehouse.cli.main import app
from treehouse.monitor.prometheus import read_metrics
from treehouse.project.errors import TreehouseError
from treehouse.report.explain import explain


def test_a_usual_window_is_quiet(watched: Watched) -> None:
    checked = watched.check()
    assert (checked.version, checked.note, checked.findings, checked.alerts) == (1, "", (), ())
    health = checked.measured["health"][0]
    assert (health["rows"], health["usual_rows"]) == (392, 392)
    assert len(checked.measured["drift"]) == 20
    assert not checked.has_open_error


def test_half_a_deviation_in_one_feature_is_found_and_told_once(watched: Watched) -> None:
    watched.drifted()
    first, second = watched.check(), watched.check()
    assert tuple(f.alert for f in first.findings) == MOVED
    said, why = (finding.detail for finding in first.findings)
    assert re.match(r"the answers are 5\d\s% higher \(\$\d+\.\d\d\) on average, compared", said)
    assert re.match(r"higher than in the training by 0\.5\d? standard deviations; by it the", why)
    assert (first.raised, second.raised) == (MOVED, ())
    assert first.has_open_error
    assert second.has_open_error
    assert watched.count("alert_events", "event = 'open'") == 2


def test_a_feature_that_the_answers_do_not_depend_on_is_no_alert(watched: Watched) -> None:
    """It is measured, and shown, all the same."""
    watched.drifted("amount_3m")
    checked = watched.check()
    (moved,) = [row for row in checked.measured["drift"] if row["name"] == "amount_3m"]
    assert moved["psi"] > 0.2
    assert moved["p_distribution"] < 0.01
    assert checked.findings == ()


def test_a_row_is_explained_in_the_unit_of_the_answer(watched: Watched) -> None:
    """The champion answers 2 * amount_1m, so by that feature alone, and without trees."""
    engine = watched.engine
    found = explain(engine.client, engine.settings, watched.spec, "7")
    ((amount_1m,),) = engine.client.query(
        f"select amount_1m from {FEATURES} where customer_id = '7'"
    ).result_rows
    first, *others = found.features
    assert (found.told, found.unit) == ("value", "usd")
    assert found.answer == pytest.approx(2 * amount_1m)
    assert found.usual == pytest.approx(20, rel=0.2)
    assert (first["feature"], first["margin"]) == ("amount_1m", None)
    assert first["effect"] == pytest.approx(found.answer - found.usual)
    assert {f["effect"] for f in others} == {0.0}
    shown = CliRunner().invoke(app, ["--target", engine.target, "explain", USE_CASE, "7"])
    assert f"{USE_CASE} of 7: value ${found.answer:,.2f}; with the features of" in shown.stdout
    assert re.search(r"amount_1m +[\d.]+ +\$[\d.]+ (higher|lower)", shown.stdout)
    assert "no other" in shown.stdout
    with pytest.raises(TreehouseError, match="has no such row"):
        explain(engine.client, engine.settings, watched.spec, "nobody")


def test_labels_that_turn_out_otherwise_are_found(watched: Watched) -> None:
    """The cohorts are those that no fit has seen; labels of the newest are half of the answers."""
    before = watched.check().measured["quality"]
    assert max(row["loss"] for row in before) == pytest.approx(0, abs=1e-9)
    assert before[0]["calibration"] == pytest.approx(1)
    fewer = rows(400, 8, "toDate('2021-01-01')", 20)
    client = watched.engine.client
    client.command(f"insert into {TRAINING_SET} select *, amount_1m, 'test' from ({fewer})")
    checked = watched.check()
    client.command(
        f"alter table {TRAINING_SET} delete where as_of > '2020-12-31' settings mutations_sync = 1"
    )
    newest = max(checked.measured["quality"], key=lambda row: row["cohort_to"])
    assert newest["calibration"] == pytest.approx(2)
    assert {(f.kind, f.name) for f in checked.findings} >= {("quality", "calibration")}


def test_metrics_are_prometheus_text(watched: Watched) -> None:
    watched.drifted()
    watched.check()
    text = read_metrics(watched.engine.client, watched.engine.settings)
    assert f'treehouse_window_rows{{model="{USE_CASE}"}} 392\n' in text
    assert 'treehouse_alert{kind="drift",model="purchase_value",name="amount_1m",' in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) > 5


def test_the_views_show_the_last_run(watched: Watched) -> None:
    watched.drifted()
    watched.check()
    client = watched.engine.client
    row = next(iter(client.query("select * from treehouse.model_health").named_results()))
    assert (row["model"], row["version"], row["open_errors"]) == (USE_CASE, 1, 2)
    assert row["largest_psi"] > 0.2
    assert len(client.query("select * from treehouse.model_drift").result_rows) == 20


def test_calls_are_counted_where_the_engine_keeps_a_log(watched: Watched) -> None:
    """Where there is none, the view is there, and empty."""
    client = watched.engine.client
    client.query(f"select sum(predict_{USE_CASE}({ARGUMENTS})) from {FEATURES}")
    with pytest.raises(DatabaseError):
        client.query(f"select predict_{USE_CASE}({ARGUMENTS}, 'too many') from {FEATURES}")
    with pytest.raises(DatabaseError):
        client.query(f"select throwIf(predict_{USE_CASE}({ARGUMENTS}) > 0) from {FEATURES}")
    client.command("system flush logs")
    serving = f"select * from treehouse.model_serving where model = '{USE_CASE}'"
    rows_ = list(client.query(serving).named_results())
    logged = client.query(
        "select count() from system.tables where database = 'system' and name = 'query_log'"
    ).result_rows[0][0]
    assert bool(rows_) == bool(logged)
    for row in rows_:
        assert row["calls"] > row["failures"] > 0
        assert row["refused"] > 0
        assert row["p50_ms"] <= row["p99_ms"]


def test_the_command_fails_while_an_error_is_open(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, which holds the engine."""
    monkeypatch.delenv("TREEHOUSE_WEBHOOK", raising=False)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["--target", watched.engine.target, *arguments])

    quiet = run("monitor", USE_CASE)
    assert quiet.exit_code == 0, quiet.output
    watched.drifted()
    shown = run("monitor", USE_CASE)
    assert shown.exit_code == 1
    for part in ("amount_1m", "↑ +0.5", "error", DRIFT, "./treehouse retrain"):
        assert part in shown.stdout
    found = json.loads(run("monitor", USE_CASE, "--json").stdout)
    assert [alert["state"] for alert in found["models"][0]["alerts"]] == ["open", "open"]
    in_a_line = run("alerts", "list").stdout.splitlines()[1]
    assert in_a_line.startswith(f"{USE_CASE} ")
    assert "also amount_1m" in in_a_line
    assert set(MOVED) <= set(run("alerts", "list", "--each").stdout.split())
    for alert in MOVED:
        assert run("alerts", "ack", alert, "--reason", "a sale").exit_code == 0
    assert run("monitor", USE_CASE).exit_code == 0
    assert "acknowledged" in run("alerts", "list").stdout
    for alert in MOVED:
        assert run("alerts", "resolve", alert).exit_code == 0
    assert run("alerts", "list").stdout == "No alerts.\n"
    assert "resolved" in run("alerts", "list", "--all").stdout
    assert "treehouse_window_rows" in run("metrics").stdout
