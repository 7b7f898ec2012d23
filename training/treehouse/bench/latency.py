"""`bench latency`: one row by SQL, beside `SELECT 1` in the same run.

One client in turns; then many clients at a fixed rate (open loop): the time of each call counts
from when it was due, so that waiting behind slow calls is not left out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from treehouse.clickhouse.client import connect, identifier
from treehouse.clickhouse.signature import NAMED
from treehouse.project.contract import Contract, Feature, contracts

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

Record = dict[str, Any]


def run(
    settings: Settings,
    use_case: str = "ltv",
    calls: int = 1000,
    clients: int = 16,
    rate: float = 100.0,
) -> list[Record]:
    """Milliseconds of a one-row prediction on the settings' target.

    Args:
        settings: Where a version of the use case is promoted (else the answer is null, as fast).
        use_case: Whose function is called.
        calls: For each query and setting.
        clients: Of the open loop.
        rate: Calls a second, over all clients.
    """
    queries = {
        "SELECT 1": "select 1",
        f"predict_{use_case}": _one_row(contracts()[use_case]),
        f"predict_{use_case}_row": _by_name(contracts()[use_case]),
        "treehouse_score alone": "select treehouse_score(0::UInt64, [1.], [''])",
    }
    client = connect(settings)
    cold = _timed(client, queries[f"predict_{use_case}"])
    records = [_record(settings, f"predict_{use_case}", "first call", 1, [cold])]
    single: dict[str, list[float]] = {name: [] for name in queries}
    for _ in range(calls):
        for name, query in queries.items():  # in turns, so that both see the same machine
            single[name].append(_timed(client, query))
    records += [_record(settings, n, "1 client", 1, times) for n, times in single.items()]
    for name, query in queries.items():
        times = _open_loop(settings, query, clients, rate, calls)
        shape = f"{clients} clients, {rate:g}/s"
        records.append(_record(settings, name, shape, clients, times))
    client.close()
    return _with_ratios(records)


def _one_row(contract: Contract) -> str:
    return f"select predict_{contract.use_case}({', '.join(map(_value, contract.features))})"


def _by_name(contract: Contract) -> str:
    values = ", ".join(f"{_value(f)} as {identifier(f.name)}" for f in contract.features)
    return f"select predict_{contract.use_case}_row(tuple({values})) {NAMED}"


def _value(feature: Feature) -> str:
    return "1" if feature.kind == "numeric" else "'US'"


def _timed(client: Client, query: str) -> float:
    started = time.perf_counter()
    client.query(query)
    return time.perf_counter() - started


def _open_loop(
    settings: Settings, query: str, clients: int, rate: float, calls: int
) -> list[float]:
    """Seconds of each call, counted from when it was due."""
    handles = [connect(settings) for _ in range(clients)]
    due = iter(range(calls))
    times: list[float] = []
    failures: list[BaseException] = []
    lock = threading.Lock()
    started = time.perf_counter() + 0.1

    def work(client: Client) -> None:
        try:
            while (turn := _next(due, lock)) is not None:
                when = started + turn / rate
                time.sleep(max(0.0, when - time.perf_counter()))
                client.query(query)
                with lock:
                    times.append(time.perf_counter() - when)
        except BaseException as error:  # told to the caller below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(handle,)) for handle in handles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for handle in handles:
        handle.close()
    if failures:
        raise failures[0]
    return times


def _next(due: Any, lock: threading.Lock) -> int | None:
    with lock:
        return next(due, None)


def _record(settings: Settings, name: str, shape: str, clients: int, times: list[float]) -> Record:
    ms = np.array(times) * 1e3
    quantile: Callable[[float], float] = lambda q: round(float(np.quantile(ms, q)), 3)  # noqa: E731
    return {
        "bench": "latency",
        "shape": shape,
        "contender": f"{name} ({settings.target})",
        "rows": 1,
        "threads": clients,
        "ns_per_row": round(quantile(0.5) * 1e6, 1),
        "median_ms": quantile(0.5),
        "p99_ms": quantile(0.99),
    }


def _with_ratios(records: list[Record]) -> list[Record]:
    """Ratio of the medians to `SELECT 1` of the same shape."""
    base = {r["shape"]: r["median_ms"] for r in records if r["contender"].startswith("SELECT 1")}
    return [
        r | {"ratio": round(r["median_ms"] / base[r["shape"]], 2) if r["shape"] in base else None}
        for r in records
    ]
