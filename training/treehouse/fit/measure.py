"""Metrics on the test rows: of the model, its baselines, and the best possible if known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle import Expression
from treehouse.fit.baselines import rules
from treehouse.fit.candidate import Candidate
from treehouse.fit.classification_metrics import class_metrics, probability_metrics
from treehouse.fit.dataset import Dataset
from treehouse.fit.regression_metrics import coverage, value_metrics
from treehouse.fit.sequence_metrics import sequence_metrics
from treehouse.fit.sequences import ranked
from treehouse.project.errors import TreehouseError, first_line
from treehouse.spec.units import label_unit

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings
    from treehouse.spec import Spec

Floats = NDArray[np.float64]


def measure(
    client: Client,
    settings: Settings,
    spec: Spec,
    data: Dataset,
    chosen: Candidate,
    heads: Mapping[str, Expression],
    others: Sequence[Candidate] = (),
) -> dict[str, Any]:
    """All metrics of a task.

    Args:
        client: Of the engine, for baselines that are fitted there.
        settings: Where it is.
        spec: Names the baselines.
        data: All rows; those of the test are measured.
        chosen: The candidate that was taken.
        heads: Its formulas.
        others: Candidates that were not taken: of sequences they stand among the baselines, for
            only they have probabilities.

    Returns:
        task; unit, of the label; rows; model; baselines by name; not_fitted, baselines that could
        not be, and why, if there are any; best_possible, on simulated data; for values typical and
        best_possible_typical (the medians' metrics) and interval; for sequences groups, the same
        of some rows.
    """
    test = data.rows("test")
    answers = chosen.answers(heads, data.matrix[test], data.names, data.batch(test))
    baselines = {name: _baseline(spec, data, name)[test] for name in rules(spec)}
    fitted, failed = _fitted_baselines(client, settings, spec, data, test)
    baselines |= fitted
    if spec.task == "sequence":
        for other in others:
            baselines[f"{other.name} (not taken)"] = np.hstack(
                ranked(other.network_outputs(data, test), spec.places)
            )
    truth = {
        name.removeprefix("best_"): values[test]
        for name, values in data.extra.items()
        if name.startswith("best_")
    }
    if not all(np.isfinite(values).all() for values in truth.values()):
        truth = {}
    found = _MEASURES[spec.task](spec, data, test, answers, baselines, truth)
    not_fitted = {"not_fitted": failed} if failed else {}
    unit = label_unit(spec)
    return {"task": spec.task, "unit": unit, "rows": int(test.sum()), **found, **not_fitted}


def _fitted_baselines(
    client: Client, settings: Settings, spec: Spec, data: Dataset, test: Rows
) -> tuple[dict[str, Floats], dict[str, str]]:
    """What each answers for the test rows; and why others can't be compared with.

    They are code of the spec's: whatever is wrong with one, the model is trained all the same.
    """
    found, failed = {}, {}
    for name, fit in spec.fitted_baselines.items():
        try:
            answers = np.asarray(fit(client, settings, data), dtype=np.float64)[test]
        except TreehouseError as error:
            failed[name] = " ".join(filter(None, (error.what, str(error.value or ""))))
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {first_line(error)}"
        else:
            if np.isfinite(answers).all():
                found[name] = answers
            else:
                failed[name] = "It answers what is no number for some test rows."
    return found, failed


def _baseline(spec: Spec, data: Dataset, name: str) -> Floats:
    """float64[rows]; of a sequence float64[rows, places]."""
    if spec.task != "sequence":
        return data.extra[name]
    return np.column_stack([data.extra[f"{name} {place + 1}"] for place in range(spec.places)])


Rows = NDArray[np.bool_]
Columns = Mapping[str, Floats]


def _measure_value(
    spec: Spec, data: Dataset, test: Rows, answers: Columns, baselines: Columns, truth: Columns
) -> dict[str, Any]:
    actual = data.label[test]
    cohort = data.extra["cohort"][test] if "cohort" in data.extra else None

    def measured(predicted: Floats) -> dict[str, Any]:
        return value_metrics(actual, predicted, cohort, data.scale)

    found: dict[str, Any] = {
        "model": measured(answers["value"]),
        "typical": measured(answers["typical"]),
        "baselines": {name: measured(values) for name, values in baselines.items()},
        "interval": {
            "target": spec.coverage,
            "rows": int(test.sum()),
            "calibration_rows": int(data.rows(*spec.calibrated_on).sum()),
            **coverage(actual, answers["low"], answers["high"]),
        },
    }
    if truth:
        found["best_possible"] = measured(truth["mean"])
        found["best_possible_typical"] = measured(truth["median"])
    return found


def _measure_probability(
    _: Spec, data: Dataset, test: Rows, answers: Columns, baselines: Columns, truth: Columns
) -> dict[str, Any]:
    actual = data.label[test]
    weight = None if data.weight is None else data.weight[test]
    found: dict[str, Any] = {
        "model": probability_metrics(actual, answers["value"], weight),
        "uncalibrated": probability_metrics(actual, answers["raw"], weight),
        "baselines": {k: probability_metrics(actual, v, weight) for k, v in baselines.items()},
    }
    if truth:
        found["best_possible"] = probability_metrics(actual, truth["mean"], weight)
    return found


def _measure_classes(
    spec: Spec, data: Dataset, test: Rows, answers: Columns, baselines: Columns, truth: Columns
) -> dict[str, Any]:
    actual = data.label[test]
    weight = None if data.weight is None else data.weight[test]

    def measured(decided: Floats, shares: Floats | None = None) -> dict[str, Any]:
        return class_metrics(actual, decided, shares, spec.classes, spec.costs, weight)

    def shares_of(columns: Columns) -> Floats:
        return np.column_stack([columns[name] for name in spec.classes])

    found: dict[str, Any] = {
        "model": measured(answers["value"], shares_of(answers)),
        "baselines": {name: measured(decided) for name, decided in baselines.items()},
    }
    if truth:
        shares = shares_of(truth)
        decided = np.argmin(shares @ np.asarray(spec.costs), axis=1).astype(np.float64)
        found["best_possible"] = measured(decided, shares)
    return found


def _measure_sequence(
    spec: Spec, data: Dataset, test: Rows, answers: Columns, baselines: Columns, _: Columns
) -> dict[str, Any]:
    labels, shares = ranked(dict(answers), spec.places)
    actual = data.label[test]

    def ranking(rows: Rows | slice, found: Floats) -> dict[str, Any]:
        """Of labels, and of their shares where they stand behind them."""
        best, told = np.split(found[rows], [spec.places], axis=1)
        return sequence_metrics(actual[rows], best, told if told.size else None)

    def measured(rows: Rows | slice) -> dict[str, Any]:
        return {
            "model": ranking(rows, np.hstack([labels, shares])),
            "baselines": {name: ranking(rows, found) for name, found in baselines.items()},
        }

    groups = {name: data.extra[f"group {name}"][test] == 1 for name in spec.groups}
    return measured(slice(None)) | {
        "groups": {
            name: {"rows": int(rows.sum())} | measured(rows)
            for name, rows in groups.items()
            if rows.any()
        }
    }


_MEASURES: Mapping[str, Callable[..., dict[str, Any]]] = {
    "value": _measure_value,
    "probability": _measure_probability,
    "classes": _measure_classes,
    "sequence": _measure_sequence,
}
