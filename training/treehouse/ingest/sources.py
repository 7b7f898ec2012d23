"""The contracts of the sources, read from models/staging/app/sources.yml, and their tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client
from jinja2 import Environment

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import MACROS, run_ddl
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import ROOT, Settings, project_vars, read_yaml

CONTRACTS = ROOT / "models" / "staging" / "app" / "sources.yml"
STATE = MACROS / "state" / "sources.sql"
CURRENCY = "currency"


@dataclass(frozen=True)
class Column:
    """One column of a source.

    Attributes:
        name: Its name.
        type: ClickHouse type.
        comment: What it holds, with its unit.
        aliases: Other names that a file's header may use, the first preferred.
        optional: Whether a row without it gets a default instead of quarantine.
        default: That default as text; "" is the type's.
        derived: Whether a row without it gets a value made of its content.
        check: SQL over the parsed columns that must hold.
    """

    name: str
    type: str
    comment: str = ""
    aliases: tuple[str, ...] = ()
    optional: bool = False
    default: str = ""
    derived: bool = False
    check: str | None = None

    @property
    def required(self) -> bool:
        """Whether a row without it is quarantined."""
        return not (self.optional or self.derived)

    @property
    def without(self) -> str:
        """What becomes of a row without it."""
        if self.derived:
            return "derived"
        return (self.default or "default") if self.optional else "quarantine"


@dataclass(frozen=True)
class Source:
    """One source: where it is, its columns, what identifies a row.

    Attributes:
        name: Its name in the contracts.
        database: Database of the table.
        table: Name of the table.
        columns: In the table's order.
        id: Column whose value is unique.
        time: Column that says when.
        order_by: Sorting key of the table.
        money: The column of amounts, "" where there is none.
        refund: SQL over the parsed columns that tells a refund; "" where there are no amounts.
        refunds: What becomes of one: `net` or `quarantine`.
    """

    name: str
    database: str
    table: str
    columns: tuple[Column, ...]
    id: str
    time: str
    order_by: tuple[str, ...]
    money: str = ""
    refund: str = ""
    refunds: str = "quarantine"

    @property
    def qualified(self) -> str:
        """The table's name as SQL."""
        return f"{identifier(self.database)}.{identifier(self.table)}"

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    def mapping_help(self) -> str:
        """What a mapping may name, for the head of the file: each column and what it means."""
        lines = [
            f"How ./treehouse load {self.name} reads an export: pass it with --mapping FILE.",
            "",
            "columns: for each of these the name of yours, a list of names of which the first with",
            "a value counts, or {sql: an expression over your columns, which are all text}.",
            "",
        ]
        if self.money:
            lines.append(f"  {CURRENCY}: of {self.money}, see --rates; without it: USD")
        for column in self.columns:
            without = f"without it: {column.without}"
            lines.append(f"  {column.name} ({column.type}; {without}): {column.comment}")
        return "\n".join(lines)

    def ddl(self) -> dict[str, Any]:
        """What `source_ddl` in macros/state/sources.sql takes."""
        columns = [{"name": c.name, "type": c.type, "comment": c.comment} for c in self.columns]
        return {
            "name": self.table,
            "columns": columns,
            "order_by": list(self.order_by),
            "time": self.time,
        }


def read_sources(settings: Settings, path: Path = CONTRACTS) -> dict[str, Source]:
    """All sources by name; names of tables come from the vars of dbt_project.yml.

    Raises:
        TreehouseError: A contract names a column that it does not have.
    """
    variables = project_vars() | {"raw_database": settings.raw_database}
    environment = Environment(autoescape=False)  # noqa: S701 - names, not HTML
    environment.globals["var"] = lambda name, default="": variables.get(name, default)
    render = environment.from_string
    found = {}
    for group in read_yaml(path)["sources"]:
        database = render(group["schema"]).render()
        for table in group["tables"]:
            name = render(table.get("identifier", table["name"])).render()
            found[table["name"]] = _source(table, database, name)
    return found


def writing(settings: Settings, source: str) -> str:
    """The turn of who writes a source (turns.py): a load, a simulation, a repair."""
    return f"write {settings.raw_database}.{source}"


def find_source(settings: Settings, name: str) -> Source:
    """The source of that name.

    Raises:
        TreehouseError: There is none.
    """
    sources = read_sources(settings)
    if name not in sources:
        raise TreehouseError(
            "There is no such source.", value=name, expected="one of " + ", ".join(sources)
        )
    return sources[name]


def with_types_of_table(client: Client, source: Source) -> Source:
    """The source with the scale that its amounts have in the table, which may be an older one.

    What is parsed at the table's own scale is rounded where it is told, and not by an insert.
    """
    described = client.query(f"describe table {source.qualified}").result_rows
    types = {row[0]: row[1] for row in described if str(row[1]).startswith("Decimal")}
    columns = tuple(
        replace(c, type=types[c.name]) if c.type.startswith("Decimal") and c.name in types else c
        for c in source.columns
    )
    return replace(source, columns=columns)


def column_in_table(client: Client, source: Source, name: str) -> str | None:
    """What stands for a column of the contract in the table, by its name or an alias; a table of
    somebody's own may lack it."""
    rows = client.query(
        "select name from system.columns where database = {d:String} and table = {t:String}",
        parameters={"d": source.database, "t": source.table},
    ).result_rows
    there = {row[0] for row in rows}
    return next((n for n in (name, *source.column(name).aliases) if n in there), None)


def ensure_raw(client: Client, settings: Settings) -> None:
    """Create the tables of the sources, of quarantine and of the load log, where missing."""
    by_database: dict[str, list[dict[str, Any]]] = {settings.raw_database: []}
    for source in read_sources(settings).values():
        by_database.setdefault(source.database, []).append(source.ddl())
    for database, sources in by_database.items():
        run_ddl(client, STATE, "source_ddl", identifier(database), sources)
    run_ddl(client, STATE, "load_state_ddl", identifier(settings.raw_database))


def _source(table: dict[str, Any], database: str, name: str) -> Source:
    meta = table["config"]["meta"]
    columns = tuple(_column(column) for column in table["columns"])
    known = {column.name for column in columns}
    missing = {meta["id"], meta["time"], *meta["order_by"]} - known
    if missing:
        raise TreehouseError(
            f"The contract of {table['name']} names columns that it does not have.",
            value=", ".join(sorted(missing)),
            expected="one of " + ", ".join(sorted(known)),
            fix=f"mend its meta (id, time, order_by) in {CONTRACTS.relative_to(ROOT)}",
        )
    return Source(
        name=table["name"],
        database=database,
        table=name,
        columns=columns,
        id=meta["id"],
        time=meta["time"],
        order_by=tuple(meta["order_by"]),
        money=meta.get("money", ""),
        refund=meta.get("refund", ""),
        refunds=meta.get("refunds", "quarantine"),
    )


def _column(column: dict[str, Any]) -> Column:
    meta = column.get("config", {}).get("meta", {})
    return Column(
        name=column["name"],
        type=column["data_type"],
        comment=" ".join(column.get("description", "").split()),
        aliases=tuple(meta.get("aliases", ())),
        optional=meta.get("optional", False),
        default=str(meta.get("default", "")),
        derived=meta.get("derived", False),
        check=meta.get("check"),
    )
