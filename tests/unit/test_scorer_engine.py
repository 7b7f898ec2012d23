"""The scorer inside the real engine, through the one function declaration that ships."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from tests.support.scorer_pipe import Scorer
from tests.unit.test_forest_lightgbm import FEATURES, bundle_of, hard_test_rows, train
from treehouse.bundle import Bundle, Inputs, bundle_id, e
from treehouse.forest import compile_forest
from udfs.build import HERE

#: Runs in a process of its own: chDB allows one data path per process.
_QUERIES = """
import json, sys
import clickhouse_connect
home, queries = sys.argv[1], json.load(sys.stdin)
client = clickhouse_connect.get_client(
    interface="chdb", path=home + "/data", chdb_options={"config-file": home + "/config.xml"},
    settings={"input_format_skip_unknown_fields": 0},
)
answers = []
for query in queries:
    try:
        answers.append([list(row) for row in client.query(query).result_rows])
    except Exception as error:
        answers.append(str(error))
json.dump(answers, sys.stdout)
"""


class Engine:
    """A chDB with the scorer installed, one process per call."""

    def __init__(self, home: Path, binary: Path) -> None:
        self.home = home
        for folder in ("user_scripts", "user_files/treehouse", "udfs"):
            (home / folder).mkdir(parents=True)
        shutil.copy(binary, home / "user_scripts" / "treehouse-scorer")
        shutil.copy(HERE / "treehouse_function.xml", home / "udfs")
        (home / "config.xml").write_text(
            f"<clickhouse><user_scripts_path>{home}/user_scripts</user_scripts_path>"
            f"<user_defined_executable_functions_config>{home}/udfs/*_function.xml"
            "</user_defined_executable_functions_config></clickhouse>"
        )

    def publish(self, bundle: Bundle) -> int:
        data = bundle.to_bytes()
        name = f"{bundle_id(data):016x}.bundle"
        (self.home / "user_files" / "treehouse" / name).write_bytes(data)
        return bundle_id(data)

    def __call__(self, *queries: str) -> list[list[list[object]] | str]:
        done = subprocess.run(
            [sys.executable, "-c", _QUERIES, str(self.home)],
            input=json.dumps(queries),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: list[list[list[object]] | str] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def engine(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("engine"), scorer.binary)


pytestmark = pytest.mark.embedded


def test_rows_of_a_parquet_file_score_as_lightgbm_does(engine: Engine) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    booster: lgb.Booster = train({"objective": "poisson"})
    forest = compile_forest(booster, FEATURES)
    bundle = bundle_of(forest)
    number = engine.publish(bundle)
    rows, countries = hard_test_rows(forest, 20_000)
    raw = booster.predict(rows, raw_score=True)
    columns = {name: rows[:, i] for i, name in enumerate(FEATURES) if name != "country"}
    table = pa.table({**columns, "country": [c[0] for c in countries], "raw": raw})
    pq.write_table(table, engine.home / "rows.parquet")
    heads = f"treehouse_score(toUInt64({number}), [a, b, c, hour], [country])"
    (found,) = engine(
        f"select count(), countIf(h[2] = raw), uniqExact(h[1]) "
        f"from (select {heads} as h, raw from file('{engine.home}/rows.parquet'))"
    )
    assert found == [[20_000, 20_000, 1]]


def test_versions_mix_and_no_champion_answers_nothing(engine: Engine) -> None:
    inputs = Inputs(("x",), {"c": ("DE", "US")})
    one = engine.publish(Bundle("m", 1, "c", inputs, (), {"v": e.feature("x")}))
    two = engine.publish(
        Bundle("m", 2, "c", inputs, (), {"v": e.feature("x") * 10, "code": e.feature("c")})
    )
    pick = f"transform(number % 3, [0, 1], [toUInt64({one}), toUInt64({two})], toUInt64(0))"
    (found,) = engine(
        f"select treehouse_score({pick}, [toFloat64(number)], ['US']) from numbers(100000) "
        "order by number limit 6"
    )
    assert found == [[[1, 0]], [[2, 10, 1]], [[]], [[1, 3]], [[2, 40, 1]], [[]]]


def test_null_is_a_missing_value(engine: Engine) -> None:
    heads = {"x": e.if_nan(e.feature("x"), -1), "c": e.if_nan(e.feature("c"), -1)}
    inputs = Inputs(("x",), {"c": ("DE", "US")})
    number = engine.publish(Bundle("nulls", 1, "c", inputs, (), heads))
    score = f"treehouse_score(toUInt64({number})"
    found = engine(
        f"select {score}, [null], [null]), {score}, [1], ['US'])",
        # the columns keep their values beneath the nulls
        f"select {score}, [nullIf(number, 5)], [nullIf('US', if(number = 5, 'US', ''))]) as heads, "
        "count() from numbers(10) group by heads order by heads limit 2",
    )
    assert found == [[[[1, -1, -1], [1, 1, 1]]], [[[1, -1, -1], 1], [[1, 0, 1], 1]]]


def test_a_refusal_is_the_querys_error_and_the_next_query_works(engine: Engine) -> None:
    number = engine.publish(Bundle("ltv", 3, "c", Inputs(("x",)), (), {"v": e.feature("x")}))
    good = f"select treehouse_score(toUInt64({number}), [1.], [])"
    bad = f"select treehouse_score(toUInt64({number}), [1., 2.], [])"
    found = engine(good, bad, good, "select treehouse_score(toUInt64(77), [1.], [])", good)
    assert [found[i] for i in (0, 2, 4)] == [[[[3, 1]]]] * 3
    assert "(ltv version 3) takes 1 numeric inputs, row 0 brings 2" in str(found[1])
    assert "000000000000004d.bundle" in str(found[3])


def test_a_block_of_two_million_rows(engine: Engine) -> None:
    inputs = Inputs(tuple(f"x{i}" for i in range(15)))
    total = e.feature("x0") + e.feature("x14")
    number = engine.publish(Bundle("wide", 1, "c", inputs, (), {"v": total}))
    array = "arrayMap(i -> toFloat64(number + i), range(15))"
    (found,) = engine(
        f"select sum(treehouse_score(toUInt64({number}), {array}, [])[2]) "
        "from numbers(2000000) settings max_block_size = 2000000, max_threads = 1"
    )
    n = np.arange(2_000_000)
    assert found == [[float((2 * n + 14).sum())]]


def test_explanations_add_up_and_loaded_files_are_told(engine: Engine) -> None:
    booster: lgb.Booster = train({"objective": "binary"})
    forest = compile_forest(booster, FEATURES)
    number = engine.publish(bundle_of(forest))
    row = "[number / 10., 1., 2., nan], [concat('country ', toString(number % 50))]"
    call = f"(toUInt64({number}), {row})"
    found = engine(
        f"select max(abs(arraySum(treehouse_explain{call}) - treehouse_score{call}[2])) < 1e-9, "
        f"min(length(treehouse_explain{call})) from numbers(2000)",
        "select arrayFilter(f -> JSONExtractUInt(f, 'rows') > 0 and JSONExtractString(f, 'bundle')"
        f" = lower(hex(toUInt64({number}))), treehouse_loaded(1)) as files, "
        "arraySum(f -> JSONExtractUInt(f, 'rows'), files) > 0 and "
        "arrayAll(f -> JSONExtractString(f, 'model') = 'parity', files)",
    )
    assert found[0] == [[1, 6]]
    assert found[1][0][1] == 1, found[1]
