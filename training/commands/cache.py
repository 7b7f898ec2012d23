"""`treehouse cache ...`: answers of named queries, kept in the engine for as long as is allowed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training import console
from training.commands.shared import JsonFlag, client_of, example
from training.settings import Settings

if TYPE_CHECKING:
    from training.results.store import Entry

app = typer.Typer(
    help="Keep answers of the queries that result_cache.queries of dbt_project.yml names.",
    no_args_is_help=True,
)
_Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, it is only shown.")]


@app.command(epilog=example("cache plan"))
def plan(context: typer.Context, json: JsonFlag = False) -> None:
    """Show what would be kept, for how long, and what not for which reason."""
    from training.results.config import ResultCache
    from training.results.store import make_plan

    settings: Settings = context.obj
    with client_of(settings) as client:
        _show_plan(make_plan(client, settings, ResultCache.configured()), json)


@app.command(epilog=example("cache fill --yes   # cron: */5 * * * *"))
def fill(context: typer.Context, yes: _Yes = False, json: JsonFlag = False) -> None:
    """Run what is worth keeping, and keep its answers; without --yes, the plan."""
    from training.results.config import ResultCache
    from training.results.store import fill as run
    from training.results.store import make_plan

    settings: Settings = context.obj
    cache = ResultCache.configured()
    with client_of(settings) as client:
        entries = make_plan(client, settings, cache)
        if not yes:
            _show_plan(entries, json)
            return
        with console.step("fill", json) as report:
            done = run(client, settings, cache, entries, report)
    _show(done, json, "Nothing is worth keeping.")


@app.command(epilog=example("cache undo --yes"))
def undo(context: typer.Context, yes: _Yes = False, json: JsonFlag = False) -> None:
    """Stop reading what is kept: every view runs its query again. Without --yes, show it."""
    from training.results.config import ResultCache
    from training.results.store import clear, stored

    settings: Settings = context.obj
    cache = ResultCache.configured()
    with client_of(settings) as client:
        if yes:
            names = clear(client, settings, cache)
        else:
            names = sorted({name for name, _ in stored(client, settings, cache)})
    state = "cleared" if yes else "would be cleared"
    _show([{"name": name, "state": state} for name in names], json, "Nothing is kept.")


@app.command(epilog=example("cache log --limit 20"))
def log(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    json: JsonFlag = False,
) -> None:
    """Every answer that was kept, failed or taken back, the newest first."""
    from training.results.config import ResultCache
    from training.results.store import history

    settings: Settings = context.obj
    with client_of(settings) as client:
        rows = history(client, settings, ResultCache.configured(), limit)
    _show(rows, json, "Nothing was kept yet.")


def _show_plan(entries: tuple[Entry, ...], json: bool) -> None:
    rows = [
        {"name": entry.query.name, "dashboard": entry.query.dashboard, "panel": entry.query.panel,
         "allowed_seconds": entry.query.allowed_seconds}
        | {name: value for name, value in asdict(entry).items() if name != "query"}
        for entry in entries
    ]  # fmt: skip
    _show(rows, json, "result_cache.queries of dbt_project.yml names no query.")
    if not json and any(entry.admit for entry in entries):
        console.out.print("Do it: ./treehouse cache fill --yes", style="bold")


def _show(rows: list[dict[str, Any]], json: bool, nothing: str) -> None:
    if json:
        console.show_json(rows)
    elif rows:
        names = [name.replace("_", " ") for name in rows[0]]
        console.show_table(names, [list(row.values()) for row in rows])
    else:
        console.out.print(nothing)
