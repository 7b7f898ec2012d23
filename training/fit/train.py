"""From a training set to a verified bundle on disk: fit, choose, interval, metrics, compile."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.bundle import Bundle, Expression, Inputs, e
from training.contract import Contract
from training.errors import TreehouseError
from training.fit.candidates import Candidate, Progress, choose, fit_candidates
from training.fit.dataset import Dataset, load_dataset
from training.fit.golden import golden_rows
from training.fit.interval import calibrate
from training.fit.metrics import coverage, value_metrics
from training.forest import compile_forest
from training.settings import ROOT

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.settings import Settings
    from training.spec import Spec

Floats = NDArray[np.float64]
_LIBRARIES = ("lightgbm", "treelite", "numpy", "scikit-learn", "chdb-core", "clickhouse-connect")


@dataclass(frozen=True)
class Trained:
    """What `train` leaves for `publish`.

    Attributes:
        bundle: The artifact, with version 1 until `publish` numbers it.
        metrics: Test metrics of the model and of every baseline, interval coverage, choice.
        path: Where the bundle was written.
        seconds: Duration of each step.
    """

    bundle: Bundle
    metrics: dict[str, Any]
    path: Path
    seconds: dict[str, float]


def train(
    client: Client, settings: Settings, spec: Spec, progress: Progress | None = None
) -> Trained:
    """Fit, choose, calibrate the interval, measure, compile; the bundle goes to the home folder.

    Raises:
        TreehouseError: The training set is missing, too small, constant or off its contract.
    """
    clock = _Clock()
    data = load_dataset(client, settings, spec)
    clock.lap("read")
    chosen, choice = choose(fit_candidates(spec, data, progress), data)
    clock.lap("fit")
    bundle, predictions = _assemble(spec, data, chosen)
    metrics = _measure(client, settings, spec, data, predictions)
    metrics |= {"chosen": chosen.name, "choice": choice}
    clock.lap("measure")
    bundle = _with_info(bundle, spec, data, metrics, chosen)
    path = settings.home / "trained" / f"{spec.use_case}.bundle"
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(bundle.to_bytes())
    fresh.replace(path)
    clock.lap("compile")
    return Trained(bundle, metrics, path, clock.seconds)


def _assemble(spec: Spec, data: Dataset, chosen: Candidate) -> tuple[Bundle, dict[str, Floats]]:
    """The bundle with its interval, and every row's answer by the trainer's own library.

    Answers are of every head that a model has, for its metrics, whether or not it is bundled.
    """
    contract = data.contract
    names = tuple(f.name for f in contract.features)
    predicted = chosen.predict(data.matrix, names)
    rows = data.rows("calibration")
    floor, least = _floor(spec, data)
    interval = calibrate(
        data.label[rows],
        predicted[rows],
        None if least is None else least[rows],
        spec.coverage,
        spec.interval_bins,
    )
    low, high = interval.ends(chosen.value, floor)
    typical = interval.typical(chosen.value, floor)
    heads = {"value": chosen.value, "low": low, "high": high, "typical": typical}
    _check_heads(contract, heads)
    bundle = Bundle(
        model=spec.use_case,
        version=1,
        contract=contract.hash,
        inputs=Inputs(contract.of_kind("numeric"), dict(data.categories)),
        forests=tuple(compile_forest(b, names) for b in chosen.boosters),
        heads={name: heads[name] for name in contract.heads},
        # Every candidate's value is a product of exponentials of its margins, or one margin.
        explained={(forest, 0): 1.0 for forest in range(len(chosen.boosters))},
    )
    return bundle, chosen.answers(heads, data.matrix, names)


def _check_heads(contract: Contract, heads: dict[str, Expression]) -> None:
    unknown = [name for name in contract.heads if name not in heads]
    if unknown:
        raise TreehouseError(
            f"The contract of {contract.use_case} has heads that no model answers.",
            value=", ".join(unknown),
            expected="some of " + ", ".join(heads),
            fix=f"mend `meta: {{heads: [...]}}` in models/{contract.use_case}/"
            f"{contract.use_case}.yml, then ./treehouse build",
        )


def _floor(spec: Spec, data: Dataset) -> tuple[Expression | None, Floats | None]:
    """The least that a label can be, as an expression and as float64[rows]."""
    if spec.known:
        return e.feature(spec.known), data.column(spec.known)
    if spec.label_floor is not None:
        return e.const(spec.label_floor), np.full(len(data.label), spec.label_floor)
    return None, None


def _measure(
    client: Client, settings: Settings, spec: Spec, data: Dataset, answers: dict[str, Floats]
) -> dict[str, Any]:
    """Metrics on the test rows: the model, its baselines and, if simulated, the best possible."""
    test = data.rows("test")
    actual = data.label[test]
    cohort = data.extra["cohort"][test] if "cohort" in data.extra else None
    baselines = {name: data.extra[name] for name in spec.baselines}
    for name, fitted in spec.fitted_baselines.items():
        baselines[name] = fitted(client, settings, data)
    metrics: dict[str, Any] = {
        "rows": int(test.sum()),
        "model": value_metrics(actual, answers["value"][test], cohort),
        "typical": value_metrics(actual, answers["typical"][test], cohort),
        "baselines": {
            name: value_metrics(actual, values[test], cohort) for name, values in baselines.items()
        },
        "interval": {"target": spec.coverage}
        | coverage(actual, answers["low"][test], answers["high"][test]),
    }
    known = np.isfinite(data.extra["best_mean"][test]) if "best_mean" in data.extra else None
    if known is not None and known.all():
        best = value_metrics(actual, data.extra["best_mean"][test], cohort)
        best["mae"] = float(np.mean(np.abs(data.extra["best_median"][test] - actual)))
        metrics["best_possible"] = best
    return metrics


def _with_info(
    bundle: Bundle, spec: Spec, data: Dataset, metrics: dict[str, Any], chosen: Candidate
) -> Bundle:
    info = {
        "lineage": {k: str(v) for k, v in data.lineage.items()},
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "parameters": asdict(spec.boosting) | {"objective": chosen.name},
        "metrics": metrics,
        "spec_hash": spec_hash(spec.use_case),
        "golden": golden_rows(bundle, data, chosen),
    }
    return Bundle(**{**bundle.__dict__, "info": info})


def spec_hash(use_case: str) -> str:
    """MD5 of the spec file and of the training code: what, besides the data, makes the model."""
    digest = hashlib.md5(usedforsecurity=False)
    folder = ROOT / "training"
    for path in (folder / "specs" / f"{use_case}.py", *sorted((folder / "fit").glob("*.py"))):
        digest.update(json.dumps([path.name, path.read_text()]).encode())
    return digest.hexdigest()


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now
