"""Every use case goes the whole way: built, trained, verified, published, promoted, called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Engine
from tests.support.house import USERS, copy_project, dbt, edit_features
from treehouse.bundle import Bundle
from treehouse.cli.metrics_table import beaten
from treehouse.clickhouse.client import identifier
from treehouse.fit.candidates import wanted
from treehouse.fit.splits import SPLITS
from treehouse.fit.train import Trained, train
from treehouse.monitor.measure import measure
from treehouse.project.contract import Contract, load_contract
from treehouse.project.errors import TreehouseError
from treehouse.registry import promotions as registry
from treehouse.registry import publish as publishing
from treehouse.registry.promotions import Version, promote, rollback
from treehouse.registry.publish import Parity, publish, verify
from treehouse.report import write_page
from treehouse.simulation.demo_data import fill_sources
from treehouse.spec import Spec
from treehouse.spec import spec as spec_module

_GOLDEN = 256
_JUDGED_BY = {
    "value": {"rmse", "gini", "mae of typical"},
    "probability": {"log_loss", "brier", "auc"},
    "classes": {"cost"},
    "sequence": {"recall_1", "recall_3", "recall_5"},
}
_FEW_TREES = "few trees need not be good"


@dataclass(frozen=True)
class Lived:
    """A use case on an engine, with one version promoted."""

    engine: Engine
    spec: Spec
    trained: Trained
    version: Version
    parity: Parity

    @property
    def contract(self) -> Contract:
        """The contract that it was trained for."""
        return self.spec.contract

    def query(self, sql: str) -> Any:
        """Rows; {features} and {scores} stand for the tables, {call} for the SQL function."""
        database, name = identifier(self.engine.settings.database), self.spec.use_case
        arguments = ", ".join(identifier(f.name) for f in self.contract.features)
        return self.engine.client.query(
            sql.replace("{features}", f"{database}.{identifier(name + '_features')}")
            .replace("{scores}", f"{database}.{identifier(name + '_scores')}")
            .replace("{training_set}", f"{database}.{identifier(name + '_training_set')}")
            .replace("{call}", f"predict_{name}({arguments})")
            .replace("{full}", f"predict_{name}_full({arguments})")
            .replace("{first}", f"predict_{name}_at(1, {arguments})")
        ).result_rows

    def scores(self) -> list[tuple[Any, ...]]:
        """Keys, first predicted column and version of the scored view."""
        return list(
            self.query(
                f"select {self.keys}, {self.predicted}, model_version from {{scores}} order by all"
            )
        )

    @property
    def keys(self) -> str:
        """What identifies a row of the features, as SQL."""
        return ", ".join(map(identifier, dict.fromkeys((*self.contract.keys, self.contract.time))))

    @property
    def predicted(self) -> str:
        """The scored view's first predicted column, as SQL."""
        columns = self.engine.client.query(
            "select name from system.columns where database = {d:String} and table = {t:String} "
            "and startsWith(name, 'predicted') order by position",
            parameters={
                "d": self.engine.settings.database,
                "t": f"{self.spec.use_case}_scores",
            },
        ).result_rows
        return identifier(columns[0][0])


def small(spec: Spec) -> Spec:
    """The same spec with few trees, or few epochs."""
    return replace(
        spec,
        boosting=replace(spec.boosting, trees=30, patience=10),
        bagging=replace(spec.bagging, trees=10, depth=8),
        recurrent=replace(spec.recurrent, epochs=3, width=16),
    )


@pytest.fixture(scope="module")
def lived(fresh: Engine, spec: Spec) -> Lived:
    """Built with all of dbt's tests; one version trained, published and promoted."""
    client, settings = fresh.client, fresh.settings
    fill_sources(client, settings, spec, {"users": USERS}, lambda *_: None)
    dbt(settings, "build", "--select", f"+path:models/{spec.use_case}")
    trained = train(client, settings, small(spec))
    version, parity = publish(client, settings, spec.use_case, force=_FEW_TREES)
    promote(client, settings, spec.use_case, version.version)
    return Lived(fresh, spec, trained, version, parity)


@pytest.fixture
def changed(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[list[dict[str, Any]]], None]], Path]:
    """Edits the use case's contract in a copy of the project, and makes Python read the copy."""

    def change(edit: Callable[[list[dict[str, Any]]], None]) -> Path:
        project = copy_project(tmp_path / "changed")
        edit_features(project, lived.spec.use_case, edit)
        for module in (publishing, registry, spec_module):
            monkeypatch.setattr(
                module, "load_contract", lambda name: load_contract(name, project / "models")
            )
        return project

    return change


@pytest.fixture
def functions_put_back(lived: Lived) -> Iterator[None]:
    """The SQL functions of the real contract, after a test that replaced them."""
    yield
    dbt(lived.engine.settings, "run-operation", "create_predict_functions")


def test_training_set_has_every_part(lived: Lived) -> None:
    counts = dict(lived.query("select split, count() from {training_set} group by split"))
    assert set(SPLITS) <= set(counts) <= {*SPLITS, "unused"}
    keys = lived.query(f"select count(), uniqExact({lived.keys}) from {{training_set}}")
    assert keys[0][0] == keys[0][1] == sum(counts.values())


def test_bundle_says_what_it_is(lived: Lived) -> None:
    header = Bundle.read_header(lived.trained.path.read_bytes())
    assert header["contract"] == lived.contract.hash
    assert tuple(header["heads"]) == lived.contract.heads
    assert tuple(header["inputs"]["numeric"]) == lived.contract.of_kind("numeric")
    assert tuple(header["inputs"]["categorical"]) == lived.contract.of_kind("categorical")
    metrics = header["info"]["metrics"]
    assert set(metrics["baselines"]) >= {*lived.spec.baselines, *lived.spec.fitted_baselines}
    assert metrics["task"] == lived.spec.task
    assert set(metrics["choice"]) == {" ".join(pair) for pair in wanted(lived.spec)}
    assert metrics["chosen"] in metrics["choice"]
    assert set(metrics.get("also", {})) == set(lived.spec.also)
    compared = beaten(metrics)
    assert {name: set(won) for name, won in compared.items()} == dict.fromkeys(
        metrics["baselines"], _JUDGED_BY[lived.spec.task]
    )
    if lived.spec.task == "value":
        assert 0 < metrics["interval"]["coverage"] <= 1


def test_report_is_written(lived: Lived) -> None:
    page = write_page(lived.engine.client, lived.engine.settings, lived.spec)
    assert page.version == lived.version.version
    assert set(page.left_out) <= {
        "cohorts", "confusion", "calibration", "gain", "dependence", "drift", "matured", "alerts",
        "experiments", "serving", "runs",
    }, page.left_out  # fmt: skip
    assert ("Sum off by" in page.html) == (lived.spec.task in ("value", "probability"))


def test_golden_rows_agree_to_zero_differences(lived: Lived) -> None:
    answers = _GOLDEN * len(lived.contract.heads)
    assert (lived.parity.answers, lived.parity.different) == (answers, 0)
    client, settings, version = lived.engine.client, lived.engine.settings, lived.version
    again = verify(client, settings, version.bundle, has_networks=bool(version.networks))
    assert again == lived.parity


def test_scores_are_the_direct_call(lived: Lived) -> None:
    rows = lived.scores()
    direct = lived.query(f"select {lived.keys}, {{call}} from {{features}}")
    known = {tuple(row[:-1]): row[-1] for row in direct}
    assert rows
    for *key, predicted, version in rows:
        assert version == lived.version.version
        assert predicted is not None
        assert predicted == known[tuple(key)]


def test_every_head_answers(lived: Lived) -> None:
    heads = lived.contract.heads
    named = ", ".join(f"answer.{identifier(head)}" for head in heads)
    rows = lived.query(
        f"select {named}, answer.version from (select {{full}} as answer from {{features}})"
    )
    assert rows
    for *values, version in rows:
        assert None not in values
        assert version == lived.version.version
        answer = dict(zip(heads, values, strict=True))
        assert answer.get("low", -float("inf")) <= answer.get("high", float("inf"))


def test_a_version_can_be_asked_for(lived: Lived) -> None:
    assert lived.query("select countIf({first} != {call}), count() > 0 from {features}") == [
        (0, True)
    ]


@pytest.mark.parametrize("change", ["removed", "added", "reordered"])
def test_another_contract_is_refused(
    lived: Lived, changed: Callable[..., Path], change: str
) -> None:
    name = lived.contract.features[0].name

    def edit(columns: list[dict[str, Any]]) -> None:
        at = [column["name"] for column in columns].index(name)
        if change == "removed":
            columns[at]["config"] = {}
        elif change == "added":
            columns.insert(at, columns[at] | {"name": "one_more"})
        else:
            columns.append(columns.pop(at))

    changed(edit)
    before = registry.versions(lived.engine.client, lived.engine.settings)
    with pytest.raises(TreehouseError) as refused:
        publish(lived.engine.client, lived.engine.settings, lived.spec.use_case)
    said = {
        "removed": f"only trained: {name}",
        "added": "only wanted: one_more",
        "reordered": "another order",
    }
    assert said[change] in str(refused.value)
    assert f"./treehouse train {lived.spec.use_case}" in str(refused.value)
    assert registry.versions(lived.engine.client, lived.engine.settings) == before


def test_the_monitor_measures_every_feature_and_the_newest_labels(lived: Lived) -> None:
    client, settings, spec = lived.engine.client, lived.engine.settings, lived.spec
    found = measure(client, settings, spec)
    drifted = {row["name"] for row in found["drift"] if row["role"] == "feature"}
    assert drifted == {feature.name for feature in lived.contract.features}
    newest = max(found["quality"], key=lambda row: row["cohort_to"])
    if spec.task == "sequence":
        first, last = newest["cohort_from"], newest["cohort_to"]
        wrong = lived.query(
            f"select avg({{call}} != {lived.contract.label}) from {{training_set}} where "
            f"toDateTime64({lived.contract.time}, 3, 'UTC') "
            f"between '{first:%F %T.%f}' and '{last:%F %T.%f}'"
        )
        assert newest["loss"] == pytest.approx(wrong[0][0])


@pytest.mark.slow
@pytest.mark.usefixtures("functions_put_back")
def test_a_view_of_the_old_contract_keeps_its_champion(
    lived: Lived, changed: Callable[..., Path]
) -> None:
    """The functions of the new contract answer NULL, then its first version; the view stays."""
    used = {lived.spec.known, lived.spec.pace}
    gone = next(f.name for f in lived.contract.features if f.name not in used)

    def edit(columns: list[dict[str, Any]]) -> None:
        next(column for column in columns if column["name"] == gone)["config"] = {}

    client, settings, spec = lived.engine.client, lived.engine.settings, lived.spec
    before = lived.scores()
    project = changed(edit)
    assert lived.contract.hash != lived.version.contract
    dbt(settings, "run-operation", "create_predict_functions", project=project)
    assert lived.query("select max({call}), max({full}.version) from {features}") == [(None, 0)]
    assert lived.scores() == before

    trainer, objective = wanted(spec)[0]
    quick = replace(small(spec), trainers=(trainer,), objectives=(objective,), fitted_baselines={})
    train(client, settings, quick)
    version, _ = publish(client, settings, spec.use_case, force=_FEW_TREES)
    promote(client, settings, spec.use_case, version.version)
    assert version.version == lived.version.version + 1
    answered = lived.query("select max({call}) is not null, max({full}.version) from {features}")
    assert answered == [(True, version.version)]
    assert lived.scores() == before


def test_rollback_of_the_only_version_answers_null(lived: Lived) -> None:
    client, settings, name = lived.engine.client, lived.engine.settings, lived.spec.use_case
    before = lived.scores()
    promote(client, settings, name, lived.version.version)
    assert rollback(client, settings, name) is None
    assert {row[-2:] for row in lived.scores()} == {(None, 0)}
    promote(client, settings, name, lived.version.version)
    assert lived.scores() == before
