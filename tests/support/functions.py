"""What the shipped list of functions is made of: `python -m tests.support.functions` writes it."""

from __future__ import annotations

import textwrap
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import connect_embedded
from treehouse.platform.query_log.functions import SHIPPED, Functions
from treehouse.project.settings import Settings


def called_bare(client: Client, names: set[str]) -> set[str]:
    """Those that the engine calls where a word alone stands and is no column, in lower case."""
    return {name.lower() for name in names if _is_called(client, name)}


def _is_called(client: Client, name: str) -> bool:
    try:
        client.command(f"explain query tree select {name} from (select 1 as x)")
    except ClickHouseError:
        return False
    return True


def names(client: Client) -> set[str]:
    """All functions of the engine itself, as it spells them."""
    sql = "select name from system.functions where origin = 'System'"
    return {str(name) for (name,) in client.query(sql).result_rows}


def main() -> None:
    with TemporaryDirectory() as home:
        client = connect_embedded(Settings(home=Path(home)))
        own = {name.lower() for name in names(client)}
        found = Functions.of(client)
        bare = called_bare(client, names(client)) & found.moving
        found = Functions(found.steady & own, found.moving & own, frozenset(bare))
        client.close()
    sections = (
        f"{field.name}:\n{textwrap.fill(' '.join(sorted(getattr(found, field.name))), 100)}\n"
        for field in fields(found)
    )
    SHIPPED.write_text("\n".join(sections))


if __name__ == "__main__":
    main()
