"""Each node's model files follow the registry: run on every node, as often as one likes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treehouse.clickhouse.ddl import is_there
from treehouse.clickhouse.turns import alone
from treehouse.project.errors import TreehouseError
from treehouse.registry.artifacts import look_at_file, place_file, remove_file
from treehouse.registry.versions import versions

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Synced:
    """One version's file on this node.

    Attributes:
        found: "sound": it was there; "restored": it was missing; "repaired": it was another;
            "removed": the version was cleared away; "lost": the registry has no sound copy.
        problem: Why it is lost.
    """

    model: str
    version: int
    file: str
    found: str
    problem: str = ""


def sync(client: Client, settings: Settings) -> list[Synced]:
    """See that the node that the client is of holds every version's file, and no other's disk."""
    node = client.query("select hostName()").result_rows[0][0]
    with alone(client, settings, f"sync {node}", wait_seconds=_PATIENCE_SECONDS):
        return _sync(client, settings)


def _sync(client: Client, settings: Settings) -> list[Synced]:
    return [
        Synced(v.model, v.version, f"{v.bundle:016x}.bundle", *outcome)
        for v in versions(client, settings)
        if (outcome := _one(client, settings, v.bundle, v.sha256, v.state))
    ]


def _one(
    client: Client, settings: Settings, bundle: int, sha256: str, state: str
) -> tuple[str, ...]:
    if state == "collected":
        return ("removed",) if remove_file(client, settings, bundle) else ()
    try:
        return (place_file(client, settings, bundle, sha256),)
    except TreehouseError as error:
        return ("lost", f"{error.what} {error.value}")


def wrong_files(client: Client, settings: Settings) -> list[str]:
    """The versions whose file on this node is not what was published, in words; none is touched."""
    if not is_there(client, settings.registry_database, "events"):
        return []
    wrong = []
    for version in versions(client, settings):
        if version.state == "collected":
            continue
        try:
            found = look_at_file(client, settings, version.bundle, version.sha256)
        except TreehouseError as error:
            found = f"{error.what} {error.value}"
        if found != "sound":
            which = ", which answers now" if version.is_champion else ""
            wrong.append(f"version {version.version} of {version.model}{which}: {found}")
    return wrong
