"""`bench footprint`: what serving a model costs beside scoring: compiling, loading, memory.

Compiling is the way from the fitted booster to the file's bytes; loading is mapping the file and
checking all of it, by a process that does nothing else, less what starting that process takes.
Memory is a scorer's most resident memory while it answers one block, less the model file, whose
pages all processes share.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from treehouse.bench import models
from treehouse.bench.block import buffers_pieces
from treehouse.bench.scorer import Ours, bundle_of
from treehouse.forest import compile_forest

Record = dict[str, Any]
BLOCKS = (1, 65_536, 1_000_000, 2_000_000)


def run(shape: str = "large", blocks: Iterable[int] = BLOCKS, rounds: int = 5) -> list[Record]:
    """Seconds, milliseconds and megabytes for one of :data:`models.NAMES`."""
    fitted = models.make(shape)
    features = tuple(f"x{i}" for i in range(models.N_FEATURES))
    compiling = [
        _seconds(lambda: bundle_of(compile_forest(fitted.model, features)).to_bytes())
        for _ in range(rounds)
    ]
    records = [_record(shape, "compile the booster to a file", 0, compiling, "s", 1)]
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(compile_forest(fitted.model, features), Path(folder))
        size = ours.path.stat().st_size
        loading = [_load_ms(ours) for _ in range(4 * rounds)]
        records += [
            _record(shape, "model file", 0, [size / 1e6], "MB", None),
            _record(shape, "load and check the file", 0, loading, "ms", 20),
        ]
        for rows in blocks:
            peak = (_peak_bytes(ours, rows) - size) / 1e6
            target = 20 if rows <= BLOCKS[1] else None
            records.append(_record(shape, "process beside the model", rows, [peak], "MB", target))
    return records


def _record(
    shape: str, what: str, rows: int, found: list[float], unit: str, target: float | None
) -> Record:
    return {
        "bench": "footprint",
        "shape": shape,
        "contender": what,
        "rows": rows,
        "value": round(statistics.median(found), 3),
        "unit": unit,
        "target": target,
    }


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _load_ms(ours: Ours) -> float:
    return 1e3 * (_start(ours, "--check", str(ours.path)) - _start(ours, "--version"))


def _start(ours: Ours, *arguments: str) -> float:
    """Seconds of a process from its start to its end."""
    command = [str(ours.binary), *arguments]
    return _seconds(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))


def _peak_bytes(ours: Ours, rows: int) -> int:
    """The process's own high-water mark once it has answered a block of this many rows."""
    command = [str(ours.binary), "--files", str(ours.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        sample = models.rows(min(rows, 65_536), 1)
        pieces = buffers_pieces(ours.number, sample, rows)
        sink, source = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        feeder = threading.Thread(target=_feed, args=(sink, pieces))
        feeder.start()
        _read_answers(source, rows)
        feeder.join()
        status = Path(f"/proc/{process.pid}/status").read_text()
        sink.close()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _feed(sink: IO[bytes], pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        sink.write(piece)
    sink.flush()


def _read_answers(source: IO[bytes], rows: int) -> None:
    while rows > 0:
        head = source.read(24)
        rows -= int.from_bytes(head[8:16], "little")
        source.read(int.from_bytes(head[16:], "little"))
