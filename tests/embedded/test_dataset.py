"""Training sets that can't be trained on are refused with words that say what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from tests.support.datasets import CONTRACT, HEADS, made_up_spec
from treehouse.clickhouse.client import row_hash
from treehouse.fit.dataset import lineage, load_dataset
from treehouse.fit.splits import SPLITS
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings
from treehouse.spec import Also, Refit, Spec

_DATABASE = "treehouse_dataset_tests"
_TABLE = f"{_DATABASE}.made_up_training_set"
_COLUMNS = {
    "id": "toString(number)",
    "at": "toDate('2026-01-01') + intDiv(number, 10)",
    "early": "number % 7 / 2",
    "days": "if(number % 5 = 0, null, toUInt8(number % 7))",
    "country": "['DE', 'AT', '', 'US'][number % 4 + 1]::LowCardinality(String)",
    "label": "toFloat64(number % 3)",
    "split": "['train', 'train', 'validation', 'calibration', 'test', 'unused'][number % 6 + 1]",
}
_ROWS = 600


@pytest.fixture
def spec(monkeypatch: pytest.MonkeyPatch) -> Spec:
    """A spec whose contract is made up too."""
    monkeypatch.setattr("treehouse.spec.spec.load_contract", lambda _: CONTRACT)
    return made_up_spec()


@pytest.fixture
def own(client: Client, settings: Settings) -> Iterator[Settings]:
    """An empty database for the training set."""
    client.command(f"drop database if exists {_DATABASE} sync")
    client.command(f"create database {_DATABASE}")
    yield replace(settings, database=_DATABASE)
    client.command(f"drop database {_DATABASE} sync")


def fill(client: Client, rows: int = _ROWS, **changes: str | None) -> None:
    """The table with some columns computed otherwise, or left out where None."""
    columns = {name: sql for name, sql in (_COLUMNS | changes).items() if sql}
    selected = ", ".join(f"{sql} as {name}" for name, sql in columns.items())
    client.command(
        f"create table {_TABLE} engine = MergeTree order by tuple() "
        f"as select {selected} from numbers({rows})"
    )


def refusal(client: Client, own: Settings, spec: Spec) -> TreehouseError:
    with pytest.raises(TreehouseError) as refused:
        load_dataset(client, own, spec)
    return refused.value


def test_rows_arrive_as_they_are(client: Client, own: Settings, spec: Spec) -> None:
    fill(client)
    data = load_dataset(client, own, spec)
    rows = client.query(
        f"select early, days, country, label, split, toFloat64(id) from {_TABLE} "
        "where split != 'unused' order by id, at"
    ).result_rows
    early, days, country, label, split, _ = zip(*rows, strict=True)
    np.testing.assert_array_equal(data.column("early"), early)
    np.testing.assert_array_equal(
        data.column("days"), [np.nan if day is None else day for day in days]
    )
    table = data.categories["country"]
    codes = [table.index(name) if name else np.nan for name in country]
    np.testing.assert_array_equal(data.column("country"), codes)
    np.testing.assert_array_equal(data.label, label)
    assert [SPLITS[code] for code in data.split] == list(split)
    assert data.lineage["rows"] == len(split) - split.count("test")
    without = load_dataset(client, own, replace(spec, refit="none"))
    assert without.lineage["rows"] == split.count("train")
    np.testing.assert_array_equal(without.split, data.split)


@pytest.mark.parametrize("refit", ["none", "cross_fitted"])
def test_rules_are_fitted_to_the_rows_of_the_model(
    client: Client, own: Settings, spec: Spec, refit: Refit
) -> None:
    fill(client, label="toFloat64(number)")
    rule = {"mean": "avgIf(label, split = 'train') over ()"}
    data = load_dataset(client, own, replace(spec, refit=refit, baselines=rule))
    earlier = {"none": data.rows("train"), "cross_fitted": ~data.rows("test")}[refit]
    np.testing.assert_allclose(data.extra["mean"], data.label[earlier].mean(), rtol=1e-12)


def test_fingerprint_sees_a_label_that_calibrates(
    client: Client, own: Settings, spec: Spec
) -> None:
    """The model is fitted to it; without a refit it is not."""
    found = []
    for label in (_COLUMNS["label"], "if(split = 'calibration', 9, toFloat64(number % 3))"):
        client.command(f"drop table if exists {_TABLE}")
        fill(client, label=label)
        both = [replace(spec, refit=refit) for refit in ("none", "cross_fitted")]
        found.append([load_dataset(client, own, s).lineage["fingerprint"] for s in both])
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]


def test_an_unknown_refit_is_refused(client: Client, own: Settings, spec: Spec) -> None:
    fill(client)
    assert "cross_fitted, none" in str(refusal(client, own, replace(spec, refit="all")))


def test_categories_are_those_of_the_training_rows(
    client: Client, own: Settings, spec: Spec
) -> None:
    """One that comes later is missing, as it will be in serving."""
    fill(client, country=f"if(split = 'test', 'new', {_COLUMNS['country']})")
    data = load_dataset(client, own, spec)
    assert "new" not in data.categories["country"]
    assert np.isnan(data.column("country")[data.rows("test")]).all()
    assert np.isfinite(data.column("country")[data.rows("train")]).any()


def test_fingerprint_is_of_the_training_rows(client: Client, own: Settings, spec: Spec) -> None:
    found = []
    for changed in ({}, {"id": "toString(599 - number)"}, {"early": "number % 7 / 3"}):
        client.command(f"drop table if exists {_TABLE}")
        fill(client, **changed)
        found.append(load_dataset(client, own, spec).lineage["fingerprint"])
    client.command(f"drop table {_TABLE}")
    fill(client)
    again = load_dataset(client, own, spec).lineage["fingerprint"]
    assert len(set(found)) == 3
    assert again == found[0]


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"label": "if(days is null, 100, number % 3)::Float64"}),
        ({"days": "null::Nullable(Float64)"}, {"days": "null::Nullable(Float64)", "label": "1."}),
        ({"days": "null::Nullable(Float64)"}, {"days": "if(number = 3, null, 0.)"}),
        ({"weight": "1."}, {"weight": "if(number = 12, 2., 1.)"}),
    ],
    ids=["labels beside a null", "nulls in every row", "a null for a zero", "a weight"],
)
def test_fingerprint_tells_rows_with_nulls_apart(
    client: Client,
    of_task: Callable[..., Spec],
    before: dict[str, str],
    after: dict[str, str],
) -> None:
    spec = of_task("value", weight="weight") if "weight" in before else of_task("value")
    found = []
    for changed in (before, after, before):
        client.command(f"drop table if exists {_TABLE}")
        fill(client, **changed)
        found.append(lineage(client, _TABLE, spec, ("train",))["fingerprint"])
    assert [type(number) for number in found] == [int] * 3
    assert found[0] != found[1]
    assert found[0] == found[2]


def test_a_row_hash_is_never_null_and_else_the_engines(client: Client) -> None:
    """What an older release has stored by a hash is found again where nothing was null."""
    columns = ("1", "'a'", "[2, 3]", "nan", "toDate('2026-01-01')")
    ((same, null, other),) = client.query(
        f"select {row_hash(columns)} = cityHash64({', '.join(columns)}), "
        f"{row_hash(['1', 'null'])}, {row_hash(['null', '1'])}"
    ).result_rows
    assert same == 1
    assert None not in (null, other)
    assert null != other


def test_no_training_set(client: Client, own: Settings, spec: Spec) -> None:
    error = refusal(client, own, spec)
    assert error.what == "made_up_training_set is not there."
    assert error.fix == "run ./treehouse build"


@pytest.mark.parametrize("column", ["early", "country", "id", "at", "label", "split"])
def test_a_missing_column(client: Client, own: Settings, spec: Spec, column: str) -> None:
    fill(client, **{column: None})
    error = refusal(client, own, spec)
    assert "lacks columns of the contract" in error.what
    assert error.value == f"missing: {column}"
    assert error.expected == CONTRACT.text
    assert error.fix == "run ./treehouse build"


@pytest.mark.parametrize(
    ("column", "sql", "type_name"),
    [
        ("early", "toString(number)", "String"),
        ("early", "toDate('2026-01-01') + number", "Date"),
        ("days", "[number]", "Array(UInt64)"),
        ("country", "toUInt8(number % 4)", "UInt8"),
        ("label", "toString(number % 3)", "String"),
    ],
)
def test_a_wrong_type(
    client: Client, own: Settings, spec: Spec, column: str, sql: str, type_name: str
) -> None:
    fill(client, **{column: sql})
    error = refusal(client, own, spec)
    assert error.value == f"{column} {type_name}"
    assert "models/made_up/made_up.yml" in str(error.fix)


@pytest.mark.parametrize(
    ("sql", "type_name"),
    [
        ("number % 3 = 1", "Bool"),
        ("toDecimal64(number % 3, 6)", "Decimal"),
        ("toNullable(toInt8(number % 3))", "Nullable(Int8)"),
    ],
)
def test_every_kind_of_number_will_do(
    client: Client, own: Settings, spec: Spec, sql: str, type_name: str
) -> None:
    fill(client, early=sql, label=sql)
    data = load_dataset(client, own, spec)
    assert set(data.label) <= {0.0, 1.0, 2.0}, type_name
    np.testing.assert_array_equal(data.column("early"), data.label)


def test_too_few_rows(client: Client, own: Settings, spec: Spec) -> None:
    fill(client, rows=200)
    error = refusal(client, own, spec)
    assert "too few rows" in error.what
    assert error.value == "validation: 33, calibration: 33, test: 33"
    assert "at least 50 in each split" in str(error.expected)
    assert "./treehouse load" in str(error.fix)
    assert "./treehouse build" in str(error.fix)


def test_an_empty_training_set(client: Client, own: Settings, spec: Spec) -> None:
    fill(client, rows=0)
    assert refusal(client, own, spec).value == "train: 0, validation: 0, calibration: 0, test: 0"


def test_a_constant_label(client: Client, own: Settings, spec: Spec) -> None:
    fill(client, label="if(split = 'test', number % 3, 4.5)")
    error = refusal(client, own, spec)
    assert "the same in every training row" in error.what
    assert error.value == "label has 1 distinct values"
    assert "./treehouse status" in str(error.fix)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "null"])
def test_a_label_that_is_not_a_number(client: Client, own: Settings, spec: Spec, bad: str) -> None:
    fill(client, label=f"if(number in (10, 20), {bad}, number % 3)")
    error = refusal(client, own, spec)
    assert "is not a number in some rows" in error.what
    assert error.value == "2 rows"
    assert f"from {_TABLE} where" in str(error.fix)


def test_the_row_that_the_message_shows_how_to_find(
    client: Client, own: Settings, spec: Spec
) -> None:
    fill(client, label="if(number = 10, nan, number % 3)")
    command = str(refusal(client, own, spec).fix).split('"')[1]
    assert [row[0] for row in client.query(command).result_rows] == ["10"]


@pytest.fixture
def of_task(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Spec]:
    """A spec of another task, with the contract that goes with it."""

    def make(task: str, **contract: str) -> Spec:
        changed = replace(CONTRACT, heads=HEADS[task], **contract)
        monkeypatch.setattr("treehouse.spec.spec.load_contract", lambda _: changed)
        return made_up_spec(task=task)

    return make


_TIERS = "['none', 'some', 'much'][intDiv(number, 6) % 3 + 1]"


def test_classes_are_numbered_as_the_heads_are(
    client: Client, own: Settings, of_task: Callable[..., Spec]
) -> None:
    fill(client, label=_TIERS)
    spec = replace(of_task("classes"), baselines={"rule": "if(early > 1, 'much', 'none')"})
    data = load_dataset(client, own, spec)
    rows = client.query(
        f"select number, early from (select toUInt32(id) as number, early, split, id, at from "
        f"{_TABLE}) where split != 'unused' order by id, at"
    ).result_rows
    np.testing.assert_array_equal(data.label, [number // 6 % 3 for number, _ in rows])
    expected = [2.0 if early > 1 else 0.0 for _, early in rows]
    np.testing.assert_array_equal(data.extra["rule"], expected)


def test_weights_times_and_further_labels(
    client: Client, own: Settings, of_task: Callable[..., Spec]
) -> None:
    spec = of_task("probability", weight="days", known_at="known")
    spec = replace(spec, also={"later": Also(baselines={"zero": "0"})})
    known = "at + 30"
    fill(
        client, label="number % 3 = 1", days="toUInt8(number % 7 + 1)", known=known,
        later="if(number % 4 = 0, null, number / 4)",
    )  # fmt: skip
    data = load_dataset(client, own, spec)
    assert data.weight is not None
    np.testing.assert_array_equal(data.weight, data.column("days"))
    np.testing.assert_array_equal(data.known_at - data.time, 30 * 86_400.0)
    assert set(data.label) == {0.0, 1.0}
    further = data.for_label("later")
    assert 0 < len(further.label) < len(data.label)
    assert np.isfinite(further.label).all()
    assert further.weight is None
    np.testing.assert_array_equal(further.extra["later: zero"], np.zeros(len(further.label)))


@pytest.mark.parametrize(
    ("task", "changes", "what", "value"),
    [
        ("probability", {"label": "number % 3"}, "neither 0 nor 1", "100 rows"),
        ("classes", {"label": "if(number = 10, 'lots', " + _TIERS + ")"}, "no class", "1 rows"),
        ("classes", {"label": "if(number % 2 = 0, 'some', 'much')"}, "without a training", "none"),
        ("classes", {"label": "number % 3"}, "other types", "label UInt8"),
    ],
)
def test_labels_of_other_tasks(
    client: Client,
    own: Settings,
    of_task: Callable[..., Spec],
    task: str,
    changes: dict[str, str],
    what: str,
    value: str,
) -> None:
    fill(client, **changes)
    error = refusal(client, own, of_task(task))
    assert what in error.what
    if what != "neither 0 nor 1":
        assert error.value == value


@pytest.mark.parametrize("bad", ["0", "-1", "nan", "null"])
def test_a_weight_that_is_none(
    client: Client, own: Settings, of_task: Callable[..., Spec], bad: str
) -> None:
    weight = f"if(number = 12, {bad}, 1.5)"
    fill(client, label="number % 3 = 1", weight=weight)
    error = refusal(client, own, of_task("probability", weight="weight"))
    assert "not a positive number" in error.what
    assert error.value == "1 rows"


def test_a_rule_that_names_no_class(
    client: Client, own: Settings, of_task: Callable[..., Spec]
) -> None:
    fill(client, label=_TIERS)
    spec = replace(of_task("classes"), baselines={"rule": "if(early > 1, 'most', 'none')"})
    error = refusal(client, own, spec)
    assert "answers what is no class" in error.what
    assert error.value == "rule"


def test_costs_that_do_not_fit(of_task: Callable[..., Spec]) -> None:
    spec = of_task("classes")
    assert spec.costs == ((0, 1, 1), (1, 0, 1), (1, 1, 0))
    for cost in (((0, 1), (1, 0)), ((0, 1, 1), (1, 0, -1), (1, 1, 0))):
        with pytest.raises(TreehouseError, match="does not fit its classes"):
            _ = replace(spec, cost=cost).costs


@pytest.mark.parametrize("absent", ["simulation_truth_elsewhere.users", "no_such_table"])
def test_what_is_known_of_simulated_data_is_missed_nowhere(
    client: Client, own: Settings, spec: Spec, absent: str
) -> None:
    fill(client)
    sql = f"select user_id as key, 1. as mean, 1. as median from {absent}"
    data = load_dataset(client, own, replace(spec, best_possible=sql))
    assert not any(name.startswith("best_") for name in data.extra)
    assert data.without_truth == "it is known of simulated data alone"
    there = "select toString(number) as key, 2. as mean, 1. as median from numbers(600)"
    data = load_dataset(client, own, replace(spec, best_possible=there))
    assert set(data.extra["best_mean"]) == {2.0}
    assert data.without_truth == ""


@pytest.mark.parametrize("key", ["number", "toString(number)"])
def test_a_simulation_of_other_rows_is_not_their_best_possible(
    client: Client, own: Settings, spec: Spec, key: str
) -> None:
    """What was simulated before one's own data came is of nobody in it, or only of some."""
    fill(client)
    sql = f"select {key} as key, 2. as mean, 1. as median from numbers({{}}, 100)"
    data = load_dataset(client, own, replace(spec, best_possible=sql.format(100_000)))
    assert not any(name.startswith("best_") for name in data.extra)
    assert data.without_truth == "the simulated data is of other rows or windows"
    some = load_dataset(client, own, replace(spec, best_possible=sql.format(0)))
    known = some.extra["best_mean"]
    assert 0 < (known == 2.0).sum() <= 100
    assert np.isnan(known[known != 2.0]).all()


def test_a_mistake_in_best_possible_is_told(client: Client, own: Settings, spec: Spec) -> None:
    fill(client)
    error = refusal(client, own, replace(spec, best_possible="select 1 as key, nonsense as mean"))
    assert error.what == "`best_possible` of made_up can't be run."
    assert "nonsense" in str(error.value)


@pytest.mark.parametrize("changes", [{"coverage": 1.0}, {"coverage": 0.0}, {"interval_bins": 0}])
def test_an_interval_that_there_is_not(
    client: Client, own: Settings, spec: Spec, changes: dict[str, float]
) -> None:
    fill(client)
    error = refusal(client, own, replace(spec, **changes))  # type: ignore[arg-type]
    assert "asks for an interval that there is not" in error.what


@pytest.mark.parametrize(
    "sql", ["no_such_column + 1", "throwIf(1)"], ids=["unknown", "at run time"]
)
def test_a_baseline_that_fails_is_named(
    client: Client, own: Settings, of_task: Callable[..., Spec], sql: str
) -> None:
    fill(client)
    spec = replace(of_task("value"), baselines={"zero": "0", "made up": sql})
    with pytest.raises(TreehouseError, match=r"'made up' of .* can't be computed") as caught:
        load_dataset(client, own, spec)
    assert "mend it in training/specs/" in str(caught.value.fix)


@pytest.mark.usefixtures("own")
def test_fingerprint_counts_rows_that_are_equal(
    client: Client, of_task: Callable[..., Spec]
) -> None:
    """Two equal rows do not cancel each other out."""
    found = []
    for early in ("1.", "2."):
        client.command(f"drop table if exists {_TABLE}")
        fill(client, early=early)
        client.command(f"insert into {_TABLE} select * from {_TABLE}")
        found.append(lineage(client, _TABLE, of_task("value"), ("train",))["fingerprint"])
    assert 0 not in found
    assert found[0] != found[1]
