"""Data in: simulate, load, reconcile."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from training import console
from training.commands.shared import JsonFlag, client_of, example, show
from training.errors import TreehouseError
from training.settings import Settings

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
    from training.simulate import DEFAULT_END
    from training.simulate import simulate as run

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


@app.command(
    rich_help_panel=_PANEL, epilog=example("load purchases orders.csv --map buyer=customer_id")
)
def load(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="events, installs or purchases.")],
    origin: Annotated[str, typer.Argument(help="A file, a folder, or table:database.name.")],
    fmt: Annotated[
        str | None, typer.Option("--format", help="Where the file's name does not say it.")
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option("--map", help="theirs=ours, for a column; repeatable.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Load Parquet, CSV or a table; bad rows go to quarantine with a reason."""
    from training.intake.load import load as run

    settings: Settings = context.obj
    mapping = _mapping(rename or [])
    with client_of(settings) as client, console.step(f"load {source}", json) as report:
        result = run(client, settings, source, origin, progress=report, fmt=fmt, mapping=mapping)
    show(result.__dict__, json)
    if result.quarantined and not json:
        console.err.print(
            f'Why: ./treehouse sql "select reason_code, count(), any(reason) from '
            f'{settings.raw_database}.quarantine group by 1 order by 2 desc"'
        )
    if result.interrupted:
        console.err.print(
            "An earlier load was interrupted. Its rows are there once, but views may have missed "
            "some: ./treehouse reconcile --repair"
        )


def _mapping(pairs: list[str]) -> dict[str, str]:
    """Names of the origin by the contract's, from `theirs=ours`."""
    mapping: dict[str, str] = {}
    for pair in pairs:
        theirs, is_pair, ours = pair.rpartition("=")
        if not (theirs and is_pair and ours) or ours in mapping:
            raise TreehouseError(
                "A mapping of columns could not be read.",
                value=pair,
                expected="<their column>=<column of the contract>, each of the contract's once",
                fix="for example --map buyer=customer_id",
            )
        mapping[ours] = theirs
    return mapping


@app.command(rich_help_panel=_PANEL, epilog=example("reconcile --repair"))
def reconcile(
    context: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Rebuild what differs.")] = False,
    json: JsonFlag = False,
) -> None:
    """Compare what materialized views keep with a rebuild; exit 1 if they differ."""
    from training.intake.reconcile import reconcile as run

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
