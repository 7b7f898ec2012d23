"""The gates of a publish: what a version is judged by before it gets a number.

Each is a measured value and the most that it may be. Contract and parity say whether the file is
the model at all, and stop a publish for good; for the others a person may have a reason.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import identifier
from treehouse.fit.dataset import lineage
from treehouse.fit.splits import lineage_splits
from treehouse.registry.outcome import Outcome
from treehouse.registry.quality_gates import judge_quality
from treehouse.registry.scorer_call import KINDS, answers_sql
from treehouse.registry.statistics import training_columns, training_set
from treehouse.registry.sums import judge_sums

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings
    from treehouse.spec import Spec
    from treehouse.spec.gates import Gates

_BATCH_ROWS = 10_000


def judge(
    client: Client, settings: Settings, spec: Spec, header: dict[str, Any], size: int
) -> list[Outcome]:
    """Every gate but contract and parity, for a model file that is in the engine."""
    most = spec.gates.size_bytes
    found = [
        Outcome("size", size, most, f"{size:,} bytes, at most {most:,}"),
        *_latency(client, settings, header, spec.gates),
        *_explanations(client, settings, header),
        _metrics(header),
        *judge_sums(header, spec.gates),
        _training_set(client, settings, spec, header),
    ]
    if not math.isnan(found[-1].value):
        found += judge_quality(client, settings, spec, header)
    return found


def write_gates(
    client: Client,
    settings: Settings,
    header: dict[str, Any],
    outcomes: Sequence[Outcome],
    *,
    version: int = 0,
    forced: bool = False,
) -> None:
    """One row in `gates` for each; version 0 for what was refused."""
    rows = [
        {
            "model": header["model"],
            "version": version,
            "bundle": header["bundle"],
            "step": step,
            "gate": outcome.gate,
            "passed": outcome.passed,
            "value": outcome.value,
            "bound": outcome.bound,
            "detail": outcome.detail,
            "forced": forced and not outcome.passed,
        }
        for step, outcome in enumerate(outcomes, 1)
    ]
    client.insert(
        "gates",
        [list(row.values()) for row in rows],
        column_names=list(rows[0]),
        database=settings.registry_database,
    )


def read_gates(
    client: Client, settings: Settings, model: str, version: int
) -> list[dict[str, Any]]:
    """What a version was judged by, in the order of the gates."""
    result = client.query(
        "select gate, passed, value, bound, detail, forced "
        f"from {identifier(settings.registry_database)}.gates "
        "where model = {model:String} and version = {version:UInt32} order by at, step",
        parameters={"model": model, "version": version},
    )
    return list(result.named_results())


def _latency(
    client: Client, settings: Settings, header: dict[str, Any], gates: Gates
) -> Iterator[Outcome]:
    """Times of golden rows, many at once and alone: the best of some, for machines are busy."""
    call = answers_sql(header["bundle"], KINDS, has_networks=bool(header["networks"]))
    golden = f"{identifier(settings.registry_database)}.golden_rows"
    times = -(-_BATCH_ROWS // max(len(header["info"]["golden"]["answers"]), 1))
    rows = f"from {golden} as rows cross join numbers({times}) as times"
    of_bundle = f"where bundle = {header['bundle']}"
    count = client.query(f"select count() {rows} {of_bundle}").result_rows[0][0] or math.nan
    batch = _seconds(
        client, f"select sum(length({call})) {rows} {of_bundle}", 3, gates.row_us * count / 1e6
    )
    row_us = batch / count * 1e6
    yield Outcome(
        "batch time", row_us, gates.row_us, f"{row_us:.3g} us a row, at most {gates.row_us:g}"
    )
    one = f"select {call} from {golden} {of_bundle} limit 1"
    call_ms = 1000 * _seconds(client, one, 5, gates.call_ms / 1000)
    yield Outcome(
        "call time", call_ms, gates.call_ms, f"{call_ms:.3g} ms a call, at most {gates.call_ms:g}"
    )


def _seconds(client: Client, sql: str, rounds: int, bound: float) -> float:
    """The least of some times; while that is above the bound, which may be for other work of the
    machine, as many again, up to ten times."""
    best = math.inf
    for _ in range(10):
        for _ in range(rounds):
            started = time.perf_counter()
            client.query(sql)
            best = min(best, time.perf_counter() - started)
        if not best > bound:
            break
    return best


def _explanations(client: Client, settings: Settings, header: dict[str, Any]) -> Iterator[Outcome]:
    """Whether explain_* can be asked: trees may be too deep for it, which the scorer knows."""
    if not header["explained"]:
        return
    call = answers_sql(header["bundle"], KINDS, has_networks=bool(header["networks"]))
    call = call.replace("treehouse_score(", "treehouse_explain(")
    golden = f"{identifier(settings.registry_database)}.golden_rows"
    try:
        client.query(f"select {call} from {golden} where bundle = {header['bundle']} limit 1")
    except ClickHouseError as error:
        found = re.search(
            r"a tree of depth \d+ over \d+ features is too deep to explain", str(error)
        )
        if not found:
            raise
        header["explained"] = False
        name = header["model"]
        yield Outcome(
            "explanations", 1, 0,
            f"{found[0]}, so explain_{name} would fail: bound the depth in the spec, or publish "
            "with --force without explanations",
        )  # fmt: skip
        return
    yield Outcome("explanations", 0, 0, "every tree can be explained")


def _metrics(header: dict[str, Any]) -> Outcome:
    """Metrics that are no number: something went wrong in the fit."""
    wrong = [
        name
        for name, value in header["info"]["metrics"]["model"].items()
        if isinstance(value, float) and not math.isfinite(value)
    ]
    detail = f"{', '.join(wrong)} of the test rows not finite" if wrong else "all are finite"
    return Outcome("metrics", len(wrong), 0, detail)


def _training_set(
    client: Client, settings: Settings, spec: Spec, header: dict[str, Any]
) -> Outcome:
    """Whether the engine's training set is the one that the model was fitted to."""
    name = f"{spec.use_case}_training_set"
    if not training_columns(client, settings, spec.use_case):
        return Outcome.unknown("training set", f"{name} is not in this engine: not judged")
    table, splits = training_set(settings, spec.contract), lineage_splits(header)
    now = lineage(client, table, spec, splits)["fingerprint"]
    # An older release has none where every row holds a null: as text they can be compared.
    differs = str(now) != str(header["info"]["lineage"]["fingerprint"])
    return Outcome(
        "training set",
        float(differs),
        0,
        f"{name} was built anew since the fit: train once more"
        if differs
        else "the one of the fit",
    )
