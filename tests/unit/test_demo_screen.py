"""The demo goes on when a model is refused, and ends in one screen that people can read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from treehouse.cli import demo_run as demo
from treehouse.project import console
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

VALUE: dict[str, Any] = {
    "task": "value", "unit": "usd", "about": "What a user is worth.",
    "model": {"rmse": 30.0, "deciles": [{"lift": 9.7}, {"lift": 0.2}, {"lift": 0.1}, {"lift": 0}]},
    "baselines": {"early": {"rmse": 40.0}, "cohort": {"rmse": 50.0}},
}  # fmt: skip
TIERS: dict[str, Any] = {
    "task": "classes", "unit": "share", "about": "Hot or cold.", "model": {"cost": 0.2},
    "baselines": {"age": {"cost": 0.1}},
}  # fmt: skip
NEXT: dict[str, Any] = {
    "task": "sequence", "unit": "share", "about": "What comes.", "model": {"recall_1": 0.7},
    "baselines": {"chain": {"recall_1": 0.6}, "none": {"recall_1": None}},
}  # fmt: skip


Shown = Callable[[str], str]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What was written to `out` or `err`, on lines that are wide enough."""
    streams = {"out": io.StringIO(), "err": io.StringIO()}
    for name, stream in streams.items():
        monkeypatch.setattr(console, name, console._Console(file=stream, width=160))
    return lambda name: streams[name].getvalue().replace("\N{NO-BREAK SPACE}", " ")


def test_a_refused_model_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, shown: Shown
) -> None:
    def one(*arguments: Any) -> dict[str, Any]:
        if arguments[-1].use_case == "ltv":
            raise TreehouseError("ltv is not published.", fix="./treehouse publish ltv --force x")
        return TIERS

    for name in ("_row_counts", "_top"):
        monkeypatch.setattr(demo, name, Mock(return_value={}))
    monkeypatch.setattr(demo, "connect", Mock())
    monkeypatch.setattr(demo, "_one_model", one)
    monkeypatch.setattr("treehouse.cli.demo_run._Run.step", Mock(return_value={}))
    result = demo.run_demo(settings, only=("storage_tiering", "ltv"))
    assert set(result["models"]) == {"storage_tiering"}
    assert result["refused"]["ltv"]["error"] == "ltv is not published."
    said = shown("err")
    assert "ltv is left out: ltv is not published." in said
    assert said.index("  ltv ") < said.index("  storage_tiering "), "what people care for first"


def test_it_ends_in_one_screen(shown: Shown) -> None:
    refused = {"a": TreehouseError("a is not published.", fix="./treehouse publish a").as_dict()}
    models = {"worth": VALUE, "tiers": TIERS, "next": NEXT}
    demo.show_demo({"models": models, "refused": refused, "seconds": {"all": 61.4}})
    text = shown("out")
    assert len(text.splitlines()) <= 24
    for part in (
        "worth: What a user is worth.",
        "It was off by $30.00 (root mean square); the best simple rule, early: $40.00. So: 25 % l",
        "It cost 0.200 a decision in mistakes; the best simple rule, age: 0.100. So: 100 % more.",
        "It named what came next in 70 % of the cases; the best simple rule, chain: 60 %. So: bet",
        "a does not answer: a is not published.",
        "worth: what each tenth brought of all revenue",
        "97.00 %",
        "./treehouse report worth --open",
    ):
        assert part in text, part
