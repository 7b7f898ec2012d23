"""A fitted baseline that fails is named and left out; the model is trained without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.datasets import CONTRACT, made_up_dataset, made_up_spec
from treehouse.bundle import e
from treehouse.cli.metrics_table import show_metrics
from treehouse.fit import bg_nbd as buy_till_you_die
from treehouse.fit.candidate import Candidate
from treehouse.fit.dataset import Dataset
from treehouse.fit.measure import measure
from treehouse.project.errors import TreehouseError
from treehouse.registry.quality_gates import _beats_fitted

_ANSWER = {name: e.feature("early") for name in ("value", "low", "high", "typical")}


def _no_convergence(*_: Any) -> Any:
    raise TreehouseError("It does not converge.", value="12 customers")


def _bug(*_: Any) -> Any:
    return [][1]


def _too_short(*_: Any) -> Any:
    return np.zeros(3)


def _no_number(_: Any, __: Any, data: Dataset) -> Any:
    return np.full(len(data.label), np.nan)


def _zeros(_: Any, __: Any, data: Dataset) -> Any:
    return np.zeros(len(data.label))


@pytest.mark.parametrize(
    ("fails", "why"),
    [
        (_no_convergence, "It does not converge. 12 customers"),
        (_bug, "IndexError: list index out of range"),
        (_too_short, "IndexError"),
        (_no_number, "It answers what is no number for some test rows."),
    ],
)
def test_one_that_fails_is_named_and_left_out(
    fails: Callable[..., Any],
    why: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("treehouse.spec.spec.load_contract", lambda _: CONTRACT)
    data = made_up_dataset(400)
    mean = np.full(len(data.label), data.label.mean())
    spec = made_up_spec(
        baselines={"mean": "1"}, fitted_baselines={"broken": fails, "nothing": _zeros}
    )
    candidate = Candidate("made up", (), (e.feature("early"),))
    client: Any = None
    found = measure(client, client, spec, replace(data, extra={"mean": mean}), candidate, _ANSWER)
    assert set(found["baselines"]) == {"mean", "nothing"}
    assert found["not_fitted"]["broken"].startswith(why)
    assert set(found["not_fitted"]) == {"broken"}
    judged = _beats_fitted("broken", found, "deviance")
    assert judged.passed
    assert judged.detail.startswith(f"not compared, for it was not fitted: {why}")
    assert not _beats_fitted("unknown", found, "deviance").passed
    show_metrics("made_up", found | {"chosen": "made up"})
    assert "broken was left out" in " ".join(capsys.readouterr().out.split())


def test_a_gate_still_compares_with_what_was_fitted() -> None:
    metrics = {
        "model": {"deviance": 2.0}, "baselines": {"good": {"deviance": 1.0}},
        "not_fitted": {"bad": "why"},
    }  # fmt: skip
    assert not _beats_fitted("good", metrics, "deviance").passed


@pytest.mark.parametrize("converges_at", [1e-3, 1e-1, 1.0, None])
def test_the_weakest_penalty_that_converges_is_taken(converges_at: float | None) -> None:
    class DivergedError(Exception):
        pass

    class Fitter:
        def __init__(self, penalizer_coef: float) -> None:
            self.penalty = penalizer_coef

        def fit(self, *_: Any) -> Fitter:
            if converges_at is None or self.penalty < converges_at:
                raise DivergedError
            return self

    library: Any = type(
        "lifetimes", (), {"utils": type("u", (), {"ConvergenceError": DivergedError})}
    )
    if converges_at is None:
        with pytest.raises(TreehouseError, match="Fitter does not converge") as refused:
            buy_till_you_die._fitted(library, Fitter, np.zeros(7))
        assert str(refused.value.value).startswith("7 customers")
    else:
        found = buy_till_you_die._fitted(library, Fitter, np.zeros(7))
        assert found.penalty == converges_at
