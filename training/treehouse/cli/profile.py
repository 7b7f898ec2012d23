"""Look before you train: what rows are like, and what looks wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treehouse.cli.reading import takes_reading
from treehouse.cli.shared import JsonFlag, client_of, example
from treehouse.ingest.reading import Reading
from treehouse.project import console
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.ingest.profiling.look import Profile

app = typer.Typer()
_MOST_ROWS = 20_000_000
"""Above, the summary after a load is left out: it reads every row of the source."""


@app.command(rich_help_panel="Data in", epilog=example("profile events export.csv"))
@takes_reading
def profile(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="events, installs or purchases.")],
    origins: Annotated[
        list[str] | None,
        typer.Argument(help="Files or table:database.name, as of load; else what was loaded."),
    ] = None,
    *,
    reading: Reading,
    json: JsonFlag = False,
) -> None:
    """Say what rows are like and what looks wrong in them; nothing is loaded."""
    from treehouse.ingest.profiling.look import profile as run

    settings: Settings = context.obj
    with client_of(settings) as client, console.step(f"profile {source}", json):
        found = run(client, settings, source, origins or (), reading)
    if json:
        console.show_json(found.__dict__)
        return
    if found.columns:
        console.show_table(
            ("column", "missing", "distinct", "median"),
            [
                (c["column"], f"{c['missing']:.1%}", c["distinct"], c["median"])
                for c in found.columns
            ],
        )
    show_summary(found)


def show_summary(found: Profile) -> None:
    """One line of what there is, and a line for each warning."""
    span = (
        f", {found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}" if found.first and found.last else ""
    )
    rows = f"{found.rows:,} rows" + (f" and {found.bad:,} bad ones" if found.bad else "")
    console.out.print(f"{found.source}: {rows} of {found.users:,} users on {found.days} days{span}")
    for warning in found.warnings:
        console.out.print(f"[yellow]{found.source}:[/] {console.cell(warning)}")


def summarize(client: Client, settings: Settings, source: str) -> None:
    """After a load: what the source holds now, unless it is too large to be read for that."""
    from treehouse.ingest.profiling.look import profile as run
    from treehouse.ingest.sources import find_source

    table = find_source(settings, source).qualified
    if client.query(f"select count() from {table}").result_rows[0][0] <= _MOST_ROWS:
        show_summary(run(client, settings, source))
    else:
        console.out.print(f"What it looks like now: ./treehouse profile {source}")
