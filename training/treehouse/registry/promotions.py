"""The registry: which versions there are, which one answers, and who decided so.

Its tables are in macros/state/registry.sql. A promotion or a rollback is one row in `events` and a
dictionary reload; every view looks the champion up at its next query.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import is_there, storage
from treehouse.clickhouse.ordered import next_time
from treehouse.clickhouse.turns import Turn, alone
from treehouse.project.contract import load_contract
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings, actor
from treehouse.registry.artifacts import place_file
from treehouse.registry.versions import Version, find_version, versions

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

__all__ = [
    "OvertakenError",
    "Version",
    "find_version",
    "promote",
    "record",
    "retire",
    "rollback",
    "versions",
]


class OvertakenError(TreehouseError):
    """Somebody else promoted in between."""


_PATIENCE_SECONDS = 60.0
_READ_ANEW = {
    "promote": "champions", "rollback": "champions", "publish": "bundles", "collect": "bundles",
}  # fmt: skip
"""Action to the dictionary that changes by it, on every node of a cluster."""


def promote(
    client: Client,
    settings: Settings,
    model: str,
    version: int,
    reason: str = "",
    *,
    force: bool = False,
    instead_of: int | None = None,
) -> Version:
    """Let a version answer from the next query on; for views of its contract, old or new.

    Args:
        client: Of the engine.
        settings: Where the registry is.
        model: The use case.
        version: Its number.
        reason: For the record.
        force: Whether a retired version may come back.
        instead_of: The version that must still answer; 0 for none, None for whichever.

    Raises:
        OvertakenError: Another version answers than the one that was to be replaced.
        TreehouseError: There is no such version, it is incomplete, retired or cleared away, or
            its model file can't be had. Whoever answered still does.
    """
    with deciding(client, settings, model):
        chosen = find_version(client, settings, model, version)
        _check_state(chosen, force=force)
        if instead_of is not None:
            _check_champion(client, settings, chosen, instead_of)
        place_file(client, settings, chosen.bundle, chosen.sha256)
        record(client, settings, chosen, "promote", reason)
    return chosen


def _check_champion(client: Client, settings: Settings, chosen: Version, instead_of: int) -> None:
    of_model = versions(client, settings, chosen.model)
    rivals = (v.version for v in of_model if v.is_champion and v.contract == chosen.contract)
    if (champion := next(rivals, 0)) != instead_of:
        raise OvertakenError(
            f"Another version of {chosen.model} was promoted in the meantime.",
            value=champion,
            expected=f"{instead_of}, as before",
            fix=f"./treehouse promote {chosen.model} {chosen.version}",
        )


def deciding(client: Client, settings: Settings, model: str) -> AbstractContextManager[Turn]:
    """The turn of who decides what becomes of a model's versions: whoever looks at them and then
    writes an event takes it first, so that what was seen still holds.
    """
    name = f"decide on versions of {model}"
    return alone(client, settings, name, wait_seconds=_PATIENCE_SECONDS)


def _check_state(version: Version, *, force: bool) -> None:
    name = f"Version {version.version} of {version.model}"
    if version.state == "incomplete":
        raise TreehouseError(
            f"{name} was never published to the end.",
            value="its publisher was stopped before the last step",
            fix=f"./treehouse publish {version.model}",
        )
    if version.state == "collected":
        raise TreehouseError(
            f"{name} was cleared away: its model file is gone.",
            fix="promote another one: ./treehouse models",
        )
    if version.state == "retired" and not force:
        raise TreehouseError(
            f"{name} is retired.",
            expected="a version that is not",
            fix=f"./treehouse promote {version.model} {version.version} --force, to bring it back",
        )


def rollback(client: Client, settings: Settings, model: str, reason: str = "") -> Version | None:
    """Let the version answer that answered before the last promotion that still stands.

    Returns:
        The version that answers now, or None if none does.

    Raises:
        TreehouseError: Nothing is promoted.
    """
    load_contract(model)  # says what there is, and suggests
    with deciding(client, settings, model):
        return _rollback(client, settings, model, reason)


def _rollback(client: Client, settings: Settings, model: str, reason: str) -> Version | None:
    known = {v.version: v for v in versions(client, settings, model)}
    contract, standing = standing_promotions(client, settings, model)
    if not standing:
        raise TreehouseError(
            f"Nothing of {model} is promoted, so there is nothing to roll back.",
            fix=f"./treehouse promote {model} <version>",
        )
    earlier = [
        known[number]
        for number in standing[:-1]
        if number in known and known[number].state == "published"
    ]
    if not earlier:
        _insert_event(client, settings, model, contract, "rollback", 0, 0, reason)
        return None
    previous = earlier[-1]
    place_file(client, settings, previous.bundle, previous.sha256)
    record(client, settings, previous, "rollback", reason)
    return previous


def standing_promotions(client: Client, settings: Settings, model: str) -> tuple[str, list[int]]:
    """The contract promoted last, and its promotions that were not rolled back, oldest first."""
    rows = client.query(
        f"select contract, action, version from {identifier(settings.registry_database)}.events "
        "where model = {model:String} and action in ('promote', 'rollback') order by at, bundle",
        parameters={"model": model},
    ).result_rows
    contract: str = rows[-1][0] if rows else ""
    return contract, _stack((action, number) for of, action, number in rows if of == contract)


def _stack(events: Iterable[tuple[str, int]]) -> list[int]:
    """A promotion adds a version; a rollback ends all after the one that it names, 0 all."""
    standing: list[int] = []
    for action, version in events:
        if action == "promote":
            if standing[-1:] != [version]:  # promoted again: nothing to go back to in between
                standing.append(version)
            continue
        while standing and standing[-1] != version:
            standing.pop()
        if version and not standing:
            standing.append(version)
    return standing


def retire(
    client: Client, settings: Settings, model: str, version: int, reason: str = ""
) -> Version:
    """Take a version out of use: no promotion or rollback chooses it; `gc` may clear it away.

    Raises:
        TreehouseError: There is no such version, it answers now, or an experiment runs with it.
    """
    with deciding(client, settings, model):
        return _retire(client, settings, model, version, reason)


def _retire(client: Client, settings: Settings, model: str, version: int, reason: str) -> Version:
    chosen = find_version(client, settings, model, version)
    name = f"Version {version} of {model}"
    if chosen.is_champion:
        raise TreehouseError(
            f"{name} answers now.",
            expected="a version that nobody asks",
            fix=f"./treehouse promote {model} <another version>, or ./treehouse rollback {model}",
        )
    if version in in_experiments(client, settings, model):
        raise TreehouseError(f"{name} is in a running experiment.", fix="stop the experiment first")
    if chosen.state in ("retired", "collected"):
        raise TreehouseError(f"{name} is retired already.", value=chosen.state)
    record(client, settings, chosen, "retire", reason)
    return chosen


def in_experiments(client: Client, settings: Settings, model: str) -> set[int]:
    """The versions of a model that running experiments ask."""
    if not is_there(client, settings.registry_database, "experiments"):
        return set()
    rows = client.query(
        f"""
        select distinct arrayJoin(now.2)
        from (
            select argMax((model, versions, action), at) as now
            from {identifier(settings.registry_database)}.experiments
            group by experiment
        )
        where now.1 = {{model:String}} and now.3 != 'stop'
        """,
        parameters={"model": model},
    ).result_rows
    return {number for (number,) in rows}


def record(
    client: Client, settings: Settings, version: Version, action: str, reason: str = ""
) -> None:
    """One row in `events`, seen by every query from then on."""
    _insert_event(
        client, settings, version.model, version.contract, action, version.version,
        version.bundle, reason,
    )  # fmt: skip


def _insert_event(
    client: Client,
    settings: Settings,
    model: str,
    contract: str,
    action: str,
    version: int,
    bundle: int,
    reason: str,
) -> None:
    """The last event decides."""
    row = {
        "at": next_time(client, f"{identifier(settings.registry_database)}.events", model=model),
        "model": model, "contract": contract, "action": action, "version": version,
        "bundle": bundle, "actor": actor(), "reason": reason,
    }  # fmt: skip
    client.insert("events", [[*row.values()]], [*row], database=settings.registry_database)
    cluster = storage(settings)["cluster"]
    place = f"on cluster {cluster} " if cluster else ""
    if dictionary := _READ_ANEW.get(action):
        name = f"{identifier(settings.registry_database)}.{dictionary}"
        client.command(f"system reload dictionary {place}{name}")
