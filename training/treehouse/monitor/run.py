"""One run of the monitor: measure each model, judge, keep the alerts, tell the webhook."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.monitor import alerts
from treehouse.monitor.measure import Row, measure
from treehouse.monitor.rules import findings
from treehouse.monitor.state import Alert, Finding, read_alerts
from treehouse.spec.units import label_unit

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings
    from treehouse.spec import Spec
    from treehouse.spec.watch import Watch


@dataclass(frozen=True)
class Checked:
    """What a run found of one model.

    Attributes:
        version: The champion, or 0.
        note: Why something was not measured, and what to do; "" for none.
        measured: Rows by table, as measure() answers them.
        findings: What is wrong now.
        raised: Alerts that this run opened or escalated.
        resolved: Alerts that this run closed.
        alerts: All that are open or acknowledged after it.
        is_failed: Whether the measurement itself failed.
    """

    model: str
    version: int = 0
    note: str = ""
    measured: dict[str, list[Row]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    raised: tuple[str, ...] = ()
    resolved: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] = ()
    is_failed: bool = False

    @property
    def has_open_error(self) -> bool:
        """Whether an alert of severity error is open, and not acknowledged."""
        return any(a.state == "open" and a.severity == "error" for a in self.alerts)


def check(client: Client, settings: Settings, spec: Spec) -> Checked:
    """Measure a model, judge it, and record what that means for its alerts.

    A model that can't be measured is a note, not an error: the others are looked at all the same.
    """
    model = spec.use_case
    missing = _missing(client, settings, model)
    if missing:
        return Checked(model, note=f"{', '.join(missing)}: not built yet. ./treehouse build")
    try:
        measured = measure(client, settings, spec)
    except ClickHouseError as error:
        text = str(error).split(", Stack trace")[0].split(": In scope")[0].strip()
        return Checked(model, note=f"It could not be measured: {text}", is_failed=True)
    version = int(measured["health"][0]["version"])
    if not version:
        return Checked(model, note=f"Nothing is promoted. ./treehouse train {model} --promote")
    unit = "class" if spec.task == "classes" else label_unit(spec)
    found = findings(model, spec.watch, measured, unit)
    events = alerts.apply(
        client, settings, model, found, spec.watch.quiet_runs, _judged(spec.watch, measured)
    )
    return Checked(
        model,
        version,
        _note(spec.watch, model, measured),
        measured,
        tuple(found),
        raised=_named(events, "open", "escalate"),
        resolved=_named(events, "resolve"),
        alerts=tuple(read_alerts(client, settings, "state != 'resolved'", model)),
    )


def _named(events: list[tuple[Finding, str]], *names: str) -> tuple[str, ...]:
    return tuple(finding.alert for finding, event in events if event in names)


def _missing(client: Client, settings: Settings, model: str) -> list[str]:
    wanted = [f"{model}_features", f"{model}_training_set"]
    rows = client.query(
        "select name from system.tables where database = {d:String} and name in {n:Array(String)}",
        parameters={"d": settings.database, "n": wanted},
    ).result_rows
    return sorted(set(wanted) - {row[0] for row in rows})


def _judged(watch: Watch, measured: dict[str, list[Row]]) -> dict[str, bool]:
    """Kind of alert to whether this run could tell that it is over."""
    columns = any(row["rows"] >= watch.min_rows for row in measured["drift"])
    return dict.fromkeys(("drift", "missing", "unseen", "prediction"), columns) | {
        "quality": any(row["rows"] >= watch.min_rows for row in measured["quality"]),
        "volume": measured["health"][0]["usual_rows"] is not None,
        "serving": bool(measured["serving"]),
    }


def _note(watch: Watch, model: str, measured: dict[str, list[Row]]) -> str:
    health = measured["health"][0]
    if not health["has_statistics"]:
        return (
            f"Version {health['version']} was published without statistics to compare with. "
            f"./treehouse train {model} --publish makes a version that has them."
        )
    if health["rows"] < watch.min_rows:
        return (
            f"{health['rows']} rows in the newest {health['window_days']} days: nothing is said "
            f"of the columns below {watch.min_rows}."
        )
    return ""


def as_dict(checked: Checked) -> dict[str, Any]:
    """For `--json`."""
    return {
        "model": checked.model,
        "version": checked.version,
        "note": checked.note,
        **{name: [dict(row) for row in rows] for name, rows in checked.measured.items()},
        "findings": [f.__dict__ | {"alert": f.alert} for f in checked.findings],
        "raised": list(checked.raised),
        "resolved": list(checked.resolved),
        "alerts": [a.__dict__ | {"alert": a.alert} for a in checked.alerts],
    }
