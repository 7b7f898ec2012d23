"""`bench sql`: models over whole tables in SQL, beside the kernel alone and the usual ways.

Per row of 15 Float64 columns: the scorer behind its UDF; its kernel alone; a Python UDF that calls
LightGBM; a client that fetches, predicts and inserts back; and, for the small model, the trees as
SQL expressions.

A query thread waits for the answer to one block before it makes the next, so larger blocks are
scored faster: 65,409 rows by LARGE_BLOCKS, where the engine by itself makes 8,192 rows of these 15
columns. Both are measured.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from treehouse.bench import models
from treehouse.bench.scorer import Ours
from treehouse.bench.trees_in_sql import trees_in_sql
from treehouse.clickhouse.client import connect_embedded
from treehouse.forest import compile_forest
from treehouse.project.settings import ROOT, Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Record = dict[str, Any]
_COLUMNS = [f"x{i}" for i in range(models.N_FEATURES)]
LARGE_BLOCKS = "settings preferred_block_size_bytes = 0"
_SLOW_ROWS = 50_000
"""The slow contenders get as many rows as fit into some seconds; all figures are per row."""
_PYTHON_UDF = """\
#!{python}
import sys, numpy as np, lightgbm
booster = lightgbm.Booster(model_file={model!r})
source, sink = sys.stdin.buffer, sys.stdout.buffer
while head := source.read(16):
    rows = int.from_bytes(head[8:], "little")
    size = int.from_bytes(source.read(8), "little")
    values = np.frombuffer(source.read(size)[8 * rows :], "<f8").reshape(rows, -1)
    answer = np.asarray(booster.predict(values, num_threads=1), "<f8").tobytes()
    sink.write(b"".join(n.to_bytes(8, "little") for n in (1, rows, len(answer))) + answer)
    sink.flush()
"""
_DECLARATION = """\
<functions><function>
  <type>executable_pool</type><name>bench_python_udf</name><pool_size>{threads}</pool_size>
  <return_type>Float64</return_type><return_name>value</return_name>
  <argument><type>Array(Float64)</type><name>numeric</name></argument>
  <format>Buffers</format><command>bench_python_udf</command>
  <max_command_execution_time>600</max_command_execution_time>
  <command_read_timeout>600000</command_read_timeout>
  <command_write_timeout>600000</command_write_timeout>
</function></functions>
"""


def run(
    settings: Settings,
    rows: tuple[int, ...] = (1_000_000, 10_000_000),
    shapes: tuple[str, ...] = ("small", "large"),
    rounds: int = 3,
    report: Callable[..., None] | None = None,
) -> list[Record]:
    """Measure in a home folder of its own; ratios are to the SQL function on the same rows."""
    records: list[Record] = []
    with tempfile.TemporaryDirectory(prefix="treehouse-bench-") as folder:
        own = Settings(home=Path(folder), memory_bytes=settings.memory_bytes)
        fitted = {name: models.make(name) for name in shapes}
        for name, shape in fitted.items():
            shape.model.save_model(f"{folder}/{name}.txt")
        _declare_python_udf(own, shapes[-1])
        client = connect_embedded(own, functions=f"{folder}/functions")
        for count in rows:
            _make_table(client, count)
            for name, shape in fitted.items():
                if report:
                    report(f"{name}, {count} rows", None, None)
                forest = compile_forest(shape.model, tuple(_COLUMNS))
                ours = Ours(forest, own.home / "user_files" / "treehouse")
                ways = _ways(client, shape, ours, count, with_udf=name == shapes[-1])
                records += _measure(name, count, ways, rounds)
        client.close()
    return records


def _ways(
    client: Client, shape: models.Shape, ours: Ours, count: int, *, with_udf: bool
) -> dict[str, Callable[[], float]]:
    """Name to a function that answers seconds a row, all cores in use."""
    threads = os.cpu_count() or 1
    numeric = f"[{', '.join(_COLUMNS)}]"
    call = f"treehouse_score(toUInt64({ours.number}), {numeric}, emptyArrayString())[2]"
    slow = min(count, _SLOW_ROWS)
    scored = f"select sum({call}) from bench"
    ways = {
        "treehouse in SQL": lambda: _query(client, f"{scored} {LARGE_BLOCKS}", count),
        "kernel alone": lambda: _kernel(ours, threads),
        "treehouse in SQL, the engine's blocks": lambda: _query(client, scored, count),
        "reading the columns": lambda: _query(
            client, f"select sum(arraySum({numeric})) from bench", count
        ),
        "client round trip": lambda: _round_trip(client, shape, slow),
    }
    if with_udf:
        sql = f"select sum(bench_python_udf({numeric})) from (select * from bench limit {slow})"
        ways["Python UDF with LightGBM"] = lambda: _query(client, sql, slow)
    if shape.name == "small":
        trees = trees_in_sql(shape.model, _COLUMNS)
        sql = f"select sum({trees}) from (select * from bench limit {slow})"
        ways["trees as SQL expressions"] = lambda: _query(client, sql, slow)
    return ways


def _measure(
    shape: str, count: int, ways: dict[str, Callable[[], float]], rounds: int
) -> list[Record]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # processes started, caches warm
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(way())
    medians = {name: statistics.median(found) for name, found in times.items()}
    base = medians["treehouse in SQL"]
    return [
        {
            "bench": "sql",
            "shape": shape,
            "contender": name,
            "rows": count,
            "threads": os.cpu_count(),
            "ns_per_row": round(seconds * 1e9, 1),
            "ratio": round(seconds / base, 3),
        }
        for name, seconds in medians.items()
    ]


def _query(client: Client, sql: str, rows: int) -> float:
    settings = {
        "max_query_size": 10**8,
        "max_ast_elements": 10**7,
        "max_expanded_ast_elements": 10**7,
    }
    started = time.perf_counter()
    client.query(sql, settings=settings)
    return (time.perf_counter() - started) / rows


def _kernel(ours: Ours, threads: int) -> float:
    """Seconds a row of a kernel on every core at the same time, without pipes and parsing."""
    rows = models.rows(100_000, 3)
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(ours.seconds_per_row, rows, 4, 10_000) for _ in range(threads)]
        found = [statistics.median(each.result()[1:]) for each in waiting]
    return statistics.mean(found) / threads


def _round_trip(client: Client, shape: models.Shape, rows: int) -> float:
    """Fetch, predict, insert back: what is done without functions in the database."""
    client.command("create table if not exists predicted (value Float64) engine = Memory")
    started = time.perf_counter()
    fetched = client.query(
        f"select {', '.join(_COLUMNS)} from bench limit {rows}", column_oriented=True
    ).result_columns
    values = np.column_stack([np.asarray(column) for column in fetched])
    answer = np.asarray(shape.model.predict(values, num_threads=os.cpu_count()))
    client.insert("predicted", [answer.tolist()], column_names=["value"], column_oriented=True)
    seconds = time.perf_counter() - started
    client.command("truncate table predicted")
    return seconds / rows


def _make_table(client: Client, rows: int) -> None:
    columns = ", ".join(f"randNormal(0, 1, {i}) as {name}" for i, name in enumerate(_COLUMNS))
    client.command("drop table if exists bench")
    client.command(
        "create table bench engine = MergeTree order by tuple() as "
        f"select {columns} from numbers({rows})"
    )


def _declare_python_udf(settings: Settings, shape: str) -> None:
    functions, scripts = settings.home / "functions", settings.home / "user_scripts"
    for folder in (functions, scripts, settings.home / "user_files" / "treehouse"):
        folder.mkdir(parents=True, exist_ok=True)
    declared = (ROOT / "udfs" / "treehouse_function.xml").read_text()
    (functions / "treehouse_function.xml").write_text(declared)
    (functions / "bench_function.xml").write_text(_DECLARATION.format(threads=os.cpu_count()))
    script = scripts / "bench_python_udf"
    script.write_text(
        _PYTHON_UDF.format(python=sys.executable, model=f"{settings.home}/{shape}.txt")
    )
    script.chmod(0o755)
