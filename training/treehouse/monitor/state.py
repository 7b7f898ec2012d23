"""The monitor's tables (macros/state/monitor.sql): created here, and the alerts read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import MACROS, is_there, run_ddl, storage
from treehouse.clickhouse.ordered import next_time, utc
from treehouse.clickhouse.state import ensure_registry
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import actor

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

_COLUMNS = (
    "alert", "model", "version", "kind", "name", "event", "severity", "value", "bound", "detail",
    "actor",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What one run found to be wrong.

    Attributes:
        kind: drift, missing, unseen, prediction, volume, freshness, quality or serving.
        name: The column or what else is concerned.
        severity: "warn", or "error", which fails the run.
        value: What was measured.
        bound: What it should not have passed.
        detail: The same in words.
    """

    model: str
    version: int
    kind: str
    name: str
    severity: str
    value: float
    bound: float
    detail: str

    @property
    def alert(self) -> str:
        """Names the alert: equal for equal causes, so that one cause has one alert."""
        return f"{self.model}/{self.kind}/{self.name}"


@dataclass(frozen=True)
class Alert(Finding):
    """An alert as it stands.

    Attributes:
        state: open, acknowledged or resolved.
        opened_at: When this episode of it began.
        seen_at: The last run that found the cause.
        quiet_runs: Runs since then that did not find it.
        notify_at: When it was last raised or resolved.
        is_undelivered: Whether nobody was told of that yet.
    """

    state: str
    opened_at: datetime
    seen_at: datetime
    quiet_runs: int
    notify_at: datetime
    is_undelivered: bool


def ensure_monitoring(client: Client, settings: Settings) -> None:
    """Create the monitor's tables, and the registry's, where they are missing."""
    ensure_registry(client, settings)
    run_ddl(
        client,
        MACROS / "state" / "monitor.sql",
        "monitoring_ddl",
        identifier(settings.registry_database),
        **storage(settings),
    )


def read_alerts(
    client: Client, settings: Settings, where: str = "1", model: str = ""
) -> list[Alert]:
    """Alerts, errors and the newest first.

    Args:
        client: Of the target.
        settings: Where the registry is.
        where: SQL over the columns of the view `alerts`.
        model: Only this model's.
    """
    if not is_there(client, settings.registry_database, "alerts"):
        return []
    rows = client.query(
        "select model, version, kind, name, severity, value, bound, detail, state, opened_at, "
        "seen_at, quiet_runs, notify_at, is_undelivered "
        f"from {identifier(settings.registry_database)}.alerts "
        f"where ({where}) and {{model:String}} in ('', model) "
        "order by state = 'resolved', severity, opened_at desc, alert",
        parameters={"model": model},
    ).named_results()
    return [Alert(**row) for row in rows]


def find_alert(client: Client, settings: Settings, alert: str) -> Alert:
    """One alert that is not resolved, by its name.

    Raises:
        TreehouseError: There is none.
    """
    unresolved = read_alerts(client, settings, "state != 'resolved'")
    for candidate in unresolved:
        if candidate.alert == alert:
            return candidate
    names = [candidate.alert for candidate in unresolved]
    close = difflib.get_close_matches(alert, names, n=1)
    raise TreehouseError(
        "There is no such alert that is open.",
        value=alert,
        expected=f"one of the {len(names)} that ./treehouse alerts list --each shows",
        fix=f"did you mean {close[0]}?" if close else None,
    )


def record(
    client: Client,
    settings: Settings,
    events: Iterable[tuple[Finding, str]],
    reason: str | None = None,
    at: datetime | None = None,
) -> None:
    """One row in `alert_events` for each (finding, event) of a model: after all, or at `at`."""
    who, events = actor(), list(events)
    if not events:
        return
    table = f"{identifier(settings.registry_database)}.alert_events"
    at = utc(at) if at else next_time(client, table, model=events[0][0].model)
    columns = [*_COLUMNS, "at"]
    rows = [
        [
            f.alert, f.model, f.version, f.kind, f.name, event, f.severity, f.value, f.bound,
            f.detail if reason is None else reason, who, at,
        ]
        for f, event in events
    ]  # fmt: skip
    client.insert("alert_events", rows, column_names=columns, database=settings.registry_database)
