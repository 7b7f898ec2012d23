"""`bench network`: the worker for neural networks beside ONNX Runtime alone and the forest scorer.

Two shapes: an MLP over 15 numbers, and an LSTM over the last 20 of 1,000 tokens with their gaps.
Whole tables and single rows in SQL, the first answer of a new process, and a process's memory.
"""

from __future__ import annotations

import io
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from treehouse.bench import models
from treehouse.bench.block import buffers_block
from treehouse.bench.network_graphs import lstm_graph, mlp_graph, random_weights
from treehouse.bundle import Bundle, Inputs, Network, bundle_id, e
from treehouse.clickhouse.client import connect_embedded
from treehouse.forest import compile_forest
from treehouse.project.settings import Settings
from udfs.network.inputs import NetworkInputs, Scaling, Series, Tokens
from udfs.network.rows import Rows, batch_of, names_of
from udfs.network.worker import CHUNK

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Record = dict[str, Any]
NUMERIC = tuple(f"x{i}" for i in range(models.N_FEATURES))
VOCABULARY = tuple(f"query {i}" for i in range(1000))
LENGTH, HIDDEN, WIDTH = 20, 64, 32
_SINGLE_ROWS, _STARTS = 200, 5
_COLUMNS = ("numeric", "categorical", "tokens", "series")


def make_bundles() -> dict[str, Bundle]:
    """Shape to a bundle of one network; and "forest", of 100 trees x 31 leaves."""
    dense = random_weights(1, w1=(len(NUMERIC), HIDDEN), w2=(HIDDEN, 1))
    sequence = random_weights(
        2,
        table=(len(VOCABULARY) + 2, WIDTH),
        w=(1, 4 * HIDDEN, WIDTH + 1),
        r=(1, 4 * HIDDEN, HIDDEN),
        out=(HIDDEN, 1),
    )
    mlp = NetworkInputs(numeric=dict.fromkeys(NUMERIC, Scaling()))
    lstm = NetworkInputs(
        tokens={"recent": Tokens(VOCABULARY, LENGTH)},
        series={"gaps": Series(LENGTH, Scaling(is_log=True))},
    )
    forest = compile_forest(models.make("small").model, NUMERIC)
    inputs = Inputs(NUMERIC)
    return {
        "mlp": _bundle(inputs, Network(mlp_graph(dense), mlp, ("p",), ("answer",))),
        "lstm": _bundle(
            Inputs((), {}, ("recent",), ("gaps",)),
            Network(lstm_graph(sequence, LENGTH), lstm, ("p",), ("answer",)),
        ),
        "forest": Bundle("bench", 1, "none", inputs, (forest,), {"value": e.out()}),
    }


def _bundle(inputs: Inputs, network: Network) -> Bundle:
    return Bundle("bench", 1, "none", inputs, (), {"value": e.feature("p")}, networks=(network,))


def run(
    settings: Settings,
    rows: int = 200_000,
    rounds: int = 3,
    report: Callable[..., None] | None = None,
) -> list[Record]:
    """Measure in a home folder of its own; ratios are to the worker's function in SQL."""
    bundles = make_bundles()
    with tempfile.TemporaryDirectory(prefix="treehouse-bench-") as folder:
        own = Settings(home=Path(folder), memory_bytes=settings.memory_bytes)
        client = connect_embedded(own)
        for bundle in bundles.values():
            data = bundle.to_bytes()
            path = own.home / "user_files" / "treehouse" / f"{bundle_id(data):016x}.bundle"
            path.write_bytes(data)
        _make_table(client, rows)
        records: list[Record] = []
        for shape in ("mlp", "lstm"):
            if report:
                report(f"{shape}, {rows} rows", None, None)
            records += _tables(client, bundles, shape, rows, rounds)
            records += _single_rows(client, bundles, shape)
            records += _processes(own, bundles, shape)
        client.close()
    return records


def _make_table(client: Client, rows: int) -> None:
    numbers = ", ".join(f"randNormal(0, 1, {i})" for i in range(len(NUMERIC)))
    places = f"range(number % {2 * LENGTH})"
    client.command("drop table if exists bench")
    client.command(
        "create table bench (numeric Array(Float64), recent Array(String), gaps Array(Float64)) "
        "engine = MergeTree order by tuple() as "
        f"select [{numbers}], arrayMap(i -> concat('query ', toString((number + 7 * i) % 1100)), "
        f"{places}), arrayMap(i -> 1. + (number + i) % 600, {places}) from numbers({rows})"
    )


def _call(bundles: dict[str, Bundle], shape: str) -> str:
    """SQL of the answer for a row of the table."""
    number = bundle_id(bundles[shape].to_bytes())
    if shape == "forest":
        return f"treehouse_score({number}::UInt64, numeric, emptyArrayString())[2]"
    arrays = {"mlp": "numeric, emptyArrayString(), [], []",
              "lstm": "emptyArrayFloat64(), emptyArrayString(), [recent], [gaps]"}  # fmt: skip
    return f"treehouse_network({number}::UInt64, {arrays[shape]})[1]"


def _tables(
    client: Client, bundles: dict[str, Bundle], shape: str, rows: int, rounds: int
) -> list[Record]:
    """Seconds a row over the whole table, one thread."""

    def in_sql(which: str) -> float:
        sql = f"select sum({_call(bundles, which)}) from bench settings max_threads = 1"
        return _seconds(lambda: client.query(sql)) / rows

    ways: dict[str, Callable[[], float]] = {
        "treehouse": lambda: in_sql(shape),
        "ONNX Runtime alone": lambda: _alone(bundles[shape].networks[0]),
        "forest scorer": lambda: in_sql("forest"),
    }
    for way in ways.values():
        way()  # processes started, caches warm
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(way())
    return _records(shape, rows, times)


def _alone(network: Network, rows: int = CHUNK) -> float:
    """Seconds a row of the graph over arrays that lie ready, as many rows as the worker takes."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(network.graph, options, providers=["CPUExecutionProvider"])
    ready = network.inputs.arrays(_rows(network, rows), [i.name for i in session.get_inputs()])
    return _seconds(lambda: session.run(None, ready)) / rows


def _rows(network: Network, rows: int) -> Rows:
    return Rows(_batch(network, rows), names_of(network.inputs), "bench")


def _batch(network: Network, rows: int) -> pa.RecordBatch:
    rng = np.random.default_rng(3)
    numeric = rng.normal(size=(rows, len(network.inputs.numeric))).tolist()
    if not network.inputs.tokens:
        return batch_of(numeric=numeric)
    tokens = [[[VOCABULARY[i] for i in codes]] for codes in rng.integers(0, 1000, (rows, LENGTH))]
    gaps = rng.exponential(60.0, (rows, 1, LENGTH)).tolist()
    return batch_of(numeric=numeric, tokens=tokens, series=gaps)


def _single_rows(client: Client, bundles: dict[str, Bundle], shape: str) -> list[Record]:
    """Seconds of a query for one row; in turns, so that all see the same machine."""
    row = "(select * from bench limit 1)"
    queries = {
        "treehouse": f"select {_call(bundles, shape)} from {row}",
        "forest scorer": f"select {_call(bundles, 'forest')} from {row}",
        "SELECT 1": f"select 1 from {row}",
    }
    times: dict[str, list[float]] = {name: [] for name in queries}
    for _ in range(_SINGLE_ROWS):
        for name, sql in queries.items():
            times[name].append(_seconds(lambda sql=sql: client.query(sql)))  # type: ignore[misc]
    return _records(shape, 1, times)


def _processes(settings: Settings, bundles: dict[str, Bundle], shape: str) -> list[Record]:
    """Seconds to the first answer of a new process; its memory after a block of 65,536 rows."""
    programs = {"treehouse": "treehouse-network", "forest scorer": "treehouse-scorer"}
    found: dict[str, list[float]] = {}
    memory: dict[str, int] = {}
    for name, program in programs.items():
        bundle = bundles[shape if name == "treehouse" else "forest"]
        path = settings.home / "user_scripts" / program
        one, many = (_block(bundle, count) for count in (1, 65_536))
        found[name] = [_seconds_and_peak(path, one)[0] for _ in range(_STARTS)]
        memory[name] = _seconds_and_peak(path, many)[1]
    records = _records(f"{shape}, new process", 1, found)
    return [r | {"peak_mib": round(memory[r["contender"]] / 2**20)} for r in records]


def _block(bundle: Bundle, rows: int) -> bytes:
    number = bundle_id(bundle.to_bytes())
    if not bundle.networks:
        return buffers_block(number, models.rows(rows, 3))
    batch = _batch(bundle.networks[0], rows)
    sink = io.BytesIO()
    ids = pa.array(np.full(rows, number, np.uint64))
    table = pa.record_batch([ids, *batch.columns], names=["bundle", *_COLUMNS])
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_batch(table)
    return sink.getvalue()


def _seconds_and_peak(program: Path, block: bytes) -> tuple[float, int]:
    """Seconds until a new process has answered a block, and its peak memory in bytes."""
    answer = subprocess.run([program], input=block, capture_output=True, check=True).stdout
    started = time.perf_counter()
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        source, target = process.stdin, process.stdout
        if source is None or target is None:
            raise RuntimeError("a process without pipes")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: (source.write(block), source.flush()))
            target.read(len(answer))
        seconds = time.perf_counter() - started
        status = Path(f"/proc/{process.pid}/status").read_text()
        source.close()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    return seconds, int(peak[1]) * 1024 if peak else 0


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _records(shape: str, rows: int, times: dict[str, list[float]]) -> list[Record]:
    """Medians, and each contender's ratio to ours."""
    medians = {name: statistics.median(found) for name, found in times.items()}
    return [
        {
            "bench": "network",
            "shape": shape,
            "contender": name,
            "rows": rows,
            "threads": 1,
            "ns_per_row": round(seconds * 1e9, 1),
            "ratio": float(f"{seconds / medians['treehouse']:.3g}"),
            "peak_mib": None,
        }
        for name, seconds in medians.items()
    ]
