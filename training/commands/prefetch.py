"""`treehouse prefetch`: answers of named queries, asked before somebody needs them."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training import console
from training.commands.shared import JsonFlag, client_of, example
from training.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.prefetch.plan import Candidate
    from training.prefetch.run import Done

app = typer.Typer(invoke_without_command=True, epilog=example("prefetch --yes   # cron: * * * * *"))
_SHOWN_ROWS = 30


@app.callback()
def prefetch(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, it is only shown.")] = False,
    every: Annotated[
        float, typer.Option(min=0, help="Do it every so many seconds, until stopped.")
    ] = 0.0,
    json: JsonFlag = False,
) -> None:
    """Ask for what open sessions and screens will ask, as their dashboard's user, and keep it.

    Within `prefetch` of dbt_project.yml; it takes over first what was asked until now.
    """
    if context.invoked_subcommand:
        return
    from training.prefetch.config import Prefetch
    from training.prefetch.plan import candidates, make_plan
    from training.results.config import ResultCache

    settings: Settings = context.obj
    cache, limits = ResultCache.configured(), Prefetch.configured()
    with client_of(settings) as client:
        if yes or every:
            _passes(client, settings, every, json)
        else:
            found = candidates(client, settings, cache, limits)
            _show_plan(make_plan(client, cache, limits, found), json)


@app.command(epilog=example("prefetch log --limit 20"))
def log(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    json: JsonFlag = False,
) -> None:
    """Every answer that was asked in advance: whether it was read, what it saved or wasted."""
    from training.prefetch.log import history

    settings: Settings = context.obj
    with client_of(settings) as client:
        rows = history(client, settings, limit)
    _show(rows, json, "Nothing was asked in advance yet.")
