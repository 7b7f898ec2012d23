"""Tables of state that have dictionaries: made where they are missing, as dbt does on run start.

Nobody else makes these: who wants one calls the function here. Their DDL is in macros/state/.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from treehouse.clickhouse.client import connect, identifier
from treehouse.clickhouse.ddl import MACROS, dictionary_reader, ensure_dictionaries, storage
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import project_vars

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

SECRETS = "argument_secrets"
"""The result cache's table of the key by which arguments are hashed."""
_STATE = MACROS / "state"


def ensure_registry(client: Client, settings: Settings) -> None:
    """Create the registry's tables and dictionaries where they are missing."""
    registry = settings.registry_database
    path = _STATE / "registry.sql"
    ensure_dictionaries(client, settings, path, "registry_ddl", registry, **storage(settings))
    for dictionary in ("bundles", "champions"):  # they may lack what a killed process wrote last
        client.command(f"system reload dictionary {identifier(registry)}.{dictionary}")


def ensure_experiments(client: Client, settings: Settings) -> None:
    """Create the experiments' tables, dictionary and SQL functions where they are missing."""
    registry = settings.registry_database
    client.command(f"create database if not exists {identifier(registry)} engine = Atomic")
    path = _STATE / "experiments.sql"
    ensure_dictionaries(client, settings, path, "experiments_ddl", registry, **storage(settings))


def ensure_result_cache(
    client: Client, settings: Settings, database: str, horizon_seconds: float
) -> None:
    """Create the result cache's log, its dictionary and its secret where they are missing."""
    path = _STATE / "result_cache.sql"
    ensure_dictionaries(
        client, settings, path, "result_store_ddl", database, horizon=horizon_seconds
    )
    ensure_secret(client, database)


def ensure_secret(client: Client, database: str) -> None:
    """Give the result cache a secret, where it has none."""
    if not client.query(f"select count() from {identifier(database)}.{SECRETS}").result_rows[0][0]:
        row = [secrets.token_hex(32)]
        client.insert(SECRETS, [row], column_names=["secret"], database=database)


def ensure_password_dictionaries(settings: Settings) -> None:
    """Create those that need a password, which dbt would write into its log with all statements.

    A server that can't be reached is left to dbt, which says so in its own words.
    """
    variables = project_vars()
    results = variables["result_cache"]["database"]
    try:
        client = connect(settings)
    except TreehouseError:
        return
    try:
        databases = (settings.registry_database, results)
        if any("password" in dictionary_reader(client, settings, name) for name in databases):
            ensure_registry(client, settings)
            ensure_experiments(client, settings)
            horizon = variables["cache_admission_horizon_seconds"]
            ensure_result_cache(client, settings, results, horizon)
    finally:
        client.close()
