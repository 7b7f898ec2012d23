"""`treehouse cache ...`: answers of named queries, kept in the engine for as long as is allowed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from treehouse.cli.shared import JsonFlag, Newest, client_of, example, show_rows
from treehouse.project import console
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from treehouse.platform.result_cache.fill import Entry

app = typer.Typer(
    help="Keep answers of the queries that result_cache.queries of dbt_project.yml names.",
    no_args_is_help=True,
)
_Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, it is only shown.")]


@app.command(epilog=example("cache plan"))
def plan(context: typer.Context, json: JsonFlag = False) -> None:
    """Show what would be kept, for how long, and what not for which reason."""
    from treehouse.platform.result_cache.config import ResultCache
    from treehouse.platform.result_cache.fill import make_plan

    settings: Settings = context.obj
    with client_of(settings) as client:
        _show_plan(make_plan(client, settings, ResultCache.configured()), json)


@app.command(epilog=example("cache fill --yes   # cron: * * * * *"))
def fill(context: typer.Context, yes: _Yes = False, json: JsonFlag = False) -> None:
    """Keep the answers of what is worth it, and renew those whose tables are unchanged.

    Without --yes, the plan. Every minute is often enough: a pass with nothing to do is short.
    """
    from treehouse.platform.result_cache.config import ResultCache
    from treehouse.platform.result_cache.fill import fill as run
    from treehouse.platform.result_cache.fill import make_plan

    settings: Settings = context.obj
    cache = ResultCache.configured()
    with client_of(settings) as client:
        if not yes:
            _show_plan(make_plan(client, settings, cache), json)
            return
        with console.step("fill", json) as report:
            done = run(client, settings, cache, report)
    show_rows(done, json, "Nothing had to be stored.")


@app.command(epilog=example("cache undo --yes"))
def undo(
    context: typer.Context,
    yes: _Yes = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Also drop the views, which somebody may read.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Stop reading what is kept: every view runs its query again. Without --yes, show it."""
    from treehouse.platform.result_cache.config import ResultCache
    from treehouse.platform.result_cache.fill import clear, stored
    from treehouse.platform.result_cache.views import drop_views, views_there

    settings: Settings = context.obj
    cache = ResultCache.configured()
    with client_of(settings) as client:
        if yes:
            names = clear(client, cache)
            dropped = drop_views(client, cache) if drop else []
        else:
            names, dropped = stored(client, cache), views_there(client, cache) if drop else []
    would = "" if yes else "would be "
    rows = [{"name": name, "state": f"{would}cleared"} for name in names]
    rows += [{"name": name, "state": f"{would}dropped"} for name in dropped]
    show_rows(rows, json, "Nothing is kept.")


@app.command(epilog=example("cache log --limit 20"))
def log(
    context: typer.Context,
    limit: Newest = 50,
    json: JsonFlag = False,
) -> None:
    """Every answer that was kept, failed or taken back, the newest first."""
    from treehouse.platform.result_cache.config import ResultCache
    from treehouse.platform.result_cache.fill import history

    settings: Settings = context.obj
    with client_of(settings) as client:
        rows = history(client, ResultCache.configured(), limit)
    show_rows(rows, json, "Nothing was kept yet.")


def _show_plan(entries: tuple[Entry, ...], json: bool) -> None:
    rows = [
        {"name": entry.query.name, "dashboard": entry.query.dashboard, "panel": entry.query.panel,
         "user": entry.query.user, "allowed_seconds": entry.query.allowed_seconds}
        | {name: value for name, value in asdict(entry).items() if name != "query"}
        for entry in entries
    ]  # fmt: skip
    show_rows(rows, json, "result_cache.queries of dbt_project.yml names no query.")
    if not json and any(entry.admit for entry in entries):
        console.out.print("Do it: ./treehouse cache fill --yes", style="bold")
