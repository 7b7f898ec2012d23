"""Starts, grows, stops and lists experiments, and logs exposures.

The tables are in macros/state/experiments.sql. Each change is one row; variant() sees it after a
dictionary reload, which is part of the change.
"""

from __future__ import annotations

import difflib
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier, literal
from treehouse.clickhouse.ddl import is_there
from treehouse.clickhouse.ordered import next_time
from treehouse.clickhouse.state import ensure_experiments
from treehouse.clickhouse.turns import Turn, alone
from treehouse.experiments.definition import Definition, check
from treehouse.project.contract import load_contract
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings, actor
from treehouse.registry.promotions import deciding, find_version

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_PATIENCE_SECONDS = 30.0


def start(
    client: Client, settings: Settings, definition: Definition, reason: str = ""
) -> Definition:
    """Assign units from the next query on.

    Returns:
        The definition with what was left open.

    Raises:
        TreehouseError: It makes no sense, its name was used before, or a version of its model was
            never published or trained for other features.
    """
    whole = check(definition)
    ensure_experiments(client, settings)
    with ExitStack() as turns:
        turns.enter_context(_turn(client, settings))
        if any(whole.versions):  # none of them may be cleared away meanwhile
            turns.enter_context(deciding(client, settings, whole.model))
        return _start(client, settings, whole, reason)


def _turn(client: Client, settings: Settings) -> AbstractContextManager[Turn]:
    """Who decides about experiments now: queries see all of them as of one time."""
    return alone(client, settings, "decide on experiments", wait_seconds=_PATIENCE_SECONDS)


def _start(client: Client, settings: Settings, whole: Definition, reason: str) -> Definition:
    if _latest(client, settings, whole.experiment):
        raise TreehouseError(
            "There was an experiment of this name before.",
            value=whole.experiment,
            expected="a new name: units keep their variant for ever, and so do the results",
            fix=f"./treehouse experiment results {whole.experiment}",
        )
    for number in filter(None, whole.versions):
        version = find_version(client, settings, whole.model, number)
        if version.state in ("incomplete", "collected"):
            raise TreehouseError(
                "The version can't answer.",
                value=f"version {number} of {whole.model}: {version.state}",
                expected="a published version",
                fix="./treehouse models",
            )
        if version.contract != load_contract(whole.model).hash:
            raise TreehouseError(
                "The version was trained for other features.",
                value=f"version {number} of {whole.model}",
                expected="a version that fits the contract of today",
                fix=f"./treehouse train {whole.model} --publish",
            )
    _insert(client, settings, whole, "start", reason)
    return whole


def grow(
    client: Client, settings: Settings, experiment: str, share: float, reason: str = ""
) -> Definition:
    """Let more units take part; nobody changes the variant.

    Raises:
        TreehouseError: There is no such running experiment, or the share would shrink: units that
            saw a variant would lose it.
    """
    with _turn(client, settings):
        running = _running(client, settings, experiment)
        if not running.share < share <= 1:
            raise TreehouseError(
                "The share can only grow: whoever takes part keeps the variant.",
                value=share,
                expected=f"above {running.share:g}, at most 1",
                fix=f"to end it: ./treehouse experiment stop {experiment}",
            )
        grown = replace(running, share=share)
        _insert(client, settings, grown, "grow", reason)
    return grown


def stop(client: Client, settings: Settings, experiment: str, reason: str = "") -> Definition:
    """End it: variant() answers '' and the champion scores everybody, from the next query on.

    Raises:
        TreehouseError: There is no such running experiment.
    """
    with _turn(client, settings):
        running = _running(client, settings, experiment)
        _insert(client, settings, running, "stop", reason)
    return running


def expose(
    client: Client,
    settings: Settings,
    experiment: str,
    relation: str,
    unit: str,
    time: str | None = None,
) -> dict[str, Any]:
    """Log every unit of a relation that takes part as exposed; again changes nothing.

    Args:
        client: Of the target.
        settings: With the registry's database.
        experiment: A running one.
        relation: Table or view: `database.table`, or a model's name.
        unit: Its column of units, of any type.
        time: Its column of the exposure's time; now if None.

    Returns:
        Units by variant that are logged so far.
    """
    _running(client, settings, experiment)
    seen = f"min({identifier(time)})" if time else "now64(3)"
    client.command(
        f"insert into {_table(settings, 'exposures')} (experiment, unit, variant, first_seen_at) "
        f"select {literal(experiment)}, toString({identifier(unit)}) as exposed_unit, "
        f"variant({literal(experiment)}, {identifier(unit)}) as seen_variant, {seen} "
        f"from {qualified(settings, relation)} where seen_variant != '' "
        "group by exposed_unit, seen_variant"
    )
    rows = client.query(
        f"select variant, uniqExact(unit) from {_table(settings, 'exposures')} "
        f"where experiment = {literal(experiment)} group by variant order by variant"
    ).result_rows
    return {variant: units for variant, units in rows}  # noqa: C416 - rows are lists to mypy


def experiments(client: Client, settings: Settings) -> list[dict[str, Any]]:
    """Every experiment with its state, newest first."""
    if not is_there(client, settings.registry_database, "experiments"):
        return []
    rows = client.query(
        "select experiment, if(argMax(action, at) = 'stop', 'stopped', 'running') as state, "
        "argMax(share, at) as share, argMax(variants, at) as variants, "
        "argMax(weights, at) as weights, argMax(model, at) as model, "
        "argMax(versions, at) as versions, argMax(is_shadow, at) as is_shadow, "
        "argMax(metrics, at) as metrics, min(at) as started_at, "
        "if(state = 'stopped', max(at), null) as stopped_at, argMin(actor, at) as started_by, "
        f"argMax(reason, at) as reason from {_table(settings, 'experiments')} as log "
        "group by experiment order by started_at desc"
    )
    return list(rows.named_results())


def find_experiment(client: Client, settings: Settings, experiment: str) -> dict[str, Any]:
    """One of them.

    Raises:
        TreehouseError: There is none of that name.
    """
    found = {str(row["experiment"]): row for row in experiments(client, settings)}
    if experiment not in found:
        close = difflib.get_close_matches(experiment, found, n=1)
        raise TreehouseError(
            "There is no such experiment.",
            value=experiment,
            expected="one of: " + (", ".join(found) or "none yet"),
            fix=f"did you mean {close[0]}?" if close else "./treehouse experiment list",
        )
    return found[experiment]


def qualified(settings: Settings, relation: str) -> str:
    """`database.table`, or the name of a dbt model, as SQL."""
    database, _, table = relation.rpartition(".")
    return f"{identifier(database or settings.database)}.{identifier(table)}"


def _running(client: Client, settings: Settings, experiment: str) -> Definition:
    state = find_experiment(client, settings, experiment)["state"]
    ensure_experiments(client, settings)
    latest = _latest(client, settings, experiment)
    if state == "stopped" or latest is None:
        raise TreehouseError(
            "The experiment was stopped.",
            value=experiment,
            expected="a running one",
            fix="start another one under a new name: ./treehouse experiment start",
        )
    return latest


def _latest(client: Client, settings: Settings, experiment: str) -> Definition | None:
    names = [field.name for field in fields(Definition)]
    rows = client.query(
        f"select {', '.join(names)} from {_table(settings, 'experiments')} "
        "where experiment = {experiment:String} order by at desc limit 1",
        parameters={"experiment": experiment},
    ).result_rows
    if not rows:
        return None
    values: list[Any] = [tuple(v) if isinstance(v, list) else v for v in rows[0]]
    return Definition(**dict(zip(names, values, strict=True)))


def _insert(
    client: Client, settings: Settings, definition: Definition, action: str, reason: str
) -> None:
    at = next_time(client, _table(settings, "experiments"))
    row = asdict(definition) | {"at": at, "action": action, "actor": actor(), "reason": reason}
    client.insert(
        "experiments",
        [[list(value) if isinstance(value, tuple) else value for value in row.values()]],
        column_names=list(row),
        database=settings.registry_database,
    )
    client.command(f"system reload dictionary {_table(settings, 'assignment_log')}")


def _table(settings: Settings, name: str) -> str:
    return f"{identifier(settings.registry_database)}.{name}"
