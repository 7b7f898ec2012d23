"""DDL of the tables that hold state: pure Jinja in macros/*.sql, which dbt renders on run start.

Python renders the same text here, so that a table is described in one place.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2.sandbox import SandboxedEnvironment

from training.engine import identifier, literal, run_script, server_profile
from training.settings import ROOT, Settings, profile, project_vars

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

MACROS = ROOT / "macros"


def run_ddl(client: Client, path: Path, macro: str, *arguments: Any, **named: Any) -> None:
    """Render a macro of a file in macros/ and run its statements.

    Every statement is of the kind `create ... if not exists`: it may run at any time.
    """
    run_script(client, render(path, macro, *arguments, **named))


def render(path: Path, macro: str, *arguments: Any, **named: Any) -> str:
    """The SQL of a macro of a file in macros/ that needs nothing of dbt's."""
    return str(getattr(_macros(path), macro)(*arguments, **named))


def is_there(client: Client, database: str, table: str) -> bool:
    """Whether there is a table or view that this user may see."""
    found = client.query(
        "select count() from system.tables where database = {d:String} and name = {t:String}",
        parameters={"d": database, "t": table},
    ).result_rows
    return bool(found[0][0])


def ensure_dictionaries(
    client: Client, settings: Settings, path: Path, macro: str, database: str, **named: Any
) -> None:
    """`run_ddl` of state with dictionaries: the macro takes their credentials too.

    Dictionaries that can't be read, as after a change of the password that they hold, are made
    anew. Others are never replaced: whoever asks just then would find none.
    """
    broken = client.query(
        "select name from system.dictionaries where database = {d:String} and last_exception != ''",
        parameters={"d": database},
    ).result_rows
    for (name,) in broken:
        client.command(f"drop dictionary if exists {identifier(database)}.{identifier(name)}")
    credentials = _credentials(settings)
    run_ddl(client, path, macro, identifier(database), credentials=credentials, **named)


def _credentials(settings: Settings) -> str:
    """What a dictionary of the engine's own tables needs to read them: its user's, or ""."""
    if settings.target != "server" or not (server := server_profile())["password"]:
        return ""
    return f"user {literal(server['user'])} password {literal(server['password'])}"


def storage(settings: Settings) -> dict[str, str]:
    """What the macros take beside a database: `engine` of the tables; `cluster`, quoted, or ""."""
    cluster = profile(settings.target).get("cluster")
    return {
        "engine": str(project_vars()["state_engine"]),
        "cluster": identifier(str(cluster)) if cluster else "",
    }


@cache
def _macros(path: Path) -> Any:
    return SandboxedEnvironment().from_string(path.read_text()).module
