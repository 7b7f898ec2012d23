"""Experiments on each engine: assignment, exposures, results, and everything that can go wrong."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from scipy import stats
from statsmodels.stats.power import NormalIndPower
from typer.testing import CliRunner

from tests.conftest import Engine
from tests.support.house import dbt
from tests.support.some import some
from treehouse.cli.main import app
from treehouse.clickhouse.client import run_script
from treehouse.experiments.definition import Definition
from treehouse.experiments.results import Results, read_results
from treehouse.experiments.state import experiments, expose, grow, start, stop
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import project_vars

_SCORES = {"relation": "treehouse.lab_scores", "unit": "player", "time": "at", "value": "score"}
_METRICS = {
    "score": _SCORES,
    "scored": _SCORES | {"kind": "rate"},
    "per_game": _SCORES | {"kind": "ratio", "denominator": "games"},
}


@dataclass(frozen=True)
class Lab:
    """An engine with the views of experiments over a table of scores."""

    engine: Engine

    def start(self, name: str, **changes: Any) -> Definition:
        definition = replace(Definition(name, metrics=("score",), pre_days=7), **changes)
        return start(self.engine.client, self.engine.settings, definition, "to see")

    def query(self, sql: str) -> list[Any]:
        return list(self.engine.client.query(sql).result_rows)

    def variants(self, name: str, units: str = "number", count: int = 100_000) -> dict[str, str]:
        """Unit to variant."""
        columns = f"toString({units}) as unit, variant('{name}', {units})"
        return dict(self.query(f"select {columns} from numbers({count})"))

    def expose(self, name: str, variants: dict[str, str], at: str = "now64(3)") -> None:
        rows = ", ".join(f"('{name}', '{unit}', '{v}', {at})" for unit, v in variants.items() if v)
        self.engine.client.command(f"insert into treehouse_registry.exposures values {rows}")

    def score(self, rows: list[tuple[str, str, float]], games: float = 1) -> None:
        """Scores of (player, time, score)."""
        values = ", ".join(f"('{who}', {at}, {score}, {games})" for who, at, score in rows)
        self.engine.client.command(f"insert into treehouse.lab_scores values {values}")

    def results(self, name: str) -> Results:
        return read_results(self.engine.client, self.engine.settings, name)

    def command(self, *arguments: str) -> dict[str, Any]:
        """What a command says with --json."""
        target = ("--target", self.engine.target)
        done = CliRunner().invoke(app, [*target, "experiment", *arguments, "--json"])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def lab(fresh: Engine) -> Iterator[Lab]:
    run_script(
        fresh.client,
        [
            "create database if not exists treehouse engine = Atomic",
            "create table treehouse.lab_scores (player String, at DateTime64(3, 'UTC'), "
            "score Nullable(Float64), games Float64) engine = MergeTree order by player",
        ],
    )
    variables = json.dumps({"experiment_metrics": _METRICS})
    apart = str(fresh.settings.home / "dbt" / f"lab-{fresh.target}")  # another var, another parse
    select = ("--select", "path:models/experiments", "--vars", variables)
    dbt(fresh.settings, "run", *select, "--target-path", apart)
    with pytest.MonkeyPatch.context() as patch:
        known = project_vars() | {"experiment_metrics": _METRICS}
        patch.setattr("treehouse.experiments.definition.project_vars", lambda: known)
        patch.setattr("treehouse.experiments.plan.project_vars", lambda: known)
        yield Lab(fresh)


# Assignment


def sip_hash(message: bytes) -> int:
    """SipHash-2-4 with a zero key, from the paper (Aumasson and Bernstein 2012)."""
    mask = 2**64 - 1

    def left(value: int, by: int) -> int:
        return (value << by | value >> (64 - by)) & mask

    def rounds(v: list[int], count: int) -> None:
        for _ in range(count):
            v[0] = (v[0] + v[1]) & mask
            v[2] = (v[2] + v[3]) & mask
            v[1], v[3] = left(v[1], 13) ^ v[0], left(v[3], 16) ^ v[2]
            v[0] = left(v[0], 32)
            v[2] = (v[2] + v[1]) & mask
            v[0] = (v[0] + v[3]) & mask
            v[1], v[3] = left(v[1], 17) ^ v[2], left(v[3], 21) ^ v[0]
            v[2] = left(v[2], 32)

    v = [0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573]
    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) % 256])
    for i in range(0, len(padded), 8):
        word = int.from_bytes(padded[i : i + 8], "little")
        v[3] ^= word
        rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def test_assignment_is_uniform_and_anybody_can_compute_it(lab: Lab) -> None:
    lab.start("uniform", variants=("a", "b", "c"), weights=(0.5, 0.3, 0.2), share=0.4)
    found = lab.variants("uniform")
    counts = [sum(v == name for v in found.values()) for name in ("", "a", "b", "c")]
    expected = [60_000, 20_000, 12_000, 8_000]
    assert stats.chisquare(counts, expected).pvalue > 1e-3
    for unit in ("0", "1", "17", "99999", "12345"):
        bits = sip_hash(f"uniform:{unit}".encode())
        taken = (bits >> 32) / 2**32 < 0.4
        place = (bits & (2**32 - 1)) / 2**32
        name = "a" if place < 0.5 else "b" if place < 0.8 else "c"
        assert found[unit] == (name if taken else "")


def test_a_growing_share_moves_nobody(lab: Lab) -> None:
    lab.start("growing", share=0.1)
    seen = lab.variants("growing")
    for share in (0.3, 0.7, 1.0):
        grow(lab.engine.client, lab.engine.settings, "growing", share)
        now = lab.variants("growing")
        assert {unit: now[unit] for unit, v in seen.items() if v} == {
            unit: v for unit, v in seen.items() if v
        }
        assert abs(sum(map(bool, now.values())) / len(now) - share) < 0.01
        seen = now
    assert all(variant for variant in some(seen.values()))
    for share in (0.5, 1.0, 1.5):
        with pytest.raises(TreehouseError, match="can only grow"):
            grow(lab.engine.client, lab.engine.settings, "growing", share)


def test_experiments_are_independent_of_each_other(lab: Lab) -> None:
    lab.start("one", share=0.5)
    lab.start("other", share=0.5)
    one, other = lab.variants("one"), lab.variants("other")
    names = ("", "control", "treatment")
    table = [[sum(one[u] == a and other[u] == b for u in one) for b in names] for a in names]
    assert stats.chi2_contingency(table).pvalue > 1e-3
    lab.start("same_salt", share=0.5, salt="one")
    assert lab.variants("same_salt") == one


def test_any_type_of_unit_is_its_text(lab: Lab) -> None:
    lab.start("types")
    wanted = lab.variants("types", count=50)
    for cast in (
        "toString(number)", "toUInt8(number)", "toInt64(number)", "toNullable(number)",
        "toLowCardinality(toString(number))", "toDecimal64(number, 0)",
    ):  # fmt: skip
        assert lab.variants("types", cast, 50) == wanted, cast
    unit = str(uuid.UUID(int=7))
    assert len(set(lab.query(f"select variant('types', x) from values('x UUID', '{unit}') "
                             f"union all select variant('types', '{unit}')"))) == 1  # fmt: skip
    rows = lab.query("select variant('types', null), variant('types', '')")
    assert rows == [("", "")]


def test_an_unknown_experiment_is_an_error_when_asked_not_in_a_view(lab: Lab) -> None:
    client = lab.engine.client
    client.command("create view treehouse.lab_later as select variant('later', number) as v "
                   "from numbers(20)")  # fmt: skip
    for sql in ("select variant('later', 1)", "select * from treehouse.lab_later"):
        with pytest.raises(ClickHouseError, match="There is no such experiment"):
            lab.query(sql)
    lab.start("later")
    assert set(lab.query("select v from treehouse.lab_later")) == {("control",), ("treatment",)}
    stop(client, lab.engine.settings, "later")
    assert set(lab.query("select v from treehouse.lab_later")) == {("",)}


# State


def test_starts_and_stops_are_kept_with_who_and_why(lab: Lab) -> None:
    client, settings = lab.engine.client, lab.engine.settings
    lab.start("history", share=0.5, description="bigger button")
    grow(client, settings, "history", 0.75, "looks fine")
    stop(client, settings, "history", "no 'effect'")
    rows = lab.query(
        "select action, share, reason, actor != '' from treehouse_registry.experiments "
        "where experiment = 'history' order by at"
    )
    assert rows == [
        ("start", 0.5, "to see", True), ("grow", 0.75, "looks fine", True),
        ("stop", 0.75, "no 'effect'", True),
    ]  # fmt: skip
    listed = next(row for row in experiments(client, settings) if row["experiment"] == "history")
    assert listed["state"] == "stopped"
    assert set(lab.variants("history", count=100).values()) == {""}
    for again in (stop, lambda *a: grow(*a, 1.0)):
        with pytest.raises(TreehouseError, match="was stopped"):
            again(client, settings, "history")
    with pytest.raises(TreehouseError, match="of this name before"):
        lab.start("history")
    with pytest.raises(TreehouseError) as unknown:
        stop(client, settings, "histroy")
    assert unknown.value.fix == "did you mean history?"


def test_what_is_refused_leaves_no_row(lab: Lab) -> None:
    before = lab.query("select count() from treehouse_registry.experiments")
    for changes in (
        {"variants": ("control",)}, {"weights": (0.5, 0.6)}, {"metrics": ("nope",)},
        {"model": "ltv", "versions": (0, 7)},
    ):  # fmt: skip
        with pytest.raises(TreehouseError):
            lab.start("refused", **changes)
    assert lab.query("select count() from treehouse_registry.experiments") == before


# Results


@pytest.fixture(scope="module")
def played(lab: Lab) -> dict[str, list[float]]:
    """An experiment of 400 players, most of whom score after it and some before; by variant."""
    lab.start("game", metrics=("score", "scored", "per_game"))
    random = np.random.default_rng(11)
    variants = lab.variants("game", "concat('p', toString(number))", 400)
    lab.expose("game", variants)
    outcomes: dict[str, list[float]] = {"control": [], "treatment": []}
    rows = []
    for player, variant in variants.items():
        past = float(random.gamma(2, 5))
        total = 0.0
        if random.random() < 0.8:
            for _ in range(2):
                score = float(past / 2 + random.gamma(1, 2) + 2 * (variant == "treatment"))
                rows.append((player, "now64(3) + interval 1 hour", score))
                total += score
        outcomes[variant].append(total)
        rows.append((player, "now64(3) - interval 2 day", past))
        rows.append((player, "now64(3) - interval 30 day", 1e6))  # too long ago
    lab.score(rows)
    return outcomes


def test_results_are_scipys_over_what_came_after_the_exposure(
    lab: Lab, played: dict[str, list[float]]
) -> None:
    treated, control = played["treatment"], played["control"]
    welch = stats.ttest_ind(treated, control, equal_var=False)
    low, high = welch.confidence_interval()
    rows = lab.results("game").rows
    found = {(row["metric"], row["variant"], row["estimate"]): row for row in rows}
    row = found["score", "treatment", "unadjusted"]
    for column, value in {
        "units": len(treated), "mean": np.mean(treated), "p_value": welch.pvalue,
        "difference_low": low, "difference_high": high,
        "lift": np.mean(treated) / np.mean(control) - 1,
    }.items():  # fmt: skip
        np.testing.assert_allclose(row[column], value, rtol=1e-9, err_msg=column)
    assert found["score", "treatment", "cuped"]["standard_error"] < row["standard_error"]
    rate = found["scored", "treatment", "unadjusted"]
    assert rate["mean"] == np.mean(np.array(treated) > 0)
    assert 0 <= rate["proportions_z_p_value"] <= 1
    assert found["per_game", "treatment", "unadjusted"]["mean"] == pytest.approx(
        np.sum(treated) / (2 * np.count_nonzero(treated))
    )


@pytest.fixture(scope="module")
def faulty(lab: Lab) -> dict[str, Results]:
    """Experiments in which something went wrong, read at once."""
    client, settings = lab.engine.client, lab.engine.settings
    halves = [("control", "treatment")[i % 2] for i in range(20)]

    def begin(name: str, **changes: Any) -> None:
        lab.start(name, **changes)
        lab.expose(name, {f"{name}{i}": variant for i, variant in enumerate(halves)})

    lab.start("empty")
    lab.start("half")
    lab.expose("half", {f"half{i}": "treatment" for i in range(10)})
    begin("flat")
    begin("twice")
    lab.expose("twice", {"twice0": "treatment", "twice1": "treatment"})  # twice1 as before
    lab.start("odd")
    lab.expose("odd", {"o1": "control", "o2": "treatment", "o3": "tretment"})
    lab.expose("odd", {"o4": "control"}, "now64(3) - interval 1 day")
    begin("nan")
    lab.score([(f"nan{i}", "now64(3)", float(i)) for i in range(20)])
    client.command(
        "insert into treehouse.lab_scores values ('nan1', now64(3), nan, 1), "
        "('nan3', now64(3), inf, 1), ('nan5', now64(3), null, 1)"
    )
    begin("stopped")
    lab.score([(f"stopped{i}", "now64(3)", float(i)) for i in range(20)])
    stop(client, settings, "stopped")
    lab.score([(f"stopped{i}", "now64(3) + interval 1 minute", 1000.0) for i in range(20)])
    lab.expose("stopped", {"late": "treatment"}, "now64(3) + interval 1 minute")
    begin("changed")
    columns = "experiment, salt, share, variants, metrics, direction, alpha, power, minimum_lift"
    client.command(
        f"insert into treehouse_registry.experiments (action, weights, planned_units, method, "
        f"{columns}) select 'grow', [0.9, 0.1], planned_units, method, {columns} "
        "from treehouse_registry.experiments where experiment = 'changed'"
    )
    lab.start("skewed", variants=("a", "b", "c"), weights=(0.5, 0.25, 0.25))
    counts = {"a": 100, "b": 60, "c": 90}
    units = [(f"skewed_{name}{i}", name) for name, count in counts.items() for i in range(count)]
    lab.expose("skewed", dict(units))
    lab.score([(unit, "now64(3)", float(i % 7)) for i, (unit, _) in enumerate(units)])
    rows = list(client.query("select * from treehouse.experiment_results").named_results())
    health = client.query("select * from treehouse.experiment_health").named_results()
    return {
        about["experiment"]: Results(
            about, [row for row in rows if row["experiment"] == about["experiment"]]
        )
        for about in health
    }


def treatment(results: Results) -> dict[str, Any]:
    return next(row for row in results.rows if row["variant"] == "treatment")


def test_nothing_after_the_stop_counts(faulty: dict[str, Results]) -> None:
    assert treatment(faulty["stopped"])["mean"] == 10
    assert faulty["stopped"].health["units_refused"] == 1


def test_nobody_was_exposed(faulty: dict[str, Results]) -> None:
    found = faulty["empty"]
    assert found.health["warnings"] == ["nobody was exposed yet"]
    assert found.health["srm_p_value"] is None
    assert {row["variant"]: (row["verdict"], row["mean"]) for row in found.rows} == {
        "control": ("no data", None),
        "treatment": ("no data", None),
    }
    assert found.verdicts == ["treatment: nobody saw it yet, or nothing to divide by."]


def test_one_variant_without_exposure(faulty: dict[str, Results]) -> None:
    assert {row["variant"]: row["verdict"] for row in faulty["half"].rows} == {
        "control": "no data",
        "treatment": "too few units",
    }


def test_units_in_two_variants_are_left_out_and_told(faulty: dict[str, Results]) -> None:
    found = faulty["twice"]
    assert found.health["units_by_variant"] == [9, 10]
    assert found.health["units_in_two_variants"] == 1
    assert found.health["warnings"] == ["1 units saw two variants and are left out"]
    assert sum(row["units"] for row in found.rows) == 19


def test_exposures_that_do_not_belong_are_told(faulty: dict[str, Results]) -> None:
    assert faulty["odd"].health["units"] == 2
    assert faulty["odd"].health["units_refused"] == 2
    assert "logged with an unknown variant" in faulty["odd"].health["warnings"][0]


def test_a_wrong_ratio_is_told_before_any_verdict(faulty: dict[str, Results]) -> None:
    found = faulty["skewed"]
    expected = stats.chisquare([100, 60, 90], [125, 62.5, 62.5])
    np.testing.assert_allclose(found.health["srm_statistic"], expected.statistic, rtol=1e-9)
    np.testing.assert_allclose(found.health["srm_p_value"], expected.pvalue, rtol=1e-9)
    assert found.health["warnings"][0].startswith("sample ratio mismatch")
    assert len(found.verdicts) == 2
    assert all("no verdict" in said for said in some(found.verdicts))


def test_outcomes_that_are_no_numbers_are_left_out_and_counted(faulty: dict[str, Results]) -> None:
    row = treatment(faulty["nan"])
    assert row["mean"] == np.mean(range(1, 20, 2))
    assert row["outcomes_not_finite"] == 2


def test_no_variance_is_no_error(faulty: dict[str, Results]) -> None:
    assert treatment(faulty["flat"])["verdict"] == "no variance"


def test_a_definition_changed_by_hand_is_told(faulty: dict[str, Results]) -> None:
    assert "the definition was changed after the start" in faulty["changed"].health["warnings"]
    assert not faulty["flat"].health["was_changed"]


# Commands


def test_a_whole_experiment_from_the_command_line(lab: Lab, tmp_path: Path) -> None:
    lab.engine.client.command(
        "create or replace table treehouse.lab_players engine = MergeTree order by id as "
        "select number as id from numbers(3000)"
    )
    path = tmp_path / "cli.yml"
    path.write_text("metrics: [score]\nshare: 0.2\nplanned_units: 900\n")
    started = lab.command(
        "start", "cli", "--file", str(path), "--share", "0.3", "--variant", "old=0.5",
        "--variant", "new=0.5",
    )  # fmt: skip
    assert (started["share"], started["planned_units"]) == (0.3, 900)
    exposed = ("expose", "cli", "--from", "treehouse.lab_players", "--unit", "id")
    units = lab.command(*exposed)["units"]
    assert 800 < sum(units.values()) < 1000
    assert lab.command(*exposed)["units"] == units
    assert lab.command("grow", "cli", "--share", "0.5")["share"] == 0.5
    lab.engine.client.command(
        "insert into treehouse.lab_scores select toString(id), now64(3), "
        "id % 5 + (variant('cli', id) = 'new'), 1 from treehouse.lab_players"
    )
    found = lab.command("results", "cli")
    assert found["verdicts"][0].startswith("new is better: score +")
    assert found["health"]["warnings"] == []
    assert {row["variant"] for row in found["results"]} == {"old", "new"}
    shown = CliRunner().invoke(app, ["--target", lab.engine.target, "experiment", "results", "cli"])
    assert "new is better" in shown.stdout
    assert "of 900 planned units, always valid" in " ".join(shown.stdout.split())
    assert lab.command("stop", "cli", "--reason", "new wins")["state"] == "stopped"
    listed = lab.command("list")
    assert next(row for row in listed if row["experiment"] == "cli")["reason"] == "new wins"  # type: ignore[index]


@pytest.mark.usefixtures("played")
def test_plans_come_from_numbers_or_from_history(lab: Lab) -> None:
    planned = lab.command("plan", "--mean", "12", "--deviation", "40", "--lift", "0.05")
    each = NormalIndPower().solve_power(0.05 * 12 / 40, alpha=0.05, power=0.8)
    assert planned["required_units"] == pytest.approx(2 * each, abs=1)
    rate = lab.command("plan", "--mean", "0.1", "--lift", "0.1")
    assert rate["deviation"] == pytest.approx(0.3)
    history = ("--metric", "score", "--from", "treehouse.lab_scores", "--unit", "player")
    measured = lab.command("plan", *history, "--days", "1", "--lift", "0.1")
    players = lab.query("select uniqExact(player) from treehouse.lab_scores")[0][0]
    assert measured["units"] == players
    assert measured["required_units"] > 0
    for arguments in (("--mean", "0", "--deviation", "1"), ("--mean", "1", "--deviation", "0"), ()):
        with pytest.raises(TreehouseError):
            lab.command("plan", *arguments, "--lift", "0.1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("start", "x", "--metric", "score", "--variant", "a"), "could not be read"),
        (("start", "x", "--metric", "score", "--variant", "a=1", "--variant", "a=1"), "twice"),
        (("start", "x", "--metric", "score", "--version", "b=1"), "no such variant"),
        (("start", "x", "--metric", "nope"), "no such metric"),
        (("results", "nowhere"), "no such experiment"),
        (("grow", "nowhere", "--share", "1"), "no such experiment"),
        (("shadow", "uniform"), "running shadow"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_commands_say_what_is_wrong(lab: Lab, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(TreehouseError, match=message):
        lab.command(*arguments)


@pytest.mark.parametrize(
    "name", ["start", "grow", "stop", "list", "expose", "results", "shadow", "plan"]
)
def test_help_has_an_example(name: str) -> None:
    shown = CliRunner().invoke(app, ["experiment", name, "--help"], env={"COLUMNS": "200"})
    assert f"Example: ./treehouse experiment {name}" in shown.output


@pytest.mark.usefixtures("faulty")
def test_exposing_needs_a_running_experiment(lab: Lab) -> None:
    with pytest.raises(TreehouseError, match="was stopped"):
        expose(lab.engine.client, lab.engine.settings, "stopped", "treehouse.lab_scores", "player")
