"""Labels of every sign and size: what suits them is chosen, or refused in clear words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.datasets import made_up_dataset, made_up_spec
from treehouse.fit.candidate import Candidate
from treehouse.fit.candidates import choose, fit_candidates
from treehouse.fit.dataset import Dataset
from treehouse.project.errors import UnfitError

Floats = NDArray[np.float64]
_BOTH = ("lightgbm", "xgboost")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return made_up_dataset(3000)


def best(data: Dataset, **changes: Any) -> tuple[Candidate, dict[str, str], dict[str, float]]:
    """The chosen candidate, those that could not be fitted, and the loss of each."""
    spec = made_up_spec(**changes)
    unfit: dict[str, str] = {}
    chosen, scores = choose(spec, fit_candidates(spec, data, unfit=unfit), data)
    return chosen, unfit, {name: score["loss"] for name, score in scores.items()}


def errors(candidate: Candidate, data: Dataset) -> tuple[float, float]:
    """Root mean squared error on the test rows: of the candidate, and of the constant mean."""
    test = data.rows("test")
    mean = data.label[data.rows("train")].mean()
    found = candidate.predict(data, test)[:, 0]
    return tuple(  # type: ignore[return-value]
        float(np.sqrt(np.mean((data.label[test] - answer) ** 2))) for answer in (found, mean)
    )


@pytest.mark.parametrize("factor", [1024.0**-4, 1024.0**4, 1024.0**10])
def test_the_unit_of_the_label_changes_no_bit(data: Dataset, factor: float) -> None:
    """A thousand times the label is a thousand times the answer, for every candidate."""
    matrix = data.matrix * np.array([factor, 1.0, 1.0])
    larger = replace(data, label=factor * data.label, matrix=matrix)
    for known in ("", "early"):
        spec = made_up_spec(known=known, pace="early", trainers=_BOTH)
        pairs = zip(fit_candidates(spec, data), fit_candidates(spec, larger), strict=True)
        for plain, scaled in pairs:
            expected = factor * plain.predict(data)
            if plain.name.startswith("lightgbm"):
                np.testing.assert_array_equal(scaled.predict(larger), expected, plain.name)
            else:  # whose thresholds are float32, and quantiles of rounded features
                np.testing.assert_allclose(scaled.predict(larger), expected, rtol=1e-4)


@pytest.mark.parametrize("trainer", _BOTH)
@pytest.mark.parametrize("factor", [1e-12, 1e-6, 1e-3, 1e12, 1e30])
def test_tiny_and_huge_labels_are_fitted_as_well(
    data: Dataset, trainer: str, factor: float
) -> None:
    scaled = replace(data, label=factor * data.label)
    _, _, plain = best(data, trainers=(trainer,))
    _, unfit, losses = best(scaled, trainers=(trainer,))
    assert not unfit
    for name, loss in losses.items():
        assert loss / factor**0.7 == pytest.approx(plain[name], rel=0.03), name


@pytest.mark.parametrize("trainer", _BOTH)
def test_losses_alone_are_fitted_by_the_squared_error(data: Dataset, trainer: str) -> None:
    """As the same gains would be; what has no answer below 0 says so."""
    losses = replace(data, label=-data.label - 1)
    gains = replace(data, label=data.label + 1)
    chosen, unfit, _ = best(losses, trainers=(trainer,))
    assert chosen.name == f"{trainer} squared_error"
    assert set(unfit) == {f"{trainer} tweedie", f"{trainer} two_part"}
    assert "needs labels above 0" in unfit[f"{trainer} tweedie"]
    (mirrored,) = fit_candidates(
        made_up_spec(trainers=(trainer,), objectives=("squared_error",)), gains
    )
    np.testing.assert_allclose(chosen.predict(data), -mirrored.predict(data), rtol=1e-3)


def test_a_few_gains_among_losses_do_not_decide() -> None:
    """19 of 20 labels are losses of 1 to 41, the others gains of 1: the loss is theirs, too."""
    data = made_up_dataset(3000)
    rng = np.random.default_rng(2)
    matrix = np.column_stack([rng.uniform(0, 10, 3000), rng.uniform(0, 10, 3000), np.zeros(3000)])
    label = np.where(rng.random(3000) < 0.05, 1.0, -(3 * matrix[:, 0] + matrix[:, 1]))
    data = replace(data, matrix=matrix, label=label)
    chosen, _, _ = best(data, objectives=("tweedie", "squared_error"))
    assert chosen.name == "lightgbm squared_error"
    ours, constant = errors(chosen, data)
    assert ours < 0.7 * constant


def test_a_few_refunds_leave_the_tail_to_those_that_have_one(data: Dataset) -> None:
    """The order of the candidates is not turned over by three rows of -1."""
    refunds = data.label.copy()
    refunds[np.flatnonzero(data.label == 0)[:3]] = -1.0
    _, _, before = best(data)
    _, _, after = best(replace(data, label=refunds))
    for name, loss in before.items():
        assert after[name] == pytest.approx(loss, rel=0.05), name


def test_nothing_left_to_come(data: Dataset) -> None:
    """All of the label is known already: the answer is what is known."""
    chosen, unfit, _ = best(replace(data, label=data.column("early")), known="early", pace="early")
    assert chosen.name == "lightgbm squared_error"
    assert len(unfit) == 3
    np.testing.assert_array_equal(chosen.predict(data)[:, 0], data.column("early"))


@pytest.mark.parametrize("trainer", _BOTH)
@pytest.mark.parametrize(
    ("objectives", "shift", "what"),
    [
        (("tweedie",), -1e6, "needs labels above 0"),
        (("two_part",), -1e6, "can't be learnt where all or none are"),
        (("tweedie", "two_part"), -1e6, "needs labels above 0"),
    ],
)
def test_what_can_not_be_fitted_is_refused(
    data: Dataset, trainer: str, objectives: tuple[str, ...], shift: float, what: str
) -> None:
    spec = made_up_spec(objectives=objectives, trainers=(trainer,))
    with pytest.raises(UnfitError, match="No candidate of made_up can be fitted") as refused:
        fit_candidates(spec, replace(data, label=data.label + shift))
    assert what in str(refused.value.value)
    assert "objectives=" in str(refused.value.fix)


def test_a_library_that_refuses_is_named(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise lgb.basic.LightGBMError("Check failed: in words of its own")

    monkeypatch.setattr(lgb, "train", refuse)
    with pytest.raises(UnfitError) as refused:
        fit_candidates(made_up_spec(objectives=("squared_error",)), data)
    assert "lightgbm could not be fitted to squared_error" in str(refused.value.value)
    assert "in words of its own" in str(refused.value.value)


@pytest.mark.parametrize("trainer", _BOTH)
def test_where_all_have_some_two_parts_are_one(data: Dataset, trainer: str) -> None:
    """The probability is 1, and what is left is a gamma regression of the amount."""
    spec = made_up_spec(objectives=("two_part",), trainers=(trainer,))
    (candidate,) = fit_candidates(spec, replace(data, label=data.label + 1))
    assert len(candidate.models) == 1
    test = data.rows("test")
    ours, constant = errors(candidate, replace(data, label=data.label + 1))
    assert ours < constant
    assert (candidate.predict(data, test) > 0).all()


@pytest.mark.parametrize("trainer", ["lightgbm", "xgboost", "random_forest", "extra_trees"])
def test_features_that_say_nothing_give_the_mean(data: Dataset, trainer: str) -> None:
    nothing = replace(
        data, matrix=np.column_stack([np.full(3000, 2.0), np.full((3000, 2), np.nan)])
    )
    chosen, _, _ = best(nothing, trainers=(trainer,), objectives=("squared_error",))
    found = chosen.predict(nothing)
    assert len(np.unique(found)) == 1
    assert found[0, 0] == pytest.approx(data.label[data.rows("train")].mean(), rel=0.2)
