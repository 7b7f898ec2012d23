"""Data in: load files and tables."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperCommand

from treehouse.cli.reading import takes_reading
from treehouse.cli.shared import JsonFlag, client_of, example, show
from treehouse.ingest.reading import Reading
from treehouse.project import console
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

app = typer.Typer()
_COUNTED = ("reasons", "said")


class _WithColumns(TyperCommand):
    """A command whose help ends in the columns of the contracts."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from treehouse.ingest.sources import read_sources

        super().format_help(ctx, formatter)
        for source in read_sources(Settings()).values():
            rows = [
                (c.name, c.type, c.without, ", ".join(c.aliases), c.comment) for c in source.columns
            ]
            columns = (source.name, "type", "without it", "also called", "")
            console.show_table(columns, rows)
            console.out.print()


@app.command(
    rich_help_panel="Data in",
    cls=_WithColumns,
    epilog=example("load purchases orders.csv --map buyer=customer_id"),
)
@takes_reading
def load(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="events, installs or purchases.")],
    origins: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders (all files below), quoted patterns, or table:database.name."
        ),
    ] = None,
    *,
    reading: Reading,
    print_mapping: Annotated[
        bool, typer.Option("--print", help="Only print the mapping file that the options say.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Load CSV, JSON, Parquet or a table; bad rows go to quarantine with a reason."""
    from treehouse.ingest.load import load as run
    from treehouse.ingest.sources import find_source

    settings: Settings = context.obj
    if print_mapping:
        console.show_text(reading.as_yaml(find_source(settings, source).mapping_help()))
        return
    if not origins:
        raise TreehouseError(
            "There is nothing to load.", expected="a file", fix=f"./treehouse load {source} FILE"
        )
    with client_of(settings) as client, console.step(f"load {source}", json) as report:
        result = run(client, settings, source, origins, progress=report, reading=reading)
    _show(result.__dict__, settings, json)
    if not json and result.rows:
        from treehouse.cli.profile import summarize

        with client_of(settings) as client:
            summarize(client, settings, source)


def _show(result: dict[str, Any], settings: Settings, json: bool) -> None:
    if json:
        show(result, json)
        return
    show({name: value for name, value in result.items() if name not in _COUNTED}, json)
    for told, rows in result["said"].items():
        console.out.print(f"  {escape(told)}: {rows:,}")
    if result["reasons"]:
        console.show_table(("quarantined because of", "rows"), result["reasons"].items())
        console.err.print(
            f'Why: ./treehouse sql "select reason_code, count(), any(reason) from '
            f'{settings.raw_database}.quarantine group by 1 order by 2 desc"'
        )
    if result["interrupted"]:
        console.err.print(
            "An earlier load was interrupted. Its rows are there once, but views may have missed "
            "some: ./treehouse reconcile --repair"
        )
