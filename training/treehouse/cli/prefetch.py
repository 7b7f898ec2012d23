"""`treehouse prefetch`: answers of named queries, asked before somebody needs them."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from treehouse.cli.shared import JsonFlag, Newest, client_of, example, show_rows
from treehouse.project import console
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.platform.prefetch.config import Prefetch
    from treehouse.platform.prefetch.plan import Candidate
    from treehouse.platform.prefetch.run import Done
    from treehouse.platform.result_cache.config import ResultCache

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
    from treehouse.platform.prefetch.config import Prefetch
    from treehouse.platform.prefetch.plan import candidates, make_plan
    from treehouse.platform.result_cache.config import ResultCache

    settings: Settings = context.obj
    cache, limits = ResultCache.configured(), Prefetch.configured()
    with client_of(settings) as client:
        if yes or every:
            _passes(client, settings, (cache, limits), every, json)
            return
        found = candidates(client, settings, cache, limits)
        _show_plan(make_plan(client, cache, limits, found), json)


@app.command(epilog=example("prefetch log --limit 20"))
def log(
    context: typer.Context,
    limit: Newest = 50,
    json: JsonFlag = False,
) -> None:
    """Every answer that was asked in advance: whether it was read, what it saved or wasted."""
    from treehouse.platform.prefetch.log import history

    settings: Settings = context.obj
    with client_of(settings) as client:
        rows = history(client, settings, limit)
    show_rows(rows, json, "Nothing was asked in advance yet.")


def _passes(
    client: Client,
    settings: Settings,
    configured: tuple[ResultCache, Prefetch],
    every: float,
    json: bool,
) -> None:
    """One pass, or passes until a signal ends the loop; what runs then is finished."""
    from treehouse.platform.prefetch.run import run_pass

    with _stopping() as stop:
        while True:
            began = time.monotonic()
            with console.step("prefetch", json) as report:
                done = run_pass(client, settings, *configured, stop, report)
            _show_done(done, json, lines=bool(every))
            if not every or stop.wait(max(0.0, every - (time.monotonic() - began))):
                return


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Set by Ctrl-C and by SIGTERM, for as long as it is looked at."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _show_plan(planned: tuple[Candidate, ...], json: bool) -> None:
    rows = [
        {"name": one.query.name, "arguments": dict(one.arguments), "share": one.share,
         "saved_ms": one.saved_ms, "run_ms": one.run_ms, "run_bytes": one.run_bytes,
         "fresh_seconds": one.fresh_seconds, "decision": one.decision}
        for one in planned
    ]  # fmt: skip
    nothing = "Nobody asked named queries lately: ./treehouse collect"
    show_rows(rows if json else rows[:_SHOWN_ROWS], json, nothing)
    if not json:
        counted = Counter(row["decision"] for row in rows)
        for decision, count in counted.most_common():
            console.out.print(f"{count:,} {decision}")
        if counted["prefetch"]:
            console.out.print("Do it: ./treehouse prefetch --yes", style="bold")


def _show_done(done: Done, json: bool, lines: bool) -> None:
    """What a pass did; of several passes, a line each."""
    counted = Counter(row["state"] for row in done.rows)
    seconds = sum(row.get("seconds") or 0.0 for row in done.rows)
    if json and lines:
        console.show_json_line({"renewed": done.renewed, "seconds": seconds} | counted)
    elif lines:
        found = ", ".join(f"{count} {state}" for state, count in sorted(counted.items()))
        console.out.print(f"{found or 'nothing to ask'}, {done.renewed} renewed, {seconds:.1f} s")
    else:
        show_rows(done.rows, json, "Nothing was worth asking.")
