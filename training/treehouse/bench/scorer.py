"""`bench scorer`: nanoseconds a row on one core, against the trainers' own libraries.

Every contender runs pinned to the same core, in turns, and the medians of the rounds are compared.
Ours is the kernel with ranking and heads, without parsing and pipes (`bench sql` has those).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treehouse.bench import models
from treehouse.bench.block import buffers_block
from treehouse.bench.contenders import Predict, contenders
from treehouse.bench.limits import of_the_limit
from treehouse.bundle import Bundle, Inputs, bundle_id, e
from treehouse.forest import Forest, compile_forest
from udfs.build import build

Floats = NDArray[np.float64]
Record = dict[str, Any]
BATCH = 10_000
#: A contender's round is cut to about this long: fewer rows for slow ones.
_SECONDS_PER_ROUND = 0.3


def bundle_of(forest: Forest) -> Bundle:
    """One head for each of the forest's outputs."""
    heads = {f"output {k}": e.out(0, k) for k in range(forest.n_outputs)}
    return Bundle("bench", 1, "none", Inputs(forest.features), (forest,), heads)


class Ours:
    """The scorer over one forest: a folder with its bundle, and blocks to measure."""

    def __init__(self, forest: Forest, folder: Path) -> None:
        self.binary = build()
        data = bundle_of(forest).to_bytes()
        self.number, self.folder = bundle_id(data), folder
        self.forest = forest
        #: What the scorer chose, once it has measured.
        self.kernel, self.layout = "", ""
        self.path = folder / f"{self.number:016x}.bundle"
        self.path.write_bytes(data)

    def seconds_per_row(
        self, rows: Floats, rounds: int, batch: int, task: str | None = None
    ) -> list[float]:
        """Seconds a row, one number a round; `batch` rows at a time, scored or explained."""
        command = [str(self.binary), "--measure", str(rounds), "--batch", str(batch)]
        if task:
            command.append(task)
        done = subprocess.run(
            [*command, "--files", str(self.folder)],
            input=buffers_block(self.number, rows),
            capture_output=True,
            check=True,
        )
        found = json.loads(done.stdout)
        self.kernel, self.layout = found["kernel"], found["layout"]
        return [seconds / len(rows) for seconds in found["seconds"]]

    def with_limit(self, record: Record) -> Record:
        """Our own record, with its time per tree and its distance from the limit."""
        if record["contender"] != "treehouse":
            return record
        # A row alone takes its own path, to which the argument for batches does not apply.
        layout = self.layout if record["rows"] > 1 else "alone"
        return record | of_the_limit(self.forest, record["ns_per_row"], self.kernel, layout)


def fitting_rows(predict: Predict, rows: Floats, alone: bool) -> Floats:
    """As many rows as fit into a round; also warms up."""
    sample = rows[: 5 if alone else 200]
    predict(sample)
    took = clock(alone)(predict, sample)
    return rows[: max(1, min(len(rows), int(_SECONDS_PER_ROUND / took)))]


def measure(name: str, rounds: int = 5, tl2cgen: bool = False) -> list[Record]:
    """Records of one shape: batches of 10,000 rows, then single rows."""
    shape = models.make(name)
    features = tuple(f"x{i}" for i in range(models.N_FEATURES))
    forest = compile_forest(shape.model, features)
    rows = models.rows(BATCH, 1, shape.categorical)
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(forest, Path(folder))
        others = contenders(shape, forest, Path(folder), tl2cgen)
        records: list[Record] = []
        for count in (BATCH, 1):
            alone = count == 1
            times: dict[str, list[float]] = {"treehouse": []}
            runs = {
                contender: (predict, fitting_rows(predict, rows, alone))
                for contender, predict in others.items()
            }
            for _ in range(rounds):
                sample = rows[:300] if alone else rows
                times["treehouse"] += ours.seconds_per_row(sample, 3, count)[1:]
                for contender, (predict, own) in runs.items():
                    times.setdefault(contender, []).append(clock(alone)(predict, own))
            found = records_of("scorer", name, count, times)
            records += [ours.with_limit(record) for record in found]
    return records


def clock(alone: bool) -> Callable[[Predict, Floats], float]:
    """How seconds a row are taken: of a batch, or of rows one by one."""
    return _time_alone if alone else _time


def _time(predict: Predict, rows: Floats) -> float:
    start = time.perf_counter()
    predict(rows)
    return (time.perf_counter() - start) / len(rows)


def _time_alone(predict: Predict, rows: Floats) -> float:
    """Row by row, each another one: a row that was just scored would be scored from the caches."""
    start = time.perf_counter()
    for i in range(len(rows)):
        predict(rows[i : i + 1])
    return (time.perf_counter() - start) / len(rows)


def records_of(bench: str, shape: str, rows: int, times: dict[str, list[float]]) -> list[Record]:
    """Medians of each contender, and their ratio to ours."""
    medians = {contender: statistics.median(found) for contender, found in times.items()}
    return [
        {
            "bench": bench,
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


@contextmanager
def pinned() -> Iterator[None]:
    """Everything, and the processes started meanwhile, on the same one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(
    shapes: Iterable[str] = models.NAMES, rounds: int = 5, tl2cgen: bool = False
) -> list[Record]:
    """Measure the shapes on one core; records as the command line prints them with --json."""
    with pinned():
        return [record for shape in shapes for record in measure(shape, rounds, tl2cgen)]
