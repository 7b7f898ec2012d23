"""`bench scorer`: nanoseconds a row on one core, against the trainers' own libraries.

Every contender runs pinned to the same core, in turns, and the medians of the rounds are compared.
Ours is the kernel with ranking and heads, without parsing and pipes (`bench sql` has those).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.bench import models
from training.bench.block import buffers_block
from training.bench.onnx_forest import to_onnx
from training.bundle import Bundle, Inputs, bundle_id, e
from training.forest import Forest, compile_forest
from udfs.build import build

Floats = NDArray[np.float64]
Record = dict[str, Any]
BATCH = 10_000
#: A contender's round is cut to about this long: fewer rows for slow ones.
_SECONDS_PER_ROUND = 0.3


class Ours:
    """The scorer over one forest: a folder with its bundle, and blocks to measure."""

    def __init__(self, forest: Forest, folder: Path) -> None:
        self.binary = build()
        heads = {f"output {k}": e.out(0, k) for k in range(forest.n_outputs)}
        bundle = Bundle("bench", 1, "none", Inputs(forest.features), (forest,), heads)
        data = bundle.to_bytes()
        self.number, self.folder = bundle_id(data), folder
        (folder / f"{self.number:016x}.bundle").write_bytes(data)

    def seconds_per_row(self, rows: Floats, rounds: int, batch: int) -> list[float]:
        """Seconds a row, one number a round; scored `batch` rows at a time."""
        command = [str(self.binary), "--measure", str(rounds), "--batch", str(batch)]
        done = subprocess.run(
            [*command, "--files", str(self.folder)],
            input=buffers_block(self.number, rows),
            capture_output=True,
            check=True,
        )
        found: list[float] = json.loads(done.stdout)["seconds"]
        return [seconds / len(rows) for seconds in found]


def contenders(shape: models.Shape, forest: Forest) -> dict[str, Callable[[Floats], Any]]:
    """Name to a function that predicts float64 rows with one thread."""
    import treelite

    imported = shape.treelite_model()
    found: dict[str, Callable[[Floats], Any]] = {
        shape.library: shape.predict,
        "treelite gtil": lambda x: treelite.gtil.predict(imported, x, nthread=1),
    }
    if imported.get_header_accessor().get_field("threshold_type")[0] == 2:
        found["treelite gtil"] = lambda x: treelite.gtil.predict(
            imported, x.astype(np.float32), nthread=1
        )
    onnx = to_onnx(forest)
    if onnx is not None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        found["onnxruntime"] = lambda x: session.run(None, {"x": x.astype(np.float32)})
    return found


def _fitting_rows(predict: Callable[[Floats], Any], rows: Floats, alone: bool) -> Floats:
    """As many rows as fit into a round; also warms up."""
    sample = rows[: 5 if alone else 200]
    predict(sample)
    took = (_time_alone if alone else _time)(predict, sample)
    return rows[: max(1, min(len(rows), int(_SECONDS_PER_ROUND / took)))]


def measure(name: str, rounds: int = 5) -> list[Record]:
    """Records of one shape: batches of 10,000 rows, then single rows."""
    shape = models.make(name)
    features = tuple(f"x{i}" for i in range(models.N_FEATURES))
    forest = compile_forest(shape.model, features)
    rows = models.rows(BATCH, 1, shape.categorical)
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(forest, Path(folder))
        records: list[Record] = []
        for count in (BATCH, 1):
            times: dict[str, list[float]] = {"treehouse": []}
            runs = {
                contender: (predict, _fitting_rows(predict, rows, alone=count == 1))
                for contender, predict in contenders(shape, forest).items()
            }
            for _ in range(rounds):
                sample = rows if count > 1 else rows[:300]
                batch = BATCH if count > 1 else 1
                times["treehouse"] += ours.seconds_per_row(sample, 3, batch)[1:]
                for contender, (predict, own) in runs.items():
                    clock = _time if count > 1 else _time_alone
                    times.setdefault(contender, []).append(clock(predict, own))
            records += _records(name, count, times)
    return records


def _time(predict: Callable[[Floats], Any], rows: Floats) -> float:
    start = time.perf_counter()
    predict(rows)
    return (time.perf_counter() - start) / len(rows)


def _time_alone(predict: Callable[[Floats], Any], rows: Floats) -> float:
    """Row by row, each another one: a row that was just scored would be scored from the caches."""
    start = time.perf_counter()
    for i in range(len(rows)):
        predict(rows[i : i + 1])
    return (time.perf_counter() - start) / len(rows)


def _records(shape: str, rows: int, times: dict[str, list[float]]) -> list[Record]:
    medians = {contender: statistics.median(found) for contender, found in times.items()}
    return [
        {
            "bench": "scorer",
            "shape": shape,
            "contender": contender,
            "rows": rows,
            "threads": 1,
            "ns_per_row": round(seconds * 1e9, 1),
            "ratio": round(seconds / medians["treehouse"], 2),
        }
        for contender, seconds in medians.items()
    ]


def machine() -> str:
    """The processor's name, or what is known of it."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def run(shapes: Iterable[str] = models.NAMES, rounds: int = 5) -> list[Record]:
    """Measure the shapes on one core; records as the command line prints them with --json."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        return [record for shape in shapes for record in measure(shape, rounds)]
    finally:
        os.sched_setaffinity(0, before)


def main(arguments: list[str] | None = None) -> None:
    """`python -m training.bench.scorer [--json] [--shape NAME]... [--rounds N]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--shape", action="append", choices=models.NAMES)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    records = run(chosen.shape or models.NAMES, chosen.rounds)
    if chosen.json:
        json.dump(records, sys.stdout, indent=1)
        return
    print(machine())
    for record in records:
        print(
            f"{record['shape']:17} {record['rows']:6} {record['contender']:14} "
            f"{record['ns_per_row']:12.1f} ns/row {record['ratio']:8.2f}x"
        )


if __name__ == "__main__":
    main()
