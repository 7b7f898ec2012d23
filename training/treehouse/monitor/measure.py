"""One measurement of a model, kept as rows, in the SQL of macros/statistics/."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2.sandbox import SandboxedEnvironment

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import MACROS
from treehouse.fit.baselines import label_sql
from treehouse.fit.splits import fitted_rows
from treehouse.project.settings import Settings, project_vars

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.spec import Spec

Row = dict[str, Any]


def measure(client: Client, settings: Settings, spec: Spec) -> dict[str, list[Row]]:
    """Measure a model now; every row is kept in `drift`, `health` or `quality`.

    Returns:
        The rows by table, as kept. `drift` is empty where the champion has no statistics.
        `serving` is the last day of the engine's own log, which keeps itself; `effects` is not
        kept, but told in alerts.
    """
    what = monitored(settings, spec)
    at: datetime = client.query("select now64(6, 'UTC')").result_rows[0][0]
    queries = {
        "health": macros().health_query(what),
        "drift": macros().drift_query(what, macros().monitored_window(what)),
        "quality": macros().quality_query(what),
    }
    measured = {
        table: _keep(client, settings, table, str(query), spec.use_case, at)
        for table, query in queries.items()
    }
    version = measured["health"][0]["version"]
    for row in measured["health"]:
        row["published_at"] = _published_at(client, settings, spec.use_case, version)
    measured["effects"] = effects(client, settings, spec) if measured["drift"] else []
    return measured | {"serving": _serving(client, settings, spec.use_case, version)}


def effects(client: Client, settings: Settings, spec: Spec) -> list[Row]:
    """What each feature does to the answers by being as it is now.

    Returns:
        name ("" for all features at once), effect (mean change of the answer, in its own unit),
        error (standard error of that), rows (of the window that were asked about), units (of these,
        the first key's values), usual (mean size of an answer to the training's rows) and p
        (corrected for all features).
    """
    query = str(macros().effects_query(monitored(settings, spec)))
    return [dict(row) for row in client.query(query).named_results()]


def _published_at(client: Client, settings: Settings, model: str, version: int) -> datetime | None:
    rows = client.query(
        f"select max(created_at) from {identifier(settings.registry_database)}.versions "
        "where model = {m:String} and version = {v:UInt32} having count() > 0",
        parameters={"m": model, "v": version},
    ).result_rows
    return rows[0][0] if rows else None


def _serving(client: Client, settings: Settings, model: str, version: int) -> list[Row]:
    """Calls and failures within a day: one row, or none where the log tells of no call."""
    query = macros().serving_query([model], settings.database, settings.registry_database)
    rows = client.query(
        "select sum(calls) as calls, sum(failures) as failures, sum(rows_read) as rows_read, "
        f"max(p99_ms) as p99_ms from ({query}) where hour >= now() - interval 1 day "
        "having calls > 0"
    ).named_results()
    return [{"version": version, **row} for row in rows]


def monitored(settings: Settings, spec: Spec) -> dict[str, Any]:
    """What the macros take: `monitored()` of monitoring.sql is the same within dbt."""
    contract, variables = spec.contract, project_vars()
    name = contract.use_case
    database = identifier(settings.database)
    return {
        "model": name,
        "features": [{"name": f.name, "kind": f.kind} for f in contract.features],
        "head": contract.heads[0],
        "contract": contract.hash,
        "keys": [*contract.keys, contract.time],
        "time": contract.time,
        "registry": settings.registry_database,
        "features_table": f"{database}.{identifier(name + '_features')}",
        "days": int(variables.get(f"{name}_monitoring_days", variables["monitoring_days"])),
        "training_set": fitted_rows(
            f"{database}.{identifier(name + '_training_set')}", spec.fitted
        ),
        "label": label_sql(spec),
        "weight": f"toFloat64({identifier(contract.weight)})" if contract.weight else "1.",
        "task": spec.task,
    }


def _keep(
    client: Client, settings: Settings, table: str, query: str, model: str, at: datetime
) -> list[Row]:
    """Insert a query's rows, then read them back: they are few."""
    target = f"{identifier(settings.registry_database)}.{table}"
    names = [row[0] for row in client.query(f"describe {target}").result_rows]
    columns = ", ".join(name for name in names if name not in ("at", "model"))
    key = {"model": model, "at": at}
    client.command(
        f"insert into {target} (model, at, {columns}) "
        f"select {{model:String}}, {{at:DateTime64(6, 'UTC')}}, {columns} from ({query})",
        parameters=key,
    )
    kept = client.query(
        f"select * from {target} where model = {{model:String}} "
        "and at = {at:DateTime64(6, 'UTC')}",
        parameters=key,
    )
    return list(kept.named_results())


@cache
def macros() -> Any:
    """The pure macros of these files, as one module: they call one another."""
    files = ("functions/champion.sql", "statistics/drift.sql", "statistics/monitoring.sql")
    text = "".join((MACROS / name).read_text() for name in files)
    return SandboxedEnvironment(extensions=["jinja2.ext.do"]).from_string(text).module
