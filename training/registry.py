"""The registry: which versions there are, which one answers, and who decided so.

Its tables are in macros/registry.sql. A promotion or a rollback is one row in `events` and a
dictionary reload; every view looks the champion up at its next query.
"""

from __future__ import annotations

import getpass
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jinja2.sandbox import SandboxedEnvironment

from training.contract import load_contract
from training.engine import identifier, literal, run_script, server_profile
from training.errors import TreehouseError
from training.settings import ROOT, Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_DDL = ROOT / "macros" / "registry.sql"


@dataclass(frozen=True)
class Version:
    """One published version, as the registry knows it."""

    model: str
    version: int
    created_at: datetime
    contract: str
    bundle: int
    bytes: int
    metrics: dict[str, Any]
    parameters: dict[str, Any]
    is_champion: bool


def ensure_registry(client: Client, settings: Settings) -> None:
    """Create the registry's tables and dictionaries where they are missing."""
    macros: Any = SandboxedEnvironment().from_string(_DDL.read_text()).module
    credentials = ""
    if settings.target == "server" and (profile := server_profile())["password"]:
        credentials = f"user {literal(profile['user'])} password {literal(profile['password'])}"
    run_script(client, macros.registry_ddl(identifier(settings.registry_database), credentials))


def versions(client: Client, settings: Settings, model: str | None = None) -> list[Version]:
    """Every published version, newest first."""
    registry = identifier(settings.registry_database)
    rows = client.query(
        f"""
        select model, version, created_at, contract, bundle, bytes, metrics, parameters,
            champion.version = versions.version
        from {registry}.versions as versions
        left join (
            select model, contract, argMax(version, at) as version
            from {registry}.events
            where action in ('promote', 'rollback', 'retire')
            group by model, contract
        ) as champion using (model, contract)
        where {{model:String}} in ('', model)
        order by model, version desc
        """,
        parameters={"model": model or ""},
    ).result_rows
    return [
        Version(*row[:-3], json.loads(row[-3]), json.loads(row[-2]), bool(row[-1]))  # type: ignore[call-arg]
        for row in rows
    ]


def find_version(client: Client, settings: Settings, model: str, version: int) -> Version:
    """One version.

    Raises:
        TreehouseError: It was never published.
    """
    load_contract(model)
    found = versions(client, settings, model)
    for candidate in found:
        if candidate.version == version:
            return candidate
    there = ", ".join(str(v.version) for v in reversed(found)) or "none yet"
    raise TreehouseError(
        f"{model} has no such version.",
        value=version,
        expected=f"one of: {there}",
        fix="./treehouse models" if found else f"./treehouse train {model} --publish",
    )


def promote(
    client: Client, settings: Settings, model: str, version: int, reason: str = ""
) -> Version:
    """Let a version answer from the next query on.

    Raises:
        TreehouseError: There is no such version.
    """
    chosen = find_version(client, settings, model, version)
    record(client, settings, chosen, "promote", reason)
    return chosen


def rollback(client: Client, settings: Settings, model: str, reason: str = "") -> Version | None:
    """Let the version answer that answered before the last promotion that still stands.

    Returns:
        The version that answers now, or None if none does.

    Raises:
        TreehouseError: Nothing is promoted.
    """
    load_contract(model)  # says what there is, and suggests
    contract, standing = _standing(client, settings, model)
    if not standing:
        raise TreehouseError(
            f"Nothing of {model} is promoted, so there is nothing to roll back.",
            fix=f"./treehouse promote {model} <version>",
        )
    if len(standing) == 1:
        _insert_event(client, settings, model, contract, "rollback", 0, 0, reason)
        return None
    previous = find_version(client, settings, model, standing[-2])
    record(client, settings, previous, "rollback", reason)
    return previous


def _standing(client: Client, settings: Settings, model: str) -> tuple[str, list[int]]:
    """The contract promoted last, and its promotions that were not rolled back, oldest first."""
    rows = client.query(
        f"select contract, action, version from {identifier(settings.registry_database)}.events "
        "where model = {model:String} and action in ('promote', 'rollback', 'retire') order by at",
        parameters={"model": model},
    ).result_rows
    if not rows:
        return "", []
    contract: str = rows[-1][0]
    standing: list[int] = []
    for row_contract, action, version in rows:
        if row_contract != contract:
            continue
        if action == "promote":
            if standing[-1:] != [version]:  # promoted again: nothing to go back to in between
                standing.append(version)
        elif action == "rollback" and standing:
            standing.pop()
        elif action == "retire":
            standing = []
    return contract, standing


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
    database = identifier(settings.registry_database)
    client.insert(
        "events",
        [[model, contract, action, version, bundle, getpass.getuser(), reason]],
        column_names=["model", "contract", "action", "version", "bundle", "actor", "reason"],
        database=settings.registry_database,
    )
    for dictionary in ("champions", "bundles"):
        client.command(f"system reload dictionary {database}.{dictionary}")
