"""DDL of the tables that hold state: pure Jinja in macros/*.sql, which dbt renders on run start.

Python renders the same text here, so that a table is described in one place.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError
from jinja2.sandbox import SandboxedEnvironment

from treehouse.clickhouse.client import identifier, literal, run_script, server_profile
from treehouse.project.settings import ROOT, Settings, profile, project_vars

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

MACROS = ROOT / "macros"
DICTIONARY_USER = "treehouse_dictionaries"
"""A user of the operator's install: without a password, of the server itself, for dictionaries."""
_ITS_DATABASES = ("treehouse_registry", "treehouse_results")


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
    """`run_ddl` of state with dictionaries: the macro takes as whom they read their tables too.

    Dictionaries that can't be read, as after a change of the password that they hold, are made
    anew. Others are never dropped: whoever asks just then would find none. One that holds a
    password though it needs none any more is exchanged for one without.
    """
    for name in _dictionaries(client, database, "last_exception != ''", "dictionaries"):
        client.command(f"drop dictionary if exists {identifier(database)}.{identifier(name)}")
    reader = dictionary_reader(client, settings, database)
    script = render(path, macro, identifier(database), credentials=reader, **named)
    run_script(client, script)
    if "password" not in reader:
        shown = "engine = 'Dictionary' and position(create_table_query, 'PASSWORD \\'[HIDDEN]') > 0"
        for name in _dictionaries(client, database, shown, "tables"):
            _exchange(client, script, database, name, named.get("cluster", ""))


def dictionary_reader(client: Client, settings: Settings, database: str) -> str:
    """As whom dictionaries of the engine's own tables read them, as their source says it.

    That is the install's own user for it, which has no password, wherever there is one. Else it is
    who made them, with the password: the engine shows it to nobody, and no log of ours has it.
    """
    if settings.target != "server":
        return ""
    if database in _ITS_DATABASES and _is_installed(client):
        return f"user {literal(DICTIONARY_USER)}"
    server = server_profile()
    if not server["password"]:
        return ""
    return f"user {literal(server['user'])} password {literal(server['password'])}"


def _is_installed(client: Client) -> bool:
    """Whether there is DICTIONARY_USER; who may not see users has a right on it by the install."""

    def answer(sql: str) -> bool:
        return bool(client.query(sql).result_rows[0][0])

    try:
        if answer("check grant show users on *.*"):
            user = literal(DICTIONARY_USER)
            return answer(f"select count() from system.users where name = {user}")
        return answer(f"check grant set definer on {DICTIONARY_USER}")
    except ClickHouseError:  # a server before 24.2
        return False


def _dictionaries(client: Client, database: str, where: str, table: str) -> list[str]:
    """Names of the dictionaries of a database that a system table tells something of."""
    rows = client.query(
        f"select name from system.{table} where database = {{d:String}} and {where}",
        parameters={"d": database},
    ).result_rows
    return [str(name) for (name,) in rows]


def _exchange(client: Client, script: str, database: str, name: str, cluster: str) -> None:
    """Put the script's dictionary in the place of one; who asks just then finds either."""
    old, new = (f"{identifier(database)}.{identifier(n)}" for n in (name, f"{name}__new"))
    head = re.compile(
        rf"create dictionary if not exists {re.escape(identifier(database))}\.{name}\b"
    )
    made = [part for part in script.split(";\n") if head.search(part)]
    everywhere = f" on cluster {cluster}" if cluster else ""
    client.command(f"drop dictionary if exists {new}{everywhere}")
    for statement in made:  # none for a dictionary of somebody else's
        run_script(client, head.sub(lambda _: f"create dictionary {new}", statement))
        client.command(f"system reload dictionary {new}")
        client.command(f"exchange dictionaries {old} and {new}{everywhere}")
        client.command(f"drop dictionary {new}{everywhere}")


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
