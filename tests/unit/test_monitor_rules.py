"""What is worth an alert, and what a run does to the alerts that are there."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from treehouse.cli.monitor_tables import alert_lines, arrow, meaning, show_alerts
from treehouse.monitor.alerts import transitions
from treehouse.monitor.rules import findings
from treehouse.monitor.run import Checked
from treehouse.monitor.state import Alert, Finding
from treehouse.spec.watch import Watch

NOW = datetime(2026, 5, 1, tzinfo=UTC)
QUIET_COLUMN: dict[str, Any] = {
    "version": 1, "role": "feature", "name": "x", "kind": "numeric", "rows": 1000,
    "missing_share": 0.0, "reference_missing_share": 0.0, "unseen_share": 0.0,
    "reference_unseen_share": 0.0, "psi": 0.01, "psi_noise": 0.0, "degrees": 9,
    "kolmogorov_smirnov": 0.01,
    "mean_shift": 0.0, "impact": 0.0, "p_distribution": 1.0, "p_missing": 1.0, "p_unseen": 1.0,
}  # fmt: skip
QUIET_EFFECT: dict[str, Any] = {
    "name": "x", "effect": 0.0, "error": 0.1, "units": 1000, "rows": 1000, "usual": 2.0, "p": 1.0,
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
    effect: dict[str, Any] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """A measurement that finds nothing, but for these changes."""
    return {
        "drift": [QUIET_COLUMN | (column or {})],
        "effects": [QUIET_EFFECT | (effect or {})],
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
HIGHER, MUCH_LOWER = {"effect": 0.2, "p": 0.001}, {"effect": -0.8, "p": 0.001}


@pytest.mark.parametrize(
    ("change", "effect", "expected"),
    [
        # What does little to the answers, or may by chance, is none, however it has moved.
        (SURE | {"psi": 5.0}, {}, []),
        (SURE | {"psi": 5.0}, HIGHER | {"p": 0.02}, []),
        (SURE | {"psi": 5.0}, HIGHER | {"effect": 0.09}, []),
        (SURE | {"psi": 5.0}, HIGHER | {"usual": 0.0}, []),
        ({"p_missing": 0.0, "missing_share": 1.0}, {}, []),
        # And what does much to them is told by what has changed.
        (SURE, HIGHER, []),
        ({"psi": 0.12}, HIGHER, [("drift", "x", "warn")]),
        ({"psi": 0.12}, MUCH_LOWER, [("drift", "x", "error")]),
        ({"psi": 0.3, "psi_noise": 0.25}, HIGHER, []),
        ({"kolmogorov_smirnov": 0.2}, HIGHER, [("drift", "x", "warn")]),
        ({"kolmogorov_smirnov": None, "psi": 0.3}, HIGHER, [("drift", "x", "warn")]),
        ({"psi": 0.3, "rows": 49}, HIGHER, []),
        ({"missing_share": 0.06}, HIGHER, [("missing", "x", "warn")]),
        ({"reference_missing_share": 0.5}, MUCH_LOWER, [("missing", "x", "error")]),
        ({"unseen_share": 0.02}, HIGHER, [("unseen", "x", "warn")]),
        ({"rows": 0, "p_missing": None, "p_distribution": None, "psi": None}, HIGHER, []),
        ({"psi": None, "kolmogorov_smirnov": None, "missing_share": 1.0}, HIGHER,
         [("missing", "x", "warn")]),
    ],
)  # fmt: skip
def test_columns(
    change: dict[str, Any], effect: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    assert found(quiet(column=change, effect=effect)) == expected


ALL = {"name": ""}


@pytest.mark.parametrize(
    ("change", "effect", "expected"),
    [
        ({}, ALL | HIGHER, [("prediction", "x", "warn")]),
        ({}, ALL | MUCH_LOWER, [("prediction", "x", "error")]),
        (SURE | {"psi": 0.3}, ALL, [("prediction", "x", "error")]),
        (SURE | {"kolmogorov_smirnov": 0.3}, ALL, [("prediction", "x", "error")]),
        ({"psi": 0.3}, ALL, []),
        # 1,000 rows of ten partitions tell what ten rows tell.
        (SURE | {"kolmogorov_smirnov": 0.3}, ALL | {"units": 10}, []),
        (SURE | {"psi": 0.3, "psi_noise": 0.01}, ALL | {"units": 10}, []),
        # By chance alone the index exceeds its mean, 0.15 for 100 units, 2.4 times.
        (SURE | {"psi": 0.4, "psi_noise": 0.015}, ALL | {"units": 100}, []),
        (
            SURE | {"psi": 0.5, "psi_noise": 0.015},
            ALL | {"units": 100},
            [("prediction", "x", "warn")],
        ),
    ],
)
def test_answers(
    change: dict[str, Any], effect: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    assert found(quiet(column=change | {"role": "prediction"}, effect=effect)) == expected


@pytest.mark.parametrize(
    ("change", "effect", "unit", "said"),
    [
        ({"missing_share": 0.18, "reference_missing_share": 0.241}, MUCH_LOWER, "usd",
         "fewer are missing: 18 %, 24 % in the training; by it the answers are 40 % lower ($0.80)"),
        ({"missing_share": 0.4}, HIGHER, "share",
         "more are missing: 40 %, 0 % in the training; by it the answers are 10 % higher on"),
        ({"psi": 0.3, "mean_shift": -0.52}, HIGHER, "usd",
         "lower than in the training by 0.52 standard deviations; by it the answers are 10 % high"),
        ({"psi": 0.3, "mean_shift": 0.01}, HIGHER, "class",
         "its values are spread otherwise than in the training; by it the answers moved by 10 %"),
        ({"psi": 0.3, "kind": "categorical", "mean_shift": None}, HIGHER, "usd",
         "its categories are mixed otherwise than in the training"),
        ({"role": "prediction"}, ALL | MUCH_LOWER, "seconds",
         "the answers are 40 % lower (0.8 s) on average, compared with the training"),
    ],
)  # fmt: skip
def test_the_direction_is_said_in_words(
    change: dict[str, Any], effect: dict[str, Any], unit: str, said: str
) -> None:
    (finding,) = findings("m", Watch(), quiet(column=change, effect=effect), unit)
    assert finding.detail.replace("\N{NO-BREAK SPACE}", " ").startswith(said)


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
        # As old when the version was published: no news.
        ({"newest_at": NOW - timedelta(days=400), "published_at": NOW - timedelta(days=380)}, []),
        ({"newest_at": NOW - timedelta(days=400), "published_at": NOW - timedelta(days=395)},
         [("freshness", "newest row", "warn")]),
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
        ({"column": {"psi": 0.3}, "effect": HIGHER}, "x has moved, and the answers with it: if"),
        ({"column": {"psi": 0.3}, "effect": MUCH_LOWER,
          "health": {"newest_at": NOW - timedelta(days=99)}}, "x has moved"),
        ({"health": {"newest_at": NOW - timedelta(days=99)}}, "newest rows are old"),
        ({"column": {"missing_share": 0.9}, "effect": HIGHER}, "data itself"),
        ({"column": {"reference_missing_share": 0.9}, "effect": HIGHER}, "x has moved"),
        ({"cohort": {"loss": 1.5, "loss_low": 1.3}}, "worse: ./treehouse retrain m"),
        ({"serving": {"failures": 50}}, "doctor"),
        ({"column": {"role": "prediction"}, "effect": ALL | HIGHER}, "The mix of the rows has"),
    ],
)  # fmt: skip
def test_the_sentence_says_what_to_do(changes: dict[str, dict[str, Any]], part: str) -> None:
    measured = quiet(**changes)
    checked = Checked("m", 1, "", measured, tuple(findings("m", Watch(), measured)))
    assert part in meaning(checked)


def test_many_alerts_of_a_kind_are_one_line() -> None:
    alerts = tuple(replace(ALERT, name=name) for name in "abcd")
    shown = alert_lines(Checked("m", 1, alerts=alerts, raised=("m/drift/d",)))
    assert shown == [
        *(f"[yellow]warn[/] open m/drift/{name}: moved" for name in "abc"),
        "[yellow]warn[/] new m/drift/d: moved",
    ]
    (line,) = alert_lines(Checked("m", 1, alerts=alerts))
    assert line == "[yellow]warn[/] open m/drift/ of 4 columns: a, b, c, d"


def test_a_model_is_one_line_and_the_worst_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    worse = replace(ALERT, model="n", severity="error", name="y", detail="is lower", value=0.5)
    without: Any = {"value": None}
    alerts = [replace(ALERT, name=name) for name in "abcd"] + [replace(ALERT, name="e", **without)]
    alerts.append(worse)
    show_alerts(alerts)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert re.match(r"n +error +open +2026-05-01 00:00 +y: is lower", lines[1])
    assert re.match(r"m +warn +open +2026-05-01 00:00 +a: moved; also b, c, d and 1 more", lines[2])
    assert lines[3].endswith("alerts list --each")
