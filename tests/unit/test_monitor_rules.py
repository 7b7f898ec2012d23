"""What is worth an alert, and what a run does to the alerts that are there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from training.monitor.alerts import transitions
from training.monitor.rules import findings
from training.monitor.run import Checked
from training.monitor.show import alert_lines, arrow, meaning
from training.monitor.state import Alert, Finding
from training.monitor.watch import Watch

NOW = datetime(2026, 5, 1, tzinfo=UTC)
QUIET_COLUMN: dict[str, Any] = {
    "version": 1, "role": "feature", "name": "x", "kind": "numeric", "rows": 1000,
    "missing_share": 0.0, "reference_missing_share": 0.0, "unseen_share": 0.0,
    "reference_unseen_share": 0.0, "psi": 0.01, "psi_noise": 0.0, "kolmogorov_smirnov": 0.01,
    "mean_shift": 0.0, "impact": 0.0, "p_distribution": 1.0, "p_missing": 1.0, "p_unseen": 1.0,
}  # fmt: skip
QUIET_HEALTH: dict[str, Any] = {
    "version": 1, "at": NOW, "rows": 1000, "usual_rows": 1000.0, "p_volume": 1.0,
    "window_days": 7, "future_rows": 0, "newest_at": NOW - timedelta(days=1),
}  # fmt: skip
QUIET_COHORT: dict[str, Any] = {
    "version": 1, "rows": 1000, "cohort_from": NOW, "cohort_to": NOW, "measure": "mae",
    "loss": 1.0, "loss_low": 0.9, "loss_high": 1.1, "holdout_loss": 1.0,
    "calibration": 1.0, "calibration_low": 0.9, "calibration_high": 1.1,
}  # fmt: skip


def quiet(
    column: dict[str, Any] | None = None,
    health: dict[str, Any] | None = None,
    cohort: dict[str, Any] | None = None,
    serving: dict[str, Any] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """A measurement that finds nothing, but for these changes."""
    return {
        "drift": [QUIET_COLUMN | (column or {})],
        "health": [QUIET_HEALTH | (health or {})],
        "quality": [QUIET_COHORT | (cohort or {})],
        "serving": [{"version": 1, "calls": 100, "failures": 0} | (serving or {})],
    }


def found(measured: dict[str, list[dict[str, Any]]], **watch: Any) -> list[tuple[str, str, str]]:
    """(kind, name, severity) of what is found."""
    return [(f.kind, f.name, f.severity) for f in findings("m", Watch(**watch), measured)]


def test_a_quiet_measurement_finds_nothing() -> None:
    assert found(quiet()) == []


SURE = {"p_distribution": 0.001}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (SURE, []),
        ({"psi": 0.5}, []),
        (SURE | {"psi": 0.12}, [("drift", "x", "warn")]),
        (SURE | {"psi": 0.3}, [("drift", "x", "error")]),
        (SURE | {"psi": 0.3, "psi_noise": 0.25}, []),
        (SURE | {"kolmogorov_smirnov": 0.2}, [("drift", "x", "error")]),
        (SURE | {"kolmogorov_smirnov": None, "psi": 0.3}, [("drift", "x", "error")]),
        (SURE | {"psi": 0.3, "role": "prediction"}, [("prediction", "x", "error")]),
        (SURE | {"psi": 0.3, "rows": 49}, []),
        ({"p_missing": 0.001, "missing_share": 0.06}, [("missing", "x", "warn")]),
        ({"p_missing": 0.001, "reference_missing_share": 0.5}, [("missing", "x", "error")]),
        ({"p_missing": 0.5, "missing_share": 0.5}, []),
        ({"p_unseen": 0.001, "unseen_share": 0.02}, [("unseen", "x", "warn")]),
        ({"p_unseen": 0.001, "unseen_share": 0.5}, [("unseen", "x", "error")]),
        ({"p_unseen": None, "unseen_share": 0.5}, []),
        ({"rows": 0, "p_missing": None, "p_distribution": None, "psi": None}, []),
        ({"p_distribution": None, "psi": None, "p_missing": 0.0, "missing_share": 1.0},
         [("missing", "x", "error")]),
    ],
)  # fmt: skip
def test_columns(change: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert found(quiet(column=change)) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"rows": 400, "p_volume": 0.0}, [("volume", "rows", "error")]),
        ({"rows": 0, "p_volume": 0.0}, [("volume", "rows", "error")]),
        ({"rows": 2100, "p_volume": 0.0}, [("volume", "rows", "warn")]),
        ({"rows": 400, "p_volume": 0.2}, []),
        ({"rows": 0, "usual_rows": None, "p_volume": None}, []),
        ({"newest_at": NOW - timedelta(days=15)}, [("freshness", "newest row", "warn")]),
        ({"newest_at": (NOW - timedelta(days=15)).replace(tzinfo=None)},
         [("freshness", "newest row", "warn")]),
        ({"newest_at": NOW + timedelta(hours=23)}, []),
        ({"newest_at": None}, []),
        ({"future_rows": 3}, [("freshness", "future", "warn")]),
    ],
)  # fmt: skip
def test_health(change: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert found(quiet(health=change)) == expected


def test_data_that_ends_by_itself_is_never_stale() -> None:
    old = quiet(health={"newest_at": NOW - timedelta(days=9999)})
    assert found(old, stale_after_days=None) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"loss": 1.5, "loss_low": 1.3}, [("quality", "mae", "error")]),
        ({"loss": 1.5, "loss_low": 1.1}, []),
        ({"loss": 1.5, "loss_low": 1.3, "rows": 10}, []),
        ({"loss": 1.5, "loss_low": 1.3, "holdout_loss": None}, []),
        ({"calibration_low": 1.3, "calibration": 1.5}, [("quality", "calibration", "error")]),
        ({"calibration_high": 0.7, "calibration": 0.6}, [("quality", "calibration", "error")]),
        ({"calibration": None, "calibration_low": None, "calibration_high": None}, []),
        ({"loss": None, "loss_low": None}, []),
    ],
)
def test_quality(change: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert found(quiet(cohort=change)) == expected


def test_failed_calls() -> None:
    assert found(quiet(serving={"failures": 2})) == []
    assert found(quiet(serving={"failures": 3, "calls": 300})) == []
    assert found(quiet(serving={"failures": 3})) == [("serving", "failures", "error")]
    assert found(quiet(serving={"calls": 0})) == []


WARNING = Finding("m", 1, "drift", "x", "warn", 0.1, 0.1, "moved")
ERROR = replace(WARNING, severity="error")
ALERT = Alert(**WARNING.__dict__, state="open", opened_at=NOW, seen_at=NOW, quiet_runs=0,
              notify_at=NOW, is_undelivered=False)  # fmt: skip


@pytest.mark.parametrize(
    ("now", "before", "event"),
    [
        ([WARNING], [], "open"),
        ([WARNING], [ALERT], "seen"),
        ([ERROR], [ALERT], "escalate"),
        ([WARNING], [replace(ALERT, severity="error")], "seen"),
        ([WARNING], [replace(ALERT, state="acknowledged")], "seen"),
        ([WARNING], [replace(ALERT, quiet_runs=2)], "seen"),
        ([], [ALERT], "quiet"),
        ([], [replace(ALERT, quiet_runs=1)], "quiet"),
        ([], [replace(ALERT, quiet_runs=2)], "resolve"),
        ([], [replace(ALERT, state="acknowledged", quiet_runs=2)], "resolve"),
    ],
)
def test_transitions(now: list[Finding], before: list[Alert], event: str) -> None:
    assert [name for _, name in transitions(now, before, 3)] == [event]


@pytest.mark.parametrize(
    ("shift", "shown"), [(0.5, "↑ +0.50"), (-0.5, "↓ -0.50"), (0.01, "→ +0.01"), (None, "-")]
)
def test_arrows(shift: float | None, shown: str) -> None:
    assert arrow(shift) == shown


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({}, "Nothing has moved"),
        ({"column": SURE | {"psi": 0.3}}, "x has moved: if the change is real"),
        ({"column": SURE | {"psi": 0.3}, "health": {"newest_at": NOW - timedelta(days=99)}},
         "x has moved"),
        ({"health": {"newest_at": NOW - timedelta(days=99)}}, "newest rows are old"),
        ({"column": {"p_missing": 0.0, "missing_share": 0.9}}, "data itself"),
        ({"cohort": {"loss": 1.5, "loss_low": 1.3}}, "worse: ./treehouse retrain m"),
        ({"serving": {"failures": 50}}, "doctor"),
        ({"column": SURE | {"psi": 0.3, "role": "prediction"}}, "The mix of the rows has moved"),
    ],
)  # fmt: skip
def test_the_sentence_says_what_to_do(changes: dict[str, dict[str, Any]], part: str) -> None:
    measured = quiet(**changes)
    checked = Checked("m", 1, "", measured, tuple(findings("m", Watch(), measured)))
    assert part in meaning(checked)


def test_the_sentence_says_whether_the_answers_have_moved() -> None:
    moved, quiet_answers = QUIET_COLUMN | SURE | {"psi": 0.3}, QUIET_COLUMN | {"role": "prediction"}
    measured = quiet() | {"drift": [moved, quiet_answers]}
    checked = Checked("m", 1, "", measured, tuple(findings("m", Watch(), measured)))
    assert "x has moved, the answers have not: " in meaning(checked)


def test_many_alerts_of_a_kind_are_one_line() -> None:
    alerts = tuple(replace(ALERT, name=name) for name in "abcd")
    shown = alert_lines(Checked("m", 1, alerts=alerts, raised=("m/drift/d",)))
    assert shown == [
        *(f"[yellow]warn[/] open m/drift/{name}: moved" for name in "abc"),
        "[yellow]warn[/] new m/drift/d: moved",
    ]
    (line,) = alert_lines(Checked("m", 1, alerts=alerts))
    assert line == "[yellow]warn[/] open m/drift/ of 4 columns: a, b, c, d"
