"""How good the version is and what moves it, made ready to be drawn."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from treehouse.project import scales
from treehouse.project.scales import NOTHING, amount, figure, percent
from treehouse.report import features, quality, summary
from treehouse.report.subject import Missing, Subject

_STRONGEST = 8
_RULE_COLOURS = ("#7b8a99", "#b08d57", "#8d79a8", "#6f9aa3", "#a87979")


def quality_view(subject: Subject) -> dict[str, Any]:
    """The table of metrics, with the best of each that can be had."""
    found = quality.metrics(subject)
    contenders = found["contenders"]
    keys = summary.shown(contenders)
    best = {}
    for key in keys:
        losses = [
            (summary.METRICS[key].loss(c["metrics"][key]), c["name"])
            for c in contenders
            if c["kind"] != "best" and c["metrics"].get(key) is not None
        ]
        best[key] = min(losses)[1]
    table = [
        {
            "name": c["name"],
            "kind": c["kind"],
            "cells": [
                {
                    "text": summary.METRICS[key].show(c["metrics"].get(key), subject.unit),
                    "won": c["name"] == best[key],
                }
                for key in keys
            ],
        }
        for c in contenders
    ]
    columns = [summary.METRICS[key] for key in keys]
    return found | {"columns": columns, "table": table, "verdict": summary.verdict(contenders)}


def calibration_view(subject: Subject) -> dict[str, Any]:
    """Tenths with their numbers as text; `target` where there is an interval."""
    rows = quality.calibration(subject)
    show = partial(amount, unit=subject.unit)
    for row in rows:
        row["label"] = f"tenth {row['tenth']}"
        row["error"] = row["error"] if row["error"] and math.isfinite(row["error"]) else None
    has_range = bool(rows) and rows[0]["inside"] is not None
    return {
        "rows": rows,
        "numbers": [
            (r["tenth"], f"{r['rows']:,}", show(r["predicted"]), show(r["actual"])) for r in rows
        ],
        "inside": [(r["tenth"], percent(r["inside"])) for r in rows],
        "target": subject.spec.coverage if has_range else None,
    }


def gain_view(subject: Subject) -> dict[str, Any]:
    """Curves with their colours, and the title that says what they show."""
    curves = quality.gain(subject)
    rules = 0
    for curve in curves:
        curve["order"], curve["colour"] = {"model": 0, "best": 1}.get(curve["kind"], 2), ""
        if curve["kind"] == "rule":
            curve["colour"] = _RULE_COLOURS[rules % len(_RULE_COLOURS)]
            rules += 1
    tenth, unit = percent(curves[0]["curve"][5]), subject.unit
    return {
        "title": f"The first tenth {summary.brought(unit)} {tenth} of {summary.all_of(unit)}",
        "curves": curves,
        "numbers": [
            (c["name"], *(percent(c["curve"][step]) for step in (5, 10, 15, 25))) for c in curves
        ],
    }


def cohorts_view(subject: Subject) -> dict[str, Any]:
    """Dots with their scales: of logarithms where totals differ a lot."""
    found = quality.cohorts(subject)
    rows, show = found["cohorts"], partial(amount, unit=subject.unit)
    values = [row[key] for row in rows for key in ("predicted", "actual")]
    positive = [value for value in values if value > 0]
    is_wide = len(positive) == len(values) and max(values) > 30 * min(values)
    make = scales.logarithmic if is_wide else scales.linear
    most = max(row["rows"] for row in rows)
    for row in rows:
        row["radius"] = round(3 + 6 * math.sqrt(row["rows"] / most), 1)
    return {
        # SQL says nothing to most readers.
        "by": f" by {found['by']}" if "(" not in found["by"] else "",
        "dots": rows,
        "x": make(values, 60, 428),
        "y": make(values, 222, 14),
        "numbers": [
            (r["name"] or "(none)", f"{r['rows']:,}", show(r["predicted"]), show(r["actual"]))
            for r in rows
        ],
    }


def features_view(subject: Subject, known: dict[str, Any]) -> dict[str, Any]:
    """Features with their bars, and what moves a prediction most."""
    if not known["is_there"]:
        return known
    rows = known["rows"]
    for row in rows:
        if row["kind"] == "categorical":
            row["bins"] = row["shares"][: len(row["categories"])][:24]
            row["typical"] = row["categories"][0] if row["categories"] else NOTHING
        else:
            row["typical"] = figure(row["quantiles"][50]) if row["quantiles"] else NOTHING
    first = [row for row in rows if row["importance"] > 0][:3]
    lead = "It has no trees whose contributions could be told apart."
    if len(first) > 1:
        names = ", ".join(row["name"] for row in first[:-1]) + f" and {first[-1]['name']}"
        together = percent(sum(row["importance"] for row in first))
        lead = f"What moves a prediction most is {names}: {together} of all that features add."
    if subject.spec.known:
        lead += (
            f" {subject.spec.known}, the part that has already come, is in the answer as it is; "
            "the shares are of what is added to it."
        )
    top = max((row["importance"] for row in rows), default=0) or 1
    return known | {"lead": lead, "top": top, "strongest": rows[:_STRONGEST] if first else []}


def dependence_view(subject: Subject, known: dict[str, Any]) -> dict[str, Any]:
    """A small chart for each of the strongest, all on one scale of answers."""
    if not known["is_there"]:
        raise Missing(known["missing"])
    found = features.dependence(subject, known["rows"])
    answers = [point["predicted"] for chart in found for point in chart["points"]]
    y, x = scales.linear(answers, 138, 10), scales.linear(answers, 100, 238)
    show = partial(amount, unit=subject.unit)
    for chart in found:
        for point in chart["points"]:
            value = point["value"]
            point["is_missing"] = isinstance(value, float) and math.isnan(value)
            point["label"] = value if isinstance(value, str) else figure(value)
            point["label"] = "missing" if point["is_missing"] else point["label"]
        chart["numbers"] = [(p["label"], show(p["predicted"])) for p in chart["points"]]
        start = 84 if any(p["is_missing"] for p in chart["points"]) else 62
        values = [p["value"] for p in chart["points"] if not isinstance(p["value"], str)]
        chart["x"] = x if chart["kind"] == "categorical" else scales.linear(values, start, 284)
        chart["y"] = y
    return {"charts": found, "sample": features.SAMPLE}
