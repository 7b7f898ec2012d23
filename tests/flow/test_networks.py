"""Networks, forests and a blend of both behind one SQL function, on each engine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

import treehouse.project.contract
from tests.conftest import Engine, RunningServer
from tests.support.house import copy_project, dbt
from tests.support.networks import (
    CATEGORIES,
    INPUTS,
    LSTM_INPUTS,
    MLP_INPUTS,
    lstm,
    mlp,
    random_batch,
    reference,
)
from tests.support.some import some
from treehouse.bundle import Bundle, Network, bundle_id, e, evaluate
from treehouse.bundle.tolerance import NETWORK_TOLERANCE
from treehouse.forest import compile_forest
from treehouse.network import golden_rows, read_batch, rows_of
from treehouse.project.contract import Contract, contracts, load_contract
from treehouse.project.errors import TreehouseError
from treehouse.registry.promotions import promote, rollback
from treehouse.registry.publish import publish
from treehouse.spec import Spec
from udfs.network.pack import NAME
from udfs.network.rows import Rows, names_of

USE_CASE, HEADS, ROWS = "blend", ("value", "low", "next"), 3000
_YAML = """
models:
  - name: blend_features
    config: {meta: {use_case: blend, heads: [value, low, next]}}
    columns:
      - {name: id, data_type: UInt32, config: {meta: {role: key}}}
      - {name: at, data_type: Date, config: {meta: {role: time}}}
      - {name: recent, data_type: Array(LowCardinality(String)), config: {meta: {role: feature}}}
      - {name: age, data_type: Nullable(Float64), config: {meta: {role: feature}}}
      - {name: country, data_type: Nullable(String), config: {meta: {role: feature}}}
      - {name: gaps, data_type: Array(Nullable(Float32)), config: {meta: {role: feature}}}
      - {name: amount, data_type: Float64, config: {meta: {role: feature}}}
  - name: blend_training_set
    columns: [{name: y, data_type: Float64, config: {meta: {role: label}}}]
"""
_FEATURES = """
select id, toDate('2026-01-01') as at, cast(recent, 'Array(LowCardinality(String))') as recent,
    nullIf(age, 7) as age, nullIf(country, '') as country, gaps, amount
from treehouse.blend_rows
"""
_TRAINING_SET = "select id, 1. as y from {{ ref('blend_features') }}"
CALL = "(recent, age, country, gaps, amount)"


@dataclass(frozen=True)
class Blend:
    """An engine that has predict_blend(), and rows for it."""

    engine: Engine
    folder: Path
    contract: Contract
    batch: pa.RecordBatch

    def bundle(self, *networks: Network, factor: float = 1.0, error: float = 0.0) -> Bundle:
        """A forest and any networks: calibrated blend, its lower end, and the LSTM's answer."""
        names = [name for network in networks for name in network.outputs]
        booster = _booster()
        share = e.out(0)
        if "mlp_a" in names:
            share = 0.5 * share + 0.5 * e.sigmoid(e.feature("mlp_a"))
        value = factor * e.linear(share, [0.0, 0.4, 1.0], [0.0, 0.5, 1.0])
        other = e.feature("lstm") if "lstm" in names else e.const(-1.0)
        heads = {"value": value, "low": e.clip(value - 0.1, 0.0, None), "next": other}
        forest = compile_forest(booster, ("age", "amount"))
        bundle = Bundle(
            USE_CASE, 1, self.contract.hash, INPUTS, (forest,), heads, networks=networks
        )
        return Bundle(**{**bundle.__dict__, "info": self.info(bundle, booster, error)})

    def info(self, bundle: Bundle, booster: lgb.Booster, error: float) -> dict[str, Any]:
        """What `train` would say of it."""
        answers = expected(bundle, booster, self.batch)[:200]
        answers[5, 0] += error
        return {
            "spec_hash": "0" * 32,
            "lineage": {"rows": ROWS, "fingerprint": 7, "from": "2026-01-01 00:00:00+00:00",
                        "to": "2026-02-01 00:00:00+00:00"},
            "libraries": {}, "parameters": {}, "metrics": {"model": {}},
            "golden": golden_rows(self.batch.slice(0, 200), answers),
        }  # fmt: skip

    def publish(self, bundle: Bundle) -> int:
        """Published; its version."""
        path = self.folder / "blend.bundle"
        path.write_bytes(bundle.to_bytes())
        client, settings = self.engine.client, self.engine.settings
        return publish(client, settings, USE_CASE, path, force="made by a test")[0].version

    def promote(self, bundle: Bundle) -> int:
        """Published and promoted; its version."""
        version = self.publish(bundle)
        promote(self.engine.client, self.engine.settings, USE_CASE, version)
        return version

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return [tuple(row) for row in self.engine.client.query(sql).result_rows]

    def answers(self, function: str = f"predict_{USE_CASE}_full{CALL}") -> np.ndarray:
        """float64[rows, heads + version] of the whole table."""
        sql = f"select {function} as p from treehouse.blend_features order by id"
        (found,) = zip(*self.query(sql), strict=True)
        return np.array([[*p.values()] if isinstance(p, dict) else p for p in found], float)


def _booster() -> lgb.Booster:
    rng = np.random.default_rng(0)
    rows = rng.normal(40, 30, (400, 2))
    settings = {"objective": "binary", "num_leaves": 7, "verbose": -1}
    return lgb.train(settings, lgb.Dataset(rows, rows[:, 0] > rows[:, 1]), 5)


def expected(bundle: Bundle, booster: lgb.Booster, batch: pa.RecordBatch) -> np.ndarray:
    """float64[rows, heads] in Python: LightGBM, double precision networks, NumPy formulas."""
    numeric = np.array(batch.column("numeric").to_pylist())
    inputs = dict(zip(("mlp_a", "mlp_b", "lstm"), reference(batch).T, strict=True))
    outputs = [np.asarray(booster.predict(numeric)).reshape(-1, 1)]
    heads = [evaluate(head, outputs, inputs) for head in bundle.heads.values()]
    return np.column_stack([np.broadcast_to(head, len(numeric)) for head in heads])


@pytest.fixture(scope="module")
def batch() -> pa.RecordBatch:
    """Rows whose age is not 7 and whose country is not empty unless they are null in the table."""
    return random_batch(ROWS, seed=11)


@pytest.fixture(scope="module")
def blend(
    fresh: Engine, batch: pa.RecordBatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Blend]:
    """Each engine in turn: the use case built by dbt, from a table of rows."""
    project = copy_project(tmp_path_factory.mktemp("projects") / "blend")
    folder = project / "models" / USE_CASE
    folder.mkdir()
    (folder / "blend.yml").write_text(_YAML)
    (folder / "blend_features.sql").write_text(_FEATURES)
    (folder / "blend_training_set.sql").write_text(_TRAINING_SET)
    _insert(fresh, batch)
    dbt(fresh.settings, "run", "--select", "blend_features", project=project)
    found = contracts(project / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(treehouse.project.contract, "contracts", lambda *_: found)
        spec = Spec(USE_CASE, "A forest and two networks.")
        patch.setattr("treehouse.spec.spec.specs", lambda: {USE_CASE: spec})
        yield Blend(fresh, project, load_contract(USE_CASE), batch)


def _insert(engine: Engine, batch: pa.RecordBatch) -> None:
    numeric = np.array(batch.column("numeric").to_pylist())
    table = pa.table(
        {
            "id": pa.array(range(ROWS), pa.uint32()),
            "age": numeric[:, 0],
            "amount": numeric[:, 1],
            "country": [row[0] for row in batch.column("categorical").to_pylist()],
            "recent": [row[0] for row in batch.column("tokens").to_pylist()],
            "gaps": [row[0] for row in batch.column("series").to_pylist()],
        }
    )
    engine.client.command("create database if not exists treehouse engine = Atomic")
    engine.client.command(
        "create table treehouse.blend_rows (id UInt32, age Float64, amount Float64, country String,"
        " recent Array(String), gaps Array(Float32)) engine = MergeTree order by id"
    )
    engine.client.insert_arrow("blend_rows", table, database="treehouse")


def close(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Equal within what float32 networks allow; missing where the other is."""
    scale = np.nanmax(np.abs(theirs), axis=0)
    both_missing = np.isnan(ours) & np.isnan(theirs)
    return bool((both_missing | (np.abs(ours - theirs) <= NETWORK_TOLERANCE * scale)).all())


def test_the_hash_is_the_same_in_dbt_and_in_python(blend: Blend) -> None:
    ((text,),) = blend.query(
        f"select create_query from system.functions where name = 'predict_{USE_CASE}'"
    )
    assert blend.contract.hash in text
    assert blend.contract.text == (
        "blend(recent tokens, age numeric, country categorical, gaps series, amount numeric)"
        " -> (value, low, next) with networks"
    )


def test_functions_of_other_use_cases_ask_no_network(blend: Blend) -> None:
    found = blend.query(
        "select name from system.functions where create_query like '%treehouse_network(%'"
    )
    assert found
    asking = [USE_CASE, *(c.use_case for c in contracts().values() if c.has_networks)]
    assert all(any(use_case in name for use_case in asking) for (name,) in some(found))


def test_training_reads_the_rows_that_serving_is_given(blend: Blend) -> None:
    found, rest = read_batch(
        blend.engine.client, blend.contract, "treehouse.blend_features order by id"
    )
    assert rest.column_names == ["id", "at"]
    assert rest.column("id").to_pylist() == list(range(ROWS))
    for kind in (MLP_INPUTS, LSTM_INPUTS):
        wanted = [name for name in kind.array_names if name != "categorical"]
        ours = kind.arrays(rows_of(found, blend.contract), wanted)
        theirs = kind.arrays(Rows(blend.batch, names_of(INPUTS), USE_CASE), wanted)
        for name, values in ours.items():
            np.testing.assert_allclose(values, theirs[name], rtol=1e-6, atol=1e-6)


def test_before_anything_is_promoted_the_answer_is_null(blend: Blend) -> None:
    assert blend.query(
        f"select countIf(predict_blend{CALL} is not null), any(predict_blend_full{CALL}.version)"
        f" from treehouse.blend_features"
    ) == [(0, 0)]
    ((explained,),) = blend.query(
        f"select explain_blend{CALL} from treehouse.blend_features limit 1"
    )
    assert not any(explained.values() if isinstance(explained, dict) else explained)


def test_a_blend_of_forest_and_networks_answers_as_python_does(blend: Blend) -> None:
    """Versions with other networks, and with none, follow each other as one row in a table."""
    whole = blend.bundle(mlp(), lstm())
    wanted = expected(whole, _booster(), blend.batch)
    first = blend.promote(whole)
    found = blend.answers()
    assert close(found[:, :3], wanted)
    assert (found[:, 3] == first).all()
    trees = blend.bundle()
    second = blend.promote(trees)
    found = blend.answers()
    np.testing.assert_allclose(found[:, :3], expected(trees, _booster(), blend.batch), rtol=1e-12)
    assert (found[:, 3] == second).all()
    older = blend.answers(f"predict_blend_full_at({first}, {CALL[1:]}")
    assert close(older[:, :3], wanted)
    rollback(blend.engine.client, blend.engine.settings, USE_CASE)
    assert (blend.answers()[:, 3] == first).all()


def test_what_networks_contribute_is_told_as_one(blend: Blend) -> None:
    """A forest may read a network's output; contributions still add up to its margin."""
    stacked = compile_forest(_booster(), ("amount", "lstm"))
    heads = {"value": e.margin(), "low": e.out(), "next": e.feature("lstm")}
    bundle = Bundle(USE_CASE, 1, blend.contract.hash, INPUTS, (stacked,), heads, networks=(lstm(),))
    inputs = np.column_stack(
        [np.array(blend.batch.column("numeric").to_pylist())[:, 1], reference(blend.batch)[:, 2]]
    )
    margin = _booster().predict(inputs, raw_score=True)
    info = blend.info(blend.bundle(), _booster(), 0.0)
    answers = np.column_stack([margin, 1 / (1 + np.exp(-margin)), inputs[:, 1]])[:200]
    info["golden"] = golden_rows(blend.batch.slice(0, 200), answers)
    blend.promote(Bundle(**{**bundle.__dict__, "info": info}))
    rows = blend.query(
        f"select explain_blend{CALL} as x, arrayMap(c -> c.1, x.contributions),"
        f" x.base + arraySum(c -> c.2, x.contributions), predict_blend{CALL}"
        " from treehouse.blend_features"
    )
    assert {tuple(row[1]) for row in rows} == {("age", "amount", "networks", "country")}
    np.testing.assert_allclose([row[2] for row in rows], [row[3] for row in rows], atol=1e-9)


def test_another_answer_than_the_trainers_stops_the_publish(blend: Blend) -> None:
    before = blend.query("select count() from treehouse_registry.versions")
    with pytest.raises(TreehouseError, match="1 of 600 answers"):
        blend.publish(blend.bundle(mlp(), lstm(), error=1e-3))
    assert blend.query("select count() from treehouse_registry.versions") == before


def test_one_row_and_many_alike(blend: Blend) -> None:
    blend.promote(blend.bundle(mlp(), lstm(), factor=2.0))
    many = blend.answers(f"predict_blend{CALL}")
    call = "predict_blend(['query 1', 'query 2'], 40, 'DE', [1.5, 60], 3)"
    sql = f"select {call} from numbers(3) union all select {call}"
    ones = {row[0] for row in blend.query(sql)}
    assert max(ones) - min(ones) < 1e-5
    assert np.nanmin(many) >= 0


@pytest.mark.parametrize(
    "call",
    [
        "predict_blend(['a'], 1, 'DE', ['1'], 2)",
        "predict_blend(['a'], '1', 'DE', [1], 2)",
        "predict_blend(['a'], 1, 'DE', [toDate('2026-01-01')], 2)",
        "predict_blend('a', 1, 'DE', [1], 2)",
    ],
)
def test_text_or_a_date_where_a_number_belongs_is_an_error(blend: Blend, call: str) -> None:
    with pytest.raises(ClickHouseError):
        blend.query(f"select {call}")


def test_a_refusal_is_the_querys_error_and_the_next_query_works(blend: Blend) -> None:
    blend.promote(blend.bundle(mlp(), lstm()))
    good = f"select count() from treehouse.blend_features where predict_blend{CALL} > 0"
    right = blend.query(good)
    none = "emptyArrayFloat64(), emptyArrayString(), [], []"
    with pytest.raises(ClickHouseError, match=r"treehouse-network: cannot open model file .*4d"):
        blend.query(f"select treehouse_network(77::UInt64, {none})")
    assert blend.query(good) == right


def scripts_of(engine: Engine) -> Path:
    """Where the engine looks for programs."""
    if engine.target == "embedded":
        return engine.settings.home / "user_scripts"
    data = cast(RunningServer, engine).origin.data
    if data is None:
        pytest.skip("somebody else's server: its processes are not here")
    return data / "user_scripts"


def workers(program: Path) -> list[int]:
    """Living processes that run this script."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_text().split("\0")
                if str(program) in map(os.path.normpath, words):
                    found.append(int(entry.name))
    return found


def test_a_killed_worker_costs_at_most_one_query(blend: Blend) -> None:
    blend.promote(blend.bundle(mlp(), lstm()))
    query = (
        f"select sum(predict_blend{CALL}) from treehouse.blend_features settings max_threads = 1"
    )
    right, failures = blend.query(query), []
    for _ in range(2):
        killed = workers(scripts_of(blend.engine) / NAME)
        assert killed
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        answers = 0
        for _ in range(2 * len(killed) + 1):  # until none that died waits for work
            try:
                assert blend.query(query) == right
                answers += 1
            except ClickHouseError as error:
                failures.append(str(error))
        assert answers > len(killed), failures
    assert len(failures) <= 2 * 4


def test_a_block_of_many_rows_and_mixed_versions(blend: Blend) -> None:
    """Experiments assign a version to each row; chunks keep memory bounded, not answers."""
    one = blend.publish(blend.bundle(mlp(), lstm()))
    two = blend.publish(blend.bundle(lstm(), factor=3.0))
    rows = blend.query(
        f"select count(), uniqExact(p.version), countIf(p.version != if(n % 2 = 0, {one}, {two})),"
        f" countIf(p.next is null) from (select number as n, predict_blend_full_at("
        f"if(number % 2 = 0, {one}, {two}), ['query 1'], number / 7., 'US', [1.], 3) as p"
        " from numbers(100000)) settings max_block_size = 100000"
    )
    assert rows == [(100_000, 2, 0, 0)]


def test_the_files_name_is_its_hash(blend: Blend) -> None:
    data = blend.bundle(mlp()).to_bytes()
    header = Bundle.read_header(data)
    assert header["bundle"] == bundle_id(data)
    assert header["inputs"]["categorical"] == {"country": list(CATEGORIES)}
