"""`bench refit`: what fitting the chosen model anew to all but the test rows brings.

Real tables, each cut at several times: the model of the spec with `refit="none"` and that with
"cross_fitted" answer the same later rows, and are compared row by row.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from treehouse.bench.refit_tables import Table, tables
from treehouse.clickhouse.client import connect, identifier
from treehouse.clickhouse.dbt import build
from treehouse.fit.candidates import choose, fit_candidates
from treehouse.fit.dataset import load_dataset
from treehouse.fit.deviance import deviances
from treehouse.fit.refit import refit
from treehouse.project.console import Report
from treehouse.project.errors import TreehouseError
from treehouse.simulation.demo_data import real_purchases
from treehouse.spec import Spec

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

Floats = NDArray[np.float64]
Record = dict[str, Any]
_DATABASE = "treehouse_bench_refit"
_ARMS = ("none", "cross_fitted")
_SURE = 0.001  # as the gates have it


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        rows: Of a table, about, chosen by unit; more take longer.
        seeds: Each chooses other rows and another course of every fit.
        tables: Which ones, by name; all without any.
    """

    rows: int = 50_000
    seeds: tuple[int, ...] = (1,)
    tables: tuple[str, ...] = ()


def run(settings: Settings, options: Options, report: Report = lambda *_: None) -> list[Record]:
    """Mean losses of both arms and the difference, a row for each table.

    Args:
        settings: Of a home folder for this alone.
        options: What is measured.
        report: Told the cuts.

    Returns:
        For each table: cuts (times and seeds), test rows of all of them, the share of the earlier
        rows that either arm fits; the loss of the gates, as a change in percent with an interval of
        95 % over clusters (customers, days); and for values of the interval: what it holds, its
        mean width, and the change of its score in percent, width + 2 / miss for each unit by which
        a label is missed (Gneiting, Raftery: Strictly proper scoring rules, 2007, section 6.2).

    Raises:
        TreehouseError: A package is not installed, or there is no such table.
    """
    with closing(connect(settings)) as client:
        report("purchases", None, None)
        real_purchases(client, settings, {}, lambda *_: None)
        build(
            settings,
            ["--select", "+path:models/purchase_value", "--exclude-resource-type", "test"],
        )
        scratch = settings.home / "files"
        scratch.mkdir(exist_ok=True)
        found = tables(settings, scratch)
        if unknown := set(options.tables) - set(found):
            raise TreehouseError(
                "There is no such table.", value=", ".join(unknown), expected=" or ".join(found)
            )
        client.command(f"create database if not exists {_DATABASE}")
        names = options.tables or tuple(found)
        return [_judge(client, settings, name, found[name], options, report) for name in names]


def _judge(
    client: Client, settings: Settings, name: str, table: Table, options: Options, report: Report
) -> Record:
    """One table over all cuts and seeds."""
    parts: list[dict[str, Floats]] = []
    cuts = [(cut, seed) for seed in options.seeds for cut in table.cuts]
    source = f"{_DATABASE}.source"
    client.command(
        f"create or replace table {source} engine = MergeTree order by id as {table.rows}"
    )
    count = client.query(f"select count() from {source}").result_rows[0][0]
    for done, (cut, seed) in enumerate(cuts):
        report(name, done, len(cuts))
        chosen = f"cityHash64(unit, {seed}) % 10000 < {10_000 * options.rows // max(count, 1)}"
        rows = f"(select * from {source} where {chosen})"
        client.command(
            f"create or replace table {_DATABASE}.refit_training_set engine = MergeTree "
            f"order by id as {table.training_set(rows, cut)}"
        )
        spec = replace(table.spec, boosting=replace(table.spec.boosting, seed=seed))
        parts.append(_compare(client, replace(settings, database=_DATABASE), spec))
    return {"bench": "refit", "table": name, "cuts": len(cuts)} | _summary(parts)


def _compare(client: Client, settings: Settings, spec: Spec) -> dict[str, Floats]:
    """What each arm loses in each test row of one training set, and what its interval holds."""
    data = load_dataset(client, settings, spec)
    chosen, _ = choose(spec, fit_candidates(spec, data), data)
    test = data.rows("test")
    clusters = client.query(
        f"select toString(cluster) from {identifier(settings.database)}.refit_training_set "
        "where split = 'test' order by id, at"
    ).result_columns[0]
    found = {"cluster": np.array(clusters)}
    for arm in _ARMS:
        of_arm = replace(spec, refit=arm)  # type: ignore[arg-type]
        final, heads, _ = refit(of_arm, data, chosen)
        answers = final.answers(heads, data.matrix[test], data.names)
        losses = _losses(spec, data.label[test], answers, data.scale)
        found |= {f"{arm} {name}": column for name, column in losses.items()}
        fitted = data.rows(*of_arm.fitted).sum() / (~test).sum()
        found[f"{arm} fitted"] = np.full(int(test.sum()), fitted)
    return found


def _losses(
    spec: Spec, actual: Floats, answers: dict[str, Floats], scale: float
) -> dict[str, Floats]:
    """Each row's loss, as the gates have it, and its interval's."""
    value = answers["value"]
    if spec.task == "probability":
        share = np.clip(value, _SURE, 1 - _SURE)
        return {"loss": -np.log(np.where(actual == 1, share, 1 - share))}
    low, high = answers["low"], answers["high"]
    missed = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
    return {
        "loss": deviances(actual, value, scale),
        "held": ((low <= actual) & (actual <= high)).astype(np.float64),
        "width": high - low,
        "score": high - low + 2 / (1 - spec.coverage) * missed,
    }


def _summary(parts: list[dict[str, Floats]]) -> Record:
    """One line of all cuts. Each cut counts by its rows, whatever its labels' size."""
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    found: Record = {"test_rows": len(rows["cluster"])}
    for arm in _ARMS:
        found[f"{arm}_fitted"] = round(float(rows[f"{arm} fitted"].mean()), 2)
    for name in ("loss", "score"):
        if f"none {name}" in rows:
            found |= _change(name, parts)
    for name in ("held", "width"):
        if f"none {name}" in rows:
            found |= {f"{arm}_{name}": float(rows[f"{arm} {name}"].mean()) for arm in _ARMS}
    return found


def _change(name: str, parts: list[dict[str, Floats]]) -> Record:
    """The change of a loss in percent of that without a refit, and its interval by clusters."""
    before, after = (f"{arm} {name}" for arm in _ARMS)
    change = np.concatenate([(p[after] - p[before]) / p[before].mean() for p in parts])
    _, cluster = np.unique(np.concatenate([p["cluster"] for p in parts]), return_inverse=True)
    sums = np.bincount(cluster, change)
    error = np.sqrt(len(sums) * sums.var(ddof=1)) / len(change)
    mean = float(change.mean())
    ends = (mean - 1.96 * error, mean + 1.96 * error)
    better = sum(bool(p[after].mean() < p[before].mean()) for p in parts)
    return {
        f"{name}_change": f"{mean:+.2%} ({ends[0]:+.2%} to {ends[1]:+.2%})",
        f"{name}_better": f"{better} of {len(parts)}",
    }
