"""Fits the objectives that a spec asks for; each is one or two LightGBM boosters and a formula.

The labels of value models are mostly zero with a heavy tail. Four ways to expect their mean:
squared error; Tweedie deviance, whose compound Poisson-gamma has a mass at zero (Joergensen 1987);
two parts, the probability of any value times its mean where there is some (a hurdle model, Cragg
1971, in the spirit of ZILN, Wang, Liu, Miao 2019); and Tweedie with the log of a naive forecast as
offset, as an exposure in an actuary's rate model: trees alone can't extrapolate to new whales.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mean_tweedie_deviance

from training.bundle import Expression, e, evaluate
from training.fit.dataset import Dataset
from training.spec import Boosting, Spec

Floats = NDArray[np.float64]
Progress = Callable[[str, int | None, int | None], None]
TWEEDIE_POWER = 1.3


@dataclass(frozen=True)
class Candidate:
    """A fitted way to answer the value.

    Attributes:
        name: The objective.
        boosters: What was fitted.
        value: The answer, over the boosters' outputs and the inputs.
    """

    name: str
    boosters: tuple[lgb.Booster, ...]
    value: Expression

    def predict(self, matrix: Floats, features: tuple[str, ...]) -> Floats:
        """float64[rows] by the trainer's own library, for float64[rows, features]."""
        return self.answers({self.name: self.value}, matrix, features)[self.name]

    def answers(
        self, heads: Mapping[str, Expression], matrix: Floats, features: tuple[str, ...]
    ) -> dict[str, Floats]:
        """float64[rows] for each head over these boosters, which predict once for all of them."""
        outputs = [
            np.asarray(b.predict(matrix), dtype=np.float64).reshape(len(matrix), -1)
            for b in self.boosters
        ]
        inputs = {name: matrix[:, i] for i, name in enumerate(features)}
        return {
            name: np.broadcast_to(evaluate(head, outputs, inputs), len(matrix)).copy()
            for name, head in heads.items()
        }


def fit_candidates(spec: Spec, data: Dataset, progress: Progress | None = None) -> list[Candidate]:
    """Every objective of the spec, fitted on `train` and stopped early on `validation`."""
    wanted = [name for name in spec.objectives if spec.pace or name != "paced_tweedie"]
    return [_FITTERS[name](spec, data, progress) for name in wanted]


def choose(
    candidates: Iterable[Candidate], data: Dataset
) -> tuple[Candidate, dict[str, dict[str, float]]]:
    """The candidate of the lowest Tweedie deviance on the validation rows, and all scores.

    The deviance is proper for the mean and not ruled by a few whales, as squared error is.
    Predictions are floored at a hundredth of the mean label, for which it stays finite.
    """
    rows = data.rows("validation")
    actual = np.maximum(data.label[rows], 0.0)
    names = tuple(f.name for f in data.contract.features)
    floor = max(float(actual.mean()), 1e-9) / 100
    scores, best = {}, []
    for candidate in candidates:
        predicted = candidate.predict(data.matrix[rows], names)
        deviance = float(
            mean_tweedie_deviance(actual, np.maximum(predicted, floor), power=TWEEDIE_POWER)
        )
        scores[candidate.name] = {
            "deviance": deviance,
            "mae": float(np.mean(np.abs(predicted - actual))),
            "trees": float(sum(b.num_trees() for b in candidate.boosters)),
        }
        best.append((deviance, candidate))
    return min(best, key=lambda pair: pair[0])[1], scores


def _fit_squared_error(spec: Spec, data: Dataset, progress: Progress | None) -> Candidate:
    booster = _fit(spec, data, _target(spec, data), {"objective": "regression"}, progress)
    return _calibrated("squared_error", spec, data, (booster,), e.out(0))


def _fit_tweedie(spec: Spec, data: Dataset, progress: Progress | None) -> Candidate:
    target = np.maximum(_target(spec, data), 0.0)
    objective = {"objective": "tweedie", "tweedie_variance_power": TWEEDIE_POWER}
    booster = _fit(spec, data, target, objective, progress)
    return _calibrated("tweedie", spec, data, (booster,), e.out(0))


def _fit_two_part(spec: Spec, data: Dataset, progress: Progress | None) -> Candidate:
    target = np.maximum(_target(spec, data), 0.0)
    any_value = _fit(spec, data, (target > 0).astype(np.float64), {"objective": "binary"}, progress)
    amount = _fit(spec, data, target, {"objective": "gamma"}, progress, only=target > 0)
    return _calibrated("two_part", spec, data, (any_value, amount), e.out(0) * e.out(1))


def _fit_paced_tweedie(spec: Spec, data: Dataset, progress: Progress | None) -> Candidate:
    target = np.maximum(_target(spec, data), 0.0)
    start = float(target[data.rows("train")].mean())
    pace = np.nan_to_num(data.column(spec.pace), nan=0.0)
    objective = {"objective": "tweedie", "tweedie_variance_power": TWEEDIE_POWER}
    offset = np.log(start + np.maximum(pace, 0.0))
    booster = _fit(spec, data, target, objective, progress, offset=offset)
    base = start + e.clip(e.if_nan(e.feature(spec.pace), 0.0), 0.0, None)
    return _calibrated("paced_tweedie", spec, data, (booster,), base * e.out(0))


_FITTERS = {
    "squared_error": _fit_squared_error,
    "tweedie": _fit_tweedie,
    "two_part": _fit_two_part,
    "paced_tweedie": _fit_paced_tweedie,
}


def _target(spec: Spec, data: Dataset) -> Floats:
    """What is left to predict: the label less the part that has already come."""
    return data.label - data.column(spec.known) if spec.known else data.label


def _calibrated(
    name: str, spec: Spec, data: Dataset, boosters: tuple[lgb.Booster, ...], rest: Expression
) -> Candidate:
    """The candidate whose rest adds up to the labels' on the rows that were not fitted.

    Boosting under a log link that stops early predicts too little in sum.
    """
    raw = Candidate(name, boosters, rest)
    rows = data.rows("validation", "calibration")
    features = tuple(f.name for f in data.contract.features)
    factor = calibration_factor(_target(spec, data)[rows], raw.predict(data.matrix[rows], features))
    return Candidate(name, boosters, _answer(spec, factor * rest))


def calibration_factor(actual: Floats, predicted: Floats) -> float:
    """What to multiply predictions by so that their sum is right, shrunk by how sure that is.

    The ratio of the sums, less 1, is shrunk by 1 - (standard error / it)^2, at least 0: the
    positive-part James-Stein estimator (Efron, Morris 1973) with 1 as the point to shrink to.

    Args:
        actual: float64[rows].
        predicted: float64[rows], of a positive sum.
    """
    total = float(predicted.sum())
    if total <= 0:
        return 1.0
    excess = float(actual.sum()) / total - 1
    error = float(np.std(actual - (1 + excess) * predicted)) * np.sqrt(len(actual)) / total
    if excess == 0:
        return 1.0
    return float(1 + excess * max(0.0, 1 - (error / excess) ** 2))


def _answer(spec: Spec, rest: Expression) -> Expression:
    value = e.feature(spec.known) + rest if spec.known else rest
    return value if spec.label_floor is None else e.clip(value, spec.label_floor, None)


def _fit(
    spec: Spec,
    data: Dataset,
    target: Floats,
    objective: dict[str, Any],
    progress: Progress | None,
    only: NDArray[np.bool_] | None = None,
    offset: Floats | None = None,
) -> lgb.Booster:
    boosting = spec.boosting
    sets: list[lgb.Dataset] = []
    for split in ("train", "validation"):
        rows = data.rows(split) if only is None else data.rows(split) & only
        reference = sets[0] if sets else None
        start = None if offset is None else offset[rows]
        sets.append(_lightgbm_set(data, target, rows, reference, start))
    callbacks: list[Callable[..., Any]] = [
        lgb.early_stopping(boosting.patience, verbose=False),
        lgb.log_evaluation(0),
    ]
    if progress:
        callbacks.append(_reporter(progress, f"fit {objective['objective']}", boosting.trees))
    return lgb.train(
        parameters(boosting) | objective,
        sets[0],
        num_boost_round=boosting.trees,
        valid_sets=[sets[1]],
        callbacks=callbacks,
    )


def _lightgbm_set(
    data: Dataset,
    target: Floats,
    rows: NDArray[np.bool_],
    reference: lgb.Dataset | None,
    offset: Floats | None,
) -> lgb.Dataset:
    return lgb.Dataset(
        data.matrix[rows],
        target[rows],
        feature_name=[f.name for f in data.contract.features],
        categorical_feature=list(data.contract.of_kind("categorical")),
        reference=reference,
        init_score=offset,
        free_raw_data=False,
    )


def _reporter(progress: Progress, phase: str, total: int) -> Callable[[Any], None]:
    def report(env: Any) -> None:
        if env.iteration % 20 == 0:
            progress(phase, env.iteration, total)

    return report


def parameters(boosting: Boosting) -> dict[str, Any]:
    """LightGBM's own names for a spec's parameters."""
    return {
        "learning_rate": boosting.learning_rate,
        "max_depth": boosting.depth,
        "num_leaves": boosting.leaves,
        "min_data_in_leaf": boosting.rows_per_leaf,
        "bagging_fraction": boosting.row_share,
        "bagging_freq": 1,
        "feature_fraction": boosting.column_share,
        "seed": boosting.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
