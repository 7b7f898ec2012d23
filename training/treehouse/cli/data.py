"""Data in: simulate, reconcile."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from treehouse.cli.shared import JsonFlag, client_of, example, show
from treehouse.project import console
from treehouse.project.settings import Settings

app = typer.Typer()
_PANEL = "Data in"


@app.command(rich_help_panel=_PANEL, epilog=example("simulate --users 1000000 --replace"))
def simulate(
    context: typer.Context,
    users: Annotated[int, typer.Option(help="How many users install.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal rows.")] = 1,
    end: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="The present, UTC: nothing of this day and later is seen.",
            show_default="2026-06-30",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove what was simulated before.")
    ] = False,
    beside_others: Annotated[
        bool,
        typer.Option("--beside-others", help="Write although there are rows of somebody else's."),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Fill events and installs with a simulated mobile growth platform."""
    from treehouse.simulation.app import DEFAULT_END
    from treehouse.simulation.app import simulate as run

    settings: Settings = context.obj
    with client_of(settings) as client, console.step("simulate", json) as report:
        result = run(
            client, settings, users=users, seed=seed, end=end.date() if end else DEFAULT_END,
            replace=replace, beside_others=beside_others,
            progress=lambda done, total: report("users", done, total),
        )  # fmt: skip
    show(result.__dict__, json)
    if result.replaced:
        console.err.print("Views may still hold what was replaced: ./treehouse reconcile --repair")


@app.command(rich_help_panel=_PANEL, epilog=example("reconcile --repair"))
def reconcile(
    context: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Rebuild what differs.")] = False,
    json: JsonFlag = False,
) -> None:
    """Compare what materialized views keep with a rebuild; exit 1 if they differ."""
    from treehouse.ingest.reconcile import reconcile as run

    settings: Settings = context.obj
    with client_of(settings) as client, console.step("reconcile", json):
        differences = run(client, settings, repair=repair)
    rows: list[dict[str, Any]] = [difference.__dict__ for difference in differences]
    if json:
        console.show_json(rows)
    elif not rows:
        console.out.print("No difference.")
    else:
        console.show_table(list(rows[0]), [list(row.values()) for row in rows])
    if rows and not repair:
        raise typer.Exit(1)
