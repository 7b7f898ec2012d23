"""What `train --promote` and `publish` show of a version that gates refuse."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from treehouse.cli import train as models
from treehouse.project.settings import Settings
from treehouse.registry.outcome import Outcome, RefusedError

_ROW = {"mae": 2.0, "rmse": 3.0, "mape_payers": None, "gini": 0.5, "bias": 0.1, "cohort_mape": None}
_METRICS = {
    "task": "value", "rows": 60, "chosen": "lightgbm tweedie", "model": _ROW, "typical": _ROW,
    "baselines": {"a rule": _ROW},
}  # fmt: skip
_OUTCOMES = [Outcome("size", 1, 2, "1 byte"), Outcome("beats a rule", 0.5, 0.0, "loss 3 against 2")]


@pytest.fixture(autouse=True)
def _refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def publish(*_: Any, **__: Any) -> None:
        raise RefusedError(
            "ltv is not published: refused by 1 of 2 gates.", _OUTCOMES, value="beats a rule"
        )

    trained = SimpleNamespace(metrics=_METRICS, seconds={}, path="x")
    monkeypatch.setattr("treehouse.fit.train.train", lambda *_: trained)
    monkeypatch.setattr("treehouse.registry.publish.publish", publish)
    monkeypatch.setattr(
        "treehouse.clickhouse.client.connect",
        lambda _: SimpleNamespace(close=lambda: None, query=None),
    )


def _train(as_json: bool) -> RefusedError:
    context: Any = SimpleNamespace(obj=Settings())
    with pytest.raises(RefusedError) as refused:
        models.train(context, "ltv", promote_too=True, json=as_json)
    return refused.value


def test_metrics_come_first_then_every_gate(capsys: pytest.CaptureFixture[str]) -> None:
    refused = _train(as_json=False)
    said = capsys.readouterr().out
    order = [
        said.index(part) for part in ("ltv: 60 test rows", "a rule", "passed", "loss 3 against 2")
    ]
    assert order == sorted(order)
    assert said.count("yes") == 1
    assert "refused by 1 of 2 gates" in str(refused)


def test_publish_alone_shows_every_gate(capsys: pytest.CaptureFixture[str]) -> None:
    context: Any = SimpleNamespace(obj=Settings())
    with pytest.raises(RefusedError):
        models.publish(context, "ltv")
    assert "1 byte" in capsys.readouterr().out


def test_json_is_one_value_with_both(capsys: pytest.CaptureFixture[str]) -> None:
    told = _train(as_json=True).as_dict()
    assert capsys.readouterr().out == ""
    assert told["metrics"] == _METRICS
    assert [gate["passed"] for gate in json.loads(json.dumps(told["gates"]))] == [True, False]
