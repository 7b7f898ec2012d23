"""From findings to alerts: opened once, escalated, resolved when the cause stays away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from treehouse.clickhouse.turns import Turn, alone
from treehouse.monitor.state import Alert, Finding, find_alert, read_alerts, record

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

_PATIENCE_SECONDS = 60.0


def transitions(
    findings: Iterable[Finding], unresolved: Iterable[Alert], quiet_runs: int
) -> list[tuple[Finding, str]]:
    """The events that a run adds.

    A cause without an alert opens one; a warning that became an error escalates it, which takes
    back an acknowledgement; an alert without its cause counts quiet runs and then resolves. What
    is there already is only seen again: nobody is told twice.

    Args:
        findings: Of one model's run.
        unresolved: That model's alerts that are open or acknowledged.
        quiet_runs: After how many runs without the cause it resolves.
    """
    before = {alert.alert: alert for alert in unresolved}
    events: list[tuple[Finding, str]] = []
    for finding in findings:
        alert = before.pop(finding.alert, None)
        if alert is None:
            events.append((finding, "open"))
        elif finding.severity == "error" and alert.severity == "warn":
            events.append((finding, "escalate"))
        else:
            events.append((finding, "seen"))
    for alert in before.values():
        is_over = alert.quiet_runs + 1 >= quiet_runs
        events.append((alert, "resolve" if is_over else "quiet"))
    return events


def apply(
    client: Client,
    settings: Settings,
    model: str,
    findings: Sequence[Finding],
    quiet_runs: int,
    judged: Mapping[str, bool],
) -> list[tuple[Finding, str]]:
    """Record what a run means for the alerts of a model.

    Args:
        client: Of the target.
        settings: Where the registry is.
        model: Name of the use case.
        findings: Of this run.
        quiet_runs: As in transitions().
        judged: Kind to whether this run could judge it: what was not measured is not over.

    Returns:
        The events, as recorded.
    """
    with _turn(client, settings, model):
        return _apply(client, settings, model, findings, quiet_runs, judged)


def _turn(client: Client, settings: Settings, model: str) -> AbstractContextManager[Turn]:
    """Who decides about a model's alerts: a run of the monitor, or a person."""
    return alone(client, settings, f"alerts of {model}", wait_seconds=_PATIENCE_SECONDS)


def _apply(
    client: Client,
    settings: Settings,
    model: str,
    findings: Sequence[Finding],
    quiet_runs: int,
    judged: Mapping[str, bool],
) -> list[tuple[Finding, str]]:
    unresolved = [
        alert
        for alert in read_alerts(client, settings, "state != 'resolved'", model)
        if judged.get(alert.kind, True) or any(f.alert == alert.alert for f in findings)
    ]
    events = transitions(findings, unresolved, quiet_runs)
    record(client, settings, events)
    return events


def acknowledge(client: Client, settings: Settings, alert: str, reason: str = "") -> Alert:
    """Say that somebody looks after an alert: it fails no run until it escalates.

    Raises:
        TreehouseError: There is no such alert that is open.
    """
    return _decide(client, settings, alert, "acknowledge", reason)


def resolve(client: Client, settings: Settings, alert: str, reason: str = "") -> Alert:
    """Close an alert by hand; the next run opens it again if the cause is still there.

    Raises:
        TreehouseError: There is no such alert that is open.
    """
    return _decide(client, settings, alert, "resolve", reason)


def _decide(client: Client, settings: Settings, alert: str, event: str, reason: str) -> Alert:
    model = find_alert(client, settings, alert).model
    with _turn(client, settings, model):
        found = find_alert(client, settings, alert)  # as it is now
        record(client, settings, [(found, event)], reason)
    return found
