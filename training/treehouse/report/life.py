"""What became of the model since: versions, promotions, gates, retraining, drift, alerts, use."""

from __future__ import annotations

from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import is_there
from treehouse.experiments.results import read_results
from treehouse.monitor.state import Alert, read_alerts
from treehouse.project.errors import TreehouseError
from treehouse.report.subject import Missing, Subject

_LATEST = 12
_UNBUILT = "The view of calls is not built: ./treehouse build -s model_serving"


def history(subject: Subject) -> dict[str, Any]:
    """Versions, newest first, and what was decided about them.

    Returns:
        versions: version and its metrics; events: at, action, version, actor, reason, newest
        first; reign: from, to (null: until now), version, oldest first, which version answered
        when.
    """
    events = subject.query(
        f"select at, action, version, actor, reason, now64(6) as now "
        f"from {subject.registry}.events where model = {{m:String}} order by at desc",
        m=subject.spec.use_case,
    )
    moves = [e for e in reversed(events) if e["action"] in ("promote", "rollback")]
    ends = [move["at"] for move in moves[1:]] + [None]
    return {
        "versions": [
            {"version": v, "metrics": v.metrics.get("model", {})}
            for v in subject.published[:_LATEST]
        ],
        "events": [event for event in events if event["action"] != "publish"][:_LATEST],
        "reign": [
            {"from": move["at"], "to": end, "version": move["version"], "actor": move["actor"]}
            for move, end in zip(moves, ends, strict=True)
        ],
        "now": events[0]["now"] if events else None,
    }


def gates(subject: Subject) -> list[dict[str, Any]]:
    """What the version was judged by at its publish."""
    why = "This version was published before gates were kept."
    table = _need(subject, "gates", why)
    return _some(
        subject.query(
            f"select gate, passed, value, bound, detail, forced from {table} "
            "where model = {m:String} and version = {v:UInt32} order by at",
            m=subject.spec.use_case,
            v=subject.version.version,
        ),
        why,
    )


def runs(subject: Subject) -> list[dict[str, Any]]:
    """The newest retrainings."""
    name = subject.spec.use_case
    why = f"It was never retrained. For a schedule: ./treehouse retrain {name} --cron"
    table = _need(subject, "runs", why)
    return _some(
        subject.query(
            "select run, started_at, finished_at, trigger, reason, step, outcome, version, detail "
            f"from {table} where model = {{m:String}} order by run desc limit {_LATEST}",
            m=name,
        ),
        why,
    )


def drift(subject: Subject) -> dict[str, Any]:
    """The monitor's last measurement of the version: its time, and a row for each column."""
    why = "Drift was not measured yet: ./treehouse monitor"
    table = _need(subject, "drift", why)
    rows = subject.query(
        f"""
        select at, role, name, psi, psi_noise, mean_shift, missing_share,
            reference_missing_share, unseen_share, importance, impact
        from {table}
        where model = {{m:String}} and version = {{v:UInt32}}
        order by at desc, role = 'prediction' desc, impact desc, psi desc
        limit 1 by role, name
        """,
        m=subject.spec.use_case,
        v=subject.version.version,
    )
    return {"at": _some(rows, why)[0]["at"], "columns": rows}


def quality(subject: Subject) -> list[dict[str, Any]]:
    """Cohorts whose labels have matured since, at the monitor's last run: loss and calibration."""
    why = "No labels have matured since this version was fitted, or none were looked at yet."
    table = _need(subject, "quality", why)
    rows = subject.query(
        f"""
        select cohort_from, cohort_to, rows, measure, loss, loss_low, loss_high, holdout_loss,
            calibration
        from {table}
        where model = {{m:String}} and version = {{v:UInt32}}
        order by at desc
        limit 1 by cohort_from
        """,
        m=subject.spec.use_case,
        v=subject.version.version,
    )
    return sorted(_some(rows, why), key=lambda row: row["cohort_from"])[-_LATEST:]


def alerts(subject: Subject) -> list[Alert]:
    """All alerts: those that are not resolved first."""
    _need(subject, "alerts", "No alerts are kept yet: ./treehouse monitor")
    return read_alerts(subject.client, subject.settings, model=subject.spec.use_case)


def experiments(subject: Subject) -> list[dict[str, Any]]:
    """Experiments on this model, the newest first: name, state, warnings, verdicts and rows."""
    name = subject.spec.use_case
    why = f"No experiment has run on {name}."
    table = _need(subject, "experiments", why)
    found = subject.query(
        f"select experiment, argMax(action, at) = 'stop' as is_over from {table} "
        "where model = {m:String} group by experiment order by min(at) desc "
        f"limit {_LATEST}",
        m=name,
    )
    results = []
    for row in _some(found, why):
        try:
            read = read_results(subject.client, subject.settings, row["experiment"])
        except TreehouseError as error:
            raise Missing(f"{error.what} {error.fix}") from error
        results.append(row | {"results": read})
    return results


def serving(subject: Subject) -> list[dict[str, Any]]:
    """The last days in the engine's own query log: calls, failures, rows and times."""
    why = "The engine's query log tells of no calls within 7 days."
    try:
        view = _need(subject, "model_serving", _UNBUILT, subject.settings.database)
        rows = subject.query(
            f"""
            select
                toDate(hour) as day,
                sum(view.calls) as calls,
                sum(view.failures) as failures,
                sum(view.rows_read) as rows_read,
                quantileExactWeighted(0.5)(p50_ms, view.calls) as p50_ms,
                max(view.p99_ms) as p99_ms
            from {view} as view
            where model = {{m:String}}
            group by day
            order by day desc
            """,
            m=subject.spec.use_case,
        )
    except ClickHouseError as error:  # no log is kept, or this user may not read it
        raise Missing("The engine's query log can't be read.") from error
    return _some(rows, why)


def _some(rows: list[dict[str, Any]], why: str) -> list[dict[str, Any]]:
    """The rows.

    Raises:
        Missing: There are none.
    """
    if not rows:
        raise Missing(why)
    return rows


def _need(subject: Subject, table: str, why: str, database: str = "") -> str:
    """The qualified name of a table, of the registry unless told otherwise.

    Raises:
        Missing: It is not there.
    """
    database = database or subject.settings.registry_database
    if not is_there(subject.client, database, table):
        raise Missing(why)
    return f"{identifier(database)}.{identifier(table)}"
