"""Clearing away: retired versions beyond a number to keep, and what no version names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.turns import alone, holders
from treehouse.registry.artifacts import remove_file
from treehouse.registry.promotions import deciding, in_experiments, record, standing_promotions
from treehouse.registry.versions import Version, versions

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings


PUBLISHING, COLLECTING = "publish", "collect garbage"
"""Names of turns: of each model's publisher, and of the one collection."""


@dataclass(frozen=True)
class Garbage:
    """A model file that may go: its version's number, or 0 where no version names it."""

    model: str
    version: int
    bundle: int
    bytes: int
    why: str


def plan(client: Client, settings: Settings, keep: int = 3) -> list[Garbage]:
    """What may go: never a champion, what a rollback leads to, or what an experiment asks.

    Args:
        client: Of the engine.
        settings: Where the registry is.
        keep: How many retired versions of each model stay, the newest.
    """
    known = versions(client, settings)
    found = []
    for model in sorted({v.model for v in known}):
        of_model = [v for v in known if v.model == model]
        found += [_garbage(v, "retired") for v in _retired(client, settings, of_model, keep)]
    return found + _unnamed(client, settings)


def _retired(
    client: Client, settings: Settings, of_model: Sequence[Version], keep: int
) -> list[Version]:
    """The retired versions of a model that may go."""
    model = of_model[0].model
    spared = in_experiments(client, settings, model)
    spared |= set(standing_promotions(client, settings, model)[1][-2:])
    retired = [v for v in of_model if v.state == "retired" and not v.is_champion][keep:]
    return [v for v in retired if v.version not in spared]


def _garbage(version: Version, why: str) -> Garbage:
    return Garbage(version.model, version.version, version.bundle, version.bytes, why)


def _unnamed(client: Client, settings: Settings) -> list[Garbage]:
    """Left by publishers that were refused, stopped or overtaken, a day old, so that none is at
    work; and by a clearing that was interrupted."""
    registry = identifier(settings.registry_database)
    rows = client.query(
        f"""
        with cleared as (select bundle from {registry}.events where action = 'collect')
        select bundle, length(content), bundle in cleared
        from {registry}.artifacts
        where
            bundle in cleared
            or (
                created_at < now() - interval 1 day
                and bundle not in (select bundle from {registry}.versions)
            )
        order by bundle
        """
    ).result_rows
    return [
        Garbage("", 0, bundle, size, "cleared away in part" if cleared else "of no version")
        for bundle, size, cleared in rows
    ]


def collect(client: Client, settings: Settings, keep: int = 3) -> list[Garbage]:
    """Remove what `plan` names: files and registry copies. What a version was stays on record.

    The event comes first: from then on no function asks for the version, and none can be promoted.
    What is interrupted is finished by the next run, or by `sync`. Publishers and a collection keep
    out of each other's way: a file of no version may be one that is being published.

    Raises:
        BusyError: Another collection is at it.
    """
    with alone(client, settings, COLLECTING):
        garbage = []
        for model in sorted({v.model for v in versions(client, settings)}):
            with deciding(client, settings, model):
                known = versions(client, settings, model)
                retired = _retired(client, settings, known, keep)
                for version in retired:
                    record(client, settings, version, "collect")
                garbage += [_garbage(version, "retired") for version in retired]
        collected = {item.bundle for item in garbage}
        if not holders(client, settings, PUBLISHING):
            garbage += [g for g in _unnamed(client, settings) if g.bundle not in collected]
        for item in garbage:
            remove_file(client, settings, item.bundle)
        if garbage:
            bundles = ", ".join(str(g.bundle) for g in garbage)
            client.command(
                f"alter table {identifier(settings.registry_database)}.artifacts "
                f"delete where bundle in ({bundles}) settings mutations_sync = 1"
            )
    return garbage
