"""Clearing away: retired versions beyond a number to keep, and what no version names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.engine import identifier
from training.lifecycle.artifacts import remove_file
from training.lifecycle.versions import Version, versions
from training.registry import in_experiments, record, standing_promotions

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.settings import Settings


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
        spared = in_experiments(client, settings, model)
        spared |= set(standing_promotions(client, settings, model)[1][-2:])
        of_model = [v for v in known if v.model == model and not v.is_champion]
        retired = [v for v in of_model if v.state == "retired"][keep:]
        found += [_garbage(v, "retired") for v in retired if v.version not in spared]
    return found + _unnamed(client, settings)


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

    The event comes first: from then on no function asks for the version. What is interrupted is
    finished by the next run, or by `sync`.
    """
    garbage = plan(client, settings, keep)
    numbered = {(g.model, g.version) for g in garbage if g.version}
    for version in versions(client, settings):
        if (version.model, version.version) in numbered:
            record(client, settings, version, "collect")
    for item in garbage:
        remove_file(client, settings, item.bundle)
    if garbage:
        bundles = ", ".join(str(g.bundle) for g in garbage)
        client.command(
            f"alter table {identifier(settings.registry_database)}.artifacts "
            f"delete where bundle in ({bundles}) settings mutations_sync = 1"
        )
    return garbage
