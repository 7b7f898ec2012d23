"""Look inside: SQL, functions, dbt, status."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from treehouse.cli.shared import PASS_THROUGH, JsonFlag, Model, client_of, example
from treehouse.project import console
from treehouse.project.errors import TreehouseError
from treehouse.project.files import write_whole
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

app = typer.Typer()
_PANEL = "Look inside"
_FORMATS = {
    ".csv": "CSVWithNames", ".tsv": "TabSeparatedWithNames", ".parquet": "Parquet", ".json": "JSON",
    ".jsonl": "JSONEachRow", ".ndjson": "JSONEachRow", ".arrow": "Arrow", ".orc": "ORC",
    ".md": "Markdown", ".xml": "XML",
}  # fmt: skip
"""What `sql --out` writes, by the name's ending."""
_CHUNK = 1 << 20
_OWN_FORMAT = re.compile(r"\sformat\s+(\w+)\s*;?\s*$", re.IGNORECASE)


@app.command(
    rich_help_panel=_PANEL,
    epilog=example("sql 'select * from treehouse.ltv_scores' --out scores.parquet"),
)
def sql(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="One statement, or - to read it from stdin.")],
    fmt: Annotated[
        str | None, typer.Option("--format", help="Any ClickHouse format, for example CSV.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the result to this file; its ending says the format."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Run SQL on the target; show the result, or write it to a file."""
    settings: Settings = context.obj
    text = sys.stdin.read() if query == "-" else query
    if not text.strip():
        raise typer.BadParameter("say a statement, or - to read one from stdin")
    own = _OWN_FORMAT.search(text)
    if own and not json:
        fmt, text = fmt or own[1], text[: own.start()]
    with client_of(settings) as client:
        if out is not None:
            _write(client, settings, text, fmt or _format_of(out), out)
            return
        if fmt:
            console.show_text(client.raw_query(text, fmt=fmt))
            return
        columns, rows = _ask(client, text)
    if json:
        console.show_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif columns:
        console.show_table(columns, rows)
    else:
        console.err.print("Done; no rows.")


def _write(client: Client, settings: Settings, text: str, fmt: str, out: Path) -> None:
    """A query's result as the engine writes it, whole or not at all."""
    # Else a query that fails half-way ends in a file that ends in the error.
    whole = {"wait_end_of_query": 1} if settings.target == "server" else {}
    stream = client.raw_stream(text, fmt=fmt, settings=whole)
    with stream as bytes_:
        write_whole(out, iter(partial(bytes_.read, _CHUNK), b""), shared=True)
    console.err.print(f"{out}: {out.stat().st_size:,} bytes of {fmt}.", markup=False)


def _format_of(out: Path) -> str:
    """The format that a file's name asks for."""
    if found := _FORMATS.get(out.suffix.lower()):
        return found
    raise TreehouseError(
        "The file's name does not say its format.",
        value=out,
        expected="a name that ends in " + ", ".join(_FORMATS),
        fix=f"add --format, for example: --format Parquet --out {out}",
    )


@app.command(rich_help_panel=_PANEL, epilog=example("explain ltv u0000042"))
def explain(
    context: typer.Context,
    model: Model,
    key: Annotated[str, typer.Argument(help="Of the row: a user_id, a customer_id.")],
    top: Annotated[int, typer.Option(help="How many features, the strongest first.")] = 8,
    json: JsonFlag = False,
) -> None:
    """Why a row is answered as it is, in the unit of the answer."""
    from treehouse.report.explain import explain as run
    from treehouse.report.explain import show_explained
    from treehouse.spec import load_spec

    settings: Settings = context.obj
    spec = load_spec(model)
    with client_of(settings) as client:
        found = run(client, settings, spec, key)
    console.show_json(found.__dict__) if json else show_explained(found, top)


@app.command(rich_help_panel=_PANEL, epilog=example("functions ltv"))
def functions(context: typer.Context, model: Model, json: JsonFlag = False) -> None:
    """A model's SQL functions, with the call in full: ready to paste, with types and units."""
    from treehouse.clickhouse.signature import written_out
    from treehouse.project.contract import load_contract, other_columns

    settings: Settings = context.obj
    told = written_out(load_contract(model), settings.database, other_columns(model))
    if json:
        console.show_json(told)
        return
    rows = told["functions"]
    console.show_table(list(rows[0]), [list(row.values()) for row in rows])
    for title, text in (
        ("By order", told["by_order"]),
        ("By name, as a view that follows every promotion", told["by_name"]),
    ):
        console.out.print(f"\n{title}:\n")
        console.show_text(text + "\n")


def _ask(client: Client, text: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns and rows; neither for a statement that answers none."""
    from clickhouse_connect.driver.summary import QuerySummary

    if not client.create_query_context(query=text).is_command:
        result = client.query(text)
        return tuple(result.column_names), [tuple(row) for row in result.result_rows]
    answer = client.command(text)
    if isinstance(answer, QuerySummary) or answer == "":
        return (), []
    values = answer if isinstance(answer, list) else [answer]
    return ("answer",), [(value,) for value in values]


@app.command(
    context_settings=PASS_THROUGH | {"help_option_names": []},
    rich_help_panel=_PANEL,
    epilog=example("dbt ls --select ltv_features+"),
)
def dbt(context: typer.Context) -> None:
    """dbt itself, on the target; what follows is passed on."""
    from dbt.cli.exceptions import DbtUsageException

    from treehouse.clickhouse.dbt import invoke

    result = invoke(context.obj, context.args)
    if isinstance(result.exception, DbtUsageException):  # dbt itself prints all others
        console.err.print(str(result.exception), markup=False)
    if not result.success:
        raise typer.Exit(2 if result.exception else 1)


@app.command(rich_help_panel=_PANEL, epilog=example("--target server status"))
def status(context: typer.Context, json: JsonFlag = False) -> None:
    """What is there: engine, sources, champions."""
    from treehouse.cli.status import read_status, show_status

    settings: Settings = context.obj
    with client_of(settings) as client:
        found = read_status(client, settings)
    console.show_json(found) if json else show_status(found)
