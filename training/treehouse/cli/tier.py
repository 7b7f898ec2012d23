"""`treehouse tier ...`: where partitions should lie, and moving them there."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from treehouse.cli.shared import JsonFlag, Newest, client_of, example, show_rows
from treehouse.project import console
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from treehouse.platform.tiering.apply import Done
    from treehouse.platform.tiering.log import Move
    from treehouse.platform.tiering.plan import Plan

app = typer.Typer(
    help="Move partitions to hot, warm and cold volumes; only of tables named in dbt_project.yml. "
    "Of a cluster, each node moves, logs and takes back its own parts: run it on every node.",
    no_args_is_help=True,
)
_Tables = Annotated[
    list[str] | None,
    typer.Option("--table", help="Only this one, as database.table; repeatable."),
]
_Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, it is only shown.")]
_AnyTime = Annotated[bool, typer.Option("--any-time", help="Outside of tiering.hours as well.")]
_SHOWN_ROWS = 30


@app.command(epilog=example("tier plan --table shop.visits"))
def plan(context: typer.Context, table: _Tables = None, json: JsonFlag = False) -> None:
    """Show what would be moved, what it saves each month, and what stays for which reason."""
    from treehouse.platform.tiering.plan import make_plan

    settings: Settings = context.obj
    with client_of(settings) as client:
        made = make_plan(client, settings, table or ())
    _show_plan(made, json)


@app.command(epilog=example("--target server tier apply --yes   # cron: 0 2 * * *"))
def apply(
    context: typer.Context,
    table: _Tables = None,
    yes: _Yes = False,
    any_time: _AnyTime = False,
    json: JsonFlag = False,
) -> None:
    """Move what the plan says, and first finish what a killed run left; without --yes, the plan."""
    from treehouse.platform.tiering.apply import apply as run
    from treehouse.platform.tiering.plan import make_plan

    settings: Settings = context.obj
    with client_of(settings) as client:
        made = make_plan(client, settings, table or ())
        if not yes:
            _show_plan(made, json)
            return
        with console.step("move", json) as report:
            done = run(client, settings, made.moves, any_time=any_time, progress=report)
    _show_done(done, json)


@app.command(epilog=example("tier undo --yes"))
def undo(
    context: typer.Context, yes: _Yes = False, any_time: _AnyTime = False, json: JsonFlag = False
) -> None:
    """Move back what the newest run moved; again for the one before it. Without --yes, show it."""
    from treehouse.platform.tiering.apply import apply as run
    from treehouse.platform.tiering.apply import undo_moves

    settings: Settings = context.obj
    with client_of(settings) as client:
        moves = undo_moves(client, settings)
        if not yes:
            _show_moves(moves, json)
            return
        with console.step("move back", json) as report:
            done = run(client, settings, moves, any_time=any_time, progress=report)
    _show_done(done, json)


@app.command(epilog=example("tier log --limit 20"))
def log(
    context: typer.Context,
    limit: Newest = 50,
    json: JsonFlag = False,
) -> None:
    """Every move, the newest first."""
    from treehouse.platform.tiering.log import ensure_log, history

    settings: Settings = context.obj
    with client_of(settings) as client:
        ensure_log(client, settings)
        rows = history(client, settings, limit)
    if not json:
        shown = ("began_at", "state", "database", "table", "partition_id", "from_tier", "to_tier",
                 "bytes", "saved_usd_per_month", "detail")  # fmt: skip
        rows = [{name: row[name] for name in shown} for row in rows]
    show_rows(rows, json, "Nothing was moved yet.")


def _show_plan(made: Plan, json: bool) -> None:
    totals = {
        "as_of": made.as_of, "model_version": made.model_version, "partitions": made.partitions,
        "usd_per_month": made.usd_per_month, "saved_usd_per_month": made.saved_usd_per_month,
        "bytes": sum(move.bytes for move in made.moves),
    }  # fmt: skip
    if json:
        console.show_json(totals | {"moves": made.details, "held": made.held})
        return
    if not made.partitions:
        console.out.print(
            "Nothing is known of the configured tables: ./treehouse collect && ./treehouse build"
        )
        return
    if not made.model_version:
        console.out.print("Nothing is promoted, so everything stays where it is.")
    if made.moves:
        show_rows(made.details[:_SHOWN_ROWS])
        if (more := len(made.moves) - _SHOWN_ROWS) > 0:
            console.out.print(f"... and {more:,} more")
    if made.held:
        show_rows(made.held)
    console.out.print(
        f"{len(made.moves):,} of {made.partitions:,} partitions would move, "
        f"{totals['bytes']:,} bytes; as of {made.as_of}. They cost "
        f"{made.usd_per_month:,.2f} USD a month and would save {made.saved_usd_per_month:,.2f}."
    )
    if made.moves:
        console.out.print("Do it: ./treehouse tier apply --yes", style="bold")


def _show_moves(moves: tuple[Move, ...], json: bool) -> None:
    if json:
        console.show_json([asdict(move) for move in moves])
    elif moves:
        show_rows([
            {"partition": m.partition, "from": m.from_tier, "to": m.to_tier, "bytes": m.bytes}
            for m in moves[:_SHOWN_ROWS]
        ])  # fmt: skip
        console.out.print(f"{len(moves):,} moves would be taken back: ./treehouse tier undo --yes")
    else:
        console.out.print("There is nothing to take back.")


def _show_done(done: Done, json: bool) -> None:
    if json:
        console.show_json(asdict(done))
        return
    if done.outcomes:
        show_rows(done.outcomes[:_SHOWN_ROWS])
    console.out.print(
        ", ".join(
            f"{done.count(state):,} {state}" for state in ("finished", "skipped", "failed", "waits")
        )
    )
