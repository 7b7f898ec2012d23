"""What the version was given, what moves it, and how its answer depends on the strongest."""

from __future__ import annotations

from typing import Any

import numpy as np

from treehouse.clickhouse.client import identifier, literal
from treehouse.report.subject import OURS, Missing, Subject

_BINS = 24
_STRONGEST = 6
SAMPLE = 500
_GRID = (2, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98)
_CATEGORIES = 8


def features(subject: Subject) -> list[dict[str, Any]]:
    """What is stored of each feature at the publish, the most important first.

    Each row is one of `statistics` and `text`, the column's description; for numbers also `bins`,
    the shares in equal steps from the 1st to the 99th percentile.
    """
    rows = subject.query(
        "select name, kind, rows, nulls, mean, quantiles, shares, categories, importance "
        f"from {subject.registry}.statistics where model = {{m:String}} "
        "and version = {v:UInt32} and role = 'feature' order by importance desc, name",
        m=subject.spec.use_case,
        v=subject.version.version,
    )
    if not rows:
        raise Missing(
            "This version was published without statistics of its features; the next one has them."
        )
    for row in rows:
        row["text"] = subject.texts.get(row["name"], "")
        row["bins"] = _histogram(row["quantiles"])
    return rows


def _histogram(quantiles: list[float]) -> list[float]:
    """Shares in equal steps from the 1st to the 99th percentile, from 101 quantiles."""
    if len(quantiles) != 101 or quantiles[1] >= quantiles[99]:
        return []
    low, high, bins = quantiles[1], quantiles[99], _BINS
    if all(value.is_integer() for value in quantiles) and high - low < bins:
        low, high, bins = low - 0.5, high + 0.5, int(high - low) + 1
    edges = np.linspace(low, high, bins + 1)
    # Share of the values at most x: at a value that many rows share, the last quantile counts.
    below = np.searchsorted(quantiles, edges, side="right") / 101
    below[0] = 0.0
    return [float(share) for share in np.diff(below)]


def dependence(subject: Subject, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Partial dependence on the strongest features, over a sample of the held-out rows.

    For each value of a grid, the mean prediction if every row of the sample had that value. Source:
    Friedman: Greedy function approximation (2001), section 8.2.

    Args:
        subject: The version and its rows.
        known: Of `features`.

    Returns:
        For each: name, kind, text, points (value or null, label, predicted).
    """
    if subject.spec.task in ("classes", "sequence"):
        raise Missing(f"A model of {subject.spec.task} has no single answer to draw.")
    if same := [f.name for f in subject.contract.features if f.name in OURS]:
        raise Missing(f"The page has columns of its own that are called {', '.join(same)}.")
    strongest = [row for row in known if row["importance"] > 0][:_STRONGEST]
    if not strongest:
        raise Missing("This version has no contributions of its features.")
    return [
        {key: row[key] for key in ("name", "kind", "text", "importance")}
        | {"points": _partial(subject, row)}
        for row in strongest
    ]


def _partial(subject: Subject, row: dict[str, Any]) -> list[dict[str, Any]]:
    column = identifier(row["name"])
    if row["kind"] == "categorical":
        grid = [literal(name) for name in row["categories"][:_CATEGORIES]]
    else:
        values = sorted({row["quantiles"][at] for at in _GRID}) if row["quantiles"] else []
        grid = [f"{value!r}::Float64" for value in values]
        grid += ["nan::Float64"] if row["nulls"] * 100 > row["rows"] else []
    if not grid:
        return []
    return subject.query(
        f"""
        with
            sample as (
                select * except (answers, predicted)
                from ({subject.held_out()})
                order by row_key
                limit {SAMPLE}
            ),
            varied as (
                select * except ({column}), arrayJoin([{", ".join(grid)}]) as {column} from sample
            )
        select
            {column} as value,
            avg(arrayElement({subject.answers}, 2)) as predicted
        from varied
        group by value
        order by value
        """
    )
