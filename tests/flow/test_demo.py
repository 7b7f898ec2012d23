"""The whole way as a user walks it: one demo on each target, looked at from all sides.

On the server it has one use case, with --exhaustive all of them: tests/conformance takes each of
them the whole way there.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import TARGETS, Cli
from tests.support.cleaning import drop_everything, forget_queries
from tests.support.some import some
from treehouse.spec import specs

pytestmark = [pytest.mark.slow, pytest.mark.both]

USE_CASES = set(specs())
ON_SERVER = ("ltv",)
PURCHASES, CUSTOMERS, USERS = 69_659, 23_570, 3_000


@dataclass(frozen=True)
class Demo:
    """A target on which the demo ran once.

    Attributes:
        target: Embedded or server.
        result: What it printed.
        run: Further commands on the same target and home folder; their standard output.
        elapsed: Seconds that the first run took, from outside.
    """

    target: str
    result: dict[str, Any]
    run: Callable[..., str]
    elapsed: float

    def json(self, *arguments: str) -> Any:
        """A command's answer with --json."""
        return json.loads(self.run(*arguments, "--json"))

    @property
    def use_cases(self) -> set[str]:
        """Those that it was run for."""
        return set(self.result["models"])

    def one(self, sql: str) -> Any:
        """The only value of a query."""
        (row,) = self.json("sql", sql)
        (value,) = row.values()
        return value


#: What is the same on a server.
ON_EMBEDDED = pytest.mark.parametrize("demo", TARGETS[:1], indirect=True)


@pytest.fixture(
    scope="module",
    params=TARGETS,
)
def demo(
    request: pytest.FixtureRequest, run_cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> Demo:
    """Each target with the demo's first run on it."""
    target: str = request.param
    only: tuple[str, ...] = ()
    if target == "server":
        only = () if request.config.getoption("--exhaustive") else ON_SERVER
        server = request.getfixturevalue("server")
        drop_everything(server.client)
        if server.admin:
            forget_queries(server.admin)
    home = tmp_path_factory.mktemp("demo") / "home"

    def run(*arguments: str) -> str:
        done = run_cli(*arguments, target=target, home=home)
        assert "Traceback" not in done.stderr
        return done.stdout

    chosen = [word for name in only for word in ("--only", name)]
    started = time.monotonic()
    result = json.loads(run("demo", "--users", str(USERS), *chosen, "--json"))
    assert set(result["models"]) == set(only or specs())
    return Demo(target, result, run, time.monotonic() - started)


def test_its_json_says_what_was_done(demo: Demo) -> None:
    assert demo.result["target"] == demo.target
    seconds, rows = demo.result["seconds"], demo.result["rows"]
    assert {"build features", "build decisions"} < set(seconds)
    steps = {f"{step} {name}" for step in ("train", "publish") for name in demo.use_cases}
    assert steps < set(seconds)
    assert all(seconds[f"train {name}"] > 0 for name in some(demo.use_cases))
    assert sum(seconds.values()) <= demo.elapsed
    if "purchase_value" in demo.use_cases:
        assert (rows["purchases"], rows["purchases_quarantined"]) == (PURCHASES, 0)
        assert rows["purchase_value_decisions"] == CUSTOMERS
    assert rows["installs"] == USERS
    assert rows["events"] > 10 * USERS
    assert set(demo.result["top"]) == demo.use_cases
    assert all(len(rows) == 10 for rows in some(demo.result["top"].values()))


@ON_EMBEDDED
@pytest.mark.parametrize("name", sorted(USE_CASES))
def test_every_model_is_measured_against_its_baselines(demo: Demo, name: str) -> None:
    model = demo.result["models"][name]
    assert model["version"] == 1
    assert model["parity"]["different"] == 0
    assert model["parity"]["answers"] >= 1000
    measure = {"classes": "cost", "probability": "log_loss"}.get(model["task"])
    if measure:
        assert model["model"][measure] < min(row[measure] for row in model["baselines"].values())
        return
    if model["task"] == "sequence":  # without PyTorch the model is itself a Markov chain
        assert model["model"]["recall_5"] > model["baselines"]["popularity"]["recall_5"]
        return
    assert len(model["model"]["deciles"]) == 10
    assert {"mae", "rmse", "gini", "mape_payers", "zero_share"} < set(model["model"])
    assert len(model["baselines"]) >= 3
    assert all({"mae", "rmse", "gini"} < set(row) for row in some(model["baselines"].values()))
    assert 0.8 < model["interval"]["coverage"] <= 1
    assert model["interval"]["target"] == 0.9
    assert ("best_possible" in model) == (name == "ltv")


@ON_EMBEDDED
def test_the_purchase_model_beats_its_baselines(demo: Demo) -> None:
    beats = demo.result["models"]["purchase_value"]["beats"]
    assert "BG/NBD + Gamma-Gamma" in beats
    assert all(won["gini"] and won["mae of typical"] for won in some(beats.values())), beats


def test_decisions_are_answered_by_the_promoted_version(demo: Demo) -> None:
    best = {}
    for name in demo.use_cases:
        assert demo.result["rows"][f"{name}_decisions"] > 0
        top = demo.result["top"][name][0]
        column = next(key for key in top if key.startswith("predicted"))
        best[name] = (column, top[column])
    (found,) = demo.json(
        "sql",
        "select " + ", ".join(
            f"(select (groupUniqArray(model_version), max({column})) from treehouse.{name}_scores) "
            f"as {name}" for name, (column, _) in best.items()
        ),
    )  # fmt: skip
    assert found == {name: [[1], pytest.approx(value)] for name, (_, value) in best.items()}


@ON_EMBEDDED
def test_sql_answers_as_table_json_and_any_format(demo: Demo) -> None:
    query = (
        "select customer_id, value_tier from treehouse.purchase_value_decisions "
        "order by customer_id limit 3"
    )
    rows = demo.json("sql", query)
    assert len(rows) == 3
    assert set(rows[0]) == {"customer_id", "value_tier"}
    table = demo.run("sql", query).splitlines()
    assert table[0].split() == ["customer_id", "value_tier"]
    assert [line.split() for line in table[1:]] == [list(row.values()) for row in rows]
    text = demo.run("sql", query, "--format", "CSVWithNames")
    assert list(csv.DictReader(text.splitlines())) == rows
    assert demo.run("sql", f"{query} format CSVWithNames;") == text


def test_status_and_models_say_who_answers(demo: Demo) -> None:
    status = demo.json("status")
    assert (status["target"], status["quarantined"]) == (demo.target, 0)
    there = {name: demo.result["rows"].get(name, 0) for name in ("events", "installs", "purchases")}
    assert {row["source"]: row["rows"] for row in status["sources"]} == there
    assert [
        (row["model"], row["versions"], row["champion"], row["fits_contract"])
        for row in status["models"]
        if row["model"] in demo.use_cases
    ] == [(name, 1, 1, True) for name in sorted(demo.use_cases)]
    listed = demo.json("models")
    assert [(row["model"], row["version"], row["is_champion"]) for row in listed] == [
        (name, 1, True) for name in sorted(demo.use_cases)
    ]
    for row in listed:
        assert row["metrics"]["model"] == demo.result["models"][row["model"]]["model"]
    for command in ("status", "models"):
        assert "ltv" in demo.run(command)


def test_the_doctor_finds_nothing_to_mend(demo: Demo) -> None:
    checks = demo.json("doctor")
    assert not [check for check in checks if check["status"] == "fail"]
    assert {"registry", "treehouse_score()", "model files"} <= {check["name"] for check in checks}


@ON_EMBEDDED
def test_build_can_be_repeated(demo: Demo) -> None:
    counts = demo.json("build", "--select", "purchase_value_scores+")
    assert set(counts) <= {"success", "pass", "warn"}
    assert counts["success"] >= 2


@ON_EMBEDDED
def test_rollback_and_promote_reach_the_scores(demo: Demo) -> None:
    scored = "select count(predicted_value_usd) as n from treehouse.purchase_value_scores"
    assert demo.json("rollback", "purchase_value") == {"model": "purchase_value", "champion": 0}
    assert demo.one(scored) == 0
    assert demo.json("promote", "purchase_value", "1")["champion"] == 1
    assert demo.one(scored) == CUSTOMERS


@ON_EMBEDDED
def test_a_second_run_doubles_nothing_and_gives_version_2(demo: Demo) -> None:
    again = json.loads(demo.run("demo", "--users", str(USERS), "--only", "ltv", "--json"))
    assert set(again["models"]) == {"ltv"}
    assert again["models"]["ltv"]["version"] == 2
    for table, count in some(again["rows"].items()):
        assert demo.result["rows"][table] == count, table
    assert demo.one("select count() from treehouse_raw.purchases") == PURCHASES
    champions = {row["model"]: row["champion"] for row in demo.json("status")["models"]}
    assert champions == dict.fromkeys(USE_CASES, 1) | {"ltv": 2}


@ON_EMBEDDED
def test_purchases_are_not_loaded_twice(demo: Demo) -> None:
    from treehouse.ingest.cdnow import find_cdnow

    report = demo.json(
        "load", "purchases", str(find_cdnow()), "--format", "words",
        "--map", "number_of_cds=quantity", "--map", "dollar_value=amount_usd",
    )  # fmt: skip
    assert (report["loaded"], report["duplicate"]) == (0, PURCHASES)


def test_fresh_starts_over_and_ends_with_a_summary_for_people(demo: Demo) -> None:
    shown = demo.run("demo", "--fresh", "--yes", "--only", "ltv", "--users", "2500")
    for part in ("was off by $", "the best simple rule", "what each tenth brought", "Try next:"):
        assert part in shown
    assert len(shown.splitlines()) <= 24
    assert "report ltv --open" in shown
    assert demo.json("models")[0]["version"] == 1
    rows = {row["source"]: row["rows"] for row in demo.json("status")["sources"]}
    assert (rows["installs"], rows["purchases"]) == (2500, 0)


@ON_EMBEDDED
def test_train_can_publish_and_promote(demo: Demo) -> None:
    before = demo.json("models", "ltv")[0]["version"]
    assert f"Version {before + 1} of ltv answers now." in demo.run("train", "ltv", "--promote")
    assert demo.json("models", "ltv")[0]["is_champion"]
